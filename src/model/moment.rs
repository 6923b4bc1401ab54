//! When a step goes on: after a fixed time, or at one that the run's data names, or at a distance from it
//! (`knock-engine.md` sections 1.5 and 1.6).

use jiff::tz::TimeZone;
use serde_json::Value;

use super::comparison::parse_instant;
use super::condition::{STANDING_SCOPES, find};
use super::duration::{Duration, Unit};
use super::json_reader::{Reader, shown, shown_text};
use super::recipient::kind;
use super::window_rule::WindowRule;
use crate::base::clock::Timestamp;
use crate::base::nearest::{did_you_mean, nearest, quoted_list};

/// When a step goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Moment {
    After(Duration),
    /// At the time that lies at the path, or so long after it; a negative time is before it.
    At {
        path: Path,
        offset: Option<Duration>,
    },
}

/// Where a value lies among what a run can see: in a scope that the path names, else in the trigger's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// The path at `field`. None after a fault, and when there is none.
    pub fn read(field: &Reader<'_>) -> Option<Self> {
        let text = field.text()?.trim();
        if text.contains("{{") || text.contains("{%") {
            let problem = format!("{} is a template, which is not supported here", shown_text(text));
            field.fault(problem, "Name a path, such as \"data.due\".");
            return None;
        }
        let first = text.split(['.', '[']).next().unwrap_or_default();
        let path = if STANDING_SCOPES.contains(&first) { text.to_owned() } else { format!("data.{text}") };
        (!text.is_empty()).then_some(Self(path))
    }

    /// What lies there.
    pub fn find<'a>(&self, scope: &'a Value) -> Option<&'a Value> {
        find(scope, &self.0).filter(|value| !value.is_null())
    }

    /// The path, with its scope.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Moment {
    /// What `settings` say by the fixed time at `fixed` and the path at `path`; at most `most` days. None after a fault.
    pub fn read(settings: &Reader<'_>, fixed: &str, path: &str, most: i64) -> Option<Self> {
        let (fixed, path) = (settings.field(fixed), settings.field(path));
        if path.is_blank() {
            if fixed.value().is_none() {
                fixed.missing(r#"Write how long, as in {"unit": "days", "value": 3}."#);
                return None;
            }
            return read_duration(&fixed, most, 1).map(Self::After);
        }
        let offset = match fixed.is_blank() {
            true => None,
            false => Some(read_duration(&fixed, most, i64::MIN)?),
        };
        Some(Self::At { path: Path::read(&path)?, offset })
    }

    /// The fixed time, if it is one.
    pub fn fixed(&self) -> Option<Duration> {
        match self {
            Self::After(duration) => Some(*duration),
            Self::At { .. } => None,
        }
    }

    /// When it is, asked at `now`; the error says why it never is.
    pub fn resolve(&self, scope: &Value, now: Timestamp, zone: &TimeZone, most: i64) -> Result<Timestamp, String> {
        let (path, offset) = match self {
            Self::After(duration) => return Ok(duration.after(now, zone)),
            Self::At { path, offset } => (path, offset),
        };
        let named = match path.find(scope) {
            Some(value) => instant(value, now, zone).map_err(|why| format!("`{}` {why}", path.as_str()))?,
            None => return Err(format!("there is nothing at `{}`", path.as_str())),
        };
        let at = offset.map_or(named, |offset| offset.shift(named, zone));
        let days = |days: i64| Duration { unit: Unit::Days, value: days }.after(now, zone);
        match at {
            _ if at <= now => Err(format!("`{}` comes to {at}, which is past", path.as_str())),
            _ if at > days(most) => {
                Err(format!("`{}` comes to {at}, which is more than {most} days away", path.as_str()))
            }
            _ => Ok(at),
        }
    }
}

/// The instant that a value stands for: one in ISO 8601, a duration from now, or the next window of a rule.
fn instant(value: &Value, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, String> {
    match value {
        Value::String(text) => {
            parse_instant(text).ok_or_else(|| format!("is {}, which is no time in ISO 8601", shown_text(text)))
        }
        Value::Object(fields) if fields.contains_key("frequency") => {
            let rule = WindowRule::from_json(value).map_err(|why| format!("is a rule that cannot be read: {why}"))?;
            rule.next(now, zone).ok_or_else(|| "is a rule that never comes".to_owned())
        }
        Value::Object(fields) if fields.contains_key("unit") => {
            let unit = fields["unit"].as_str().and_then(Unit::from_name);
            let count = fields.get("value").and_then(Value::as_i64).filter(|count| *count > 0);
            match (unit, count) {
                (Some(unit), Some(value)) => Ok(Duration { unit, value }.after(now, zone)),
                _ => Err("is no duration, such as {\"unit\": \"days\", \"value\": 3}".to_owned()),
            }
        }
        other => Err(format!("is {}; a time, a duration or a window rule is needed", kind(other))),
    }
}

/// A duration of at most `most` days, and of at least `least` of its unit. None after a fault.
pub fn read_duration(field: &Reader<'_>, most: i64, least: i64) -> Option<Duration> {
    field.object()?;
    field.expect_keys(&["unit", "value"]);
    let unit = read_unit(&field.field("unit"));
    let number = field.field("value");
    let value = read_whole_number(&number);
    let (unit, value) = (unit?, value?);
    let longest = Duration { unit, value: unit.longest(most) };
    if value < least {
        number.fault(format!("{value} is not a time to wait"), format!("Write a whole number from {least}."));
        return None;
    }
    if value.saturating_abs() > longest.value {
        let problem = format!("{} are longer than {most} days", Duration { unit, value });
        number.fault(problem, format!("It is at most {longest}."));
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

/// The whole number at `field`. None after a fault.
pub fn read_whole_number(field: &Reader<'_>) -> Option<i64> {
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
    use serde_json::json;

    use super::super::findings::Findings;
    use super::*;

    fn read(settings: &Value) -> Result<Moment, Vec<String>> {
        let findings = Findings::new("w");
        let read = Moment::read(&Reader::new(settings, &findings), "delay_for", "delay_until_field_path", 365);
        let (faults, _) = findings.into_parts();
        read.ok_or_else(|| faults.iter().map(ToString::to_string).collect())
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::from_jiff(text.parse().unwrap())
    }

    const NOW: &str = "2026-03-06T15:00:00Z";

    fn resolve(settings: Value) -> Result<Timestamp, String> {
        let scope = json!({
            "data": {"due": "2026-03-10T12:00:00Z", "past": "2026-03-06T14:00:00Z", "far": "2028-01-01", "n": 7,
                     "span": {"unit": "hours", "value": 2}, "rule": {"frequency": "daily", "hours": 9}},
            "recipient": {"window": {"frequency": "weekly", "days": ["mon"], "hours": 9}},
        });
        let zone = TimeZone::get("America/New_York").unwrap();
        read(&settings).unwrap().resolve(&scope, at(NOW), &zone, 365)
    }

    #[test]
    fn a_time_is_fixed_or_named_by_the_data_or_told_from_that() {
        let until = |path: &str| json!({"delay_until_field_path": path});
        let relative =
            |value: i64| json!({"delay_until_field_path": "due", "delay_for": {"unit": "days", "value": value}});
        for (settings, expected) in [
            (json!({"delay_for": {"unit": "hours", "value": 1}}), "2026-03-06T16:00:00Z"),
            (until("data.due"), "2026-03-10T12:00:00Z"),
            (until("due"), "2026-03-10T12:00:00Z"),
            (until("span"), "2026-03-06T17:00:00Z"),
            (until("data.rule"), "2026-03-07T14:00:00Z"),
            (until("recipient.window"), "2026-03-09T13:00:00Z"),
            (relative(1), "2026-03-11T12:00:00Z"),
            (relative(-1), "2026-03-09T12:00:00Z"),
        ] {
            assert_eq!(resolve(settings.clone()), Ok(at(expected)), "{settings}");
        }
        for (settings, why) in [
            (until("data.none"), "there is nothing at `data.none`"),
            (until("n"), "`data.n` is a number; a time, a duration or a window rule is needed"),
            (until("past"), "`data.past` comes to 2026-03-06T14:00:00.000000Z, which is past"),
            (relative(-5), "which is past"),
            (until("far"), "which is more than 365 days away"),
        ] {
            let error = resolve(settings).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn settings_that_name_no_time_are_faults() {
        let template = read(&json!({"delay_until_field_path": "{{data.due}}"})).unwrap_err();
        assert!(template[0].contains("is a template, which is not supported here"), "{template:?}");
        assert!(read(&json!({})).unwrap_err()[0].contains("delay_for: is missing"));
        let both = json!({"delay_until_field_path": "due", "delay_for": {"unit": "days", "value": -366}});
        assert!(read(&both).unwrap_err()[0].contains("-366 days are longer than 365 days"));
    }
}
