//! Knows every run that has not ended: those at work by their actor, those that sleep long by (due, id), and all that
//! can be cancelled by (mark of the key, id). A parked run costs 32 bytes, its key 24, and no actor.
//! What is to be started takes turns by flow, and a flow has a share of the places while others are about, so that one
//! workflow or tenant with many runs delays no other.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, MessageResult, ResponseActFuture,
    SpawnHandle, WrapFuture,
};

use super::catalog::VersionError;
use super::dense_set::DenseSet;
use super::fan_out::FanOutError;
use super::places::Places;
use super::run::{RunActor, Stop, Wake};
use super::{Engine, fan_out, plan};
use crate::base::alarm::Alarm;
use crate::base::clock::Timestamp;
use crate::base::ids::{RunId, TriggerId};
use crate::base::mail::tell;
use crate::base::turns::Turns;
use crate::base::work::WorkGuard;
use crate::model::flow::Flow;
use crate::model::recipient::RecipientRef;
use crate::model::subscription::FanOut;
use crate::model::trigger::CancelHash;
use crate::store::op::{Admission, Cancel, Cancelled, Hastened};
use crate::store::{Store, StoreError};

/// Runs that doze with an actor at once; past this they are parked however short they sleep. At 1.2 KB each, 60 MB.
const MAX_DOZING: usize = 50_000;

/// Runs that wait for another server's answer and take no place at once; each keeps what its step looked at. Past this
/// they take a place.
const MAX_ABROAD: usize = 4_096;

/// An actor that died this often ends its run as failed, and touches no other.
const MAX_CRASHES: u8 = 3;

/// The registry.
pub struct Registry {
    engine: Arc<Engine>,
    parked: DenseSet<Parked>,
    keys: DenseSet<(KeyMark, RunId)>,
    live: HashMap<RunId, Live>,
    /// Of the runs that work: those that doze or wait for another server's answer take none.
    places: Places,
    dozing: usize,
    abroad: usize,
    /// Runs to be started when there is room for their actors, and since when each is due.
    ready: Turns<Flow, (RunId, Timestamp)>,
    /// Held while runs are ready or due and have no actor yet.
    backlog: Option<WorkGuard>,
    crashes: HashMap<RunId, u8>,
    /// Triggers that are spreading to subscribers.
    fan_outs: BTreeMap<TriggerId, Spreading>,
    alarm: Alarm,
    draining: bool,
}

/// Below every run.
const NO_RUN: RunId = RunId(uuid::Uuid::nil());

/// When a run goes on, and which.
type Parked = (Timestamp, RunId, Flow);

/// Half of a key's hash. Who shares it is told apart by the store, where a run's record has the whole.
type KeyMark = u64;

fn mark(key: CancelHash) -> KeyMark {
    let [a, b, c, d, e, f, g, h, ..] = key.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

struct Spreading {
    cancel: Option<CancelHash>,
    /// `None`: it is not at work, since it failed.
    task: Option<SpawnHandle>,
}

struct Live {
    actor: Addr<RunActor>,
    flow: Flow,
    dozing: Option<Timestamp>,
    is_abroad: bool,
    /// It is due then, and does not know.
    hastened: Option<Timestamp>,
}

/// The pending runs of a store.
#[derive(Default)]
pub struct Recovered {
    parked: DenseSet<Parked>,
    keys: DenseSet<(KeyMark, RunId)>,
    ready: Turns<Flow, (RunId, Timestamp)>,
    fan_outs: Vec<FanOut>,
}

impl Recovered {
    /// Reads them with one scan.
    pub fn scan(store: &Store) -> Result<Self, StoreError> {
        let mut found = Self::default();
        let reader = store.read()?;
        found.fan_outs = reader.fan_outs()?;
        // The courier reads it when it starts; what it could not read would be told of by nobody.
        reader.each_pending(|_| true)?;
        // Collected first, since they come in no order: a set that is built at once is built faster.
        let mut keys = Vec::new();
        reader.each_waiting(|run| {
            match run.phase.due() {
                Some(due) => found.parked.insert((due, run.id, run.flow)),
                None => found.ready.push(run.flow, (run.id, run.id.made_at())),
            }
            keys.extend(run.cancel.map(|key| (mark(key), run.id)));
        })?;
        found.keys = keys.into_iter().collect();
        Ok(found)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.parked.len() + self.ready.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Spreading {
    fn recovered(fan_out: FanOut) -> (TriggerId, Self) {
        (fan_out.trigger, Self { cancel: fan_out.cancel, task: None })
    }
}

impl Registry {
    /// A registry that goes on with what was found in the store.
    pub fn new(engine: Arc<Engine>, recovered: Recovered) -> Self {
        Self {
            places: Places::new(engine.max_active),
            engine,
            parked: recovered.parked,
            keys: recovered.keys,
            live: HashMap::new(),
            dozing: 0,
            abroad: 0,
            ready: recovered.ready,
            backlog: None,
            crashes: HashMap::new(),
            fan_outs: recovered.fan_outs.into_iter().map(Spreading::recovered).collect(),
            alarm: Alarm::default(),
            draining: false,
        }
    }

    /// Starts what is ready or due, as far as there is room, and sets the alarm for what is due next.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        let now = self.engine.deps.clock.now();
        let later = (now.plus(Duration::from_micros(1)), NO_RUN, Flow(0));
        while let Some((due, id, flow)) = self.parked.pop_below(&later) {
            self.ready.push(flow, (id, due));
        }
        while !self.draining
            && self.places.are_left()
            && let Some((flow, (id, _))) = self.ready.pop_of(|flow| self.places.are_free(flow, now))
        {
            self.start(id, flow, ctx);
        }
        let next = self.next_parked();
        if self.draining {
            self.backlog = None;
        } else if !self.ready.is_empty() {
            // Room comes with the next run that rests, which pumps again.
            self.backlog.get_or_insert_with(|| self.engine.deps.work.begin());
        } else {
            self.backlog = None;
            self.alarm.set(next, &self.engine.deps.clock, ctx, Self::ring);
        }
        metrics::gauge!("belfry_runs_live").set(self.live.len() as f64);
        metrics::gauge!("belfry_runs_parked").set(self.parked.len() as f64);
        metrics::gauge!("belfry_runs_ready").set(self.ready.len() as f64);
    }

    fn next_parked(&self) -> Option<Timestamp> {
        self.parked.first().map(|(due, ..)| *due)
    }

    fn ring(&mut self, ctx: &mut Context<Self>) {
        self.alarm.rang();
        self.pump(ctx);
    }

    /// The one start path: of fresh runs, of those that are due, of recovered ones, and of those whose actor died.
    fn start(&mut self, id: RunId, flow: Flow, ctx: &mut Context<Self>) {
        let work = self.engine.deps.work.begin();
        self.places.begin(flow, self.engine.deps.clock.now());
        let actor = RunActor::new(Arc::clone(&self.engine), ctx.address(), id, work).start();
        self.live.insert(id, Live { actor, flow, dozing: None, is_abroad: false, hastened: None });
    }

    /// Goes on with the fan-out of a trigger.
    fn spread(&mut self, trigger: TriggerId, cancel: Option<CancelHash>, ctx: &mut Context<Self>) {
        let work = self.engine.deps.work.begin();
        let spreading = fan_out::run(Arc::clone(&self.engine), trigger).into_actor(self);
        let task = ctx.spawn(spreading.map(move |ended, registry, _| {
            match ended {
                Ok(()) => drop(registry.fan_outs.remove(&trigger)),
                Err(error) => {
                    if let FanOutError::Store(error) | FanOutError::Version(VersionError::Store(error)) = &error {
                        registry.engine.store.report(error);
                    }
                    tracing::error!(%trigger, %error, "a fan-out rests until the next start");
                }
            }
            drop(work);
        }));
        self.fan_outs.insert(trigger, Spreading { cancel, task: Some(task) });
    }

    /// The run has ended: nothing of it stays.
    fn forget(&mut self, id: RunId, cancel: Option<CancelHash>) {
        if let Some(key) = cancel {
            self.keys.remove(&(mark(key), id));
        }
        self.crashes.remove(&id);
    }

    fn park(&mut self, id: RunId, due: Timestamp) {
        if let Some(live) = self.remove_live(id) {
            self.parked.insert((due, id, live.flow));
        }
    }

    /// A run that waits for the end of its batch, or for an event, is due earlier than it knew. One that is still at work hears of it when
    /// it comes to rest.
    fn hasten(&mut self, Hastened { run, from, to }: Hastened) {
        let parked = self.parked.from((from, run, Flow(0))).next().filter(|(due, id, _)| (*due, *id) == (from, run));
        if let Some(known) = parked.copied() {
            self.parked.remove(&known);
            self.parked.insert((to, run, known.2));
        } else if let Some(live) = self.live.get_mut(&run) {
            match live.dozing.take() {
                Some(_) => {
                    self.dozing -= 1;
                    self.places.take(live.flow);
                    tell(&live.actor, Wake(self.engine.deps.work.begin()));
                }
                None => live.hastened = Some(to),
            }
        }
    }

    fn remove_live(&mut self, id: RunId) -> Option<Live> {
        let live = self.live.remove(&id)?;
        self.dozing -= usize::from(live.dozing.is_some());
        self.abroad -= usize::from(live.is_abroad);
        if live.dozing.is_none() && !live.is_abroad {
            self.places.leave(live.flow);
        }
        Some(live)
    }
}

impl Actor for Registry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let left: Vec<_> = self.fan_outs.iter().map(|(trigger, spreading)| (*trigger, spreading.cancel)).collect();
        left.into_iter().for_each(|(trigger, cancel)| self.spread(trigger, cancel, ctx));
        self.pump(ctx);
    }
}

/// Runs were accepted by one commit; they are on disk.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Admit(pub Vec<Admission>);

impl Handler<Admit> for Registry {
    type Result = ();

    fn handle(&mut self, Admit(admissions): Admit, ctx: &mut Self::Context) {
        for admission in &admissions {
            if let Some(key) = admission.cancel {
                admission.runs.iter().for_each(|id| self.keys.insert((mark(key), *id)));
            }
            for id in &admission.runs {
                match admission.due {
                    Some(due) => self.parked.insert((due, *id, admission.flow)),
                    None => self.ready.push(admission.flow, (*id, id.made_at())),
                }
            }
            if let Some(trigger) = admission.fan_out.filter(|_| !self.draining) {
                self.spread(trigger, admission.cancel, ctx);
            }
        }
        self.pump(ctx);
        // Their work counts until it is counted as the runs'.
        drop(admissions);
    }
}

/// The events for which runs waited have come; that is on disk.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Met {
    pub runs: Vec<Hastened>,
    /// Counts from the event until the runs go on.
    pub work: WorkGuard,
}

impl Handler<Met> for Registry {
    type Result = ();

    fn handle(&mut self, Met { runs, work }: Met, ctx: &mut Self::Context) {
        // Now, whatever clock the event was stamped by.
        let now = self.engine.deps.clock.now();
        runs.into_iter().for_each(|met| self.hasten(Hastened { to: now, ..met }));
        self.pump(ctx);
        drop(work);
    }
}

/// How a run actor rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Its actor has stopped; the run goes on then.
    Waiting(Timestamp),
    /// Its actor sleeps until then.
    Dozing(Timestamp),
    /// Its actor woke by itself.
    Awake,
    /// The run has ended, or someone else has taken it.
    Ended,
    /// The run has ended, and ended the wait of another one.
    Hastened(Hastened),
}

/// A run actor came to rest, or woke.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Rested {
    pub run: RunId,
    pub cancel: Option<CancelHash>,
    pub rest: Rest,
    /// Dropped once the registry knows: until then the work is not settled.
    pub work: Option<WorkGuard>,
}

impl Handler<Rested> for Registry {
    type Result = ();

    fn handle(&mut self, rested: Rested, ctx: &mut Self::Context) {
        let Rested { run, cancel, rest, work } = rested;
        // A run that a cancel has taken is not live any more; what its actor still says is void.
        let Some(live) = self.live.get_mut(&run) else { return };
        let rest = match (rest, live.hastened.take()) {
            (Rest::Waiting(due), Some(to)) => Rest::Waiting(due.min(to)),
            (Rest::Dozing(due), Some(to)) if to < due => {
                tell(&live.actor, Wake(self.engine.deps.work.begin()));
                return;
            }
            (rest, _) => rest,
        };
        match rest {
            Rest::Awake => {
                if live.dozing.take().is_some() {
                    self.dozing -= 1;
                    self.places.take(live.flow);
                }
                return;
            }
            Rest::Dozing(due) if self.dozing < MAX_DOZING => {
                if live.dozing.replace(due).is_none() {
                    self.dozing += 1;
                    self.places.leave(live.flow);
                }
            }
            Rest::Dozing(due) => {
                tell(&live.actor, Stop);
                self.park(run, due);
            }
            Rest::Waiting(due) => self.park(run, due),
            Rest::Ended | Rest::Hastened(_) => {
                self.remove_live(run);
                self.forget(run, cancel);
            }
        }
        if let Rest::Hastened(hastened) = rest {
            self.hasten(hastened);
        }
        self.crashes.remove(&run);
        self.pump(ctx);
        drop(work);
    }
}

/// A run begins or ceases to wait for another server's answer.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Abroad {
    pub run: RunId,
    pub is_abroad: bool,
}

impl Handler<Abroad> for Registry {
    type Result = ();

    fn handle(&mut self, Abroad { run, is_abroad }: Abroad, ctx: &mut Self::Context) {
        let room = self.abroad < MAX_ABROAD;
        let Some(live) = self.live.get_mut(&run) else { return };
        if is_abroad && room && !live.is_abroad {
            live.is_abroad = true;
            self.abroad += 1;
            self.places.leave(live.flow);
            self.pump(ctx);
        } else if !is_abroad && live.is_abroad {
            live.is_abroad = false;
            self.abroad -= 1;
            self.places.take(live.flow);
        }
    }
}

/// A run's actor was unwound by a panic.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Died(pub RunId);

impl Handler<Died> for Registry {
    type Result = ();

    fn handle(&mut self, Died(id): Died, ctx: &mut Self::Context) {
        let Some(Live { flow, .. }) = self.remove_live(id) else { return };
        let crashes = self.crashes.entry(id).or_default();
        *crashes += 1;
        tracing::error!(run = %id, crashes = *crashes, "a run's actor panicked");
        metrics::counter!("belfry_run_panics_total").increment(1);
        if *crashes < MAX_CRASHES {
            self.start(id, flow, ctx);
        } else {
            let engine = Arc::clone(&self.engine);
            let work = self.engine.deps.work.begin();
            let end = async move {
                let why = format!("its actor panicked {MAX_CRASHES} times");
                let run = engine.store.read()?.run(id)?;
                let Some(run) = run else { return Ok(None) };
                engine.store.advance(plan::fail(&run, engine.deps.clock.now(), why)).await?;
                drop(work);
                Ok::<_, StoreError>(run.cancel)
            };
            ctx.spawn(end.into_actor(self).map(move |ended, registry, ctx| {
                match ended {
                    Ok(cancel) => registry.forget(id, cancel),
                    Err(error) => {
                        registry.engine.store.report(&error);
                        tracing::error!(run = %id, %error, "a run could not be ended");
                    }
                }
                registry.pump(ctx);
            }));
        }
    }
}

/// Ends the pending runs of a cancellation key: all, or those of `recipients`.
#[derive(Message)]
#[rtype(result = "Result<CancelledRuns, StoreError>")]
pub struct CancelRuns {
    pub key: CancelHash,
    pub recipients: Option<Vec<RecipientRef>>,
    /// Only runs of these triggers.
    pub of: Option<Vec<TriggerId>>,
}

/// What a cancel ended.
pub struct CancelledRuns {
    pub cancelled: Vec<Cancelled>,
    /// Triggers of the key that were spreading to subscribers: some of their runs may be admitted only now.
    pub spreading: Vec<TriggerId>,
}

impl Handler<CancelRuns> for Registry {
    type Result = ResponseActFuture<Self, Result<CancelledRuns, StoreError>>;

    fn handle(&mut self, cancel: CancelRuns, _: &mut Self::Context) -> Self::Result {
        let key = cancel.key;
        let marked = self.keys.from((mark(key), NO_RUN)).take_while(|(known, _)| *known == mark(key));
        let runs: Vec<RunId> = marked.map(|(_, id)| *id).collect();
        let store = self.engine.store.clone();
        let at = self.engine.deps.clock.now();
        let of_key = self.fan_outs.iter().filter(|(_, spreading)| spreading.cancel == Some(key));
        let spreading: Vec<TriggerId> = of_key.map(|(trigger, _)| *trigger).filter(|_| cancel.of.is_none()).collect();
        let write = async move {
            // A run that is not known any more because it joined a batch is found there by now.
            if runs.is_empty() && spreading.is_empty() && !store.read()?.has_batched(key)? {
                return Ok((Vec::new(), spreading));
            }
            let (recipients, of) = (cancel.recipients, cancel.of);
            let cancel = Cancel { key, runs, recipients, of, spreading: spreading.clone(), at };
            Ok((store.cancel(cancel).await?, spreading))
        };
        Box::pin(write.into_actor(self).map(move |cancelled: Result<_, StoreError>, registry, ctx| {
            let (cancelled, spreading) = cancelled?;
            for taken in &cancelled {
                let Some((phase, flow)) = taken.stood else { continue };
                if let Some(due) = phase.due() {
                    registry.parked.remove(&(due, taken.run, flow));
                }
                if let Some(live) = registry.remove_live(taken.run) {
                    tell(&live.actor, Stop);
                }
                registry.forget(taken.run, Some(key));
            }
            registry.pump(ctx);
            Ok(CancelledRuns { cancelled, spreading })
        }))
    }
}

/// When the next waiting run is due; answered after all that was told before.
#[derive(Message)]
#[rtype(result = "Option<Timestamp>")]
pub struct NextDue;

impl Handler<NextDue> for Registry {
    type Result = Option<Timestamp>;

    fn handle(&mut self, _: NextDue, _: &mut Self::Context) -> Self::Result {
        let dozing = self.live.values().filter_map(|live| live.dozing).min();
        [self.next_parked(), dozing].into_iter().flatten().min()
    }
}

/// What was due by `by` and has not begun.
#[derive(Message)]
#[rtype(result = "Backlog")]
pub struct LookAtBacklog {
    pub by: Timestamp,
}

/// Runs that were due and that nobody has taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many.
    pub overdue: usize,
    /// The oldest of them and since when each is due.
    pub oldest: Vec<(RunId, Timestamp)>,
}

impl Backlog {
    /// Overdue runs of a kind that are counted: a millisecond's work. More are no other news.
    const COUNTED: usize = 100_000;
    /// Overdue runs that are named.
    const NAMED: usize = 16;

    /// Adds those of `runs` that are due by `by`.
    fn add(&mut self, by: Timestamp, runs: impl Iterator<Item = (RunId, Timestamp)>) {
        for (id, due) in runs.filter(|(_, due)| *due <= by).take(Self::COUNTED) {
            self.overdue += 1;
            let place = self.oldest.partition_point(|(_, known)| *known <= due);
            if place < Self::NAMED {
                self.oldest.insert(place, (id, due));
                self.oldest.truncate(Self::NAMED);
            }
        }
    }
}

impl Handler<LookAtBacklog> for Registry {
    type Result = MessageResult<LookAtBacklog>;

    fn handle(&mut self, LookAtBacklog { by }: LookAtBacklog, _: &mut Self::Context) -> Self::Result {
        let mut backlog = Backlog::default();
        backlog.add(by, self.parked.iter().map(|(due, id, _)| (*id, *due)).take_while(|(_, due)| *due <= by));
        backlog.add(by, self.ready.iter().copied());
        backlog.add(by, self.live.iter().filter_map(|(id, live)| Some((*id, live.dozing?))));
        MessageResult(backlog)
    }
}

/// The clock was moved: starts all that is due by it. When this is answered, that work is counted.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Sweep;

impl Handler<Sweep> for Registry {
    type Result = ();

    fn handle(&mut self, _: Sweep, ctx: &mut Self::Context) {
        let now = self.engine.deps.clock.now();
        let work = &self.engine.deps.work;
        let due = |live: &Live| live.dozing.is_some_and(|due| due <= now);
        let mut awake: Vec<RunId> = self.live.iter().filter(|(_, live)| due(live)).map(|(id, _)| *id).collect();
        // In an order that is not of chance, so that a world can be played again.
        awake.sort_unstable();
        for id in awake {
            let Some(live) = self.live.get_mut(&id) else { continue };
            live.dozing = None;
            self.dozing -= 1;
            self.places.take(live.flow);
            tell(&live.actor, Wake(work.begin()));
        }
        self.pump(ctx);
    }
}

/// Starts no further run; those at work go on until they rest. What is left is on disk, and the next start goes on
/// with it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct DrainRuns;

impl Handler<DrainRuns> for Registry {
    type Result = ();

    fn handle(&mut self, _: DrainRuns, ctx: &mut Self::Context) {
        self.draining = true;
        // What they have not reached, the next start does.
        for spreading in std::mem::take(&mut self.fan_outs).into_values() {
            spreading.task.map(|task| ctx.cancel_future(task));
        }
        self.backlog = None;
    }
}
