//! Pages of lists.

use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// Which page of a list.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// The page behind this cursor, which is `page_info.after` of the page before it.
    pub after: Option<String>,
    /// The page in front of this cursor, which is `page_info.before` of the page behind it.
    pub before: Option<String>,
    /// Entries of a page, at most and by default 50.
    #[param(minimum = 1, maximum = 50)]
    pub page_size: Option<u8>,
}

/// Whether recipients come with their preferences.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Including {
    /// `preferences`: with the preferences of each recipient.
    #[param(rename = "include[]")]
    pub include: Option<Vec<String>>,
}

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub struct Entries<T> {
    pub entries: Vec<T>,
    pub page_info: PageInfo,
}

/// A page of a list whose entries the API calls items.
#[derive(Serialize, ToSchema)]
pub struct Items<T> {
    pub items: Vec<T>,
    pub page_info: PageInfo,
}

/// The way to the pages next to this one.
#[derive(Serialize, ToSchema)]
pub struct PageInfo {
    #[schema(pattern = "^PageInfo$")]
    pub __typename: String,
    /// `null`: this is the last page.
    pub after: Option<String>,
    /// `null`: this is the first page.
    pub before: Option<String>,
    pub page_size: u8,
}

/// Which of the messages or activities: those whose trigger had this data.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ByTriggerData {
    /// An object of plain values, as JSON: all of them must be equal.
    #[param(example = json!("{\"plan\":\"pro\"}"))]
    pub trigger_data: Option<String>,
}

/// A list that is there and has nothing in it.
pub type Nothing = Vec<Value>;
