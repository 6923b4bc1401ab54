//! What a wait step does with a run. Whether an event is the one that is waited for is decided where the event is
//! written: two that come at once are told apart there, and an event and the end of the wait too.

use super::{Effect, Env, Plan, behind, event, go_on, step_ref, write};
use crate::model::awaited::{Awaited, Wait};
use crate::model::condition::EVENT;
use crate::model::run::{Halt, Outcome, Phase, Run, RunEvent, RunEventKind};
use crate::model::wait_step::WaitForEvent;
use crate::model::workflow::StepKind;
use crate::store::op::{Gate, Next, Registering};

/// Writes that the run waits at `step`; what conditions compare the event with is looked up now.
pub fn begin(run: &Run, step: u16, settings: &WaitForEvent, mut events: Vec<RunEvent>, env: &Env<'_>) -> Plan {
    let due = settings.expires_after.after(env.now, env.zone);
    let what = settings.awaited.to_string();
    events.push(event(env, step, RunEventKind::WaitRegistered { what, until: due }));
    let providers = match settings.awaited {
        Awaited::Message { .. } => {
            env.channels.iter().map(|channel| (channel.id, channel.provider.as_str().to_owned())).collect()
        }
        _ => Vec::new(),
    };
    let wait = Wait {
        step_ref: step_ref(step, env).to_owned(),
        awaited: settings.awaited.clone(),
        conditions: settings.conditions.looked_up(env.facts.scope, EVENT),
        audiences: env.facts.audiences.to_vec(),
        providers,
    };
    let registering = Registering { wait, step, looks_back: settings.looks_back };
    let to = Next::Phase(Phase::Awaiting { step, due });
    write(run, env, to, None, events, Effect::Sleep(due)).behind(Gate::Wait(Box::new(registering)))
}

/// The event has come; the store has told so.
pub fn matched(run: &Run, step: u16, env: &Env<'_>) -> Plan {
    let goes_on = settings(step, env).is_none_or(|settings| settings.goes_on_matched);
    after(run, step, goes_on, Halt::WaitMatched, Vec::new(), env)
}

/// The event has not come in time.
pub fn expired(run: &Run, step: u16, env: &Env<'_>) -> Plan {
    let what = settings(step, env).map_or_else(String::new, |settings| settings.awaited.to_string());
    let told = vec![event(env, step, RunEventKind::WaitExpired { what })];
    let goes_on = settings(step, env).is_some_and(|settings| settings.goes_on_expired);
    after(run, step, goes_on, Halt::WaitExpired, told, env)
}

fn settings<'a>(step: u16, env: &Env<'a>) -> Option<&'a WaitForEvent> {
    match &env.workflow.steps.get(usize::from(step))?.kind {
        StepKind::WaitForEvent(settings) => Some(settings),
        _ => None,
    }
}

fn after(run: &Run, step: u16, goes_on: bool, halt: Halt, told: Vec<RunEvent>, env: &Env<'_>) -> Plan {
    if goes_on {
        return go_on(run, behind(step, env), env, None, told);
    }
    write(run, env, Next::End(Outcome::Halted(halt)), None, told, Effect::Stop)
}
