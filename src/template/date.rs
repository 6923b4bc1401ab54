//! Dates as text.

use jiff::civil;
use jiff::tz::{TimeZone, TimeZoneName};
use jiff::{Timestamp, ZonedDateTime};
use serde_json::Value;

use super::helper::text;
use super::strftime;
use crate::base::nearest::nearest;

const NO_DATE: &str = "the value is not a date; give 2026-01-31 or 2026-01-31T17:00:00Z";

/// Formats `value` with strftime's letters in the time zone `tz`, else in UTC. Nothing gives nothing. A date without a
/// time is that date in every zone.
pub(super) fn format(value: &Value, format: &Value, tz: Option<&Value>) -> Result<String, String> {
    let (value, format) = (text(value), text(format));
    if value.is_empty() {
        return Ok(value);
    }
    let at = parse(&value, zone(tz.map(text).as_deref())?);
    strftime::format(&format, &at.ok_or(NO_DATE)?)
}

/// `value` in the time zone `tz`, else in UTC, as `write` writes it. Nothing gives nothing.
pub(super) fn written(
    value: &Value,
    tz: Option<&Value>,
    write: impl FnOnce(&ZonedDateTime) -> Result<String, String>,
) -> Result<Value, String> {
    let value = text(value);
    if value.is_empty() {
        return Ok(Value::String(value));
    }
    let at = parse(&value, zone(tz.map(text).as_deref())?);
    write(&at.ok_or(NO_DATE)?).map(Value::String)
}

/// The time zone of this name, else UTC.
pub(super) fn zone(name: Option<&str>) -> Result<TimeZone, String> {
    match name {
        None | Some("") => Ok(TimeZone::UTC),
        Some(name) => TimeZone::get(name).map_err(|_| {
            let known: Vec<_> = jiff::tz::db().available().collect();
            match nearest(name, known.iter().map(TimeZoneName::as_str)) {
                Some(near) => format!("there is no such time zone; perhaps {near} is meant"),
                None => "there is no such time zone; write one as Europe/Berlin".to_owned(),
            }
        }),
    }
}

/// The instant or the day that `value` names, as it is in `zone`.
pub(super) fn parse(value: &str, zone: TimeZone) -> Option<ZonedDateTime> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Timestamp::from_second(seconds).ok()?.to_zoned_datetime(zone));
    }
    if let Ok(at) = value.parse::<Timestamp>() {
        return Some(at.to_zoned_datetime(zone));
    }
    if value.len() == 10
        && let Ok(date) = value.parse::<civil::Date>()
    {
        return date.to_zoned_datetime(TimeZone::UTC).ok();
    }
    // A time without an offset is taken for UTC.
    let at: civil::DateTime = value.parse().ok()?;
    Some(at.to_zoned_datetime(TimeZone::UTC).ok()?.with_time_zone(zone))
}
