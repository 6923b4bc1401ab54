//! What is past its time: found in snapshots, which hold up nobody, and forgotten in small ops through the one writer.
//!
//! redb gives pages that became free to what is written next, and cuts off only those at the file's end: a file that is
//! trimmed as fast as it is filled stays about as large as it is.

use std::collections::BTreeSet;
use std::ops::Bound;

use serde::Deserialize;

use super::codec::decode;
use super::op::Trim;
use super::read::Reader;
use super::tables::TableId;
use super::trim::BATCH;
use super::{Store, StoreError, bundle};
use crate::base::clock::Timestamp;
use crate::base::config::Retention;
use crate::base::ids::{MessageId, RunId, VersionId};
use crate::model::batch::{self, Closed, State};

/// Records that are looked at in one snapshot, 3 ms of reading: a run that waited long before it ended lies among older
/// ones and is passed over.
const LOOKED_AT: usize = 1_000;

/// Forgets all that is past its time at `now`.
pub async fn trim(store: &Store, keep: &Retention, now: Timestamp) -> Result<(), StoreError> {
    if let Some(cutoff) = keep.messages.cutoff(now) {
        each_batch(
            store,
            TableId::Messages,
            cutoff,
            "messages",
            |_| Ok(true),
            |ids| Trim::Messages(ids.into_iter().map(MessageId::from).collect()),
        )
        .await?;
    }
    if let Some(cutoff) = keep.runs.cutoff(now) {
        let ended = |run: &[u8]| Ok(decode::<Ended>(run)?.ended_at < cutoff);
        each_batch(store, TableId::EndedRuns, cutoff, "runs", ended, |ids| {
            Trim::Runs(ids.into_iter().map(RunId::from).collect())
        })
        .await?;
        until_done(store, "triggers", || Trim::Triggers(cutoff)).await?;
        trim_deletions(store, cutoff).await?;
    }
    if let Some(cutoff) = keep.captured_mail.cutoff(now) {
        until_done(store, "captured_mail", || Trim::Mailbox(cutoff)).await?;
    }
    if let Some(cutoff) = keep.bulk_operations.cutoff(now) {
        until_done(store, "bulk_operations", || Trim::BulkOperations(cutoff)).await?;
    }
    Ok(())
}

/// Forgets that people were deleted before `cutoff`, as far as no pending run still has to end by it. Until then links
/// in what they were sent lead nowhere; after it they are as unknown as anybody.
async fn trim_deletions(store: &Store, cutoff: Timestamp) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let (mut keys, mut last) = (Vec::new(), None);
        let first = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut looked_at = 0;
        store.read()?.walk(TableId::Deleted, first, |key, deleted| {
            keys.extend((decode::<Timestamp>(deleted)? < cutoff).then(|| key.to_vec()));
            looked_at += 1;
            let goes_on = keys.len() < BATCH && looked_at < LOOKED_AT;
            last = (!goes_on).then(|| key.to_vec());
            Ok(goes_on)
        })?;
        if !keys.is_empty() {
            count("deletions", store.trim(Trim::Deleted(cutoff, keys)).await?);
        }
        after = last;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Forgets the versions of workflows that nobody needs any more. It reads every trigger if there are any that might be
/// such, and there are new ones only when workflows are published.
pub async fn trim_versions(store: &Store) -> Result<(), StoreError> {
    let idle = idle_versions(&store.read()?)?;
    for some in idle.chunks(BATCH) {
        count("versions", store.trim(Trim::Versions(some.to_vec())).await?);
    }
    Ok(())
}

/// The one field of an ended run that counts here.
#[derive(Deserialize)]
struct Ended {
    ended_at: Timestamp,
}

async fn each_batch(
    store: &Store,
    table: TableId,
    cutoff: Timestamp,
    kind: &'static str,
    past: impl Fn(&[u8]) -> Result<bool, StoreError>,
    op: impl Fn(Vec<[u8; 16]>) -> Trim,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let found = batch(&store.read()?, table, cutoff, after, &past)?;
        if !found.ids.is_empty() {
            count(kind, store.trim(op(found.ids)).await?);
        }
        after = found.last;
        if after.is_none() {
            return Ok(());
        }
    }
}

struct Batch {
    ids: Vec<[u8; 16]>,
    /// Where the look ended; `None`: there is nothing more.
    last: Option<[u8; 16]>,
}

/// Records of `table`, keyed by ids, that were made before `cutoff` and are `past` their time, from behind `after` on.
fn batch(
    reader: &Reader,
    table: TableId,
    cutoff: Timestamp,
    after: Option<[u8; 16]>,
    past: impl Fn(&[u8]) -> Result<bool, StoreError>,
) -> Result<Batch, StoreError> {
    let below = *MessageId::least(cutoff).as_bytes();
    let mut found = Batch { ids: Vec::new(), last: None };
    let mut looked_at = 0;
    let first = after.as_ref().map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_slice()));
    reader.walk(table, first, |key, value| {
        let id: [u8; 16] = key.try_into().map_err(|_| StoreError::damaged("a key is not an id"))?;
        if id >= below {
            found.last = None;
            return Ok(false);
        }
        if past(value)? {
            found.ids.push(id);
        }
        looked_at += 1;
        found.last = Some(id);
        Ok(found.ids.len() < BATCH && looked_at < LOOKED_AT)
    })?;
    if found.ids.len() < BATCH && looked_at < LOOKED_AT {
        found.last = None;
    }
    Ok(found)
}

async fn until_done(store: &Store, kind: &'static str, op: impl Fn() -> Trim) -> Result<(), StoreError> {
    loop {
        let gone = store.trim(op()).await?;
        count(kind, gone);
        if gone < BATCH as u64 {
            return Ok(());
        }
    }
}

fn count(kind: &'static str, gone: u64) {
    metrics::counter!("belfry_trimmed_total", "kind" => kind).increment(gone);
}

/// Versions that are not published and that no trigger names, nor a batch that went on with them.
fn idle_versions(reader: &Reader) -> Result<Vec<VersionId>, StoreError> {
    let mut published = BTreeSet::<VersionId>::new();
    reader.walk(TableId::Published, Bound::Unbounded, |_, version| {
        published.insert(decode(version)?);
        Ok(true)
    })?;
    let mut idle = BTreeSet::new();
    reader.walk(TableId::Versions, Bound::Unbounded, |key, _| {
        let id: [u8; 16] = key.try_into().map_err(|_| StoreError::damaged("a key is not an id"))?;
        idle.extend(Some(VersionId::from(id)).filter(|id| !published.contains(id)));
        Ok(true)
    })?;
    if !idle.is_empty() {
        reader.walk(TableId::Triggers, Bound::Unbounded, |_, triggers| {
            bundle::each(triggers, |Follows { version }| {
                idle.remove(&version);
            })?;
            Ok(!idle.is_empty())
        })?;
        reader.walk(TableId::Batches, Bound::Unbounded, |_, batch| {
            if let State::Closed(Closed { version: Some(version), .. }) = decode::<batch::Batch>(batch)?.state {
                idle.remove(&version);
            }
            Ok(!idle.is_empty())
        })?;
    }
    Ok(idle.into_iter().collect())
}

/// The one field of a trigger that counts here.
#[derive(Deserialize)]
struct Follows {
    version: VersionId,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use serde_json::json;

    use super::super::op::{Advance, Changes, NewMessage, Next, PublishVersion, StoredVersion};
    use super::super::tests::{Bench, START, message, run, waiting};
    use super::*;
    use crate::base::config::Keep;
    use crate::base::ids::{Entropy, IdSource, TriggerId};
    use crate::model::message::Message;
    use crate::model::recipient::RecipientRef;
    use crate::model::run::{Outcome, Run, RunEvent, RunEventKind};
    use crate::model::trigger_data::TriggerData;

    const DAY: Duration = Duration::from_secs(86_400);

    fn day(number: u32) -> Timestamp {
        START.plus(DAY * number)
    }

    fn keep(days: u32) -> Retention {
        let keep = Keep::For(DAY * days);
        Retention { runs: keep, messages: keep, captured_mail: keep, bulk_operations: keep }
    }

    /// A store whose ids are of their time, as they are in life.
    struct History {
        bench: Bench,
        ids: IdSource,
    }

    impl History {
        fn new() -> Self {
            Self { bench: Bench::new(), ids: IdSource::new(Entropy::Seeded(1)) }
        }

        /// A run that was triggered at `at`.
        async fn begin(&self, at: Timestamp) -> Run {
            let (trigger, id) = (TriggerId(self.ids.next(at)), RunId(self.ids.next(at)));
            let run = Run { id, trigger, ..run(1) };
            self.bench.accept_run(run.clone(), None, at).await.unwrap();
            run
        }

        /// Moves the run on at `at`, with a message of that time.
        async fn advance(
            &self,
            run: &Run,
            to: Next,
            at: Timestamp,
            place: impl Fn(Message) -> NewMessage,
        ) -> MessageId {
            let id = MessageId::derive(at, run.id, "s");
            let message = Message { id, run: run.id, trigger: run.trigger, ..message(1, 1, at) };
            let event = RunEvent { kind: RunEventKind::MessageEnqueued, step_ref: "s".into(), message: None, at };
            let message = Some(place(message));
            let advance = Advance {
                run: run.id,
                expect: 0,
                to,
                gate: None,
                changes: Changes::default(),
                message,
                events: vec![event],
                at,
            };
            self.bench.store.advance(advance).await.unwrap();
            id
        }

        async fn end(&self, run: &Run, at: Timestamp) -> MessageId {
            let feed = |message| NewMessage::Feed(message, TriggerData::default());
            self.advance(run, Next::End(Outcome::Finished), at, feed).await
        }

        fn reader(&self) -> Reader {
            self.bench.store.read().unwrap()
        }

        fn kept(&self) -> (Vec<RunId>, Vec<MessageId>) {
            let (runs, messages) = (self.reader().ended_runs().unwrap(), self.reader().messages().unwrap());
            (runs.iter().map(|ended| ended.run.id).collect(), messages.iter().map(|message| message.id).collect())
        }
    }

    #[tokio::test]
    async fn what_is_past_its_time_goes_and_what_is_needed_stays() {
        let history = History::new();
        let store = history.bench.store.clone();
        let [old, long, pending] =
            [history.begin(day(0)).await, history.begin(day(0)).await, history.begin(day(0)).await];
        history.end(&old, day(0)).await;
        let late = history.end(&long, day(95)).await;
        let new = history.begin(day(99)).await;
        let fresh = history.end(&new, day(99)).await;
        trim(&store, &keep(90), day(100)).await.unwrap();
        assert_eq!(history.kept(), (vec![long.id, new.id], vec![late, fresh]), "age counts from a run's end");
        assert!(history.reader().run_events(old.id).unwrap().is_empty());
        assert_eq!(history.reader().run_events(long.id).unwrap().len(), 1);
        for run in [&long, &pending, &new] {
            assert!(history.reader().trigger(run.trigger).unwrap().is_some());
        }
        trim(&store, &keep(90), day(300)).await.unwrap();
        assert_eq!(history.kept(), (vec![], vec![]));
        assert!(history.reader().trigger(pending.trigger).unwrap().is_some(), "a pending run needs it");
        assert!(history.reader().run(pending.id).unwrap().is_some());
        history.end(&pending, day(300)).await;
        trim(&store, &keep(90), day(500)).await.unwrap();
        for run in [&old, &long, &pending, &new] {
            assert_eq!(history.reader().trigger(run.trigger).unwrap(), None);
        }
        assert!(
            history.reader().feed_recipients(message(1, 1, START).channel).unwrap().is_empty(),
            "empty feeds go too"
        );
    }

    #[tokio::test]
    async fn a_message_that_is_still_to_be_sent_stays_however_old() {
        let history = History::new();
        let run = history.begin(day(0)).await;
        let queued = history.advance(&run, waiting(), day(0), |message| NewMessage::Send(message, None)).await;
        trim(&history.bench.store, &keep(1), day(1_000)).await.unwrap();
        assert_eq!(history.kept().1, [queued]);
    }

    #[tokio::test]
    async fn a_deletion_is_forgotten_when_nothing_is_left_that_it_ends() {
        let history = History::new();
        let store = &history.bench.store;
        let run = history.begin(day(0)).await;
        let strangers: Vec<_> = (0..2 * BATCH).map(|number| RecipientRef::user(format!("s{number}"))).collect();
        store.remove(strangers.clone(), day(1)).await.unwrap();
        store.remove(vec![run.recipient.clone()], day(1)).await.unwrap();
        let known = || history.reader().deleted(&run.recipient).unwrap().is_some();
        trim(store, &keep(90), day(200)).await.unwrap();
        assert!(known(), "a run of before it waits");
        history.advance(&run, waiting(), day(200), |message| NewMessage::Send(message, None)).await;
        assert_eq!(history.reader().ended_run(run.id).unwrap().unwrap().outcome, Outcome::RecipientDeleted);
        trim(store, &keep(90), day(200)).await.unwrap();
        assert!(!known() && strangers.iter().all(|one| history.reader().deleted(one).unwrap().is_none()));
        store.remove(vec![run.recipient.clone()], day(200)).await.unwrap();
        trim(store, &keep(90), day(201)).await.unwrap();
        assert!(known(), "it is young");
    }

    #[tokio::test]
    async fn forever_is_forever() {
        let history = History::new();
        let run = history.begin(day(0)).await;
        let made = history.end(&run, day(0)).await;
        let keep = Retention { runs: Keep::Forever, messages: Keep::Forever, ..keep(1) };
        trim(&history.bench.store, &keep, day(10_000)).await.unwrap();
        assert_eq!(history.kept(), (vec![run.id], vec![made]));
        assert!(history.reader().trigger(run.trigger).unwrap().is_some());
    }

    #[tokio::test]
    async fn many_go_in_several_ops_also_behind_more_that_stay_than_one_look_sees() {
        let history = History::new();
        let begun = join_all((0..LOOKED_AT + 10).map(|_| history.begin(day(0)))).await;
        join_all(begun.iter().map(|run| history.end(run, day(95)))).await;
        let old = join_all((0..2 * BATCH + 50).map(|_| history.begin(day(1)))).await;
        join_all(old.iter().map(|run| history.end(run, day(1)))).await;
        assert!(begun.iter().map(|run| run.id).max() < old.iter().map(|run| run.id).min());
        trim(&history.bench.store, &keep(90), day(100)).await.unwrap();
        assert_eq!(history.kept().0.len(), begun.len());
        assert_eq!(history.kept().1.len(), begun.len());
    }

    #[tokio::test]
    async fn a_version_goes_when_it_is_neither_published_nor_named_by_a_trigger() {
        let history = History::new();
        let store = &history.bench.store;
        let publish = async |version: u8| {
            let stored = StoredVersion {
                key: "w".into(),
                document: json!({"number": version}),
                engine: None,
                library: Default::default(),
            };
            store.publish_version(PublishVersion { version: VersionId::from([version; 16]), stored }).await.unwrap();
        };
        // The bench's triggers name this one.
        publish(1).await;
        history.begin(day(0)).await;
        publish(2).await;
        publish(3).await;
        trim_versions(store).await.unwrap();
        let stored = |version: u8| history.reader().version(VersionId::from([version; 16])).unwrap().is_some();
        assert_eq!([1, 2, 3].map(stored), [true, false, true]);
        // Found idle, and published again before the op comes.
        assert_eq!(store.trim(Trim::Versions(vec![VersionId::from([3; 16])])).await, Ok(0));
        assert!(stored(3));
    }
}
