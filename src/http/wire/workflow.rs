//! Triggers and cancels.

use serde::Serialize;
use utoipa::ToSchema;

use super::Properties;
use super::recipient::{RecipientReference, RecipientRequest};

/// Whom to notify of what.
#[derive(Serialize, ToSchema)]
pub struct TriggerRequest {
    #[schema(min_items = 1, max_items = 1000)]
    pub recipients: Vec<RecipientRequest>,
    /// Who caused it.
    pub actor: Option<RecipientRequest>,
    /// The key by which these runs can be cancelled.
    #[schema(max_length = 1024)]
    pub cancellation_key: Option<String>,
    /// What templates read as `data`.
    pub data: Option<Properties>,
    pub tenant: Option<RecipientRequest>,
    pub settings: Option<TriggerSettings>,
}

/// How the runs go.
#[derive(Serialize, ToSchema)]
pub struct TriggerSettings {
    /// Nothing is sent.
    pub sandbox_mode: Option<bool>,
    /// Delays are passed over.
    pub skip_delay: Option<bool>,
}

/// What was triggered.
#[derive(Serialize, ToSchema)]
pub struct Triggered {
    pub workflow_run_id: String,
}

/// Which runs to end.
#[derive(Serialize, ToSchema)]
pub struct CancelRequest {
    /// The one that the trigger was given.
    #[schema(min_length = 1, max_length = 1024)]
    pub cancellation_key: String,
    /// Only the runs of these.
    pub recipients: Option<Vec<RecipientReference>>,
}

/// A trigger as the first API had it.
#[derive(Serialize, ToSchema)]
pub struct NotifyRequest {
    /// The workflow's key.
    pub name: String,
    #[schema(min_items = 1, max_items = 1000)]
    pub recipients: Vec<RecipientRequest>,
    pub actor: Option<RecipientRequest>,
    pub cancellation_key: Option<String>,
    pub data: Option<Properties>,
    pub tenant: Option<RecipientRequest>,
}

/// What was triggered, as the first API had it.
#[derive(Serialize, ToSchema)]
pub struct Notified {
    pub result_id: String,
}

/// A cancel as the first API had it.
#[derive(Serialize, ToSchema)]
pub struct NotifyCancelRequest {
    /// The workflow's key.
    pub name: String,
    #[schema(min_length = 1, max_length = 1024)]
    pub cancellation_key: String,
    pub recipients: Option<Vec<RecipientReference>>,
}
