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

/// The most kinds of items that a feed counts apart: each adds about 80 bytes to what every change of the feed writes.
const MAX_KINDS: usize = 64;

/// The counts of a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedCounts {
    /// The whole feed without its archived items.
    pub shown: Tally,
    /// When the newest item was inserted: the next one gets at least a millisecond more, since the browser client
    /// sorts by milliseconds.
    pub last_at: Timestamp,
    /// Every kind of which there are items, in order; `None`: it had more kinds than are counted apart.
    pub kinds: Option<Vec<KindCounts>>,
}

/// How many items there are, and how many of them are unread and unseen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub total: u64,
    pub unread: u64,
    pub unseen: u64,
}

/// What items have in common that filters by workflow, category and tenant cannot tell apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Kind {
    pub workflow: String,
    pub tenant: Option<String>,
    pub categories: Vec<String>,
}

/// The counts of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindCounts {
    pub kind: Kind,
    pub shown: Tally,
    pub archived: Tally,
}

impl Default for FeedCounts {
    fn default() -> Self {
        Self { shown: Tally::default(), last_at: Timestamp::default(), kinds: Some(Vec::new()) }
    }
}

impl FeedCounts {
    /// Counts an item in.
    pub fn add(&mut self, item: &FeedEntry) {
        self.change(item, |tally, one| *tally = tally.plus(one));
    }

    /// Takes an item out that was counted as it is.
    pub fn remove(&mut self, item: &FeedEntry) {
        self.change(item, |tally, one| *tally = tally.minus(one));
    }

    fn change(&mut self, item: &FeedEntry, change: impl Fn(&mut Tally, Tally)) {
        let (one, is_shown) = (Tally::of(&item.engagement), item.engagement.archived_at.is_none());
        if is_shown {
            change(&mut self.shown, one);
        }
        let Some(kinds) = &mut self.kinds else { return };
        let found = kinds.binary_search_by(|counted| counted.kind.parts().cmp(&item.kind()));
        let place = match found {
            Ok(place) => place,
            Err(_) if kinds.len() == MAX_KINDS => {
                self.kinds = None;
                return;
            }
            Err(place) => {
                let (workflow, tenant, categories) =
                    (item.workflow.clone(), item.tenant.clone(), item.categories.clone());
                let kind = Kind { workflow, tenant, categories };
                kinds.insert(place, KindCounts { kind, shown: Tally::default(), archived: Tally::default() });
                place
            }
        };
        let KindCounts { shown, archived, .. } = &mut kinds[place];
        change(if is_shown { shown } else { archived }, one);
        if shown.total + archived.total == 0 {
            kinds.remove(place);
        }
    }

    /// Whether these are the counts of the items that `recount` counted.
    pub fn agrees(&self, recount: &Self) -> bool {
        self.shown == recount.shown && (self.kinds.is_none() || self.kinds == recount.kinds)
    }
}

/// The workflow, tenant and categories of a kind.
pub type Parts<'a> = (&'a str, Option<&'a str>, &'a [String]);

impl FeedEntry {
    /// Of which kind it is.
    pub fn kind(&self) -> Parts<'_> {
        (&self.workflow, self.tenant.as_deref(), &self.categories)
    }
}

impl Kind {
    /// The same as those of its items.
    pub fn parts(&self) -> Parts<'_> {
        (&self.workflow, self.tenant.as_deref(), &self.categories)
    }
}

impl Tally {
    /// What an item adds.
    pub fn of(item: &Engagement) -> Self {
        Self { total: 1, unread: item.read_at.is_none().into(), unseen: item.seen_at.is_none().into() }
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self { total: self.total + other.total, unread: self.unread + other.unread, unseen: self.unseen + other.unseen }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            total: self.total.saturating_sub(other.total),
            unread: self.unread.saturating_sub(other.unread),
            unseen: self.unseen.saturating_sub(other.unseen),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(workflow: usize) -> FeedEntry {
        FeedEntry {
            message: MessageId::from([1; 16]),
            workflow: workflow.to_string(),
            categories: Vec::new(),
            tenant: None,
            data: TriggerData::default(),
            inserted_at: Timestamp::default(),
            engagement: Engagement::default(),
        }
    }

    #[test]
    fn a_feed_of_too_many_kinds_still_counts_its_items() {
        let mut counts = FeedCounts::default();
        (0..MAX_KINDS).for_each(|workflow| counts.add(&item(workflow)));
        assert_eq!(counts.kinds.as_ref().map(Vec::len), Some(MAX_KINDS));
        counts.add(&item(0));
        counts.remove(&item(1));
        assert_eq!(counts.kinds.as_ref().map(Vec::len), Some(MAX_KINDS - 1));
        (0..=MAX_KINDS).for_each(|workflow| counts.add(&item(workflow)));
        assert_eq!((counts.kinds.as_ref(), counts.shown.total), (None, 2 * MAX_KINDS as u64 + 1));
        let mut recount = FeedCounts::default();
        (0..=2 * MAX_KINDS).for_each(|_| recount.add(&item(0)));
        assert!(counts.agrees(&recount) && !recount.agrees(&counts));
    }
}
