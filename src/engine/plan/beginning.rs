//! Where runs begin, and whether they begin at all: the trigger's conditions and its frequency.

use jiff::tz::TimeZone;

use super::{Effect, Env, Plan, gate_key, write};
use crate::base::clock::Timestamp;
use crate::model::duration::Unit;
use crate::model::moment::Moment;
use crate::model::run::{Halt, Outcome, Phase, Run, RunEvent, RunEventKind};
use crate::model::trigger::TriggerSettings;
use crate::model::workflow::{Frequency, Step, StepKind, Workflow};
use crate::store::op::{Gate, Next};

/// The beginning that all runs of a trigger share.
#[derive(Clone, Debug, PartialEq)]
pub struct Beginning {
    pub phase: Phase,
    pub begun: Option<RunEvent>,
}

/// Where new runs of a trigger begin. A delay before everything else begins with the runs: what accepts them puts them
/// to sleep, and no actor is started only to write that. A delay in months is left to the run, since the months are
/// those of its recipient's zone; and so is what depends on conditions.
pub fn begin(workflow: &Workflow, settings: TriggerSettings, now: Timestamp) -> Beginning {
    match workflow.steps.first() {
        Some(Step { reference, kind: StepKind::Delay(Moment::After(delay)), conditions, .. })
            if delay.unit != Unit::Months
                && !settings.skip_delay
                && conditions.is_empty()
                && !begins_by_asking(workflow) =>
        {
            let due = delay.after(now, &TimeZone::UTC);
            let kind = RunEventKind::DelayStarted(due);
            let event = RunEvent::of_step(kind, reference.clone(), now);
            Beginning { phase: Phase::Waiting { step: 0, due }, begun: Some(event) }
        }
        _ => Beginning { phase: Phase::Ready { step: 0 }, begun: None },
    }
}

/// Whether it depends on anything that a run begins.
pub fn begins_by_asking(workflow: &Workflow) -> bool {
    !workflow.conditions.is_empty() || workflow.frequency != Frequency::EveryTrigger
}

/// Begins a run, if the trigger's conditions hold and it is not one too many: it goes on with its first step.
pub fn start(run: &Run, env: &Env<'_>) -> Plan {
    let mut events = Vec::new();
    if !env.workflow.conditions.is_empty() {
        let (hold, conditions) = env.workflow.conditions.judge(&env.facts);
        events.push(RunEvent::of_run(RunEventKind::ConditionsEvaluated { hold, conditions }, env.now));
        if !hold {
            return write(run, env, Next::End(Outcome::Halted(Halt::Conditions)), None, events, Effect::Stop);
        }
    }
    let plan = write(run, env, Next::Phase(Phase::Ready { step: 0 }), None, events, Effect::Continue);
    let tenant = env.trigger.tenant.as_deref();
    match env.workflow.frequency {
        Frequency::EveryTrigger => plan,
        Frequency::OncePerRecipient => plan.behind(Gate::Once { key: gate_key(&[&env.workflow.key]) }),
        Frequency::OncePerRecipientPerTenant => {
            let key = match tenant {
                Some(tenant) => gate_key(&[&env.workflow.key, tenant]),
                None => gate_key(&[&env.workflow.key, "", ""]),
            };
            plan.behind(Gate::Once { key })
        }
    }
}
