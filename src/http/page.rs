//! What a list is asked for.

use super::error::ApiError;
use crate::model::page::PageRequest;
use crate::model::query::Query;

/// Which page a query asks for.
pub fn page_request(query: &[(String, String)]) -> Result<PageRequest, ApiError> {
    let mut errors = Vec::new();
    let request = PageRequest::from_query(Query::new(query), &mut errors);
    if errors.is_empty() { Ok(request) } else { Err(ApiError::invalid(errors)) }
}
