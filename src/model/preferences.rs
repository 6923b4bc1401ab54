//! Preferences: what a recipient, a tenant or the whole environment wants to get, in sets that lie over each other
//! (`knock-engine.md` section 5). Read, written and merged here; `consent` decides by them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::channel::ChannelType;
use super::condition::{Conditions, STANDING_SCOPES};
use super::profile::{at, json_size};
use super::recipient::{MAX_PROPERTIES_BYTES, check_id, kind};
use super::trigger::FieldError;

/// The set that counts where no tenant is.
pub const DEFAULT_SET: &str = "default";
/// The sections of a set that hold a setting for each of their keys.
pub const SECTIONS: [&str; 4] = ["workflows", "categories", "channel_types", "channels"];
/// Whether a recipient gets commercial messages.
pub const COMMERCIAL: &str = "commercial_subscribed";
/// How a write meets what is stored.
const PERSISTENCE: &str = "__persistence_strategy__";
/// Who wins where a set lies over another.
const STRATEGY: &str = "__strategy__";

/// A set, in Knock's form and without what is unset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PreferenceSet(Map<String, Value>);

/// A write to a set.
#[derive(Clone, Debug, PartialEq)]
pub enum PreferenceWrite {
    Replace(PreferenceSet),
    /// Deeply; `null` unsets.
    Merge(PreferenceSet),
    /// A section as a whole.
    Section(String, Value),
    /// One setting of a section.
    Setting(String, String, Value),
    /// The set is gone.
    Unset,
}

/// How a write without a strategy of its own meets what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    Replace,
    Merge,
}

impl PreferenceSet {
    /// Reads a set as the configuration and tenants hold it.
    pub fn from_json(field: &str, value: &Value, errors: &mut Vec<FieldError>) -> Self {
        let set = Reader { errors }.set(field, value);
        Self(set).without_nulls()
    }

    /// A set as it was kept in its wire form.
    pub fn stored(mut map: Map<String, Value>) -> Self {
        map.remove("id");
        Self(map).without_nulls()
    }

    /// A set that says only who gets commercial messages.
    pub fn only_commercial(setting: Value) -> Self {
        Self(Map::from_iter([(COMMERCIAL.to_owned(), setting)]))
    }

    /// The settings.
    pub fn sections(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes it takes as JSON.
    pub fn size(&self) -> usize {
        json_size(&self.0)
    }

    /// What there is once `upper` lies over this: key by key, unless this one's node says that it replaces what lies
    /// over it.
    pub fn under(mut self, upper: &Self) -> Self {
        for (section, value) in &upper.0 {
            lay(self.0.entry(section.clone()).or_insert(Value::Null), value);
        }
        self
    }

    /// The wire form of the set called `id`; what is unset is `null`.
    pub fn to_json(&self, id: &str) -> Value {
        let mut map = Map::from_iter([("id".to_owned(), json!(id))]);
        for section in SECTIONS.into_iter().chain([COMMERCIAL]) {
            map.insert(section.to_owned(), self.0.get(section).cloned().unwrap_or_default());
        }
        Value::Object(map)
    }

    fn without_nulls(mut self) -> Self {
        clear_nulls(&mut self.0);
        self.0.retain(|_, section| section.as_object().is_none_or(|settings| !settings.is_empty()));
        self
    }
}

fn clear_nulls(map: &mut Map<String, Value>) {
    map.retain(|_, value| !value.is_null());
    map.values_mut().filter_map(Value::as_object_mut).for_each(clear_nulls);
}

fn lay(lower: &mut Value, upper: &Value) {
    match (lower, upper) {
        (Value::Object(lower), _) if lower.get(STRATEGY) == Some(&json!("replace")) => {}
        (Value::Object(lower), Value::Object(upper)) => {
            for (key, value) in upper {
                lay(lower.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (lower, upper) => *lower = upper.clone(),
    }
}

/// A deep merge in which nothing of what is stored resists.
fn merge(stored: &mut Map<String, Value>, change: &Map<String, Value>) {
    for (key, value) in change {
        match (stored.get_mut(key), value) {
            (Some(Value::Object(stored)), Value::Object(change)) => merge(stored, change),
            _ => drop(stored.insert(key.clone(), value.clone())),
        }
    }
}

impl PreferenceWrite {
    /// Reads a whole set; without a strategy of its own it is written by `strategy`.
    pub fn from_json(field: &str, value: &Value, strategy: Persistence, errors: &mut Vec<FieldError>) -> Self {
        let strategy = match value.get(PERSISTENCE) {
            None | Some(Value::Null) => strategy,
            Some(Value::String(text)) if text == "replace" => Persistence::Replace,
            Some(Value::String(text)) if text == "merge" => Persistence::Merge,
            Some(other) => {
                errors.push(FieldError::new(
                    at(field, PERSISTENCE),
                    format!("is {other}; known: \"replace\", \"merge\""),
                ));
                strategy
            }
        };
        let set = PreferenceSet(Reader { errors }.set(field, value));
        match strategy {
            Persistence::Replace => Self::Replace(set.without_nulls()),
            Persistence::Merge => Self::Merge(set),
        }
    }

    /// Reads the sets of an inline identify: an object with a set for each id.
    pub fn inline(field: &str, value: &Value, errors: &mut Vec<FieldError>) -> Vec<(String, Self)> {
        let Value::Object(sets) = value else {
            errors.push(FieldError::new(
                field,
                format!("must be an object of preference sets by id, not {}", kind(value)),
            ));
            return Vec::new();
        };
        let read = sets.iter().filter_map(|(id, set)| {
            let field = at(field, id);
            if let Err(message) = check_id("the id of a preference set", id) {
                errors.push(FieldError::new(field, message));
                return None;
            }
            Some((id.clone(), Self::from_json(&field, set, Persistence::Merge, errors)))
        });
        read.collect()
    }

    /// Reads a section as a whole.
    pub fn section(section: &str, value: &Value, errors: &mut Vec<FieldError>) -> Self {
        Self::Section(section.to_owned(), Reader { errors }.section("", section, value))
    }

    /// Reads one setting: `{"subscribed": bool}`, or what a set has there.
    pub fn setting(section: &str, key: &str, value: &Value, errors: &mut Vec<FieldError>) -> Self {
        let mut reader = Reader { errors };
        let value = value.get("subscribed").unwrap_or(value);
        reader.key("", section, key);
        Self::Setting(section.to_owned(), key.to_owned(), reader.setting("", section, value))
    }

    /// What a set is after this write; `None`: it is gone.
    pub fn apply(&self, stored: Option<PreferenceSet>) -> Option<PreferenceSet> {
        let mut set = stored.unwrap_or_default();
        match self {
            Self::Replace(new) => return Some(new.clone()),
            Self::Unset => return None,
            Self::Merge(change) => merge(&mut set.0, &change.0),
            Self::Section(section, value) => drop(set.0.insert(section.clone(), value.clone())),
            Self::Setting(section, key, value) => {
                let section = set.0.entry(section.clone()).or_insert(Value::Null);
                if !section.is_object() {
                    *section = json!({});
                }
                section[key.as_str()] = value.clone();
            }
        }
        Some(set.without_nulls())
    }
}

/// The parts of a workflow's or category's setting that is an object.
const NODE_KEYS: [&str; 4] = ["channel_types", "channels", "conditions", STRATEGY];

struct Reader<'a> {
    errors: &'a mut Vec<FieldError>,
}

impl Reader<'_> {
    fn set(&mut self, field: &str, value: &Value) -> Map<String, Value> {
        let Value::Object(given) = value else {
            self.wrong(field, format!("must be a preference set, an object, not {}", kind(value)));
            return Map::new();
        };
        let mut set = Map::new();
        for (name, value) in given {
            match name.as_str() {
                // What a client sends back of what it read.
                "id" | "__typename" | PERSISTENCE => {}
                COMMERCIAL => drop(set.insert(name.clone(), self.leaf(&at(field, name), value))),
                section if SECTIONS.contains(&section) => {
                    set.insert(name.clone(), self.section(field, section, value));
                }
                // Dropped, it would send what the recipient opted out of.
                _ => {
                    let known = format!("{}, {COMMERCIAL}", SECTIONS.join(", "));
                    self.wrong(&at(field, name), format!("is no part of a preference set; known: {known}"));
                }
            }
        }
        let size = json_size(&set);
        if size > MAX_PROPERTIES_BYTES {
            self.wrong(field, format!("takes {size} bytes as JSON; at most {MAX_PROPERTIES_BYTES} are allowed"));
        }
        set
    }

    fn section(&mut self, field: &str, section: &str, value: &Value) -> Value {
        let field = at(field, section);
        match value {
            Value::Null => Value::Null,
            Value::Object(settings) => {
                let read = settings.iter().map(|(key, value)| {
                    let setting = match key.as_str() {
                        STRATEGY => self.strategy(&at(&field, key), value),
                        _ => {
                            self.key(&at(&field, key), section, key);
                            self.setting(&at(&field, key), section, value)
                        }
                    };
                    (key.clone(), setting)
                });
                read.collect()
            }
            other => {
                self.wrong(&field, format!("must be an object of settings by key, not {}", kind(other)));
                Value::Null
            }
        }
    }

    /// What a section's key may be. Others would never be looked at.
    fn key(&mut self, field: &str, section: &str, key: &str) {
        let wrong = match section {
            "channel_types" if !ChannelType::ALL.iter().any(|known| known.as_str() == key) => {
                let known = ChannelType::ALL.map(ChannelType::as_str).join(", ");
                Some(format!("`{key}` is no type of channel; known: {known}"))
            }
            "channels" if key.parse::<crate::base::ids::ChannelId>().is_err() => {
                Some(format!("`{key}` is no channel's id, which is a UUID"))
            }
            _ => None,
        };
        if let Some(message) = wrong {
            self.wrong(field, message);
        }
    }

    fn setting(&mut self, field: &str, section: &str, value: &Value) -> Value {
        match (section, value) {
            ("workflows" | "categories", Value::Object(node)) => self.node(field, node),
            _ => self.leaf(field, value),
        }
    }

    fn node(&mut self, field: &str, node: &Map<String, Value>) -> Value {
        let read = node.iter().filter_map(|(key, value)| {
            let read = match key.as_str() {
                "channel_types" | "channels" => self.section(field, key, value),
                "conditions" => self.conditions(&at(field, key), value),
                STRATEGY => self.strategy(&at(field, key), value),
                _ => {
                    self.wrong(&at(field, key), format!("is no part of a setting; known: {}", NODE_KEYS.join(", ")));
                    return None;
                }
            };
            Some((key.clone(), read))
        });
        read.collect()
    }

    fn leaf(&mut self, field: &str, value: &Value) -> Value {
        match value {
            Value::Null | Value::Bool(_) => value.clone(),
            Value::Object(map) if map.len() == 1 && map.contains_key("conditions") => {
                json!({"conditions": self.conditions(&at(field, "conditions"), &map["conditions"])})
            }
            other => {
                self.wrong(field, format!("must be true, false or {{\"conditions\": [...]}}, not {}", kind(other)));
                Value::Null
            }
        }
    }

    fn conditions(&mut self, field: &str, value: &Value) -> Value {
        Conditions::from_json(field, value, STANDING_SCOPES, self.errors);
        value.clone()
    }

    fn strategy(&mut self, field: &str, value: &Value) -> Value {
        if !matches!(value.as_str(), Some("replace" | "merge")) {
            self.wrong(field, format!("is {value}; known: \"replace\", \"merge\""));
        }
        value.clone()
    }

    fn wrong(&mut self, field: &str, message: String) {
        self.errors.push(FieldError::new(field, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHANNEL: &str = "6f1c2a94-3d7b-4e58-9a06-c41be8d3f715";

    fn set(value: Value) -> PreferenceSet {
        let mut errors = Vec::new();
        let set = PreferenceSet::from_json("", &value, &mut errors);
        assert_eq!(errors, []);
        set
    }

    fn write(value: Value, strategy: Persistence) -> PreferenceWrite {
        PreferenceWrite::from_json("", &value, strategy, &mut Vec::new())
    }

    fn after(stored: Value, write: &PreferenceWrite) -> Value {
        Value::Object(write.apply(Some(set(stored))).unwrap().0)
    }

    #[test]
    fn a_put_replaces_and_an_inline_write_merges_unless_they_say_otherwise() {
        let stored = || json!({"channel_types": {"email": false}});
        let change = json!({"categories": {"c": false}});
        let both = json!({"channel_types": {"email": false}, "categories": {"c": false}});
        assert_eq!(after(stored(), &write(change.clone(), Persistence::Replace)), change);
        assert_eq!(after(stored(), &write(change.clone(), Persistence::Merge)), both);
        let with = |strategy| json!({"__persistence_strategy__": strategy, "categories": {"c": false}});
        assert_eq!(after(stored(), &write(with("merge"), Persistence::Replace)), both);
        assert_eq!(after(stored(), &write(with("replace"), Persistence::Merge)), change);
    }

    #[test]
    fn a_merge_goes_deep_and_null_unsets() {
        let stored = json!({"workflows": {"w": {"channel_types": {"email": false, "sms": true}}, "v": true},
                            "commercial_subscribed": false});
        let change = json!({"workflows": {"w": {"channel_types": {"sms": null}}, "v": {"conditions": []}},
                            "commercial_subscribed": null, "categories": null});
        let expected = json!({"workflows": {"w": {"channel_types": {"email": false}}, "v": {"conditions": []}}});
        assert_eq!(after(stored, &write(change, Persistence::Merge)), expected);
    }

    #[test]
    fn a_section_is_replaced_and_a_setting_only_itself() {
        let stored = || json!({"categories": {"a": false, "b": true}, "channel_types": {"email": true}});
        let mut errors = Vec::new();
        let section = PreferenceWrite::section("categories", &json!({"c": true}), &mut errors);
        assert_eq!(after(stored(), &section), json!({"categories": {"c": true}, "channel_types": {"email": true}}));
        let setting = PreferenceWrite::setting("categories", "a", &json!({"subscribed": true}), &mut errors);
        assert_eq!(after(stored(), &setting)["categories"], json!({"a": true, "b": true}));
        let node = json!({"channels": {CHANNEL: false}});
        let setting = PreferenceWrite::setting("workflows", "w", &node, &mut errors);
        assert_eq!(after(stored(), &setting)["workflows"], json!({"w": node}));
        assert_eq!(errors, []);
        assert_eq!(PreferenceWrite::Unset.apply(Some(set(stored()))), None);
    }

    #[test]
    fn every_fault_of_a_set_is_named() {
        let fields = |value: Value| {
            let mut errors = Vec::new();
            PreferenceSet::from_json("preferences", &value, &mut errors);
            errors.into_iter().map(|error| error.field).collect::<Vec<_>>()
        };
        assert_eq!(fields(json!([])), ["preferences"]);
        assert_eq!(
            fields(json!({"category": {}, "categories": [], "channel_types": {"mail": true, "sms": 1},
                          "channels": {"email": true}, "commercial_subscribed": "no"})),
            [
                "preferences.categories",
                "preferences.category",
                "preferences.channel_types.mail",
                "preferences.channel_types.sms",
                "preferences.channels.email",
                "preferences.commercial_subscribed"
            ]
        );
        assert_eq!(
            fields(
                json!({"workflows": {"w": {"channel_type": {}, "conditions": [{"variable": "refs.a", "operator": "exists"}]},
                                        "v": {"__strategy__": "merg"}}})
            ),
            [
                "preferences.workflows.v.__strategy__",
                "preferences.workflows.w.channel_type",
                "preferences.workflows.w.conditions[0].variable"
            ]
        );
        assert!(fields(json!({"id": "default", "workflows": {"w": null, "v": {}}, "categories": null})).is_empty());
    }

    #[test]
    fn what_replaces_wins_over_what_lies_over_it_and_stays_visible() {
        let lower = set(json!({"categories": {"c": {"__strategy__": "replace", "channel_types": {"email": false}}}}));
        let upper = set(json!({"categories": {"c": {"channel_types": {"email": true}}, "d": false}}));
        assert_eq!(lower.clone().under(&set(json!({"categories": {"c": true}}))), lower);
        let merged = lower.under(&upper).to_json("acme");
        assert_eq!(merged["categories"]["c"], json!({"__strategy__": "replace", "channel_types": {"email": false}}));
        assert_eq!(
            (&merged["categories"]["d"], &merged["workflows"], &merged["id"]),
            (&json!(false), &Value::Null, &json!("acme"))
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), "[a-c]".prop_map(Value::from)];
        let key = prop_oneof![
            prop::sample::select(SECTIONS.to_vec()).prop_map(str::to_owned),
            prop::sample::select(vec!["email", "conditions", "__strategy__", "w"]).prop_map(str::to_owned),
        ];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map(key.clone(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_body_panics_and_a_set_that_was_read_reads_the_same_again(value in any_json(), other in any_json()) {
            let read = |value: &Value| {
                let mut errors = Vec::new();
                (PreferenceSet::from_json("", value, &mut errors), errors.is_empty())
            };
            let ((one, fine), (two, also)) = (read(&value), read(&other));
            for write in [Persistence::Merge, Persistence::Replace].map(|strategy| write(other.clone(), strategy)) {
                let _ = write.apply(Some(one.clone()));
            }
            if fine && also {
                let again = Value::Object(one.clone().under(&two).0);
                prop_assert!(read(&again).1, "{}", again);
            }
        }
    }
}
