//! Spans of time as the configuration writes them: `500ms`, `30s`, `5m`, `2h`, `1d`.

use std::time::Duration;

use serde::Serializer;

/// The units in milliseconds, largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a whole number and a unit; `None` when it is anything else or too long for 64 bits of milliseconds.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    Some(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(*millis)?))
}

/// Writes `span` in the largest unit that loses nothing; less than a millisecond is dropped.
pub(super) fn format(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let (unit, size) = UNITS.into_iter().find(|(_, size)| millis.is_multiple_of(*size)).unwrap_or(("ms", 1));
    format!("{}{unit}", millis / size)
}

/// For `#[serde(serialize_with)]`.
pub(super) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_back_as_they_were_written() {
        for text in ["500ms", "30s", "5m", "2h", "1d", "90s", "0s"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
        assert_eq!(parse("1 m"), Some(Duration::from_secs(60)));
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in ["", "30", "s", "-1s", "1.5s", "1 week", "99999999999999999d", "1s2"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
