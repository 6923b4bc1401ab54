//! Applies what readers do with messages. The item, its feed's counts and the event are one commit, so that a badge never
//! drifts from what it counts.

use serde_json::{Map, Value};

use super::op::{Change, Done, Mark, MarkFeeds, Marked};
use super::tables::{TableId, Tables, feed_key, item_key, numbered};
use super::{StoreError, waits};
use crate::base::clock::Timestamp;
use crate::base::ids::{ChannelId, MessageId};
use crate::model::engagement::{Action, Engagement, MessageEvent};
use crate::model::feed::{FeedCounts, FeedEntry};
use crate::model::message::Message;
use crate::model::recipient::RecipientRef;

/// A feed whose items are being written. Its counts are read once and written once, whatever lies between.
pub struct Feed {
    key: Vec<u8>,
    pub counts: FeedCounts,
}

impl Feed {
    /// Begins.
    pub fn open(tables: &mut Tables<'_>, channel: ChannelId, recipient: &RecipientRef) -> Result<Self, StoreError> {
        let key = feed_key(channel, recipient);
        let counts = tables.get(TableId::FeedCounts, &key)?.unwrap_or_default();
        Ok(Self { key, counts })
    }

    /// Puts a new item in.
    pub fn add(&mut self, tables: &mut Tables<'_>, entry: &FeedEntry) -> Result<(), StoreError> {
        self.counts.add(entry);
        tables.put(TableId::Feed, &item_key(&self.key, entry.inserted_at), entry)
    }

    /// The item that was inserted at `at`.
    pub fn item(&self, tables: &mut Tables<'_>, at: Timestamp) -> Result<Option<FeedEntry>, StoreError> {
        tables.get(TableId::Feed, &item_key(&self.key, at))
    }

    /// Takes an item out.
    pub fn take_out(&mut self, tables: &mut Tables<'_>, entry: &FeedEntry) -> Result<(), StoreError> {
        self.counts.remove(entry);
        tables.remove(TableId::Feed, &item_key(&self.key, entry.inserted_at))
    }

    /// Takes an item out whose message stays: what was done with it stays known.
    fn remove(&mut self, tables: &mut Tables<'_>, entry: &FeedEntry) -> Result<(), StoreError> {
        tables.put(TableId::Engagements, entry.message.as_bytes(), &entry.engagement)?;
        self.take_out(tables, entry)
    }

    /// Ends.
    pub fn close(self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        tables.put(TableId::FeedCounts, &self.key, &self.counts)
    }

    /// Ends, and leaves nothing behind of a feed without items.
    pub fn close_or_drop(self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        let is_empty = self.counts.shown.total == 0
            && tables.some_with_prefix::<FeedEntry>(TableId::Feed, &self.key, &self.key, 1)?.is_empty();
        if is_empty { tables.remove(TableId::FeedCounts, &self.key) } else { self.close(tables) }
    }
}

/// What is done, when, and what the client says of it.
struct Deed<'a> {
    action: Action,
    at: Timestamp,
    data: &'a Option<Map<String, Value>>,
}

impl Deed<'_> {
    fn on_item(
        &self,
        tables: &mut Tables<'_>,
        feed: &mut Feed,
        mut entry: FeedEntry,
    ) -> Result<Engagement, StoreError> {
        feed.counts.remove(&entry);
        self.on(tables, entry.message, &mut entry.engagement)?;
        feed.add(tables, &entry)?;
        Ok(entry.engagement)
    }

    fn on(&self, tables: &mut Tables<'_>, message: MessageId, to: &mut Engagement) -> Result<(), StoreError> {
        to.take(self.action, self.at);
        let event = MessageEvent { action: self.action, at: self.at, data: self.data.clone() };
        tables.put(TableId::MessageEvents, &numbered(message.as_bytes(), to.actions), &event)?;
        waits::message_marked(tables, message, &event)
    }
}

/// What was done with a message.
pub fn engagement(tables: &mut Tables<'_>, message: &Message) -> Result<Engagement, StoreError> {
    let feed = Feed::open(tables, message.channel, &message.recipient)?;
    match feed.item(tables, message.inserted_at)?.filter(|entry| entry.message == message.id) {
        Some(entry) => Ok(entry.engagement),
        None => Ok(tables.get(TableId::Engagements, message.id.as_bytes())?.unwrap_or_default()),
    }
}

/// Takes an action on messages of any channel.
pub fn mark(tables: &mut Tables<'_>, mark: &Mark) -> Result<Done, StoreError> {
    let deed = Deed { action: mark.action, at: mark.at, data: &mark.data };
    let mut marked = Vec::with_capacity(mark.messages.len());
    for id in &mark.messages {
        let message: Option<Message> = tables.get(TableId::Messages, id.as_bytes())?;
        let Some(message) = message else { continue };
        let mut feed = Feed::open(tables, message.channel, &message.recipient)?;
        let item = feed.item(tables, message.inserted_at)?.filter(|entry| entry.message == *id);
        let engagement = match item {
            Some(entry) => {
                let engagement = deed.on_item(tables, &mut feed, entry)?;
                feed.close(tables)?;
                engagement
            }
            None => {
                let mut engagement = tables.get(TableId::Engagements, id.as_bytes())?.unwrap_or_default();
                deed.on(tables, *id, &mut engagement)?;
                tables.put(TableId::Engagements, id.as_bytes(), &engagement)?;
                engagement
            }
        };
        marked.push(Marked { message, engagement });
    }
    Ok(Done::Marked(marked))
}

/// Changes items of a channel's feeds. Those that are gone by now are left out.
pub fn mark_feeds(tables: &mut Tables<'_>, mark: &MarkFeeds) -> Result<Done, StoreError> {
    let mut changed = 0;
    for (recipient, items) in &mark.items {
        let mut feed = Feed::open(tables, mark.channel, recipient)?;
        for at in items {
            let Some(entry) = feed.item(tables, *at)? else { continue };
            match mark.change {
                Change::Take(action) => {
                    Deed { action, at: mark.at, data: &None }.on_item(tables, &mut feed, entry)?;
                }
                Change::Delete => feed.remove(tables, &entry)?,
            }
            changed += 1;
        }
        feed.close(tables)?;
    }
    Ok(Done::Changed(changed))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::op::{NewMessage, Release, Trim};
    use super::super::read::Order;
    use super::super::tests::{Bench, FEED, START};
    use super::*;
    use crate::base::ids::RunId;
    use crate::model::message::Status;
    use crate::model::trigger_data::TriggerData;

    const READERS: [&str; 3] = ["ann", "anna", "bob"];

    #[derive(Clone, Debug)]
    enum Step {
        /// Into the feed of a reader, or nowhere.
        Publish {
            reader: usize,
            feed: bool,
        },
        Mark {
            messages: Vec<u8>,
            action: Action,
        },
        /// Items by their number among all items, of whomever they are.
        MarkFeeds {
            items: Vec<u8>,
            change: Change,
        },
        /// Messages go, as those do that are past their time.
        Trim {
            messages: Vec<u8>,
        },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let action = || prop::sample::select(&Action::ALL[..]);
        let some = || prop::collection::vec(1..14u8, 0..6);
        let change = prop_oneof![4 => action().prop_map(Change::Take), 1 => Just(Change::Delete)];
        let step = prop_oneof![
            3 => (0..READERS.len(), prop::bool::weighted(0.9)).prop_map(|(reader, feed)| Step::Publish { reader, feed }),
            3 => (some(), action()).prop_map(|(messages, action)| Step::Mark { messages, action }),
            2 => (some(), change).prop_map(|(items, change)| Step::MarkFeeds { items, change }),
            1 => some().prop_map(|messages| Step::Trim { messages }),
        ];
        prop::collection::vec(step, 1..30)
    }

    /// A message as the model knows it.
    #[derive(Debug)]
    struct Known {
        reader: usize,
        in_feed: bool,
        trimmed: bool,
        engagement: Engagement,
    }

    fn id(number: u8) -> MessageId {
        MessageId::from([number; 16])
    }

    async fn play(bench: &Bench, steps: &[Step]) -> Vec<Known> {
        let channel = ChannelId::from(FEED);
        let mut known: Vec<Known> = Vec::new();
        for (second, step) in (1i64..).zip(steps) {
            let at = Timestamp::from_millis(START.as_millis() + second * 1_000);
            match step {
                Step::Publish { reader, feed: in_feed } => {
                    let number = u8::try_from(known.len() + 1).unwrap();
                    let vary = |message: Message| Message {
                        workflow: ["w", "v"][known.len() % 2].into(),
                        tenant: known.len().is_multiple_of(3).then(|| "t".into()),
                        categories: ["c".to_owned()].into_iter().take(known.len() % 5).collect(),
                        ..message
                    };
                    let place = |message| match in_feed {
                        true => NewMessage::Feed(message, TriggerData::default()),
                        false => NewMessage::Keep(message),
                    };
                    bench.publish(number, READERS[*reader], |message| place(vary(message))).await;
                    known.push(Known {
                        reader: *reader,
                        in_feed: *in_feed,
                        trimmed: false,
                        engagement: Engagement::default(),
                    });
                }
                Step::Mark { messages, action } => {
                    let mark =
                        Mark { messages: messages.iter().map(|n| id(*n)).collect(), action: *action, data: None, at };
                    let marked = bench.store.mark(mark).await.unwrap();
                    let is_there = |n: &u8| known.get(usize::from(*n) - 1).is_some_and(|one| !one.trimmed);
                    let found: Vec<u8> = messages.iter().copied().filter(is_there).collect();
                    assert_eq!(marked.len(), found.len());
                    for (number, marked) in found.into_iter().zip(marked) {
                        let known = &mut known[usize::from(number) - 1];
                        known.engagement.take(*action, at);
                        assert_eq!((marked.message.id, marked.engagement), (id(number), known.engagement));
                    }
                }
                Step::MarkFeeds { items, change } => {
                    let reader = bench.store.read().unwrap();
                    let mut named = vec![(RecipientRef::user("nobody"), vec![START])];
                    let mut expected = 0;
                    for number in items {
                        let Some(known) = known.get_mut(usize::from(*number) - 1).filter(|one| !one.trimmed) else {
                            continue;
                        };
                        let message = reader.message(id(*number)).unwrap().unwrap();
                        if !known.in_feed {
                            // Its instant may be that of another message's item.
                            continue;
                        }
                        named.push((message.recipient, vec![message.inserted_at]));
                        expected += 1;
                        match change {
                            Change::Take(action) => known.engagement.take(*action, at),
                            Change::Delete => known.in_feed = false,
                        }
                    }
                    let mark = MarkFeeds { channel, items: named, change: *change, at };
                    assert_eq!(bench.store.mark_feeds(mark).await.unwrap(), expected);
                }
                Step::Trim { messages } => {
                    let mut expected = 0;
                    for number in messages {
                        let Some(known) = known.get_mut(usize::from(*number) - 1) else { continue };
                        expected += u64::from(!known.trimmed);
                        (known.trimmed, known.in_feed) = (true, false);
                    }
                    let messages = messages.iter().map(|number| id(*number)).collect();
                    assert_eq!(bench.store.trim(Trim::Messages(messages)).await, Ok(expected));
                }
            }
        }
        known
    }

    fn check(bench: &Bench, known: &[Known]) {
        let (reader, channel) = (bench.store.read().unwrap(), ChannelId::from(FEED));
        for (which, name) in READERS.iter().enumerate() {
            let user = RecipientRef::user(*name);
            let mut items = Vec::new();
            let mut recount = FeedCounts::default();
            reader
                .each_feed_entry(channel, &user, .., Order::OldestFirst, |entry| {
                    recount.add(&entry);
                    items.push((entry.message, entry.engagement));
                    true
                })
                .unwrap();
            let expected: Vec<_> = (1..).zip(known).filter(|(_, one)| one.in_feed && one.reader == which).collect();
            let expected: Vec<_> = expected.into_iter().map(|(number, one)| (id(number), one.engagement)).collect();
            assert_eq!(items, expected);
            let counts = reader.feed_counts(channel, &user).unwrap();
            assert!(counts.agrees(&recount), "{counts:?} are not {recount:?}");
        }
        for (number, one) in (1..).zip(known) {
            let message = reader.message(id(number)).unwrap();
            assert_eq!(message.is_none(), one.trimmed);
            let Some(message) = message else {
                assert!(reader.message_events(id(number)).unwrap().is_empty());
                continue;
            };
            assert_eq!(reader.engagement(&message).unwrap(), one.engagement);
            assert_eq!(reader.message_events(message.id).unwrap().len(), one.engagement.actions as usize);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn counts_never_drift_from_the_items_whatever_is_done_in_whatever_order(steps in steps()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let bench = Bench::new();
            let known = runtime.block_on(play(&bench, &steps));
            check(&bench, &known);
            check(&bench.reopen(), &known);
        }
    }

    #[tokio::test]
    async fn what_was_held_comes_into_the_feed_once_with_what_was_done_with_it() {
        let (bench, channel) = (Bench::new(), ChannelId::from(FEED));
        let until = START.plus(Duration::from_secs(60));
        bench.publish(1, "ann", |message| NewMessage::Hold(message, TriggerData::default(), until)).await;
        let ann = RecipientRef::user("ann");
        let seen = Mark { messages: vec![id(1)], action: Action::Seen, data: None, at: START };
        bench.store.mark(seen).await.unwrap();
        assert_eq!(bench.store.trim(Trim::Messages(vec![id(1)])).await, Ok(0), "it is still to come");
        let bench = bench.reopen();
        let release = Release { run: RunId::from([1; 16]), message: id(1), at: until };
        assert_eq!(bench.store.release(release).await, Ok(Some(ann.clone())));
        assert_eq!(bench.store.release(release).await, Ok(None), "it is told twice");
        let reader = bench.store.read().unwrap();
        let counts = reader.feed_counts(channel, &ann).unwrap();
        assert_eq!((counts.shown.total, counts.shown.unseen, counts.last_at), (1, 0, until));
        let message = reader.message(id(1)).unwrap().unwrap();
        assert_eq!((message.status, message.inserted_at), (Status::Delivered, until));
        assert!(reader.engagement(&message).unwrap().seen_at.is_some());
    }

    #[tokio::test]
    async fn everybody_with_a_feed_is_found() {
        let bench = Bench::new();
        for (number, name) in (1..).zip(READERS) {
            bench.publish(number, name, |message| NewMessage::Feed(message, TriggerData::default())).await;
        }
        let reader = bench.store.read().unwrap();
        assert_eq!(reader.feed_recipients(ChannelId::from(FEED)).unwrap(), READERS.map(RecipientRef::user));
        assert!(reader.feed_recipients(ChannelId::from([8; 16])).unwrap().is_empty());
    }
}
