//! What a call says of a recipient: properties to merge in, preferences, channel data.

use serde_json::{Map, Value};

use super::channel_data::ChannelData;
use super::preferences::{Persistence, PreferenceWrite};
use super::recipient::{MAX_PROPERTIES_BYTES, RecipientRef, TENANTS, kind};
use super::trigger::FieldError;
use crate::base::ids::ChannelId;

/// What is to be stored of a recipient.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    pub properties: Map<String, Value>,
    /// By the id of the set.
    pub preferences: Vec<(String, PreferenceWrite)>,
    /// `None`: unset.
    pub channel_data: Vec<(ChannelId, Option<ChannelData>)>,
    /// Of a tenant: what it says for all its users, `settings.preference_set`.
    pub for_users: Option<PreferenceWrite>,
}

impl Profile {
    /// Reads what stands beside `id` and `collection` in the object at `field`, which is about `recipient`.
    pub fn from_json(
        field: &str,
        said: &Map<String, Value>,
        recipient: &RecipientRef,
        errors: &mut Vec<FieldError>,
    ) -> Self {
        let mut properties = said.clone();
        properties.remove("id");
        properties.remove("collection");
        let preferences = properties.remove("preferences").filter(|value| !value.is_null());
        let preferences = preferences.map(|value| PreferenceWrite::inline(&at(field, "preferences"), &value, errors));
        let channel_data = properties.remove("channel_data").filter(|value| !value.is_null());
        let channel_data = channel_data.map(|value| ChannelData::inline(&at(field, "channel_data"), &value, errors));
        let for_users = match recipient.collection == TENANTS {
            true => for_users(field, &mut properties, errors),
            false => None,
        };
        check_properties(field, &properties, errors);
        Self {
            properties,
            preferences: preferences.unwrap_or_default(),
            channel_data: channel_data.unwrap_or_default(),
            for_users,
        }
    }

    /// Only a write to one preference set.
    pub fn preference(set: impl Into<String>, write: PreferenceWrite) -> Self {
        Self { preferences: vec![(set.into(), write)], ..Self::default() }
    }

    /// Only the data of one channel.
    pub fn channel(channel: ChannelId, data: Option<ChannelData>) -> Self {
        Self { channel_data: vec![(channel, data)], ..Self::default() }
    }

    /// Whether it says nothing: it names a recipient.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes in what was said later of the same recipient.
    pub fn extend(&mut self, later: Self) {
        self.properties.extend(later.properties);
        self.preferences.extend(later.preferences);
        self.channel_data.extend(later.channel_data);
        self.for_users = later.for_users.or(self.for_users.take());
    }
}

/// Takes the tenant's preference set out of its settings.
fn for_users(
    field: &str,
    properties: &mut Map<String, Value>,
    errors: &mut Vec<FieldError>,
) -> Option<PreferenceWrite> {
    let settings = properties.get_mut("settings")?;
    let Value::Object(settings) = settings else {
        if !settings.is_null() {
            errors.push(FieldError::new(at(field, "settings"), format!("must be an object, not {}", kind(settings))));
        }
        return None;
    };
    let field = at(&at(field, "settings"), "preference_set");
    match settings.remove("preference_set")? {
        Value::Null => Some(PreferenceWrite::Unset),
        set => Some(PreferenceWrite::from_json(&field, &set, Persistence::Merge, errors)),
    }
}

/// The path of `key` in the object at `field`.
pub fn at(field: &str, key: &str) -> String {
    if field.is_empty() { key.to_owned() } else { format!("{field}.{key}") }
}

fn check_properties(field: &str, properties: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    for key in ["name", "email", "phone_number", "avatar", "locale", "timezone"] {
        match properties.get(key) {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(other) => {
                errors.push(FieldError::new(at(field, key), format!("must be a string, not {}", kind(other))));
            }
        }
    }
    let size = json_size(properties);
    if size > MAX_PROPERTIES_BYTES {
        let message = format!("the properties take {size} bytes as JSON; at most {MAX_PROPERTIES_BYTES} are allowed");
        errors.push(FieldError::new(field, message));
    }
}

/// How many bytes an object takes as JSON.
pub fn json_size(object: &Map<String, Value>) -> usize {
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
    match serde_json::to_writer(&mut counter, object) {
        Ok(()) => counter.0,
        Err(_) => usize::MAX,
    }
}
