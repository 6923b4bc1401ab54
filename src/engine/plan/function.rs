//! Steps that act by settings, which are rendered before.

use serde_json::{Map, Value};

use super::{
    Env, Onward, Plan, Run, batch, cohort, error, event, fetch, go_on, meets_conditions, skip, throttle,
    trigger_workflow, update,
};
use crate::model::batch_step::BATCH_KEY;
use crate::model::experiment_step::COHORT_KEY;
use crate::model::throttle_step::THROTTLE_KEY;
use crate::model::workflow::StepKind;

/// What a step does by its settings, unless its conditions hold no more or the settings are wrong.
pub fn act(run: &Run, step: u16, settings: Result<Map<String, Value>, String>, env: &Env<'_>) -> Plan {
    let Some(current) = env.workflow.steps.get(usize::from(step)) else {
        return go_on(run, Onward::Finish, env, None, Vec::new());
    };
    // Judged again: what they depend on may have changed while the settings were rendered.
    let (mut events, met) = meets_conditions(step, current, env);
    if let Err(why) = met {
        return skip(run, step, why, env, events);
    }
    let settings = match settings {
        Ok(settings) => settings,
        Err(why) => match &current.kind {
            StepKind::Fetch(fetch) => return fetch::give_up(run, step, fetch, why, env, events),
            StepKind::Throttle(throttle) => return throttle::come(run, step, throttle, Err(why), events, env),
            _ => return error(run, step, why, env, events),
        },
    };
    let done = match &current.kind {
        StepKind::Fetch(fetch) => return fetch::attempt(run, step, fetch, &settings, env, events),
        StepKind::Update(update) => update::decide(update, &settings, run, env).map(|(changes, told)| {
            events.push(event(env, step, told));
            go_on(run, current.next, env, None, std::mem::take(&mut events)).changing(changes)
        }),
        StepKind::Batch(batch) => return batch::come(run, step, batch, text(&settings, BATCH_KEY), events, env),
        StepKind::Throttle(throttle) => {
            return throttle::come(run, step, throttle, Ok(text(&settings, THROTTLE_KEY)), events, env);
        }
        StepKind::RandomCohort(experiment) => {
            return cohort::come(run, step, experiment, text(&settings, COHORT_KEY), events, env);
        }
        StepKind::TriggerWorkflow(_) => trigger_workflow::decide(&settings, current, env).map(|nested| {
            let plan = go_on(run, current.next, env, None, std::mem::take(&mut events));
            Plan { trigger: Some(Box::new(nested)), ..plan }
        }),
        // The step was none of these when its settings were asked for, or they would not have been.
        _ => Err(Unfit::Skipped("it has no settings".into())),
    };
    match done {
        Ok(plan) => plan,
        Err(Unfit::Skipped(why)) => skip(run, step, why, env, events),
        Err(Unfit::Failed(why)) => error(run, step, why, env, events),
    }
}

/// Why a step does not act.
#[derive(Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The run goes on behind it.
    Skipped(String),
    /// The run ends.
    Failed(String),
}

/// The object that a setting is, or says as JSON. The error names the setting.
pub fn object(settings: &Map<String, Value>, name: &str) -> Result<Map<String, Value>, Unfit> {
    match settings.get(name) {
        Some(Value::Object(fields)) => Ok(fields.clone()),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|error| {
            let shown: String = text.trim().chars().take(80).collect();
            Unfit::Failed(format!("`{name}` is no JSON object, {error}: {shown}"))
        }),
        _ => Err(Unfit::Failed(format!("`{name}` is missing"))),
    }
}

/// The text that a setting is, without blanks around it; `None` when that is nothing.
pub fn text<'a>(settings: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    settings.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}
