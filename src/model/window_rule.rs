//! Window rules: `{"frequency": "daily", "days": "weekdays", "hours": 9, "minutes": 30}` is the next time that it is half
//! past nine on a weekday, where the recipient is.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, ToSpan};
use serde_json::Value;

use super::recipient::kind;
use crate::base::clock::Timestamp;
use crate::base::nearest::quoted_list;

/// How far ahead a rule can lie: from the first of a month to the last of the next one. Each day is looked at once.
const MAX_DAYS: i64 = 62;
/// Hours that are looked at for an hourly rule: a week, and a change of the clocks.
const MAX_HOURS: usize = 7 * 24 + 2;

const FREQUENCIES: [&str; 4] = ["hourly", "daily", "weekly", "monthly"];

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// A time that comes again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRule {
    frequency: Frequency,
    hour: i8,
    minute: i8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Frequency {
    /// On these days; none named are all.
    Hourly(Vec<Weekday>),
    Daily(Vec<Weekday>),
    /// Without a day: on the weekday on which it is asked.
    Weekly(Vec<Weekday>),
    /// A day that a month does not have is its last one.
    Monthly(i8),
}

impl WindowRule {
    /// Reads a rule. The error says what is wrong with it.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let days = days(value.get("days"))?;
        let frequency = match value.get("frequency").and_then(Value::as_str) {
            Some("hourly") => Frequency::Hourly(days),
            Some("daily") => Frequency::Daily(days),
            Some("weekly") => Frequency::Weekly(days),
            Some("monthly") => Frequency::Monthly(number(value, "day_of_month", 1, 1..=31)?),
            _ => return Err(format!("the rule's `frequency` is none of {}", quoted_list(&FREQUENCIES))),
        };
        let (hour, minute) = (number(value, "hours", 0, 0..=23)?, number(value, "minutes", 0, 0..=59)?);
        Ok(Self { frequency, hour, minute })
    }

    /// The first instant after `now` that fits. A time that the clocks leave out is the first one after it; of one that
    /// they show twice it is the first.
    pub fn next(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let today = zone.to_datetime(now.to_jiff()).date();
        let fits = |date: Date| match &self.frequency {
            Frequency::Hourly(days) | Frequency::Daily(days) => days.is_empty() || days.contains(&date.weekday()),
            Frequency::Weekly(days) if days.is_empty() => date.weekday() == today.weekday(),
            Frequency::Weekly(days) => days.contains(&date.weekday()),
            Frequency::Monthly(day) => date.day() == (*day).min(date.days_in_month()),
        };
        if let Frequency::Hourly(_) = self.frequency {
            return self.next_hour(now, zone, fits);
        }
        let dates = (0..=MAX_DAYS).map_while(|day| today.checked_add(day.days()).ok()).filter(|date| fits(*date));
        dates.map_while(|date| instant(date.at(self.hour, self.minute, 0, 0), zone)).find(|at| *at > now)
    }

    fn next_hour(&self, now: Timestamp, zone: &TimeZone, fits: impl Fn(Date) -> bool) -> Option<Timestamp> {
        let mut at = now.to_jiff();
        for _ in 0..2 * MAX_HOURS {
            let local = zone.to_datetime(at);
            // To the full minute; where clocks change by half an hour it is looked at again.
            let past = Span::new().seconds(local.second()).nanoseconds(local.subsec_nanosecond());
            let minutes = match i64::from(self.minute - local.minute()).rem_euclid(60) {
                0 => 60,
                minutes => minutes,
            };
            at = at.checked_sub(past).ok()?.checked_add(minutes.minutes()).ok()?;
            let local = zone.to_datetime(at);
            if local.minute() == self.minute && fits(local.date()) {
                return Some(Timestamp::from_jiff(at));
            }
        }
        None
    }
}

/// When clocks in `zone` show `local`.
pub fn instant(local: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(local);
    let at = match ambiguous.offset() {
        // The later offset reads the time as one before the gap: the clocks change next.
        AmbiguousOffset::Gap { after, .. } => {
            let before = after.to_timestamp(local).ok()?;
            zone.following(before).next()?.timestamp()
        }
        _ => ambiguous.compatible().ok()?,
    };
    Some(Timestamp::from_jiff(at))
}

fn days(value: Option<&Value>) -> Result<Vec<Weekday>, String> {
    let one = |value: &Value| {
        let found = value.as_str().and_then(|name| DAYS.iter().find(|(known, _)| *known == name));
        found.map(|(_, day)| *day).ok_or_else(|| {
            let names: Vec<&str> = DAYS.iter().map(|(name, _)| *name).collect();
            format!("the rule's `days` hold {value}, which is none of {}", quoted_list(&names))
        })
    };
    let between = |range: std::ops::Range<usize>| DAYS[range].iter().map(|(_, day)| *day).collect();
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
        let frequency = prop::sample::select(FREQUENCIES.to_vec());
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
            let shown = local.minute() == read.minute && (rule["frequency"] == "hourly" || local.hour() == read.hour);
            let skipped = zone.to_datetime(next.minus(std::time::Duration::from_secs(1)).to_jiff());
            let clocks_changed = local.duration_since(skipped).as_secs() != 1;
            prop_assert!(shown || clocks_changed, "{local}");
        }
    }
}
