//! The settings of a delay step: how long it waits.

use super::json_reader::Reader;
use super::moment::Moment;
use super::step_file::read_settings;

/// The longest delay, in days.
pub const MAX_DAYS: i64 = 365;

/// Until when the delay step at `step` waits. None after a fault.
pub fn read_delay(step: &Reader<'_>) -> Option<Moment> {
    const FORM: &str = r#"Write {"delay_for": {"unit": "days", "value": 3}}."#;
    let settings = read_settings(step, FORM, &["delay_for", "delay_until_field_path"])?;
    Moment::read(&settings, "delay_for", "delay_until_field_path", MAX_DAYS)
}

#[cfg(test)]
mod tests {
    use super::super::duration::{Duration, Unit};
    use super::super::workflow::StepKind;
    use super::super::workflow_sample::*;
    use super::*;
    use serde_json::{Value, json};

    fn delayed_for(unit: Value, value: Value) -> Value {
        with("/steps/1/settings/delay_for", json!({"unit": unit, "value": value}))
    }

    #[test]
    fn a_delay_of_every_unit_is_read() {
        for unit in Unit::ALL {
            let document = delayed_for(json!(unit.as_str()), json!(unit.longest(MAX_DAYS)));
            let expected = Duration { unit, value: unit.longest(MAX_DAYS) };
            assert_eq!(workflow(&document).steps[1].kind, StepKind::Delay(Moment::After(expected)));
        }
        let expected = Duration { unit: Unit::Days, value: 1 };
        assert_eq!(
            workflow(&delayed_for(json!("day"), json!(1))).steps[1].kind,
            StepKind::Delay(Moment::After(expected))
        );
    }

    #[test]
    fn a_delay_is_at_least_one_and_at_most_a_year() {
        for (unit, value, problem) in [
            ("days", json!(0), "value: 0 is not a time to wait"),
            ("days", json!(-3), "value: -3 is not a time to wait"),
            ("days", json!(366), "value: 366 days are longer than 365 days. It is at most 365 days."),
            ("months", json!(13), "13 months are longer than 365 days"),
            ("seconds", json!(i64::MAX), "are longer than 365 days"),
            ("days", json!(1.5), "value: 1.5 is not a whole number"),
            ("days", json!("3"), "value: \"3\" is not a whole number. Write a whole number from 1, without quotes"),
            ("days", json!(u64::MAX), "is not a whole number"),
            ("days", json!(null), "value: is null, but required"),
        ] {
            let text = fault(&delayed_for(json!(unit), value));
            assert!(text.starts_with("steps[1].settings.delay_for.value") && text.contains(problem), "{text}");
        }
    }

    #[test]
    fn an_unknown_unit_gets_the_nearest_known_one() {
        let text = fault(&delayed_for(json!("dayz"), json!(3)));
        let expected = "steps[1].settings.delay_for.unit: \"dayz\" is not a unit of time. Did you mean \"days\"?";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn a_delay_says_how_long() {
        assert!(fault(&without("/steps/1/settings")).starts_with("steps[1].settings: is missing"));
        assert!(fault(&without("/steps/1/settings/delay_for")).starts_with("steps[1].settings.delay_for: is missing"));
        assert!(fault(&with("/steps/1/settings/delay_for", json!("3d"))).contains("\"3d\" is not an object"));
        let dynamic = workflow(&with("/steps/1/settings", json!({"delay_until_field_path": "data.due"})));
        assert!(matches!(dynamic.steps[1].kind, StepKind::Delay(Moment::At { offset: None, .. })), "{dynamic:?}");
        let relative = workflow(&with("/steps/1/settings/delay_until_field_path", json!("due")));
        assert!(matches!(relative.steps[1].kind, StepKind::Delay(Moment::At { offset: Some(_), .. })), "{relative:?}");
    }
}
