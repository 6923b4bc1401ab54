//! The actor of one run. It loads, asks `plan`, writes, and acts; when the run sleeps longer than it pays to keep an
//! actor, it stops and the registry wakes a new one.

use std::sync::Arc;

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, SpawnHandle, WrapFuture};

use super::catalog::VersionError;
use super::plan::{self, Effect, Event, Nested, NotTriggered, Plan};
use super::registry::{Abroad, Died, Registry, Rest, Rested};
use super::scene::{Scene, SceneError};
use super::trigger::{TriggerError, trigger_nested};
use super::{Deliver, Engine, Publish};
use crate::base::ids::RunId;
use crate::base::mail::{tell, tell_recipient};
use crate::base::work::WorkGuard;
use crate::model::run::{Outcome, Run};
use crate::model::trigger::CancelHash;
use crate::store::op::{Advance, Diverted, Gate, Next};
use crate::store::{Refused, StoreError};

/// One live run.
pub struct RunActor {
    engine: Arc<Engine>,
    registry: Addr<Registry>,
    id: RunId,
    /// Known once the run was loaded; tells the registry what to forget.
    cancel: Option<CancelHash>,
    /// Held while the run is at work, not while it dozes.
    work: Option<WorkGuard>,
    timer: Option<SpawnHandle>,
    lifeline: Lifeline,
}

impl RunActor {
    /// An actor that goes on with the stored run `id`, wherever it stands.
    pub fn new(engine: Arc<Engine>, registry: Addr<Registry>, id: RunId, work: WorkGuard) -> Self {
        let lifeline = Lifeline { registry: registry.clone(), id, cut: true };
        Self { engine, registry, id, cancel: None, work: Some(work), timer: None, lifeline }
    }

    fn go_on(&mut self, ctx: &mut Context<Self>) {
        let steps = execute(Arc::clone(&self.engine), self.registry.clone(), self.id);
        ctx.spawn(steps.into_actor(self).map(|(rest, cancel), actor, ctx| {
            actor.cancel = cancel.or(actor.cancel);
            actor.rest(rest, ctx);
        }));
    }

    fn rest(&mut self, rest: Rest, ctx: &mut Context<Self>) {
        if let Rest::Waiting(due) = rest
            && due.since(self.engine.deps.clock.now()) <= self.engine.park_after
        {
            let clock = self.engine.deps.clock.clone();
            let nap = async move { clock.sleep_until(due).await };
            self.timer = Some(ctx.spawn(nap.into_actor(self).map(|(), actor, ctx| actor.wake(None, ctx))));
            self.report(Rest::Dozing(due));
        } else {
            self.report(rest);
            self.stop(ctx);
        }
    }

    fn report(&mut self, rest: Rest) {
        tell(&self.registry, Rested { run: self.id, cancel: self.cancel, rest, work: self.work.take() });
    }

    fn wake(&mut self, work: Option<WorkGuard>, ctx: &mut Context<Self>) {
        // Woken twice, by the timer and by the registry: it is at work already.
        let Some(timer) = self.timer.take() else { return };
        ctx.cancel_future(timer);
        self.report(Rest::Awake);
        self.work = Some(work.unwrap_or_else(|| self.engine.deps.work.begin()));
        self.go_on(ctx);
    }

    fn stop(&mut self, ctx: &mut Context<Self>) {
        self.lifeline.cut = false;
        actix::ActorContext::stop(ctx);
    }
}

impl Actor for RunActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.go_on(ctx);
    }
}

/// The run was cancelled, or is to be parked after all: an actor that sleeps ends. One that is at work finds its run gone
/// by itself: it may have committed an item just before, and be about to tell whoever watches the feed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Stop;

impl Handler<Stop> for RunActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        if self.timer.is_some() {
            self.stop(ctx);
        }
    }
}

/// The run is due by a clock that was advanced.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Wake(pub WorkGuard);

impl Handler<Wake> for RunActor {
    type Result = ();

    fn handle(&mut self, Wake(work): Wake, ctx: &mut Self::Context) {
        self.wake(Some(work), ctx);
    }
}

/// Tells the registry when the actor is dropped without having stopped: a panic unwound it.
struct Lifeline {
    registry: Addr<Registry>,
    id: RunId,
    cut: bool,
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        if self.cut {
            tell(&self.registry, Died(self.id));
        }
    }
}

/// Executes steps of the stored run `id` until it waits or ends; answers its cancellation key with how it rests.
async fn execute(engine: Arc<Engine>, registry: Addr<Registry>, id: RunId) -> (Rest, Option<CancelHash>) {
    let mut cancel = None;
    loop {
        let run = match engine.store.read().and_then(|reader| reader.run(id)) {
            Ok(Some(run)) => run,
            // A cancel took it.
            Ok(None) => return (Rest::Ended, cancel),
            Err(error) => return (given_up(&engine, id, &error), cancel),
        };
        cancel = run.cancel;
        match steps(&engine, &registry, run).await {
            Ok(rest) => return (rest, cancel),
            // Someone else wrote the run, which only a cancel does: it ended it, or took its item out of its batch.
            Err(StoreError::Refused(Refused::Stale)) => {}
            Err(error) => return (given_up(&engine, id, &error), cancel),
        }
    }
}

/// The store cannot be read or written: the process is ending, and the next start goes on with the run.
fn given_up(engine: &Engine, id: RunId, error: &StoreError) -> Rest {
    engine.store.report(error);
    tracing::error!(run = %id, %error, "a run rests until the next start");
    Rest::Ended
}

async fn steps(engine: &Arc<Engine>, registry: &Addr<Registry>, mut run: Run) -> Result<Rest, StoreError> {
    let mut event = Event::Enter;
    loop {
        let now = engine.deps.clock.now();
        let scene = match Scene::load(engine, &run, now) {
            Ok(scene) => Arc::new(scene),
            Err(SceneError::Store(error) | SceneError::Version(VersionError::Store(error))) => return Err(error),
            Err(error) => {
                tracing::error!(run = %run.id, %error, "a run failed");
                engine.store.advance(plan::fail(&run, now, error.to_string())).await?;
                return Ok(Rest::Ended);
            }
        };
        let plan = plan::next(&run, event, &scene.env(engine, now));
        event = match act(engine, registry, &mut run, &scene, plan).await? {
            Step::Go(event) => event,
            Step::Rest(rest) => return Ok(rest),
        };
    }
}

enum Step {
    Go(Event),
    Rest(Rest),
}

/// Why a plan's write is not durable.
enum Uncommitted {
    Store(StoreError),
    NotTriggered(NotTriggered),
}

/// Makes a write durable, with what it triggers.
async fn commit(
    engine: &Engine,
    scene: &Scene,
    write: Advance,
    trigger: Option<Box<Nested>>,
) -> Result<Option<Diverted>, Uncommitted> {
    let Some(nested) = trigger else { return engine.store.advance(write).await.map_err(Uncommitted::Store) };
    let depth = scene.trigger.parent.map_or(0, |parent| parent.depth);
    match trigger_nested(engine, *nested, depth, write).await {
        Ok(()) => Ok(None),
        Err(TriggerError::Store(error)) => Err(Uncommitted::Store(error)),
        Err(error) => Err(Uncommitted::NotTriggered(error.of_a_step())),
    }
}

/// Makes the plan's write durable, then does what follows it.
async fn act(
    engine: &Arc<Engine>,
    registry: &Addr<Registry>,
    run: &mut Run,
    scene: &Arc<Scene>,
    plan: Plan,
) -> Result<Step, StoreError> {
    if let Some(write) = plan.write {
        let (to, data) = (write.to.clone(), write.changes.data.clone());
        let closes = matches!(write.gate, Some(Gate::Close(_)));
        log(run, scene, &write);
        let diverted = match commit(engine, scene, write, plan.trigger).await {
            Ok(diverted) => diverted,
            Err(Uncommitted::NotTriggered(why)) => {
                return Ok(Step::Go(Event::NotTriggered { step: run.phase.step(), why }));
            }
            // What the step says of people does not fit: the same would be refused again.
            Err(Uncommitted::Store(StoreError::Refused(refused))) if refused != Refused::Stale => {
                let now = engine.deps.clock.now();
                engine.store.advance(plan::fail(run, now, refused.to_string())).await?;
                return Ok(Step::Rest(Rest::Ended));
            }
            Err(Uncommitted::Store(error)) => return Err(error),
        };
        run.revision += 1;
        if let Some(Diverted { to, hastened }) = diverted {
            return Ok(match to {
                Next::Phase(phase) => {
                    run.phase = phase;
                    Step::Go(Event::Enter)
                }
                Next::End(_) => Step::Rest(hastened.map_or(Rest::Ended, Rest::Hastened)),
            });
        }
        if !data.is_empty() {
            run.data.get_or_insert_default().extend(data);
        }
        if let Next::Phase(phase) = to {
            run.phase = phase;
        }
        if closes {
            // It lies with the batch from now on.
            run.data = None;
        }
    }
    let mut step = Step::Go(Event::Enter);
    for effect in plan.then {
        match effect {
            Effect::Continue => {}
            Effect::Stop => step = Step::Rest(Rest::Ended),
            Effect::Sleep(due) => step = Step::Rest(Rest::Waiting(due)),
            Effect::Deliver { message, channel, not_before } => {
                let work = engine.deps.work.begin();
                tell_recipient(
                    &engine.deliver,
                    Deliver { run: run.id, message, channel, flow: run.flow, not_before, work },
                );
            }
            Effect::Publish { channel } => {
                tell_recipient(&engine.publish, Publish { channel, user: run.recipient.clone() });
            }
            Effect::Prepare { step: number } => {
                let (scene, ours, now) = (Arc::clone(scene), Arc::clone(engine), engine.deps.clock.now());
                let prepared = engine.deps.offload.run(move || scene.prepare(&ours, number, now)).await;
                let settings = prepared.unwrap_or_else(|panic| Err(format!("rendering {panic}")));
                step = Step::Go(Event::Prepared { step: number, settings });
            }
            Effect::Fetch { step: number, request } => {
                tell(registry, Abroad { run: run.id, is_abroad: true });
                step = Step::Go(Event::Fetched { step: number, answer: engine.fetcher.fetch(*request).await });
                tell(registry, Abroad { run: run.id, is_abroad: false });
            }
            Effect::Render(draft) => {
                let (scene, ours) = (Arc::clone(scene), Arc::clone(engine));
                let rendered = engine.deps.offload.run(move || scene.render(&ours, draft)).await;
                let content = rendered.unwrap_or_else(|panic| Err(format!("rendering {panic}")));
                step = Step::Go(Event::Rendered { draft, content });
            }
        }
    }
    Ok(step)
}

fn log(run: &Run, scene: &Scene, write: &Advance) {
    let workflow = &scene.published.workflow.key;
    for event in &write.events {
        tracing::debug!(run = %run.id, workflow, step = event.step_ref, event = ?event.kind, "run");
    }
    if let Next::End(Outcome::Failed(why)) = &write.to {
        tracing::warn!(run = %run.id, workflow, why, "a run failed");
    }
}
