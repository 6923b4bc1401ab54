//! Waits against a model of a few lines, in any order of what can happen to them; and each event that can be waited for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Map, json};

use super::super::check::check;
use super::super::op::{
    Advance, BeginAttempt, Cancel, ChangeAudience, Changes, EndAttempt, Gate, Identify, Mark, MarkFeeds, NewMessage,
    Remove,
};
use super::super::op::{Change, Op};
use super::super::tests::{Bench, FEED, START, message, run};
use super::super::{Refused, StoreError};
use super::*;
use crate::base::ids::ChannelId;
use crate::model::audience::AudienceChange;
use crate::model::condition::{Conditions, MATCH_SCOPES};
use crate::model::engagement::Action;
use crate::model::message::{Attempt, AttemptResult, Status};
use crate::model::profile::Profile;
use crate::model::run::{Halt, Outcome};
use crate::model::trigger::CancelHash;
use crate::model::trigger_data::TriggerData;

const WAIT: Duration = Duration::from_secs(60);

fn wait(awaited: Awaited, conditions: Value) -> Wait {
    let mut errors = Vec::new();
    let conditions = Conditions::from_json("", &conditions, MATCH_SCOPES, &mut errors);
    assert!(errors.is_empty(), "{errors:?}");
    Wait { step_ref: "wait_1".into(), awaited, conditions, audiences: Vec::new(), providers: Vec::new() }
}

fn on(event: MessageHappening) -> Awaited {
    Awaited::Message { event, workflow: "w".into() }
}

/// Seen, of messages of the step.
fn seen(step: &str) -> Wait {
    let of_step = json!([{"variable": "event.step_ref", "operator": "equal_to", "argument": step}]);
    wait(on(MessageHappening::Did(Action::Seen)), of_step)
}

fn id(number: u8) -> RunId {
    RunId::from([number; 16])
}

fn user(who: u8) -> RecipientRef {
    RecipientRef::user(format!("u{who}"))
}

impl Bench {
    /// A run of `who` that waits from `at` on.
    async fn waits(&self, number: u8, who: u8, wait: Wait, looks_back: bool, at: Timestamp) -> Option<Next> {
        let run = Run { recipient: user(who), ..run(number) };
        self.accept_run(run, None, at).await.unwrap();
        self.begins_to_wait(number, 0, wait, looks_back, at).await
    }

    async fn begins_to_wait(
        &self,
        number: u8,
        expect: u32,
        wait: Wait,
        looks_back: bool,
        at: Timestamp,
    ) -> Option<Next> {
        let to = Next::Phase(Phase::Awaiting { step: 3, due: at.plus(WAIT) });
        let gate = Gate::Wait(Box::new(Registering { wait, step: 3, looks_back }));
        let went = self.moves(number, expect, to, Some(gate), None, at).await.unwrap();
        went.map(|diverted| diverted.to)
    }

    async fn moves(
        &self,
        number: u8,
        expect: u32,
        to: Next,
        gate: Option<Gate>,
        message: Option<NewMessage>,
        at: Timestamp,
    ) -> Result<Option<Diverted>, StoreError> {
        let of_message = message.clone().map(|made| made.into_message().id);
        let told = RunEvent::of_step(RunEventKind::MessageEnqueued, "s", at);
        let events = of_message.map(|id| RunEvent { message: Some(id), ..told }).into_iter().collect();
        let run = id(number);
        self.store.advance(Advance { run, expect, to, gate, changes: Changes::default(), message, events, at }).await
    }

    /// What its timer does.
    async fn expires(&self, number: u8, expect: u32, at: Timestamp) -> Result<Option<Diverted>, StoreError> {
        self.moves(number, expect, Next::End(Outcome::Halted(Halt::WaitExpired)), None, None, at).await
    }

    /// A message for `who` by a run of its own.
    async fn makes(&self, number: u8, who: u8, step: &str, place: impl FnOnce(Message) -> NewMessage) {
        self.publish(number, &user(who).id, |one| place(Message { step_ref: step.into(), ..one })).await;
    }

    async fn mark(&self, number: u8, action: Action, at: Timestamp) {
        let mark = Mark { messages: vec![MessageId::from([number; 16])], action, data: None, at };
        self.store.mark(mark).await.unwrap();
    }

    async fn cancels(&self, numbers: &[u8], at: Timestamp) -> Vec<RunId> {
        let runs = numbers.iter().copied().map(id).collect();
        let cancel =
            Cancel { key: CancelHash::of("w", "key"), runs, recipients: None, of: None, spreading: Vec::new(), at };
        self.store.cancel(cancel).await.unwrap().into_iter().map(|one| one.run).collect()
    }

    fn phase(&self, number: u8) -> Option<Phase> {
        self.store.read().unwrap().run(id(number)).unwrap().map(|run| run.phase)
    }

    /// The events that a run was told of as what it waited for.
    fn matched(&self, number: u8) -> Vec<Value> {
        let events = self.store.read().unwrap().run_events(id(number)).unwrap();
        let of_wait = events.into_iter().filter_map(|event| match event.kind {
            RunEventKind::WaitMatched { event, .. } => Some(event),
            _ => None,
        });
        of_wait.collect()
    }

    fn keys(&self, table: TableId) -> usize {
        let mut count = 0;
        self.store.read().unwrap().each_key(table, &[], |_| count += 1).unwrap();
        count
    }
}

fn to_feed(message: Message) -> NewMessage {
    NewMessage::Feed(Message { status: Status::Delivered, ..message }, TriggerData::default())
}

fn to_outbox(message: Message) -> NewMessage {
    NewMessage::Send(message, None)
}

#[derive(Clone, Debug)]
enum Deed {
    Wait {
        who: u8,
        step: usize,
    },
    /// A message, by its recipient and its step.
    Mark {
        who: u8,
        step: usize,
        action: Action,
        bulk: bool,
    },
    /// A run's timer looks whether its time is over, also when it was before.
    Expire(prop::sample::Index),
    Cancel(prop::sample::Index),
    /// The clock goes on, or is set back.
    Step(i64),
    Restart,
}

const STEPS: [&str; 2] = ["one", "two"];

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let which = || (0u8..2, 0..STEPS.len());
    let action = prop_oneof![4 => Just(Action::Seen), 1 => Just(Action::Read)];
    let index = any::<prop::sample::Index>;
    let deed = prop_oneof![
        5 => which().prop_map(|(who, step)| Deed::Wait { who, step }),
        5 => (which(), action, any::<bool>())
            .prop_map(|((who, step), action, bulk)| Deed::Mark { who, step, action, bulk }),
        3 => index().prop_map(Deed::Expire),
        1 => index().prop_map(Deed::Cancel),
        4 => prop_oneof![3 => 0i64..40, 1 => Just(60), 1 => -30i64..0].prop_map(Deed::Step),
        1 => Just(Deed::Restart),
    ];
    prop::collection::vec(deed, 1..50)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Waits(Timestamp),
    Matched,
    Expired,
    Cancelled,
}

struct Modelled {
    number: u8,
    who: u8,
    step: usize,
    fate: Fate,
}

/// The number of the message of `who` by `step`.
fn of(who: u8, step: usize) -> u8 {
    200 + who * 2 + u8::try_from(step).unwrap()
}

async fn play(deeds: Vec<Deed>) {
    let mut bench = Bench::new();
    let mut runs: Vec<Modelled> = Vec::new();
    let mut at = START;
    for who in 0..2 {
        for (step, name) in STEPS.into_iter().enumerate() {
            bench.makes(of(who, step), who, name, to_feed).await;
        }
    }
    for deed in deeds {
        match deed {
            Deed::Wait { who, step } => {
                let number = u8::try_from(runs.len()).unwrap();
                bench.waits(number, who, seen(STEPS[step]), false, at).await;
                runs.push(Modelled { number, who, step, fate: Fate::Waits(at.plus(WAIT)) });
            }
            Deed::Mark { who, step, action, bulk } => {
                let number = of(who, step);
                if bulk {
                    let marked = bench.store.read().unwrap().message(MessageId::from([number; 16])).unwrap().unwrap();
                    let items = vec![(user(who), vec![marked.inserted_at])];
                    let channel = ChannelId::from(FEED);
                    let mark = MarkFeeds { channel, items, change: Change::Take(action), at };
                    assert_eq!(bench.store.mark_feeds(mark).await.unwrap(), 1);
                } else {
                    bench.mark(number, action, at).await;
                }
                for run in runs.iter_mut().filter(|run| action == Action::Seen && (run.who, run.step) == (who, step)) {
                    if matches!(run.fate, Fate::Waits(due) if at <= due) {
                        run.fate = Fate::Matched;
                    }
                }
            }
            Deed::Expire(index) if !runs.is_empty() => {
                let run = index.get(&runs).number;
                let run = &mut runs[usize::from(run)];
                let went = bench.expires(run.number, 1, at).await;
                match run.fate {
                    Fate::Waits(_) => {
                        assert_eq!(went, Ok(None));
                        run.fate = Fate::Expired;
                    }
                    _ => assert_eq!(went, Err(StoreError::Refused(Refused::Stale))),
                }
            }
            Deed::Cancel(index) if !runs.is_empty() => {
                let run = index.get(&runs).number;
                let run = &mut runs[usize::from(run)];
                let cancelled = bench.cancels(&[run.number], at).await;
                let taken = matches!(run.fate, Fate::Waits(_) | Fate::Matched);
                assert_eq!(cancelled.len(), usize::from(taken));
                run.fate = if taken { Fate::Cancelled } else { run.fate };
            }
            Deed::Step(by) => at = Timestamp::from_micros(at.as_micros() + by * 1_000_000),
            Deed::Restart => bench = bench.reopen(),
            Deed::Expire(_) | Deed::Cancel(_) => {}
        }
    }
    for run in &runs {
        let phase = bench.phase(run.number);
        match run.fate {
            Fate::Waits(due) => assert_eq!(phase, Some(Phase::Awaiting { step: 3, due })),
            Fate::Matched => assert_eq!(phase, Some(Phase::Matched { step: 3 })),
            Fate::Expired | Fate::Cancelled => assert_eq!(phase, None),
        }
        let matched = bench.matched(run.number);
        assert!(matched.len() <= 1, "{matched:?}");
        match run.fate {
            Fate::Matched => assert_eq!(matched[0]["step_ref"], STEPS[run.step]),
            Fate::Waits(_) | Fate::Expired => assert!(matched.is_empty()),
            // It may have matched before.
            Fate::Cancelled => {}
        }
    }
    check(&bench.store.read().unwrap()).unwrap();
    let waiting = runs.iter().filter(|run| matches!(run.fate, Fate::Waits(_))).count();
    assert_eq!((bench.keys(TableId::Waits), bench.keys(TableId::Awaited)), (waiting, waiting));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_run_meets_one_event_or_the_end_of_its_wait_or_a_cancel(deeds in deeds()) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(play(deeds));
    }
}

#[tokio::test]
async fn an_event_at_the_instant_of_the_end_counts_and_one_after_it_does_not() {
    let bench = Bench::new();
    bench.makes(200, 1, "one", to_feed).await;
    bench.waits(1, 1, seen("one"), false, START).await;
    bench.mark(200, Action::Seen, START.plus(WAIT)).await;
    assert_eq!(bench.phase(1), Some(Phase::Matched { step: 3 }));
    bench.waits(2, 1, seen("one"), false, START).await;
    bench.mark(200, Action::Seen, START.plus(WAIT).plus(Duration::from_micros(1))).await;
    assert!(matches!(bench.phase(2), Some(Phase::Awaiting { .. })));
    let stale = bench.expires(1, 1, START.plus(WAIT)).await;
    assert_eq!(stale, Err(StoreError::Refused(Refused::Stale)));
    assert_eq!(bench.expires(2, 1, START.plus(WAIT)).await, Ok(None));
}

#[tokio::test]
async fn the_run_is_told_of_before_the_event_is_answered() {
    let bench = Bench::new();
    let heard: Arc<Mutex<Vec<Hastened>>> = Arc::default();
    let ear = Arc::clone(&heard);
    bench.store.admit_with(move |_, woken| ear.lock().unwrap().extend(woken));
    bench.makes(200, 1, "one", to_feed).await;
    bench.waits(1, 1, seen("one"), false, START).await;
    let at = START.plus(Duration::from_secs(1));
    bench.mark(200, Action::Seen, at).await;
    assert_eq!(*heard.lock().unwrap(), [Hastened { run: id(1), from: START.plus(WAIT), to: at }]);
}

#[tokio::test]
async fn what_happened_before_the_wait_counts_only_where_the_run_looks_back_at_its_own_messages() {
    let bench = Bench::new();
    for (number, looks_back) in [(1, false), (2, true)] {
        bench.accept_run(Run { recipient: user(1), ..run(number) }, None, START).await.unwrap();
        let made = Message { recipient: user(1), step_ref: "one".into(), ..message(number, number, START) };
        let at_wait = Next::Phase(Phase::Ready { step: 3 });
        bench.moves(number, 0, at_wait, None, Some(to_feed(made)), START).await.unwrap();
        bench.mark(number, Action::Seen, START).await;
        let went = bench.begins_to_wait(number, 1, seen("one"), looks_back, START).await;
        let expected = looks_back.then_some(Next::Phase(Phase::Matched { step: 3 }));
        assert_eq!(went, expected);
        assert_eq!(bench.matched(number).len(), usize::from(looks_back));
    }
    // What another step of it made is none of those.
    let other = Next::Phase(Phase::Ready { step: 4 });
    bench.moves(2, 2, other, None, None, START).await.unwrap();
    assert_eq!(bench.begins_to_wait(2, 3, seen("two"), true, START).await, None);
}

#[tokio::test]
async fn every_delivery_of_a_message_is_an_event_of_its_recipient() {
    let bench = Bench::new();
    let events = [
        MessageHappening::Created,
        MessageHappening::Became(Status::Queued),
        MessageHappening::Became(Status::DeliveryAttempted),
        MessageHappening::Became(Status::Undelivered),
        MessageHappening::Became(Status::Sent),
    ];
    for (number, event) in (1..).zip(events) {
        bench.waits(number, 1, wait(on(event), json!([])), false, START).await;
        bench.waits(number + 10, 2, wait(on(event), json!([])), false, START).await;
    }
    bench.makes(200, 1, "one", to_outbox).await;
    let (run, message) = (id(200), MessageId::from([200; 16]));
    for (result, retry_at) in [(AttemptResult::Transient, Some(START)), (AttemptResult::Permanent, None)] {
        bench.store.begin_attempt(BeginAttempt { run, message, at: START }).await.unwrap();
        let attempt = Attempt { number: 1, at: START, result, reply: String::new(), notes: Vec::new() };
        bench
            .store
            .end_attempt(EndAttempt { run, message, attempt, retry_at, gone: Vec::new(), captured: None })
            .await
            .unwrap();
    }
    let told: Vec<_> = (1..5).map(|number| bench.matched(number)[0]["event_type"].clone()).collect();
    assert_eq!(
        json!(told),
        json!(["message.created", "message.queued", "message.delivery_attempted", "message.undelivered"])
    );
    // It was never sent, and the other recipient has no message.
    assert!((5..6).chain(11..16).all(|number| matches!(bench.phase(number), Some(Phase::Awaiting { .. }))));
}

#[tokio::test]
async fn runs_are_events_when_they_are_accepted_and_when_they_complete() {
    let bench = Bench::new();
    let awaited = |event| Awaited::Workflow { event, workflow: "w".into() };
    let of_other = Awaited::Workflow { event: RunHappening::Completed, workflow: "other".into() };
    bench.waits(1, 7, wait(awaited(RunHappening::Started), json!([])), false, START).await;
    bench.waits(2, 7, wait(awaited(RunHappening::Completed), json!([])), false, START).await;
    bench.waits(3, 7, wait(of_other, json!([])), false, START).await;
    // The second run was itself one that starts.
    assert_eq!(bench.phase(1), Some(Phase::Matched { step: 3 }));
    assert_eq!(bench.matched(1)[0]["notify_data"]["token"], 2);
    bench.accept(7, None, START).await;
    bench.cancels(&[7], START).await;
    assert!(matches!(bench.phase(2), Some(Phase::Awaiting { .. })), "a cancelled run has not completed");
    bench.waits(8, 7, wait(Awaited::RecipientUpdated, json!([])), false, START).await;
    bench.moves(8, 1, Next::End(Outcome::Finished), None, None, START).await.unwrap();
    assert_eq!(bench.phase(2), Some(Phase::Matched { step: 3 }));
    let told = &bench.matched(2)[0];
    assert_eq!((&told["workflow_key"], &told["status"]), (&json!("w"), &json!("completed")));
    assert!(matches!(bench.phase(3), Some(Phase::Awaiting { .. })));
    assert_eq!(bench.keys(TableId::Waits), 1);
}

#[tokio::test]
async fn a_recipient_is_updated_by_what_changes_it_and_not_by_what_it_is_already() {
    let bench = Bench::new();
    let is_pro = json!([{"variable": "event.properties.plan", "operator": "equal_to", "argument": "pro"}]);
    bench.waits(1, 1, wait(Awaited::RecipientUpdated, json!([])), false, START).await;
    bench.waits(2, 1, wait(Awaited::RecipientUpdated, is_pro), false, START).await;
    let says = |plan: &str| {
        let properties = Map::from_iter([("plan".to_owned(), json!(plan)), ("email".to_owned(), json!("a@x.test"))]);
        let people = vec![(user(1), Profile { properties, ..Profile::default() })];
        bench.store.identify(Identify { people, at: START, bytes: 0 })
    };
    says("free").await.unwrap();
    assert_eq!(bench.phase(1), Some(Phase::Matched { step: 3 }));
    assert_eq!(bench.matched(1)[0]["knock_traits"], json!({"email": "a@x.test"}));
    bench.waits(3, 1, wait(Awaited::RecipientUpdated, json!([])), false, START).await;
    says("free").await.unwrap();
    assert!((2..4).all(|number| matches!(bench.phase(number), Some(Phase::Awaiting { .. }))));
    says("pro").await.unwrap();
    assert!((2..4).all(|number| bench.phase(number) == Some(Phase::Matched { step: 3 })));
}

#[tokio::test]
async fn who_enters_or_leaves_an_audience_is_an_event_and_who_stays_is_none() {
    let bench = Bench::new();
    let awaited = |event| Awaited::Audience { event, audience: "vips".into() };
    bench.waits(1, 1, wait(awaited(Crossing::Enter), json!([])), false, START).await;
    bench.waits(2, 1, wait(awaited(Crossing::Exit), json!([])), false, START).await;
    let change = |change| {
        let members = vec![(user(1), Some("acme".to_owned()))];
        let change = ChangeAudience { key: "vips".into(), change, members, people: Vec::new(), at: START };
        bench.store.change_audience(change)
    };
    change(AudienceChange::Remove).await.unwrap();
    assert!((1..3).all(|number| matches!(bench.phase(number), Some(Phase::Awaiting { .. }))));
    change(AudienceChange::Add).await.unwrap();
    assert_eq!(bench.matched(1)[0]["transition"], "enter");
    bench.waits(3, 1, wait(awaited(Crossing::Enter), json!([])), false, START).await;
    change(AudienceChange::Add).await.unwrap();
    assert!(matches!(bench.phase(3), Some(Phase::Awaiting { .. })));
    change(AudienceChange::Remove).await.unwrap();
    assert_eq!(
        bench.matched(2)[0],
        json!({"audience_id": "vips", "recipient": "u1", "transition": "exit", "tenant_id": "acme", "happened_at": START})
    );
}

#[tokio::test]
async fn a_run_of_somebody_who_was_deleted_does_not_begin_to_wait() {
    let bench = Bench::new();
    bench.accept_run(Run { recipient: user(1), ..run(1) }, None, START).await.unwrap();
    bench.store.submit(Op::Remove(Remove { recipients: vec![user(1)], at: Timestamp::MAX })).await.unwrap();
    let went = bench.begins_to_wait(1, 0, seen("one"), false, START).await;
    assert_eq!(went, Some(Next::End(Outcome::RecipientDeleted)));
    assert_eq!((bench.keys(TableId::Waits), bench.keys(TableId::Awaited)), (0, 0));
}
