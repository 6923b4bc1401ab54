//! The counts beside a feed's items: the badge.

use serde_json::{Value, json};

use super::query::FeedFilter;
use crate::base::ids::ChannelId;
use crate::model::engagement::StatusFilter;
use crate::model::feed::FeedCounts;
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
    if filter.is_whole_feed()
        && let Some(counts) = stored(&reader.feed_counts(channel, user)?, filter.status)
    {
        return Ok(counts);
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

/// The counts of a whole feed, where they tell how many items have `status`.
fn stored(counts: &FeedCounts, status: StatusFilter) -> Option<Counts> {
    let FeedCounts { total, unread, unseen, .. } = *counts;
    let of_status = match status {
        StatusFilter::All => total,
        StatusFilter::Unread => unread,
        StatusFilter::Read => total.saturating_sub(unread),
        StatusFilter::Unseen => unseen,
        StatusFilter::Seen => total.saturating_sub(unseen),
        _ => return None,
    };
    Some(Counts { total: of_status, unread, unseen })
}
