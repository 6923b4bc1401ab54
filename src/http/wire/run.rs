//! Runs: a workflow for one recipient, and why it did what it did.

use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::recipient::RecipientReference;
use super::{Instant, Properties};

/// A run.
#[derive(Serialize, ToSchema)]
pub struct Run {
    #[schema(pattern = "^WorkflowRecipientRun$")]
    pub __typename: String,
    pub id: String,
    /// The trigger, which all its runs share.
    pub workflow_run_id: String,
    /// The workflow's key.
    pub workflow: String,
    pub recipient: RecipientReference,
    pub actor: Option<RecipientReference>,
    pub tenant: Option<String>,
    pub status: RunStatus,
    pub error_count: u64,
    pub trigger_source: TriggerSource,
    /// How it ended, in a word; `null`: it has not.
    pub outcome: Option<String>,
    pub inserted_at: Instant,
    pub updated_at: Instant,
}

/// Where a run stands. One that failed is completed, and has errors.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Queued,
    Processing,
    Paused,
    Completed,
    Cancelled,
}

/// What triggered it.
#[derive(Serialize, ToSchema)]
pub struct TriggerSource {
    #[serde(rename = "type")]
    #[schema(examples("api"))]
    pub kind: String,
    pub cancellation_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule_id: Option<String>,
    /// The run whose step triggered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_recipient_run_id: Option<String>,
}

/// A run with what happened to it.
#[derive(Serialize, ToSchema)]
pub struct RunDetail {
    #[serde(flatten)]
    pub run: Run,
    pub events: Vec<RunEvent>,
    /// How it ended, in a sentence; `null`: it has not.
    pub outcome_reason: Option<String>,
    /// The step at which it stands; `null`: it has ended.
    pub waits_at: Option<String>,
    /// The event that it waits for.
    #[schema(examples("message.seen of digest"))]
    pub waits_for: Option<String>,
    /// Until when it waits.
    pub due_at: Option<Instant>,
    /// What it was given.
    pub data: Properties,
    /// Those of its trigger.
    pub settings: Properties,
    /// The object by whose subscription the recipient was reached.
    pub via: Option<RecipientReference>,
    /// The version of the workflow that it follows to its end.
    pub workflow_version: String,
    /// All steps of that version.
    pub steps: Vec<RunStep>,
    /// What it made.
    pub messages: Vec<RunMessage>,
}

/// What happened to a run.
#[derive(Serialize, ToSchema)]
pub struct RunEvent {
    #[schema(pattern = "^WorkflowRecipientRunEvent$")]
    pub __typename: String,
    pub id: String,
    #[schema(examples("message_enqueued"))]
    pub event: String,
    #[schema(pattern = "^(ok|error)$")]
    pub status: String,
    /// `null`: it is not about a step.
    pub step_ref: Option<String>,
    pub step_type: Option<String>,
    pub attempt: u32,
    /// What the event does not say by its name.
    pub data: Value,
    /// A sentence.
    pub summary: String,
    /// A line for each condition or preference that was looked at.
    pub details: Vec<String>,
    pub inserted_at: Instant,
}

/// A step, and what became of it.
#[derive(Serialize, ToSchema)]
pub struct RunStep {
    #[serde(rename = "ref")]
    pub reference: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub name: Option<String>,
    /// What the workflow says of it, without its template.
    pub settings: Properties,
    #[schema(pattern = "^(not_reached|waiting|executed|skipped|failed)$")]
    pub state: String,
}

/// A message that a run made.
#[derive(Serialize, ToSchema)]
pub struct RunMessage {
    pub id: String,
    pub step_ref: String,
    pub channel_id: String,
    pub channel_type: String,
    pub to: Option<String>,
    pub subject: Option<String>,
    pub status: super::message::DeliveryStatus,
    /// To send it.
    pub attempts: Vec<RunAttempt>,
    pub inserted_at: Instant,
    pub updated_at: Instant,
}

/// An attempt to send a message.
#[derive(Serialize, ToSchema)]
pub struct RunAttempt {
    pub number: u32,
    pub at: Instant,
    #[schema(pattern = "^(accepted|transient|permanent|bounced)$")]
    pub result: String,
    /// The mail server's.
    pub reply: String,
    /// What was done to the mail before, such as an address that it went without.
    pub notes: Option<Vec<String>>,
}

/// What a trigger would do.
#[derive(Serialize, ToSchema)]
pub struct Explained {
    /// In the form of a run; it has no `id` and no `workflow_run_id`, and its messages have their `content`.
    pub runs: Vec<Value>,
    /// Recipients whose subscribers would have runs too.
    pub spreads_to_subscribers_of: Vec<RecipientReference>,
}

/// Which runs.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RunListFilter {
    /// The workflow's key.
    pub workflow: Option<String>,
    #[param(rename = "status[]")]
    pub status: Option<Vec<RunStatus>>,
    pub tenant: Option<String>,
    pub has_errors: Option<bool>,
    /// A user's id, or an object's as `collection/id` or as `recipient[collection]` and `recipient[id]`.
    pub recipient: Option<String>,
    /// Made then or later.
    pub starting_at: Option<Instant>,
    /// Made then or earlier.
    pub ending_at: Option<Instant>,
    /// Those of one trigger.
    pub workflow_run_id: Option<String>,
}
