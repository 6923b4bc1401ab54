//! Repeat rules: when something happens again, by the clocks of a time zone (`knock-engine.md` sections 1.5 and 13.4).

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, ToSpan};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::recipient::kind;
use super::trigger::FieldError;
use crate::base::clock::Timestamp;

/// The longest interval: with hours and all days it is two weeks, with months thirty years.
const MAX_INTERVAL: u16 = 366;
/// Days that are looked at for the next occurrence: a rule by months of the longest interval is met within them.
const DAYS: i32 = 31 * MAX_INTERVAL as i32 + 62;
/// Hours that are looked at: each of a week's days comes with each of the interval's hours.
const HOURS: usize = 7 * 24 * MAX_INTERVAL as usize;

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeat {
    pub frequency: Frequency,
    /// Every so many hours, days, weeks or months, counted from the anchor's.
    pub interval: u16,
    /// Only on these; `None`: on all, and weekly on the anchor's.
    pub days: Option<Vec<Day>>,
    /// Monthly: past the month's end it is its last day.
    pub day_of_month: Option<i8>,
    pub hours: Option<i8>,
    pub minutes: Option<i8>,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frequency {
    Hourly,
    Daily,
    Weekly,
    Monthly,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// The days by name; their place is the days since Monday.
pub const WEEK: [(&str, Day); 7] = [
    ("mon", Day::Mon),
    ("tue", Day::Tue),
    ("wed", Day::Wed),
    ("thu", Day::Thu),
    ("fri", Day::Fri),
    ("sat", Day::Sat),
    ("sun", Day::Sun),
];

/// The frequencies by name.
pub const FREQUENCIES: [(&str, Frequency); 4] = [
    ("hourly", Frequency::Hourly),
    ("daily", Frequency::Daily),
    ("weekly", Frequency::Weekly),
    ("monthly", Frequency::Monthly),
];

impl Repeat {
    /// The rule at `field` of a request.
    pub fn from_json(field: &str, value: &Value, errors: &mut Vec<FieldError>) -> Option<Self> {
        let Value::Object(map) = value else {
            errors.push(FieldError::new(
                field,
                format!("must be an object such as {{\"frequency\": \"daily\"}}, not {}", kind(value)),
            ));
            return None;
        };
        let faults = errors.len();
        let at = |key: &str| format!("{field}.{key}");
        let present = |key: &str| map.get(key).filter(|value| !value.is_null());
        let frequency = present("frequency").and_then(Value::as_str);
        let frequency = FREQUENCIES.iter().find(|(name, _)| Some(*name) == frequency).map(|(_, found)| *found);
        if frequency.is_none() {
            errors.push(FieldError::new(at("frequency"), "is required: hourly, daily, weekly or monthly"));
        }
        let days = present("days").and_then(|days| {
            let days = read_days(days);
            if days.is_none() {
                let message = "must be \"weekdays\", \"weekends\", or a list of mon, tue, wed, thu, fri, sat and sun";
                errors.push(FieldError::new(at("days"), message));
            }
            days
        });
        let mut number = |key: &str, least: i64, most: i64| {
            let value = present(key)?;
            let found = value.as_i64().filter(|number| (least..=most).contains(number));
            if found.is_none() {
                errors.push(FieldError::new(
                    at(key),
                    format!("is {value}; it must be a whole number from {least} to {most}"),
                ));
            }
            found
        };
        let interval = number("interval", 1, i64::from(MAX_INTERVAL)).unwrap_or(1);
        let [day_of_month, hours, minutes] = [("day_of_month", 1, 31), ("hours", 0, 23), ("minutes", 0, 59)]
            .map(|(key, least, most)| number(key, least, most));
        if minutes.is_some_and(|minutes| minutes % 5 != 0) {
            errors.push(FieldError::new(at("minutes"), "must be a multiple of 5"));
        }
        let small = |number: Option<i64>| number.and_then(|number| i8::try_from(number).ok());
        let (day_of_month, hours, minutes) = (small(day_of_month), small(hours), small(minutes));
        let interval = u16::try_from(interval).ok()?;
        (errors.len() == faults).then_some(Self { frequency: frequency?, interval, days, day_of_month, hours, minutes })
    }

    /// The wire form.
    pub fn to_json(&self) -> Value {
        json!({
            "__typename": "ScheduleRepeat",
            "frequency": self.frequency,
            "interval": self.interval,
            "days": self.days,
            "day_of_month": self.day_of_month,
            "hours": self.hours,
            "minutes": self.minutes,
        })
    }

    /// The first occurrence after `after`, by the clocks of `zone`. Intervals are counted from `anchor`. `None`: none
    /// within the years that are looked at, since the interval and the days never meet.
    pub fn next(&self, after: Timestamp, anchor: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self.frequency {
            Frequency::Hourly => self.next_hour(after.to_jiff(), anchor.to_jiff(), zone),
            _ => self.next_day(after.to_jiff(), zone.to_datetime(anchor.to_jiff()).date(), zone),
        }
        .map(Timestamp::from_jiff)
    }

    fn next_day(&self, after: jiff::Timestamp, anchor: Date, zone: &TimeZone) -> Option<jiff::Timestamp> {
        let at = Time::new(self.hours.unwrap_or(0), self.minutes.unwrap_or(0), 0, 0).ok()?;
        // A clock that skips midnight moves the day before into this one.
        let mut date = zone.to_datetime(after).date().yesterday().ok()?;
        for _ in 0..DAYS {
            if self.is_day(date, anchor)
                && let Some(instant) = instant(date.to_datetime(at), zone).filter(|instant| *instant > after)
            {
                return Some(instant);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// Whether something happens on `date`.
    fn is_day(&self, date: Date, anchor: Date) -> bool {
        let days = |from: Date, to: Date| i64::from((to - from).get_days());
        let months = |date: Date| i64::from(date.year()) * 12 + i64::from(date.month());
        let weekday = date.weekday();
        let (periods, fits) = match self.frequency {
            Frequency::Hourly => (0, false),
            Frequency::Daily => (days(anchor, date), self.is_among(weekday)),
            Frequency::Weekly => {
                let weeks = days(monday(anchor), monday(date)) / 7;
                (weeks, if self.days.is_some() { self.is_among(weekday) } else { weekday == anchor.weekday() })
            }
            Frequency::Monthly => {
                (months(date) - months(anchor), date.day() == self.day_of_month.unwrap_or(1).min(date.days_in_month()))
            }
        };
        fits && periods.rem_euclid(i64::from(self.interval)) == 0
    }

    fn is_among(&self, weekday: Weekday) -> bool {
        let (_, day) = WEEK[weekday.to_monday_zero_offset() as usize];
        self.days.as_ref().is_none_or(|days| days.contains(&day))
    }

    fn next_hour(&self, after: jiff::Timestamp, anchor: jiff::Timestamp, zone: &TimeZone) -> Option<jiff::Timestamp> {
        let minute = self.minutes.unwrap_or(0);
        let begun = anchor.as_second() - i64::from(zone.to_datetime(anchor).minute()) * 60;
        let mut at = after;
        for _ in 0..HOURS {
            at = next_minute(at, minute, zone)?;
            let hours = (at.as_second() - begun).div_euclid(3_600);
            if hours.rem_euclid(i64::from(self.interval)) == 0 && self.is_among(zone.to_datetime(at).weekday()) {
                return Some(at);
            }
        }
        None
    }
}

fn read_days(value: &Value) -> Option<Vec<Day>> {
    let (workdays, weekend) = WEEK.split_at(5);
    let all = |days: &[(&str, Day)]| Some(days.iter().map(|(_, day)| *day).collect());
    match value {
        Value::String(name) if name == "weekdays" => all(workdays),
        Value::String(name) if name == "weekends" => all(weekend),
        Value::Array(names) if !names.is_empty() => {
            let day = |name: &Value| WEEK.iter().find(|(known, _)| name == known).map(|(_, day)| *day);
            let mut days = names.iter().map(day).collect::<Option<Vec<_>>>()?;
            days.sort_unstable();
            days.dedup();
            Some(days)
        }
        _ => None,
    }
}

fn monday(date: Date) -> Date {
    let since = i32::from(date.weekday().to_monday_zero_offset());
    date.checked_sub(since.days()).unwrap_or(date)
}

/// When the clocks of `zone` first show `at`, or, when they skip it, what comes right after.
pub fn instant(at: DateTime, zone: &TimeZone) -> Option<jiff::Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(at);
    let skipped = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
    let instant = ambiguous.compatible().ok()?;
    if !skipped {
        return Some(instant);
    }
    let behind = instant.checked_add(SignedDuration::from_nanos(1)).ok()?;
    zone.preceding(behind).next().map(|change| change.timestamp())
}

/// The first instant after `after` at which the clocks of `zone` show this minute of an hour.
fn next_minute(after: jiff::Timestamp, minute: i8, zone: &TimeZone) -> Option<jiff::Timestamp> {
    let at = |second| jiff::Timestamp::from_second(second).ok();
    let begun = after.as_second().div_euclid(60) * 60;
    let ahead = i64::from(minute - zone.to_datetime(at(begun)?).minute()).rem_euclid(60) * 60;
    let found = at(begun + ahead).filter(|found| *found > after).or_else(|| at(begun + 3_600))?;
    if zone.to_offset(at(begun)?) == zone.to_offset(found) {
        return Some(found);
    }
    // The clocks are moved in between, perhaps by a part of an hour.
    let mut minutes = (1..=180).filter_map(|minutes| at(begun + minutes * 60));
    minutes.find(|instant| zone.to_datetime(*instant).minute() == minute)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_jiff(text.parse().unwrap())
    }

    fn rule(value: Value) -> Repeat {
        let mut errors = Vec::new();
        let rule = Repeat::from_json("r", &value, &mut errors);
        rule.unwrap_or_else(|| panic!("{errors:?}"))
    }

    /// By the clocks of New York; the anchor is a Friday.
    fn next(value: Value, after: &str) -> String {
        let zone = TimeZone::get("America/New_York").unwrap();
        let next = rule(value).next(at(after), at("2026-03-06T15:00:00Z"), &zone);
        next.map_or_else(|| "never".into(), |at| at.to_jiff().to_string())
    }

    #[test]
    fn the_golden_vectors() {
        let now = "2026-03-06T15:00:00Z";
        for (value, after, expected) in [
            (json!({"frequency": "daily", "hours": 9, "minutes": 30}), now, "2026-03-07T14:30:00Z"),
            (json!({"frequency": "daily", "days": "weekdays", "hours": 9, "minutes": 30}), now, "2026-03-09T13:30:00Z"),
            (json!({"frequency": "weekly", "days": ["mon"], "hours": 9}), now, "2026-03-09T13:00:00Z"),
            (json!({"frequency": "hourly", "minutes": 15}), now, "2026-03-06T15:15:00Z"),
            (json!({"frequency": "monthly", "day_of_month": 31}), now, "2026-03-31T04:00:00Z"),
            (json!({"frequency": "monthly", "day_of_month": 31}), "2026-03-31T04:00:00Z", "2026-04-30T04:00:00Z"),
            (json!({"frequency": "daily", "hours": 2, "minutes": 30}), "2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z"),
            (json!({"frequency": "daily", "hours": 1, "minutes": 30}), "2026-11-01T04:00:00Z", "2026-11-01T05:30:00Z"),
        ] {
            assert_eq!(next(value.clone(), after), expected, "{value}");
        }
    }

    #[test]
    fn intervals_count_from_the_anchor() {
        let (now, later) = ("2026-03-06T15:00:00Z", "2026-03-20T16:00:00Z");
        let fortnightly = || json!({"frequency": "weekly", "interval": 2, "hours": 11});
        assert_eq!(next(fortnightly(), now), "2026-03-06T16:00:00Z");
        assert_eq!(next(fortnightly(), "2026-03-06T16:00:00Z"), "2026-03-20T15:00:00Z");
        assert_eq!(next(fortnightly(), later), "2026-04-03T15:00:00Z");
        assert_eq!(next(json!({"frequency": "daily", "interval": 3}), now), "2026-03-09T04:00:00Z");
        assert_eq!(next(json!({"frequency": "hourly", "interval": 5}), "2026-03-06T15:00:01Z"), "2026-03-06T20:00:00Z");
        assert_eq!(next(json!({"frequency": "monthly", "interval": 2}), now), "2026-05-01T04:00:00Z");
        // Every seventh day is a Friday.
        assert_eq!(next(json!({"frequency": "daily", "interval": 7, "days": ["mon"]}), now), "never");
    }

    #[test]
    fn every_fault_of_a_rule_is_named() {
        let mut errors = Vec::new();
        let value = json!({"frequency": "yearly", "interval": 0, "days": ["monday"], "day_of_month": 32, "hours": "9",
            "minutes": 7});
        assert_eq!(Repeat::from_json("r", &value, &mut errors), None);
        assert_eq!(Repeat::from_json("r", &json!("daily"), &mut errors), None);
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["r.frequency", "r.days", "r.interval", "r.day_of_month", "r.hours", "r.minutes", "r"]);
    }

    /// Whether the rule is met by a minute that the clocks show, were it not for clocks that are moved.
    fn meets(rule: &Repeat, shown: DateTime, anchor: DateTime) -> bool {
        let on = rule
            .days
            .as_ref()
            .is_none_or(|days| days.iter().any(|day| *day as i8 == shown.date().weekday().to_monday_zero_offset()));
        let every = i32::from(rule.interval);
        let since = (shown.date() - anchor.date()).get_days();
        let first = i32::from(anchor.date().weekday().to_monday_zero_offset());
        (shown.hour(), shown.minute()) == (rule.hours.unwrap_or(0), rule.minutes.unwrap_or(0))
            && match rule.frequency {
                Frequency::Daily => on && since.rem_euclid(every) == 0,
                Frequency::Weekly => {
                    let on = if rule.days.is_some() { on } else { since.rem_euclid(7) == 0 };
                    on && (since + first).div_euclid(7).rem_euclid(every) == 0
                }
                Frequency::Monthly => {
                    let month = |at: DateTime| i32::from(at.year()) * 12 + i32::from(at.month());
                    let last = shown.date().last_of_month().day();
                    shown.day() == rule.day_of_month.unwrap_or(1).min(last)
                        && (month(shown) - month(anchor)).rem_euclid(every) == 0
                }
                Frequency::Hourly => unreachable!(),
            }
    }

    /// The next occurrence, found by going through the minutes: what the clocks show now, and what they skipped.
    fn found_by_walking(rule: &Repeat, after: Timestamp, anchor: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let shown = |second: i64| zone.to_datetime(jiff::Timestamp::from_second(second).unwrap());
        let begun = shown(anchor.to_jiff().as_second());
        let start = after.to_jiff().as_second().div_euclid(60) * 60;
        let mut latest = shown(start - 86_400);
        for second in (start - 86_400..start + 70 * 86_400).step_by(60) {
            let now = shown(second);
            // What was shown before is an hour that comes again.
            let mut minute = latest;
            let mut met = false;
            while minute < now {
                minute = minute.checked_add(1.minute()).unwrap();
                met |= meets(rule, minute, begun);
            }
            latest = latest.max(now);
            let found = jiff::Timestamp::from_second(second).unwrap();
            if met && Timestamp::from_jiff(found) > after {
                return Some(Timestamp::from_jiff(found));
            }
        }
        None
    }

    fn rules() -> impl Strategy<Value = Repeat> {
        let days = prop::option::of(prop::sample::subsequence(WEEK.map(|(_, day)| day).to_vec(), 1..=7));
        let frequency = prop::sample::select(vec![Frequency::Daily, Frequency::Weekly, Frequency::Monthly]);
        let (day_of_month, hours) = (prop::option::of(1i8..=31), prop::option::of(0i8..24));
        let minutes = prop::option::of((0i8..12).prop_map(|fifth| fifth * 5));
        (frequency, 1u16..4, days, day_of_month, hours, minutes).prop_map(
            |(frequency, interval, days, day_of_month, hours, minutes)| Repeat {
                frequency,
                interval,
                days,
                day_of_month,
                hours,
                minutes,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn the_next_occurrence_is_the_one_that_walking_through_the_minutes_finds(
            rule in rules(),
            zone in prop::sample::select(vec!["UTC", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu"]),
            start in 0i64..366 * 1_440, anchor in 0i64..60 * 1_440
        ) {
            let zone = TimeZone::get(zone).unwrap();
            let minute = |minutes: i64| Timestamp::from_millis(1_767_225_600_000 + minutes * 60_000);
            let (after, anchor) = (minute(start), minute(anchor));
            let expected = found_by_walking(&rule, after, anchor, &zone);
            let next = rule.next(after, anchor, &zone);
            match expected {
                Some(expected) => prop_assert_eq!(next, Some(expected)),
                None => prop_assert!(next.is_none_or(|next| next > minute(start + 69 * 1_440))),
            }
        }

        #[test]
        fn hours_are_met_at_their_minute_and_each_once(
            zone in prop::sample::select(vec!["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
            start in 0i64..366 * 86_400, minutes in (0i8..12).prop_map(|fifth| fifth * 5)
        ) {
            let zone = TimeZone::get(zone).unwrap();
            let rule = Repeat {
                frequency: Frequency::Hourly, interval: 1, days: None, day_of_month: None, hours: None,
                minutes: Some(minutes)
            };
            let after = Timestamp::from_millis(1_767_225_600_000 + start * 1_000);
            let found = rule.next(after, after, &zone).unwrap();
            let shows = |second: i64| zone.to_datetime(jiff::Timestamp::from_second(second).unwrap()).minute();
            let (from, to) = (after.to_jiff().as_second(), found.to_jiff().as_second());
            prop_assert_eq!(shows(to), minutes);
            let earlier = (from + 1..to).filter(|second| second % 60 == 0).find(|second| shows(*second) == minutes);
            prop_assert_eq!(earlier, None);
        }
    }
}
