//! Query strings: one reader for the dialects in which clients write them (`knock-api.md` section 1.12).

use serde_json::{Map, Value};

use super::trigger::FieldError;

/// The decoded pairs of a query string. Empty values count as absent, since clients send options that are unset.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a>(&'a [(String, String)]);

impl<'a> Query<'a> {
    /// Over decoded pairs.
    pub fn new(pairs: &'a [(String, String)]) -> Self {
        Self(pairs)
    }

    fn pairs(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str())).filter(|(_, value)| !value.is_empty())
    }

    /// `name=x`; the first, when it is repeated.
    pub fn text(self, name: &str) -> Option<&'a str> {
        self.pairs().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// `name[]=x&name[]=y`, also numbered or without brackets.
    pub fn list(self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let is_index = |key: &str| key.bytes().all(|byte| byte.is_ascii_digit());
        let element = move |key: &'a str| key == name || bracketed(key, name).is_some_and(is_index);
        self.pairs().filter(move |(key, _)| element(key)).map(|(_, value)| value)
    }

    /// `name[key]=x` and `name.key=x`, as keys and values.
    pub fn fields(self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let dotted = move |key: &'a str| key.strip_prefix(name)?.strip_prefix('.');
        self.pairs().filter_map(move |(key, value)| Some((bracketed(key, name).or_else(|| dotted(key))?, value)))
    }

    /// The field `key` of `name`.
    pub fn field(self, name: &'a str, key: &str) -> Option<&'a str> {
        self.fields(name).find(|(found, _)| *found == key).map(|(_, value)| value)
    }
}

/// A JSON body in the form of a query string, where both say the same: lists become repeated names, objects their JSON,
/// and `null` is absent.
pub fn pairs(body: &Map<String, Value>) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let pairs = body.iter().flat_map(|(key, value)| match value {
        Value::Null => Vec::new(),
        Value::Array(list) => list.iter().map(|element| (key.clone(), text(element))).collect(),
        other => vec![(key.clone(), text(other))],
    });
    pairs.collect()
}

/// The value of `name` among `known`; `None` when it is absent, or wrong.
pub fn choice<T: Copy>(query: Query<'_>, name: &str, known: &[(&str, T)], errors: &mut Vec<FieldError>) -> Option<T> {
    known_value(name, query.text(name)?, known, errors)
}

/// The values of the list `name` among `known`; the faults of the others are told.
pub fn choices<T: Copy>(query: Query<'_>, name: &str, known: &[(&str, T)], errors: &mut Vec<FieldError>) -> Vec<T> {
    query.list(name).filter_map(|text| known_value(name, text, known, errors)).collect()
}

fn known_value<T: Copy>(name: &str, text: &str, known: &[(&str, T)], errors: &mut Vec<FieldError>) -> Option<T> {
    let found = known.iter().find(|(key, _)| *key == text).map(|(_, value)| *value);
    if found.is_none() {
        let known: Vec<&str> = known.iter().map(|(key, _)| *key).collect();
        errors.push(FieldError::new(name, format!("is `{text}`, which is none of {}", known.join(", "))));
    }
    found
}

/// What stands in the brackets of `name[...]`.
fn bracketed<'a>(key: &'a str, name: &str) -> Option<&'a str> {
    key.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_says_the_same() {
        let pairs: Vec<_> = [
            ("status", ""),
            ("status", "unread"),
            ("status", "read"),
            ("c[]", "1"),
            ("c[7]", "2"),
            ("c", "3"),
            ("c[x]", "no"),
            ("at[gte]", "4"),
            ("at.lte", "5"),
            ("attic.gte", "no"),
            ("at[gt", "no"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let query = Query::new(&pairs);
        assert_eq!(query.text("status"), Some("unread"));
        assert_eq!(query.list("c").collect::<Vec<_>>(), ["1", "2", "3"]);
        assert_eq!(
            (query.field("at", "gte"), query.field("at", "lte"), query.field("at", "gt")),
            (Some("4"), Some("5"), None)
        );
        assert_eq!(query.fields("at").count(), 2);
    }
}
