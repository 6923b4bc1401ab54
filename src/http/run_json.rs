//! A run on the wire (`knock-api.md` section 2.10), and what is told of it beyond that.

use serde_json::{Map, Value, json};

use crate::engine::trace::{StepOutline, Summary, Trace, TracedMessage};
use crate::model::message::Content;
use crate::model::recipient::RecipientRef;
use crate::model::run::{KnownRun, RunEvent};

/// A run as lists have it. Beyond Knock's fields: `outcome`, how it ended in a word (`null`: it has not), and of what a
/// step triggered `trigger_source.workflow_recipient_run_id`, the run of that step.
pub fn summary_json(summary: &Summary) -> Value {
    let (run, trigger) = (summary.run.run(), &summary.trigger);
    let mut source = Map::from_iter([("type".to_owned(), json!("api"))]);
    if let Some(schedule) = trigger.schedule {
        source.insert("type".into(), json!("schedule"));
        source.insert("schedule_id".into(), json!(schedule));
    }
    if let Some(parent) = trigger.parent {
        source.insert("type".into(), json!("workflow_step"));
        source.insert("workflow_recipient_run_id".into(), json!(parent.run));
    }
    source.insert("cancellation_key".into(), json!(trigger.cancellation_key));
    json!({
        "__typename": "WorkflowRecipientRun",
        "id": run.id,
        "workflow_run_id": run.trigger,
        "workflow": trigger.workflow,
        "recipient": run.recipient.to_json(),
        "actor": trigger.actor.as_ref().map(RecipientRef::to_json),
        "tenant": trigger.tenant,
        "status": summary.run.status(),
        "error_count": summary.error_count,
        "trigger_source": source,
        "outcome": summary.run.outcome().map(|outcome| outcome.name()),
        "inserted_at": run.id.made_at(),
        "updated_at": summary.updated_at,
    })
}

/// A run with its events. Beyond Knock's fields:
///
/// - of each event `summary`, a sentence, and `details`, a line for each condition or preference that was looked at;
/// - `outcome_reason`, a sentence; `waits_at`, `waits_for` and `due_at`, where it stands, for which event and until when;
/// - `data`, what it was triggered with, and `settings` of the trigger; `via`, the object by whose subscription it came;
///   `workflow_version`, which it follows to its end;
/// - `steps`, all of that version in order: `ref`, `type`, `name`, `settings` (its input; no templates), and `state`:
///   `not_reached`, `waiting`, `executed`, `skipped` or `failed`;
/// - `messages`, what it made: `id`, `step_ref`, `channel_type`, `to`, `subject`, `status`, and `attempts` to send it,
///   each with its time, its result and the server's reply.
pub fn trace_json(trace: &Trace) -> Value {
    let mut told = summary_json(&trace.summary());
    let run = trace.run.run();
    let due = match &trace.run {
        KnownRun::Pending(run) => run.phase.due(),
        KnownRun::Ended(_) => None,
    };
    let events = trace.events.iter().zip(0..).map(|(event, number)| event_json(trace, event, number));
    let beyond = json!({
        "events": events.collect::<Vec<_>>(),
        "outcome_reason": trace.run.outcome().map(ToString::to_string),
        "waits_at": trace.stands_at().map(|step| &step.reference),
        "waits_for": trace.waits_for(),
        "due_at": due,
        "data": trace.data(),
        "settings": trace.trigger.settings,
        "via": run.via.as_ref().map(RecipientRef::to_json),
        "workflow_version": trace.version,
        "steps": trace.steps.iter().map(|step| step_json(trace, step)).collect::<Vec<_>>(),
        "messages": trace.messages.iter().map(message_json).collect::<Vec<_>>(),
    });
    if let (Value::Object(told), Value::Object(beyond)) = (&mut told, beyond) {
        told.extend(beyond);
    }
    told
}

fn event_json(trace: &Trace, event: &RunEvent, number: u32) -> Value {
    let step = trace.steps.iter().find(|step| step.reference == event.step_ref);
    let mut data = event.kind.data();
    if let Some(id) = event.message {
        let message = trace.messages.iter().find(|one| one.message.id == id);
        let channel_type = message.map(|one| one.message.content.channel_type());
        data = json!({"message_id": id, "channel_type": channel_type});
    }
    json!({
        "__typename": "WorkflowRecipientRunEvent",
        "id": format!("{}-{number}", trace.run.run().id),
        "event": event.kind.name(),
        "status": if event.kind.is_error() { "error" } else { "ok" },
        "step_ref": step.map(|step| &step.reference),
        "step_type": step.map(|step| &step.kind),
        "attempt": event.kind.attempt(),
        "data": data,
        "summary": event.kind.to_string(),
        "details": event.kind.details(),
        "inserted_at": event.at,
    })
}

fn step_json(trace: &Trace, step: &StepOutline) -> Value {
    json!({
        "ref": step.reference,
        "type": step.kind,
        "name": step.name,
        "settings": step.settings,
        "state": trace.state(&step.reference),
    })
}

fn message_json(traced: &TracedMessage) -> Value {
    let message = &traced.message;
    let (to, subject) = match &message.content {
        Content::Email { to, email } => (Some(to), Some(&email.subject)),
        Content::InApp { .. } => (None, None),
    };
    json!({
        "id": message.id,
        "step_ref": message.step_ref,
        "channel_id": message.channel,
        "channel_type": message.content.channel_type(),
        "to": to,
        "subject": subject,
        "status": message.status,
        "attempts": traced.attempts,
        "inserted_at": message.inserted_at,
        "updated_at": message.updated_at,
    })
}
