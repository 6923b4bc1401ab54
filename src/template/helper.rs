//! The helpers that templates can call: pure functions over JSON values, in one table.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use handlebars::JsonTruthy;
use serde_json::{Value, json};

use super::block::Block;
use super::date;
use super::locale::{self, Length};
use super::wording;
use crate::model::recipient::kind;

/// A helper that templates can call.
pub(super) struct Spec {
    pub(super) name: &'static str,
    /// How it is written, for faults.
    pub(super) usage: &'static str,
    /// How many values it takes.
    pub(super) takes: RangeInclusive<usize>,
    /// The one `name=` that it takes besides.
    pub(super) option: Option<&'static str>,
    pub(super) kind: Kind,
}

/// What a helper does.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Block(Block),
    Value(Run, Work),
    /// Translates, with whatever it is given by name.
    Translation,
}

/// From the values and the option to the result, or to what is wrong with them.
type Run = fn(&[&Value], Option<&Value>) -> Result<Value, String>;

/// How much of its values a helper reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// So little that their size does not matter.
    Little,
    All,
}

const MANY: usize = super::budget::TAG_PARTS;

const fn spec(name: &'static str, usage: &'static str, least: usize, most: usize, work: Work, run: Run) -> Spec {
    Spec { name, usage, takes: least..=most, option: None, kind: Kind::Value(run, work) }
}

const fn block(name: &'static str, usage: &'static str, option: Option<&'static str>, block: Block) -> Spec {
    Spec { name, usage, takes: 1..=1, option, kind: Kind::Block(block) }
}

/// Every helper.
pub(super) static ALL: &[Spec] = {
    use Work::{All, Little};
    &[
        block("if", "{{#if paid}}..{{else}}..{{/if}}", Some("includeZero"), Block::If),
        block("unless", "{{#unless paid}}..{{/unless}}", Some("includeZero"), Block::Unless),
        block("each", "{{#each items}}{{name}}{{/each}}", None, Block::Each),
        block("with", "{{#with recipient}}{{name}}{{/with}}", None, Block::With),
        spec("eq", "{{#if (eq plan \"pro\")}}", 2, 2, All, |v, _| Ok(json!(equal(v[0], v[1])))),
        spec("ne", "{{#if (ne plan \"pro\")}}", 2, 2, All, |v, _| Ok(json!(!equal(v[0], v[1])))),
        spec("gt", "{{#if (gt count 1)}}", 2, 2, All, |v, _| Ok(json!(order(v, |o| o.is_gt())))),
        spec("gte", "{{#if (gte count 1)}}", 2, 2, All, |v, _| Ok(json!(order(v, |o| o.is_ge())))),
        spec("lt", "{{#if (lt count 1)}}", 2, 2, All, |v, _| Ok(json!(order(v, |o| o.is_lt())))),
        spec("lte", "{{#if (lte count 1)}}", 2, 2, All, |v, _| Ok(json!(order(v, |o| o.is_le())))),
        spec("and", "{{#if (and a b)}}", 1, MANY, Little, |v, _| Ok(json!(v.iter().all(|v| truthy(v))))),
        spec("or", "{{#if (or a b)}}", 1, MANY, Little, |v, _| Ok(json!(v.iter().any(|v| truthy(v))))),
        spec("not", "{{#if (not a)}}", 1, 1, Little, |v, _| Ok(json!(!truthy(v[0])))),
        spec("default", "{{default name \"there\"}}", 2, 2, Little, |v, _| {
            let missing = matches!(v[0], Value::Null | Value::Bool(false)) || length(v[0]) == Some(0);
            Ok(v[usize::from(missing)].clone())
        }),
        spec("lookup", "{{lookup names \"key\"}}", 2, 2, Little, |v, _| Ok(lookup(v[0], v[1]))),
        Spec {
            name: "date",
            usage: "{{date due \"%b %-d, %Y\" tz=\"Europe/Berlin\"}}",
            takes: 2..=3,
            option: Some("tz"),
            kind: Kind::Value(|v, tz| date::format(v[0], v[1], tz.or(v.get(2).copied())).map(Value::String), All),
        },
        spec("pluralize", "{{pluralize count \"item\" \"items\"}}", 3, 3, All, |v, _| {
            Ok(v[if number(v[0])? == 1.0 { 1 } else { 2 }].clone())
        }),
        Spec {
            name: "t",
            usage: "{{t \"greeting\" name=recipient.name}}",
            takes: 1..=1,
            option: None,
            kind: Kind::Translation,
        },
        spec("format_number", "{{format_number total \"de\"}}", 1, 2, All, |v, _| {
            locale::number(number(v[0])?, &text_at(v, 1)).map(Value::String)
        }),
        spec("currency", "{{currency price \"EUR\" \"de\"}}", 1, 3, All, |v, _| {
            locale::currency(number(v[0])?, &text_at(v, 1), &text_at(v, 2), false).map(Value::String)
        }),
        spec("rounded_currency", "{{rounded_currency price \"EUR\" \"de\"}}", 1, 3, All, |v, _| {
            locale::currency(number(v[0])?, &text_at(v, 1), &text_at(v, 2), true).map(Value::String)
        }),
        Spec {
            name: "format_date_in_locale",
            usage: "{{format_date_in_locale due \"fr\" \"long\" tz=\"Europe/Paris\"}}",
            takes: 1..=3,
            option: Some("tz"),
            kind: Kind::Value(
                |v, tz| {
                    let length = Length::of(&text_at(v, 2))?;
                    date::written(v[0], tz, |at| locale::date(at, &text_at(v, 1), length))
                },
                All,
            ),
        },
        Spec {
            name: "format_datetime_in_locale",
            usage: "{{format_datetime_in_locale due \"fr\" \"long\" \"short\" tz=\"Europe/Paris\"}}",
            takes: 1..=4,
            option: Some("tz"),
            kind: Kind::Value(
                |v, tz| {
                    let (length, time) =
                        (Length::of(&text_at(v, 2))?, v.get(3).map_or("short".into(), |time| text(time)));
                    let time = Length::of(&time)?;
                    date::written(v[0], tz, |at| locale::datetime(at, &text_at(v, 1), length, time))
                },
                All,
            ),
        },
        spec("first", "{{first items}}", 1, 1, Little, |v, _| Ok(end(v[0], true))),
        spec("last", "{{last items}}", 1, 1, Little, |v, _| Ok(end(v[0], false))),
        spec("length", "{{length items}}", 1, 1, Little, |v, _| Ok(json!(length(v[0]).unwrap_or(0)))),
        spec("size", "{{size items}}", 1, 1, Little, |v, _| Ok(json!(length(v[0]).unwrap_or(0)))),
        spec("len", "{{len items}}", 1, 1, Little, |v, _| Ok(json!(length(v[0]).unwrap_or(0)))),
        spec("split", "{{first (split name \" \")}}", 2, 2, All, |v, _| split(&text(v[0]), &text(v[1]))),
        spec("join", "{{join tags \", \"}}", 1, 2, All, |v, _| join(v[0], v.get(1).copied())),
        spec("concat", "{{concat first_name \" \" last_name}}", 1, MANY, All, |v, _| concat(v)),
        spec("contains", "{{#if (contains tags \"new\")}}", 2, 2, All, |v, _| Ok(json!(contains(v[0], v[1])))),
        spec("json", "{{json data}}", 1, 1, All, |v, _| Ok(json!(v[0].to_string()))),
        spec("capitalize", "{{capitalize name}}", 1, 1, All, |v, _| Ok(json!(wording::capitalize(&text(v[0]))))),
        spec("titlecase", "{{titlecase name}}", 1, 1, All, |v, _| Ok(json!(wording::titlecase(&text(v[0]))))),
        spec("upcase", "{{upcase code}}", 1, 1, All, |v, _| Ok(json!(text(v[0]).to_uppercase()))),
        spec("downcase", "{{downcase code}}", 1, 1, All, |v, _| Ok(json!(text(v[0]).to_lowercase()))),
        spec("trim", "{{trim name}}", 1, 1, All, |v, _| Ok(json!(text(v[0]).trim()))),
        spec("append", "{{append name \"!\"}}", 2, 2, All, |v, _| Ok(json!(text(v[0]) + &text(v[1])))),
        spec("prepend", "{{prepend name \"@\"}}", 2, 2, All, |v, _| Ok(json!(text(v[1]) + &text(v[0])))),
        spec("replace", "{{replace name \"_\" \" \"}}", 3, 3, All, |v, _| {
            wording::replace(&text(v[0]), &text(v[1]), &text(v[2])).map(Value::String)
        }),
        spec("truncate", "{{truncate title 40}}", 2, 3, All, |v, _| {
            let end = v.get(2).map_or("...".into(), |end| text(end));
            Ok(json!(wording::truncate(&text(v[0]), count(v[1])?, &end)))
        }),
        spec("truncatewords", "{{truncatewords title 8}}", 2, 3, All, |v, _| {
            let end = v.get(2).map_or("...".into(), |end| text(end));
            Ok(json!(wording::truncate_words(&text(v[0]), count(v[1])?, &end)))
        }),
        spec("plus", "{{plus total 1}}", 2, 2, All, |v, _| arithmetic(v, i64::checked_add, |a, b| a + b)),
        spec("minus", "{{minus total 1}}", 2, 2, All, |v, _| arithmetic(v, i64::checked_sub, |a, b| a - b)),
        spec("times", "{{times price 2}}", 2, 2, All, |v, _| arithmetic(v, i64::checked_mul, |a, b| a * b)),
        spec("divide", "{{divide cents 100}}", 2, 2, All, |v, _| match number(v[1])? {
            0.0 => Err("cannot divide by zero".into()),
            _ => arithmetic(v, |a, b| a.checked_rem(b).filter(|rest| *rest == 0).and(a.checked_div(b)), |a, b| a / b),
        }),
        spec("round", "{{round rate 2}}", 1, 2, All, |v, _| {
            let scale = 10f64.powi(decimals(v.get(1).copied())?.into());
            float((number(v[0])? * scale).round() / scale)
        }),
        spec("number", "{{number total 2}}", 1, 2, All, |v, _| grouped(v[0], v.get(1).copied())),
        spec("url_encode", "{{url_encode email}}", 1, 1, All, |v, _| Ok(json!(wording::url_encode(&text(v[0]))))),
    ]
};

/// The helper of this name.
pub(super) fn find(name: &str) -> Option<&'static Spec> {
    ALL.iter().find(|spec| spec.name == name)
}

/// What the helper will refuse of its values and its option, whatever stands in for those that only a rendering knows,
/// which are none here: it is run with nothing in their place, and with a number. The first, of which the helper makes
/// something, is a number then, which is also a text and a time.
pub(super) fn foresee(spec: &Spec, values: &[Option<&Value>], option: Option<Option<&Value>>) -> Option<String> {
    let Kind::Value(run, _) = spec.kind else { return None };
    if !values.iter().chain(&option).any(Option::is_some) {
        return None;
    }
    let one = json!(1);
    let refusal = |other: &Value| {
        let fill = |(index, value): (usize, &Option<&Value>)| {
            value.map_or(if index == 0 { &one } else { other }, |v| v).clone()
        };
        let values: Vec<Value> = values.iter().enumerate().map(fill).collect();
        run(&values.iter().collect::<Vec<_>>(), option.map(|option| option.unwrap_or(other))).err()
    };
    refusal(&Value::Null).and(refusal(&one))
}

/// The helper that `name` may be a slip of.
pub(super) fn nearest(name: &str) -> Option<&'static Spec> {
    find(crate::base::nearest::nearest(name, ALL.iter().map(|spec| spec.name))?)
}

/// Whether handlebars takes the value for true: not null, false, zero or empty.
pub(super) fn truthy(value: &Value) -> bool {
    value.is_truthy(false)
}

/// The value as text: nothing for null, JSON for lists and objects.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        value => value.to_string(),
    }
}

/// A value that may be left out, as text.
fn text_at(values: &[&Value], index: usize) -> String {
    values.get(index).map_or_else(String::new, |value| text(value))
}

fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Null => Ok(0.0),
        Value::Number(number) => number.as_f64().ok_or_else(|| not_a_number(value)),
        Value::String(text) => {
            text.trim().parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| not_a_number(value))
        }
        value => Err(not_a_number(value)),
    }
}

/// Errors reach the log, so they say what kind of value was met, never the value: it may be a recipient's.
fn not_a_number(value: &Value) -> String {
    format!("{} is not a number", kind(value))
}

fn count(value: &Value) -> Result<usize, String> {
    // A float saturates when it becomes an integer, so that a negative count is none.
    Ok(number(value)? as usize)
}

fn decimals(value: Option<&Value>) -> Result<u8, String> {
    let decimals = value.map_or(Ok(0), count)?;
    u8::try_from(decimals).ok().filter(|decimals| *decimals <= 12).ok_or_else(|| "at most 12 decimals".into())
}

fn float(number: f64) -> Result<Value, String> {
    if number.fract() == 0.0 && number.abs() < 9e15 { Ok(json!(number as i64)) } else { Ok(json!(number)) }
}

fn arithmetic(
    values: &[&Value],
    whole: fn(i64, i64) -> Option<i64>,
    real: fn(f64, f64) -> f64,
) -> Result<Value, String> {
    let integer = |value: &Value| match value {
        Value::Null => Some(0),
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_i64(),
    };
    let both = integer(values[0]).zip(integer(values[1]));
    match both.and_then(|(a, b)| whole(a, b)) {
        Some(result) => Ok(json!(result)),
        None => float(real(number(values[0])?, number(values[1])?)),
    }
}

/// With a comma between thousands, and as many decimals as asked for or as the number has.
fn grouped(value: &Value, places: Option<&Value>) -> Result<Value, String> {
    let number = number(value)?;
    let plain = match places {
        Some(places) => format!("{:.*}", usize::from(decimals(Some(places))?), number.abs()),
        None => match value.as_i64() {
            Some(whole) => whole.unsigned_abs().to_string(),
            None => number.abs().to_string(),
        },
    };
    let (whole, fraction) = plain.split_once('.').map_or((plain.as_str(), None), |(w, f)| (w, Some(f)));
    let is_zero = plain.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let mut result = String::from(if number < 0.0 && !is_zero { "-" } else { "" });
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            result.push(',');
        }
        result.push(digit);
    }
    if let Some(fraction) = fraction {
        result.push('.');
        result.push_str(fraction);
    }
    Ok(Value::String(result))
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

fn order(values: &[&Value], test: fn(Ordering) -> bool) -> bool {
    let ordering = match (values[0], values[1]) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Null, _) | (_, Value::Null) => None,
        (a, b) => number(a).ok().zip(number(b).ok()).and_then(|(a, b)| a.partial_cmp(&b)),
    };
    ordering.is_some_and(test)
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => Some(text.chars().count()),
        Value::Array(items) => Some(items.len()),
        Value::Object(fields) => Some(fields.len()),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn lookup(value: &Value, key: &Value) -> Value {
    let found = match (value, key) {
        (Value::Array(items), key) => number(key).ok().and_then(|index| items.get(index as usize)),
        (Value::Object(fields), key) => fields.get(&text(key)),
        _ => None,
    };
    found.cloned().unwrap_or_default()
}

fn end(value: &Value, first: bool) -> Value {
    match value {
        Value::Array(items) => if first { items.first() } else { items.last() }.cloned().unwrap_or_default(),
        Value::String(text) => json!(if first { text.chars().next() } else { text.chars().next_back() }),
        _ => Value::Null,
    }
}

fn split(text: &str, separator: &str) -> Result<Value, String> {
    const MOST: usize = 10_000;
    let parts: Vec<&str> = match separator {
        "" => text.split("").filter(|part| !part.is_empty()).take(MOST + 1).collect(),
        " " => text.split_whitespace().take(MOST + 1).collect(),
        separator => text.split(separator).take(MOST + 1).collect(),
    };
    if parts.len() > MOST { Err(format!("more than {MOST} parts")) } else { Ok(json!(parts)) }
}

fn join(value: &Value, separator: Option<&Value>) -> Result<Value, String> {
    let Value::Array(items) = value else { return Ok(json!(text(value))) };
    let separator = separator.map_or_else(|| " ".to_owned(), text);
    wording::bounded(items.len().saturating_mul(separator.len()))?;
    Ok(json!(items.iter().map(text).collect::<Vec<_>>().join(&separator)))
}

fn concat(values: &[&Value]) -> Result<Value, String> {
    if !matches!(values[0], Value::Array(_)) {
        return Ok(json!(values.iter().map(|value| text(value)).collect::<String>()));
    }
    let mut all = Vec::new();
    for value in values {
        match value {
            Value::Array(items) => all.extend(items.iter().cloned()),
            value => all.push((*value).clone()),
        }
    }
    Ok(Value::Array(all))
}

fn contains(value: &Value, part: &Value) -> bool {
    match value {
        Value::String(value) => value.contains(&text(part)),
        Value::Array(items) => items.iter().any(|item| equal(item, part)),
        Value::Object(fields) => fields.contains_key(&text(part)),
        _ => false,
    }
}
