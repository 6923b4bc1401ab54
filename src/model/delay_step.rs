//! The settings of a delay step: how long it waits.

use super::duration::{Duration, Unit};
use super::json_reader::{Reader, shown, shown_text};
use super::step_file::COMMON_KEYS;
use crate::base::nearest::{did_you_mean, nearest, quoted_list};

/// How long the delay step at `step` waits. None after a fault.
pub fn read_delay(step: &Reader<'_>) -> Option<Duration> {
    const FORM: &str = r#"Write {"delay_for": {"unit": "days", "value": 3}}."#;
    step.expect_keys(&[COMMON_KEYS.as_slice(), &["settings"]].concat());
    let settings = step.field("settings");
    if settings.value().is_none() {
        settings.missing(FORM);
        return None;
    }
    settings.object()?;
    settings.expect_keys(&["delay_for", "delay_until_field_path"]);
    let until = settings.field("delay_until_field_path");
    let delay_for = settings.field("delay_for");
    if !until.is_blank() {
        let problem = "a delay until a time in the data is not supported by this version";
        until.field_fault(problem, "Remove it and write a fixed delay_for.");
    } else if delay_for.value().is_none() {
        delay_for.missing(r#"Write how long, as in {"unit": "days", "value": 3}."#);
    }
    read_duration(&delay_for)
}

fn read_duration(field: &Reader<'_>) -> Option<Duration> {
    field.object()?;
    field.expect_keys(&["unit", "value"]);
    let unit = read_unit(&field.field("unit"));
    let number = field.field("value");
    let value = read_whole_number(&number);
    let (unit, value) = (unit?, value?);
    let longest = Duration { unit, value: unit.longest_delay() };
    if value < 1 {
        number.fault(format!("{value} is not a delay"), "Write a whole number from 1.");
        return None;
    }
    if value > longest.value {
        number.fault(
            format!("{} are longer than a year", Duration { unit, value }),
            format!("A delay is at most 365 days: {longest}."),
        );
        return None;
    }
    Some(Duration { unit, value })
}

fn read_unit(field: &Reader<'_>) -> Option<Unit> {
    let names = Unit::ALL.map(Unit::as_str);
    let known = format!("Units are {}.", quoted_list(&names));
    let name = field.required_text(&known)?;
    let unit = Unit::from_name(name);
    if unit.is_none() {
        let problem = format!("{} is not a unit of time", shown_text(name));
        field.fault(problem, did_you_mean(nearest(name, names), &known));
    }
    unit
}

fn read_whole_number(field: &Reader<'_>) -> Option<i64> {
    const FIX: &str = "Write a whole number from 1, without quotes or fraction.";
    let Some(value) = field.value() else {
        field.missing(FIX);
        return None;
    };
    let number = value.as_i64();
    if number.is_none() {
        field.fault(format!("{} is not a whole number", shown(value)), FIX);
    }
    number
}

#[cfg(test)]
mod tests {
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
            let document = delayed_for(json!(unit.as_str()), json!(unit.longest_delay()));
            let expected = Duration { unit, value: unit.longest_delay() };
            assert_eq!(workflow(&document).steps[1].kind, StepKind::Delay(expected));
        }
        let expected = Duration { unit: Unit::Days, value: 1 };
        assert_eq!(workflow(&delayed_for(json!("day"), json!(1))).steps[1].kind, StepKind::Delay(expected));
    }

    #[test]
    fn a_delay_is_at_least_one_and_at_most_a_year() {
        for (unit, value, problem) in [
            ("days", json!(0), "value: 0 is not a delay"),
            ("days", json!(-3), "value: -3 is not a delay"),
            ("days", json!(366), "value: 366 days are longer than a year. A delay is at most 365 days: 365 days."),
            ("months", json!(13), "13 months are longer than a year"),
            ("seconds", json!(i64::MAX), "are longer than a year"),
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
        let text = fault(&with("/steps/1/settings", json!({"delay_until_field_path": "data.due"})));
        assert!(text.contains("until a time in the data is not supported"), "{text}");
        let text = fault(&with("/steps/1/settings/delay_until_field_path", json!("data.due")));
        assert!(text.contains("until a time in the data is not supported"), "{text}");
    }
}
