//! A configuration before it is typed: tables of values that know where they were set, so that layers can be laid over
//! each other and a fault still names its line.

use std::borrow::Cow;
use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{ConfigError, Origin, Wrong};

/// Values by key.
pub(super) type Table = BTreeMap<String, Node>;

/// A value and where it was set.
#[derive(Clone)]
pub(super) struct Node {
    pub origin: Origin,
    pub value: Value,
}

/// A value. It has no `Debug`: it may be a secret.
#[derive(Clone)]
pub(super) enum Value {
    /// The text of an environment variable: its target decides what it is.
    Raw(String),
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Datetime(String),
    Array(Vec<Node>),
    Table(Table),
}

impl Value {
    /// The value, where raw text that is a TOML value counts as that, and any other as a string.
    pub fn typed(&self) -> Cow<'_, Self> {
        let Self::Raw(text) = self else { return Cow::Borrowed(self) };
        let nowhere = |_| Origin::Environment(String::new());
        Cow::Owned(match DeValue::parse(text) {
            Ok(value) => convert(value.get_ref(), &nowhere),
            Err(_) => Self::Text(text.clone()),
        })
    }

    /// The text of a string. `expected` says what the setting wants, for the report.
    pub fn text(&self, expected: &str) -> Result<&str, Wrong> {
        match self {
            Self::Text(text) | Self::Raw(text) => Ok(text),
            _ => Err(self.is_not(expected)),
        }
    }

    /// The report that this is no `expected`; it names the type only, since the value may be a secret.
    pub fn is_not(&self, expected: &str) -> Wrong {
        Wrong::new(format!("found {}", self.type_name()), format!("Expected {expected}."))
    }

    fn type_name(&self) -> &'static str {
        match self {
            Self::Raw(_) | Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a decimal number",
            Self::Bool(_) => "true or false",
            Self::Datetime(_) => "a date",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

/// Reads a TOML file. Either its values or all of its syntax errors: what follows a syntax error cannot be trusted.
pub(super) fn from_toml(name: &str, text: &str) -> Result<Table, Vec<ConfigError>> {
    let breaks: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let origin = |offset: usize| Origin::File {
        name: name.to_owned(),
        line: breaks.partition_point(|newline| *newline < offset) + 1,
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(convert_table(document.get_ref(), &origin));
    }
    Err(errors
        .iter()
        .map(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let wrong = Wrong::new(error.message().trim_end_matches('.'), "The file must be TOML 1.1.");
            ConfigError::new(origin(offset), "", wrong)
        })
        .collect())
}

fn convert_table(table: &DeTable<'_>, origin: &impl Fn(usize) -> Origin) -> Table {
    table
        .iter()
        .map(|(key, value)| {
            let node = Node { origin: origin(key.span().start), value: convert(value.get_ref(), origin) };
            (key.get_ref().to_string(), node)
        })
        .collect()
}

fn convert(value: &DeValue<'_>, origin: &impl Fn(usize) -> Origin) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        // A number beyond 64 bits is out of every range, whatever it is exactly.
        DeValue::Integer(number) => {
            Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).unwrap_or(i64::MAX))
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(yes) => Value::Bool(*yes),
        DeValue::Datetime(date) => Value::Datetime(date.to_string()),
        DeValue::Array(items) => {
            let node = |item: &Spanned<DeValue<'_>>| Node {
                origin: origin(item.span().start),
                value: convert(item.get_ref(), origin),
            };
            Value::Array(items.iter().map(node).collect())
        }
        DeValue::Table(table) => Value::Table(convert_table(table, origin)),
    }
}
