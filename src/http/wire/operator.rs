//! What operators ask for: keys, pending runs, health.

use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::Instant;
use super::recipient::RecipientReference;

/// What may be told of a key.
#[derive(Serialize, ToSchema)]
pub struct Key {
    pub id: String,
    pub kind: KeyKind,
    /// Its last four characters.
    pub last4: String,
    pub name: Option<String>,
    /// `null`: it stands in the configuration.
    pub created_at: Option<Instant>,
}

/// What a key is for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    Secret,
    Public,
}

/// A key that was made just now.
#[derive(Serialize, ToSchema)]
pub struct NewKey {
    /// Told this once.
    pub key: String,
    pub id: String,
    pub kind: KeyKind,
    pub last4: String,
    pub name: Option<String>,
    pub created_at: Option<Instant>,
}

/// A key to make.
#[derive(Serialize, ToSchema)]
pub struct KeyRequest {
    pub kind: KeyKind,
    #[schema(max_length = 100)]
    pub name: Option<String>,
}

/// All keys.
#[derive(Serialize, ToSchema)]
pub struct Keys {
    pub entries: Vec<Key>,
}

/// An address that gets no mail.
#[derive(Serialize, ToSchema)]
pub struct Suppression {
    /// In lower case, its domain in ASCII.
    pub address: String,
    pub reason: SuppressionReason,
    /// What the mail server or whoever listed it said.
    pub note: Option<String>,
    pub at: Instant,
}

/// Why an address is on the list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SuppressionReason {
    Manual,
    Bounced,
}

/// An address to suppress.
#[derive(Serialize, ToSchema)]
pub struct SuppressionRequest {
    pub address: String,
    #[schema(max_length = 1000)]
    pub note: Option<String>,
}

/// A run that has not ended.
#[derive(Serialize, ToSchema)]
pub struct PendingRun {
    pub id: String,
    pub workflow_run_id: String,
    /// The workflow's key.
    pub workflow: Value,
    pub recipient: RecipientReference,
    pub tenant: Option<String>,
    pub cancellation_key: Option<String>,
    /// The step.
    pub waits_at: Value,
    /// The event that it waits for.
    #[schema(examples("message.seen of digest"))]
    pub waits_for: Option<String>,
    pub next_step: Value,
    pub due_at: Option<Instant>,
    /// Below zero: overdue.
    pub seconds_left: Option<i64>,
    pub inserted_at: Instant,
}

/// Which runs.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RunFilter {
    /// The workflow's key.
    pub workflow: Option<String>,
    /// A user's id, or an object's as `collection/id`.
    pub recipient: Option<String>,
    pub tenant: Option<String>,
}

/// What a publishing did.
#[derive(Serialize, ToSchema)]
pub struct Publication {
    /// What became current.
    pub published: Vec<PublishedWorkflow>,
    /// The keys of what was current already.
    pub unchanged: Vec<String>,
    /// The keys of what has gone from the directory.
    pub removed: Vec<String>,
    pub faults: Vec<WorkflowFault>,
}

/// A workflow that became current.
#[derive(Serialize, ToSchema)]
pub struct PublishedWorkflow {
    pub key: String,
    pub version: String,
}

/// What is wrong with a workflow.
#[derive(Serialize, ToSchema)]
pub struct WorkflowFault {
    pub file: String,
    /// Where in the document.
    pub path: String,
    pub problem: String,
    /// The way out.
    pub fix: String,
}

/// Whether a workflow is to take triggers.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
pub struct Activation {
    pub status: bool,
}

/// A workflow that was switched.
#[derive(Serialize, ToSchema)]
pub struct SwitchedWorkflow {
    /// Its document, with `key`, `active`, `valid` and `sha`.
    pub workflow: Value,
}
