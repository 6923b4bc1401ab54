//! What a feed's listeners are told when it has changed: a `new-message` event with counts, and nothing of the items,
//! which clients read for themselves (`knock-api.md` section 4.4).

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use bytestring::ByteString;
use serde::Serialize;
use serde_json::Value;

use super::counts::counts;
use super::frame;
use super::query::FeedFilter;
use super::subscription::Subscription;
use crate::base::clock::Timestamp;
use crate::base::ids::{ChannelId, SessionId};
use crate::model::feed::FeedEntry;
use crate::model::recipient::RecipientRef;
use crate::store::read::Order;
use crate::store::{Reader, StoreError};

const NEW_MESSAGE: &str = "new-message";

/// The most new items that are looked at one by one; past that everybody is told. 200 are read in about a millisecond.
const MAX_FRESH: usize = 200;

/// One who listens to a feed.
#[derive(Clone, Debug)]
pub struct Listener {
    pub session: SessionId,
    /// As it was joined: a channel has an id and a key.
    pub topic: Arc<str>,
    pub subscription: Arc<Subscription>,
    /// It has been told of all items up to here.
    pub since: Timestamp,
    /// Items that it may show were marked since it was told last.
    pub marked: bool,
}

/// What is to be sent.
#[derive(Debug, Default, PartialEq)]
pub struct Push {
    /// Whoever was asked for has then been told of all items up to here.
    pub until: Timestamp,
    /// All who were asked for; who has nothing new to hear has no frame.
    pub frames: Vec<(SessionId, Option<ByteString>)>,
}

#[derive(Serialize)]
struct NewMessage<'a> {
    event: &'static str,
    /// Whom of the client's feeds it concerns. Never absent: the client walks it unasked.
    attn: Vec<&'a str>,
    /// For clients that know one feed a socket.
    metadata: Option<&'a Value>,
    data: BTreeMap<&'a str, Metadata<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    metadata: Option<&'a Value>,
}

/// The frames for `listeners` of the feed of `user` on `channel`.
pub fn compose(
    reader: &Reader,
    channel: ChannelId,
    user: &RecipientRef,
    listeners: &[Listener],
) -> Result<Push, StoreError> {
    let until = reader.feed_counts(channel, user)?.last_at;
    let Some(since) = listeners.iter().map(|listener| listener.since).min() else {
        return Ok(Push { until, frames: Vec::new() });
    };
    let mut fresh = Vec::new();
    let newer = (Bound::Excluded(since), Bound::Unbounded);
    reader.each_feed_entry(channel, user, newer, Order::NewestFirst, |entry| {
        fresh.push(entry);
        fresh.len() <= MAX_FRESH
    })?;
    let mut counted: HashMap<usize, Value> = HashMap::new();
    let mut shared: HashMap<(&str, usize), ByteString> = HashMap::new();
    let mut frames = Vec::with_capacity(listeners.len());
    for listener in listeners {
        let concerned: Vec<_> =
            listener.subscription.feeds().filter(|(_, filter)| concerns(listener, filter, &fresh)).collect();
        for (_, filter) in &concerned {
            if let Entry::Vacant(vacant) = counted.entry(identity(filter)) {
                vacant.insert(counts(reader, channel, user, filter)?.to_json());
            }
        }
        let encode = || encode(&listener.topic, &concerned, &counted);
        let frame = match concerned.first() {
            None => None,
            // A listener without a name gets the frame of all who share its filter.
            Some((None, filter)) => {
                Some(shared.entry((&listener.topic, identity(filter))).or_insert_with(encode).clone())
            }
            Some((Some(_), _)) => Some(encode()),
        };
        frames.push((listener.session, frame));
    }
    Ok(Push { until, frames })
}

fn encode(topic: &str, concerned: &[(Option<&str>, &Arc<FeedFilter>)], counted: &HashMap<usize, Value>) -> ByteString {
    let named = || concerned.iter().filter_map(|(reference, filter)| Some(((*reference)?, identity(filter))));
    let payload = NewMessage {
        event: NEW_MESSAGE,
        attn: named().map(|(reference, _)| reference).collect(),
        metadata: concerned.first().and_then(|(_, filter)| counted.get(&identity(filter))),
        data: named().map(|(reference, filter)| (reference, Metadata { metadata: counted.get(&filter) })).collect(),
    };
    frame::event(topic, NEW_MESSAGE, &payload)
}

/// Whether what has happened since `listener` was told last is for its feed with this filter.
fn concerns(listener: &Listener, filter: &FeedFilter, fresh: &[FeedEntry]) -> bool {
    listener.marked
        || fresh.len() > MAX_FRESH
        || fresh.iter().any(|entry| entry.inserted_at > listener.since && filter.shows(entry))
}

/// Interned filters are equal when they are one.
fn identity(filter: &Arc<FeedFilter>) -> usize {
    Arc::as_ptr(filter).addr()
}
