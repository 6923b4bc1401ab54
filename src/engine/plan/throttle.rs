//! Throttles: which gate lets a run pass.

use super::{Env, gate_key};
use crate::model::recipient::RecipientRef;
use crate::model::throttle_step::{self, Throttle};
use crate::model::workflow::Step;
use crate::store::op::Gate;

/// What a throttle step lets pass, or why it lets everything pass.
pub fn gate(throttle: &Throttle, step: &Step, env: &Env<'_>) -> Result<Gate, String> {
    let until = throttle.window.resolve(env.facts.scope, env.now, env.zone, throttle_step::MAX_DAYS)?;
    let value = match &throttle.key {
        None => String::new(),
        Some(path) => match path.find(env.facts.scope) {
            Some(value) => value.to_string(),
            None => return Err(format!("there is nothing at `{}`, its key", path.as_str())),
        },
    };
    let RecipientRef { collection, id } = &env.recipient.reference;
    let key = gate_key(&[&env.workflow.key, &step.reference, collection, id, &value]);
    Ok(Gate::Throttle { key, until, limit: throttle.limit, step_ref: step.reference.clone() })
}
