//! Which messages a list is asked for.

use std::ops::{Bound, RangeBounds};
use std::time::Duration;

use super::engagement::{Engagement, STATUSES, StatusFilter};
use super::message::{Message, Status};
use super::query::{Query, choices};
use super::span::{self, Span};
use super::trigger::FieldError;
use super::trigger_data::TriggerDataFilter;
use crate::base::clock::Timestamp;
use crate::base::ids::{ChannelId, MessageId, RunId, TriggerId};

/// The most ids that a list is asked for.
pub const MAX_IDS: usize = 50;

/// How far a message's `inserted_at` may lie after the time in its id: an item of a feed gets a millisecond more than the
/// one before it, so that an hour is a burst of 3.6 million items into one feed. A clock that is set back counts too.
const DRIFT: Duration = Duration::from_secs(3_600);

/// Delivery statuses on the wire.
const DELIVERY: [(&str, Status); 7] = [
    ("queued", Status::Queued),
    ("sent", Status::Sent),
    ("delivered", Status::Delivered),
    ("delivery_attempted", Status::DeliveryAttempted),
    ("undelivered", Status::Undelivered),
    ("not_sent", Status::NotSent),
    ("bounced", Status::Bounced),
];

/// Which messages. Empty lists and `None` ask for all.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageFilter {
    tenant: Option<String>,
    channel: Option<ChannelId>,
    delivery: Vec<Status>,
    engagement: Vec<StatusFilter>,
    ids: Option<Vec<MessageId>>,
    categories: Vec<String>,
    workflow: Option<String>,
    /// What they came of.
    pub trigger: Option<TriggerId>,
    /// Which run made them.
    pub run: Option<RunId>,
    /// What the data of the message's trigger must hold.
    pub data: TriggerDataFilter,
    inserted_at: Span,
}

impl MessageFilter {
    /// Reads a query; unknown names are ignored.
    pub fn from_query(query: Query<'_>, errors: &mut Vec<FieldError>) -> Self {
        let text = |name| query.text(name).map(str::to_owned);
        Self {
            tenant: text("tenant"),
            channel: id(query, "channel_id", errors),
            delivery: choices(query, "status", &DELIVERY, errors),
            // The first one is `all`, which messages are not asked for by.
            engagement: choices(query, "engagement_status", &STATUSES[1..], errors),
            ids: query.list("message_ids").next().map(|_| message_ids(query, errors)),
            categories: query.list("workflow_categories").map(str::to_owned).collect(),
            workflow: text("source"),
            trigger: id(query, "workflow_run_id", errors),
            run: id(query, "workflow_recipient_run_id", errors),
            data: TriggerDataFilter::read(query, errors),
            inserted_at: span::inserted_at(query, errors),
        }
    }

    /// The ids that are asked for, if any are.
    pub fn ids(&self) -> Option<&[MessageId]> {
        self.ids.as_deref()
    }

    /// When the ids of all these messages were made, both ends included.
    pub fn made(&self) -> (Timestamp, Timestamp) {
        let edge = |bound| match bound {
            Bound::Included(at) | Bound::Excluded(at) => Some(at),
            Bound::Unbounded => None,
        };
        let first = edge(self.inserted_at.0).map_or(Timestamp::default(), |at| at.minus(DRIFT));
        (first, edge(self.inserted_at.1).unwrap_or(Timestamp::MAX))
    }

    /// Whether `message` is asked for, but for its data and what was done with it.
    pub fn covers(&self, message: &Message) -> bool {
        fn is<T: PartialEq>(wanted: &Option<T>, found: &T) -> bool {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        }
        self.tenant.as_ref().is_none_or(|tenant| message.tenant.as_ref() == Some(tenant))
            && is(&self.channel, &message.channel)
            && is(&self.workflow, &message.workflow)
            && is(&self.trigger, &message.trigger)
            && is(&self.run, &message.run)
            && (self.delivery.is_empty() || self.delivery.contains(&message.status))
            && (self.categories.is_empty() || self.categories.iter().any(|one| message.categories.contains(one)))
            && self.inserted_at.contains(&message.inserted_at)
    }

    /// Whether a message with which this was done is asked for.
    pub fn covers_engagement(&self, done: &Engagement) -> bool {
        self.engagement.is_empty() || self.engagement.iter().any(|status| status.covers(done))
    }
}

fn id<T: std::str::FromStr>(query: Query<'_>, name: &str, errors: &mut Vec<FieldError>) -> Option<T> {
    let text = query.text(name)?;
    let id = text.parse().ok();
    if id.is_none() {
        errors.push(FieldError::new(name, format!("is `{text}`, which is no id: that is a UUID")));
    }
    id
}

/// The ids of a batch, each once. What is no id of ours names no message.
pub fn message_ids(query: Query<'_>, errors: &mut Vec<FieldError>) -> Vec<MessageId> {
    let mut ids: Vec<MessageId> = Vec::new();
    let count = query.list("message_ids").count();
    if count > MAX_IDS {
        let message = format!("has {count} ids; at most {MAX_IDS} are allowed, so send several calls");
        errors.push(FieldError::new("message_ids", message));
        return ids;
    }
    for id in query.list("message_ids").filter_map(|text| text.parse().ok()) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (MessageFilter, Vec<String>) {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut errors = Vec::new();
        let filter = MessageFilter::from_query(Query::new(&pairs), &mut errors);
        (filter, errors.into_iter().map(|error| error.field).collect())
    }

    #[test]
    fn every_fault_of_a_query_is_named() {
        let (_, faults) = read(&[
            ("channel_id", "email"),
            ("status[]", "sent"),
            ("status[]", "lost"),
            ("engagement_status[]", "all"),
            ("workflow_run_id", "x"),
            ("trigger_data", "{\"a\":[]}"),
            ("inserted_at.gte", "yesterday"),
        ]);
        let fields =
            ["channel_id", "status", "engagement_status", "workflow_run_id", "trigger_data", "inserted_at.gte"];
        assert_eq!(faults, fields);
        let many: Vec<_> = (0..=MAX_IDS).map(|_| ("message_ids[]", "x")).collect();
        assert_eq!(read(&many).1, ["message_ids"]);
    }

    #[test]
    fn what_is_said_of_the_time_bounds_the_ids() {
        let at = |text: &str| Timestamp::from_jiff(text.parse().unwrap());
        assert_eq!(read(&[]).0.made(), (Timestamp::default(), Timestamp::MAX));
        let (filter, _) =
            read(&[("inserted_at[gt]", "2026-03-01T00:00:00Z"), ("inserted_at.lt", "2026-04-01T00:00:00Z")]);
        assert_eq!(filter.made(), (at("2026-02-28T23:00:00Z"), at("2026-04-01T00:00:00Z")));
    }
}
