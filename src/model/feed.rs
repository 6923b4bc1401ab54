//! A user's in-app feed: its items and the counts beside them.

use serde::{Deserialize, Serialize};

use super::engagement::Engagement;
use super::trigger_data::TriggerData;
use crate::base::clock::Timestamp;
use crate::base::ids::MessageId;

/// What a feed's index holds of an item: enough to filter and count without reading the message. What its reader did
/// with it stands here and nowhere else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedEntry {
    pub message: MessageId,
    pub workflow: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    pub tenant: Option<String>,
    #[serde(default, skip_serializing_if = "TriggerData::is_empty")]
    pub data: TriggerData,
    pub inserted_at: Timestamp,
    #[serde(default)]
    pub engagement: Engagement,
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

impl FeedCounts {
    /// Counts an item in.
    pub fn add(&mut self, item: &Engagement) {
        let [total, unread, unseen] = weight(item);
        self.total += total;
        self.unread += unread;
        self.unseen += unseen;
    }

    /// Takes an item out that was counted as it is.
    pub fn remove(&mut self, item: &Engagement) {
        let [total, unread, unseen] = weight(item);
        self.total = self.total.saturating_sub(total);
        self.unread = self.unread.saturating_sub(unread);
        self.unseen = self.unseen.saturating_sub(unseen);
    }
}

/// What an item adds to total, unread and unseen.
fn weight(item: &Engagement) -> [u64; 3] {
    let shown = item.archived_at.is_none();
    [shown, shown && item.read_at.is_none(), shown && item.seen_at.is_none()].map(u64::from)
}
