//! In-app feeds.

use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::message::ArchivedFilter;
use super::{Instant, Properties};

/// A page of a feed, with its counts.
#[derive(Serialize, ToSchema)]
pub struct Feed {
    pub entries: Vec<FeedItem>,
    pub meta: FeedMetadata,
    pub page_info: FeedPageInfo,
    /// The public variables of the configuration.
    pub vars: Properties,
}

/// An item of a feed; `id` is its message's.
#[derive(Serialize, ToSchema)]
pub struct FeedItem {
    #[schema(pattern = "^FeedItem$")]
    pub __typename: String,
    pub __cursor: String,
    pub id: String,
    /// Who caused it, as recipients.
    pub actors: Vec<Value>,
    pub blocks: Vec<Value>,
    pub data: Properties,
    pub source: Properties,
    pub tenant: Option<String>,
    pub total_actors: u32,
    pub seen_at: Option<Instant>,
    pub read_at: Option<Instant>,
    pub interacted_at: Option<Instant>,
    pub link_clicked_at: Option<Instant>,
    pub clicked_at: Option<Instant>,
    pub archived_at: Option<Instant>,
    pub inserted_at: Instant,
    pub updated_at: Instant,
}

/// Counts of a feed, as far as the filters reach.
#[derive(Serialize, ToSchema)]
pub struct FeedMetadata {
    #[schema(pattern = "^FeedMetadata$")]
    pub __typename: String,
    pub total_count: u64,
    pub unread_count: u64,
    pub unseen_count: u64,
}

/// The way to the pages next to this one.
#[derive(Serialize, ToSchema)]
pub struct FeedPageInfo {
    #[schema(pattern = "^PageInfo$")]
    pub __typename: String,
    pub after: Option<String>,
    pub before: Option<String>,
    pub page_size: u8,
    pub total_count: u64,
}

/// Which items; all that is said must hold.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FeedFilter {
    #[param(inline)]
    pub status: Option<FeedStatus>,
    pub archived: Option<ArchivedFilter>,
    /// Items of this tenant, and of none unless `has_tenant` is true.
    pub tenant: Option<String>,
    pub has_tenant: Option<bool>,
    /// The workflow's key.
    pub source: Option<String>,
    #[param(rename = "workflow_categories[]")]
    pub workflow_categories: Option<Vec<String>>,
    /// `compact`: without activities, and of data only its plain values.
    #[param(inline)]
    pub mode: Option<FeedMode>,
    /// Paths to leave out, such as `entries.activities`.
    pub exclude: Option<String>,
    #[param(rename = "inserted_at.gte")]
    pub inserted_at_gte: Option<Instant>,
    #[param(rename = "inserted_at.gt")]
    pub inserted_at_gt: Option<Instant>,
    #[param(rename = "inserted_at.lte")]
    pub inserted_at_lte: Option<Instant>,
    #[param(rename = "inserted_at.lt")]
    pub inserted_at_lt: Option<Instant>,
}

/// What the reader did or did not do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeedStatus {
    Unread,
    Read,
    Unseen,
    Seen,
    All,
}

/// How much of an item is told.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeedMode {
    Rich,
    Compact,
}

/// What the components of the feed show of their maker: nothing.
#[derive(Serialize, ToSchema)]
pub struct FeedSettings {
    #[schema(value_type = Object, examples(json!({"branding_required": false})))]
    pub features: Properties,
}

/// Guides, of which this server has none.
#[derive(Serialize, ToSchema)]
pub struct Guides {
    pub entries: Vec<Value>,
    pub guide_groups: Vec<Value>,
    pub guide_group_display_logs: Properties,
    pub ineligible_guides: Vec<Value>,
}
