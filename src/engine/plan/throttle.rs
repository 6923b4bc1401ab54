//! Throttles: which gate lets a run pass.

use super::{Env, Plan, behind, gate_key, onward, skip, step_ref};
use crate::model::recipient::RecipientRef;
use crate::model::run::{Run, RunEvent};
use crate::model::throttle_step::{self, Throttle};
use crate::store::op::Gate;

/// Writes that the run goes on behind `step` if the throttle lets it. `said` is what a template of its key came to, or
/// why it came to nothing. Without a window or a key, everything passes.
pub fn come(
    run: &Run,
    step: u16,
    throttle: &Throttle,
    said: Result<Option<&str>, String>,
    events: Vec<RunEvent>,
    env: &Env<'_>,
) -> Plan {
    match said.and_then(|said| gate(step, throttle, said, env)) {
        Ok(gate) => onward(run, behind(step, env), events, env).behind(gate),
        Err(why) => skip(run, step, why, env, events),
    }
}

fn gate(step: u16, throttle: &Throttle, said: Option<&str>, env: &Env<'_>) -> Result<Gate, String> {
    let until = throttle.window.resolve(env.facts.scope, env.now, env.zone, throttle_step::MAX_DAYS)?;
    let value = throttle.key.as_ref().map_or(Ok(String::new()), |key| key.find(env.facts.scope, said))?;
    let step_ref = step_ref(step, env);
    let RecipientRef { collection, id } = &env.recipient.reference;
    let key = gate_key(&[&env.workflow.key, step_ref, collection, id, &value]);
    Ok(Gate::Throttle { key, until, limit: throttle.limit, step_ref: step_ref.to_owned() })
}
