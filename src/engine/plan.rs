//! What a run does next: a pure function from the run, what happened, and what surrounds it, to what is written and
//! what is done once that is durable. No I/O, no clock, no actors.

mod batch;
mod beginning;
mod channel;
mod cohort;
mod fetch;
mod function;
#[cfg(test)]
mod tests;
mod throttle;
mod trigger_workflow;
mod update;
mod wait;

pub use beginning::{Beginning, begin};

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::Channel;
use super::fetch::{Answer, Failure, Request};
use crate::base::clock::Timestamp;
use crate::base::ids::{ChannelId, MessageId, VersionId};
use crate::model::condition::Facts;
use crate::model::consent::Preferences;
use crate::model::delay_step::MAX_DAYS;
use crate::model::message::Content;
use crate::model::recipient::Recipient;
use crate::model::run::{BranchJudged, Halt, Outcome, Phase, Run, RunEvent, RunEventKind};
use crate::model::trigger::{Trigger, TriggerRequest};
use crate::model::workflow::{Branch, Onward, Step, StepKind, Workflow};
use crate::store::op::{Advance, Changes, EVENTS_PER_REVISION, Gate, NewMessage, Next};

/// One write tells no more of delays that are skipped: the store numbers the events of a write, and others are told with
/// them.
const MAX_TOLD: usize = EVENTS_PER_REVISION as usize - 6;

/// What surrounds the run at `now`.
pub struct Env<'a> {
    pub now: Timestamp,
    pub trigger: &'a Trigger,
    pub workflow: &'a Workflow,
    /// That of the workflow.
    pub version: VersionId,
    /// What the run tells of: its trigger's data, or those of a batch.
    pub data: &'a Map<String, Value>,
    pub recipient: &'a Recipient,
    /// By whose clocks windows and calendar times are found.
    pub zone: &'a TimeZone,
    /// The workflow is switched on.
    pub active: bool,
    /// The recipient was deleted since the run was triggered.
    pub deleted: bool,
    /// The closed batch for which the run goes on, by its number among those of the run.
    pub batch: Option<u32>,
    /// The version of the workflow in which a run goes on behind its batch, and the step there, if not its own.
    pub moved: Option<(VersionId, u16)>,
    pub preferences: &'a Preferences,
    pub facts: Facts<'a>,
    /// What the conditions of preferences are judged by.
    pub preference_facts: Facts<'a>,
    pub channels: &'a [Channel],
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run was started, woken, or brought back: look where it stands.
    Enter,
    /// The step's content was rendered, or could not be; there is none of an email to nobody.
    Rendered { draft: Draft, content: Result<Option<Content>, String> },
    /// The step's settings were rendered, or could not be.
    Prepared { step: u16, settings: Result<Map<String, Value>, String> },
    /// The step's request was answered, or not.
    Fetched { step: u16, answer: Result<Answer, Failure> },
    /// What the step was to trigger was not accepted.
    NotTriggered { step: u16, why: NotTriggered },
}

/// Why a step triggers nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTriggered {
    /// Nothing has the workflow's key, or it takes no triggers: the run goes on.
    NoWorkflow(String),
    /// What the step says of it is wrong: the run fails.
    Invalid(String),
}

/// A message whose content is being rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draft {
    pub id: MessageId,
    pub step: u16,
    pub at: Timestamp,
}

/// What to write, and what to do after it is durable.
#[derive(Clone, Debug)]
pub struct Plan {
    pub write: Option<Advance>,
    /// What is triggered by the commit of the write.
    pub trigger: Option<Box<Nested>>,
    pub then: Vec<Effect>,
}

/// A trigger by a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Nested {
    pub step_ref: String,
    pub workflow: String,
    pub request: TriggerRequest,
}

impl Plan {
    /// Writes nothing, and does this.
    fn only(effect: Effect) -> Self {
        Self { write: None, trigger: None, then: vec![effect] }
    }

    /// The same, and what later steps find is changed.
    fn changing(mut self, changes: Changes) -> Self {
        if let Some(write) = &mut self.write {
            write.changes = changes;
        }
        self
    }

    /// The same, if `gate` lets the run pass.
    fn behind(mut self, gate: Gate) -> Self {
        if let Some(write) = &mut self.write {
            write.gate = Some(gate);
        }
        self
    }
}

/// What is done; never before the plan's write is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Render the step's content and come back with `Event::Rendered`. Touches nothing outside.
    Render(Draft),
    /// Render the settings of the step and come back with `Event::Prepared`. Touches nothing outside.
    Prepare { step: u16 },
    /// Make the step's request and come back with `Event::Fetched`.
    Fetch { step: u16, request: Box<Request> },
    /// Hand the message to its channel.
    Deliver { message: MessageId, channel: ChannelId, not_before: Option<Timestamp> },
    /// Tell those who watch the recipient's feed on the channel.
    Publish { channel: ChannelId },
    /// Execute the next step.
    Continue,
    /// Wait until then, and enter again.
    Sleep(Timestamp),
    /// The run has ended.
    Stop,
}

/// What `run` does on `event`.
pub fn next(run: &Run, event: Event, env: &Env<'_>) -> Plan {
    match event {
        Event::Enter => match run.phase {
            Phase::Waiting { due, .. } | Phase::Batching { due, .. } | Phase::Awaiting { due, .. } if due > env.now => {
                Plan::only(Effect::Sleep(due))
            }
            _ if env.deleted => write(run, env, Next::End(Outcome::RecipientDeleted), None, Vec::new(), Effect::Stop),
            _ if !env.active => {
                write(run, env, Next::End(Outcome::Halted(Halt::Inactive)), None, Vec::new(), Effect::Stop)
            }
            Phase::Waiting { step, .. } => match behind(step, env) {
                Onward::Step(step) => enter(run, step, env),
                end => go_on(run, end, env, None, Vec::new()),
            },
            Phase::Batching { step, .. } => batch::close(run, step, env),
            Phase::Awaiting { step, .. } => wait::expired(run, step, env),
            Phase::Matched { step } => wait::matched(run, step, env),
            Phase::Ready { .. } if run.revision == 0 && beginning::begins_by_asking(env.workflow) => {
                beginning::start(run, env)
            }
            Phase::Fetching { retry_at: Some(due), .. } if due > env.now => Plan::only(Effect::Sleep(due)),
            Phase::Fetching { step, .. } => Plan::only(Effect::Prepare { step }),
            Phase::Ready { step } => enter(run, step, env),
        },
        Event::Fetched { step, answer } => fetch::answered(run, step, answer, env),
        Event::Rendered { draft, content } => channel::rendered(run, draft, content, env),
        Event::Prepared { step, settings } => function::act(run, step, settings, env),
        Event::NotTriggered { step, why: NotTriggered::NoWorkflow(why) } => skip(run, step, why, env, Vec::new()),
        Event::NotTriggered { step, why: NotTriggered::Invalid(why) } => error(run, step, why, env, Vec::new()),
    }
}

/// Ends a run that cannot go on: its surroundings are gone, or its actor died too often.
pub fn fail(run: &Run, now: Timestamp, why: String) -> Advance {
    let event = RunEvent::of_run(RunEventKind::StepErrored(why.clone()), now);
    let to = Next::End(Outcome::Failed(why));
    Advance {
        run: run.id,
        expect: run.revision,
        to,
        gate: None,
        changes: Changes::default(),
        message: None,
        events: vec![event],
        at: now,
    }
}

/// Names a gate: 128 bits, so that no two share one by accident.
fn gate_key(parts: &[&str]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("belfry gate v1");
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    key
}

/// Executes `step`. A step that needs no rendering is decided here, and so are those that follow it at once.
fn enter(run: &Run, step: u16, env: &Env<'_>) -> Plan {
    let Some(current) = env.workflow.steps.get(usize::from(step)) else {
        return go_on(run, Onward::Finish, env, None, Vec::new());
    };
    match &current.kind {
        kind if kind.settings().is_some() => prepare(run, step, current, env),
        StepKind::Channel(channel) => {
            let (mut events, decided) = channel::decide(step, current, channel, env);
            match decided {
                Ok(_) => {
                    let id = MessageId::derive(env.now, run.id, &current.reference);
                    Plan::only(Effect::Render(Draft { id, step, at: env.now }))
                }
                Err(why) => {
                    events.push(event(env, step, RunEventKind::StepSkipped(why)));
                    go_on(run, behind(step, env), env, None, events)
                }
            }
        }
        StepKind::Mute(kind) => {
            let why = format!("this version has no channels of type {kind}");
            let events = vec![event(env, step, RunEventKind::StepSkipped(why))];
            go_on(run, current.next, env, None, events)
        }
        StepKind::Delay(moment) => {
            let (mut events, met) = meets_conditions(step, current, env);
            if met.is_ok() && env.trigger.settings.skip_delay {
                events.push(delay_skipped(step, env));
                return go_on(run, current.next, env, None, events);
            }
            let due = met.and_then(|()| moment.resolve(env.facts.scope, env.now, env.zone, MAX_DAYS));
            match due {
                Ok(due) => wait(run, step, due, env, None, events),
                Err(why) => {
                    events.push(event(env, step, RunEventKind::StepSkipped(why)));
                    go_on(run, behind(step, env), env, None, events)
                }
            }
        }
        StepKind::Throttle(throttle) => match meets_conditions(step, current, env) {
            (events, Ok(())) => throttle::come(run, step, throttle, Ok(None), events, env),
            (events, Err(why)) => skip(run, step, why, env, events),
        },
        StepKind::Batch(batch) => match meets_conditions(step, current, env) {
            (events, Ok(())) => batch::come(run, step, batch, None, events, env),
            (events, Err(why)) => skip(run, step, why, env, events),
        },
        StepKind::RandomCohort(experiment) => match meets_conditions(step, current, env) {
            (events, Ok(())) => cohort::come(run, step, experiment, None, events, env),
            (events, Err(why)) => skip(run, step, why, env, events),
        },
        StepKind::Update(_) | StepKind::TriggerWorkflow(_) | StepKind::Fetch(_) => prepare(run, step, current, env),
        StepKind::WaitForEvent(wait) => match meets_conditions(step, current, env) {
            (events, Ok(())) => wait::begin(run, step, wait, events, env),
            (events, Err(why)) => skip(run, step, why, env, events),
        },
        StepKind::Branch(branches) => {
            let (mut events, met) = meets_conditions(step, current, env);
            let onward = match met.map(|()| take_branch(branches, env)) {
                Ok((onward, judged)) => {
                    events.push(event(env, step, RunEventKind::BranchTaken(judged)));
                    onward
                }
                Err(why) => {
                    events.push(event(env, step, RunEventKind::StepSkipped(why)));
                    current.next
                }
            };
            go_on(run, onward, env, None, events)
        }
    }
}

/// Has the settings of `step` rendered, if its conditions hold.
fn prepare(run: &Run, step: u16, current: &Step, env: &Env<'_>) -> Plan {
    match meets_conditions(step, current, env) {
        (_, Ok(())) => Plan::only(Effect::Prepare { step }),
        (events, Err(why)) => skip(run, step, why, env, events),
    }
}

/// Leaves `step` out.
fn skip(run: &Run, step: u16, why: String, env: &Env<'_>, mut events: Vec<RunEvent>) -> Plan {
    events.push(event(env, step, RunEventKind::StepSkipped(why)));
    go_on(run, behind(step, env), env, None, events)
}

/// Ends the run at `step`, which could not be executed.
fn error(run: &Run, step: u16, why: String, env: &Env<'_>, mut events: Vec<RunEvent>) -> Plan {
    events.push(event(env, step, RunEventKind::StepErrored(why.clone())));
    write(run, env, Next::End(Outcome::Failed(why)), None, events, Effect::Stop)
}

/// Where the first branch leads whose conditions hold, and what came of those that were looked at.
fn take_branch(branches: &[Branch], env: &Env<'_>) -> (Onward, Vec<BranchJudged>) {
    let mut looked_at = Vec::new();
    let taken = branches.iter().find(|branch| {
        let (hold, conditions) = branch.conditions.judge(&env.facts);
        looked_at.push(BranchJudged { name: branch.name.clone(), conditions });
        hold
    });
    (taken.map_or(Onward::Finish, |branch| branch.first), looked_at)
}

/// Where a run goes on behind `step`.
fn behind(step: u16, env: &Env<'_>) -> Onward {
    env.workflow.steps.get(usize::from(step)).map_or(Onward::Finish, |step| step.next)
}

/// Whether a step's conditions hold, or why it is left out; and what is told of that.
fn meets_conditions(step: u16, current: &Step, env: &Env<'_>) -> (Vec<RunEvent>, Result<(), String>) {
    if current.conditions.is_empty() {
        return (Vec::new(), Ok(()));
    }
    let (hold, conditions) = current.conditions.judge(&env.facts);
    let failed = conditions.iter().find(|judged| judged.holds == Some(false));
    let why = failed.map_or_else(String::new, |judged| format!(": {judged}"));
    let told = event(env, step, RunEventKind::ConditionsEvaluated { hold, conditions });
    (vec![told], if hold { Ok(()) } else { Err(format!("its conditions{why}")) })
}

/// Writes what was done so far and goes on: a delay there begins now, unless it depends on conditions, which are
/// judged by what is written here too.
fn go_on(run: &Run, mut onward: Onward, env: &Env<'_>, message: Option<NewMessage>, mut events: Vec<RunEvent>) -> Plan {
    loop {
        let step = match onward {
            Onward::Step(step) => step,
            Onward::Finish => return write(run, env, Next::End(Outcome::Finished), message, events, Effect::Stop),
            Onward::Terminate => {
                return write(run, env, Next::End(Outcome::Halted(Halt::Branch)), message, events, Effect::Stop);
            }
        };
        match env.workflow.steps.get(usize::from(step)) {
            Some(Step { kind: StepKind::Delay(moment), conditions, next, .. }) if conditions.is_empty() => {
                match moment.fixed() {
                    _ if env.trigger.settings.skip_delay && events.len() < MAX_TOLD => {
                        events.push(delay_skipped(step, env));
                        onward = *next;
                    }
                    _ if env.trigger.settings.skip_delay => {
                        let to = Next::Phase(Phase::Ready { step });
                        return write(run, env, to, message, events, Effect::Continue);
                    }
                    Some(delay) => {
                        let due = delay.after(env.now, env.zone);
                        return wait(run, step, due, env, message, events);
                    }
                    None => {
                        let to = Next::Phase(Phase::Ready { step });
                        return write(run, env, to, message, events, Effect::Continue);
                    }
                }
            }
            _ => return write(run, env, Next::Phase(Phase::Ready { step }), message, events, Effect::Continue),
        }
    }
}

/// Writes that the run goes on at `next`, and nothing of what it does there: a gate may send it elsewhere.
fn onward(run: &Run, next: Onward, events: Vec<RunEvent>, env: &Env<'_>) -> Plan {
    let (to, then) = match next {
        Onward::Step(step) => (Next::Phase(Phase::Ready { step }), Effect::Continue),
        Onward::Finish => (Next::End(Outcome::Finished), Effect::Stop),
        Onward::Terminate => (Next::End(Outcome::Halted(Halt::Branch)), Effect::Stop),
    };
    write(run, env, to, None, events, then)
}

fn delay_skipped(step: u16, env: &Env<'_>) -> RunEvent {
    event(env, step, RunEventKind::StepSkipped("the trigger's settings skip delays".into()))
}

/// Writes what was done so far and waits at `step`.
fn wait(
    run: &Run,
    step: u16,
    due: Timestamp,
    env: &Env<'_>,
    message: Option<NewMessage>,
    mut events: Vec<RunEvent>,
) -> Plan {
    events.push(event(env, step, RunEventKind::DelayStarted(due)));
    write(run, env, Next::Phase(Phase::Waiting { step, due }), message, events, Effect::Sleep(due))
}

fn write(run: &Run, env: &Env<'_>, to: Next, message: Option<NewMessage>, events: Vec<RunEvent>, then: Effect) -> Plan {
    let advance = Advance {
        run: run.id,
        expect: run.revision,
        to,
        gate: None,
        changes: Changes::default(),
        message,
        events,
        at: env.now,
    };
    Plan { write: Some(advance), trigger: None, then: vec![then] }
}

fn event(env: &Env<'_>, step: u16, kind: RunEventKind) -> RunEvent {
    RunEvent::of_step(kind, step_ref(step, env), env.now)
}

fn step_ref<'a>(step: u16, env: &Env<'a>) -> &'a str {
    env.workflow.steps.get(usize::from(step)).map_or("", |step| step.reference.as_str())
}
