//! The counts beside a feed's items: the badge.

use serde_json::{Value, json};

use super::query::{FeedFilter, StatusFilter};
use crate::base::ids::ChannelId;
use crate::model::recipient::RecipientRef;
use crate::store::read::Order;
use crate::store::{Reader, StoreError};

/// How many items a filter shows, and how many in its scope are unread and unseen, whatever status it asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub total: u64,
    pub unread: u64,
    pub unseen: u64,
}

impl Counts {
    /// The wire form.
    pub fn to_json(self) -> Value {
        json!({"total_count": self.total, "unread_count": self.unread, "unseen_count": self.unseen})
    }
}

/// Counts the feed of `user` on `channel`. For a whole feed they are stored; a narrower filter looks at each item.
pub fn counts(
    reader: &Reader,
    channel: ChannelId,
    user: &RecipientRef,
    filter: &FeedFilter,
) -> Result<Counts, StoreError> {
    if filter.is_whole_feed() {
        let stored = reader.feed_counts(channel, user)?;
        let total = match filter.status {
            StatusFilter::All => stored.total,
            StatusFilter::Unread => stored.unread,
            StatusFilter::Read => stored.total.saturating_sub(stored.unread),
            StatusFilter::Unseen => stored.unseen,
            StatusFilter::Seen => stored.total.saturating_sub(stored.unseen),
        };
        return Ok(Counts { total, unread: stored.unread, unseen: stored.unseen });
    }
    let mut counts = Counts::default();
    reader.each_feed_entry(channel, user, filter.inserted_at, Order::NewestFirst, |entry| {
        if filter.in_scope(&entry) {
            counts.total += u64::from(filter.shows(&entry));
            counts.unread += u64::from(entry.engagement.read_at.is_none());
            counts.unseen += u64::from(entry.engagement.seen_at.is_none());
        }
        true
    })?;
    Ok(counts)
}
