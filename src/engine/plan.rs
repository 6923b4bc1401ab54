//! What a run does next: a pure function from the run, what happened, and what surrounds it, to what is written and
//! what is done once that is durable. No I/O, no clock, no actors.

use jiff::tz::TimeZone;

use super::Channel;
use crate::base::clock::Timestamp;
use crate::base::ids::{ChannelId, MessageId};
use crate::model::message::{Content, Message, Status};
use crate::model::recipient::Recipient;
use crate::model::run::{Outcome, Phase, Run, RunEvent, RunEventKind};
use crate::model::trigger::Trigger;
use crate::model::workflow::{ChannelStep, StepKind, Template, Workflow};
use crate::store::op::{Advance, NewMessage, Next};

/// What surrounds the run at `now`.
pub struct Env<'a> {
    pub now: Timestamp,
    pub trigger: &'a Trigger,
    pub workflow: &'a Workflow,
    pub recipient: &'a Recipient,
    pub channels: &'a [Channel],
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run was started, woken, or brought back: look where it stands.
    Enter,
    /// The step's content was rendered, or could not be.
    Rendered { draft: Draft, content: Result<Content, String> },
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
    pub then: Vec<Effect>,
}

/// What is done; never before the plan's write is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Render the step's content and come back with `Event::Rendered`. Touches nothing outside.
    Render(Draft),
    /// Hand the message to its channel.
    Deliver { message: MessageId, channel: ChannelId },
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
            Phase::Waiting { due, .. } if due > env.now => Plan { write: None, then: vec![Effect::Sleep(due)] },
            Phase::Waiting { step, .. } => enter(run, step.saturating_add(1), env),
            Phase::Ready { step } => enter(run, step, env),
        },
        Event::Rendered { draft, content } => rendered(run, draft, content, env),
    }
}

/// Ends a run that cannot go on: its surroundings are gone, or its actor died too often.
pub fn fail(run: &Run, now: Timestamp, why: String) -> Advance {
    let event = RunEvent { kind: RunEventKind::StepErrored(why.clone()), step_ref: String::new(), at: now };
    let to = Next::End(Outcome::Failed(why));
    Advance { run: run.id, expect: run.revision, to, message: None, events: vec![event], at: now }
}

/// Executes `step`. A step that needs no rendering is decided here, and so are those that follow it at once.
fn enter(run: &Run, step: u16, env: &Env<'_>) -> Plan {
    match env.workflow.steps.get(usize::from(step)).map(|found| &found.kind) {
        Some(StepKind::Channel(channel)) => match obstacle(channel, env) {
            None => {
                let id = MessageId::derive(env.now, run.id, &env.workflow.steps[usize::from(step)].reference);
                Plan { write: None, then: vec![Effect::Render(Draft { id, step, at: env.now })] }
            }
            Some(why) => {
                let skipped = event(env, step, RunEventKind::StepSkipped(why));
                go_on(run, step.saturating_add(1), env, None, vec![skipped])
            }
        },
        Some(StepKind::Delay(_)) | None => go_on(run, step, env, None, Vec::new()),
    }
}

/// Why a channel step cannot reach its recipient.
fn obstacle(step: &ChannelStep, env: &Env<'_>) -> Option<String> {
    let Some(channel) = env.channels.iter().find(|channel| channel.key == step.channel_key) else {
        return Some(format!("channel `{}` is not configured", step.channel_key));
    };
    if channel.kind != step.template.channel_type() {
        return Some(format!(
            "channel `{}` is now of type {}, the step is for {}",
            channel.key,
            channel.kind,
            step.template.channel_type()
        ));
    }
    match step.template {
        Template::Email(_) if env.recipient.email().is_none() => Some("the recipient has no email address".into()),
        Template::InAppFeed(_) if !env.recipient.reference.is_user() => {
            Some("only users have an in-app feed, and the recipient is an object".into())
        }
        _ => None,
    }
}

fn rendered(run: &Run, draft: Draft, content: Result<Content, String>, env: &Env<'_>) -> Plan {
    let content = match content {
        Ok(content) => content,
        Err(why) => {
            // Rendering is a function of what is stored: trying again would fail again.
            let errored = event(env, draft.step, RunEventKind::StepErrored(why.clone()));
            return write(run, env, Next::End(Outcome::Failed(why)), None, vec![errored], Effect::Stop);
        }
    };
    let Some((step, channel)) = env.workflow.steps.get(usize::from(draft.step)).and_then(|step| match &step.kind {
        StepKind::Channel(channel) => Some((step, env.channels.iter().find(|one| one.key == channel.channel_key)?)),
        StepKind::Delay(_) => None,
    }) else {
        // The channel was there when rendering began; the step is looked at again.
        return Plan { write: None, then: vec![Effect::Continue] };
    };
    let in_app = matches!(content, Content::InApp { .. });
    let sandbox = env.trigger.settings.sandbox_mode;
    let message = Message {
        id: draft.id,
        run: run.id,
        trigger: run.trigger,
        workflow: env.workflow.key.clone(),
        categories: env.workflow.categories.clone(),
        step_ref: step.reference.clone(),
        channel: channel.id,
        recipient: run.recipient.clone(),
        tenant: env.trigger.tenant.clone(),
        content,
        status: match (sandbox, in_app) {
            (true, _) => Status::NotSent,
            (false, true) => Status::Delivered,
            (false, false) => Status::Queued,
        },
        inserted_at: draft.at,
        updated_at: draft.at,
    };
    let deliver = Effect::Deliver { message: message.id, channel: channel.id };
    let message = match (sandbox, in_app) {
        (true, _) => NewMessage::Keep(message),
        (false, true) => NewMessage::Feed(message),
        (false, false) => NewMessage::Send(message),
    };
    let sends = matches!(message, NewMessage::Send(_));
    let enqueued = event(env, draft.step, RunEventKind::MessageEnqueued);
    let mut plan = go_on(run, draft.step.saturating_add(1), env, Some(message), vec![enqueued]);
    if sends {
        plan.then.insert(0, deliver);
    }
    plan
}

/// Writes what was done so far and moves to `step`: a delay there begins now, and past the last step the run ends.
fn go_on(run: &Run, mut step: u16, env: &Env<'_>, message: Option<NewMessage>, mut events: Vec<RunEvent>) -> Plan {
    loop {
        let (to, then) = match env.workflow.steps.get(usize::from(step)).map(|step| &step.kind) {
            None => (Next::End(Outcome::Finished), Effect::Stop),
            Some(StepKind::Channel(_)) => (Next::Phase(Phase::Ready { step }), Effect::Continue),
            Some(StepKind::Delay(_)) if env.trigger.settings.skip_delay => {
                step = step.saturating_add(1);
                continue;
            }
            Some(StepKind::Delay(delay)) => {
                let due = delay.after(env.now, &zone(env.recipient));
                events.push(event(env, step, RunEventKind::DelayStarted(due)));
                (Next::Phase(Phase::Waiting { step, due }), Effect::Sleep(due))
            }
        };
        return write(run, env, to, message, events, then);
    }
}

fn write(run: &Run, env: &Env<'_>, to: Next, message: Option<NewMessage>, events: Vec<RunEvent>, then: Effect) -> Plan {
    let advance = Advance { run: run.id, expect: run.revision, to, message, events, at: env.now };
    Plan { write: Some(advance), then: vec![then] }
}

fn event(env: &Env<'_>, step: u16, kind: RunEventKind) -> RunEvent {
    let step_ref = env.workflow.steps.get(usize::from(step)).map_or_else(String::new, |step| step.reference.clone());
    RunEvent { kind, step_ref, at: env.now }
}

/// The recipient's time zone; UTC when it has none that is known.
fn zone(recipient: &Recipient) -> TimeZone {
    recipient
        .properties
        .get("timezone")
        .and_then(serde_json::Value::as_str)
        .and_then(|name| TimeZone::get(name).ok())
        .unwrap_or(TimeZone::UTC)
}
