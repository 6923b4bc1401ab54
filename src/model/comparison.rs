//! What the operators of conditions mean (`knock-engine.md` sections 4.4 to 4.6). Types are strict: a text is never a
//! number, and what does not fit together does not hold, instead of being an error.

use std::cmp::Ordering;
use std::fmt;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::condition::Facts;
use super::message_status::{engaged, rank, token_rank};
use super::recipient::kind;
use super::trigger_data::same_number;
use crate::base::clock::Timestamp;
use crate::base::nearest::nearest;

/// A value that was looked up; `None`: there is none, which is equal to `""` and to `null`.
pub type Operand<'a> = Option<&'a Value>;

macro_rules! operators {
    ($($name:ident = $text:literal),* $(,)?) => {
        /// How a variable is compared with an argument.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Operator {
            $(#[serde(rename = $text)] $name),*
        }

        impl Operator {
            /// All of them.
            pub const ALL: &'static [(&'static str, Self)] = &[$(($text, Self::$name)),*];
        }
    };
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, operator)| operator == self).map_or("", |(name, _)| *name))
    }
}

operators! {
    EqualTo = "equal_to",
    NotEqualTo = "not_equal_to",
    GreaterThan = "greater_than",
    GreaterThanOrEqualTo = "greater_than_or_equal_to",
    LessThan = "less_than",
    LessThanOrEqualTo = "less_than_or_equal_to",
    Contains = "contains",
    NotContains = "not_contains",
    ContainsAll = "contains_all",
    NotContainsAll = "not_contains_all",
    Empty = "empty",
    NotEmpty = "not_empty",
    Exists = "exists",
    NotExists = "not_exists",
    IsTimestamp = "is_timestamp",
    IsNotTimestamp = "is_not_timestamp",
    IsTimestampBefore = "is_timestamp_before",
    IsTimestampOnOrAfter = "is_timestamp_on_or_after",
    IsTimestampBeforeDate = "is_timestamp_before_date",
    IsTimestampOnOrAfterDate = "is_timestamp_on_or_after_date",
    IsTimestampBeforeNow = "is_timestamp_before_now",
    IsTimestampOnOrAfterNow = "is_timestamp_on_or_after_now",
    IsTimestampBetween = "is_timestamp_between",
    IsBetween = "is_between",
    IsAudienceMember = "is_audience_member",
    IsNotAudienceMember = "is_not_audience_member",
}

impl Operator {
    /// The operator called `name`. The error names the nearest one.
    pub fn named(name: &str) -> Result<Self, String> {
        if let Some((_, found)) = Self::ALL.iter().find(|(known, _)| *known == name) {
            return Ok(*found);
        }
        Err(match nearest(name, Self::ALL.iter().map(|(known, _)| *known)) {
            Some(near) => format!("is `{name}`, which is no operator; did you mean `{near}`?"),
            None => format!("is `{name}`, which is none of {}", Self::names()),
        })
    }

    /// Their names, for people.
    pub fn names() -> String {
        Self::ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// Whether an argument that is known beforehand can ever hold.
    pub fn accepts(self, argument: Operand<'_>) -> Result<(), String> {
        let Some(argument) = argument else { return Ok(()) };
        let shape = |fits: bool, what: &str| {
            if fits { Ok(()) } else { Err(format!("must be {what}, not {}", kind(argument))) }
        };
        let is_instant = |value: &Value| instant(value, Timestamp::default()).is_some();
        let pair =
            |fits: fn(&Value) -> bool| argument.as_array().is_some_and(|two| two.len() == 2 && two.iter().all(fits));
        match self {
            Self::IsTimestampBefore
            | Self::IsTimestampOnOrAfter
            | Self::IsTimestampBeforeDate
            | Self::IsTimestampOnOrAfterDate => {
                shape(is_instant(argument), "an instant, such as 2026-01-31T17:12:59Z or 30_days_ago")
            }
            Self::IsTimestampBetween => {
                let fits = pair(|value| instant(value, Timestamp::default()).is_some());
                shape(fits, "a list of two instants")
            }
            Self::IsBetween => shape(pair(Value::is_number), "a list of two numbers"),
            Self::IsAudienceMember | Self::IsNotAudienceMember => shape(argument.is_string(), "the key of an audience"),
            _ => Ok(()),
        }
    }

    /// Whether it holds between a variable and an argument.
    pub fn holds(self, actual: Operand<'_>, wanted: Operand<'_>, facts: &Facts<'_>) -> bool {
        let now = facts.now;
        let is = |accepts: fn(Ordering) -> bool| order(actual, wanted).is_some_and(accepts);
        let at = || instant(actual?, now);
        let against =
            |accepts: fn(&Timestamp, &Timestamp) -> bool| match (at(), wanted.and_then(|one| instant(one, now))) {
                (Some(at), Some(other)) => accepts(&at, &other),
                _ => false,
            };
        match self {
            Self::EqualTo => equal(actual, wanted),
            Self::NotEqualTo => !equal(actual, wanted),
            Self::GreaterThan => is(Ordering::is_gt),
            Self::GreaterThanOrEqualTo => is(Ordering::is_ge),
            Self::LessThan => is(Ordering::is_lt),
            Self::LessThanOrEqualTo => is(Ordering::is_le),
            Self::Contains => contains(actual, wanted),
            Self::NotContains => !contains(actual, wanted),
            Self::ContainsAll => contains_all(actual, wanted),
            Self::NotContainsAll => !contains_all(actual, wanted),
            Self::Empty => is_empty(actual),
            Self::NotEmpty => !is_empty(actual),
            Self::Exists => actual.is_some_and(|value| !value.is_null()),
            Self::NotExists => actual.is_none_or(Value::is_null),
            Self::IsTimestamp => at().is_some(),
            Self::IsNotTimestamp => at().is_none(),
            Self::IsTimestampBefore | Self::IsTimestampBeforeDate => against(Timestamp::lt),
            Self::IsTimestampOnOrAfter | Self::IsTimestampOnOrAfterDate => against(Timestamp::ge),
            Self::IsTimestampBeforeNow => at().is_some_and(|at| at < now),
            Self::IsTimestampOnOrAfterNow => at().is_some_and(|at| at >= now),
            Self::IsTimestampBetween => match (at(), ends(wanted)) {
                (Some(at), Some([from, to])) => {
                    instant(from, now).is_some_and(|from| from <= at) && instant(to, now).is_some_and(|to| at < to)
                }
                _ => false,
            },
            Self::IsBetween => ends(wanted).is_some_and(|[low, high]| {
                order(actual, Some(low)).is_some_and(Ordering::is_ge)
                    && order(actual, Some(high)).is_some_and(Ordering::is_le)
            }),
            Self::IsAudienceMember => is_member(wanted, facts.audiences),
            Self::IsNotAudienceMember => !is_member(wanted, facts.audiences),
        }
    }
}

/// The two elements of a list of two.
fn ends(value: Operand<'_>) -> Option<[&Value; 2]> {
    match value?.as_array()?.as_slice() {
        [low, high] => Some([low, high]),
        _ => None,
    }
}

fn is_member(wanted: Operand<'_>, audiences: &[String]) -> bool {
    wanted.and_then(Value::as_str).is_some_and(|key| audiences.iter().any(|audience| audience == key))
}

fn is_empty(value: Operand<'_>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    }
}

fn equal(actual: Operand<'_>, wanted: Operand<'_>) -> bool {
    if let Some(order) = status_order(actual, wanted) {
        return order.is_eq();
    }
    match (actual, wanted) {
        (None, None) => true,
        (None, Some(value)) | (Some(value), None) => value.is_null() || value.as_str() == Some(""),
        (Some(Value::Number(a)), Some(Value::Number(b))) => same_number(a, b),
        (Some(a), Some(b)) => a == b,
    }
}

/// How two values of one type lie to each other: numbers, instants, statuses, else texts.
fn order(actual: Operand<'_>, wanted: Operand<'_>) -> Option<Ordering> {
    if let Some(order) = status_order(actual, wanted) {
        return Some(order);
    }
    match (actual?, wanted?) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
        },
        (Value::String(a), Value::String(b)) => match (parse_instant(a), parse_instant(b)) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => Some(a.cmp(b)),
        },
        _ => None,
    }
}

/// How a status lies to the one that the argument names; `None` when it names none, or there is no status.
fn status_order(actual: Operand<'_>, wanted: Operand<'_>) -> Option<Ordering> {
    let token = token_rank(wanted?.as_str()?)?;
    let status = match actual {
        // A step without a message has none, which is below all.
        None | Some(Value::Null) => 0,
        Some(value) => value.as_str().and_then(rank)?,
    };
    Some(status.cmp(&token))
}

fn contains(actual: Operand<'_>, wanted: Operand<'_>) -> bool {
    if let Some(engaged) = wanted.and_then(Value::as_str).and_then(|token| engaged(actual, token)) {
        return engaged;
    }
    match (actual, wanted) {
        (Some(Value::Array(list)), Some(Value::Array(items))) => items.iter().any(|item| has(list, item)),
        (Some(Value::Array(list)), Some(item)) | (Some(item), Some(Value::Array(list))) => has(list, item),
        (Some(Value::String(text)), Some(Value::String(part))) => text.contains(part.as_str()),
        _ => false,
    }
}

fn contains_all(actual: Operand<'_>, wanted: Operand<'_>) -> bool {
    match (actual, wanted) {
        (Some(Value::Array(list)), Some(Value::Array(items))) => items.iter().all(|item| has(list, item)),
        (Some(Value::Array(list)), Some(item)) => has(list, item),
        _ => false,
    }
}

fn has(list: &[Value], item: &Value) -> bool {
    list.iter().any(|element| equal(Some(element), Some(item)))
}

/// The instant that a value is: absolute, or told from `now` as `30_days_ago` and `2_hours_from_now`.
fn instant(value: &Value, now: Timestamp) -> Option<Timestamp> {
    let text = value.as_str()?;
    parse_instant(text).or_else(|| relative(text, now))
}

/// The instant in ISO 8601 that `text` is; without a zone it is one of UTC.
pub fn parse_instant(text: &str) -> Option<Timestamp> {
    // Most texts begin with no digit, and are none without being parsed.
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let civil = || text.parse::<DateTime>().ok().or_else(|| Some(text.parse::<Date>().ok()?.at(0, 0, 0, 0)));
    let absolute = text.parse().ok().or_else(|| TimeZone::UTC.to_timestamp(civil()?).ok());
    absolute.map(Timestamp::from_jiff)
}

fn relative(text: &str, now: Timestamp) -> Option<Timestamp> {
    let (count, rest) = text.split_once('_')?;
    let (unit, direction) = rest.split_once('_')?;
    let seconds: u64 = match unit {
        "minutes" | "minute" => 60,
        "hours" | "hour" => 3_600,
        "days" | "day" => 24 * 3_600,
        "weeks" | "week" => 7 * 24 * 3_600,
        _ => return None,
    };
    let span = std::time::Duration::from_secs(count.parse::<u32>().ok().map(u64::from)? * seconds);
    match direction {
        "ago" => Some(now.minus(span)),
        "from_now" => Some(now.plus(span)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-03-06T15:00:00Z";

    fn holds(actual: Operand<'_>, operator: &str, wanted: Operand<'_>) -> bool {
        let now = Timestamp::from_jiff(NOW.parse().unwrap());
        let facts = Facts { scope: &Value::Null, now, audiences: &["beta".to_owned()] };
        Operator::named(operator).unwrap().holds(actual, wanted, &facts)
    }

    #[test]
    fn the_golden_table() {
        let null = Value::Null;
        let missing = None;
        let later = json!("2026-03-11T15:00:00Z");
        let earlier = json!("2026-01-05T15:00:00Z");
        let table: &[(Option<Value>, &str, Value, bool)] = &[
            (Some(json!("pro")), "equal_to", json!("pro"), true),
            (Some(json!(true)), "equal_to", json!(true), true),
            (Some(json!("true")), "equal_to", json!(true), false),
            (Some(json!(1)), "equal_to", json!(1.0), true),
            (Some(json!(2)), "greater_than", json!(1), true),
            (Some(json!("2")), "greater_than", json!(1), false),
            (missing.clone(), "equal_to", null.clone(), true),
            (missing.clone(), "equal_to", json!(""), true),
            (missing.clone(), "not_contains", json!("x"), true),
            (missing.clone(), "less_than", json!(5), false),
            (Some(json!("")), "empty", null.clone(), true),
            (Some(null.clone()), "empty", null.clone(), true),
            (Some(json!([])), "empty", null.clone(), true),
            (missing.clone(), "empty", null.clone(), true),
            (Some(json!(0)), "empty", null.clone(), false),
            (Some(json!("")), "exists", null.clone(), true),
            (Some(null.clone()), "exists", null.clone(), false),
            (Some(json!("senior engineer")), "contains", json!("engineer"), true),
            (Some(json!(["vip", "beta"])), "contains", json!("vip"), true),
            (Some(json!(["a", "b"])), "contains", json!(["b", "c"]), true),
            (Some(json!(["admin"])), "contains_all", json!(["admin", "editor"]), false),
            (Some(json!(["admin"])), "not_contains_all", json!(["admin", "editor"]), true),
            (Some(json!(["trex"])), "not_contains", json!("trex"), false),
            (Some(json!("vip")), "contains", json!(["vip"]), true),
            (Some(later.clone()), "is_timestamp_before", json!("7_days_from_now"), true),
            (Some(earlier.clone()), "is_timestamp_on_or_after", json!("30_days_ago"), false),
            (Some(later.clone()), "is_timestamp_before_now", null.clone(), false),
            (Some(later.clone()), "is_timestamp_on_or_after_now", null.clone(), true),
            (Some(json!(NOW)), "is_timestamp_between", json!([NOW, "2026-03-07"]), true),
            (Some(json!("2026-03-07")), "is_timestamp_between", json!([NOW, "2026-03-07"]), false),
            (Some(json!("2026-03-07")), "is_timestamp_on_or_after_date", json!("2026-03-07"), true),
            (Some(json!("2026-03-06T23:00:00")), "is_timestamp_before_date", json!("2026-03-07"), true),
            (Some(json!("soon")), "is_timestamp", null.clone(), false),
            (missing.clone(), "is_not_timestamp", null.clone(), true),
            (Some(json!(5)), "is_between", json!([1, 5]), true),
            (Some(json!(5.5)), "is_between", json!([1, 5]), false),
            (Some(json!("b")), "greater_than", json!("a"), true),
            (missing.clone(), "is_audience_member", json!("beta"), true),
            (missing, "is_not_audience_member", json!("alpha"), true),
        ];
        for (actual, operator, wanted, expected) in table {
            assert_eq!(holds(actual.as_ref(), operator, Some(wanted)), *expected, "{actual:?} {operator} {wanted}");
        }
    }

    #[test]
    fn statuses_are_compared_by_rank_and_engagements_by_what_they_imply() {
        let less = |status: Option<Value>, token: &str| holds(status.as_ref(), "less_than", Some(&json!(token)));
        let lacks = |done: Value| holds(Some(&done), "not_contains", Some(&json!("$message.seen")));
        // Status, `delivery_status less_than sent`, engagement, `not_contains seen`, `status less_than seen`.
        let table = [
            (None, true, json!([]), true),
            (Some("queued"), true, json!([]), true),
            (Some("not_sent"), true, json!([]), true),
            (Some("sent"), false, json!([]), true),
            (Some("delivered"), false, json!([]), true),
            (Some("delivered"), false, json!(["seen"]), false),
            (Some("delivered"), false, json!(["read"]), false),
            (Some("undelivered"), true, json!([]), true),
            (Some("bounced"), true, json!([]), true),
        ];
        for (status, below_sent, done, unseen) in table {
            let highest = done.get(0).cloned().or(status.map(Value::from));
            assert_eq!(less(status.map(Value::from), "$message.sent"), below_sent, "{status:?}");
            assert_eq!(lacks(done.clone()), unseen, "{status:?} {done}");
            assert_eq!(less(highest, "$message.seen"), unseen, "{status:?} {done}");
        }
        assert!(holds(Some(&json!("bounced")), "equal_to", Some(&json!("$message.bounced"))));
        assert!(holds(None, "equal_to", Some(&json!("$message.skipped"))));
    }

    #[test]
    fn an_argument_that_can_never_hold_is_refused() {
        for (operator, argument, fits) in [
            ("is_between", json!([1, 2]), true),
            ("is_between", json!([1]), false),
            ("is_timestamp_before", json!("soon"), false),
            ("is_timestamp_before", json!("2_weeks_ago"), true),
            ("is_timestamp_between", json!(["2026-01-01", "2026-01-02T00:00:00Z"]), true),
            ("is_timestamp_between", json!("2026-01-01"), false),
            ("is_audience_member", json!(1), false),
        ] {
            assert_eq!(
                Operator::named(operator).unwrap().accepts(Some(&argument)).is_ok(),
                fits,
                "{operator} {argument}"
            );
        }
        assert!(Operator::named("equal_too").unwrap_err().contains("did you mean `equal_to`"));
    }

    fn value() -> impl Strategy<Value = Option<Value>> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3i64..3).prop_map(Value::from),
            (-3.0..3.0f64).prop_map(Value::from),
            "[ab]{0,2}|\\$message\\.(seen|sent)|2026-01-0[1-3]|[0-9]_days_ago".prop_map(Value::from),
        ];
        prop::option::of(
            scalar.prop_recursive(1, 4, 3, |inner| prop::collection::vec(inner, 0..3).prop_map(Value::from)),
        )
    }

    proptest! {
        #[test]
        fn no_pair_of_values_panics_and_each_negation_is_one(actual in value(), wanted in value()) {
            for (name, _) in Operator::ALL {
                holds(actual.as_ref(), name, wanted.as_ref());
            }
            for (one, other) in [("equal_to", "not_equal_to"), ("contains", "not_contains"), ("empty", "not_empty"),
                ("contains_all", "not_contains_all"), ("exists", "not_exists"), ("is_timestamp", "is_not_timestamp")]
            {
                let both = [one, other].map(|name| holds(actual.as_ref(), name, wanted.as_ref()));
                prop_assert_ne!(both[0], both[1], "{}", one);
            }
            let order = ["less_than", "equal_to", "greater_than"].map(|name| holds(actual.as_ref(), name, wanted.as_ref()));
            prop_assert!(order.iter().filter(|holds| **holds).count() <= 1);
        }
    }
}
