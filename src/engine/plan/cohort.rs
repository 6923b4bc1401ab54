//! Experiments: into which cohort a run is drawn. The draw is a hash of workflow, step and key, so that who was drawn
//! once is drawn alike by every later run, whatever the version, while the shares stay.

use super::{Env, Plan, event, go_on, skip, step_ref};
use crate::model::experiment_step::{Experiment, THOUSANDTHS};
use crate::model::run::{Run, RunEvent, RunEventKind};

/// Writes that the run goes on where `experiment` leads at `step`. `said` is what a template of its key came to; without
/// a key, and where the key finds nothing, the recipient's id is drawn by.
pub fn come(
    run: &Run,
    step: u16,
    experiment: &Experiment,
    said: Option<&str>,
    mut events: Vec<RunEvent>,
    env: &Env<'_>,
) -> Plan {
    let found = experiment.key.as_ref().and_then(|key| key.find(env.facts.scope, said).ok());
    let key = found.unwrap_or_else(|| env.recipient.reference.to_string());
    let step_ref = step_ref(step, env);
    match experiment.cohort_at(place(&env.workflow.key, step_ref, &key)) {
        Some(cohort) => {
            events.push(event(env, step, RunEventKind::CohortDrawn { name: cohort.name.clone(), key }));
            go_on(run, cohort.first, env, None, events)
        }
        None => skip(run, step, "it has no cohort".into(), env, events),
    }
}

/// Below `THOUSANDTHS`; each place as likely as any other.
fn place(workflow: &str, step: &str, key: &str) -> u16 {
    let mut hasher = blake3::Hasher::new_derive_key("belfry cohort v1");
    for part in [workflow, step, key] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    (u64::from_le_bytes(bytes) % u64::from(THOUSANDTHS)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another hash would draw everybody anew in the middle of an experiment.
    #[test]
    fn a_draw_stays_what_it_was() {
        assert_eq!([place("w", "s", "ada"), place("w", "s", "bob")], [320, 645]);
    }

    #[test]
    fn keys_are_spread_evenly_and_each_experiment_draws_anew() {
        let below_half = |step: &str| (0..10_000).filter(|n| place("w", step, &format!("user-{n}")) < 500).count();
        assert!((4_800..5_200).contains(&below_half("a")), "{}", below_half("a"));
        let alike = (0..10_000).map(|n| format!("user-{n}"));
        let alike = alike.filter(|key| (place("w", "a", key) < 500) == (place("w", "b", key) < 500)).count();
        assert!((4_800..5_200).contains(&alike), "{alike}");
    }
}
