//! The shapes of bodies and queries, for the description of the API alone: handlers read and write JSON values, and
//! tests hold their answers against these. One file for each kind of thing.

pub mod audience;
pub mod feed;
pub mod message;
pub mod operator;
pub mod page;
pub mod preference;
pub mod recipient;
pub mod run;
pub mod schedule;
pub mod subscription;
pub mod workflow;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// An instant in UTC, as RFC 3339 has it.
#[derive(Serialize, ToSchema)]
#[schema(value_type = String, format = DateTime, examples("2026-01-31T17:12:59.958652Z"))]
pub struct Instant(pub String);

/// An id: 1 to 256 characters, no `/`, no `#`, no control character.
#[derive(Serialize, ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 256, examples("ada"))]
pub struct Id(pub String);

/// Whatever the caller stores under names of its own.
#[derive(Serialize, ToSchema)]
#[schema(value_type = Object)]
pub struct Properties(pub Value);

/// What is wrong, for programs (`code`) and for people (`message`).
#[derive(Serialize, ToSchema)]
pub struct Error {
    #[schema(examples("invalid_params"))]
    pub code: String,
    /// A sentence with the way out.
    pub message: String,
    /// The status of the answer.
    pub status: u16,
    #[serde(rename = "type")]
    pub kind: ErrorKind,
    /// What is wrong with each field, if it is the fields that are wrong.
    pub errors: Vec<FieldFault>,
}

/// Whose fault it is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    AuthenticationError,
    InvalidRequestError,
    ApiError,
}

/// One field that is wrong.
#[derive(Serialize, ToSchema)]
pub struct FieldFault {
    /// Its path in the body or the query; empty: the whole of it.
    #[schema(examples("recipients[3].email"))]
    pub field: String,
    pub message: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

/// What became of a call that changes many things at once. It is done when it is answered.
#[derive(Serialize, ToSchema)]
pub struct BulkOperation {
    #[schema(pattern = "^BulkOperation$")]
    pub __typename: String,
    pub id: String,
    #[schema(examples("users.identify"))]
    pub name: String,
    #[schema(pattern = "^completed$")]
    pub status: String,
    pub estimated_total_rows: u64,
    pub processed_rows: u64,
    pub success_count: u64,
    pub error_count: u64,
    pub error_items: Vec<Value>,
    /// Where this is read again.
    pub progress_path: String,
    pub started_at: Instant,
    pub completed_at: Instant,
    pub failed_at: Option<Instant>,
    pub inserted_at: Instant,
    pub updated_at: Instant,
}

/// It was taken.
#[derive(Serialize, ToSchema)]
pub struct Status {
    #[schema(examples("ok"))]
    pub status: String,
}
