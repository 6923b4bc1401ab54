//! Send windows: on which days of the week, and between which times of the recipient's clock, a step's messages may go
//! out. What is made outside them waits for the next one that opens.

use jiff::ToSpan;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;

use super::json_reader::{Reader, shown_text};
use super::repeat::instant;
use crate::base::clock::Timestamp;
use crate::base::nearest::{did_you_mean, nearest, quoted_list};

const DAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// The windows of a week; at least one of them is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendWindows([Option<Window>; 7]);

/// From a time on, until another one of the same day; `None`: until its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    from: Time,
    until: Option<Time>,
}

impl SendWindows {
    /// The windows at `field`, if there are some. None after a fault too.
    pub fn read(field: &Reader<'_>) -> Option<Self> {
        if field.is_blank() {
            return None;
        }
        let items = field.items()?;
        let mut days: [Option<Option<Window>>; 7] = [None; 7];
        // Each is read before the first failure ends the collecting.
        let read: Vec<_> = items.iter().map(|item| read_day(item, &mut days)).collect();
        if read.contains(&None) {
            return None;
        }
        let missing: Vec<&str> =
            DAYS.iter().zip(&days).filter(|(_, window)| window.is_none()).map(|((name, _), _)| *name).collect();
        if !missing.is_empty() {
            field.fault(format!("lacks {}", missing.join(", ")), "Write one window for each day of the week.");
            return None;
        }
        let windows = Self(days.map(Option::flatten));
        if windows.0.iter().all(Option::is_none) {
            field.fault("never opens: nothing would ever be sent", "Let at least one day have the type \"send\".");
            return None;
        }
        Some(windows)
    }

    /// When a message that is made at `now` may go out: at once, or when the next window opens.
    pub fn opens(&self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        let local = zone.to_datetime(now.to_jiff());
        let (today, time) = (local.date(), local.time());
        if let Some(window) = self.on(today)
            && window.from <= time
            && window.until.is_none_or(|until| time < until)
        {
            return now;
        }
        // A week on, the same day comes again.
        let days = (0..=7).filter_map(|days| today.checked_add(days.days()).ok());
        let opening = |date: Date| instant(date.to_datetime(self.on(date)?.from), zone).map(Timestamp::from_jiff);
        days.filter_map(opening).find(|at| *at > now).unwrap_or(now)
    }

    fn on(&self, date: Date) -> Option<Window> {
        self.0[usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or_default()]
    }
}

fn read_day(item: &Reader<'_>, days: &mut [Option<Option<Window>>; 7]) -> Option<()> {
    if item.value().is_none() {
        item.missing("Write a window, or remove this.");
        return None;
    }
    item.object()?;
    item.expect_keys(&["day", "type", "from", "until"]);
    let names = DAYS.map(|(name, _)| name);
    let day = item.field("day");
    let fix = format!("Write one of {}.", quoted_list(&names));
    let name = day.required_text(&fix)?;
    let Some(place) = names.iter().position(|known| *known == name) else {
        day.fault(format!("{} is not a day", shown_text(name)), did_you_mean(nearest(name, names), &fix));
        return None;
    };
    if days[place].is_some() {
        day.fault(format!("{name} has a window already"), "Write one window for each day.");
        return None;
    }
    let kind = item.field("type");
    let window = match kind.required_text("Write \"send\" or \"do_not_send\".")? {
        "do_not_send" => None,
        "send" => Some(read_window(item)?),
        other => {
            kind.fault(format!("{} is neither of the two", shown_text(other)), "Write \"send\" or \"do_not_send\".");
            return None;
        }
    };
    days[place] = Some(window);
    Some(())
}

fn read_window(item: &Reader<'_>) -> Option<Window> {
    let from = item.field("from");
    let from = if from.is_blank() { Time::midnight() } else { read_time(&from)? };
    let field = item.field("until");
    let until = if field.is_blank() { None } else { Some(read_time(&field)?) };
    if until.is_some_and(|until| until <= from) {
        field.fault("is not behind `from`", "A window ends on its own day; let the next day begin with another one.");
        return None;
    }
    Some(Window { from, until })
}

fn read_time(field: &Reader<'_>) -> Option<Time> {
    let text = field.text()?.trim();
    let time = text.parse::<Time>();
    if time.is_err() {
        field.fault(format!("{} is no time", shown_text(text)), "Write it as \"09:30:00\".");
    }
    time.ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::workflow::StepKind;
    use super::super::workflow_sample::*;
    use super::*;

    /// Nine to five on working days, unless a day says otherwise.
    fn week(otherwise: &[(&str, Value)]) -> Value {
        let day = |(index, (name, _)): (usize, &(&str, Weekday))| {
            let mut day = match index {
                0..5 => json!({"type": "send", "from": "09:00:00", "until": "17:00:00"}),
                _ => json!({"type": "do_not_send", "from": null, "until": null}),
            };
            if let Some((_, other)) = otherwise.iter().find(|(day, _)| day == name) {
                day = other.clone();
            }
            day["day"] = json!(name);
            day
        };
        DAYS.iter().enumerate().map(day).collect()
    }

    fn read(windows: Value) -> SendWindows {
        match &workflow(&with("/steps/0/send_windows", windows)).steps[0].kind {
            StepKind::Channel(step) => **step.send_windows.as_ref().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::from_jiff(text.parse().unwrap())
    }

    #[test]
    fn a_message_goes_out_in_a_window_or_when_the_next_one_opens() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let office = read(week(&[]));
        let night = json!({"type": "send", "from": "02:30:00"});
        let sundays = read(week(&[("monday", json!({"type": "do_not_send"})), ("sunday", night)]));
        // Friday, 10:00 in New York, whose clocks change on Sunday.
        for (windows, now, expected) in [
            (office, "2026-03-06T15:00:00Z", "2026-03-06T15:00:00Z"),
            (office, "2026-03-06T13:59:59Z", "2026-03-06T14:00:00Z"),
            (office, "2026-03-06T21:59:59Z", "2026-03-06T21:59:59Z"),
            (office, "2026-03-06T22:00:00Z", "2026-03-09T13:00:00Z"),
            // The clocks leave half past two out.
            (sundays, "2026-03-07T15:00:00Z", "2026-03-08T07:00:00Z"),
            (sundays, "2026-03-09T03:59:00Z", "2026-03-09T03:59:00Z"),
            (sundays, "2026-03-09T04:00:00Z", "2026-03-10T13:00:00Z"),
        ] {
            assert_eq!(windows.opens(at(now), &zone), at(expected), "{now}");
        }
        let only = |day: &str| {
            let closed = json!({"type": "do_not_send"});
            let others = DAYS.iter().filter(|(name, _)| *name != day).map(|(name, _)| (*name, closed.clone()));
            read(week(&others.collect::<Vec<_>>()))
        };
        // Past the window of its day, it waits for that day to come again.
        assert_eq!(only("friday").opens(at("2026-03-06T23:00:00Z"), &zone), at("2026-03-13T13:00:00Z"));
    }

    #[test]
    fn windows_that_never_open_or_are_not_of_one_week_are_found() {
        let all = |window: Value| week(&DAYS.map(|(name, _)| (name, window.clone())));
        let mut short = week(&[]);
        short.as_array_mut().unwrap().remove(3);
        let mut twice = week(&[]);
        twice[3]["day"] = json!("monday");
        for (windows, problem) in [
            (all(json!({"type": "do_not_send"})), "send_windows: never opens"),
            (short, "send_windows: lacks thursday"),
            (twice, "send_windows[3].day: monday has a window already"),
            (week(&[("monday", json!({"type": "sent"}))]), "send_windows[0].type: \"sent\" is neither of the two"),
            (
                week(&[("monday", json!({"type": "send", "from": "17:00:00", "until": "09:00:00"}))]),
                "send_windows[0].until: is not behind `from`",
            ),
            (week(&[("monday", json!({"type": "send", "from": "9 am"}))]), "send_windows[0].from: \"9 am\" is no time"),
        ] {
            let text = fault(&with("/steps/0/send_windows", windows));
            assert!(text.contains(problem), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_waits_goes_out_in_a_window_and_within_eight_days(
            now in 0i64..4_000_000_000_000,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
        ) {
            let (windows, zone) = (read(week(&[])), TimeZone::get(zone).unwrap());
            let now = Timestamp::from_millis(now);
            let opens = windows.opens(now, &zone);
            prop_assert!(opens >= now && opens.since(now).as_secs() <= 8 * 86_400);
            prop_assert_eq!(windows.opens(opens, &zone), opens, "it is open when it opens");
        }
    }
}
