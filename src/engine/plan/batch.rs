//! What a batch step does with a run. Whether the run opens a batch or joins one is decided where it is written: two
//! runs that come at once are told apart there.

use super::{Effect, Env, Plan, gate_key, write};
use crate::model::batch_step::{self, Batch, Follows, Mode};
use crate::model::run::{Halt, Outcome, Phase, Run, RunEvent};
use crate::model::workflow::{Onward, Step, StepKind};
use crate::store::op::{Closing, Entering, Gate, Next};

/// How a run comes to the batch step, or why it is left out.
pub fn entering(batch: &Batch, step: u16, current: &Step, env: &Env<'_>) -> Result<Entering, String> {
    let zone = env.zone;
    let until = batch.window.resolve(env.facts.scope, env.now, zone, batch_step::MAX_DAYS)?;
    // Without a value they are of one batch: an event without a page is still to be told.
    let shown_key = match batch.key.as_ref().and_then(|path| path.find(env.facts.scope)) {
        None => String::new(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let version = match batch.follows {
        Follows::Latest => String::new(),
        Follows::Pinned => env.version.to_string(),
    };
    // A message has one tenant: what is of different tenants is never told together.
    let tenant = env.trigger.tenant.as_deref().map_or_else(String::new, |tenant| format!("t{tenant}"));
    Ok(Entering {
        key: gate_key(&["batch", &env.workflow.key, &current.reference, &version, &tenant, &shown_key]),
        shown_key,
        step,
        step_ref: current.reference.clone(),
        mode: batch.mode,
        until,
        latest: batch.extension.map(|extension| extension.after(env.now, zone)),
        max_items: batch.max_items,
        actor: env.trigger.actor.clone(),
    })
}

/// Writes that the run opens a batch, or goes on before one; if another one is open, the write is diverted.
pub fn enter(run: &Run, entering: Entering, next: Onward, events: Vec<RunEvent>, env: &Env<'_>) -> Plan {
    let plan = match entering.mode {
        Mode::Accumulate => {
            let due = entering.until;
            let to = Next::Phase(Phase::Batching { step: entering.step, due });
            write(run, env, to, None, events, Effect::Sleep(due))
        }
        Mode::FlushLeading => onward(run, next, events, env),
    };
    plan.behind(Gate::Batch(Box::new(entering)))
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

fn onward(run: &Run, next: Onward, events: Vec<RunEvent>, env: &Env<'_>) -> Plan {
    let (to, then) = match next {
        Onward::Step(step) => (Next::Phase(Phase::Ready { step }), Effect::Continue),
        Onward::Finish => (Next::End(Outcome::Finished), Effect::Stop),
        Onward::Terminate => (Next::End(Outcome::Halted(Halt::Branch)), Effect::Stop),
    };
    write(run, env, to, None, events, then)
}
