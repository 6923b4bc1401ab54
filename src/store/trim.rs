//! Applies trims: history that is past its time goes, a bounded part of it in each op, so that no write waits long.

use std::time::Duration;

use super::op::{Done, StoredVersion, Trim};
use super::tables::{TableId, Tables, outbox_key};
use super::{Reader, StoreError, bundle, removal};
use crate::base::clock::Timestamp;
use crate::base::ids::{BulkOperationId, MessageId, RunId, TriggerId, VersionId};
use crate::model::message::{Message, Pending};

/// Records of one trim. A message takes about ten lookups and removals of 4 µs each, so that a trim holds the writer for
/// about 4 ms, and 20,000 records a second can go.
pub const BATCH: usize = 100;

/// A run is made right after its trigger, but the ids of requests that are handled beside each other lie in between. A
/// longer gap, of a fan-out or a request that was held up, is noted.
const ORDINARY_GAP: Duration = Duration::from_secs(1);
/// What was taken for ordinary, and not noted, before schema 3.
const EARLIER_GAP: Duration = Duration::from_secs(3_600);
const WIDEST_GAP: &[u8] = b"widest_gap_seconds";

/// Notes that a run was made so long after its trigger, which must stay as long as the run does.
pub fn note_gap(tables: &mut Tables<'_>, gap: Duration) -> Result<(), StoreError> {
    if gap < ORDINARY_GAP || gap < widest_gap(tables)? {
        return Ok(());
    }
    let seconds = u32::try_from(gap.as_secs() + 1).unwrap_or(u32::MAX);
    tables.put(TableId::Meta, WIDEST_GAP, &seconds)
}

/// Notes what went unnoted before schema 3.
pub fn note_earlier_gaps(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    note_gap(tables, EARLIER_GAP)
}

fn widest_gap(tables: &mut Tables<'_>) -> Result<Duration, StoreError> {
    let noted: Option<u32> = tables.get(TableId::Meta, WIDEST_GAP)?;
    Ok(gap(noted))
}

fn gap(noted: Option<u32>) -> Duration {
    noted.map_or(ORDINARY_GAP, |seconds| Duration::from_secs(seconds.into()))
}

impl Reader {
    /// How long after its trigger a run was made at the most.
    pub fn widest_gap(&self) -> Result<Duration, StoreError> {
        self.get(TableId::Meta, WIDEST_GAP).map(gap)
    }
}

/// Applies `trim`; answers how many records went.
pub fn trim(tables: &mut Tables<'_>, trim: Trim) -> Result<Done, StoreError> {
    let gone = match trim {
        Trim::Runs(runs) => {
            runs.iter().try_for_each(|id| removal::forget_run(tables, *id))?;
            runs.len() as u64
        }
        Trim::Messages(messages) => {
            let gone = messages.into_iter().map(|id| message(tables, id).map(u64::from));
            gone.sum::<Result<u64, StoreError>>()?
        }
        Trim::Triggers(before) => {
            let users = [TableId::Runs, TableId::Cohorts, TableId::EndedRuns, TableId::FanOuts];
            let before = unneeded(tables, before, &users)?;
            bundle::trim(tables, TriggerId::least(before), BATCH)?
        }
        Trim::Deleted(before, keys) => {
            let before = unneeded(tables, before, &[TableId::Runs, TableId::Cohorts, TableId::FanOuts])?;
            let gone = keys.into_iter().map(|key| deletion(tables, &key, before).map(u64::from));
            gone.sum::<Result<u64, StoreError>>()?
        }
        Trim::Mailbox(before) => tables.remove_first(TableId::Mailbox, MessageId::least(before).as_bytes(), BATCH)?,
        Trim::BulkOperations(before) => {
            tables.remove_first(TableId::BulkOperations, BulkOperationId::least(before).as_bytes(), BATCH)?
        }
        Trim::Versions(versions) => {
            let gone = versions.into_iter().map(|id| version(tables, id).map(u64::from));
            gone.sum::<Result<u64, StoreError>>()?
        }
    };
    Ok(Done::Changed(gone))
}

/// Up to when, and no later than `before`, everything was triggered that is in none of the tables `users` any more.
fn unneeded(tables: &mut Tables<'_>, before: Timestamp, users: &[TableId]) -> Result<Timestamp, StoreError> {
    let mut before = before;
    for users in users {
        before = before.min(oldest(tables, *users)?.unwrap_or(before));
    }
    Ok(before.minus(widest_gap(tables)?))
}

/// Forgets a deletion, unless the recipient was deleted again since.
fn deletion(tables: &mut Tables<'_>, key: &[u8], before: Timestamp) -> Result<bool, StoreError> {
    let deleted: Option<Timestamp> = tables.get(TableId::Deleted, key)?;
    let goes = deleted.is_some_and(|deleted| deleted < before);
    if goes {
        tables.remove(TableId::Deleted, key)?;
    }
    Ok(goes)
}

/// When the oldest run of `table` was made.
fn oldest(tables: &mut Tables<'_>, table: TableId) -> Result<Option<Timestamp>, StoreError> {
    let first = tables.first_key(table)?.and_then(|key| <[u8; 16]>::try_from(key).ok());
    Ok(first.map(|id| RunId::from(id).made_at()))
}

/// Forgets a message, unless it is still to be sent.
fn message(tables: &mut Tables<'_>, id: MessageId) -> Result<bool, StoreError> {
    let Some(message) = tables.get::<Message>(TableId::Messages, id.as_bytes())? else { return Ok(false) };
    if tables.get::<Pending>(TableId::Outbox, &outbox_key(message.run, id))?.is_some() {
        return Ok(false);
    }
    removal::forget_message(tables, &message).map(|()| true)
}

/// Forgets a version, unless it was published again since somebody found that nobody needs it.
fn version(tables: &mut Tables<'_>, id: VersionId) -> Result<bool, StoreError> {
    let Some(stored) = tables.get::<StoredVersion>(TableId::Versions, id.as_bytes())? else { return Ok(false) };
    if tables.get::<VersionId>(TableId::Published, stored.key.as_bytes())? == Some(id) {
        return Ok(false);
    }
    tables.remove(TableId::Versions, id.as_bytes())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use redb::Database;
    use redb::backends::InMemoryBackend;

    use super::*;

    #[test]
    fn a_trigger_stays_as_long_as_a_run_that_was_made_days_after_it() {
        let day = |number: i64| Timestamp::from_millis(number * 86_400_000);
        let (trigger, run) = (TriggerId::least(day(1)), RunId::least(day(3)));
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        let txn = database.begin_write().unwrap();
        let mut tables = Tables::new(&txn);
        tables.put(TableId::Triggers, trigger.as_bytes(), &()).unwrap();
        tables.put(TableId::Runs, run.as_bytes(), &()).unwrap();
        note_gap(&mut tables, run.made_at().since(trigger.made_at())).unwrap();
        note_gap(&mut tables, Duration::from_secs(7_200)).unwrap();
        assert_eq!(trim(&mut tables, Trim::Triggers(day(100))), Ok(Done::Changed(0)));
        tables.remove(TableId::Runs, run.as_bytes()).unwrap();
        assert_eq!(trim(&mut tables, Trim::Triggers(day(100))), Ok(Done::Changed(1)));
    }

    #[test]
    fn a_deletion_is_known_as_long_as_a_run_of_before_it_is_pending() {
        let day = |number: i64| Timestamp::from_millis(number * 86_400_000);
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        let txn = database.begin_write().unwrap();
        let mut tables = Tables::new(&txn);
        for (key, deleted) in [(b"users\0old", day(2)), (b"users\0new", day(4))] {
            tables.put(TableId::Deleted, key, &deleted).unwrap();
        }
        let keys = vec![b"users\0old".to_vec(), b"users\0new".to_vec(), b"users\0not".to_vec()];
        let gone = |tables: &mut Tables<'_>, before| trim(tables, Trim::Deleted(before, keys.clone()));
        for table in [TableId::Runs, TableId::Cohorts, TableId::FanOuts] {
            let pending = RunId::least(day(1));
            tables.put(table, pending.as_bytes(), &()).unwrap();
            assert_eq!(gone(&mut tables, day(100)), Ok(Done::Changed(0)), "{table:?}");
            tables.remove(table, pending.as_bytes()).unwrap();
        }
        tables.put(TableId::Runs, RunId::least(day(3)).as_bytes(), &()).unwrap();
        assert_eq!(gone(&mut tables, day(2)), Ok(Done::Changed(0)), "it is not old enough");
        assert_eq!(gone(&mut tables, day(100)), Ok(Done::Changed(1)));
        assert_eq!(tables.get(TableId::Deleted, b"users\0new"), Ok(Some(day(4))));
    }
}
