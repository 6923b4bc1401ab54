//! The counts beside a feed's items: the badge.

use serde_json::{Value, json};

use super::query::{ArchivedFilter, FeedFilter};
use crate::base::ids::ChannelId;
use crate::model::engagement::StatusFilter;
use crate::model::feed::{FeedCounts, FeedEntry, Tally};
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
    fn count(&mut self, entry: &FeedEntry, filter: &FeedFilter) {
        if filter.in_scope(entry) {
            self.total += u64::from(filter.shows(entry));
            self.unread += u64::from(entry.engagement.read_at.is_none());
            self.unseen += u64::from(entry.engagement.seen_at.is_none());
        }
    }

    /// The wire form.
    pub fn to_json(self) -> Value {
        json!({"total_count": self.total, "unread_count": self.unread, "unseen_count": self.unseen})
    }
}

/// Counts the feed of `user` on `channel`. They are kept, for the whole feed and for each kind of item; a filter by
/// trigger data or by time looks at each item that it spans.
pub fn counts(
    reader: &Reader,
    channel: ChannelId,
    user: &RecipientRef,
    filter: &FeedFilter,
) -> Result<Counts, StoreError> {
    let kept = kept(&reader.feed_counts(channel, user)?, filter);
    if let Some(counts) = kept.and_then(|tally| of_status(tally, filter.status)) {
        return Ok(counts);
    }
    let mut counts = Counts::default();
    reader.each_feed_entry(channel, user, filter.inserted_at, Order::NewestFirst, |entry| {
        counts.count(&entry, filter);
        true
    })?;
    Ok(counts)
}

/// What is kept of the scope of `filter`, if that is enough.
fn kept(counts: &FeedCounts, filter: &FeedFilter) -> Option<Tally> {
    if filter.is_whole_feed() {
        return Some(counts.shown);
    }
    let kinds = counts.kinds.as_ref().filter(|_| filter.is_by_kind())?;
    let covered = kinds.iter().filter(|counted| filter.covers_kind(counted.kind.parts()));
    let tallies = covered.map(|counted| match filter.archived {
        ArchivedFilter::Exclude => counted.shown,
        ArchivedFilter::Include => counted.shown.plus(counted.archived),
        ArchivedFilter::Only => counted.archived,
    });
    Some(tallies.fold(Tally::default(), Tally::plus))
}

/// The counts of a scope, where they tell how many of its items have `status`.
fn of_status(scope: Tally, status: StatusFilter) -> Option<Counts> {
    let Tally { total, unread, unseen } = scope;
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::Bound;

    use proptest::prelude::*;

    use super::super::query::ARCHIVED;
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::base::ids::MessageId;
    use crate::model::access::Access;
    use crate::model::engagement::{Action, Engagement, STATUSES};
    use crate::model::trigger_data::{TriggerData, TriggerDataFilter};

    fn some(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
        prop::sample::subsequence(of, 0..=of.len()).prop_map(|some| some.into_iter().map(str::to_owned).collect())
    }

    fn item() -> impl Strategy<Value = FeedEntry> {
        let tenant = prop::option::of(prop::sample::select(vec!["s", "t"]));
        let done = prop::collection::vec(prop::sample::select(&Action::ALL[..]), 0..3);
        (prop::sample::select(vec!["w", "v"]), tenant, some(&["c", "d"]), done).prop_map(
            |(workflow, tenant, categories, done)| {
                let mut engagement = Engagement::default();
                done.into_iter().for_each(|action| engagement.take(action, Timestamp::from_millis(1)));
                FeedEntry {
                    message: MessageId::from([1; 16]),
                    workflow: workflow.into(),
                    categories,
                    tenant: tenant.map(str::to_owned),
                    data: TriggerData::default(),
                    inserted_at: Timestamp::from_millis(1),
                    engagement,
                }
            },
        )
    }

    fn filter() -> impl Strategy<Value = FeedFilter> {
        let archived = prop::sample::select(&ARCHIVED[..]).prop_map(|(_, archived)| archived);
        let status = prop::sample::select(&STATUSES[..5]).prop_map(|(_, status)| status);
        let tenants = (some(&["s", "t"]), any::<bool>())
            .prop_map(|(tenants, tenantless)| Access::Tenants { tenants: BTreeSet::from_iter(tenants), tenantless });
        let access = prop_oneof![Just(Access::Everything), tenants];
        let has_tenant = prop::option::of(any::<bool>());
        (status, archived, some(&["s", "t"]), has_tenant, some(&["w"]), some(&["c"]), access).prop_map(
            |(status, archived, tenants, has_tenant, workflows, workflow_categories, access)| FeedFilter {
                status,
                archived,
                tenants,
                has_tenant,
                workflows,
                workflow_categories,
                trigger_data: TriggerDataFilter::default(),
                inserted_at: (Bound::Unbounded, Bound::Unbounded),
                access,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_kept_is_what_looking_at_each_item_would_count(
            items in prop::collection::vec(item(), 0..30), gone in 0usize..30, filter in filter()
        ) {
            let mut counts = FeedCounts::default();
            items.iter().for_each(|item| counts.add(item));
            let (gone, left) = items.split_at(gone.min(items.len()));
            gone.iter().for_each(|item| counts.remove(item));
            let mut expected = Counts::default();
            left.iter().for_each(|item| expected.count(item, &filter));
            let found = kept(&counts, &filter).and_then(|tally| of_status(tally, filter.status));
            prop_assert_eq!(found, Some(expected));
        }
    }
}
