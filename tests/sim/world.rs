//! A world: one server on one disk, which is started, killed and started again while its script goes on. Everything of
//! one process lives on one thread under a paused clock.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::Actor;
use belfry::base::clock::{Clock, Timestamp, sleep};
use belfry::base::deps::{Deps, Offload};
use belfry::base::ids::{Entropy, IdSource};
use belfry::base::mail::tell;
use belfry::base::work::Work;
use belfry::delivery::courier::{Courier, Drain, Way};
use belfry::engine::Engine;
use belfry::engine::catalog::Catalog;
use belfry::engine::publishing::Found;
use belfry::engine::registry::{Admit, DrainRuns, Recovered, Registry};
use belfry::engine::trigger::Intake;
use belfry::feed::hub::Hub;
use belfry::model::link::Links;
use belfry::model::preferences::PreferenceSet;
use belfry::model::workflow::Engine as TemplateEngine;
use belfry::store::writer::{Committer, Request, gather};
use belfry::store::{Store, check};
use futures_util::FutureExt;
use tokio::sync::Notify;

use crate::audience::{Audience, Deaf};
use crate::cast::{self, Play, Who};
use crate::client::Life;
use crate::disk::{Crash, Disk};
use crate::ledger::{Answer, Instant, Ledger};
use crate::network::Network;
use crate::panics::Saboteur;
use crate::provider::Provider;
use crate::rng::Rng;
use crate::script::{Action, Planned, Script, Trigger};
use crate::snapshot::Snapshot;

/// A fault planted in the world, which the checker must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The disk answers a sync and does not do it.
    DeafDisk,
    /// A trigger is answered before it is written, and sometimes never is.
    AnsweredEarly,
    /// A cancel is answered and not written.
    CancelForgotten,
    /// A cancel is applied once more, later.
    CancelLingers,
    /// A run that a cancel took fires all the same.
    CancelIgnored,
    /// A process that follows another one looks at its timers late.
    SlowStart,
    /// More attempts are on the wire than the configuration allows.
    Stampede,
    /// The server's clock runs ahead, so that timers fire early.
    HastyClock,
    /// An email that was sent is not found at the provider.
    AcceptedInSilence,
    SentTwice,
    /// A repeated email has another content.
    RenderedAgain,
    /// A feed item is gone, its count is not.
    FeedRowLost,
    /// A mark is answered and not written.
    MarkForgotten,
    /// The hub does not hear of every item.
    DeafHub,
    /// A process that follows another one forgets whom triggers have not reached yet.
    FanOutLost,
    /// Runs that wait do not hear of what they met.
    DeafToEvents,
}

/// What a world left behind.
pub struct Outcome {
    pub violations: Vec<String>,
    pub trace: Vec<String>,
}

/// The latest that a world may become quiet after its last crash. Three days of delay, half an hour of retries, and
/// the hours by which the clock was set back.
const PATIENCE: Duration = Duration::from_secs(10 * 86_400);

/// Plays the world of `seed`.
pub fn play(seed: u64, flaw: Option<Flaw>) -> Outcome {
    let script = Script::of(seed);
    let world = Rc::new(World::new(seed, flaw, script));
    let crashes = world.script.crashes.clone();
    for planned in crashes {
        world.live(Some(planned));
        if let Some(operations) = planned.again {
            world.disk.stop_after(Some(operations));
            let at = world.ledger.open().now() + 200_000;
            world.live(Some(Planned { at, asked: false, inside: None, pause: 0, step: 0, again: None, ..planned }));
        }
    }
    // A deadly provider may end the last process too.
    while !world.quiet.get() && world.ledger.open().violations.is_empty() {
        world.live(None);
    }
    let found = world.snapshot.take();
    let mut ledger = world.ledger.open();
    if let Some(found) = found {
        found.trace(&mut ledger);
        let violations = crate::check::check(&ledger, &found, &world.script);
        violations.into_iter().for_each(|wrong| ledger.wrong(wrong));
    }
    Outcome { violations: std::mem::take(&mut ledger.violations), trace: std::mem::take(&mut ledger.trace) }
}

/// How long a server that was asked to stop may take.
const DRAIN: Duration = Duration::from_secs(20);

pub struct World {
    pub seed: u64,
    pub flaw: Option<Flaw>,
    script: Script,
    disk: Disk,
    pub ledger: Ledger,
    /// What is still to happen, in order; grows while the world runs.
    agenda: RefCell<BTreeMap<(Instant, u64), Action>>,
    agenda_changed: Notify,
    number: Cell<u64>,
    lives: Cell<u64>,
    pub revision: Cell<u64>,
    quiet: Cell<bool>,
    /// The last process ended by itself and closed its store.
    closed: Cell<bool>,
    snapshot: RefCell<Option<Snapshot>>,
}

/// Tells the writer that the thread has nothing else to do, so that it finds its queue without a timer of its own.
#[derive(Default)]
struct Idle {
    store: Mutex<Option<Store>>,
    wake: Notify,
}

impl Idle {
    fn check(&self) {
        let store = self.store.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if store.as_ref().is_some_and(|store| store.queued() > 0) {
            self.wake.notify_one();
        }
    }
}

impl World {
    fn new(seed: u64, flaw: Option<Flaw>, script: Script) -> Self {
        let epoch = Timestamp::from_millis(1_800_000_000_000 + (seed % 1_000) as i64);
        let disk = Disk::new(flaw == Some(Flaw::DeafDisk));
        let (store, committer, _) = Store::open_on(disk.plug()).unwrap();
        store.close();
        drop(committer);
        disk.settle();
        let actions = script.actions.iter().cloned().zip(0..);
        let agenda: BTreeMap<_, _> = actions.map(|((at, action), number)| ((at, number), action)).collect();
        Self {
            seed,
            flaw,
            disk,
            ledger: Ledger::new(epoch),
            number: Cell::new(agenda.len() as u64),
            agenda: RefCell::new(agenda),
            agenda_changed: Notify::new(),
            lives: Cell::new(0),
            revision: Cell::new(0),
            quiet: Cell::new(false),
            closed: Cell::new(false),
            snapshot: RefCell::new(None),
            script,
        }
    }

    pub fn later(&self, at: Instant, action: Action) {
        self.number.set(self.number.get() + 1);
        self.agenda.borrow_mut().insert((at, self.number.get()), action);
        self.agenda_changed.notify_one();
    }

    /// Whom a trigger reaches by subscriptions alone.
    pub fn reached(&self, trigger: &Trigger) -> BTreeSet<Who> {
        self.script.subscribers.reached(&trigger.recipients, trigger.actor)
    }

    /// Runs one process to its end.
    fn live(self: &Rc<Self>, planned: Option<Planned>) {
        self.lives.set(self.lives.get() + 1);
        self.closed.set(false);
        let idle = Arc::new(Idle::default());
        let hook = Arc::clone(&idle);
        let runtime = move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .on_thread_park(move || hook.check())
                .build()
                .unwrap()
        };
        let saboteur = Saboteur::new(self.seed + self.lives.get(), self.ledger.clone());
        let subscriber = tracing::subscriber::set_default(saboteur);
        let system = actix::System::with_tokio_rt(runtime);
        system.block_on(async {
            self.process(planned, &idle).await;
            self.ledger.open().end();
        });
        let (crash, pause, step) =
            planned.map_or((Crash::Kill, 1_000_000, 0), |planned| (planned.crash, planned.pause, planned.step));
        if !self.quiet.get() {
            let mut ledger = self.ledger.open();
            let now = ledger.now();
            if !self.closed.get() {
                self.disk.crash(crash, self.seed ^ self.lives.get());
                ledger.crashes.push(now);
                ledger.trace(format!("crash {crash:?}"));
            }
            for cancel in &mut ledger.cancels {
                if cancel.answer == Answer::InDoubt {
                    cancel.lost_at.get_or_insert(now);
                }
            }
            if step != 0 {
                ledger.step(step);
            }
            ledger.pause(pause);
        }
        // The store lives on in the hook until the runtime is gone.
        drop(idle.store.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take());
        drop(system);
        drop(subscriber);
    }

    async fn process(self: &Rc<Self>, planned: Option<Planned>, idle: &Arc<Idle>) {
        self.ledger.open().begin();
        let mut rng = Rng::of(self.seed, "life", self.lives.get());
        let (store, committer, queue) = match Store::open_on(self.disk.plug()) {
            Ok(opened) => opened,
            Err(_) if self.disk.has_stopped() => return self.ledger.open().trace("stopped while it opened".into()),
            Err(error) => return self.ledger.open().wrong(format!("P2 the store does not open: {error}")),
        };
        *idle.store.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(store.clone());
        actix::spawn(write(committer, queue, Arc::clone(idle), rng.clone(), self.script.latency));
        let death = Arc::new(Notify::new());
        let Some(life) = self.start(&store, &death, &mut rng).await else { return };
        let life = Rc::new(life);
        self.follow(&life, planned, &death).await;
        if planned.is_some_and(|planned| planned.asked) && !self.disk.has_stopped() {
            self.stop(&life, &death).await;
        }
        self.ledger.open().settle(life.clock.now());
    }

    /// Starts the server; `None` when its disk stopped meanwhile.
    async fn start(self: &Rc<Self>, store: &Store, death: &Arc<Notify>, rng: &mut Rng) -> Option<Life> {
        let clock = Clock::simulated(self.ledger.open().wall());
        let entropy = Entropy::Seeded(self.seed.wrapping_mul(1_000).wrapping_add(self.lives.get()));
        let deps = Arc::new(Deps {
            clock: clock.clone(),
            ids: IdSource::new(entropy),
            work: Work::default(),
            offload: Offload::Inline,
        });
        let kinds = cast::channels().into_iter().map(|channel| (channel.key, channel.kind)).collect();
        let catalog = Catalog::new(kinds, TemplateEngine::Handlebars);
        if self.lives.get() > 1 && rng.percent(30) {
            self.revision.set(self.revision.get() + 1);
        }
        for play in Play::all() {
            let checked = catalog.check(&play.files(self.revision.get())).unwrap_or_else(|faults| panic!("{faults:?}"));
            catalog.publish(store, checked.published).await.ok()?;
        }
        let provider = Provider {
            seed: self.seed,
            mood: self.script.mood,
            ledger: self.ledger.clone(),
            death: Arc::clone(death),
            flaw: self.flaw,
            on_the_wire: AtomicUsize::new(0),
            most: self.script.concurrency,
        };
        let hub = Hub::new(Arc::clone(&deps), store.clone(), 1).start();
        let publish = match self.flaw {
            Some(Flaw::DeafHub) => Deaf { hub: hub.clone(), heard: 0 }.start().recipient(),
            _ => hub.clone().recipient(),
        };
        let ways = [(cast::email(), Way::Email(Arc::new(provider))), (cast::feed(), Way::Feed(publish.clone()))];
        let concurrency = self.script.concurrency + usize::from(self.flaw == Some(Flaw::Stampede));
        let courier = Courier::new(Arc::clone(&deps), store.clone(), ways, concurrency).start();
        let engine = Arc::new(Engine {
            deps,
            store: store.clone(),
            catalog,
            channels: cast::channels(),
            vars: serde_json::Map::new(),
            links: Links::new("https://belfry.test", &[7; 32]),
            preferences: PreferenceSet::default(),
            park_after: self.script.park_after,
            missed_after: Duration::from_secs(3_600),
            max_active: self.script.max_active,
            spread_at_once: self.script.spread_at_once,
            deliver: courier.clone().recipient(),
            publish,
            zone: jiff::tz::TimeZone::UTC,
            directory: Box::new(Found::default),
            reloading: tokio::sync::Mutex::default(),
            fetcher: Arc::new(Network {
                seed: self.seed,
                failing: self.script.mood.transient,
                ledger: self.ledger.clone(),
            }),
        });
        if self.flaw == Some(Flaw::SlowStart) && self.lives.get() > 1 {
            sleep(Duration::from_secs(15)).await;
        }
        if self.lives.get() == 1 {
            self.script.subscribers.keep(store, clock.now()).await.ok()?;
        }
        for spreading in store.read().ok()?.fan_outs().ok()? {
            self.ledger.open().trace(format!("spreads on {}", spreading.trigger));
            while self.flaw == Some(Flaw::FanOutLost) && !store.clear_fan_out(spreading.trigger).await.ok()? {}
        }
        let recovered = Recovered::scan(store).ok()?;
        let registry = Registry::new(Arc::clone(&engine), recovered).start();
        if self.flaw == Some(Flaw::DeafToEvents) {
            let starter = registry.clone();
            store.admit_with(move |admissions, _| tell(&starter, Admit(admissions)));
        }
        let intake = Intake::new(engine, registry);
        let audience = Audience::default();
        audience.join(&hub, &Snapshot::read(store).ok()?.feeds);
        let death = Arc::clone(death);
        let life = Life { world: Rc::clone(self), intake, courier, hub, death, clock, store: store.clone(), audience };
        if self.flaw == Some(Flaw::HastyClock) {
            actix::spawn(hasten(life.clock.clone()));
        }
        Some(life)
    }

    /// Follows the script until the process is killed, or until everything is quiet.
    async fn follow(&self, life: &Rc<Life>, planned: Option<Planned>, death: &Notify) {
        let mut armed = false;
        // Half hours since the last action; only after one of them can the world be quiet.
        let mut waited = 0;
        loop {
            let now = self.ledger.open().now();
            let due = self.agenda.borrow().first_key_value().map(|((at, _), _)| *at);
            if due.is_some_and(|due| due <= now) {
                waited = 0;
                let action = self.agenda.borrow_mut().pop_first();
                if let Some((_, action)) = action {
                    actix::spawn(Rc::clone(life).perform(action));
                }
                continue;
            }
            let end = planned.map(|planned| planned.at + if armed { 2_000_000 } else { 0 });
            if end.is_some_and(|end| end <= now) {
                let inside = planned.and_then(|planned| planned.inside).filter(|_| !armed);
                if inside.is_none() {
                    return;
                }
                armed = true;
                self.disk.stop_after(inside);
                continue;
            }
            if planned.is_none() && waited > 0 && self.look(life, Duration::from_secs(waited * 1_800)).await {
                return;
            }
            let next = [due, end].into_iter().flatten().min().unwrap_or(now + 1_800_000_000);
            tokio::select! {
                biased;
                () = death.notified() => return,
                () = self.disk.stopped.notified() => if self.disk.has_stopped() {
                    return self.ledger.open().trace("stopped inside a commit".into());
                },
                () = self.agenda_changed.notified() => {}
                () = sleep(Duration::from_micros(next - now)) => waited += u64::from(due.is_none()),
            }
        }
    }

    /// Stops the server as a signal does: nothing new begins, what is under way ends, the store is closed.
    async fn stop(&self, life: &Life, death: &Notify) {
        self.ledger.open().rest();
        tell(&life.intake.registry, DrainRuns);
        tell(&life.courier, Drain);
        tokio::select! {
            biased;
            () = death.notified() => {}
            () = self.disk.stopped.notified() => {}
            () = life.intake.engine.deps.work.settled() => {
                life.store.close();
                self.closed.set(true);
                self.ledger.open().trace("stopped when asked".into());
            }
            () = sleep(DRAIN) => self.ledger.open().trace("did not stop in time".into()),
        }
    }

    /// Whether the world has become quiet, or never will.
    async fn look(&self, life: &Life, waited: Duration) -> bool {
        let Ok(found) = Snapshot::read(&life.store) else { return true };
        if found.pending.is_empty() && found.outbox.is_empty() && found.spreading.is_empty() {
            if life.intake.engine.deps.work.settled().now_or_never().is_none() {
                self.ledger.open().wrong("work is counted that nobody does".into());
            }
            let checked = life.store.read().and_then(|reader| check::check(&reader));
            if let Err(contradiction) = checked {
                self.ledger.open().wrong(format!("P2 {contradiction}"));
            }
            life.audience.misled(&found.feeds).into_iter().for_each(|wrong| self.ledger.open().wrong(wrong));
            *self.snapshot.borrow_mut() =
                Some(if self.flaw == Some(Flaw::FeedRowLost) { found.spoil() } else { found });
            self.quiet.set(true);
            return true;
        }
        if waited > PATIENCE {
            let (pending, outbox) = (&found.pending, &found.outbox);
            self.ledger.open().wrong(format!("P2 stuck for ever: {pending:?} {outbox:?}"));
            return true;
        }
        false
    }
}

/// The writer, as a task: while one commit takes its time, the next group forms.
async fn write(mut committer: Committer, queue: Receiver<Request>, idle: Arc<Idle>, mut rng: Rng, latency: u64) {
    loop {
        match queue.try_recv() {
            Ok(first) => {
                let group = gather(first, &queue);
                sleep(Duration::from_millis(rng.range(1, latency))).await;
                if committer.commit(group).is_err() {
                    return;
                }
            }
            Err(TryRecvError::Empty) => idle.wake.notified().await,
            Err(TryRecvError::Disconnected) => return,
        }
    }
}

async fn hasten(clock: Clock) {
    loop {
        sleep(Duration::from_secs(2)).await;
        clock.shift(1_000_000);
    }
}
