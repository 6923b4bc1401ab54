//! Changing many items of a channel's feeds at once: which ones, and in portions that let other writes pass.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::query::{ARCHIVED, ArchivedFilter, FeedFilter, HAS_TENANT};
use crate::base::clock::Timestamp;
use crate::base::ids::ChannelId;
use crate::model::access::Access;
use crate::model::engagement::{STATUSES, StatusFilter};
use crate::model::feed::FeedEntry;
use crate::model::query::{Query, choice, pairs};
use crate::model::recipient::RecipientRef;
use crate::model::span::{instant, span};
use crate::model::trigger::FieldError;
use crate::model::trigger_data::TriggerDataFilter;
use crate::store::op::{Change, MarkFeeds};
use crate::store::read::Order;
use crate::store::{Reader, Store, StoreError};

/// Items of one write. On a busy machine an item took 30 microseconds, so that a portion holds the writer for 8 ms, and
/// a feed of 10,000 items is marked in 0.3 s.
const PORTION: usize = 250;
/// Items of one call: 8 MB of instants, 4,000 writes and about half a minute.
const MAX_ITEMS: usize = 1_000_000;

/// Which items of a channel's feeds.
#[derive(Clone, Debug, PartialEq)]
pub struct BulkFilter {
    /// Of these; `None`: of everybody.
    pub recipients: Option<BTreeSet<RecipientRef>>,
    items: FeedFilter,
    /// False: asked for by a delivery status that no item has, since it is delivered when it is there.
    delivered: bool,
}

/// `delivery_status` on the wire, and whether an item has it.
const DELIVERED: [(&str, bool); 7] = [
    ("queued", false),
    ("sent", false),
    ("delivered", true),
    ("delivery_attempted", false),
    ("undelivered", false),
    ("bounced", false),
    ("not_sent", false),
];

/// Items by whose they are and when they were inserted.
pub type Items = Vec<(RecipientRef, Vec<Timestamp>)>;

/// Why items could not be chosen.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the filters leave more than {MAX_ITEMS} items; narrow them by `user_ids` or `older_than`")]
    TooMany,
}

impl BulkFilter {
    /// Reads a body. Empty strings count as absent, since a client sends them for what is unset.
    pub fn from_json(body: &Map<String, Value>) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let pairs = pairs(body);
        let query = Query::new(&pairs);
        let named = ["user_ids", "recipient_ids"];
        // An empty list names nobody, which is not everybody.
        let restricted = named.iter().any(|name| body.get(*name).is_some_and(Value::is_array));
        let recipients: BTreeSet<_> = named.iter().flat_map(|name| query.list(name)).map(RecipientRef::user).collect();
        let [older, newer] =
            ["older_than", "newer_than"].map(|name| query.text(name).and_then(|text| instant(name, text, &mut errors)));
        let owned = |name| query.list(name).map(str::to_owned).collect();
        let items = FeedFilter {
            status: choice(query, "engagement_status", &STATUSES[1..], &mut errors).unwrap_or(StatusFilter::All),
            archived: choice(query, "archived", &ARCHIVED, &mut errors).unwrap_or(ArchivedFilter::Include),
            tenants: owned("tenants"),
            has_tenant: choice(query, "has_tenant", &HAS_TENANT, &mut errors),
            workflows: owned("workflows"),
            workflow_categories: Vec::new(),
            trigger_data: TriggerDataFilter::read(query, &mut errors),
            inserted_at: span(newer, None, older, None),
            access: Access::Everything,
        };
        let delivered = choice(query, "delivery_status", &DELIVERED, &mut errors).unwrap_or(true);
        let recipients = (restricted || !recipients.is_empty()).then_some(recipients);
        if errors.is_empty() { Ok(Self { recipients, items, delivered }) } else { Err(errors) }
    }

    /// Only what the caller may change.
    pub fn limit(&mut self, access: Access) {
        self.items.access = access;
    }

    fn takes(&self, entry: &FeedEntry, change: Change) -> bool {
        let changes = match change {
            // What has the status already keeps its stamp: a client marks all as seen whenever its feed is opened.
            Change::Take(action) => !entry.engagement.has_taken(action),
            Change::Delete => true,
        };
        changes && self.delivered && self.items.shows(entry)
    }
}

/// The items that `change` would change.
pub fn select(reader: &Reader, channel: ChannelId, filter: &BulkFilter, change: Change) -> Result<Items, BulkError> {
    let recipients = match &filter.recipients {
        Some(named) => named.iter().cloned().collect(),
        None => reader.feed_recipients(channel)?,
    };
    let (mut chosen, mut count) = (Items::new(), 0);
    for recipient in recipients {
        let mut items = Vec::new();
        reader.each_feed_entry(channel, &recipient, filter.items.inserted_at, Order::OldestFirst, |entry| {
            if filter.takes(&entry, change) {
                items.push(entry.inserted_at);
            }
            count + items.len() <= MAX_ITEMS
        })?;
        count += items.len();
        if count > MAX_ITEMS {
            return Err(BulkError::TooMany);
        }
        if !items.is_empty() {
            chosen.push((recipient, items));
        }
    }
    Ok(chosen)
}

/// Changes the items; answers how many. When the process ends in between, some are changed and their counts are right.
pub async fn change(
    store: &Store,
    channel: ChannelId,
    items: Items,
    change: Change,
    at: Timestamp,
) -> Result<u64, StoreError> {
    let mut changed = 0;
    for items in portions(items) {
        changed += store.mark_feeds(MarkFeeds { channel, items, change, at }).await?;
    }
    Ok(changed)
}

/// Cuts items into portions of one write each.
fn portions(items: Items) -> Vec<Items> {
    let (mut portions, mut portion, mut size) = (Vec::new(), Items::new(), 0);
    for (recipient, mut instants) in items {
        while !instants.is_empty() {
            let rest = instants.split_off(instants.len().min(PORTION - size));
            size += instants.len();
            portion.push((recipient.clone(), std::mem::replace(&mut instants, rest)));
            if size == PORTION {
                portions.push(std::mem::take(&mut portion));
                size = 0;
            }
        }
    }
    if !portion.is_empty() {
        portions.push(portion);
    }
    portions
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::base::ids::MessageId;
    use crate::model::engagement::{Action, Engagement};
    use crate::model::trigger_data::TriggerData;

    fn filter(body: Value) -> BulkFilter {
        BulkFilter::from_json(body.as_object().unwrap()).unwrap()
    }

    fn fields(body: Value) -> Vec<String> {
        let errors = BulkFilter::from_json(body.as_object().unwrap()).unwrap_err();
        errors.into_iter().map(|error| error.field).collect()
    }

    fn entry() -> FeedEntry {
        FeedEntry {
            message: MessageId::from([1; 16]),
            workflow: "w".into(),
            categories: Vec::new(),
            tenant: None,
            data: TriggerData::of(json!({"a": 1}).as_object().unwrap()),
            inserted_at: Timestamp::from_millis(1_700_000_000_000),
            engagement: Engagement::default(),
        }
    }

    #[test]
    fn what_a_client_leaves_empty_is_absent_and_an_empty_list_of_people_is_nobody() {
        let swift = json!({"user_ids": ["u"], "engagement_status": "", "tenants": "", "has_tenant": "",
                           "archived": "exclude", "trigger_data": ""});
        assert_eq!(filter(swift), filter(json!({"recipient_ids": ["u"], "archived": "exclude", "older_than": null})));
        assert_eq!(filter(json!({})).recipients, None);
        assert_eq!(filter(json!({"user_ids": []})).recipients, Some(BTreeSet::new()));
        let both = filter(json!({"user_ids": ["u", "v"], "recipient_ids": ["u"]}));
        assert_eq!(both.recipients.unwrap().len(), 2);
    }

    #[test]
    fn every_wrong_filter_is_named() {
        let body = json!({"archived": 1, "has_tenant": "x", "engagement_status": "all", "older_than": "soon",
                          "newer_than": 7, "trigger_data": "{\"a\": []}", "delivery_status": "lost"});
        let expected = [
            "older_than",
            "newer_than",
            "engagement_status",
            "archived",
            "has_tenant",
            "trigger_data",
            "delivery_status",
        ];
        assert_eq!(fields(body), expected);
    }

    #[test]
    fn every_filter_decides() {
        let seen = Change::Take(Action::Seen);
        let cases = [
            (json!({}), true),
            (json!({"engagement_status": "unread"}), true),
            (json!({"engagement_status": "link_clicked"}), false),
            (json!({"archived": "only"}), false),
            (json!({"tenants": ["t"]}), true),
            (json!({"tenants": ["t"], "has_tenant": true}), false),
            (json!({"has_tenant": false}), true),
            (json!({"workflows": ["v", "w"]}), true),
            (json!({"workflows": ["v"]}), false),
            (json!({"trigger_data": "{\"a\": 1}"}), true),
            (json!({"trigger_data": {"a": 2}}), false),
            (json!({"delivery_status": "delivered"}), true),
            (json!({"delivery_status": "bounced"}), false),
            (json!({"older_than": "2023-11-14T22:13:20Z"}), false),
            (json!({"older_than": "2023-11-14T22:13:20.001Z", "newer_than": "2023-11-14T22:13:19Z"}), true),
            (json!({"newer_than": "2023-11-14T22:13:20Z"}), false),
        ];
        for (body, taken) in cases {
            assert_eq!(filter(body.clone()).takes(&entry(), seen), taken, "{body}");
        }
        let mut done = entry();
        done.engagement.take(Action::Seen, done.inserted_at);
        assert!(!filter(json!({})).takes(&done, seen));
        assert!(filter(json!({})).takes(&done, Change::Delete));
        assert_eq!(filter(json!({})).items.inserted_at, (Bound::Unbounded, Bound::Unbounded));
    }

    proptest! {
        #[test]
        fn portions_are_full_and_hold_each_item_once(sizes in prop::collection::vec(1..1_800usize, 0..8)) {
            let items: Items = sizes
                .iter()
                .enumerate()
                .map(|(who, size)| {
                    let instants = (0..*size as i64).map(Timestamp::from_millis).collect();
                    (RecipientRef::user(who.to_string()), instants)
                })
                .collect();
            let portions = portions(items.clone());
            let size = |portion: &Items| portion.iter().map(|(_, items)| items.len()).sum::<usize>();
            if let Some((last, full)) = portions.split_last() {
                prop_assert!(full.iter().all(|portion| size(portion) == PORTION));
                prop_assert!((1..=PORTION).contains(&size(last)));
            }
            let flat = |items: &Items| -> Vec<_> {
                items.iter().flat_map(|(who, items)| items.iter().map(|at| (who.clone(), *at))).collect()
            };
            let all: Vec<_> = portions.iter().flat_map(flat).collect();
            prop_assert_eq!(all, flat(&items));
        }
    }
}
