//! The tables and their keys. All hold bytes only; keys sort as their fields do.

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::codec::{decode, encode, seal, unseal};
use super::op::Hastened;
use crate::base::clock::Timestamp;
use crate::base::ids::{ChannelId, MessageId, RunId};
use crate::model::recipient::{Recipient, RecipientRef};

/// A table of bytes.
pub type Bytes = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// Declares the tables from one list: which there are, and how each is called in the file.
macro_rules! tables {
    ($($(#[$doc:meta])* $id:ident = $name:literal),+ $(,)?) => {
        /// Which table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum TableId {
            $($(#[$doc])* $id),+
        }

        impl TableId {
            /// Every table.
            pub const ALL: &'static [Self] = &[$(Self::$id),+];

            /// Its name in the file.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$id => $name),+
                }
            }
        }
    };
}

tables! {
    /// Facts about the file: `schema`.
    Meta = "meta",
    /// The last TriggerId of a bundle: its triggers.
    Triggers = "triggers",
    /// RunId: Run. Only runs that have not ended; rewritten at each step.
    Runs = "runs",
    /// RunId: EndedRun.
    EndedRuns = "ended_runs",
    /// RunId, number: RunEvent.
    RunEvents = "run_events",
    /// Collection, NUL, id: Recipient.
    Recipients = "recipients",
    /// MessageId: Message.
    Messages = "messages",
    /// MessageId, number: Attempt.
    Attempts = "attempts",
    /// RunId, MessageId: Pending. Found by run, so that a cancel finds what is queued.
    Outbox = "outbox",
    /// Feed, instant: FeedEntry.
    Feed = "feed",
    /// Feed: FeedCounts.
    FeedCounts = "feed_counts",
    /// MessageId: Engagement. Only of messages that lie in no feed; an item's stands in its entry.
    Engagements = "engagements",
    /// MessageId, number: MessageEvent. What readers did with it.
    MessageEvents = "message_events",
    /// BulkOperationId: BulkOperation.
    BulkOperations = "bulk_operations",
    /// Hash of the key: Idempotent.
    Idempotency = "idempotency",
    /// Instant, hash of the key: nothing. Oldest first, for trimming.
    IdempotencyAge = "idempotency_age",
    /// VersionId: the workflow's document.
    Versions = "versions",
    /// A workflow's key: the VersionId that was published last.
    Published = "published",
    /// A workflow's key: whether it was switched on or off.
    Switches = "switches",
    /// Hash of the API key: StoredKey.
    Keys = "keys",
    /// A name: 32 random bytes that this server keeps to itself.
    Secrets = "secrets",
    /// An address: Suppression.
    Suppressions = "suppressions",
    /// MessageId: Captured.
    Mailbox = "mailbox",
    /// The RunId of its first: Cohort.
    Cohorts = "cohorts",
    /// Collection, NUL, id, NUL, and a MessageId, or the highest byte and a RunId: nothing. A recipient's messages, and
    /// those of its runs that have gone on since they were accepted, oldest first. In one table, since a step that makes
    /// a message writes both: they lie on one page.
    HistoryOf = "messages_of",
    /// Hash of a name, NUL, id: nothing. Of the tenants.
    TenantNames = "tenant_names",
    /// Collection, NUL, id: Timestamp. Who was deleted, and when: older runs end.
    Deleted = "deleted",
    /// Collection, NUL, id: Removal. Who was deleted and left something that is still to be removed.
    Removals = "removals",
    /// Collection, NUL, id, NUL, the set's id: PreferenceSet.
    Preferences = "preferences",
    /// Collection, NUL, id, NUL, ChannelId: ChannelData.
    ChannelData = "channel_data",
    /// The object's collection, NUL, id, NUL, the subscriber's: Subscription.
    Subscriptions = "subscriptions",
    /// The subscriber's collection, NUL, id, NUL, the object's: nothing.
    SubscribedTo = "subscribed_to",
    /// TriggerId: FanOut. Only of those that are going on.
    FanOuts = "fan_outs",
    /// TriggerId, collection, NUL, id: nothing. Who has a run of a trigger that is spreading.
    Reached = "reached",
    /// Collection, NUL, id, NUL, hash of a workflow: nothing. Who began what begins once.
    Begun = "begun",
    /// Hash of a throttle and who it is for: its window.
    Throttles = "throttles",
    /// Instant, that hash: nothing. The windows by their ends, for trimming.
    ThrottleEnds = "throttle_ends",
    /// Collection, NUL, id, NUL, hash of what else the items of a batch share: Open.
    OpenBatches = "open_batches",
    /// Instant, such a key: nothing. The windows without a batch by their ends, for trimming.
    LeadingEnds = "leading_ends",
    /// The RunId that goes on for it, number: Batch.
    Batches = "batches",
    /// RunId and number of a batch, number: Item.
    BatchItems = "batch_items",
    /// RunId and number of a batch, collection, NUL, id: how many of its items are of this actor.
    BatchActors = "batch_actors",
    /// Hash of a cancellation key, RunId: Place. Of the runs that joined a batch.
    BatchCancels = "batch_cancels",
    /// RunId: Wait. What a run waits for.
    Waits = "waits",
    /// What is awaited, collection, NUL, id, NUL, RunId: nothing. Who waits for an event.
    Awaited = "awaited",
    /// ScheduleId: Schedule.
    Schedules = "schedules",
    /// Collection, NUL, id, NUL, ScheduleId: nothing. Of a recipient.
    SchedulesOf = "schedules_of",
    /// A workflow's key, NUL, ScheduleId: nothing.
    SchedulesBy = "schedules_by",
    /// Instant, ScheduleId: nothing. When each comes next.
    SchedulesDue = "schedules_due",
    /// An audience's key: when it was last added to.
    Audiences = "audiences",
    /// An audience's key, NUL, collection, NUL, id, NUL, tenant: Member.
    Members = "members",
    /// Collection, NUL, id, NUL, an audience's key, NUL, tenant: nothing. Of a user.
    AudiencesOf = "audiences_of",
}

/// The secret that links in messages are signed with.
pub const LINK_KEY: &str = "links";

const COUNT: usize = TableId::ALL.len();

impl TableId {
    /// How redb knows it.
    pub fn definition(self) -> Bytes {
        TableDefinition::new(self.name())
    }

    /// The value of `record`, which lies at `key`.
    pub fn decode<'a, T: Deserialize<'a>>(self, key: &[u8], record: &'a [u8]) -> Result<T, StoreError> {
        unseal(self.name(), key, record).and_then(decode).map_err(|error| error.at(self, key))
    }
}

/// The tables of one write transaction, opened when first used.
pub struct Tables<'txn> {
    txn: &'txn WriteTransaction,
    open: [Option<Table<'txn, &'static [u8], &'static [u8]>>; COUNT],
    /// The runs whose events came: they are told once this is durable.
    pub woken: Vec<Hastened>,
}

impl<'txn> Tables<'txn> {
    /// Nothing is opened yet.
    pub fn new(txn: &'txn WriteTransaction) -> Self {
        Self { txn, open: [const { None }; COUNT], woken: Vec::new() }
    }

    /// Opens all, which creates those that are missing: a reader finds every table from the first commit on.
    pub fn open_all(&mut self) -> Result<(), StoreError> {
        TableId::ALL.iter().try_for_each(|table| self.at(*table).map(|_| ()))
    }

    fn at(&mut self, table: TableId) -> Result<&mut Table<'txn, &'static [u8], &'static [u8]>, StoreError> {
        let slot = &mut self.open[table as usize];
        match slot {
            Some(table) => Ok(table),
            None => Ok(slot.insert(self.txn.open_table(table.definition()).map_err(storage)?)),
        }
    }

    /// The value at `key`.
    pub fn get<T: DeserializeOwned>(&mut self, table: TableId, key: &[u8]) -> Result<Option<T>, StoreError> {
        let found = self.at(table)?.get(key).map_err(storage)?;
        found.map(|record| table.decode(key, record.value())).transpose()
    }

    /// Sets the value at `key`.
    pub fn put<T: Serialize>(&mut self, table: TableId, key: &[u8], value: &T) -> Result<(), StoreError> {
        let bytes = encode(value)?;
        self.put_encoded(table, key, &bytes)
    }

    /// Sets the value at `key` to one that was encoded before.
    pub fn put_encoded(&mut self, table: TableId, key: &[u8], bytes: &[u8]) -> Result<(), StoreError> {
        self.at(table)?.insert(key, seal(table.name(), key, bytes).as_slice()).map_err(storage)?;
        Ok(())
    }

    /// Removes the value at `key`, if there is one.
    pub fn remove(&mut self, table: TableId, key: &[u8]) -> Result<(), StoreError> {
        self.at(table)?.remove(key).map_err(storage)?;
        Ok(())
    }

    /// Removes the first values of `table`, of keys below `below` and `at_most` so many; answers how many.
    pub fn remove_first(&mut self, table: TableId, below: &[u8], at_most: usize) -> Result<u64, StoreError> {
        let mut removed = 0;
        for _ in 0..at_most {
            match self.first_key(table)? {
                Some(key) if key.as_slice() < below => self.remove(table, &key)?,
                _ => break,
            }
            removed += 1;
        }
        Ok(removed)
    }

    /// All keys and values whose key starts with `prefix`.
    pub fn with_prefix<T: DeserializeOwned>(
        &mut self,
        table: TableId,
        prefix: &[u8],
    ) -> Result<Vec<(Vec<u8>, T)>, StoreError> {
        self.some_with_prefix(table, prefix, prefix, usize::MAX)
    }

    /// The first `most` of those keys and values that are not before `from`.
    pub fn some_with_prefix<T: DeserializeOwned>(
        &mut self,
        table: TableId,
        prefix: &[u8],
        from: &[u8],
        most: usize,
    ) -> Result<Vec<(Vec<u8>, T)>, StoreError> {
        let mut found = Vec::new();
        for entry in self.at(table)?.range(from.max(prefix)..).map_err(storage)?.take(most) {
            let (key, value) = entry.map_err(storage)?;
            if !key.value().starts_with(prefix) {
                break;
            }
            found.push((key.value().to_vec(), table.decode(key.value(), value.value())?));
        }
        Ok(found)
    }

    /// Removes all values whose key starts with `prefix`: few, since one write removes them.
    pub fn remove_with_prefix(&mut self, table: TableId, prefix: &[u8]) -> Result<(), StoreError> {
        let keys = self.some_keys_with_prefix(table, prefix, prefix, usize::MAX)?;
        keys.iter().try_for_each(|key| self.remove(table, key))
    }

    /// The first `most` keys that start with `prefix` and are not before `from`.
    pub fn some_keys_with_prefix(
        &mut self,
        table: TableId,
        prefix: &[u8],
        from: &[u8],
        most: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut keys = Vec::new();
        for entry in self.at(table)?.range(from.max(prefix)..).map_err(storage)?.take(most) {
            let (key, _) = entry.map_err(storage)?;
            if !key.value().starts_with(prefix) {
                break;
            }
            keys.push(key.value().to_vec());
        }
        Ok(keys)
    }

    /// The first key of `table`.
    pub fn first_key(&mut self, table: TableId) -> Result<Option<Vec<u8>>, StoreError> {
        let first = self.at(table)?.first().map_err(storage)?;
        Ok(first.map(|(key, _)| key.value().to_vec()))
    }

    /// The last key and value whose key starts with `prefix`, which does not end with the highest byte.
    pub fn last_with_prefix<T: DeserializeOwned>(
        &mut self,
        table: TableId,
        prefix: &[u8; 16],
    ) -> Result<Option<(Vec<u8>, T)>, StoreError> {
        let end = u128::from_be_bytes(*prefix).saturating_add(1).to_be_bytes();
        let last = self.at(table)?.range(prefix.as_slice()..end.as_slice()).map_err(storage)?.next_back();
        let Some((key, value)) = last.transpose().map_err(storage)? else { return Ok(None) };
        Ok(Some((key.value().to_vec(), table.decode(key.value(), value.value())?)))
    }

    /// The last key of `table`.
    pub fn last_key(&mut self, table: TableId) -> Result<Option<Vec<u8>>, StoreError> {
        let last = self.at(table)?.last().map_err(storage)?;
        Ok(last.map(|(key, _)| key.value().to_vec()))
    }

    /// Whether `table` holds nothing.
    pub fn is_empty(&mut self, table: TableId) -> Result<bool, StoreError> {
        Ok(self.len(table)? == 0)
    }

    /// Hands the values of keys from `key` on to `take`, until it answers `false`.
    pub fn walk_from(
        &mut self,
        table: TableId,
        key: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        for entry in self.at(table)?.range(key..).map_err(storage)? {
            let (key, record) = entry.map_err(storage)?;
            let taken = unseal(table.name(), key.value(), record.value()).and_then(&mut take);
            if !taken.map_err(|error| error.at(table, key.value()))? {
                break;
            }
        }
        Ok(())
    }

    /// How many values `table` holds.
    pub fn len(&mut self, table: TableId) -> Result<u64, StoreError> {
        use redb::ReadableTableMetadata;
        self.at(table)?.len().map_err(storage)
    }
}

/// Any error of redb is the disk's or the file's.
pub fn storage(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Corrupted(why) => StoreError::damaged(why),
        error => StoreError::Failed(error.to_string()),
    }
}

/// Two parts of fixed length.
pub fn pair(first: &[u8; 16], second: &[u8; 16]) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(first);
    key[16..].copy_from_slice(second);
    key
}

/// An id and a number that counts up under it.
pub fn numbered(id: &[u8; 16], number: u32) -> [u8; 20] {
    let mut key = [0; 20];
    key[..16].copy_from_slice(id);
    key[16..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The outbox key of a message.
pub fn outbox_key(run: RunId, message: MessageId) -> [u8; 32] {
    pair(run.as_bytes(), message.as_bytes())
}

/// The prefix of what belongs to a recipient. The trailing NUL keeps `ann` apart from `anna`.
pub fn owned_prefix(recipient: &RecipientRef) -> Vec<u8> {
    let mut key = recipient.key();
    key.push(0);
    key
}

/// The key of what belongs to a recipient.
pub fn owned(recipient: &RecipientRef, what: &[u8]) -> Vec<u8> {
    [owned_prefix(recipient).as_slice(), what].concat()
}

/// The prefix of a recipient's runs among what is its: no id begins with that byte.
pub fn runs_prefix(recipient: &RecipientRef) -> Vec<u8> {
    owned(recipient, &[u8::MAX])
}

/// That a run is a recipient's.
pub fn run_of(recipient: &RecipientRef, run: RunId) -> Vec<u8> {
    [runs_prefix(recipient).as_slice(), run.as_bytes()].concat()
}

/// The prefix of the tenants that are called `name`.
pub fn named(name: &str) -> Vec<u8> {
    [&blake3::derive_key("belfry tenant name v1", name.as_bytes())[..16], &[0]].concat()
}

/// That a tenant has the name that it has. None for other recipients, and for a tenant without one.
pub fn tenant_name_key(recipient: &Recipient) -> Option<Vec<u8>> {
    let name = recipient.properties.get("name").filter(|_| recipient.reference.is_tenant())?.as_str()?;
    Some([named(name).as_slice(), recipient.reference.id.as_bytes()].concat())
}

/// The prefix of a feed's entries.
pub fn feed_key(channel: ChannelId, recipient: &RecipientRef) -> Vec<u8> {
    [channel.as_bytes().as_slice(), &owned_prefix(recipient)].concat()
}

/// Whose feed it is, from what follows the channel in its key.
pub fn feed_recipient(key: &[u8]) -> Option<RecipientRef> {
    RecipientRef::from_key(key.strip_suffix(&[0])?)
}

/// The key of the feed's item that was inserted at `at`.
pub fn item_key(feed: &[u8], at: Timestamp) -> Vec<u8> {
    [feed, &instant_key(at)].concat()
}

/// An instant that sorts as bytes; instants before 1970 do not occur.
pub fn instant_key(at: Timestamp) -> [u8; 8] {
    u64::try_from(at.as_micros()).unwrap_or(0).to_be_bytes()
}
