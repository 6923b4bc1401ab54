//! An experiment (`random_cohort`): each key is drawn into one of some cohorts, by their shares.

use serde_json::Value;

use super::arm::{Arm, MAX_ARMS, read_arms};
use super::json_reader::{Reader, shown};
use super::step_file::{COMMON_KEYS, References, Steps};
use super::step_key::Key;
use super::workflow::Onward;

/// What all shares come to: percentages have one decimal.
pub const THOUSANDTHS: u16 = 1_000;

/// The field that can be a template.
pub const COHORT_KEY: &str = "cohort_key";

/// Cohorts, and what is drawn into them.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// `None`: the recipient's id.
    pub key: Option<Key>,
    /// Their shares come to `THOUSANDTHS`.
    pub cohorts: Vec<Cohort>,
}

/// A way that a run can be drawn into.
#[derive(Clone, Debug, PartialEq)]
pub struct Cohort {
    pub name: String,
    /// In thousandths.
    pub share: u16,
    pub first: Onward,
}

impl Experiment {
    /// The cohort at `place`, which is below `THOUSANDTHS`.
    pub fn cohort_at(&self, place: u16) -> Option<&Cohort> {
        let mut end = 0;
        self.cohorts.iter().find(|cohort| {
            end += cohort.share;
            place < end
        })
    }
}

/// The experiment at `step`, and the steps of its cohorts. None after a fault.
pub fn read_experiment(step: &Reader<'_>, reading: &mut Steps<'_>, depth: usize) -> Option<(Experiment, Vec<Arm>)> {
    step.expect_keys(&[COMMON_KEYS.as_slice(), &["cohort_branches", COHORT_KEY]].concat());
    let key = Key::read(&step.field(COHORT_KEY), COHORT_KEY);
    let field = step.field("cohort_branches");
    if field.is_blank() {
        field.missing(r#"Write an array of cohorts, as in {"name": "A", "percentage": 50, "steps": []}."#);
        return None;
    }
    let items = field.items()?;
    if !(2..=MAX_ARMS).contains(&items.len()) {
        field.fault(format!("has {} cohorts", items.len()), format!("Write 2 to {MAX_ARMS}."));
        return None;
    }
    let (cohorts, arms) = read_arms(&field, &items, reading, depth, read_cohort)?;
    let sum: u16 = cohorts.iter().map(|cohort| cohort.share).sum();
    if sum != THOUSANDTHS {
        field.fault(format!("the percentages come to {}", f64::from(sum) / 10.0), "Make them come to 100.");
        return None;
    }
    Some((Experiment { key: key?, cohorts }, arms))
}

fn read_cohort(cohort: &Reader<'_>, _: &References) -> Option<Cohort> {
    cohort.expect_keys(&["name", "percentage", "steps", "terminates"]);
    let name = cohort.field("name").required_name("Name the cohort, as people shall see it.");
    let share = read_share(&cohort.field("percentage"));
    Some(Cohort { name: name?.trim().to_owned(), share: share?, first: Onward::Finish })
}

/// A percentage as a number, or as the text of one: Knock's API answers with texts.
fn read_share(field: &Reader<'_>) -> Option<u16> {
    const FIX: &str = "Write a number from 0 to 100 with at most one decimal.";
    let Some(value) = field.value() else {
        field.missing(FIX);
        return None;
    };
    let percentage = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let thousandths = percentage.filter(|number| (0.0..=100.0).contains(number)).map(|number| number * 10.0);
    match thousandths {
        Some(thousandths) if (thousandths - thousandths.round()).abs() < 1e-6 => Some(thousandths.round() as u16),
        _ => {
            field.fault(format!("{} is not a percentage", shown(value)), FIX);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::workflow::{Onward, StepKind};
    use super::super::workflow_sample::*;
    use super::*;

    fn experiment(cohorts: Value) -> Value {
        let step = json!({"ref": "experiment_1", "type": "random_cohort", "cohort_branches": cohorts});
        with("/steps/1", step)
    }

    fn read(cohorts: Value) -> Experiment {
        match &workflow(&experiment(cohorts)).steps[1].kind {
            StepKind::RandomCohort(experiment) => experiment.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn cohorts_take_their_share_of_the_places_and_lead_to_their_steps() {
        let delay = document()["steps"][1].clone();
        let experiment = read(json!([
            {"name": "Small", "percentage": "12.5", "steps": [delay]},
            {"name": "None", "percentage": 0, "steps": []},
            {"name": "Rest", "percentage": 87.5, "steps": [], "terminates": true},
        ]));
        let at = |place| experiment.cohort_at(place).map(|cohort| (cohort.name.as_str(), cohort.first));
        assert_eq!(at(0), Some(("Small", Onward::to(2))));
        assert_eq!(at(124), Some(("Small", Onward::to(2))));
        assert_eq!(at(125), Some(("Rest", Onward::Terminate)));
        assert_eq!(at(999), Some(("Rest", Onward::Terminate)));
        assert_eq!(at(1_000), None);
    }

    #[test]
    fn shares_come_to_a_hundred_and_cohorts_are_two_to_ten() {
        let shares = |shares: &[Value]| {
            let cohort = |share| json!({"name": "C", "percentage": share, "steps": []});
            experiment(shares.iter().map(cohort).collect())
        };
        for (document, problem) in [
            (shares(&[]), "cohort_branches: is missing"),
            (shares(&[json!(100)]), "has 1 cohorts. Write 2 to 10."),
            (shares(&vec![json!(9); 11]), "has 11 cohorts"),
            (shares(&[json!(50), json!(49.9)]), "the percentages come to 99.9. Make them come to 100."),
            (shares(&[json!(50), json!("half")]), "cohort_branches[1].percentage: \"half\" is not a percentage"),
            (shares(&[json!(99.95), json!(50)]), "cohort_branches[0].percentage: 99.95 is not a percentage"),
            (shares(&[json!(-1), json!(50)]), "-1 is not a percentage"),
            (shares(&[json!(null), json!(100)]), "cohort_branches[0].percentage: is null, but required"),
        ] {
            let text = fault(&document);
            assert!(text.contains(problem), "{text}");
        }
    }
}
