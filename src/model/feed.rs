//! A user's in-app feed: its items and the counts beside them.

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::base::ids::MessageId;

/// What a feed's index holds of an item: enough to filter and count without reading the message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedEntry {
    pub message: MessageId,
    pub workflow: String,
    pub tenant: Option<String>,
    pub inserted_at: Timestamp,
    pub seen_at: Option<Timestamp>,
    pub read_at: Option<Timestamp>,
    pub archived_at: Option<Timestamp>,
}

/// The counts of a whole feed without its archived items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedCounts {
    pub total: u64,
    pub unread: u64,
    pub unseen: u64,
    /// When the newest item was inserted: the next one gets at least a millisecond more, since the browser client
    /// sorts by milliseconds.
    pub last_at: Timestamp,
}
