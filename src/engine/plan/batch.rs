//! What a batch step does with a run. Whether the run opens a batch or joins one is decided where it is written: two
//! runs that come at once are told apart there.

use super::{Effect, Env, Plan, gate_key, onward, skip, write};
use crate::model::batch_step::{self, Batch, Follows, Mode};
use crate::model::run::{Outcome, Phase, Run, RunEvent};
use crate::model::workflow::{Onward, Step, StepKind};
use crate::store::op::{Closing, Entering, Gate, Next};

/// Writes that the run opens its batch at `step`, or goes on before it; if it is open, the write is diverted. `said` is
/// what a template of the batch's key came to. Runs without a key are of one batch: an event without a page is still to
/// be told.
pub fn come(run: &Run, step: u16, batch: &Batch, said: Option<&str>, events: Vec<RunEvent>, env: &Env<'_>) -> Plan {
    let key = batch.key.as_ref().and_then(|key| key.find(env.facts.scope, said).ok()).unwrap_or_default();
    let Some(current) = env.workflow.steps.get(usize::from(step)) else {
        return onward(run, Onward::Finish, events, env);
    };
    let zone = env.zone;
    let until = match batch.window.resolve(env.facts.scope, env.now, zone, batch_step::MAX_DAYS) {
        Ok(until) => until,
        Err(why) => return skip(run, step, why, env, events),
    };
    let entering = Entering {
        key: shared_key(batch, current, &key, env),
        shown_key: key,
        step,
        step_ref: current.reference.clone(),
        mode: batch.mode,
        until,
        latest: batch.extension.map(|extension| extension.after(env.now, zone)),
        max_items: batch.max_items,
        actor: env.trigger.actor.clone(),
    };
    let plan = match batch.mode {
        Mode::Accumulate => {
            let to = Next::Phase(Phase::Batching { step, due: until });
            write(run, env, to, None, events, Effect::Sleep(until))
        }
        Mode::FlushLeading => onward(run, current.next, events, env),
    };
    plan.behind(Gate::Batch(Box::new(entering)))
}

/// Names what the items of a batch share beside their recipient. A message has one tenant: what is of different ones is
/// never told together.
fn shared_key(batch: &Batch, step: &Step, key: &str, env: &Env<'_>) -> [u8; 16] {
    let version = match batch.follows {
        Follows::Latest => String::new(),
        Follows::Pinned => env.version.to_string(),
    };
    let tenant = env.trigger.tenant.as_deref().map_or_else(String::new, |tenant| format!("t{tenant}"));
    gate_key(&["batch", &env.workflow.key, &step.reference, &version, &tenant, key])
}

/// Closes the batch that the run opened at `step`, and goes on for all of it.
pub fn close(run: &Run, step: u16, env: &Env<'_>) -> Plan {
    let (version, step) = env.moved.map_or((None, step), |(version, step)| (Some(version), step));
    let Some(Step { kind: StepKind::Batch(batch), reference, next, .. }) = env.workflow.steps.get(usize::from(step))
    else {
        let why = "the batch step for which it waited is gone".to_owned();
        return write(run, env, Next::End(Outcome::Failed(why)), None, Vec::new(), Effect::Stop);
    };
    let closing = Closing { step_ref: reference.clone(), order: batch.order, rendered: batch.rendered, version };
    onward(run, *next, Vec::new(), env).behind(Gate::Close(closing))
}
