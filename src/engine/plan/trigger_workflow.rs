//! What a step triggers: a request as a backend would send it, in which all that the step does not say is the run's own.

use serde_json::{Map, Value, json};

use super::function::{Unfit, object, text};
use super::{Env, Nested};
use crate::model::recipient::RecipientRef;
use crate::model::trigger::{TriggerRequest, check_workflow_key};
use crate::model::trigger_workflow_step::{ACTOR, CANCELLATION_KEY, DATA, MAX_DEPTH, RECIPIENTS, TENANT, WORKFLOW_KEY};
use crate::model::workflow::Step;

/// What `step` triggers by its rendered settings.
pub fn decide(settings: &Map<String, Value>, step: &Step, env: &Env<'_>) -> Result<Nested, Unfit> {
    let depth = env.trigger.parent.map_or(0, |parent| parent.depth);
    if depth >= MAX_DEPTH {
        let why = format!("it lies {depth} workflows deep, each triggered by the one before; at most {MAX_DEPTH} may");
        return Err(Unfit::Failed(why));
    }
    let workflow = text(settings, WORKFLOW_KEY).unwrap_or_default();
    check_workflow_key(workflow).map_err(|why| Unfit::Failed(format!("`{WORKFLOW_KEY}`: {why}")))?;
    let (recipient, actor) = (&env.recipient.reference, env.trigger.actor.as_ref());
    let body = json!({
        RECIPIENTS: list(said(settings, RECIPIENTS, || recipient.to_json(), &[Some(recipient), actor])?),
        ACTOR: said(settings, ACTOR, || json!(actor), &[actor, Some(recipient)])?,
        TENANT: said(settings, TENANT, || json!(env.trigger.tenant), &[])?,
        CANCELLATION_KEY: match settings.get(CANCELLATION_KEY) {
            Some(_) => text(settings, CANCELLATION_KEY),
            None => env.trigger.cancellation_key.as_deref(),
        },
        // A test that sends nothing sends nothing by another workflow either.
        "settings": env.trigger.settings,
    });
    let request = TriggerRequest::from_json(&body).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(|fault| format!("`{}` {}", fault.field, fault.message)).collect();
        Unfit::Failed(faults.join("; "))
    })?;
    let data = match settings.get(DATA) {
        None => env.data.clone(),
        Some(Value::String(text)) if text.trim().is_empty() => Map::new(),
        Some(_) => object(settings, DATA)?,
    };
    let request = TriggerRequest { data, ..request };
    Ok(Nested { step_ref: step.reference.clone(), workflow: workflow.to_owned(), request })
}

/// Whom a setting names: JSON, or the text of some, or an id. An id that one of `known` has is that one, since a
/// template says only the id of an object. Nothing is nobody.
fn said(
    settings: &Map<String, Value>,
    name: &str,
    default: impl FnOnce() -> Value,
    known: &[Option<&RecipientRef>],
) -> Result<Value, Unfit> {
    let text = match settings.get(name) {
        None => return Ok(default()),
        Some(Value::String(text)) => text.trim(),
        Some(json) => return Ok(json.clone()),
    };
    if text.starts_with(['{', '[', '"']) || text == "null" {
        return serde_json::from_str(text).map_err(|error| Unfit::Failed(format!("`{name}` is no JSON: {error}")));
    }
    let known = known.iter().flatten().find(|known| known.id == text);
    Ok(match known {
        _ if text.is_empty() => Value::Null,
        Some(known) => known.to_json(),
        None => json!(text),
    })
}

/// One recipient is a list of one; nobody is none.
fn list(value: Value) -> Value {
    match value {
        Value::Array(_) => value,
        Value::Null => json!([]),
        one => json!([one]),
    }
}
