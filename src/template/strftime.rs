//! Times as a format with `%` says them: the letters, flags and widths of Ruby's, in which Liquid was written first.

use jiff::ZonedDateTime;
use strftime::{Error, Time, buffered};

/// The longest format, in bytes.
const FORMAT_BYTES: usize = 256;
/// The longest text that a format can ask for, in bytes: it can name a width.
const TEXT_BYTES: usize = 4096;

/// Formats `at` with strftime's letters. What is none of them stays as it is.
pub(super) fn format(format: &str, at: &ZonedDateTime) -> Result<String, String> {
    if format.len() > FORMAT_BYTES {
        return Err(format!("the format is longer than {FORMAT_BYTES} bytes"));
    }
    let mut room = [0; TEXT_BYTES];
    match buffered::strftime(&At::new(at), format.as_bytes(), &mut room) {
        Ok(text) => Ok(String::from_utf8_lossy(text).into_owned()),
        Err(Error::InvalidFormatString) => Err("the format ends within a `%`; write %% for the sign itself".to_owned()),
        Err(Error::WriteZero | Error::FormattedStringTooLarge) => {
            Err(format!("the format asks for more than {TEXT_BYTES} bytes"))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// A time, in the eyes of the formatter.
struct At<'a> {
    at: &'a ZonedDateTime,
    zone: String,
}

impl<'a> At<'a> {
    fn new(at: &'a ZonedDateTime) -> Self {
        let zone = at.time_zone().to_offset_info(at.timestamp()).abbreviation().to_owned();
        Self { at, zone }
    }
}

impl Time for At<'_> {
    fn year(&self) -> i32 {
        self.at.year().into()
    }

    fn month(&self) -> u8 {
        self.at.month().unsigned_abs()
    }

    fn day(&self) -> u8 {
        self.at.day().unsigned_abs()
    }

    fn hour(&self) -> u8 {
        self.at.hour().unsigned_abs()
    }

    fn minute(&self) -> u8 {
        self.at.minute().unsigned_abs()
    }

    fn second(&self) -> u8 {
        self.at.second().unsigned_abs()
    }

    fn nanoseconds(&self) -> u32 {
        self.at.subsec_nanosecond().unsigned_abs()
    }

    fn day_of_week(&self) -> u8 {
        self.at.weekday().to_sunday_zero_offset().unsigned_abs()
    }

    fn day_of_year(&self) -> u16 {
        self.at.day_of_year().unsigned_abs()
    }

    fn to_int(&self) -> i64 {
        self.at.timestamp().as_second()
    }

    fn is_utc(&self) -> bool {
        self.at.offset().is_zero()
    }

    fn utc_offset(&self) -> i32 {
        self.at.offset().seconds()
    }

    fn time_zone(&self) -> &str {
        &self.zone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> ZonedDateTime {
        text.parse().unwrap()
    }

    /// The expected texts are what Ruby 3.1 says.
    #[test]
    fn a_format_says_what_it_says_in_ruby() {
        let utc = at("2026-03-06T14:05:09.007089+00:00[UTC]");
        let morning = at("2024-12-30T00:05:00-05:00[America/New_York]");
        let early = at("2023-01-01T12:00:00+05:30[Asia/Kolkata]");
        for (time, text, expected) in [
            (&utc, "%c", "Fri Mar  6 14:05:09 2026"),
            (&utc, "%x", "03/06/26"),
            (&utc, "%X", "14:05:09"),
            (&utc, "%r", "02:05:09 PM"),
            (&utc, "%D", "03/06/26"),
            (&utc, "%v", " 6-MAR-2026"),
            (&utc, "%L", "007"),
            (&utc, "%N", "007089000"),
            (&utc, "%3N", "007"),
            (&utc, "%C", "20"),
            (&utc, "%u", "5"),
            (&utc, "%G", "2026"),
            (&utc, "%V", "10"),
            (&utc, "%U", "09"),
            (&utc, "%s", "1772805909"),
            (&utc, "%z", "+0000"),
            (&utc, "%:z", "+00:00"),
            (&utc, "%Z", "UTC"),
            (&utc, "%e", " 6"),
            (&utc, "%l", " 2"),
            (&utc, "%P", "pm"),
            (&utc, "%j", "065"),
            (&utc, "%-d", "6"),
            (&utc, "%^B", "MARCH"),
            (&utc, "%#p", "pm"),
            (&utc, "%10A", "    Friday"),
            (&utc, "%_m", " 3"),
            (&utc, "%03d", "006"),
            (&utc, "%30c", "      Fri Mar  6 14:05:09 2026"),
            (&utc, "%Ey", "26"),
            (&utc, "%5%", "    %"),
            (&utc, "%-m/%-d", "3/6"),
            (&utc, "100%! %é", "100%! %é"),
            (&morning, "%p", "AM"),
            (&morning, "%#p", "am"),
            (&morning, "%P", "am"),
            (&morning, "%#P", "AM"),
            (&morning, "%I", "12"),
            (&morning, "%l", "12"),
            (&morning, "%k", " 0"),
            (&morning, "%-l", "12"),
            (&morning, "%G-W%V-%u", "2025-W01-1"),
            (&morning, "%g", "25"),
            (&morning, "%U", "52"),
            (&morning, "%W", "53"),
            (&morning, "%j", "365"),
            (&morning, "%w", "1"),
            (&morning, "%z", "-0500"),
            (&morning, "%:z", "-05:00"),
            (&morning, "%:::z", "-05"),
            (&morning, "%_z", " -500"),
            (&early, "%G-W%V-%u", "2022-W52-7"),
            (&early, "%U", "01"),
            (&early, "%W", "00"),
            (&early, "%j", "001"),
            (&early, "%w", "0"),
            (&early, "%u", "7"),
            (&early, "%z", "+0530"),
            (&early, "%:::z", "+05:30"),
            (&early, "%::z", "+05:30:00"),
            (&early, "%_z", " +530"),
            (&early, "%_10z", "      +530"),
            (&early, "%I%p", "12PM"),
        ] {
            assert_eq!(format(text, time).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_format_is_told_and_nothing_is_endless() {
        let time = at("2026-03-06T14:05:09+00:00[UTC]");
        for (wrong, expected) in [
            ("a %", "the format ends within a `%`; write %% for the sign itself"),
            ("%10", "the format ends within a `%`; write %% for the sign itself"),
            ("%9999A", "the format asks for more than 4096 bytes"),
        ] {
            assert_eq!(format(wrong, &time), Err(expected.to_owned()), "{wrong}");
        }
        assert!(format(&"x".repeat(257), &time).is_err());
    }

    proptest! {
        #[test]
        fn no_format_panics(text in "(%[-_0^#]{0,2}[0-9]{0,2}:{0,2}[EO]?[a-zA-Z%]|é| ){0,20}", seconds in -377_705_023_201_i64..253_402_207_200) {
            let time = jiff::Timestamp::from_second(seconds).unwrap().to_zoned_datetime(jiff::tz::TimeZone::UTC);
            let _ = format(&text, &time);
        }
    }
}
