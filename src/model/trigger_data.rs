//! The part of a trigger's data that messages are found by: its scalars at the top level.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::query::Query;
use super::recipient::kind;
use super::trigger::FieldError;

/// Longer strings are compared up to here, in characters.
const MAX_CHARS: usize = 256;
/// How many scalars are kept, in the order of their keys: 50 of 256 bytes are 12 KiB in each feed item, where a trigger
/// of 10 MB may have a hundred thousand.
const MAX_SCALARS: usize = 50;

/// The scalars of a message's data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TriggerData(Map<String, Value>);

impl TriggerData {
    /// What `data` is found by.
    pub fn of(data: &Map<String, Value>) -> Self {
        let scalars = data.iter().filter(|(_, value)| is_scalar(value));
        Self(scalars.take(MAX_SCALARS).map(|(key, value)| (key.clone(), cut(value))).collect())
    }

    /// Whether there is nothing to find it by.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Which scalars a message's data must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TriggerDataFilter(Vec<(String, Wanted)>);

#[derive(Clone, Debug, PartialEq)]
enum Wanted {
    Exactly(Value),
    /// From a dialect that has no types: `trigger_data[count]=5` asks for the number as well as for the string.
    Text(String),
}

impl TriggerDataFilter {
    /// Reads `trigger_data` of a query. The error says what is accepted.
    pub fn from_query(query: &Query<'_>) -> Result<Self, String> {
        match query.text("trigger_data") {
            Some(json) => Self::from_text(json),
            None => Ok(Self(
                query.fields("trigger_data").map(|(key, text)| (key.into(), Wanted::Text(text.into()))).collect(),
            )),
        }
    }

    /// The same, with a fault told by name and nothing asked for then.
    pub fn read(query: Query<'_>, errors: &mut Vec<FieldError>) -> Self {
        Self::from_query(&query).unwrap_or_else(|message| {
            errors.push(FieldError::new("trigger_data", message));
            Self::default()
        })
    }

    /// Reads a JSON object from a string.
    pub fn from_text(json: &str) -> Result<Self, String> {
        let value = serde_json::from_str(json).map_err(|error| format!("must be a JSON object: {error}"))?;
        Self::from_json(&value)
    }

    /// Reads a JSON object of scalars.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let Value::Object(map) = value else {
            return Err(format!("must be a JSON object, not {}", kind(value)));
        };
        let wanted = map.iter().map(|(key, value)| {
            if is_scalar(value) {
                Ok((key.clone(), Wanted::Exactly(cut(value))))
            } else {
                Err(format!(
                    "holds {} at `{key}`; only strings, numbers, booleans and null can be looked for",
                    kind(value)
                ))
            }
        });
        wanted.collect::<Result<_, _>>().map(Self)
    }

    /// Whether every message matches.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `data` holds all that is wanted.
    pub fn matches(&self, data: &TriggerData) -> bool {
        self.0.iter().all(|(key, wanted)| {
            data.0.get(key).is_some_and(|found| match (wanted, found) {
                (Wanted::Exactly(Value::Number(wanted)), Value::Number(found)) => same_number(wanted, found),
                (Wanted::Exactly(wanted), found) => wanted == found,
                (Wanted::Text(wanted), Value::String(found)) => wanted.chars().take(MAX_CHARS).eq(found.chars()),
                (Wanted::Text(wanted), found) => found.to_string().as_str() == wanted,
            })
        })
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

fn cut(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.chars().take(MAX_CHARS).collect()),
        other => other.clone(),
    }
}

/// Whether two numbers are one: 1 and 1.0 are the same to JSON.
pub fn same_number(a: &Number, b: &Number) -> bool {
    a == b || (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn data(value: Value) -> TriggerData {
        TriggerData::of(value.as_object().unwrap())
    }

    fn matches(filter: Value, of: Value) -> bool {
        TriggerDataFilter::from_json(&filter).unwrap().matches(&data(of))
    }

    #[test]
    fn scalars_are_equal_by_type_and_value() {
        let of = json!({"n": 1, "f": 1.5, "s": "1", "b": true, "null": null, "list": [1]});
        for (filter, found) in [
            (json!({}), true),
            (json!({"n": 1}), true),
            (json!({"n": 1.0}), true),
            (json!({"n": "1"}), false),
            (json!({"s": "1", "f": 1.5, "b": true, "null": null}), true),
            (json!({"s": 1}), false),
            (json!({"s": "1", "b": false}), false),
            (json!({"missing": null}), false),
            (json!({"list": null}), false),
        ] {
            assert_eq!(matches(filter.clone(), of.clone()), found, "{filter}");
        }
    }

    #[test]
    fn text_asks_for_any_type() {
        let pairs = [("n", "1"), ("s", "1"), ("b", "true"), ("null", "null")];
        let pairs: Vec<_> = pairs.map(|(key, value)| (format!("trigger_data[{key}]"), value.to_owned())).into();
        let filter = TriggerDataFilter::from_query(&Query::new(&pairs)).unwrap();
        assert!(filter.matches(&data(json!({"n": 1, "s": "1", "b": true, "null": null}))));
        assert!(!filter.matches(&data(json!({"n": 1, "s": "1", "b": true}))));
    }

    #[test]
    fn what_is_nested_cannot_be_looked_for() {
        for bad in ["{\"a\": {}}", "{\"a\": [1]}", "[1]", "x", "\"a\""] {
            assert!(TriggerDataFilter::from_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn long_strings_are_compared_up_to_the_cut_and_many_scalars_are_kept_up_to_the_bound() {
        let long = "ü".repeat(300);
        assert!(matches(json!({"s": long}), json!({"s": format!("{long}!")})));
        assert!(!matches(json!({"s": "ü".repeat(255)}), json!({"s": long})));
        let many: Map<String, Value> = (0..1_000).map(|n| (n.to_string(), json!(n))).collect();
        assert_eq!(TriggerData::of(&many).0.len(), MAX_SCALARS);
    }

    proptest! {
        #[test]
        fn data_is_found_by_itself(of in prop::collection::btree_map("[a-c]{1,2}", any::<i32>(), 0..6), text in ".{0,300}") {
            let mut map: Map<String, Value> = of.into_iter().map(|(key, n)| (key, json!(n))).collect();
            map.insert("text".into(), json!(text));
            let filter = TriggerDataFilter::from_json(&Value::Object(map.clone())).unwrap();
            prop_assert!(filter.matches(&TriggerData::of(&map)));
        }
    }
}
