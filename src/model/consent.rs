//! Whether a recipient wants a message: which sets lie over each other, what they come to, and why (`knock-engine.md`
//! sections 5.3 and 5.4).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::channel::ChannelType;
use super::condition::{Conditions, Facts, Judged, STANDING_SCOPES};
use super::preferences::{COMMERCIAL, PreferenceSet};
use crate::base::ids::ChannelId;

/// Whose set a setting stands in. Those of one recipient: never both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    Environment,
    Tenant,
    /// The recipient's set for the tenant.
    RecipientTenant,
    /// The recipient's `default`.
    RecipientDefault,
    /// The recipient's `default`, where it counts for nothing: beside sets for the tenant.
    SetAside,
}

/// All sets that concern one recipient, and one tenant if there is one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sets {
    pub environment: PreferenceSet,
    pub tenant: Option<PreferenceSet>,
    pub recipient_tenant: Option<PreferenceSet>,
    pub recipient_default: Option<PreferenceSet>,
}

/// What the sets come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preferences {
    /// The weakest first.
    layers: Vec<(Layer, PreferenceSet)>,
    merged: PreferenceSet,
    /// What the recipient's `default` says where it counts for nothing.
    set_aside: Option<PreferenceSet>,
}

/// A message that is to be decided.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub workflow: &'a str,
    pub categories: &'a [String],
    pub channel_type: ChannelType,
    pub channel: ChannelId,
    pub is_commercial: bool,
    pub overrides: bool,
}

/// Whether it is wanted, and by which settings: all that were looked at, of which only the last can be against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    pub given: bool,
    pub settings: Vec<Setting>,
}

/// A setting that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Where it stands in its set: `workflows.invite.channel_types.email`.
    pub path: String,
    pub layer: Layer,
    pub allows: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Judged>,
    /// What the other sets say at the same place, which that of `layer` outweighs; the weakest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Said>,
}

/// What a set says at a place: `true`, `false` or `conditions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub layer: Layer,
    pub says: String,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "the environment's preferences",
            Self::Tenant => "the tenant's preferences",
            Self::RecipientTenant => "the recipient's preferences for the tenant",
            Self::RecipientDefault => "the recipient's default preferences",
            Self::SetAside => {
                "the recipient's default preferences, which count for nothing beside those for the tenant"
            }
        })
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.conditions.is_empty() { "" } else { ", by its conditions" };
        write!(f, "{} in {}{how}", self.path, self.layer)
    }
}

impl Preferences {
    /// Lays the sets over each other. Where the tenant or the recipient's set for it says something, the recipient's
    /// `default` counts for nothing but commercial messages.
    pub fn new(sets: Sets) -> Self {
        let Sets { environment, tenant, recipient_tenant, recipient_default } = sets;
        let of_tenant = tenant.is_some() || recipient_tenant.is_some();
        let commercial = recipient_default.as_ref().and_then(|set| set.sections().get(COMMERCIAL)).cloned();
        let set_aside = recipient_default.clone().filter(|_| of_tenant);
        let by_default = recipient_default.filter(|_| !of_tenant);
        let layers = [
            (Layer::Environment, Some(environment)),
            (Layer::Tenant, tenant),
            (Layer::RecipientTenant, recipient_tenant),
            (Layer::RecipientDefault, by_default),
        ];
        let mut layers: Vec<_> = layers.into_iter().filter_map(|(layer, set)| Some((layer, set?))).collect();
        layers.retain(|(_, set)| !set.is_empty());
        if let Some(commercial) = commercial.filter(|_| of_tenant) {
            layers.push((Layer::RecipientDefault, PreferenceSet::only_commercial(commercial)));
        }
        let merged = layers.iter().fold(PreferenceSet::default(), |lower, (_, upper)| lower.under(upper));
        Self { layers, merged, set_aside }
    }

    /// What they come to.
    pub fn merged(&self) -> &PreferenceSet {
        &self.merged
    }

    /// Whether any of their settings depends on conditions.
    pub fn have_conditions(&self) -> bool {
        fn within(value: &Value) -> bool {
            match value {
                Value::Object(map) => map.contains_key("conditions") || map.values().any(within),
                _ => false,
            }
        }
        self.merged.sections().values().any(within)
    }

    /// Whether the message is wanted. What nobody set is.
    pub fn consent(&self, to: &Subject<'_>, facts: &Facts<'_>) -> Consent {
        let mut asked = Asked { preferences: self, facts, settings: Vec::new() };
        let given = asked.commercial(to) && (to.overrides || asked.all(to));
        Consent { given, settings: asked.settings }
    }

    /// Whose set says what stands at `path`: the strongest that says the same.
    fn layer(&self, path: &[&str], value: &Value) -> Layer {
        let says = |set: &PreferenceSet| at(set.sections(), path) == Some(value);
        self.layers.iter().rev().find(|(_, set)| says(set)).map_or(Layer::Environment, |(layer, _)| *layer)
    }

    /// What sets but that of `won` say at `path`.
    fn others(&self, path: &[&str], won: Layer) -> Vec<Said> {
        let place = path.strip_suffix(&["conditions"]).unwrap_or(path);
        let says = |set: &PreferenceSet| match at(set.sections(), place)? {
            Value::Bool(allows) => Some(allows.to_string()),
            Value::Object(node) if node.contains_key("conditions") => Some("conditions".to_owned()),
            _ => None,
        };
        let others = self.layers.iter().filter(|(layer, _)| *layer != won);
        others.filter_map(|(layer, set)| Some(Said { layer: *layer, says: says(set)? })).collect()
    }
}

fn at<'a>(map: &'a Map<String, Value>, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(map.get(*first)?, |value, key| value.get(*key))
}

struct Asked<'a> {
    preferences: &'a Preferences,
    facts: &'a Facts<'a>,
    settings: Vec<Setting>,
}

impl Asked<'_> {
    fn commercial(&mut self, to: &Subject<'_>) -> bool {
        !to.is_commercial || self.leaf(&[COMMERCIAL])
    }

    fn all(&mut self, to: &Subject<'_>) -> bool {
        self.node(&["workflows", to.workflow], to)
            && to.categories.iter().all(|category| self.node(&["categories", category], to))
            && self.channel(&[], to)
    }

    /// A workflow's or category's setting: its conditions and its channels must both allow.
    fn node(&mut self, path: &[&str], to: &Subject<'_>) -> bool {
        match at(self.preferences.merged.sections(), path) {
            Some(Value::Object(_)) => self.conditions(path) && self.channel(path, to),
            _ => self.leaf(path),
        }
    }

    /// What a node says of the channel, else of its type.
    fn channel(&mut self, node: &[&str], to: &Subject<'_>) -> bool {
        let id = to.channel.to_string();
        let own = [node, &["channels", &id]].concat();
        match at(self.preferences.merged.sections(), &own) {
            Some(_) => self.leaf(&own),
            None => self.leaf(&[node, &["channel_types", to.channel_type.as_str()]].concat()),
        }
    }

    /// True, false, or conditions.
    fn leaf(&mut self, path: &[&str]) -> bool {
        match at(self.preferences.merged.sections(), path) {
            Some(value @ Value::Bool(allows)) => self.note(path, value, *allows, Vec::new()),
            Some(Value::Object(_)) => self.conditions(path),
            _ => {
                self.note_set_aside(path);
                true
            }
        }
    }

    /// Tells of a wish that counts for nothing, since who has it will ask.
    fn note_set_aside(&mut self, path: &[&str]) {
        let wish = self.preferences.set_aside.as_ref().and_then(|set| at(set.sections(), path));
        if path != [COMMERCIAL] && matches!(wish, Some(Value::Bool(false))) {
            let (layer, conditions, others) = (Layer::SetAside, Vec::new(), Vec::new());
            self.settings.push(Setting { path: path.join("."), layer, allows: true, conditions, others });
        }
    }

    fn conditions(&mut self, path: &[&str]) -> bool {
        let path = [path, &["conditions"]].concat();
        let Some(value) = at(self.preferences.merged.sections(), &path) else { return true };
        // They were validated when they were written; what a newer version wrote and this one cannot read holds not.
        let mut errors = Vec::new();
        let conditions = Conditions::from_json("", value, STANDING_SCOPES, &mut errors);
        let (holds, judged) = conditions.judge(self.facts);
        self.note(&path, value, holds && errors.is_empty(), judged)
    }

    fn note(&mut self, path: &[&str], value: &Value, allows: bool, conditions: Vec<Judged>) -> bool {
        let layer = self.preferences.layer(path, value);
        let others = self.preferences.others(path, layer);
        self.settings.push(Setting { path: path.join("."), layer, allows, conditions, others });
        allows
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::base::clock::Timestamp;

    const EMAIL: [u8; 16] = [1; 16];
    const OTHER_EMAIL: [u8; 16] = [2; 16];

    fn set(value: Value) -> PreferenceSet {
        let mut errors = Vec::new();
        let set = PreferenceSet::from_json("", &value, &mut errors);
        assert_eq!(errors, [], "{value}");
        set
    }

    fn subject(categories: &[String]) -> Subject<'_> {
        let channel = ChannelId::from(EMAIL);
        let channel_type = ChannelType::Email;
        Subject { workflow: "w", categories, channel_type, channel, is_commercial: false, overrides: false }
    }

    fn consent(sets: Sets, to: &Subject<'_>) -> Consent {
        let scope = json!({"data": {"dino": "trex"}, "recipient": {"muted": ["trex"]}});
        let facts = Facts { scope: &scope, now: Timestamp::default(), audiences: &[] };
        Preferences::new(sets).consent(to, &facts)
    }

    fn of_recipient(value: Value) -> Sets {
        Sets { recipient_default: Some(set(value)), ..Sets::default() }
    }

    #[test]
    fn the_golden_table() {
        let id = ChannelId::from(EMAIL).to_string();
        let c = ["c".to_owned()];
        let on = |channel_type, channel: [u8; 16]| Subject {
            channel_type,
            channel: ChannelId::from(channel),
            ..subject(&c)
        };
        let email = on(ChannelType::Email, EMAIL);
        let other = on(ChannelType::Email, OTHER_EMAIL);
        let sms = on(ChannelType::Sms, [3; 16]);
        let sends = |sets: &Sets, to: &Subject<'_>| consent(sets.clone(), to).given;
        // 1
        assert!(!sends(&of_recipient(json!({"categories": {"c": false}, "channel_types": {"email": true}})), &email));
        // 2
        let two = of_recipient(json!({"channel_types": {"email": false}, "channels": {id.clone(): true}}));
        assert_eq!((sends(&two, &email), sends(&two, &other)), (true, false));
        // 3
        let three = json!({"categories": {"c": {"channel_types": {"email": true}}}, "channel_types": {"email": false}});
        assert!(!sends(&of_recipient(three), &email));
        // 4
        let four = json!({"workflows": {"w": {"channel_types": {"email": false}, "channels": {id: true}}}});
        assert!(sends(&of_recipient(four.clone()), &email) && !sends(&of_recipient(four), &other));
        // 5
        let both = ["c".to_owned(), "d".to_owned()];
        assert!(!sends(
            &of_recipient(json!({"categories": {"c": true, "d": false}})),
            &Subject { categories: &both, ..email }
        ));
        // 6
        let six = Sets {
            environment: set(json!({"channel_types": {"sms": false}, "categories": {"c": true}})),
            ..of_recipient(json!({"channel_types": {"sms": true}}))
        };
        assert!(sends(&six, &sms));
        // 7
        let r = ["r".to_owned()];
        let seven = Sets {
            environment: set(json!({"channel_types": {"sms": false}})),
            tenant: Some(set(json!({"categories": {"r": true}}))),
            recipient_tenant: Some(set(json!({"categories": {"r": false}}))),
            ..of_recipient(json!({"channel_types": {"email": false}}))
        };
        assert_eq!(
            (sends(&seven, &email), sends(&seven, &Subject { categories: &r, ..email }), sends(&seven, &sms)),
            (true, false, false)
        );
        // 8
        assert!(!sends(&Sets { tenant: None, recipient_tenant: None, ..seven }, &email));
        // 9
        let nine = Sets {
            tenant: Some(set(
                json!({"categories": {"c": {"__strategy__": "replace", "channel_types": {"email": false}}}}),
            )),
            recipient_tenant: Some(set(json!({"categories": {"c": {"channel_types": {"email": true}}}}))),
            ..Sets::default()
        };
        assert!(!sends(&nine, &email));
        assert_eq!(Preferences::new(nine).merged().to_json("t")["categories"]["c"]["__strategy__"], "replace");
        // 10
        let ten = of_recipient(json!({"workflows": {"w": false}}));
        assert!(sends(&ten, &Subject { overrides: true, ..email }) && !sends(&ten, &email));
        // 11
        let eleven = of_recipient(json!({"commercial_subscribed": false}));
        assert!(!sends(&eleven, &Subject { is_commercial: true, ..email }) && sends(&eleven, &email));
        // A legal opt-out is no preference that a workflow overrides, and a tenant does not undo it.
        assert!(!sends(&eleven, &Subject { is_commercial: true, overrides: true, ..email }));
        let tenant = Some(set(json!({"commercial_subscribed": true})));
        assert!(!sends(&Sets { tenant, ..eleven }, &Subject { is_commercial: true, ..email }));
    }

    #[test]
    fn the_reason_names_the_setting_and_whose_it_is() {
        let categories = ["c".to_owned()];
        let sets = Sets {
            environment: set(json!({"channel_types": {"email": true}, "categories": {"c": true}})),
            tenant: Some(set(json!({"categories": {"c": true}}))),
            recipient_tenant: Some(set(json!({"channel_types": {"email": false}}))),
            recipient_default: None,
        };
        let found = consent(sets, &subject(&categories));
        let told: Vec<String> = found.settings.iter().map(Setting::to_string).collect();
        assert_eq!(
            told,
            [
                "categories.c in the tenant's preferences",
                "channel_types.email in the recipient's preferences for the tenant"
            ]
        );
        assert_eq!((found.given, found.settings[0].allows, found.settings[1].allows), (false, true, false));
        let outweighed = Said { layer: Layer::Environment, says: "true".into() };
        assert_eq!(found.settings[1].others, [outweighed], "what the environment says is outweighed");
    }

    #[test]
    fn a_wish_that_counts_for_nothing_beside_the_tenants_is_told() {
        let sets = Sets {
            tenant: Some(set(json!({"categories": {"c": true}}))),
            ..of_recipient(json!({"channel_types": {"email": false}}))
        };
        let found = consent(sets.clone(), &subject(&[]));
        assert_eq!((found.given, found.settings.len(), found.settings[0].layer), (true, 1, Layer::SetAside));
        let alone = consent(Sets { tenant: None, ..sets }, &subject(&[]));
        assert_eq!((alone.given, alone.settings[0].layer), (false, Layer::RecipientDefault));
    }

    #[test]
    fn conditions_decide_and_tell_what_they_found() {
        let condition = json!({"variable": "recipient.muted", "operator": "not_contains", "argument": "data.dino"});
        for value in [
            json!({"workflows": {"w": {"conditions": [condition]}}}),
            json!({"channel_types": {"email": {"conditions": [condition]}}}),
            json!({"workflows": {"w": {"channel_types": {"email": {"conditions": [condition]}}}}}),
        ] {
            let sets = of_recipient(value);
            assert!(Preferences::new(sets.clone()).have_conditions());
            let found = consent(sets, &subject(&[]));
            let last = found.settings.last().unwrap();
            assert!(!found.given && last.path.ends_with(".conditions") && last.layer == Layer::RecipientDefault);
            assert_eq!(last.conditions[0].actual.as_deref(), Some("[\"trex\"]"));
        }
    }

    /// A set with only what decides for one workflow and one category, as plain as it can be said: each place has at
    /// most one setting, and no conditions.
    type Plain = BTreeMap<&'static str, bool>;
    const PLACES: [&str; 7] =
        ["workflow", "workflow type", "workflow channel", "category", "category type", "type", "channel"];

    fn plain() -> impl Strategy<Value = Option<Plain>> {
        prop::option::of(prop::collection::btree_map(prop::sample::select(PLACES.to_vec()), any::<bool>(), 0..5))
    }

    fn to_set(plain: &Plain) -> PreferenceSet {
        let (mut value, id) = (json!({}), ChannelId::from(EMAIL).to_string());
        for (section, key, prefix) in [("workflows", "w", "workflow"), ("categories", "c", "category")] {
            let mut node = json!({});
            for (part, key) in [("type", "email"), ("channel", id.as_str())] {
                if let Some(allows) = plain.get(format!("{prefix} {part}").as_str()) {
                    node[if part == "type" { "channel_types" } else { "channels" }][key] = json!(allows);
                }
            }
            if node != json!({}) {
                value[section][key] = node;
            } else if let Some(allows) = plain.get(prefix) {
                value[section][key] = json!(allows);
            }
        }
        for (part, section, key) in [("type", "channel_types", "email"), ("channel", "channels", id.as_str())] {
            if let Some(allows) = plain.get(part) {
                value[section][key] = json!(allows);
            }
        }
        set(value)
    }

    /// The rule of the reference, over plain settings.
    fn expected(layers: [Option<&Plain>; 4]) -> bool {
        let [environment, tenant, recipient_tenant, recipient_default] = layers;
        let last = if tenant.is_some() || recipient_tenant.is_some() { None } else { recipient_default };
        let mut merged = Plain::new();
        for layer in [environment, tenant, recipient_tenant, last].into_iter().flatten() {
            for prefix in ["workflow", "category"] {
                let parts = [format!("{prefix} type"), format!("{prefix} channel")];
                let is_node = parts.iter().any(|part| layer.contains_key(part.as_str()));
                // True or false replaces what was more exact below, and the other way round.
                if is_node {
                    merged.remove(prefix);
                } else if layer.contains_key(prefix) {
                    merged.retain(|place, _| !parts.iter().any(|part| part == place));
                }
                merged.extend(layer.get_key_value(prefix).filter(|_| !is_node));
                merged.extend(parts.iter().filter_map(|part| layer.get_key_value(part.as_str())));
            }
            merged.extend(["type", "channel"].iter().filter_map(|part| layer.get_key_value(part)));
        }
        let says = |place: &str| merged.get(place).copied();
        let channel =
            |prefix: &str| says(&format!("{prefix}channel")).or(says(&format!("{prefix}type"))).unwrap_or(true);
        says("workflow").unwrap_or(true)
            && says("category").unwrap_or(true)
            && channel("workflow ")
            && channel("category ")
            && channel("")
    }

    proptest! {
        #[test]
        fn consent_is_what_the_plain_rule_says(
            environment in plain(), tenant in plain(), recipient_tenant in plain(), recipient_default in plain()
        ) {
            let sets = Sets {
                environment: environment.as_ref().map(to_set).unwrap_or_default(),
                tenant: tenant.as_ref().map(to_set),
                recipient_tenant: recipient_tenant.as_ref().map(to_set),
                recipient_default: recipient_default.as_ref().map(to_set),
            };
            let categories = ["c".to_owned()];
            let found = consent(sets, &subject(&categories));
            let all = [&environment, &tenant, &recipient_tenant, &recipient_default].map(Option::as_ref);
            prop_assert_eq!(found.given, expected(all));
            prop_assert_eq!(found.settings.iter().filter(|setting| !setting.allows).count(), usize::from(!found.given));
        }
    }
}
