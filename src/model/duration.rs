//! Durations: as workflow files write them, `{"unit": "days", "value": 3}`, and as people type them, `1d12h`.

use std::fmt;

use jiff::{Span, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;

/// A unit of time. Months are calendar months; the singular forms are accepted too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    #[serde(alias = "second")]
    Seconds,
    #[serde(alias = "minute")]
    Minutes,
    #[serde(alias = "hour")]
    Hours,
    #[serde(alias = "day")]
    Days,
    #[serde(alias = "week")]
    Weeks,
    #[serde(alias = "month")]
    Months,
}

impl Unit {
    /// Every unit, from the shortest to the longest.
    pub const ALL: [Self; 6] = [Self::Seconds, Self::Minutes, Self::Hours, Self::Days, Self::Weeks, Self::Months];

    /// The name in `workflow.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Minutes => "minutes",
            Self::Hours => "hours",
            Self::Days => "days",
            Self::Weeks => "weeks",
            Self::Months => "months",
        }
    }

    /// The unit that `name` means, in the plural or the singular.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.as_str() == name || unit.singular() == name)
    }

    fn singular(self) -> &'static str {
        self.as_str().trim_end_matches('s')
    }

    /// Its length; none for months, which have no fixed one.
    fn seconds(self) -> Option<i64> {
        match self {
            Self::Seconds => Some(1),
            Self::Minutes => Some(MINUTE),
            Self::Hours => Some(HOUR),
            Self::Days => Some(DAY),
            Self::Weeks => Some(WEEK),
            Self::Months => None,
        }
    }

    /// How many of them are at most `days`: of months as many as there are of 30 days and a bit.
    pub fn longest(self, days: i64) -> i64 {
        self.seconds().map_or(days * 12 / 365, |seconds| days * DAY / seconds)
    }
}

/// A span of time as it stands in a workflow; added to an instant by `Duration::after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duration {
    pub unit: Unit,
    pub value: i64,
}

impl Duration {
    /// The instant this long after `from`, at most `Timestamp::MAX`. A day is 24 hours whatever the zone's clocks do;
    /// a month is a calendar month in `zone`, so that January 31 and one month is the last day of February. A negative
    /// value, which validation refuses, counts as zero.
    pub fn after(&self, from: Timestamp, zone: &TimeZone) -> Timestamp {
        let value = self.value.max(0);
        match self.unit.seconds() {
            Some(seconds) => {
                let seconds = value.saturating_mul(seconds);
                from.plus(std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
            }
            None => months_after(from, value, zone),
        }
    }

    /// As `after`; a negative value goes back.
    pub fn shift(&self, from: Timestamp, zone: &TimeZone) -> Timestamp {
        if self.value >= 0 {
            return self.after(from, zone);
        }
        let back = self.value.unsigned_abs();
        match self.unit.seconds() {
            Some(seconds) => from.minus(std::time::Duration::from_secs(back.saturating_mul(seconds.unsigned_abs()))),
            None => months_later(from, self.value, zone).unwrap_or_default().min(from),
        }
    }
}

/// Clamped to the month's end by the calendar. Adding can land in a repeated hour's first pass: never before `from`.
fn months_after(from: Timestamp, months: i64, zone: &TimeZone) -> Timestamp {
    months_later(from, months, zone).unwrap_or(Timestamp::MAX).max(from)
}

fn months_later(from: Timestamp, months: i64, zone: &TimeZone) -> Option<Timestamp> {
    let span = Span::new().try_months(months).ok()?;
    let zoned = from.to_jiff().to_zoned_datetime(zone.clone()).checked_add(span).ok()?;
    Some(Timestamp::from_jiff(zoned.timestamp()))
}

impl fmt::Display for Duration {
    /// `3 days`, `1 day`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.value == 1 { self.unit.singular() } else { self.unit.as_str() };
        write!(f, "{} {unit}", self.value)
    }
}

/// The units of `parse_span`, in milliseconds.
const SPAN_UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const SPAN_FORM: &str = "write whole numbers with w, d, h, m, s or ms, as in 3d, 12h or 1d30m";

/// Reads a span as it is typed on a command line: `3d`, `12h`, `1w2d`, `1d1m`, `90s`, `1500ms`. The error says what
/// would be right.
pub fn parse_span(text: &str) -> Result<std::time::Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(format!("a span of time is missing: {SPAN_FORM}"));
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (digits, after) = split_while(rest, |c| c.is_ascii_digit());
        let (unit, after) = split_while(after, char::is_alphabetic);
        let millis = span_part(text.trim(), digits, unit, after)?;
        total = total.checked_add(millis).ok_or_else(|| too_long(text))?;
        rest = after.trim_start();
    }
    Ok(std::time::Duration::from_millis(total))
}

/// One number and its unit, in milliseconds. `after` is what follows, for a better error.
fn span_part(whole: &str, digits: &str, unit: &str, after: &str) -> Result<u64, String> {
    let shown = shortened(whole);
    if digits.is_empty() {
        return Err(format!("{shown} is not a span of time: {SPAN_FORM}"));
    }
    if unit.is_empty() && after.starts_with(['.', ',']) {
        return Err(format!("{shown} has a fraction: {SPAN_FORM}; one and a half hours is 1h30m"));
    }
    if unit.is_empty() {
        return Err(format!("{shown} lacks a unit after {}: {SPAN_FORM}", shortened(digits)));
    }
    let Some((_, millis)) = SPAN_UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("{shown} has the unknown unit {}: {SPAN_FORM}", shortened(unit)));
    };
    let number: u64 = digits.parse().map_err(|_| too_long(whole))?;
    number.checked_mul(*millis).ok_or_else(|| too_long(whole))
}

fn split_while(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

fn too_long(text: &str) -> String {
    format!("{} is too long a span of time: {SPAN_FORM}", shortened(text))
}

/// Quoted, escaped, and no longer than an error message bears.
fn shortened(text: &str) -> String {
    format!("{:?}", text.chars().take(40).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_jiff(text.parse().unwrap())
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn duration(value: i64, unit: Unit) -> Duration {
        Duration { unit, value }
    }

    #[test]
    fn a_day_is_24_hours_also_when_the_clocks_change() {
        let before_spring = at("2026-03-28T12:00:00Z");
        assert_eq!(duration(1, Unit::Days).after(before_spring, &zone("Europe/Berlin")), at("2026-03-29T12:00:00Z"));
    }

    #[test]
    fn a_month_is_a_calendar_month_in_the_zone_clamped_to_its_end() {
        let one = duration(1, Unit::Months);
        assert_eq!(one.after(at("2026-01-31T10:00:00Z"), &TimeZone::UTC), at("2026-02-28T10:00:00Z"));
        // 23:30Z on January 30 is already January 31 in Berlin, and stays 00:30 there.
        assert_eq!(one.after(at("2026-01-30T23:30:00Z"), &zone("Europe/Berlin")), at("2026-02-27T23:30:00Z"));
        // The local time of day is kept over the change to summer time.
        assert_eq!(one.after(at("2026-03-15T12:00:00Z"), &zone("Europe/Berlin")), at("2026-04-15T11:00:00Z"));
    }

    #[test]
    fn what_exceeds_the_calendar_saturates() {
        for unit in Unit::ALL {
            assert_eq!(duration(i64::MAX, unit).after(at("2026-01-01T00:00:00Z"), &TimeZone::UTC), Timestamp::MAX);
        }
        assert_eq!(duration(2, Unit::Months).after(Timestamp::MAX, &TimeZone::UTC), Timestamp::MAX);
    }

    #[test]
    fn durations_read_as_people_say_them() {
        assert_eq!(duration(3, Unit::Days).to_string(), "3 days");
        assert_eq!(duration(1, Unit::Days).to_string(), "1 day");
    }

    #[test]
    fn units_are_known_in_the_plural_and_the_singular() {
        assert_eq!(Unit::from_name("weeks"), Some(Unit::Weeks));
        assert_eq!(Unit::from_name("week"), Some(Unit::Weeks));
        assert_eq!(Unit::from_name("Week"), None);
        assert_eq!(serde_json::from_str::<Unit>("\"month\"").unwrap(), Unit::Months);
    }

    #[test]
    fn the_longest_delay_is_365_days_in_every_unit() {
        assert_eq!(Unit::ALL.map(|unit| unit.longest(365)), [31_536_000, 525_600, 8_760, 365, 52, 12]);
    }

    #[test]
    fn spans_are_read_as_they_are_typed() {
        for (text, millis) in [
            ("3d", 259_200_000),
            ("12h", 43_200_000),
            ("1d1m", 86_460_000),
            ("1w2d", 777_600_000),
            ("90s", 90_000),
            ("1500ms", 1_500),
            (" 1d 30m ", 88_200_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_span(text), Ok(std::time::Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_span_that_is_wrong_teaches_what_is_right() {
        for (text, part) in [
            ("", "is missing"),
            ("3", "lacks a unit after \"3\""),
            ("3days", "unknown unit \"days\""),
            ("1.5h", "1h30m"),
            ("-3d", "not a span"),
            ("d", "not a span"),
            ("3D", "unknown unit \"D\""),
            ("3d!", "not a span"),
            ("99999999999999999999s", "too long"),
            ("9999999999999999999w", "too long"),
        ] {
            let error = parse_span(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
            assert!(error.contains("3d, 12h or 1d30m"), "{text}: {error}");
        }
    }

    fn zones() -> impl Strategy<Value = TimeZone> {
        prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe"])
            .prop_map(zone)
    }

    proptest! {
        #[test]
        fn adding_never_panics_nor_passes_the_end_of_time(from: i64, value: i64, unit in 0usize..6, zone in zones()) {
            let later = duration(value, Unit::ALL[unit]).after(Timestamp::from_micros(from), &zone);
            prop_assert!(later <= Timestamp::MAX.max(Timestamp::from_micros(from)));
        }

        #[test]
        fn a_longer_duration_never_ends_earlier(
            from in 0i64..4_000_000_000_000_000, value in 0i64..1_000, unit in 0usize..6, zone in zones(),
        ) {
            let from = Timestamp::from_micros(from);
            let unit = Unit::ALL[unit];
            let (first, second) = (duration(value, unit).after(from, &zone), duration(value + 1, unit).after(from, &zone));
            prop_assert!(from <= first && first < second);
        }

        #[test]
        fn parsing_a_span_never_panics(text in ".{0,40}") {
            let _ = parse_span(&text);
        }

        #[test]
        fn a_span_is_the_sum_of_its_parts(parts in prop::collection::vec((0u64..10_000, 0usize..6), 1..6)) {
            let text: String = parts.iter().map(|(n, unit)| format!("{n}{}", SPAN_UNITS[*unit].0)).collect();
            let millis: u64 = parts.iter().map(|(n, unit)| n * SPAN_UNITS[*unit].1).sum();
            prop_assert_eq!(parse_span(&text), Ok(std::time::Duration::from_millis(millis)));
        }
    }
}
