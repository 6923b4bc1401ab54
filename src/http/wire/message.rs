//! Messages: what was sent to one recipient over one channel.

use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::recipient::{Recipient, RecipientReference};
use super::{Instant, Properties};

/// A message.
#[derive(Serialize, ToSchema)]
pub struct Message {
    #[schema(pattern = "^Message$")]
    pub __typename: String,
    pub id: String,
    pub channel_id: String,
    pub channel: Option<Channel>,
    pub recipient: RecipientReference,
    /// Where it went.
    pub recipient_snapshot: Value,
    pub actors: Vec<RecipientReference>,
    /// The workflow's key.
    pub workflow: String,
    pub source: MessageSource,
    pub tenant: Option<String>,
    pub status: DeliveryStatus,
    pub engagement_statuses: Vec<Engagement>,
    /// The trigger's.
    pub data: Option<Properties>,
    pub metadata: Value,
    pub scheduled_at: Option<Instant>,
    pub seen_at: Option<Instant>,
    pub read_at: Option<Instant>,
    pub interacted_at: Option<Instant>,
    pub clicked_at: Option<Instant>,
    pub link_clicked_at: Option<Instant>,
    pub archived_at: Option<Instant>,
    pub inserted_at: Instant,
    pub updated_at: Instant,
}

/// A channel of the configuration.
#[derive(Serialize, ToSchema)]
pub struct Channel {
    pub id: String,
    pub key: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub provider: String,
    pub created_at: Option<Instant>,
    pub updated_at: Option<Instant>,
}

/// What the message came of.
#[derive(Serialize, ToSchema)]
pub struct MessageSource {
    #[schema(pattern = "^NotificationSource$")]
    pub __typename: String,
    /// The workflow's.
    pub key: String,
    pub version_id: Option<String>,
    pub categories: Vec<String>,
    pub step_ref: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub workflow_run_id: String,
    pub workflow_recipient_run_id: String,
}

/// How far delivery got.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    Queued,
    Sent,
    Delivered,
    DeliveryAttempted,
    Undelivered,
    NotSent,
    Bounced,
}

/// What the reader did.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engagement {
    Seen,
    Read,
    Interacted,
    LinkClicked,
    Archived,
}

/// Which messages; all that is said must hold.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MessageFilter {
    pub tenant: Option<String>,
    pub channel_id: Option<String>,
    /// Any of these.
    #[param(rename = "status[]")]
    pub status: Option<Vec<DeliveryStatus>>,
    /// Any of these.
    #[param(rename = "engagement_status[]")]
    pub engagement_status: Option<Vec<Engagement>>,
    #[param(rename = "message_ids[]", max_items = 50)]
    pub message_ids: Option<Vec<String>>,
    #[param(rename = "workflow_categories[]")]
    pub workflow_categories: Option<Vec<String>>,
    /// The workflow's key.
    pub source: Option<String>,
    pub workflow_run_id: Option<String>,
    pub workflow_recipient_run_id: Option<String>,
    #[param(rename = "inserted_at.gte")]
    pub inserted_at_gte: Option<Instant>,
    #[param(rename = "inserted_at.gt")]
    pub inserted_at_gt: Option<Instant>,
    #[param(rename = "inserted_at.lte")]
    pub inserted_at_lte: Option<Instant>,
    #[param(rename = "inserted_at.lt")]
    pub inserted_at_lt: Option<Instant>,
}

/// What a message says.
#[derive(Serialize, ToSchema)]
pub struct MessageContent {
    #[schema(pattern = "^MessageContent$")]
    pub __typename: String,
    pub message_id: String,
    /// In the form of its channel: subject and bodies of an email, blocks of a feed item.
    pub data: Properties,
    pub inserted_at: Instant,
}

/// Whose content.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MessageIds {
    #[param(rename = "message_ids[]", min_items = 1, max_items = 50)]
    pub message_ids: Vec<String>,
}

/// Something that happened to a message.
#[derive(Serialize, ToSchema)]
pub struct MessageEvent {
    #[schema(pattern = "^MessageEvent$")]
    pub __typename: String,
    pub id: String,
    #[serde(rename = "type")]
    #[schema(examples("message.sent"))]
    pub kind: String,
    pub recipient: RecipientReference,
    pub data: Option<Properties>,
    pub inserted_at: Instant,
}

/// A trigger that a message tells of.
#[derive(Serialize, ToSchema)]
pub struct Activity {
    #[schema(pattern = "^Activity$")]
    pub __typename: String,
    pub id: String,
    pub actor: Option<Recipient>,
    pub recipient: Recipient,
    pub data: Option<Properties>,
    pub inserted_at: Option<Instant>,
    pub updated_at: Option<Instant>,
}

/// An attempt to send a message, in the terms of HTTP.
#[derive(Serialize, ToSchema)]
pub struct MessageDeliveryLog {
    #[schema(pattern = "^MessageDeliveryLog$")]
    pub __typename: String,
    pub id: String,
    pub environment_id: String,
    pub service_name: Option<String>,
    pub request: Properties,
    pub response: Properties,
    pub inserted_at: Instant,
}

/// Messages to mark.
#[derive(Serialize, ToSchema)]
pub struct BatchRequest {
    #[schema(max_items = 50)]
    pub message_ids: Vec<String>,
    /// Of an interaction: up to five plain values.
    pub metadata: Option<InteractionMetadata>,
}

/// What the client says of an interaction.
#[derive(Serialize, ToSchema)]
pub struct InteractionRequest {
    pub metadata: Option<InteractionMetadata>,
}

/// Up to five plain values, such as the link that was followed.
#[derive(Serialize, ToSchema)]
#[schema(value_type = Object, examples(json!({"type": "cell_click", "action": "/inbox"})))]
pub struct InteractionMetadata(pub Value);

/// Which messages of the channel to change; all that is said must hold.
#[derive(Serialize, ToSchema)]
pub struct BulkMarkRequest {
    /// Whose; required with a public key.
    pub user_ids: Option<Vec<String>>,
    /// The same.
    pub recipient_ids: Option<Vec<String>>,
    pub engagement_status: Option<EngagementFilter>,
    pub archived: Option<ArchivedFilter>,
    pub has_tenant: Option<bool>,
    pub tenants: Option<Vec<String>>,
    pub workflows: Option<Vec<String>>,
    /// An object of plain values, as JSON.
    pub trigger_data: Option<String>,
    pub delivery_status: Option<DeliveryStatus>,
    pub older_than: Option<Instant>,
    pub newer_than: Option<Instant>,
}

/// What readers did or did not do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EngagementFilter {
    Seen,
    Unseen,
    Read,
    Unread,
    Archived,
    Unarchived,
    LinkClicked,
    Interacted,
}

/// Whether archived ones count.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArchivedFilter {
    Exclude,
    Include,
    Only,
}
