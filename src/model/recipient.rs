//! Recipients: users, objects and tenants, which are all records of properties in a collection.

use std::fmt;

use jiff::tz::TimeZone;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::preferences::PreferenceSet;
use crate::base::clock::Timestamp;

/// The collection of users, on the wire `$users` only inside gids.
pub const USERS: &str = "$users";
/// The collection of tenants.
pub const TENANTS: &str = "$tenants";
/// The largest total of a recipient's properties, as JSON bytes.
pub const MAX_PROPERTIES_BYTES: usize = 256 * 1024;
/// The longest id and collection, in characters.
pub const MAX_ID_CHARS: usize = 256;

/// Names a recipient. On the wire a user is its id and an object is `{"collection", "id"}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecipientRef {
    pub collection: String,
    pub id: String,
}

impl RecipientRef {
    /// A user.
    pub fn user(id: impl Into<String>) -> Self {
        Self { collection: USERS.into(), id: id.into() }
    }

    /// A tenant.
    pub fn tenant(id: impl Into<String>) -> Self {
        Self { collection: TENANTS.into(), id: id.into() }
    }

    /// A user by id, an object as `collection/id`; no id has a slash.
    pub fn from_text(text: &str) -> Self {
        match text.split_once('/') {
            Some((collection, id)) => Self { collection: collection.into(), id: id.into() },
            None => Self::user(text),
        }
    }

    /// Whether this is a user.
    pub fn is_user(&self) -> bool {
        self.collection == USERS
    }

    /// Whether this is a tenant.
    pub fn is_tenant(&self) -> bool {
        self.collection == TENANTS
    }

    /// Unique bytes of the record's table key. Neither part holds a NUL: `check_id` refuses it.
    pub fn key(&self) -> Vec<u8> {
        [self.collection.as_bytes(), self.id.as_bytes()].join(&0)
    }

    /// The recipient whose `key` this is.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let (collection, id) = std::str::from_utf8(key).ok()?.split_once('\0')?;
        Some(Self { collection: collection.into(), id: id.into() })
    }

    /// The recipient that a gid names: `gid://Object/{collection}/{id}`. The error says what is wrong with it.
    pub fn from_gid(text: &str) -> Result<Self, String> {
        let parts = text.strip_prefix("gid://Object/").and_then(|rest| rest.split_once('/'));
        let Some((collection, id)) = parts else { return Err(format!("{text:?} is no gid")) };
        check_id("a collection", collection)?;
        check_id("an id", id)?;
        Ok(Self { collection: collection.into(), id: id.into() })
    }

    /// Reads the wire form. The error says what is accepted.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(id) => check_id("a user id", id).map(|()| Self::user(id.clone())),
            Value::Object(map) => {
                let text = |key: &str| match map.get(key) {
                    None | Some(Value::Null) => Ok(None),
                    Some(Value::String(text)) => Ok(Some(text.clone())),
                    Some(other) => Err(format!("`{key}` must be a string, not {}", kind(other))),
                };
                let id = text("id")?.ok_or("an `id` is required")?;
                check_id("an id", &id)?;
                let collection = text("collection")?.unwrap_or_else(|| USERS.into());
                check_id("a collection", &collection)?;
                Ok(Self { collection, id })
            }
            other => Err(format!(
                "expected a user id, {{\"id\": ...}} or {{\"collection\": ..., \"id\": ...}}, not {}",
                kind(other)
            )),
        }
    }

    /// The wire form.
    pub fn to_json(&self) -> Value {
        if self.is_user() { json!(self.id) } else { json!({"collection": self.collection, "id": self.id}) }
    }
}

impl fmt::Display for RecipientRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_user() { f.write_str(&self.id) } else { write!(f, "{}/{}", self.collection, self.id) }
    }
}

impl fmt::Debug for RecipientRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecipientRef({self})")
    }
}

impl Serialize for RecipientRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RecipientRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Whether `id` can name something: 1 to 256 characters, no `/`, no `#`, no control character. U+FFFD stands for bytes
/// that were no UTF-8: two different ids would become one.
pub fn check_id(what: &str, id: &str) -> Result<(), String> {
    if id.is_empty() {
        return Err(format!("{what} must not be empty"));
    }
    let length = id.chars().count();
    if length > MAX_ID_CHARS {
        return Err(format!("{what} has {length} characters; at most {MAX_ID_CHARS} are allowed"));
    }
    if let Some(bad) = id.chars().find(|c| c.is_control() || matches!(c, '/' | '#' | '\u{fffd}')) {
        return Err(format!("{what} must not contain {bad:?}"));
    }
    Ok(())
}

/// The JSON type of a value, for error messages.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A stored recipient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipient {
    pub reference: RecipientRef,
    pub properties: Map<String, Value>,
    /// As the backend gave it; absent until it does.
    pub created_at: Option<Value>,
    pub updated_at: Timestamp,
}

impl Recipient {
    /// A recipient of whom only the name is known.
    pub fn stub(reference: RecipientRef, now: Timestamp) -> Self {
        Self { reference, properties: Map::new(), created_at: None, updated_at: now }
    }

    /// Where email goes: the `email` property, else an id that is itself an address. `None`: it cannot be reached.
    pub fn email(&self) -> Option<&str> {
        match self.properties.get("email") {
            Some(Value::String(address)) if !address.trim().is_empty() => Some(address.trim()),
            _ if self.reference.is_user() && looks_like_address(&self.reference.id) => Some(&self.reference.id),
            _ => None,
        }
    }

    /// The time zone, if it has one that is known.
    pub fn own_zone(&self) -> Option<TimeZone> {
        let name = self.properties.get("timezone").and_then(Value::as_str);
        name.and_then(|name| TimeZone::get(name).ok())
    }

    /// The recipient as templates see it: properties beside `id` (`knock-engine.md` section 6.1).
    pub fn to_scope(&self) -> Value {
        let mut map = self.properties.clone();
        map.insert("__typename".into(), json!(if self.reference.is_user() { "User" } else { "Object" }));
        map.insert("id".into(), json!(self.reference.id));
        map.insert("collection".into(), json!(self.reference.collection));
        if let Some(created_at) = &self.created_at {
            map.insert("created_at".into(), created_at.clone());
        }
        map.insert("updated_at".into(), json!(self.updated_at));
        Value::Object(map)
    }

    /// The recipient on the wire: a user's properties lie flat, an object's under `properties`
    /// (`knock-api.md` section 2.7).
    pub fn to_json(&self) -> Value {
        let created_at = self.created_at.clone().unwrap_or(Value::Null);
        if self.reference.is_user() {
            let mut map = self.properties.clone();
            map.insert("__typename".into(), json!("User"));
            map.insert("id".into(), json!(self.reference.id));
            map.insert("created_at".into(), created_at);
            map.insert("updated_at".into(), json!(self.updated_at));
            Value::Object(map)
        } else {
            json!({
                "__typename": "Object",
                "id": self.reference.id,
                "collection": self.reference.collection,
                "properties": self.properties,
                "created_at": created_at,
                "updated_at": self.updated_at,
            })
        }
    }

    /// Takes `change` in: objects merge key by key, everything else is replaced, `null` overwrites.
    pub fn merge(&mut self, change: &Map<String, Value>, now: Timestamp) {
        for (key, value) in change {
            match key.as_str() {
                "created_at" => self.created_at = Some(value.clone()).filter(|value| !value.is_null()),
                // The server's own; a client that sends back what it read must not store them.
                "id" | "collection" | "updated_at" | "__typename" => {}
                _ => merge_value(self.properties.entry(key.clone()).or_insert(Value::Null), value),
            }
        }
        self.updated_at = self.updated_at.max(now);
    }

    /// Of a tenant: the preferences that it has for all its users.
    pub fn set_for_users(&self) -> Option<PreferenceSet> {
        let set = self.properties.get("settings")?.get("preference_set")?;
        set.as_object().cloned().map(PreferenceSet::stored)
    }

    /// Keeps them; `None`: there are none.
    pub fn keep_set_for_users(&mut self, set: Option<PreferenceSet>) {
        let settings = self.properties.entry("settings").or_insert(Value::Null);
        if !settings.is_object() {
            *settings = json!({});
        }
        settings["preference_set"] = set.map_or(Value::Null, |set| set.to_json(super::preferences::DEFAULT_SET));
    }

    /// This user with what only `other` has; where both say something, this one's stays.
    pub fn inherit(self, other: Self, now: Timestamp) -> Self {
        let mut merged = Self { reference: self.reference, ..other };
        merged.merge(&self.properties, now.max(self.updated_at));
        merged.created_at = self.created_at.or(merged.created_at);
        merged
    }
}

fn merge_value(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge_value(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}

fn looks_like_address(id: &str) -> bool {
    match id.rsplit_once('@') {
        Some((local, domain)) => {
            !local.is_empty() && domain.contains('.') && !domain.starts_with('.') && !id.contains(char::is_whitespace)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user(properties: Value) -> Recipient {
        let mut user = Recipient::stub(RecipientRef::user("dr@grant.test"), Timestamp::default());
        user.merge(properties.as_object().unwrap(), Timestamp::default());
        user
    }

    #[test]
    fn merge_is_deep_and_null_overwrites() {
        let mut user = user(json!({"a": {"x": 1, "y": [1]}, "b": 1}));
        user.merge(json!({"a": {"y": [2], "z": null}, "b": null}).as_object().unwrap(), Timestamp::default());
        assert_eq!(Value::Object(user.properties), json!({"a": {"x": 1, "y": [2], "z": null}, "b": null}));
    }

    #[test]
    fn an_id_that_is_an_address_is_used_until_an_email_is_known() {
        assert_eq!(user(json!({})).email(), Some("dr@grant.test"));
        assert_eq!(user(json!({"email": "ellie@sattler.test"})).email(), Some("ellie@sattler.test"));
        assert_eq!(user(json!({"email": null})).email(), Some("dr@grant.test"));
        assert_eq!(Recipient::stub(RecipientRef::user("u-1"), Timestamp::default()).email(), None);
    }

    #[test]
    fn ids_that_would_break_keys_or_paths_are_refused() {
        for id in ["", "a/b", "a#b", "a\0b", "a\nb", "a\u{fffd}b"] {
            assert!(RecipientRef::from_json(&json!(id)).is_err(), "{id:?}");
        }
        assert!(RecipientRef::from_json(&json!("x".repeat(257))).is_err());
        assert!(RecipientRef::from_json(&json!("u:1+x@y.z ü")).is_ok());
    }

    proptest! {
        #[test]
        fn references_survive_the_wire(collection in "[a-z$]{1,9}", id in "[^/#\\pC\u{fffd}]{1,20}") {
            let reference = RecipientRef { collection, id };
            prop_assert_eq!(RecipientRef::from_json(&reference.to_json()).unwrap(), reference);
        }
    }
}
