//! Typed reads over one snapshot: what was committed when the reader began, whatever is written since.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{AccessGuard, Database, Range, ReadTransaction, ReadableDatabase, ReadableTableMetadata};
use serde::de::DeserializeOwned;

use super::StoreError;
use super::bundle::{self, Found};
use super::codec::{decode, unseal};
use super::cohort::{self, Cohort, Waiting};
use super::op::{Idempotent, StoredKey, StoredVersion};
use super::tables::{TableId, feed_key, feed_recipient, item_key, outbox_key, storage};
use crate::base::clock::Timestamp;
use crate::base::deps::panic_text;
use crate::base::ids::{BulkOperationId, ChannelId, MessageId, RunId, TriggerId, VersionId};
use crate::model::bulk_operation::BulkOperation;
use crate::model::engagement::{Engagement, MessageEvent};
use crate::model::feed::{FeedCounts, FeedEntry};
use crate::model::message::{Attempt, Captured, Message, Pending};
use crate::model::page::{From, Page, PageRequest};
use crate::model::recipient::{Recipient, RecipientRef};
use crate::model::run::{EndedRun, KnownRun, Run, RunEvent};
use crate::model::trigger::Trigger;

/// From which end a feed is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    NewestFirst,
    OldestFirst,
}

impl Order {
    pub(super) fn next<T>(self, range: &mut impl DoubleEndedIterator<Item = T>) -> Option<T> {
        match self {
            Self::NewestFirst => range.next_back(),
            Self::OldestFirst => range.next(),
        }
    }

    /// What sorts ids so that the first in this order is the least.
    pub(super) fn rank(self, id: RunId) -> u128 {
        match self {
            Self::NewestFirst => !id.0.as_u128(),
            Self::OldestFirst => id.0.as_u128(),
        }
    }
}

/// One end of a feed's keys; `open` where there is no bound.
fn edge(feed: &[u8], bound: Bound<&Timestamp>, open: Timestamp) -> Bound<Vec<u8>> {
    let key = |at: Timestamp| item_key(feed, at);
    match bound {
        Bound::Included(at) => Bound::Included(key(*at)),
        Bound::Excluded(at) => Bound::Excluded(key(*at)),
        Bound::Unbounded => Bound::Included(key(open)),
    }
}

/// A snapshot.
pub struct Reader(ReadTransaction);

type Entry = (AccessGuard<'static, &'static [u8]>, AccessGuard<'static, &'static [u8]>);

/// The next key and record of `range` in this order.
pub(super) fn next(
    order: Order,
    range: &mut Range<'static, &'static [u8], &'static [u8]>,
) -> Result<Option<Entry>, StoreError> {
    sound(|| order.next(range).transpose())
}

/// What redb reads; it panics at some damaged pages.
fn sound<T>(read: impl FnOnce() -> Result<T, redb::StorageError>) -> Result<T, StoreError> {
    let read = catch_unwind(AssertUnwindSafe(read));
    read.unwrap_or_else(|panic| Err(redb::StorageError::Corrupted(panic_text(panic.as_ref())))).map_err(storage)
}

impl Reader {
    pub(super) fn begin(database: &Database) -> Result<Self, StoreError> {
        database.begin_read().map(Self).map_err(storage)
    }

    pub(super) fn get<T: DeserializeOwned>(&self, table: TableId, key: &[u8]) -> Result<Option<T>, StoreError> {
        let records = self.0.open_table(table.definition()).map_err(storage)?;
        let found = sound(|| records.get(key))?;
        found.map(|record| table.decode(key, record.value())).transpose()
    }

    /// Hands keys and values of `table` from `first` on to `take`, until it answers `false`.
    pub(super) fn walk(
        &self,
        table: TableId,
        first: Bound<&[u8]>,
        take: impl FnMut(&[u8], &[u8]) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        self.walk_within(table, (first, Bound::Unbounded), Order::OldestFirst, take)
    }

    fn each<T: DeserializeOwned>(
        &self,
        table: TableId,
        prefix: &[u8],
        mut take: impl FnMut(T) -> bool,
    ) -> Result<(), StoreError> {
        self.walk(table, Bound::Included(prefix), |key, value| Ok(key.starts_with(prefix) && take(decode(value)?)))
    }

    /// Hands what follows `prefix` in each key to `take`.
    pub(super) fn each_key(
        &self,
        table: TableId,
        prefix: &[u8],
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), StoreError> {
        self.walk(table, Bound::Included(prefix), |key, _| {
            let rest = key.strip_prefix(prefix);
            rest.map(&mut take);
            Ok(rest.is_some())
        })
    }

    /// Hands the keys and values within `span` to `take`, until it answers `false`. What `take` cannot read is told of by
    /// its table and key.
    pub(super) fn walk_within(
        &self,
        table: TableId,
        span: (Bound<&[u8]>, Bound<&[u8]>),
        order: Order,
        mut take: impl FnMut(&[u8], &[u8]) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let mut range = self.range(table, span)?;
        while let Some((key, record)) = next(order, &mut range)? {
            let key = key.value();
            let taken = unseal(table.name(), key, record.value()).and_then(|value| take(key, value));
            if !taken.map_err(|error| error.at(table, key))? {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn all<T: DeserializeOwned>(&self, table: TableId, prefix: &[u8]) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        self.each(table, prefix, |value| {
            found.push(value);
            true
        })?;
        Ok(found)
    }

    /// A page of the records under `prefix`, as `keep` shapes those that it keeps. A cursor is a key without `prefix`,
    /// which ends with a NUL.
    pub(super) fn page<T: DeserializeOwned, U>(
        &self,
        table: TableId,
        prefix: &[u8],
        request: &PageRequest,
        mut keep: impl FnMut(&[u8], T) -> Result<Option<U>, StoreError>,
    ) -> Result<Page<U>, StoreError> {
        let key = |cursor: &[u8]| [prefix, cursor].concat();
        // Behind all keys that go on after the prefix; behind a whole table, as no text begins with that byte.
        let end = match prefix {
            [] => vec![u8::MAX],
            prefix => [prefix.strip_suffix(&[0]).unwrap_or(prefix), &[1]].concat(),
        };
        let (first, last, order) = match &request.from {
            From::Start => (Bound::Included(prefix.to_vec()), end, Order::OldestFirst),
            From::After(cursor) => (Bound::Excluded(key(cursor)), end, Order::OldestFirst),
            From::Before(cursor) => (Bound::Included(prefix.to_vec()), key(cursor), Order::NewestFirst),
        };
        let (first, last) = (first.as_ref().map(Vec::as_slice), Bound::Excluded(last.as_slice()));
        let mut rows = Vec::new();
        self.walk_within(table, (first, last), order, |key, value| {
            let cursor = key.get(prefix.len()..).unwrap_or_default();
            rows.extend(keep(cursor, decode(value)?)?.map(|row| (cursor.to_vec(), row)));
            Ok(rows.len() <= request.size)
        })?;
        Ok(Page::of(rows, request))
    }

    /// A trigger.
    pub fn trigger(&self, id: TriggerId) -> Result<Option<Trigger>, StoreError> {
        let mut found = None;
        self.walk(TableId::Triggers, Bound::Included(id.as_bytes()), |_, bundle| {
            Ok(match bundle::find(bundle, id)? {
                Found::Here(trigger) => {
                    found = Some(trigger);
                    false
                }
                Found::GoOn => true,
                Found::Nowhere => false,
            })
        })?;
        Ok(found)
    }

    /// A run that has not ended.
    pub fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        if let Some(run) = self.get(TableId::Runs, id.as_bytes())? {
            return Ok(Some(run));
        }
        let cohort: Option<Cohort> = self.get(TableId::Cohorts, cohort::key(id).as_bytes())?;
        cohort.map_or(Ok(None), |cohort| cohort.run(id))
    }

    /// A run, whether it has ended or not.
    pub fn known_run(&self, id: RunId) -> Result<Option<KnownRun>, StoreError> {
        match self.run(id)? {
            Some(run) => Ok(Some(KnownRun::Pending(run))),
            None => Ok(self.ended_run(id)?.map(KnownRun::Ended)),
        }
    }

    /// A run that has ended.
    pub fn ended_run(&self, id: RunId) -> Result<Option<EndedRun>, StoreError> {
        self.get(TableId::EndedRuns, id.as_bytes())
    }

    /// Hands every pending run to `take`, oldest first.
    pub fn each_run(&self, mut take: impl FnMut(Run)) -> Result<(), StoreError> {
        self.each_run_after(None, |run| {
            take(run);
            true
        })
    }

    /// Hands what the registry knows of every pending run to `take`: those that have gone on, and then
    /// those that have not.
    pub fn each_waiting(&self, mut take: impl FnMut(Waiting)) -> Result<(), StoreError> {
        self.each(TableId::Runs, &[], |run| {
            take(run);
            true
        })?;
        self.each(TableId::Cohorts, &[], |cohort: Cohort| {
            cohort.waiting().for_each(&mut take);
            true
        })
    }

    /// Hands every pending run that is younger than `after` to `take`, oldest first, until it answers `false`.
    pub fn each_run_after(&self, after: Option<RunId>, mut take: impl FnMut(Run) -> bool) -> Result<(), StoreError> {
        let mut alone = self.after::<Run>(TableId::Runs, after.map(|id| *id.as_bytes()))?.peekable();
        // The cohort in which `after` is, or would be, may hold younger ones.
        let before = after.map(|id| (cohort::key(id).0.as_u128().saturating_sub(1)).to_be_bytes());
        let cohorts = self.after::<Cohort>(TableId::Cohorts, before)?;
        let mut fresh = cohorts.flat_map(|cohort| match cohort {
            Ok(cohort) => cohort.runs().collect(),
            Err(error) => vec![Err(error)],
        });
        let mut fresh = fresh.by_ref().filter(|run| run.as_ref().map_or(true, |run| Some(run.id) > after)).peekable();
        loop {
            let next = match (alone.peek(), fresh.peek()) {
                (Some(Ok(one)), Some(Ok(other))) if other.id < one.id => fresh.next(),
                (Some(_), _) => alone.next(),
                (None, _) => fresh.next(),
            };
            let Some(run) = next.transpose()? else { return Ok(()) };
            if !take(run) {
                return Ok(());
            }
        }
    }

    /// The values of `table` whose keys come after `key`.
    fn after<T: DeserializeOwned>(
        &self,
        table: TableId,
        key: Option<[u8; 16]>,
    ) -> Result<impl Iterator<Item = Result<T, StoreError>> + use<T>, StoreError> {
        let first = key.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(key.as_slice()));
        let mut range = self.range(table, (first, Bound::Unbounded))?;
        let records = std::iter::from_fn(move || next(Order::OldestFirst, &mut range).transpose());
        Ok(records.map(move |entry| entry.and_then(|(key, record)| table.decode(key.value(), record.value()))))
    }

    pub(super) fn range(
        &self,
        table: TableId,
        span: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> Result<Range<'static, &'static [u8], &'static [u8]>, StoreError> {
        let table = self.0.open_table(table.definition()).map_err(storage)?;
        sound(|| table.range::<&[u8]>(span))
    }

    /// The pending run that was made first.
    pub fn oldest_run(&self) -> Result<Option<RunId>, StoreError> {
        let mut oldest = None;
        self.each_run_after(None, |run| {
            oldest = Some(run.id);
            false
        })?;
        Ok(oldest)
    }

    /// Every ended run, oldest first.
    pub fn ended_runs(&self) -> Result<Vec<EndedRun>, StoreError> {
        self.all(TableId::EndedRuns, &[])
    }

    /// What happened to a run, in order.
    pub fn run_events(&self, id: RunId) -> Result<Vec<RunEvent>, StoreError> {
        let begun = self.known_run(id)?.and_then(|known| known.run().begun.clone());
        let mut events = Vec::from_iter(begun);
        events.extend(self.all(TableId::RunEvents, id.as_bytes())?);
        Ok(events)
    }

    /// A user, object or tenant.
    pub fn recipient(&self, reference: &RecipientRef) -> Result<Option<Recipient>, StoreError> {
        self.get(TableId::Recipients, &reference.key())
    }

    /// A message.
    pub fn message(&self, id: MessageId) -> Result<Option<Message>, StoreError> {
        self.get(TableId::Messages, id.as_bytes())
    }

    /// Every message, oldest first.
    pub fn messages(&self) -> Result<Vec<Message>, StoreError> {
        self.all(TableId::Messages, &[])
    }

    /// What was done with a message.
    pub fn engagement(&self, message: &Message) -> Result<Engagement, StoreError> {
        let key = item_key(&feed_key(message.channel, &message.recipient), message.inserted_at);
        let item: Option<FeedEntry> = self.get(TableId::Feed, &key)?;
        match item.filter(|entry| entry.message == message.id) {
            Some(entry) => Ok(entry.engagement),
            None => Ok(self.get(TableId::Engagements, message.id.as_bytes())?.unwrap_or_default()),
        }
    }

    /// What was done with a message, action by action.
    pub fn message_events(&self, id: MessageId) -> Result<Vec<MessageEvent>, StoreError> {
        self.all(TableId::MessageEvents, id.as_bytes())
    }

    /// A bulk operation that is done.
    pub fn bulk_operation(&self, id: BulkOperationId) -> Result<Option<BulkOperation>, StoreError> {
        self.get(TableId::BulkOperations, id.as_bytes())
    }

    /// The attempts to send a message, in order.
    pub fn attempts(&self, id: MessageId) -> Result<Vec<Attempt>, StoreError> {
        self.all(TableId::Attempts, id.as_bytes())
    }

    /// Hands every message that is still to be sent to `take`, until it answers `false`.
    pub fn each_pending(&self, take: impl FnMut(Pending) -> bool) -> Result<(), StoreError> {
        self.each(TableId::Outbox, &[], take)
    }

    /// How many messages are still to be sent.
    pub fn outbox_len(&self) -> Result<u64, StoreError> {
        self.0.open_table(TableId::Outbox.definition()).map_err(storage)?.len().map_err(storage)
    }

    /// Everybody who has a feed on `channel`.
    pub fn feed_recipients(&self, channel: ChannelId) -> Result<Vec<RecipientRef>, StoreError> {
        let mut found = Vec::new();
        self.walk(TableId::FeedCounts, Bound::Included(channel.as_bytes()), |key, _| {
            let Some(feed) = key.strip_prefix(channel.as_bytes()) else { return Ok(false) };
            found.push(feed_recipient(feed).ok_or_else(|| StoreError::damaged("a feed belongs to nobody"))?);
            Ok(true)
        })?;
        Ok(found)
    }

    /// The counts of a whole feed without its archived items.
    pub fn feed_counts(&self, channel: ChannelId, recipient: &RecipientRef) -> Result<FeedCounts, StoreError> {
        Ok(self.get(TableId::FeedCounts, &feed_key(channel, recipient))?.unwrap_or_default())
    }

    /// Hands the entries of a feed that were inserted within `span` to `take`, until it answers `false`.
    pub fn each_feed_entry(
        &self,
        channel: ChannelId,
        recipient: &RecipientRef,
        span: impl RangeBounds<Timestamp>,
        order: Order,
        mut take: impl FnMut(FeedEntry) -> bool,
    ) -> Result<(), StoreError> {
        let feed = feed_key(channel, recipient);
        let first = edge(&feed, span.start_bound(), Timestamp::default());
        let last = edge(&feed, span.end_bound(), Timestamp::MAX);
        let span = (first.as_ref().map(Vec::as_slice), last.as_ref().map(Vec::as_slice));
        self.walk_within(TableId::Feed, span, order, |_, entry| Ok(take(decode(entry)?)))
    }

    /// The answer that is kept for an idempotency key.
    pub fn idempotent(&self, key: &[u8; 32]) -> Result<Option<Idempotent>, StoreError> {
        self.get(TableId::Idempotency, key)
    }

    /// A workflow's document as runs know it.
    pub fn version(&self, id: VersionId) -> Result<Option<StoredVersion>, StoreError> {
        self.get(TableId::Versions, id.as_bytes())
    }

    /// Until when a message that was made waits before it is sent first: for its window to open.
    pub fn held_until(&self, message: &Message) -> Result<Option<Timestamp>, StoreError> {
        let pending: Option<Pending> = self.get(TableId::Outbox, &outbox_key(message.run, message.id))?;
        Ok(pending
            .filter(|pending| pending.attempts == 0 && pending.due > message.inserted_at)
            .map(|pending| pending.due))
    }

    /// The workflows that were switched off or on.
    pub fn switches(&self) -> Result<BTreeMap<String, bool>, StoreError> {
        let mut found = BTreeMap::new();
        self.walk(TableId::Switches, Bound::Unbounded, |key, active| {
            found.insert(String::from_utf8_lossy(key).into_owned(), decode(active)?);
            Ok(true)
        })?;
        Ok(found)
    }

    /// The version of a workflow that was published last.
    pub fn published(&self, key: &str) -> Result<Option<VersionId>, StoreError> {
        self.get(TableId::Published, key.as_bytes())
    }

    /// Every API key at rest, by hash.
    pub fn keys(&self) -> Result<Vec<([u8; 32], StoredKey)>, StoreError> {
        let mut found = Vec::new();
        self.walk(TableId::Keys, Bound::Unbounded, |key, value| {
            if let Ok(hash) = key.try_into() {
                found.push((hash, decode(value)?));
            }
            Ok(true)
        })?;
        Ok(found)
    }

    /// The random bytes that are kept under `name`.
    pub fn secret(&self, name: &str) -> Result<Option<[u8; 32]>, StoreError> {
        self.get(TableId::Secrets, name.as_bytes())
    }

    /// One captured mail.
    pub fn captured(&self, id: MessageId) -> Result<Option<Captured>, StoreError> {
        self.get(TableId::Mailbox, id.as_bytes())
    }

    /// Captured mail, oldest first.
    pub fn mailbox(&self) -> Result<Vec<Captured>, StoreError> {
        self.all(TableId::Mailbox, &[])
    }
}
