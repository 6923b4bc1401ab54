//! What the store promises, over a real file.

use std::time::Duration;

use futures_util::FutureExt;
use serde_json::{Map, json};
use tempfile::TempDir;

use super::op::{
    Accept, Accepted, Admission, Advance, BeginAttempt, Cancel, Changes, EndAttempt, Idempotency, Identify, NewMessage,
    Next, Occurrence,
};
use super::read::Order;
use super::tables::{TableId, Tables, feed_key, item_key};
use super::{OpenError, Refused, Settings, Store, StoreError, upgrade};
use crate::base::clock::Timestamp;
use crate::base::ids::{ChannelId, MessageId, RunId, TriggerId, VersionId};
use crate::base::work::Work;
use crate::model::engagement::Engagement;
use crate::model::feed::Tally;
use crate::model::flow::Flow;
use crate::model::message::{Attempt, AttemptResult, Content, EmailContent, Message, Status};
use crate::model::profile::Profile;
use crate::model::recipient::RecipientRef;
use crate::model::run::{Outcome, Phase, Run, RunEvent, RunEventKind};
use crate::model::trigger::{CancelHash, Trigger, TriggerSettings};
use crate::model::trigger_data::TriggerData;

pub(super) const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
pub(super) const FEED: [u8; 16] = [9; 16];

pub(super) struct Bench {
    pub(super) store: Store,
    folder: TempDir,
}

impl Bench {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { store: Store::open(folder.path(), Settings::default()).unwrap(), folder }
    }

    pub(super) fn reopen(self) -> Self {
        self.store.close();
        let store = Store::open(self.folder.path(), Settings::default()).unwrap();
        Self { store, folder: self.folder }
    }

    pub(super) async fn accept(&self, number: u8, idempotency: Option<Idempotency>, at: Timestamp) -> Accepted {
        self.try_accept(number, idempotency, at).await.unwrap()
    }

    async fn try_accept(
        &self,
        number: u8,
        idempotency: Option<Idempotency>,
        at: Timestamp,
    ) -> Result<Accepted, StoreError> {
        self.accept_run(run(number), idempotency, at).await
    }

    pub(super) async fn accept_run(
        &self,
        run: Run,
        idempotency: Option<Idempotency>,
        at: Timestamp,
    ) -> Result<Accepted, StoreError> {
        let (accept, admission) = Self::acceptance(run, idempotency, at);
        self.store.accept(accept, admission).await
    }

    /// Accepts what an occurrence triggers.
    pub(super) async fn accept_occurrence(&self, number: u8, occurrence: Occurrence) -> Result<Accepted, StoreError> {
        let (accept, admission) = Self::acceptance(run(number), None, occurrence.at);
        self.store.accept_occurrence(accept, occurrence, admission).await
    }

    fn acceptance(run: Run, idempotency: Option<Idempotency>, at: Timestamp) -> (Accept, Admission) {
        let token = run.id.as_bytes()[0];
        let trigger = Trigger {
            id: run.trigger,
            workflow: "w".into(),
            version: VersionId::from([1; 16]),
            data: json!({"token": token, "nested": {"list": [1, -2, 3.5, null, "ü"]}}).as_object().unwrap().clone(),
            actor: None,
            tenant: None,
            cancellation_key: Some("key".into()),
            settings: TriggerSettings::default(),
            schedule: None,
            parent: None,
            inserted_at: at,
        };
        let work = Work::default().begin();
        let admission =
            Admission { runs: vec![run.id], due: None, cancel: run.cancel, flow: run.flow, fan_out: None, work };
        let accept = Accept { trigger, runs: vec![run], identify: Vec::new(), idempotency, fan_out: None, bytes: 0 };
        (accept, admission)
    }

    /// A pending run of `reader` that was triggered at `at`.
    pub(super) async fn accept_at(&self, number: u16, reader: &str, at: Timestamp) -> Run {
        let id = |kind: u8| {
            let mut bytes = [kind; 16];
            bytes[..6].copy_from_slice(&at.as_millis().to_be_bytes()[2..]);
            bytes[14..].copy_from_slice(&number.to_be_bytes());
            bytes
        };
        let (id, trigger) = (RunId::from(id(1)), TriggerId::from(id(2)));
        let run = Run { id, trigger, recipient: RecipientRef::user(reader), ..run(0) };
        self.accept_run(run.clone(), None, at).await.unwrap();
        run
    }

    /// A message of such a run.
    pub(super) fn item(number: u16, run: &Run, reader: &str, at: Timestamp) -> Message {
        let mut id = *run.id.as_bytes();
        id[13] = 3;
        let message = Message { id: MessageId::from(id), run: run.id, trigger: run.trigger, ..message(0, 0, at) };
        Message { recipient: RecipientRef::user(reader), step_ref: number.to_string(), ..message }
    }

    pub(super) async fn advance(
        &self,
        number: u8,
        expect: u32,
        to: Next,
        message: Option<NewMessage>,
    ) -> Result<(), StoreError> {
        let run = RunId::from([number; 16]);
        let advance = Advance {
            run,
            expect,
            to,
            gate: None,
            changes: Changes::default(),
            message,
            events: Vec::new(),
            at: START,
        };
        self.store.advance(advance).await.map(drop)
    }

    /// Puts a message for `reader` where `place` says, by a run of its own.
    pub(super) async fn publish(&self, number: u8, reader: &str, place: impl FnOnce(Message) -> NewMessage) {
        self.accept(number, None, START).await;
        let message = Message { recipient: RecipientRef::user(reader), ..message(number, number, START) };
        self.advance(number, 0, waiting(), Some(place(message))).await.unwrap();
    }

    async fn cancel(&self, numbers: &[u8], recipients: Option<Vec<RecipientRef>>) -> Vec<(RunId, u32)> {
        let runs = numbers.iter().map(|number| RunId::from([*number; 16])).collect();
        self.cancel_key(CancelHash::of("w", "key"), runs, recipients).await
    }

    async fn cancel_key(
        &self,
        key: CancelHash,
        runs: Vec<RunId>,
        recipients: Option<Vec<RecipientRef>>,
    ) -> Vec<(RunId, u32)> {
        let cancel = Cancel { key, runs, recipients, of: None, spreading: Vec::new(), at: START };
        let cancelled = self.store.cancel(cancel).await.unwrap();
        cancelled.into_iter().map(|run| (run.run, run.in_flight)).collect()
    }

    fn status(&self, message: u8) -> Status {
        self.store.read().unwrap().message(MessageId::from([message; 16])).unwrap().unwrap().status
    }

    fn outbox(&self) -> usize {
        let mut count = 0;
        let count_all = |_| {
            count += 1;
            true
        };
        self.store.read().unwrap().each_pending(count_all).unwrap();
        count
    }
}

pub(super) fn run(number: u8) -> Run {
    Run {
        id: RunId::from([number; 16]),
        trigger: TriggerId::from([number; 16]),
        flow: Flow::default(),
        recipient: RecipientRef::user(format!("u{number}")),
        data: None,
        via: None,
        cancel: Some(CancelHash::of("w", "key")),
        revision: 0,
        phase: Phase::Ready { step: 0 },
        begun: None,
    }
}

pub(super) fn message(number: u8, run: u8, at: Timestamp) -> Message {
    Message {
        id: MessageId::from([number; 16]),
        run: RunId::from([run; 16]),
        batch: None,
        trigger: TriggerId::from([run; 16]),
        workflow: "w".into(),
        categories: Vec::new(),
        step_ref: "s".into(),
        channel: ChannelId::from(FEED),
        recipient: RecipientRef::user("reader"),
        tenant: None,
        content: Content::Email {
            to: "u@x.test".into(),
            email: EmailContent {
                subject: String::new(),
                html: String::new(),
                text: String::new(),
                ..EmailContent::default()
            },
        },
        status: Status::Queued,
        inserted_at: at,
        updated_at: at,
    }
}

pub(super) fn waiting() -> Next {
    Next::Phase(Phase::Waiting { step: 1, due: START.plus(Duration::from_secs(5)) })
}

fn begin(number: u8, run: u8) -> BeginAttempt {
    BeginAttempt { run: RunId::from([run; 16]), message: MessageId::from([number; 16]), at: START }
}

fn end(number: u8, run: u8, result: AttemptResult, retry_at: Option<Timestamp>) -> EndAttempt {
    EndAttempt {
        run: RunId::from([run; 16]),
        message: MessageId::from([number; 16]),
        attempt: Attempt { number: 1, at: START, result, reply: "250 ok".into(), notes: Vec::new() },
        retry_at,
        gone: Vec::new(),
        captured: None,
    }
}

fn key(key: u8, request: u8) -> Option<Idempotency> {
    Some(Idempotency { key: [key; 32], fingerprint: [request; 32], request_id: format!("r{request}") })
}

#[tokio::test]
async fn what_was_answered_is_there_after_reopening() {
    let bench = Bench::new();
    bench.accept(1, None, START).await;
    bench.advance(1, 0, waiting(), Some(NewMessage::Send(message(1, 1, START), None))).await.unwrap();
    let before = bench.store.read().unwrap().trigger(TriggerId::from([1; 16])).unwrap();
    let bench = bench.reopen();
    let reader = bench.store.read().unwrap();
    assert_eq!(reader.trigger(TriggerId::from([1; 16])).unwrap(), before);
    let run = reader.run(RunId::from([1; 16])).unwrap().unwrap();
    assert_eq!((run.revision, run.phase.due()), (1, Some(START.plus(Duration::from_secs(5)))));
    assert_eq!(bench.outbox(), 1);
}

#[tokio::test]
async fn a_write_over_another_revision_is_stale_and_changes_nothing() {
    let bench = Bench::new();
    bench.accept(1, None, START).await;
    bench.advance(1, 0, waiting(), None).await.unwrap();
    let late =
        bench.advance(1, 0, Next::End(Outcome::Finished), Some(NewMessage::Send(message(1, 1, START), None))).await;
    assert_eq!(late, Err(StoreError::Refused(Refused::Stale)));
    assert!(bench.store.read().unwrap().run(RunId::from([1; 16])).unwrap().is_some());
    assert_eq!(bench.outbox(), 0);
}

#[tokio::test]
async fn a_refused_op_leaves_the_others_of_its_group_alone() {
    let bench = Bench::new();
    for number in 1..=20 {
        bench.accept(number, None, START).await;
    }
    let writes = (1..=20).map(|number| bench.advance(number, u32::from(number % 2), waiting(), None));
    let done = futures_util::future::join_all(writes).await;
    for (number, done) in (1..=20).zip(done) {
        assert_eq!(done.is_ok(), number % 2 == 0, "{number}");
    }
}

#[tokio::test]
async fn cancel_and_fire_at_the_same_instant_have_one_winner() {
    let bench = Bench::new();
    for number in 1..=50 {
        bench.accept(number, None, START).await;
        let send = bench.advance(
            number,
            0,
            Next::End(Outcome::Finished),
            Some(NewMessage::Send(message(number, number, START), None)),
        );
        let runs = [number];
        let cancel = bench.cancel(&runs, None);
        let (fired, cancelled) = if number % 2 == 0 {
            futures_util::future::join(send, cancel).await
        } else {
            let (cancelled, fired) = futures_util::future::join(cancel, send).await;
            (fired, cancelled)
        };
        assert_ne!(fired.is_ok(), !cancelled.is_empty(), "{number}");
        let sent = bench.store.read().unwrap().message(MessageId::from([number; 16])).unwrap().is_some();
        assert_eq!(sent, fired.is_ok());
    }
}

#[tokio::test]
async fn a_cancel_takes_only_the_named_recipients() {
    let bench = Bench::new();
    bench.accept(1, None, START).await;
    bench.accept(2, None, START).await;
    let taken = bench.cancel(&[1, 2, 3], Some(vec![RecipientRef::user("u2"), RecipientRef::user("nobody")])).await;
    assert_eq!(taken, [(RunId::from([2; 16]), 0)]);
    let reader = bench.store.read().unwrap();
    assert!(reader.run(RunId::from([1; 16])).unwrap().is_some());
    assert_eq!(reader.ended_run(RunId::from([2; 16])).unwrap().unwrap().outcome, Outcome::Cancelled);
}

/// The registry names runs by half of their key's hash.
#[tokio::test]
async fn a_cancel_spares_the_runs_of_another_key() {
    let bench = Bench::new();
    bench.accept(1, None, START).await;
    let run = RunId::from([1; 16]);
    let other = CancelHash([0; 16]);
    assert_eq!(bench.cancel_key(other, vec![run], None).await, []);
    assert!(bench.store.read().unwrap().run(run).unwrap().is_some());
}

#[tokio::test]
async fn a_cancel_stops_what_is_queued_and_counts_what_is_on_the_wire() {
    let bench = Bench::new();
    bench.accept(1, None, START).await;
    bench.advance(1, 0, waiting(), Some(NewMessage::Send(message(1, 1, START), None))).await.unwrap();
    bench.advance(1, 1, waiting(), Some(NewMessage::Send(message(2, 1, START), None))).await.unwrap();
    let held = NewMessage::Hold(message(3, 1, START), TriggerData::default(), START.plus(Duration::from_secs(60)));
    bench.advance(1, 2, waiting(), Some(held)).await.unwrap();
    assert!(bench.store.begin_attempt(begin(1, 1)).await.unwrap().is_some());
    assert_eq!(bench.cancel(&[1], None).await, [(RunId::from([1; 16]), 1)]);
    assert_eq!((bench.status(1), bench.outbox()), (Status::Queued, 1));
    assert_eq!((bench.status(2), bench.status(3)), (Status::NotSent, Status::NotSent));
    // The attempt on the wire fails: no other follows it.
    let retry_at = Some(START.plus(Duration::from_secs(14)));
    bench.store.end_attempt(end(1, 1, AttemptResult::Transient, retry_at)).await.unwrap();
    assert_eq!((bench.status(1), bench.outbox()), (Status::NotSent, 0));
}

#[tokio::test]
async fn an_attempt_that_a_crash_left_on_the_wire_is_made_again_unless_it_was_cancelled() {
    let bench = Bench::new();
    for number in [1, 2] {
        bench.accept(number, None, START).await;
        let send = Some(NewMessage::Send(message(number, number, START), None));
        bench.advance(number, 0, waiting(), send).await.unwrap();
        assert_eq!(bench.store.begin_attempt(begin(number, number)).await.unwrap().unwrap().attempt, 1);
    }
    bench.cancel(&[2], None).await;
    let bench = bench.reopen();
    assert_eq!(bench.store.begin_attempt(begin(1, 1)).await.unwrap().unwrap().attempt, 2);
    assert_eq!(bench.store.begin_attempt(begin(2, 2)).await.unwrap(), None);
    assert_eq!((bench.status(2), bench.outbox()), (Status::NotSent, 1));
}

#[tokio::test]
async fn an_idempotency_key_gives_one_run_within_a_day_and_is_free_after_it() {
    let bench = Bench::new();
    assert_eq!(bench.accept(1, key(7, 1), START).await, Accepted::New);
    let Accepted::Replayed(known) = bench.accept(2, key(7, 1), START).await else { panic!("it was replayed") };
    assert_eq!((known.trigger, known.request_id.as_str()), (TriggerId::from([1; 16]), "r1"));
    let refused = bench.try_accept(3, key(7, 2), START).await;
    assert_eq!(refused, Err(StoreError::Refused(Refused::IdempotencyMismatch)));
    assert!(bench.store.read().unwrap().trigger(TriggerId::from([3; 16])).unwrap().is_none());
    let bench = bench.reopen();
    assert_ne!(bench.accept(4, key(7, 1), START.plus(Duration::from_secs(86_399))).await, Accepted::New);
    assert_eq!(bench.accept(5, key(7, 2), START.plus(Duration::from_secs(86_400))).await, Accepted::New);
}

#[tokio::test]
async fn runs_are_admitted_before_the_answer_once_and_though_their_caller_went_away() {
    let bench = Bench::new();
    let (admitted, mut heard) = tokio::sync::mpsc::unbounded_channel();
    bench.store.admit_with(move |admissions, _| {
        admissions.into_iter().flat_map(|admission| admission.runs).for_each(|run| admitted.send(run).unwrap());
    });
    bench.accept(1, key(7, 1), START).await;
    assert_eq!(heard.try_recv(), Ok(RunId::from([1; 16])));
    bench.accept(2, key(7, 1), START).await;
    bench.try_accept(3, key(7, 2), START).await.unwrap_err();
    // Polled once, which queues it.
    drop(bench.accept(4, None, START).now_or_never());
    assert_eq!(heard.recv().await, Some(RunId::from([4; 16])));
    assert!(heard.try_recv().is_err());
}

#[tokio::test]
async fn what_began_with_a_run_comes_first_among_its_events_also_when_it_has_ended() {
    let bench = Bench::new();
    let event = |kind| RunEvent { kind, step_ref: "s".into(), message: None, at: START };
    let began = event(RunEventKind::DelayStarted(START));
    let run = Run { begun: Some(began.clone()), ..run(1) };
    bench.accept_run(run, None, START).await.unwrap();
    let enqueued = event(RunEventKind::MessageEnqueued);
    let ends = Next::End(Outcome::Finished);
    for (expect, to) in [(0, waiting()), (1, ends)] {
        let events = vec![enqueued.clone()];
        let run = RunId::from([1; 16]);
        bench
            .store
            .advance(Advance {
                run,
                expect,
                to,
                gate: None,
                changes: Changes::default(),
                message: None,
                events,
                at: START,
            })
            .await
            .unwrap();
        let expected = [vec![began.clone()], vec![enqueued.clone(); expect as usize + 1]].concat();
        assert_eq!(bench.store.read().unwrap().run_events(run).unwrap(), expected);
    }
}

#[tokio::test]
async fn what_a_step_triggers_is_accepted_with_the_runs_advance_or_not_at_all() {
    let bench = Bench::new();
    bench.accept(1, None, START).await;
    let advance = |number: u8, expect: u32| {
        let changes = Changes { data: Map::from_iter([("n".to_owned(), json!(number))]), ..Changes::default() };
        let (parent, to) = (RunId::from([1; 16]), waiting());
        let advance =
            Advance { run: parent, expect, to, gate: None, changes, message: None, events: Vec::new(), at: START };
        let (accept, admission) = Bench::acceptance(run(number), None, START);
        bench.store.advance_accepting(advance, accept, admission)
    };
    assert_eq!(advance(2, 0).await, Ok(Accepted::New));
    assert_eq!(advance(3, 0).await, Err(StoreError::Refused(Refused::Stale)));
    let reader = bench.store.read().unwrap();
    let exists = |number: u8| reader.run(RunId::from([number; 16])).unwrap().is_some();
    assert_eq!([1, 2, 3].map(exists), [true, true, false]);
    let parent = reader.run(RunId::from([1; 16])).unwrap().unwrap();
    assert_eq!((parent.revision, json!(parent.data)), (1, json!({"n": 2})));
}

#[tokio::test]
async fn expired_idempotency_keys_are_cleared_by_later_triggers() {
    let bench = Bench::new();
    for number in 1..=20 {
        bench.accept(number, key(number, 1), START).await;
    }
    for number in 21..=30 {
        bench.accept(number, key(number, 1), START.plus(Duration::from_secs(90_000))).await;
    }
    let reader = bench.store.read().unwrap();
    let left = (1..=30).filter(|number| reader.idempotent(&[*number; 32]).unwrap().is_some());
    assert_eq!(left.collect::<Vec<u8>>(), (21..=30).collect::<Vec<u8>>());
}

#[tokio::test]
async fn feed_items_ascend_by_a_millisecond_whatever_the_clock_does() {
    let bench = Bench::new();
    for (number, millis) in (1..=6).zip([5_000, 5_000, 4_000, 5_001, 9_000, 1]) {
        bench.accept(number, None, START).await;
        let item = message(number, number, Timestamp::from_millis(millis));
        bench.advance(number, 0, waiting(), Some(NewMessage::Feed(item, TriggerData::default()))).await.unwrap();
    }
    let reader = bench.store.read().unwrap();
    let (feed, user) = (ChannelId::from(FEED), RecipientRef::user("reader"));
    let mut seen = Vec::new();
    reader
        .each_feed_entry(feed, &user, .., Order::NewestFirst, |entry| {
            seen.push((entry.message.as_bytes()[0], entry.inserted_at.as_millis()));
            true
        })
        .unwrap();
    assert_eq!(seen, [(6, 9_001), (5, 9_000), (4, 5_003), (3, 5_002), (2, 5_001), (1, 5_000)]);
    let counts = reader.feed_counts(feed, &user).unwrap();
    assert_eq!(counts.shown, Tally { total: 6, unread: 6, unseen: 6 });
    assert_eq!(reader.feed_counts(feed, &RecipientRef::user("reade")).unwrap().shown.total, 0);
}

#[tokio::test]
async fn identify_merges_and_keeps_what_it_does_not_name() {
    let bench = Bench::new();
    let set = |properties: serde_json::Value| {
        let profile = Profile { properties: properties.as_object().unwrap().clone(), ..Profile::default() };
        Identify { people: vec![(RecipientRef::user("u"), profile)], at: START, bytes: 0 }
    };
    bench.store.identify(set(json!({"name": "Ellie", "address": {"city": "Snakewater"}}))).await.unwrap();
    let user = bench.store.identify(set(json!({"name": null, "address": {"zip": "59"}}))).await.unwrap();
    assert_eq!(json!(user[0].properties), json!({"name": null, "address": {"city": "Snakewater", "zip": "59"}}));
}

#[test]
fn a_second_store_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let bench = Bench::new();
    let second = Store::open(bench.folder.path(), Settings::default());
    assert!(matches!(second, Err(OpenError::InUse(_))));
    assert!(bench.store.read().is_ok());
}

#[test]
fn a_file_that_is_no_data_file_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("belfry.redb");
    for content in [b"not a database".as_slice(), b""] {
        std::fs::write(&path, content).unwrap();
        let opened = Store::open(folder.path(), Settings::default());
        assert!(matches!(opened, Err(OpenError::Unreadable(..))), "{content:?}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_creation_that_a_crash_interrupted_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("belfry.redb.new"), b"half a file").unwrap();
    let store = Store::open(folder.path(), Settings::default()).unwrap();
    assert!(store.read().is_ok());
}

#[tokio::test]
async fn a_closed_store_refuses_instead_of_hanging() {
    let bench = Bench::new();
    bench.store.close();
    assert_eq!(bench.try_accept(1, None, START).await, Err(StoreError::Closed));
    assert!(matches!(bench.store.read(), Err(StoreError::Closed)));
}

#[tokio::test]
async fn a_file_of_an_earlier_version_gets_the_tables_that_it_lacks_and_its_feed_items_stay_readable() {
    /// An item before there were marks.
    #[derive(serde::Serialize)]
    struct EarlierEntry {
        message: MessageId,
        workflow: &'static str,
        tenant: Option<String>,
        inserted_at: Timestamp,
        seen_at: Option<Timestamp>,
        read_at: Option<Timestamp>,
        archived_at: Option<Timestamp>,
    }
    let bench = Bench::new();
    bench.store.close();
    let (channel, user) = (ChannelId::from(FEED), RecipientRef::user("reader"));
    let entry = EarlierEntry {
        message: MessageId::from([1; 16]),
        workflow: "w",
        tenant: None,
        inserted_at: START,
        seen_at: None,
        read_at: None,
        archived_at: None,
    };
    let database = redb::Database::open(bench.folder.path().join("belfry.redb")).unwrap();
    let txn = database.begin_write().unwrap();
    for table in [TableId::Engagements, TableId::MessageEvents, TableId::BulkOperations, TableId::HistoryOf] {
        assert!(txn.delete_table(table.definition()).unwrap());
    }
    let key = item_key(&feed_key(channel, &user), START);
    Tables::new(&txn).put(TableId::Feed, &key, &entry).unwrap();
    Tables::new(&txn).put(TableId::Messages, &[1; 16], &message(1, 1, START)).unwrap();
    upgrade::mark(&mut Tables::new(&txn), 2).unwrap();
    txn.commit().unwrap();
    drop(database);
    let store = Store::open(bench.folder.path(), Settings::default()).unwrap();
    let reader = store.read().unwrap();
    assert!(reader.message_events(MessageId::from([1; 16])).unwrap().is_empty());
    let mut found = Vec::new();
    reader
        .each_feed_entry(channel, &user, .., Order::NewestFirst, |entry| {
            found.push((entry.message, entry.engagement));
            true
        })
        .unwrap();
    assert_eq!(found, [(entry.message, Engagement::default())]);
    // Its messages are found by whose they are, too.
    store.remove(vec![user], START).await.unwrap();
    assert!(store.read().unwrap().messages().unwrap().is_empty());
}
