//! Where requests enter the engine: a trigger is accepted, a cancellation key is cancelled. Answered means on disk.

use std::sync::Arc;

use actix::Addr;

use super::Engine;
use super::catalog::Published;
use super::fan_out;
use super::plan;
use super::plan::{Nested, NotTriggered};
use super::registry::{Admit, CancelRuns, CancelledRuns, Met, Registry};
use crate::base::clock::Timestamp;
use crate::base::ids::{RunId, TriggerId};
use crate::base::mail::{call, tell};
use crate::model::flow::Flow;
use crate::model::profile::{Profile, json_size};
use crate::model::recipient::RecipientRef;
use crate::model::run::{Run, RunEvent, RunEventKind};
use crate::model::schedule::Schedule;
use crate::model::subscription::{FanOut, Place, Spared};
use crate::model::trigger::{
    CancelHash, CancelRequest, FieldError, NamedRecipient, Parent, Trigger, TriggerRequest, TriggerSettings,
};
use crate::store::StoreError;
use crate::store::op::{Accept, Accepted, Admission, Advance, Cancelled, Idempotency, Idempotent, Occurrence};

/// Takes triggers and cancels. Cheap to clone; each clone holds its own address of the registry.
#[derive(Clone)]
pub struct Intake {
    pub engine: Arc<Engine>,
    pub registry: Addr<Registry>,
}

/// The answer to a trigger.
#[derive(Clone, Debug, PartialEq)]
pub enum Triggered {
    New(TriggerId),
    /// The same request was accepted before.
    Replayed(Idempotent),
}

/// Why a trigger was not accepted; nothing of it is stored.
#[derive(Debug, thiserror::Error)]
pub enum TriggerError {
    /// No workflow has the key; the published ones are named.
    #[error("no workflow has the key `{key}`{}", known(.keys))]
    UnknownWorkflow { key: String, keys: Vec<String> },
    /// The actor was given by id, and nobody has that id.
    #[error(
        "the actor `{0}` is not known. Identify it first (PUT /v1/users/{0}), or give it inline as {{\"id\": \"{0}\", ...}}"
    )]
    UnknownActor(RecipientRef),
    /// The workflow is switched off.
    #[error(
        "the workflow `{0}` is switched off. PUT /v1/workflows/{0}/activate?status=true switches it on, or `active` in its file"
    )]
    Inactive(String),
    /// The data does not fit the workflow's schema.
    #[error("the data does not fit the workflow's trigger_data_json_schema: {}", told(.0))]
    InvalidData(Vec<FieldError>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TriggerError {
    /// What it means for the step that triggered.
    pub fn of_a_step(&self) -> NotTriggered {
        match self {
            Self::UnknownWorkflow { .. } | Self::Inactive(_) => NotTriggered::NoWorkflow(self.to_string()),
            _ => NotTriggered::Invalid(self.to_string()),
        }
    }
}

fn told(faults: &[FieldError]) -> String {
    faults.iter().map(|fault| format!("`{}` {}", fault.field, fault.message)).collect::<Vec<_>>().join("; ")
}

fn known(keys: &[String]) -> String {
    if keys.is_empty() {
        ". No workflow is published: see `belfry workflow validate`".into()
    } else {
        format!(". Published are: {}", keys.join(", "))
    }
}

impl Intake {
    /// An intake whose runs `registry` starts.
    pub fn new(engine: Arc<Engine>, registry: Addr<Registry>) -> Self {
        let starter = registry.clone();
        let deps = Arc::clone(&engine.deps);
        engine.store.admit_with(move |admissions, met| {
            if !admissions.is_empty() {
                tell(&starter, Admit(admissions));
            }
            if !met.is_empty() {
                tell(&starter, Met { runs: met, work: deps.work.begin() });
            }
        });
        Self { engine, registry }
    }

    /// Accepts `request` for the workflow `key`: one commit with all its runs, then the runs begin. `bytes` is the
    /// request's size.
    pub async fn trigger(
        &self,
        key: &str,
        request: TriggerRequest,
        idempotency: Option<Idempotency>,
        bytes: usize,
    ) -> Result<Triggered, TriggerError> {
        accept(&self.engine, key, request, Cause::Call(idempotency), bytes).await
    }

    /// Triggers what `occurrence` of a schedule is for; the commit also finds the schedule's next one.
    pub async fn trigger_scheduled(&self, schedule: &Schedule, occurrence: Occurrence) -> Result<(), TriggerError> {
        let named = |reference| NamedRecipient { reference, inline: None, data: None };
        let plan = &schedule.plan;
        let request = TriggerRequest {
            recipients: vec![named(schedule.recipient.clone())],
            actor: plan.actor.clone().map(named),
            tenant: plan.tenant.as_deref().map(RecipientRef::tenant).map(named),
            cancellation_key: Some(schedule.cancellation_key()),
            data: plan.data.clone().unwrap_or_default(),
            settings: TriggerSettings::default(),
        };
        let bytes = json_size(&request.data);
        accept(&self.engine, &schedule.workflow, request, Cause::Schedule(occurrence), bytes).await.map(drop)
    }

    /// Ends the pending runs of the workflow `key` that `request` names. Runs that are triggered later are not touched.
    pub async fn cancel(&self, key: &str, request: CancelRequest) -> Result<Vec<Cancelled>, StoreError> {
        let key = CancelHash::of(key, &request.cancellation_key);
        let cancel = |of| CancelRuns { key, recipients: request.recipients.clone(), of };
        let ask = async |of| call(&self.registry, cancel(of)).await.map_err(|_| StoreError::Closed)?;
        let CancelledRuns { mut cancelled, spreading } = ask(None).await?;
        if !spreading.is_empty() {
            // Portions that were committed before the cancel are admitted by now, and no later one has such runs.
            cancelled.extend(ask(Some(spreading)).await?.cancelled);
        }
        Ok(cancelled)
    }
}

/// Triggers what the step of a run says, in the commit of `write`, which moves the run on. `depth` is the parent's own.
pub async fn trigger_nested(engine: &Engine, nested: Nested, depth: u8, write: Advance) -> Result<(), TriggerError> {
    let Nested { step_ref, workflow, request } = nested;
    let parent = Parent { run: write.run, depth: depth.saturating_add(1) };
    let bytes = json_size(&request.data);
    accept(engine, &workflow, request, Cause::Step { parent, step_ref, write: Box::new(write) }, bytes).await.map(drop)
}

/// Where a trigger comes from.
enum Cause {
    Call(Option<Idempotency>),
    Schedule(Occurrence),
    /// A step of a run, which goes on by the same commit.
    Step {
        parent: Parent,
        step_ref: String,
        write: Box<Advance>,
    },
}

/// The workflow `key`, if a step can trigger it by `request`. Its run's own actor may have been deleted since.
pub fn nestable(engine: &Engine, key: &str, request: &TriggerRequest) -> Result<Arc<Published>, TriggerError> {
    fitting(published(engine, key)?, request)
}

/// The workflow `key` as it is triggered now.
fn published(engine: &Engine, key: &str) -> Result<Arc<Published>, TriggerError> {
    let missing = || TriggerError::UnknownWorkflow { key: key.to_owned(), keys: engine.catalog.keys() };
    let published = engine.catalog.current(key).ok_or_else(missing)?;
    if engine.catalog.is_active(key) { Ok(published) } else { Err(TriggerError::Inactive(key.to_owned())) }
}

/// The same, if the data of `request` fits it.
fn fitting(published: Arc<Published>, request: &TriggerRequest) -> Result<Arc<Published>, TriggerError> {
    let faults = published.schema.as_ref().map_or_else(Vec::new, |schema| schema.faults(&request.data));
    if faults.is_empty() { Ok(published) } else { Err(TriggerError::InvalidData(faults)) }
}

/// The workflow `key`, if a call can trigger it by `request`.
pub fn admissible(engine: &Engine, key: &str, request: &TriggerRequest) -> Result<Arc<Published>, TriggerError> {
    let published = fitting(published(engine, key)?, request)?;
    if let Some(actor) = request.actor.as_ref().filter(|actor| actor.inline.is_none())
        && engine.store.read()?.recipient(&actor.reference)?.is_none()
    {
        return Err(TriggerError::UnknownActor(actor.reference.clone()));
    }
    Ok(published)
}

async fn accept(
    engine: &Engine,
    key: &str,
    request: TriggerRequest,
    cause: Cause,
    bytes: usize,
) -> Result<Triggered, TriggerError> {
    let published = match cause {
        Cause::Step { .. } => nestable(engine, key, &request)?,
        Cause::Call(_) | Cause::Schedule(_) => admissible(engine, key, &request)?,
    };
    let work = engine.deps.work.begin();
    let now = engine.deps.clock.now();
    let identify = identified(&request);
    let named = request.recipients.iter().map(|recipient| &recipient.reference);
    let objects = fan_out::spreading(&engine.store, named)?;
    let Begun { mut trigger, cancel, flow, runs } = begun(engine, &published, request, now);
    let id = trigger.id;
    match &cause {
        Cause::Call(_) => {}
        Cause::Schedule(occurrence) => trigger.schedule = Some(occurrence.schedule),
        Cause::Step { parent, .. } => trigger.parent = Some(*parent),
    }
    // A schedule is for its recipient alone.
    let spreads = !matches!(cause, Cause::Schedule(_));
    let fan_out = (!objects.is_empty() && spreads).then(|| FanOut {
        trigger: id,
        cancel,
        objects,
        place: Place::START,
        revision: 0,
        cancelled: Spared::default(),
    });
    let due = runs.first().and_then(|run| run.phase.due());
    let ids = runs.iter().map(|run| run.id).collect();
    let admission =
        Admission { runs: ids, due, cancel, flow, fan_out: fan_out.as_ref().map(|fan_out| fan_out.trigger), work };
    let accept = Accept { trigger, runs, identify, idempotency: None, fan_out, bytes };
    let accepted = match cause {
        Cause::Call(idempotency) => engine.store.accept(Accept { idempotency, ..accept }, admission).await?,
        Cause::Schedule(occurrence) => engine.store.accept_occurrence(accept, occurrence, admission).await?,
        Cause::Step { step_ref, mut write, .. } => {
            let kind = RunEventKind::Triggered { workflow: key.to_owned(), trigger: id };
            // Behind what is told of the step, and before what is told of those after it.
            let place = write.events.iter().take_while(|event| event.step_ref == step_ref).count();
            write.events.insert(place, RunEvent { kind, step_ref, message: None, at: now });
            engine.store.advance_accepting(*write, accept, admission).await?
        }
    };
    match accepted {
        Accepted::Replayed(answer) => Ok(Triggered::Replayed(answer)),
        Accepted::New => Ok(Triggered::New(id)),
    }
}

/// What a request makes of a workflow: the trigger, and a run for each recipient that it names.
pub struct Begun {
    pub trigger: Trigger,
    pub runs: Vec<Run>,
    cancel: Option<CancelHash>,
    flow: Flow,
}

/// What `request` makes of a workflow at `now`. Nothing of it is stored.
pub fn begun(engine: &Engine, published: &Published, request: TriggerRequest, now: Timestamp) -> Begun {
    let trigger = Trigger {
        id: TriggerId(engine.deps.ids.next(now)),
        workflow: published.workflow.key.clone(),
        version: published.version,
        data: request.data,
        actor: request.actor.map(|actor| actor.reference),
        tenant: request.tenant.map(|tenant| tenant.reference.id),
        cancellation_key: request.cancellation_key,
        settings: request.settings,
        schedule: None,
        parent: None,
        inserted_at: now,
    };
    let cancel = trigger.cancellation_key.as_deref().map(|text| CancelHash::of(&trigger.workflow, text));
    let flow = Flow::of(&trigger.workflow, trigger.tenant.as_deref());
    let beginning = plan::begin(&published.workflow, trigger.settings, now);
    let block = engine.deps.ids.next_block(now);
    let run = |(number, to): (u16, NamedRecipient)| Run {
        id: RunId::in_block(block, number),
        trigger: trigger.id,
        flow,
        recipient: to.reference,
        data: to.data,
        via: None,
        cancel,
        revision: 0,
        phase: beginning.phase,
        begun: beginning.begun.clone(),
    };
    let runs = (0..RunId::BLOCK).zip(request.recipients).map(run).collect();
    Begun { trigger, runs, cancel, flow }
}

/// Who is to be stored before the runs begin: everyone given inline, and a stub for a tenant.
pub fn identified(request: &TriggerRequest) -> Vec<(RecipientRef, Profile)> {
    let inline = request.recipients.iter().chain(&request.actor);
    let mut all: Vec<_> =
        inline.filter_map(|recipient| Some((recipient.reference.clone(), recipient.inline.clone()?))).collect();
    if let Some(tenant) = &request.tenant {
        all.push((tenant.reference.clone(), tenant.inline.clone().unwrap_or_default()));
    }
    all
}
