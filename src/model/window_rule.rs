//! Window rules: `{"frequency": "daily", "days": "weekdays", "hours": 9, "minutes": 30}` is the next time that it is half
//! past nine on a weekday, where the recipient is.

use jiff::tz::TimeZone;
use serde_json::Value;

use super::recipient::kind;
use super::repeat::{Day, FREQUENCIES, Frequency, Repeat, WEEK};
use crate::base::clock::Timestamp;
use crate::base::nearest::quoted_list;

/// A time that comes again and again: the repeat rule of a schedule without an interval, and read from the data of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRule(Repeat);

impl WindowRule {
    /// Reads a rule. The error says what is wrong with it.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let days = days(value.get("days"))?;
        let name = value.get("frequency").and_then(Value::as_str);
        let Some((_, frequency)) = FREQUENCIES.iter().find(|(known, _)| Some(*known) == name) else {
            let names: Vec<&str> = FREQUENCIES.iter().map(|(name, _)| *name).collect();
            return Err(format!("the rule's `frequency` is none of {}", quoted_list(&names)));
        };
        let day_of_month = match frequency {
            Frequency::Monthly => Some(number(value, "day_of_month", 1, 1..=31)?),
            Frequency::Hourly | Frequency::Daily | Frequency::Weekly => None,
        };
        Ok(Self(Repeat {
            frequency: *frequency,
            interval: 1,
            days: (!days.is_empty()).then_some(days),
            day_of_month,
            hours: Some(number(value, "hours", 0, 0..=23)?),
            minutes: Some(number(value, "minutes", 0, 0..=59)?),
        }))
    }

    /// The first instant after `now` that fits. A weekly rule without days is of the weekday on which it is asked.
    pub fn next(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        self.0.next(now, now, zone)
    }
}

fn days(value: Option<&Value>) -> Result<Vec<Day>, String> {
    let one = |value: &Value| {
        let found = value.as_str().and_then(|name| WEEK.iter().find(|(known, _)| *known == name));
        found.map(|(_, day)| *day).ok_or_else(|| {
            let names: Vec<&str> = WEEK.iter().map(|(name, _)| *name).collect();
            format!("the rule's `days` hold {value}, which is none of {}", quoted_list(&names))
        })
    };
    let between = |range: std::ops::Range<usize>| WEEK[range].iter().map(|(_, day)| *day).collect();
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(name)) if name == "weekdays" => Ok(between(0..5)),
        Some(Value::String(name)) if name == "weekends" => Ok(between(5..7)),
        Some(Value::Array(list)) => list.iter().map(one).collect(),
        Some(other) => one(other).map(|day| vec![day]),
    }
}

fn number(rule: &Value, key: &str, default: i8, range: std::ops::RangeInclusive<i8>) -> Result<i8, String> {
    let value = match rule.get(key) {
        None | Some(Value::Null) => return Ok(default),
        Some(value) => value,
    };
    let number = value.as_i64().and_then(|number| i8::try_from(number).ok()).filter(|number| range.contains(number));
    let wanted = || format!("the rule's `{key}` is {value}, not a number from {} to {}", range.start(), range.end());
    match value {
        Value::Number(_) => number.ok_or_else(wanted),
        other => Err(format!("the rule's `{key}` is {}, not a number", kind(other))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_jiff(text.parse().unwrap())
    }

    fn next(rule: &Value, now: &str) -> Timestamp {
        let zone = TimeZone::get("America/New_York").unwrap();
        WindowRule::from_json(rule).unwrap().next(at(now), &zone).unwrap()
    }

    #[test]
    fn the_next_window_is_that_of_the_recipients_clock() {
        // Friday, 10:00 in New York, whose clocks change on Sunday.
        let friday = "2026-03-06T15:00:00Z";
        let month_end = json!({"frequency": "monthly", "day_of_month": 31});
        for (rule, now, expected) in [
            (json!({"frequency": "daily", "hours": 9, "minutes": 30}), friday, "2026-03-07T14:30:00Z"),
            (
                json!({"frequency": "daily", "days": "weekdays", "hours": 9, "minutes": 30}),
                friday,
                "2026-03-09T13:30:00Z",
            ),
            (json!({"frequency": "weekly", "days": ["mon"], "hours": 9}), friday, "2026-03-09T13:00:00Z"),
            (json!({"frequency": "hourly", "minutes": 15}), friday, "2026-03-06T15:15:00Z"),
            (month_end.clone(), friday, "2026-03-31T04:00:00Z"),
            (month_end, "2026-03-31T04:00:00Z", "2026-04-30T04:00:00Z"),
            (json!({"frequency": "daily", "hours": 2, "minutes": 30}), "2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z"),
            (json!({"frequency": "daily", "hours": 1, "minutes": 30}), "2026-11-01T04:00:00Z", "2026-11-01T05:30:00Z"),
            (json!({"frequency": "weekly", "hours": 9}), friday, "2026-03-13T13:00:00Z"),
            (json!({"frequency": "hourly", "days": "weekends"}), friday, "2026-03-07T05:00:00Z"),
            (json!({"frequency": "hourly"}), friday, "2026-03-06T16:00:00Z"),
        ] {
            assert_eq!(next(&rule, now), at(expected), "{rule}");
        }
    }

    #[test]
    fn a_rule_that_cannot_be_read_says_why() {
        for (rule, problem) in [
            (json!({"frequency": "yearly"}), "`frequency` is none of"),
            (json!({"frequency": "daily", "days": ["monday"]}), "which is none of \"mon\""),
            (json!({"frequency": "daily", "hours": 24}), "`hours` is 24, not a number from 0 to 23"),
            (json!({"frequency": "daily", "minutes": "5"}), "`minutes` is a string, not a number"),
            (json!({"frequency": "monthly", "day_of_month": 0}), "not a number from 1 to 31"),
        ] {
            let error = WindowRule::from_json(&rule).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }

    fn rules() -> impl Strategy<Value = Value> {
        let frequency = prop::sample::select(FREQUENCIES.map(|(name, _)| name).to_vec());
        let days = prop::sample::select(vec![json!(null), json!("weekends"), json!(["tue", "sun"])]);
        (frequency, days, 0..24, 0..60, 1..=31).prop_map(|(frequency, days, hours, minutes, day)| {
            json!({"frequency": frequency, "days": days, "hours": hours, "minutes": minutes, "day_of_month": day})
        })
    }

    proptest! {
        #[test]
        fn a_window_always_comes_later_and_shows_its_time_unless_the_clocks_leave_it_out(
            rule in rules(), now in 0i64..4_000_000_000_000,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
        ) {
            let (now, zone) = (Timestamp::from_millis(now), TimeZone::get(zone).unwrap());
            let read = WindowRule::from_json(&rule).unwrap();
            let next = read.next(now, &zone).unwrap();
            prop_assert!(next > now);
            let local = zone.to_datetime(next.to_jiff());
            let shown = Some(local.minute()) == read.0.minutes
                && (rule["frequency"] == "hourly" || Some(local.hour()) == read.0.hours);
            let skipped = zone.to_datetime(next.minus(std::time::Duration::from_secs(1)).to_jiff());
            let clocks_changed = local.duration_since(skipped).as_secs() != 1;
            prop_assert!(shown || clocks_changed, "{local}");
        }
    }
}
