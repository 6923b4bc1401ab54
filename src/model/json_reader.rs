//! Reading a JSON document field by field. A reader knows where it stands and reports what is wrong there, so that the
//! caller goes on and every fault is found.

use serde_json::{Map, Value};

use super::findings::Findings;
use super::json_path;
use crate::base::nearest::{did_you_mean, nearest, quoted_list};

/// The longest `name`, `ref` and key.
pub const LONGEST_NAME: usize = 255;

/// Unknown keys beyond so many in one object are only counted, and keys beyond so many are not compared with a missing
/// one: a huge object must cost little more than its reading.
const MOST_UNKNOWN_KEYS: usize = 20;
const MOST_LOOKALIKES: usize = 100;

/// A place in a document, and what stands there, if anything does.
#[derive(Clone)]
pub struct Reader<'a> {
    value: Option<&'a Value>,
    path: String,
    /// A key beside a missing one that looks like it.
    lookalike: Option<&'a str>,
    findings: &'a Findings,
}

impl<'a> Reader<'a> {
    /// At the top of `document`.
    pub fn new(document: &'a Value, findings: &'a Findings) -> Self {
        Self { value: Some(document), path: String::new(), lookalike: None, findings }
    }

    /// At the field `key` of this object, there or not.
    pub fn field(&self, key: &str) -> Self {
        let object = self.value.and_then(Value::as_object);
        let value = object.and_then(|object| object.get(key));
        let lookalike = match (object, value) {
            (Some(object), None) => nearest(key, object.keys().take(MOST_LOOKALIKES).map(String::as_str)),
            _ => None,
        };
        Self { value, path: json_path::field(&self.path, key), lookalike, findings: self.findings }
    }

    /// What stands here; `null` counts as nothing.
    pub fn value(&self) -> Option<&'a Value> {
        self.value.filter(|value| !value.is_null())
    }

    /// Whether `null` is written here.
    pub fn is_null(&self) -> bool {
        self.value.is_some_and(Value::is_null)
    }

    /// Whether there is nothing here, or only an empty string, array or object.
    pub fn is_blank(&self) -> bool {
        self.value().is_none_or(is_blank)
    }

    /// Where this is.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value here is wrong.
    pub fn fault(&self, problem: impl Into<String>, fix: impl Into<String>) {
        self.findings.value_fault(&self.path, problem, fix);
    }

    /// The value at `path`, which lies in this one, is wrong.
    pub fn fault_at(&self, path: &str, problem: impl Into<String>, fix: impl Into<String>) {
        self.findings.value_fault(path, problem, fix);
    }

    /// That this field is here is wrong.
    pub fn field_fault(&self, problem: impl Into<String>, fix: impl Into<String>) {
        self.findings.field_fault(&self.path, problem, fix);
    }

    /// This field must be here, and is not.
    pub fn missing(&self, fix: &str) {
        let problem = if self.is_null() { "is null, but required" } else { "is missing" };
        let fix = match self.lookalike {
            Some(key) => format!("{fix} Was {} meant to be it?", shown_text(key)),
            None => fix.to_owned(),
        };
        self.findings.field_fault(&self.path, problem, fix);
    }

    /// This field is hardly meant as it is.
    pub fn notice(&self, problem: impl Into<String>, fix: impl Into<String>) {
        self.findings.notice(&self.path, problem, fix);
    }

    /// This field may well be meant, and this version does nothing with it.
    pub fn unsupported(&self, problem: impl Into<String>, fix: impl Into<String>) {
        self.findings.unsupported(&self.path, problem, fix);
    }

    /// A remark for every key of this object that is not one of `known`.
    pub fn expect_keys(&self, known: &[&'static str]) {
        let Some(object) = self.value.and_then(Value::as_object) else { return };
        let mut unknown = object.keys().filter(|key| !known.contains(&key.as_str()));
        for key in unknown.by_ref().take(MOST_UNKNOWN_KEYS) {
            let fix = match nearest(key, known.iter().copied()) {
                Some(meant) => format!("Did you mean {meant:?}?"),
                None => format!("Known here are {}.", quoted_list(known)),
            };
            self.field(key).unsupported("is not known here and has no effect", fix);
        }
        let more = unknown.count();
        if more > 0 {
            self.unsupported(
                format!("has {more} more keys that are not known here and have no effect"),
                "Remove them.",
            );
        }
    }

    /// The object here. None without a fault when there is nothing.
    pub fn object(&self) -> Option<&'a Map<String, Value>> {
        self.typed(Value::as_object, "an object", "Write an object, in braces.")
    }

    /// The elements of the array here. None without a fault when there is nothing.
    pub fn items(&self) -> Option<Vec<Self>> {
        let items = self.typed(Value::as_array, "an array", "Write an array, in square brackets.")?;
        let reader = |(index, value)| Self {
            value: Some(value),
            path: json_path::element(&self.path, index),
            lookalike: None,
            findings: self.findings,
        };
        Some(items.iter().enumerate().map(reader).collect())
    }

    /// The string here. None without a fault when there is nothing.
    pub fn text(&self) -> Option<&'a str> {
        self.typed(Value::as_str, "a string", "Write a string, in double quotes.")
    }

    /// The string here, which must be there and say something.
    pub fn required_text(&self, fix: &str) -> Option<&'a str> {
        if self.value().is_none() {
            self.missing(fix);
            return None;
        }
        let text = self.text()?;
        if text.trim().is_empty() {
            self.fault("is empty", fix);
            return None;
        }
        Some(text)
    }

    /// As `required_text`, of at most `LONGEST_NAME` characters.
    pub fn required_name(&self, fix: &str) -> Option<&'a str> {
        self.required_text(fix).and_then(|name| self.short_enough(name))
    }

    /// As `text`, of at most `LONGEST_NAME` characters; blank is nothing.
    pub fn optional_name(&self) -> Option<&'a str> {
        self.text().filter(|name| !name.trim().is_empty()).and_then(|name| self.short_enough(name))
    }

    /// What the text here stands for; the first of `known` when there is nothing. None after a fault.
    pub fn choice<T: Clone>(&self, known: &[(&str, T)]) -> Option<T> {
        if self.value.is_none() {
            return known.first().map(|(_, default)| default.clone());
        }
        self.named(self.text()?, known, "known")
    }

    /// What the text here stands for; `what` says what it is to be. None after a fault.
    pub fn required_choice<T: Clone>(&self, known: &[(&str, T)], what: &str) -> Option<T> {
        self.named(self.required_text(&one_of(known))?, known, what)
    }

    fn named<T: Clone>(&self, name: &str, known: &[(&str, T)], what: &str) -> Option<T> {
        let found = known.iter().find(|(known, _)| *known == name);
        if found.is_none() {
            let meant = nearest(name, known.iter().map(|(known, _)| *known));
            self.fault(format!("{} is not {what}", shown_text(name)), did_you_mean(meant, &one_of(known)));
        }
        found.map(|(_, value)| value.clone())
    }

    /// The boolean here; false when there is nothing.
    pub fn flag(&self) -> bool {
        self.typed(Value::as_bool, "true or false", "Write true or false, without quotes.").unwrap_or(false)
    }

    fn short_enough(&self, name: &'a str) -> Option<&'a str> {
        let length = name.chars().count();
        if length > LONGEST_NAME {
            self.fault(format!("{} has {length} characters", shown_text(name)), format!("Use at most {LONGEST_NAME}."));
            return None;
        }
        Some(name)
    }

    fn typed<T>(&self, convert: impl Fn(&'a Value) -> Option<T>, kind: &str, fix: &str) -> Option<T> {
        let value = self.value()?;
        let converted = convert(value);
        if converted.is_none() {
            self.fault(format!("{} is not {kind}", shown(value)), fix);
        }
        converted
    }
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn one_of<T>(known: &[(&str, T)]) -> String {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    format!("Write one of {}.", quoted_list(&names))
}

/// A value as a fault shows it: short, on one line, without control characters.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => shown_text(text),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    }
}

/// `shown` for a string.
pub fn shown_text(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.chars().count() <= LONGEST {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{:?}", start + "…")
}
