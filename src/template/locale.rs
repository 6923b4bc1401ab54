//! Numbers, money and times as people of a locale write them (the data is the Unicode consortium's CLDR).

use icu_calendar::Iso;
use icu_datetime::DateTimeFormatter;
use icu_datetime::fieldsets::{YMD, YMDE};
use icu_datetime::input::{Date, DateTime, Time};
use icu_decimal::DecimalFormatter;
use icu_decimal::input::Decimal;
use icu_experimental::dimension::currency::CurrencyType;
use icu_experimental::dimension::currency::formatter::CurrencyFormatter;
use icu_locale::extensions::unicode::Value as Keyword;
use icu_locale::{Locale, LocaleDirectionality};
use icu_plurals::{PluralCategory, PluralRules};
use jiff::ZonedDateTime;

use super::speech;

/// How much of a date or a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Short,
    Medium,
    Long,
    Full,
}

impl Length {
    /// The length of this name; medium where there is none.
    pub(super) fn of(name: &str) -> Result<Self, String> {
        match name {
            "short" => Ok(Self::Short),
            "" | "medium" => Ok(Self::Medium),
            "long" => Ok(Self::Long),
            "full" => Ok(Self::Full),
            _ => Err("a length is short, medium, long or full".to_owned()),
        }
    }
}

/// The locale of this name, else that of the recipient, else the environment's.
fn locale(name: &str) -> Result<Locale, String> {
    if !name.is_empty() {
        return parse(name).ok_or_else(|| "there is no such locale; write one as fr or pt-BR".to_owned());
    }
    // What a recipient has there is data: what is no locale of theirs is one of nobody's.
    Ok(parse(speech::current().locale()).unwrap_or(Locale::UNKNOWN))
}

/// Whether the language speaks otherwise of one thing than of several.
pub(super) fn tells_one_apart(locale: &str) -> bool {
    let rules = locale.parse::<Locale>().ok().and_then(|locale| PluralRules::try_new_cardinal((&locale).into()).ok());
    rules.is_some_and(|rules| rules.category_for(1_usize) == PluralCategory::One)
}

/// Without extensions, such as a calendar, which are for applications to choose.
fn parse(name: &str) -> Option<Locale> {
    name.trim().replace('_', "-").parse::<Locale>().ok().map(|locale| Locale::from(locale.id))
}

/// Whether a locale is written from right to left. What is no locale is not.
pub(super) fn is_right_to_left(name: &str) -> bool {
    parse(name).is_some_and(|locale| LocaleDirectionality::new_extended().is_right_to_left(&locale.id))
}

fn decimal(number: f64) -> Result<Decimal, String> {
    // Floats are written without an exponent.
    number.to_string().parse().map_err(|_| "the number is too large".to_owned())
}

/// `1,234.5` in English.
pub(super) fn number(number: f64, name: &str) -> Result<String, String> {
    let formatter = DecimalFormatter::try_new((&locale(name)?).into(), Default::default());
    let formatter = formatter.map_err(|_| "numbers of this locale are not known".to_owned())?;
    Ok(formatter.format(&decimal(number)?).to_string())
}

/// `$1,234.50` in English, with as many decimals as the currency has, or `whole`.
pub(super) fn currency(number: f64, code: &str, name: &str, whole: bool) -> Result<String, String> {
    let code = if code.is_empty() { "USD" } else { code.trim() };
    let unknown = || "a currency is three letters, such as EUR".to_owned();
    let is_code = code.len() == 3 && code.bytes().all(|letter| letter.is_ascii_alphabetic());
    let keyword: Keyword = code.to_ascii_lowercase().parse().map_err(|_| unknown())?;
    let currency = CurrencyType::try_from(&keyword).ok().filter(|_| is_code).ok_or_else(unknown)?;
    let locale = locale(name)?;
    let formatter = CurrencyFormatter::try_new_symbol((&locale).into(), currency, Default::default());
    let formatter = formatter.map_err(|_| "money of this locale is not known".to_owned())?;
    if !whole {
        return Ok(formatter.format_fixed_decimal(&decimal(number)?).to_string());
    }
    // The formatter always writes the currency's decimals, which are zeros here: they are cut with what parts them.
    let rounded = decimal(number.round())?;
    let text = formatter.format_fixed_decimal(&rounded).to_string();
    let plain = self::number(number.round(), name)?;
    let (before, after) = text.split_once(&plain).unwrap_or((&text, ""));
    let after = after.trim_start_matches(|letter: char| letter.is_numeric() || matches!(letter, '.' | ',' | '٫'));
    Ok(if text.contains(&plain) { format!("{before}{plain}{after}") } else { text })
}

/// A date, in the time zone that it is given in.
pub(super) fn date(at: &ZonedDateTime, name: &str, length: Length) -> Result<String, String> {
    let (locale, at) = (locale(name)?, civil(at)?);
    let prefs = (&locale).into();
    let text = match length {
        Length::Short => DateTimeFormatter::try_new(prefs, YMD::short()).map(|f| f.format(&at.date).to_string()),
        Length::Medium => DateTimeFormatter::try_new(prefs, YMD::medium()).map(|f| f.format(&at.date).to_string()),
        Length::Long => DateTimeFormatter::try_new(prefs, YMD::long()).map(|f| f.format(&at.date).to_string()),
        Length::Full => DateTimeFormatter::try_new(prefs, YMDE::long()).map(|f| f.format(&at.date).to_string()),
    };
    text.map_err(|_| UNKNOWN_TIMES.to_owned())
}

/// A date and the time of day, with seconds unless `time` is short.
pub(super) fn datetime(at: &ZonedDateTime, name: &str, length: Length, time: Length) -> Result<String, String> {
    let (locale, at) = (locale(name)?, civil(at)?);
    let prefs = (&locale).into();
    macro_rules! write {
        ($fields:expr) => {
            match time {
                Length::Short => {
                    DateTimeFormatter::try_new(prefs, $fields.with_time_hm()).map(|f| f.format(&at).to_string())
                }
                _ => DateTimeFormatter::try_new(prefs, $fields.with_time_hms()).map(|f| f.format(&at).to_string()),
            }
        };
    }
    let text = match length {
        Length::Short => write!(YMD::short()),
        Length::Medium => write!(YMD::medium()),
        Length::Long => write!(YMD::long()),
        Length::Full => write!(YMDE::long()),
    };
    text.map_err(|_| UNKNOWN_TIMES.to_owned())
}

const UNKNOWN_TIMES: &str = "times of this locale are not known";

fn civil(at: &ZonedDateTime) -> Result<DateTime<Iso>, String> {
    let part = |number: i8| number.unsigned_abs();
    let date = Date::try_new_iso(at.year().into(), part(at.month()), part(at.day()));
    let time = Time::try_new(part(at.hour()), part(at.minute()), part(at.second()), 0);
    match (date, time) {
        (Ok(date), Ok(time)) => Ok(DateTime { date, time }),
        _ => Err("the time is too far away".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Narrow and wide blanks that do not break, as plain ones.
    fn plain(text: Result<String, String>) -> String {
        text.unwrap().replace(['\u{202f}', '\u{a0}'], " ")
    }

    #[test]
    fn numbers_and_money_are_written_as_in_the_locale() {
        for (locale, number, money) in [
            ("en", "1,234,567.5", "$1,234,567.50"),
            ("de", "1.234.567,5", "1.234.567,50 $"),
            ("fr-BE", "1 234 567,5", "1 234 567,50 $US"),
            ("pt_BR", "1.234.567,5", "US$ 1.234.567,50"),
            ("hi", "12,34,567.5", "$12,34,567.50"),
        ] {
            assert_eq!(plain(super::number(1_234_567.5, locale)), number);
            assert_eq!(plain(currency(1_234_567.5, "", locale, false)), money);
        }
        assert_eq!(plain(currency(1234.5, "jpy", "en", false)), "¥1,235");
        assert_eq!(plain(currency(-3.0, "EUR", "nl", false)), "€ -3,00");
        assert_eq!(plain(currency(1234.5, "EUR", "de", true)), "1.235 €");
        assert_eq!(plain(currency(1234.4, "USD", "en", true)), "$1,234");
        assert_eq!(plain(currency(1.0, "XYZ", "en", false)), "XYZ 1.00");
        for wrong in [currency(1.0, "E", "en", false), currency(1.0, "E1R", "en", false), number(1.0, "not a locale")] {
            assert!(wrong.is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn dates_are_written_as_in_the_locale() {
        let at: ZonedDateTime = "2026-01-15T16:09:35+01:00[Europe/Berlin]".parse().unwrap();
        let date = |locale: &str, length| plain(super::date(&at, locale, length));
        assert_eq!(date("en", Length::Short), "1/15/26");
        assert_eq!(date("en", Length::Medium), "Jan 15, 2026");
        assert_eq!(date("de", Length::Long), "15. Januar 2026");
        assert_eq!(date("fr", Length::Full), "jeudi 15 janvier 2026");
        assert_eq!(date("ja", Length::Long), "2026年1月15日");
        assert_eq!(plain(datetime(&at, "en", Length::Medium, Length::Short)), "Jan 15, 2026, 4:09 PM");
        assert_eq!(plain(datetime(&at, "de", Length::Short, Length::Medium)), "15.01.26, 16:09:35");
    }

    #[test]
    fn a_locale_is_written_in_the_direction_of_its_script() {
        for name in ["ar", "ar_EG", "he-il", "iw", "fa", "ur", "yi", "ps", "sd", "ug", "dv", "ckb", "pa-PK", "az-Arab"]
        {
            assert!(is_right_to_left(name), "{name}");
        }
        for name in ["en", "en-EG", "ar-Latn", "pa", "sd-Deva", "zh-Hant", "tr", "", "xx", "not a locale"] {
            assert!(!is_right_to_left(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_number_code_or_locale_panics(
            value in any::<f64>().prop_filter("finite", |number| number.is_finite()),
            code in "[A-Za-z€]{0,4}",
            locale in prop_oneof!["[a-z]{2,3}(-[A-Z]{2})?(-u-nu-[a-z]{4})?", ".{0,8}"],
            whole in any::<bool>(),
        ) {
            let _ = is_right_to_left(&locale);
            let _ = number(value, &locale);
            let _ = currency(value, &code, &locale, whole);
        }

        #[test]
        fn no_time_panics(seconds in -377_705_023_201_i64..253_402_207_200, locale in "[a-z]{2}(-u-ca-[a-z]{3,8})?") {
            let at = jiff::Timestamp::from_second(seconds).unwrap().to_zoned_datetime(jiff::tz::TimeZone::UTC);
            for length in [Length::Short, Length::Medium, Length::Long, Length::Full] {
                let _ = date(&at, &locale, length);
                let _ = datetime(&at, &locale, length, length);
            }
        }
    }
}
