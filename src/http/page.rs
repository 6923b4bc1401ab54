//! What a list is asked for.

use super::error::{ApiError, require_valid};
use crate::model::page::PageRequest;
use crate::model::query::Query;

/// Which page a query asks for.
pub fn page_request(query: &[(String, String)]) -> Result<PageRequest, ApiError> {
    let mut errors = Vec::new();
    let request = PageRequest::from_query(Query::new(query), &mut errors);
    require_valid(errors)?;
    Ok(request)
}
