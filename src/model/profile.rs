//! What a call says of a recipient: the properties to merge in.

use serde_json::{Map, Value};

use super::recipient::{MAX_PROPERTIES_BYTES, kind};
use super::trigger::FieldError;

/// What is to be stored of a recipient.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    pub properties: Map<String, Value>,
}

impl Profile {
    /// Reads what stands beside `id` and `collection` in the object at `field`.
    pub fn from_json(field: &str, said: &Map<String, Value>, errors: &mut Vec<FieldError>) -> Self {
        let mut properties = said.clone();
        properties.remove("id");
        properties.remove("collection");
        check_properties(field, &properties, errors);
        Self { properties }
    }

    /// Whether it says nothing: it names a recipient.
    pub fn is_empty(&self) -> bool {
        self.properties.is_empty()
    }

    /// Takes in what was said later of the same recipient.
    pub fn extend(&mut self, later: Self) {
        self.properties.extend(later.properties);
    }
}

/// The path of `key` in the object at `field`.
pub fn at(field: &str, key: &str) -> String {
    if field.is_empty() { key.to_owned() } else { format!("{field}.{key}") }
}

fn check_properties(field: &str, properties: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    for key in ["channel_data", "preferences"] {
        if properties.get(key).is_some_and(|value| !value.is_null()) {
            // Storing them without acting on them would send what the recipient opted out of.
            errors.push(FieldError::new(at(field, key), "is not supported by this version of Belfry; leave it out"));
        }
    }
    for key in ["name", "email", "phone_number", "avatar", "locale", "timezone"] {
        match properties.get(key) {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(other) => {
                errors.push(FieldError::new(at(field, key), format!("must be a string, not {}", kind(other))));
            }
        }
    }
    if let Err(message) = check_size(properties) {
        errors.push(FieldError::new(field, message));
    }
}

/// Whether a recipient may have as many properties as these.
pub fn check_size(properties: &Map<String, Value>) -> Result<(), String> {
    match json_size(properties) {
        size if size > MAX_PROPERTIES_BYTES => {
            Err(format!("the properties take {size} bytes as JSON; at most {MAX_PROPERTIES_BYTES} are allowed"))
        }
        _ => Ok(()),
    }
}

/// How many bytes the properties take as JSON.
pub fn json_size(properties: &Map<String, Value>) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, properties) {
        Ok(()) => counter.0,
        Err(_) => usize::MAX,
    }
}
