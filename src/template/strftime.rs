//! Times as a format with `%` says them: the letters, flags and widths of Ruby's, in which Liquid was written first.

use jiff::ZonedDateTime;

/// The longest format, in bytes.
const FORMAT_BYTES: usize = 256;
/// The widest that a format can ask for.
const WIDEST: usize = 64;

/// Formats `at` with strftime's letters.
pub(super) fn format(format: &str, at: &ZonedDateTime) -> Result<String, String> {
    if format.len() > FORMAT_BYTES {
        return Err(format!("the format is longer than {FORMAT_BYTES} bytes"));
    }
    let mut text = String::new();
    let mut rest = format;
    while let Some((before, behind)) = rest.split_once('%') {
        text.push_str(before);
        let (directive, length) = Directive::read(behind)?;
        let written = &behind[..length];
        match directive.write(at) {
            Some(said) => text.push_str(&said),
            // Letters that are none of Ruby's, such as %Q for the name of the zone.
            None => match jiff::fmt::strtime::format(format!("%{written}"), at) {
                Ok(said) => text.push_str(&said),
                Err(_) => return Err(format!("there is no `%{written}` in a format; write %% for the sign itself")),
            },
        }
        rest = &behind[length..];
    }
    text.push_str(rest);
    Ok(text)
}

/// What stands behind a `%`.
struct Directive {
    /// The padding that is asked for; `-` is none.
    pad: Option<char>,
    upper: bool,
    swap: bool,
    width: Option<usize>,
    colons: usize,
    /// The `E` or `O` before the letter, which ask for other ways of writing that no locale has here.
    way: Option<char>,
    letter: char,
}

impl Directive {
    /// The directive that `text` begins with, and how long it is.
    fn read(text: &str) -> Result<(Self, usize), String> {
        let mut read = Self { pad: None, upper: false, swap: false, width: None, colons: 0, way: None, letter: '%' };
        for (at, letter) in text.char_indices() {
            match letter {
                '-' | '_' if read.is_flag() => read.pad = Some(if letter == '_' { ' ' } else { '-' }),
                '0' if read.is_flag() => read.pad = Some('0'),
                '^' if read.is_flag() => read.upper = true,
                '#' if read.is_flag() => read.swap = true,
                '0'..='9' if read.colons == 0 && read.way.is_none() => {
                    let width = read.width.unwrap_or(0) * 10 + letter.to_digit(10).unwrap_or(0) as usize;
                    if width > WIDEST {
                        return Err(format!("the format asks for more than {WIDEST} letters at once"));
                    }
                    read.width = Some(width);
                }
                ':' if read.way.is_none() => read.colons += 1,
                'E' | 'O' if read.way.is_none() && read.colons == 0 => read.way = Some(letter),
                letter => {
                    read.letter = letter;
                    return Ok((read, at + letter.len_utf8()));
                }
            }
        }
        Err("the format ends within a `%`; write %% for the sign itself".to_owned())
    }

    fn is_flag(&self) -> bool {
        self.width.is_none() && self.colons == 0 && self.way.is_none()
    }

    /// What it says of `at`; none for letters that it does not know.
    fn write(&self, at: &ZonedDateTime) -> Option<String> {
        let allowed = match self.way {
            Some('E') => "cCxXyY",
            Some(_) => "deHkIlmMSuUVwWy",
            None => "",
        };
        if self.way.is_some() && !allowed.contains(self.letter) || self.colons > 0 && self.letter != 'z' {
            return None;
        }
        let (year, week) = (i64::from(at.year()), at.date().iso_week_date());
        let (sunday, monday) = (at.weekday().to_sunday_zero_offset(), at.weekday().to_monday_zero_offset());
        let week_from = |weekday: i8| (i64::from(at.day_of_year()) + 6 - i64::from(weekday)) / 7;
        let (hour, evening) = (i64::from(at.hour()), at.hour() >= 12);
        let twelve = (hour + 11) % 12 + 1;
        Some(match self.letter {
            'Y' => self.number(year, '0', if year < 0 { 5 } else { 4 }),
            'C' => self.number(year.div_euclid(100), '0', 2),
            'y' => self.number(year.rem_euclid(100), '0', 2),
            'm' => self.number(at.month().into(), '0', 2),
            'd' => self.number(at.day().into(), '0', 2),
            'e' => self.number(at.day().into(), ' ', 2),
            'j' => self.number(at.day_of_year().into(), '0', 3),
            'H' => self.number(hour, '0', 2),
            'k' => self.number(hour, ' ', 2),
            'I' => self.number(twelve, '0', 2),
            'l' => self.number(twelve, ' ', 2),
            'M' => self.number(at.minute().into(), '0', 2),
            'S' => self.number(at.second().into(), '0', 2),
            's' => self.number(at.timestamp().as_second(), '0', 1),
            'u' => self.number(i64::from(monday) + 1, '0', 1),
            'w' => self.number(sunday.into(), '0', 1),
            'G' => self.number(week.year().into(), '0', 4),
            'g' => self.number(i64::from(week.year()).rem_euclid(100), '0', 2),
            'V' => self.number(week.week().into(), '0', 2),
            'U' => self.number(week_from(sunday), '0', 2),
            'W' => self.number(week_from(monday), '0', 2),
            'L' => self.fraction(at, 3),
            'N' => self.fraction(at, 9),
            'z' => self.offset(at.offset().seconds()),
            'a' | 'A' | 'b' | 'B' | 'h' => {
                self.text(if self.swap { plain(self.letter, at)?.to_uppercase() } else { plain(self.letter, at)? })
            }
            'Z' => self.text(if self.swap { plain('Z', at)?.to_lowercase() } else { plain('Z', at)? }),
            'p' => self.text(half(evening, self.swap)),
            'P' => self.text(half(evening, !self.swap)),
            'c' => self.all("%a %b %e %H:%M:%S %Y", at)?,
            'x' | 'D' => self.all("%m/%d/%y", at)?,
            'X' | 'T' => self.all("%H:%M:%S", at)?,
            'r' => self.all("%I:%M:%S %p", at)?,
            'R' => self.all("%H:%M", at)?,
            'F' => self.all("%Y-%m-%d", at)?,
            'v' => self.all("%e-%^b-%Y", at)?,
            'n' => self.text("\n".to_owned()),
            't' => self.text("\t".to_owned()),
            '%' => self.text("%".to_owned()),
            _ => return None,
        })
    }

    /// `digits` behind their sign, padded to the width that is asked for, else to `width`.
    fn number(&self, number: i64, pad: char, width: usize) -> String {
        let (width, digits) = (self.width.unwrap_or(width), number.unsigned_abs().to_string());
        let sign = if number < 0 { "-" } else { "" };
        let missing = width.saturating_sub(sign.len() + digits.len());
        match self.pad.unwrap_or(pad) {
            '-' => format!("{sign}{digits}"),
            ' ' => format!("{}{sign}{digits}", " ".repeat(missing)),
            _ => format!("{sign}{}{digits}", "0".repeat(missing)),
        }
    }

    /// The first digits of the fraction of the second.
    fn fraction(&self, at: &ZonedDateTime, digits: usize) -> String {
        let (nanoseconds, digits) = (format!("{:09}", at.subsec_nanosecond()), self.width.unwrap_or(digits));
        nanoseconds.chars().chain(std::iter::repeat('0')).take(digits).collect()
    }

    fn offset(&self, seconds: i32) -> String {
        let sign = if seconds < 0 { '-' } else { '+' };
        let seconds = seconds.abs();
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let rest = match self.colons {
            0 => format!("{minutes:02}"),
            1 => format!(":{minutes:02}"),
            3 if minutes == 0 && seconds == 0 => String::new(),
            3 if seconds == 0 => format!(":{minutes:02}"),
            _ => format!(":{minutes:02}:{seconds:02}"),
        };
        let width = self.width.unwrap_or(0).saturating_sub(1 + rest.len()).max(2);
        match self.pad {
            Some(' ') => format!("{:>width$}{rest}", format!("{sign}{hours}"), width = width + 1),
            _ => format!("{sign}{hours:0width$}{rest}"),
        }
    }

    /// What a format of others says, as one text.
    fn all(&self, others: &str, at: &ZonedDateTime) -> Option<String> {
        Some(self.text(format(others, at).ok()?))
    }

    fn text(&self, text: String) -> String {
        let text = if self.upper { text.to_uppercase() } else { text };
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        match self.pad {
            Some('-') => text,
            Some('0') => "0".repeat(missing) + &text,
            _ => " ".repeat(missing) + &text,
        }
    }
}

/// A name without padding, of the day, the month or the zone.
fn plain(letter: char, at: &ZonedDateTime) -> Option<String> {
    jiff::fmt::strtime::format(format!("%{letter}"), at).ok()
}

fn half(evening: bool, small: bool) -> String {
    match (evening, small) {
        (true, true) => "pm",
        (true, false) => "PM",
        (false, true) => "am",
        (false, false) => "AM",
    }
    .to_owned()
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
            (&utc, "%h", "Mar"),
            (&utc, "%n", "\n"),
            (&utc, "%t", "\t"),
            (&utc, "%%", "%"),
            (&utc, "%L", "007"),
            (&utc, "%N", "007089000"),
            (&utc, "%3N", "007"),
            (&utc, "%6N", "007089"),
            (&utc, "%12N", "007089000000"),
            (&utc, "%C", "20"),
            (&utc, "%u", "5"),
            (&utc, "%w", "5"),
            (&utc, "%G", "2026"),
            (&utc, "%g", "26"),
            (&utc, "%V", "10"),
            (&utc, "%U", "09"),
            (&utc, "%W", "09"),
            (&utc, "%s", "1772805909"),
            (&utc, "%z", "+0000"),
            (&utc, "%:z", "+00:00"),
            (&utc, "%::z", "+00:00:00"),
            (&utc, "%:::z", "+00"),
            (&utc, "%Z", "UTC"),
            (&utc, "%e", " 6"),
            (&utc, "%k", "14"),
            (&utc, "%l", " 2"),
            (&utc, "%p", "PM"),
            (&utc, "%P", "pm"),
            (&utc, "%j", "065"),
            (&utc, "%y", "26"),
            (&utc, "%Y", "2026"),
            (&utc, "%m", "03"),
            (&utc, "%B", "March"),
            (&utc, "%b", "Mar"),
            (&utc, "%A", "Friday"),
            (&utc, "%a", "Fri"),
            (&utc, "%d", "06"),
            (&utc, "%H", "14"),
            (&utc, "%I", "02"),
            (&utc, "%M", "05"),
            (&utc, "%S", "09"),
            (&utc, "%T", "14:05:09"),
            (&utc, "%R", "14:05"),
            (&utc, "%F", "2026-03-06"),
            (&utc, "%-d", "6"),
            (&utc, "%_d", " 6"),
            (&utc, "%0e", "06"),
            (&utc, "%^a", "FRI"),
            (&utc, "%^B", "MARCH"),
            (&utc, "%#p", "pm"),
            (&utc, "%#P", "PM"),
            (&utc, "%#a", "FRI"),
            (&utc, "%#B", "MARCH"),
            (&utc, "%#Z", "utc"),
            (&utc, "%10A", "    Friday"),
            (&utc, "%-10A", "Friday"),
            (&utc, "%010A", "0000Friday"),
            (&utc, "%^10A", "    FRIDAY"),
            (&utc, "%10Y", "0000002026"),
            (&utc, "%-Y", "2026"),
            (&utc, "%_m", " 3"),
            (&utc, "%03d", "006"),
            (&utc, "%5d", "00006"),
            (&utc, "%_5d", "    6"),
            (&utc, "%-5d", "6"),
            (&utc, "%1d", "6"),
            (&utc, "%10N", "0070890000"),
            (&utc, "%10F", "2026-03-06"),
            (&utc, "%30c", "      Fri Mar  6 14:05:09 2026"),
            (&utc, "%10z", "+000000000"),
            (&utc, "%_10z", "      +000"),
            (&utc, "%_z", " +000"),
            (&utc, "%10:z", "+000000:00"),
            (&utc, "%^c", "FRI MAR  6 14:05:09 2026"),
            (&utc, "%#c", "Fri Mar  6 14:05:09 2026"),
            (&utc, "%-c", "Fri Mar  6 14:05:09 2026"),
            (&utc, "%0l", "02"),
            (&utc, "%-I", "2"),
            (&utc, "%Ey", "26"),
            (&utc, "%Od", "06"),
            (&utc, "%5%", "    %"),
            (&utc, "%5n", "    \n"),
            (&utc, "%_j", " 65"),
            (&utc, "%-U", "9"),
            (&utc, "%10s", "1772805909"),
            (&utc, "%010s", "1772805909"),
            (&utc, "%-p", "PM"),
            (&utc, "%10p", "        PM"),
            (&utc, "%010p", "00000000PM"),
            (&utc, "%-m/%-d", "3/6"),
            (&utc, "%^p", "PM"),
            (&utc, "%^P", "PM"),
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
            ("100%!", "there is no `%!` in a format; write %% for the sign itself"),
            ("%é", "there is no `%é` in a format; write %% for the sign itself"),
            ("%99999999999999999999A", "the format asks for more than 64 letters at once"),
        ] {
            assert_eq!(format(wrong, &time), Err(expected.to_owned()), "{wrong}");
        }
        assert!(format(&"x".repeat(257), &time).is_err());
        assert_eq!(format("%Q %q", &time).as_deref(), Ok("UTC 1"));
    }

    proptest! {
        #[test]
        fn no_format_panics(text in "(%[-_0^#]{0,2}[0-9]{0,2}:{0,2}[EO]?[a-zA-Z%]|é| ){0,20}", seconds in -377_705_023_201_i64..253_402_207_200) {
            let time = jiff::Timestamp::from_second(seconds).unwrap().to_zoned_datetime(jiff::tz::TimeZone::UTC);
            let _ = format(&text, &time);
        }
    }
}
