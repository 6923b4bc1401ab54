//! Batches against a model of a few lines, in any order of what can happen to them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use redb::Database;
use redb::backends::InMemoryBackend;

use super::super::apply::apply;
use super::super::bundle::Fresh;
use super::super::cohort::Records;
use super::super::op::{Advance, Cancel, Changes, Done, Gate, Op, Remove, Trim};
use super::super::read::Order as Walk;
use super::super::tests::{START, run};
use super::*;
use crate::base::ids::TriggerId;
use crate::model::batch_step::Order;

const WINDOW: u64 = 60;

struct Bench(Database);

impl Bench {
    fn new() -> Self {
        let bench = Self(Database::builder().create_with_backend(InMemoryBackend::new()).unwrap());
        bench.write(true, |tables| tables.open_all());
        bench
    }

    /// Without `lasts` the process ends before the commit.
    fn write<T>(&self, lasts: bool, work: impl FnOnce(&mut Tables<'_>) -> Result<T, StoreError>) -> T {
        let txn = self.0.begin_write().unwrap();
        let mut tables = Tables::new(&txn);
        let done = work(&mut tables).unwrap();
        drop(tables);
        if lasts {
            txn.commit().unwrap()
        } else {
            txn.abort().unwrap()
        }
        done
    }

    fn apply(&self, lasts: bool, op: Op) -> Done {
        self.write(lasts, |tables| apply(tables, &mut Fresh::default(), op))
    }

    fn reader(&self) -> Reader {
        Reader::begin(&self.0).unwrap()
    }

    fn accept(&self, run: &Run) {
        let records = Records::of(std::slice::from_ref(run)).unwrap();
        self.write(true, |tables| {
            records.alone.iter().try_for_each(|(id, record)| tables.put_encoded(TableId::Runs, id.as_bytes(), record))
        });
    }

    fn advance(&self, lasts: bool, run: RunId, to: Next, gate: Gate, at: Timestamp) -> Option<Next> {
        let expect = self.reader().run(run).unwrap().unwrap().revision;
        let advance = Advance {
            run,
            expect,
            to,
            gate: Some(gate),
            message: None,
            changes: Changes::default(),
            events: Vec::new(),
            at,
        };
        match self.apply(lasts, Op::Advance(Box::new(advance))) {
            Done::Diverted(diverted) => Some(diverted.to),
            _ => None,
        }
    }

    fn keys(&self, table: TableId) -> usize {
        let mut count = 0;
        self.reader().each_key(table, &[], |_| count += 1).unwrap();
        count
    }
}

/// How the step is set.
#[derive(Clone, Copy, Debug)]
struct Setting {
    mode: Mode,
    limit: Option<u64>,
    max_items: Option<u32>,
}

#[derive(Clone, Debug)]
enum Event {
    /// A run of this recipient, batch key, actor and cancellation key comes; the process may end before it is written.
    Come {
        who: u8,
        key: u8,
        actor: u8,
        cancel: Option<u8>,
        dies_first: bool,
    },
    /// The run of one of the batches looks whether it is over.
    Close(prop::sample::Index),
    Cancel {
        key: u8,
        who: Option<u8>,
        dies_first: bool,
    },
    /// The clock goes on, or is set back.
    Step(i64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let come = (0u8..2, 0u8..2, 0u8..3, prop::option::of(0u8..3), prop::bool::weighted(0.1))
        .prop_map(|(who, key, actor, cancel, dies_first)| Event::Come { who, key, actor, cancel, dies_first });
    let cancel = (0u8..3, prop::option::of(0u8..2), prop::bool::weighted(0.1))
        .prop_map(|(key, who, dies_first)| Event::Cancel { key, who, dies_first });
    let close = any::<prop::sample::Index>().prop_map(Event::Close);
    let step = prop_oneof![5 => 0i64..40, 1 => 60i64..200, 1 => -30i64..0, 1 => -200i64..-60].prop_map(Event::Step);
    prop::collection::vec(prop_oneof![6 => come, 3 => close, 2 => cancel, 4 => step], 1..80)
}

struct Modelled {
    who: u8,
    opened: Timestamp,
    closes: Timestamp,
    /// Each run, its actor and its cancellation key.
    items: Vec<(RunId, u8, Option<u8>)>,
    carrier: (RunId, Option<u8>),
    closed: bool,
}

#[derive(Clone, Copy)]
enum Slot {
    Batch(usize),
    Leading(Timestamp, Timestamp),
}

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn cancel_hash(key: u8) -> CancelHash {
    CancelHash([key + 1; 16])
}

fn user(who: u8) -> RecipientRef {
    RecipientRef::user(format!("u{who}"))
}

fn new_run(number: u8, who: u8, cancel: Option<u8>) -> Run {
    Run { recipient: user(who), cancel: cancel.map(cancel_hash), ..run(number) }
}

fn entering(setting: Setting, key: u8, actor: u8, at: Timestamp) -> Entering {
    Entering {
        key: [key; 16],
        shown_key: String::new(),
        step: 0,
        step_ref: "batch_1".into(),
        mode: setting.mode,
        until: at.plus(secs(WINDOW)),
        latest: setting.limit.map(|limit| at.plus(secs(limit))),
        max_items: setting.max_items,
        actor: Some(RecipientRef::user(format!("a{actor}"))),
    }
}

fn closing(rendered: u32) -> Gate {
    Gate::Close(Closing { step_ref: "batch_1".into(), order: Order::Last, rendered, version: None })
}

fn planned(setting: Setting, at: Timestamp) -> Next {
    match setting.mode {
        Mode::Accumulate => Next::Phase(Phase::Batching { step: 0, due: at.plus(secs(WINDOW)) }),
        Mode::FlushLeading => Next::Phase(Phase::Ready { step: 1 }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_item_is_told_by_one_close_or_was_cancelled(
        mode in prop_oneof![Just(Mode::Accumulate), Just(Mode::FlushLeading)],
        limit in prop::option::of(prop_oneof![Just(30u64), Just(100)]),
        max_items in prop::option::of(2u32..4),
        events in events(),
    ) {
        let setting = Setting { mode, limit, max_items };
        let bench = Bench::new();
        let mut at = START;
        let mut batches: Vec<Modelled> = Vec::new();
        let mut slots: BTreeMap<(u8, u8), Slot> = BTreeMap::new();
        let (mut alone, mut cancelled, mut all) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let end = Event::Step(20_000);
        let closes = (0..events.len()).map(|_| None);
        let mut number = 0;
        // Windows that were over by then may have been cleared.
        let mut cleared = Timestamp::default();
        for event in events.into_iter().map(Some).chain([Some(end)]).chain(closes) {
            match event {
                Some(Event::Step(by)) => {
                    at = Timestamp::from_micros(at.as_micros() + by * 1_000_000);
                }
                Some(Event::Come { who, key, actor, cancel, dies_first }) => {
                    number += 1;
                    let run = new_run(number, who, cancel);
                    bench.accept(&run);
                    all.insert(run.id);
                    let gate = || Gate::Batch(Box::new(entering(setting, key, actor, at)));
                    if dies_first {
                        bench.advance(false, run.id, planned(setting, at), gate(), at);
                    }
                    let went = bench.advance(true, run.id, planned(setting, at), gate(), at);
                    let item = (run.id, actor, cancel);
                    let slot = slots.get(&(who, key)).copied();
                    // Whether a window is still known over whose end the clock was set back, only the store says.
                    let slot = slot.filter(|slot| {
                        !matches!(slot, Slot::Leading(_, until) if *until <= cleared) || went.is_some()
                    });
                    match slot {
                        Some(Slot::Batch(index)) if !batches[index].closed && batches[index].closes > at => {
                            let batch = &mut batches[index];
                            batch.items.push(item);
                            if let Some(limit) = limit {
                                batch.closes = at.plus(secs(WINDOW)).min(batch.opened.plus(secs(limit))).max(at);
                            }
                            if max_items.is_some_and(|most| batch.items.len() >= most as usize) {
                                batch.closes = at;
                            }
                            prop_assert_eq!(went, Some(Next::End(Outcome::Batched(batch.carrier.0))));
                            // Whoever waits for the end wakes in time, if its wait is looked at again when it is over.
                            let carrier = bench.reader().run(batch.carrier.0).unwrap().unwrap();
                            prop_assert!(carrier.phase.due().unwrap() <= batch.closes.max(at));
                        }
                        slot => {
                            let (opened, closes, waits) = match slot {
                                Some(Slot::Leading(opened, until)) if until > at => {
                                    let slid = limit.map(|limit| at.plus(secs(WINDOW)).min(opened.plus(secs(limit))));
                                    (opened, slid.unwrap_or(until), true)
                                }
                                _ => (at, at.plus(secs(WINDOW)), mode == Mode::Accumulate),
                            };
                            let led = matches!(slot, Some(Slot::Leading(_, until)) if until > at);
                            if waits {
                                slots.insert((who, key), Slot::Batch(batches.len()));
                                let carrier = (run.id, cancel);
                                batches.push(Modelled { who, opened, closes, items: vec![item], carrier, closed: false });
                            } else {
                                slots.insert((who, key), Slot::Leading(opened, closes));
                                alone.insert(run.id);
                                cleared = cleared.max(at);
                            }
                            let instead = Next::Phase(Phase::Batching { step: 0, due: closes });
                            prop_assert_eq!(went, led.then_some(instead));
                        }
                    }
                }
                Some(Event::Cancel { key, who, dies_first }) => {
                    let hash = cancel_hash(key);
                    // As the registry knows them.
                    let mut runs = Vec::new();
                    bench.reader().each_run(|run| {
                        let waits = matches!(run.phase, Phase::Batching { .. });
                        runs.extend((run.cancel == Some(hash) && waits).then_some(run.id));
                    }).unwrap();
                    let recipients = who.map(|who| vec![user(who)]);
                    let op = Cancel { key: hash, runs, recipients, of: None, spreading: Vec::new(), at };
                    if dies_first {
                        bench.apply(false, Op::Cancel(op.clone()));
                    }
                    let Done::Cancelled(found) = bench.apply(true, Op::Cancel(op)) else { panic!() };
                    let mut expected = BTreeSet::new();
                    for batch in batches.iter_mut().filter(|batch| !batch.closed) {
                        if who.is_none_or(|who| who == batch.who) {
                            let (gone, left): (Vec<_>, Vec<_>) = batch.items.drain(..).partition(|item| item.2 == Some(key));
                            batch.items = left;
                            expected.extend(gone.into_iter().map(|item| item.0));
                        }
                    }
                    prop_assert!(found.iter().all(|one| one.stood.is_none()));
                    prop_assert_eq!(&found.iter().map(|one| one.run).collect::<BTreeSet<_>>(), &expected);
                    cancelled.extend(expected);
                }
                Some(Event::Close(_)) | None => {
                    let open: Vec<usize> = (0..batches.len()).filter(|index| !batches[*index].closed).collect();
                    let index = match (&event, open.as_slice()) {
                        (_, []) => continue,
                        (Some(Event::Close(index)), open) => open[index.index(open.len())],
                        (_, open) => open[0],
                    };
                    let batch = &mut batches[index];
                    let to = Next::Phase(Phase::Ready { step: 1 });
                    let went = bench.advance(true, batch.carrier.0, to, closing(2), at);
                    if batch.closes > at {
                        let due = batch.closes;
                        prop_assert_eq!(went, Some(Next::Phase(Phase::Batching { step: 0, due })));
                        continue;
                    }
                    batch.closed = true;
                    let empty = Next::End(Outcome::Halted(Halt::EmptyBatch));
                    prop_assert_eq!(went, batch.items.is_empty().then_some(empty));
                    let reader = bench.reader();
                    let (id, stored) = reader.last_batch(batch.carrier.0).unwrap().unwrap();
                    let State::Closed(closed) = &stored.state else { panic!("{stored:?}") };
                    let told = reader.activities(id, &stored, closed).unwrap();
                    let actors: BTreeSet<u8> = batch.items.iter().map(|item| item.1).collect();
                    let total = (told.total as usize, told.total_actors as usize);
                    prop_assert_eq!(total, (batch.items.len(), actors.len()));
                    let last = batch.items.len().saturating_sub(2);
                    let meant: Vec<_> = batch.items[last..].iter().map(|item| TriggerId::from(*item.0.as_bytes())).collect();
                    prop_assert_eq!(told.shown.iter().map(|one| one.id).collect::<Vec<_>>(), meant);
                }
            }
        }
        let mut told: BTreeMap<RunId, usize> = BTreeMap::new();
        for batch in &batches {
            prop_assert!(batch.closed);
            let (id, _) = bench.reader().last_batch(batch.carrier.0).unwrap().unwrap();
            for (_, item) in bench.reader().items(id, 0, Walk::OldestFirst, usize::MAX).unwrap() {
                *told.entry(item.run).or_default() += 1;
            }
        }
        for run in all {
            let times = told.get(&run).copied().unwrap_or(0);
            let once = usize::from(!cancelled.contains(&run) && !alone.contains(&run));
            prop_assert_eq!(times, once, "run {}", run);
        }
        // What is forgotten is gone.
        for batch in &batches {
            bench.write(true, |tables| forget(tables, batch.carrier.0));
        }
        for table in [TableId::Batches, TableId::BatchItems, TableId::BatchActors, TableId::BatchCancels] {
            prop_assert_eq!(bench.keys(table), 0, "{:?}", table);
        }
    }
}

const ACCUMULATES: Setting = Setting { mode: Mode::Accumulate, limit: None, max_items: None };
const LEADS: Setting = Setting { mode: Mode::FlushLeading, limit: None, max_items: None };

fn comes(bench: &Bench, number: u8, setting: Setting, key: u8, at: Timestamp) -> Option<Next> {
    let run = new_run(number, 0, None);
    bench.accept(&run);
    bench.advance(true, run.id, planned(setting, at), Gate::Batch(Box::new(entering(setting, key, 0, at))), at)
}

#[test]
fn nobody_joins_a_batch_whose_run_has_ended_or_whose_recipient_was_deleted() {
    let bench = Bench::new();
    let opens = |number, at| assert_eq!(comes(&bench, number, ACCUMULATES, 0, at), None, "{number}");
    opens(1, START);
    let failed = Next::End(Outcome::Failed("it died".into()));
    let failing = Advance {
        run: RunId::from([1; 16]),
        expect: 1,
        to: failed,
        gate: None,
        changes: Changes::default(),
        message: None,
        events: Vec::new(),
        at: START,
    };
    bench.apply(true, Op::Advance(Box::new(failing)));
    opens(2, START);
    let remove = Remove { recipients: vec![user(0)], at: Timestamp::default() };
    bench.apply(true, Op::Remove(remove));
    opens(3, START);
    assert_eq!(bench.keys(TableId::OpenBatches), 1);
    // A run of before a deletion is of nobody.
    let remove = Remove { recipients: vec![user(0)], at: Timestamp::MAX };
    bench.apply(true, Op::Remove(remove));
    assert_eq!(comes(&bench, 4, ACCUMULATES, 0, START), Some(Next::End(Outcome::RecipientDeleted)));
    let close =
        bench.advance(true, RunId::from([3; 16]), Next::End(Outcome::Finished), closing(1), START.plus(secs(99)));
    assert_eq!(close, Some(Next::End(Outcome::RecipientDeleted)));
}

#[test]
fn windows_that_nobody_joined_are_cleared() {
    let bench = Bench::new();
    (0..100).for_each(|key| assert_eq!(comes(&bench, key, LEADS, key, START), None));
    assert!(comes(&bench, 100, LEADS, 0, START.plus(secs(30))).is_some());
    (101..141).for_each(|key| assert_eq!(comes(&bench, key, LEADS, key, START.plus(secs(90))), None));
    assert_eq!((bench.keys(TableId::OpenBatches), bench.keys(TableId::LeadingEnds)), (41, 40), "one is a batch");
}

#[test]
fn a_large_batch_is_forgotten_in_portions() {
    let bench = Bench::new();
    assert_eq!(comes(&bench, 1, ACCUMULATES, 0, START), None);
    let carrier = RunId::from([1; 16]);
    for number in 0..FORGOTTEN_PER_WRITE as u128 {
        let run = Run { id: RunId(uuid::Uuid::from_u128(number + 1_000)), recipient: user(0), ..run(9) };
        bench.accept(&run);
        let gate = Gate::Batch(Box::new(entering(ACCUMULATES, 0, 0, START)));
        assert!(bench.advance(true, run.id, planned(ACCUMULATES, START), gate, START).is_some());
    }
    assert_eq!(bench.advance(true, carrier, Next::End(Outcome::Finished), closing(1), START.plus(secs(60))), None);
    let forget = || bench.apply(true, Op::Trim(Trim::Runs(vec![carrier])));
    forget();
    assert_eq!(bench.keys(TableId::BatchItems), 1);
    assert!(bench.reader().ended_run(carrier).unwrap().is_some(), "the rest goes with the next look");
    forget();
    assert_eq!((bench.keys(TableId::BatchItems), bench.keys(TableId::Batches)), (0, 0));
    assert!(bench.reader().ended_run(carrier).unwrap().is_none());
}
