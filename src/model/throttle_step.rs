//! The settings of a throttle step: how many runs of a recipient pass in a window that the first one opens.

use super::json_reader::Reader;
use super::moment::{Moment, read_whole_number};
use super::step_file::read_settings;
use super::step_key::Key;

/// The longest window, in days.
pub const MAX_DAYS: i64 = 31;
/// The most runs that a window can let pass; more are no throttle.
const MAX_LIMIT: i64 = 1_000_000;

/// What passes.
#[derive(Clone, Debug, PartialEq)]
pub struct Throttle {
    pub window: Moment,
    pub limit: u32,
    /// Runs that find different values have windows of their own.
    pub key: Option<Key>,
}

/// The setting that can be a template.
pub const THROTTLE_KEY: &str = "throttle_key";

/// The throttle step at `step`. None after a fault.
pub fn read_throttle(step: &Reader<'_>) -> Option<Throttle> {
    const FORM: &str = r#"Write {"throttle_window": {"unit": "hours", "value": 1}, "throttle_limit": 1}."#;
    const KEYS: [&str; 4] = ["throttle_window", "throttle_window_field_path", "throttle_limit", THROTTLE_KEY];
    let settings = read_settings(step, FORM, &KEYS)?;
    let window = Moment::read(&settings, "throttle_window", "throttle_window_field_path", MAX_DAYS);
    let limit = read_limit(&settings.field("throttle_limit"));
    let key = Key::read(&settings.field(THROTTLE_KEY), THROTTLE_KEY);
    Some(Throttle { window: window?, limit: limit?, key: key? })
}

fn read_limit(field: &Reader<'_>) -> Option<u32> {
    if field.value().is_none() {
        return Some(1);
    }
    let number = read_whole_number(field)?;
    let limit = u32::try_from(number).ok().filter(|_| (1..=MAX_LIMIT).contains(&number));
    if limit.is_none() {
        field.fault(format!("{number} is not a limit"), format!("Write a whole number from 1 to {MAX_LIMIT}."));
    }
    limit
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::duration::{Duration, Unit};
    use super::super::workflow::StepKind;
    use super::super::workflow_sample::*;
    use super::*;

    fn throttled(settings: Value) -> Value {
        with("/steps/1", json!({"ref": "throttle_1", "type": "throttle", "settings": settings}))
    }

    fn hours(value: i64) -> Value {
        json!({"unit": "hours", "value": value})
    }

    #[test]
    fn a_throttle_lets_one_run_pass_unless_it_says_more() {
        let window = Moment::After(Duration { unit: Unit::Hours, value: 1 });
        let read = |settings| workflow(&throttled(settings)).steps[1].kind.clone();
        let expected = Throttle { window, limit: 1, key: None };
        assert_eq!(read(json!({"throttle_window": hours(1)})), StepKind::Throttle(expected));
        let StepKind::Throttle(throttle) =
            read(json!({"throttle_window_field_path": "window", "throttle_limit": 5, "throttle_key": "page_id"}))
        else {
            panic!("it is a throttle")
        };
        assert_eq!(throttle.limit, 5);
        assert!(matches!(throttle.key, Some(Key::Path(path)) if path.as_str() == "data.page_id"));
    }

    #[test]
    fn windows_and_limits_are_bounded() {
        for (settings, problem) in [
            (json!(null), "settings: is null"),
            (json!({}), "settings.throttle_window: is missing"),
            (json!({"throttle_window": {"unit": "days", "value": 32}}), "32 days are longer than 31 days"),
            (json!({"throttle_window": hours(1), "throttle_limit": 0}), "throttle_limit: 0 is not a limit"),
            (json!({"throttle_window": hours(1), "throttle_key": 7}), "throttle_key: 7 is not a string"),
        ] {
            let text = fault(&throttled(settings));
            assert!(text.contains(problem), "{text}");
        }
    }
}
