//! A channel step: whether and on which channel it reaches its recipient, and the message that it makes.

use super::{Draft, Effect, Env, Plan, behind, error, event, go_on, meets_conditions};
use crate::engine::Channel;
use crate::model::consent::{Consent, Subject};
use crate::model::message::{Content, Message, Status};
use crate::model::run::{Run, RunEvent, RunEventKind};
use crate::model::trigger_data::TriggerData;
use crate::model::workflow::{ChannelStep, Step, StepKind, Template};
use crate::store::op::NewMessage;

/// Why a step makes no email, where neither the recipient nor the step nor its channel says where to.
const NO_ADDRESS: &str = "the recipient has no email address";

/// The channel on which a channel step is to send its message, or why it is left out; and what is told of that.
pub fn decide<'a>(
    step: u16,
    current: &Step,
    channel: &ChannelStep,
    env: &Env<'a>,
) -> (Vec<RunEvent>, Result<&'a Channel, String>) {
    let (mut events, met) = meets_conditions(step, current, env);
    let channel = match met.and_then(|()| reach(channel, env)) {
        Ok(channel) => channel,
        Err(why) => return (events, Err(why)),
    };
    let Consent { given, settings } = consent(channel, env);
    let by = settings.last().map_or_else(String::new, |setting| format!(": {setting}"));
    if !settings.is_empty() {
        events.push(event(env, step, RunEventKind::PreferencesEvaluated(settings)));
    }
    (events, if given { Ok(channel) } else { Err(format!("the recipient's preferences{by}")) })
}

/// The channel on which a channel step reaches its recipient, or why it cannot.
fn reach<'a>(step: &ChannelStep, env: &Env<'a>) -> Result<&'a Channel, String> {
    let Some(channel) = env.channels.iter().find(|channel| channel.key == step.channel_key) else {
        return Err(format!("channel `{}` is not configured", step.channel_key));
    };
    if channel.kind != step.template.channel_type() {
        return Err(format!(
            "channel `{}` is now of type {}, the step is for {}",
            channel.key,
            channel.kind,
            step.template.channel_type()
        ));
    }
    match &step.template {
        Template::Email(email) => {
            let elsewhere = email.overrides.may_name_recipient() || channel.addressing.has_to();
            let is_reached = elsewhere || env.recipient.email().is_some();
            if is_reached { Ok(channel) } else { Err(NO_ADDRESS.into()) }
        }
        Template::InAppFeed(_) if !env.recipient.reference.is_user() => {
            Err("only users have an in-app feed, and the recipient is an object".into())
        }
        _ => Ok(channel),
    }
}

/// Whether the recipient wants the workflow's messages on `channel`.
fn consent(channel: &Channel, env: &Env<'_>) -> Consent {
    let settings = env.workflow.settings;
    let subject = Subject {
        workflow: &env.workflow.key,
        categories: &env.workflow.categories,
        channel_type: channel.kind,
        channel: channel.id,
        is_commercial: settings.is_commercial,
        overrides: settings.override_preferences,
    };
    env.preferences.consent(&subject, &env.preference_facts)
}

/// What is written of the step of `draft`, whose content was rendered or could not be.
pub fn rendered(run: &Run, draft: Draft, content: Result<Option<Content>, String>, env: &Env<'_>) -> Plan {
    let content = match content {
        Ok(content) => content,
        Err(why) => {
            // Rendering is a function of what is stored: trying again would fail again.
            let events = match env.workflow.steps.get(usize::from(draft.step)).map(|step| (step, &step.kind)) {
                Some((step, StepKind::Channel(channel))) => decide(draft.step, step, channel, env).0,
                _ => Vec::new(),
            };
            return error(run, draft.step, why, env, events);
        }
    };
    let current = env.workflow.steps.get(usize::from(draft.step));
    let Some((current, StepKind::Channel(step))) = current.map(|step| (step, &step.kind)) else {
        return Plan::only(Effect::Continue);
    };
    // Decided again: what it depends on may have changed while the content was rendered.
    let (mut events, decided) = decide(draft.step, current, step, env);
    let made = decided.and_then(|channel| Ok((channel, content.ok_or(NO_ADDRESS)?)));
    let (channel, content) = match made {
        Ok(made) => made,
        Err(why) => {
            events.push(event(env, draft.step, RunEventKind::StepSkipped(why)));
            return go_on(run, behind(draft.step, env), env, None, events);
        }
    };
    let in_app = matches!(content, Content::InApp { .. });
    let sandbox = env.trigger.settings.sandbox_mode;
    let opens = step.send_windows.as_ref().map(|windows| windows.opens(env.now, env.zone));
    let held = opens.filter(|opens| !sandbox && *opens > env.now);
    let message = Message {
        id: draft.id,
        run: run.id,
        batch: env.batch,
        trigger: run.trigger,
        workflow: env.workflow.key.clone(),
        categories: env.workflow.categories.clone(),
        step_ref: current.reference.clone(),
        channel: channel.id,
        recipient: run.recipient.clone(),
        tenant: env.trigger.tenant.clone(),
        content,
        status: match (sandbox, in_app, held) {
            (true, ..) => Status::NotSent,
            (false, true, None) => Status::Delivered,
            (false, ..) => Status::Queued,
        },
        inserted_at: draft.at,
        updated_at: draft.at,
    };
    let deliver = Effect::Deliver { message: message.id, channel: channel.id, not_before: held };
    let (effect, message) = match (sandbox, in_app, held) {
        (true, ..) => (None, NewMessage::Keep(message)),
        (false, true, None) => {
            (Some(Effect::Publish { channel: channel.id }), NewMessage::Feed(message, TriggerData::of(env.data)))
        }
        (false, true, Some(opens)) => (Some(deliver), NewMessage::Hold(message, TriggerData::of(env.data), opens)),
        (false, false, held) => (Some(deliver), NewMessage::Send(message, held)),
    };
    events.push(RunEvent { message: Some(draft.id), ..event(env, draft.step, RunEventKind::MessageEnqueued) });
    if let Some(until) = held {
        let told = event(env, draft.step, RunEventKind::MessageHeld { until });
        events.push(RunEvent { message: Some(draft.id), ..told });
    }
    let mut plan = go_on(run, behind(draft.step, env), env, Some(message), events);
    plan.then.splice(0..0, effect);
    plan
}
