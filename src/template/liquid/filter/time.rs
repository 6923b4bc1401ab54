//! Filters of times. Without a zone a time is shown in UTC.

use std::rc::Rc;

use jiff::ZonedDateTime;
use jiff::tz::TimeZone;

use super::{Answer, Call, Refusal, Val};
use crate::template::{date, strftime};

/// What `date` writes when it is not told.
const FORMAT: &str = "%A, %B %-e, %Y at %-l:%M %P %z";

/// What is no time stays as it is: it may be a text of the author's, such as "tomorrow".
pub(super) fn date<'s>(call: &Call<'_, 's>) -> Answer<'s> {
    let zone = zone(call, 1)?;
    let Some(at) = read(call, zone) else { return Ok(call.input.clone()) };
    call.made(strftime::format(&call.text_or(0, FORMAT)?, &at)?)
}

pub(super) fn timezone<'s>(call: &Call<'_, 's>) -> Answer<'s> {
    let zone = zone(call, 0)?;
    Ok(read(call, zone).map_or(call.input.clone(), |at| Val::Moment(Rc::new(at))))
}

/// The input's time as `write` writes it; what is no time stays as it is.
pub(super) fn in_locale<'s>(
    call: &Call<'_, 's>,
    write: impl FnOnce(&ZonedDateTime) -> Result<String, Refusal>,
) -> Answer<'s> {
    match read(call, None) {
        Some(at) => call.made(write(&at)?),
        None => Ok(call.input.clone()),
    }
}

fn zone(call: &Call<'_, '_>, arg: usize) -> Result<Option<TimeZone>, Refusal> {
    let name = call.arg_text(arg)?;
    Ok(if name.is_empty() { None } else { Some(date::zone(Some(&name))?) })
}

/// The input's time: in `zone`, else in its own if it was given one, else in UTC.
fn read(call: &Call<'_, '_>, zone: Option<TimeZone>) -> Option<ZonedDateTime> {
    match &call.input {
        Val::Moment(at) => Some(zone.map_or_else(|| (**at).clone(), |zone| at.with_time_zone(zone))),
        Val::Int(seconds) => date::parse(&seconds.to_string(), zone.unwrap_or(TimeZone::UTC)),
        value => {
            let text = match value.as_str()? {
                "now" | "today" => call.now.as_str()?,
                text => text,
            };
            date::parse(text, zone.unwrap_or(TimeZone::UTC))
        }
    }
}
