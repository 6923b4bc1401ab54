//! What a channel has to know of a recipient to reach it: device tokens, chat connections. Told apart by its fields, not
//! by the channel: an application may register devices for a channel that is not configured yet.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::profile::at;
use super::recipient::kind;
use super::trigger::FieldError;
use crate::base::ids::ChannelId;

/// The most devices or connections of one recipient on one channel.
pub const MAX_ENDPOINTS: usize = 100;

/// The texts of a chat connection.
const CONNECTION_TEXTS: [&str; 8] = [
    "access_token",
    "channel_id",
    "channel_name",
    "user_id",
    "ms_teams_tenant_id",
    "ms_teams_team_id",
    "ms_teams_channel_id",
    "ms_teams_user_id",
];

/// A recipient's data for one channel, as it is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelData(Map<String, Value>);

impl ChannelData {
    /// Reads the object at `field`.
    pub fn from_json(field: &str, value: &Value, errors: &mut Vec<FieldError>) -> Option<Self> {
        let Value::Object(data) = value else {
            errors.push(FieldError::new(field, format!("must be an object, not {}", kind(value))));
            return None;
        };
        let faults = errors.len();
        let mut reader = Reader { field, data, errors };
        let has = |name: &str| data.get(name).is_some_and(|value| !value.is_null());
        let arn = |device: &Value| device.get("target_arn").is_some();
        let read = if has("target_arns")
            || data.get("devices").and_then(Value::as_array).is_some_and(|all| all.iter().any(arn))
        {
            reader.devices("target_arns", "target_arn")
        } else if has("tokens") || has("devices") {
            reader.devices("tokens", "token")
        } else if has("player_ids") {
            json!({"player_ids": reader.texts("player_ids")})
        } else if has("connections") || has("token") || has("ms_teams_tenant_id") {
            reader.chat()
        } else {
            reader.wrong("", "must have `tokens`, `devices`, `target_arns`, `player_ids` or `connections`".into());
            Value::Null
        };
        match read {
            Value::Object(data) if errors.len() == faults => Some(Self(data)),
            _ => None,
        }
    }

    /// Reads the data of an inline identify: an object with data for each channel's id. `null` unsets.
    pub fn inline(field: &str, value: &Value, errors: &mut Vec<FieldError>) -> Vec<(ChannelId, Option<Self>)> {
        let Value::Object(channels) = value else {
            errors
                .push(FieldError::new(field, format!("must be an object of data by channel id, not {}", kind(value))));
            return Vec::new();
        };
        let read = channels.iter().filter_map(|(id, value)| {
            let field = at(field, id);
            let Ok(id) = id.parse() else {
                errors.push(FieldError::new(field, "is no channel's id, which is a UUID"));
                return None;
            };
            match value {
                Value::Null => Some((id, None)),
                value => Some((id, Some(Self::from_json(&field, value, errors)?))),
            }
        });
        read.collect()
    }

    /// The wire form, as the data of `channel`.
    pub fn to_json(&self, channel: ChannelId) -> Value {
        json!({"__typename": "ChannelData", "channel_id": channel, "data": self.0})
    }
}

struct Reader<'a> {
    field: &'a str,
    data: &'a Map<String, Value>,
    errors: &'a mut Vec<FieldError>,
}

impl<'a> Reader<'a> {
    /// Devices and their bare names, each read as both.
    fn devices(&mut self, plural: &str, name: &str) -> Value {
        let names = self.texts(plural);
        let mut devices: Vec<Value> = Vec::new();
        for (index, device) in self.list("devices").iter().enumerate() {
            let text = |key: &str| device.get(key).filter(|value| !value.is_null());
            let field = format!("devices[{index}]");
            match text(name) {
                Some(Value::String(id)) if !id.is_empty() => {
                    for key in ["locale", "timezone"] {
                        if let Some(other) = text(key).filter(|value| !value.is_string()) {
                            self.wrong(&format!("{field}.{key}"), format!("must be a string, not {}", kind(other)));
                        }
                    }
                    devices.push(json!({name: id, "locale": text("locale"), "timezone": text("timezone")}));
                }
                _ => self.wrong(&format!("{field}.{name}"), "is required: a string".into()),
            }
        }
        for id in names {
            if !devices.iter().any(|device| device[name] == id) {
                devices.push(json!({name: id, "locale": null, "timezone": null}));
            }
        }
        let names: Vec<&Value> = devices.iter().map(|device| &device[name]).collect();
        json!({plural: names, "devices": devices})
    }

    fn chat(&mut self) -> Value {
        let connections = self.list("connections");
        for (index, connection) in connections.iter().enumerate() {
            let field = format!("connections[{index}]");
            let Value::Object(connection) = connection else {
                self.wrong(&field, format!("must be an object, not {}", kind(connection)));
                continue;
            };
            for key in CONNECTION_TEXTS {
                self.text_or_null(&format!("{field}.{key}"), connection.get(key));
            }
            if let Some(webhook) = connection.get("incoming_webhook").filter(|value| !value.is_null()) {
                let url = webhook.get("url").and_then(Value::as_str).unwrap_or_default();
                if !url.starts_with("https://") && !url.starts_with("http://") {
                    self.wrong(&format!("{field}.incoming_webhook.url"), "must be a URL".into());
                }
            }
        }
        let mut read = json!({"connections": connections});
        match self.data.get("token") {
            None => {}
            Some(Value::Null) => read["token"] = Value::Null,
            Some(token) => {
                if !token.get("access_token").is_some_and(|text| text.is_string() || text.is_null()) {
                    self.wrong("token", "must be {\"access_token\": \"...\"} or null".into());
                }
                read["token"] = token.clone();
            }
        }
        if let Some(tenant) = self.data.get("ms_teams_tenant_id") {
            self.text_or_null("ms_teams_tenant_id", Some(tenant));
            read["ms_teams_tenant_id"] = tenant.clone();
        }
        read
    }

    /// The strings of the list `name`, each once.
    fn texts(&mut self, name: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for (index, value) in self.list(name).iter().enumerate() {
            match value {
                Value::String(text) if text.is_empty() => {
                    self.wrong(&format!("{name}[{index}]"), "must not be empty".into())
                }
                Value::String(text) if found.contains(text) => {}
                Value::String(text) => found.push(text.clone()),
                other => self.wrong(&format!("{name}[{index}]"), format!("must be a string, not {}", kind(other))),
            }
        }
        found
    }

    fn list(&mut self, name: &str) -> &'a [Value] {
        match self.data.get(name) {
            None | Some(Value::Null) => &[],
            Some(Value::Array(list)) if list.len() <= MAX_ENDPOINTS => list,
            Some(Value::Array(list)) => {
                self.wrong(name, format!("has {} entries; at most {MAX_ENDPOINTS} are allowed", list.len()));
                &[]
            }
            Some(other) => {
                self.wrong(name, format!("must be an array, not {}", kind(other)));
                &[]
            }
        }
    }

    fn text_or_null(&mut self, field: &str, value: Option<&Value>) {
        if let Some(other) = value.filter(|value| !value.is_null() && !value.is_string()) {
            self.wrong(field, format!("must be a string, not {}", kind(other)));
        }
    }

    fn wrong(&mut self, field: &str, message: String) {
        let field = if field.is_empty() { self.field.to_owned() } else { at(self.field, field) };
        self.errors.push(FieldError::new(field, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Result<Value, Vec<String>> {
        let mut errors = Vec::new();
        let read = ChannelData::from_json("data", &value, &mut errors);
        read.map(|data| Value::Object(data.0)).ok_or_else(|| errors.into_iter().map(|error| error.field).collect())
    }

    #[test]
    fn devices_are_read_by_their_tokens_and_tokens_as_devices() {
        let device = |token: &str, locale: Value| json!({"token": token, "locale": locale, "timezone": null});
        let both = |devices: Vec<Value>, tokens: Value| Ok(json!({"tokens": tokens, "devices": devices}));
        let bare = || device("a", Value::Null);
        assert_eq!(read(json!({"tokens": ["a", "a"]})), both(vec![bare()], json!(["a"])));
        let full = json!({"tokens": ["a", "b"], "devices": [{"token": "b", "locale": "de"}]});
        assert_eq!(read(full), both(vec![device("b", json!("de")), bare()], json!(["b", "a"])));
        assert_eq!(read(json!({"tokens": []})), both(vec![], json!([])));
        let arn = json!({"target_arns": ["x"], "devices": [{"target_arn": "x", "locale": null, "timezone": null}]});
        assert_eq!(read(json!({"target_arns": ["x"]})), Ok(arn.clone()));
        assert_eq!(read(json!({"devices": [{"target_arn": "x"}]})), Ok(arn));
    }

    #[test]
    fn chat_connections_and_player_ids_are_read_as_they_were_written() {
        for data in [
            json!({"player_ids": ["x"]}),
            json!({"connections": [{"channel_id": "C1", "access_token": "x"}, {"user_id": "U1"}], "token": null}),
            json!({"connections": [{"incoming_webhook": {"url": "https://x.test"}}]}),
            json!({"connections": [{"ms_teams_team_id": "t", "ms_teams_channel_id": "c"}], "ms_teams_tenant_id": "m"}),
        ] {
            assert_eq!(read(data.clone()), Ok(data));
        }
        let token = json!({"access_token": "xoxb"});
        assert_eq!(read(json!({"token": token})), Ok(json!({"connections": [], "token": token})));
    }

    #[test]
    fn every_fault_is_named() {
        for (data, fields) in [
            (json!([]), vec!["data"]),
            (json!({}), vec!["data"]),
            (json!({"token": "x"}), vec!["data.token"]),
            (json!({"tokens": "x"}), vec!["data.tokens"]),
            (json!({"tokens": [1, ""]}), vec!["data.tokens[0]", "data.tokens[1]"]),
            (
                json!({"devices": [{}, {"token": "a", "locale": 1}]}),
                vec!["data.devices[0].token", "data.devices[1].locale"],
            ),
            (json!({"player_ids": vec!["x"; MAX_ENDPOINTS + 1]}), vec!["data.player_ids"]),
            (
                json!({"connections": [1, {"user_id": 2, "incoming_webhook": {"url": "x"}}]}),
                vec!["data.connections[0]", "data.connections[1].user_id", "data.connections[1].incoming_webhook.url"],
            ),
        ] {
            assert_eq!(read(data.clone()), Err(fields.into_iter().map(str::to_owned).collect()), "{data}");
        }
        let mut errors = Vec::new();
        let inline = json!({"fcm": {"tokens": []}, "6f1c2a94-3d7b-4e58-9a06-c41be8d3f715": null});
        assert_eq!(ChannelData::inline("channel_data", &inline, &mut errors).len(), 1);
        assert_eq!(errors[0].field, "channel_data.fcm");
    }
}
