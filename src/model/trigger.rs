//! A trigger: one call that starts a workflow for some recipients. Validation of what the backend sent.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::profile::{Profile, at};
use super::recipient::{RecipientRef, TENANTS, USERS, check_id, kind};
use crate::base::clock::Timestamp;
use crate::base::ids::{RunId, ScheduleId, TriggerId, VersionId};

/// The most recipients of one trigger.
pub const MAX_RECIPIENTS: usize = 1_000;
const _: () = assert!(MAX_RECIPIENTS <= RunId::BLOCK as usize, "the runs of a trigger share a block of ids");
/// The longest cancellation key, in bytes.
pub const MAX_CANCELLATION_KEY_BYTES: usize = 1_024;

/// A stored trigger: what all its runs share, so that the payload lies on disk once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    pub id: TriggerId,
    pub workflow: String,
    /// The content of the workflow that its runs follow to their end.
    pub version: VersionId,
    pub data: Map<String, Value>,
    pub actor: Option<RecipientRef>,
    pub tenant: Option<String>,
    pub cancellation_key: Option<String>,
    pub settings: TriggerSettings,
    /// What triggered it, unless a call did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleId>,
    /// The run whose step triggered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    pub inserted_at: Timestamp,
}

/// A run that triggered another workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    pub run: RunId,
    /// How many steps led from a call or a schedule to the trigger, this one included.
    pub depth: u8,
}

/// `settings` of a trigger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerSettings {
    /// Messages are made but not sent.
    #[serde(default)]
    pub sandbox_mode: bool,
    /// Delays do not wait.
    #[serde(default)]
    pub skip_delay: bool,
}

/// Names the runs that one cancel call ends: a hash of the workflow's key and the cancellation key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct CancelHash(pub [u8; 16]);

impl CancelHash {
    /// 128 bits: among a billion keys an accidental equal pair has odds of about 1 in 10^21.
    pub fn of(workflow: &str, cancellation_key: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("belfry cancellation key v1");
        hasher.update(workflow.as_bytes());
        hasher.update(&[0]);
        hasher.update(cancellation_key.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(bytes)
    }
}

/// One thing wrong with a request; `field` as the client wrote it: `recipients[2].id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    pub field: String,
    pub message: String,
    /// Knock sends `null` here.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

impl FieldError {
    /// A fault of `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), kind: None }
    }

    /// The same fault, in the object at `field`.
    pub fn within(self, field: &str) -> Self {
        Self { field: at(field, &self.field), ..self }
    }
}

/// A recipient as a request names it, with what is to be stored first when it was given inline.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedRecipient {
    pub reference: RecipientRef,
    /// `None`: only named. `Some`, even empty: identified.
    pub inline: Option<Profile>,
    /// `$trigger_data`: laid over the trigger's data for this recipient.
    pub data: Option<Map<String, Value>>,
}

impl NamedRecipient {
    /// The recipient at `field`; a bare string is an id in `collection`.
    pub fn from_json(field: &str, value: &Value, collection: &str, errors: &mut Vec<FieldError>) -> Option<Self> {
        let reference = match (value, RecipientRef::from_json(value)) {
            (_, Err(message)) => {
                errors.push(FieldError::new(field, message));
                return None;
            }
            (Value::Object(map), Ok(reference)) if map.contains_key("collection") => reference,
            (_, Ok(reference)) => RecipientRef { collection: collection.into(), id: reference.id },
        };
        let Value::Object(map) = value else {
            return Some(Self { reference, inline: None, data: None });
        };
        let faults = errors.len();
        let mut said = map.clone();
        let data = match said.remove("$trigger_data") {
            None | Some(Value::Null) => None,
            Some(Value::Object(data)) => Some(data),
            Some(other) => {
                let message = format!("must be an object, not {}", kind(&other));
                errors.push(FieldError::new(format!("{field}.$trigger_data"), message));
                None
            }
        };
        let profile = Profile::from_json(field, &said, &reference, errors);
        if errors.len() > faults {
            return None;
        }
        // `{collection, id}` alone is a reference; `{id}` alone identifies (`knock-api.md` section 2.1).
        let inline = (!map.contains_key("collection") || !profile.is_empty()).then_some(profile);
        Some(Self { reference, inline, data })
    }
}

/// A trigger request that passed validation.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggerRequest {
    pub recipients: Vec<NamedRecipient>,
    pub actor: Option<NamedRecipient>,
    pub tenant: Option<NamedRecipient>,
    pub cancellation_key: Option<String>,
    pub data: Map<String, Value>,
    pub settings: TriggerSettings,
}

/// A cancel request that passed validation.
#[derive(Clone, Debug, PartialEq)]
pub struct CancelRequest {
    pub cancellation_key: String,
    /// `None`: all of them.
    pub recipients: Option<Vec<RecipientRef>>,
}

impl TriggerRequest {
    /// Reads the body of `POST /v1/workflows/{key}/trigger`; answers all that is wrong with it. A recipient that is
    /// named twice is one recipient.
    pub fn from_json(body: &Value) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let Some(body) = body.as_object() else {
            return Err(vec![FieldError::new("", format!("the body must be a JSON object, not {}", kind(body)))]);
        };
        let recipients = recipients(body, &mut errors);
        let actor =
            present(body, "actor").and_then(|value| NamedRecipient::from_json("actor", value, USERS, &mut errors));
        let tenant =
            present(body, "tenant").and_then(|value| NamedRecipient::from_json("tenant", value, TENANTS, &mut errors));
        let cancellation_key = cancellation_key(body, &mut errors);
        let data = object(body, "data", &mut errors).unwrap_or_default();
        let settings = match present(body, "settings").map(TriggerSettings::deserialize) {
            None => TriggerSettings::default(),
            Some(Ok(settings)) => settings,
            Some(Err(error)) => {
                errors.push(FieldError::new("settings", error.to_string()));
                TriggerSettings::default()
            }
        };
        if errors.is_empty() {
            Ok(Self { recipients, actor, tenant, cancellation_key, data, settings })
        } else {
            Err(errors)
        }
    }
}

impl CancelRequest {
    /// Reads the body of `POST /v1/workflows/{key}/cancel`.
    pub fn from_json(body: &Value) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let Some(body) = body.as_object() else {
            return Err(vec![FieldError::new("", format!("the body must be a JSON object, not {}", kind(body)))]);
        };
        let key = cancellation_key(body, &mut errors);
        if key.is_none() && errors.is_empty() {
            errors.push(FieldError::new("cancellation_key", "is required: the key that the trigger was given"));
        }
        let recipients = match present(body, "recipients") {
            None => None,
            Some(Value::Array(list)) => Some(
                list.iter()
                    .enumerate()
                    .filter_map(|(index, value)| {
                        RecipientRef::from_json(value)
                            .map_err(|message| {
                                errors.push(FieldError::new(format!("recipients[{index}]"), message));
                            })
                            .ok()
                    })
                    .collect(),
            ),
            Some(other) => {
                errors.push(FieldError::new("recipients", format!("must be an array, not {}", kind(other))));
                None
            }
        };
        match key {
            Some(cancellation_key) if errors.is_empty() => Ok(Self { cancellation_key, recipients }),
            _ => Err(errors),
        }
    }
}

fn present<'a>(body: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    body.get(key).filter(|value| !value.is_null())
}

fn recipients(body: &Map<String, Value>, errors: &mut Vec<FieldError>) -> Vec<NamedRecipient> {
    let list = match present(body, "recipients") {
        Some(Value::Array(list)) => list,
        Some(other) => {
            errors.push(FieldError::new("recipients", format!("must be an array, not {}", kind(other))));
            return Vec::new();
        }
        None => {
            errors.push(FieldError::new("recipients", "is required: an array of 1 to 1000 recipients"));
            return Vec::new();
        }
    };
    if list.is_empty() {
        errors.push(FieldError::new("recipients", "must name at least one recipient"));
    }
    if list.len() > MAX_RECIPIENTS {
        let message = format!(
            "has {} recipients; at most {MAX_RECIPIENTS} are allowed in one trigger, so send several triggers",
            list.len()
        );
        errors.push(FieldError::new("recipients", message));
        return Vec::new();
    }
    let mut seen = std::collections::HashMap::new();
    let mut unique: Vec<NamedRecipient> = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let field = format!("recipients[{index}]");
        let Some(recipient) = NamedRecipient::from_json(&field, value, USERS, errors) else { continue };
        match seen.get(&recipient.reference) {
            None => {
                seen.insert(recipient.reference.clone(), unique.len());
                unique.push(recipient);
            }
            // The later mention adds what it says inline; the recipient still gets one run.
            Some(&first) => {
                let first: &mut NamedRecipient = &mut unique[first];
                if let Some(profile) = recipient.inline {
                    first.inline.get_or_insert_default().extend(profile);
                }
                if let Some(data) = recipient.data {
                    first.data.get_or_insert_default().extend(data);
                }
            }
        }
    }
    unique
}

fn cancellation_key(body: &Map<String, Value>, errors: &mut Vec<FieldError>) -> Option<String> {
    match present(body, "cancellation_key")? {
        Value::String(key) if key.is_empty() => {
            errors.push(FieldError::new("cancellation_key", "must not be empty; leave it out if there is none"));
            None
        }
        Value::String(key) if key.len() > MAX_CANCELLATION_KEY_BYTES => {
            let message = format!("has {} bytes; at most {MAX_CANCELLATION_KEY_BYTES} are allowed", key.len());
            errors.push(FieldError::new("cancellation_key", message));
            None
        }
        Value::String(key) => Some(key.clone()),
        other => {
            errors.push(FieldError::new("cancellation_key", format!("must be a string, not {}", kind(other))));
            None
        }
    }
}

fn object(body: &Map<String, Value>, key: &str, errors: &mut Vec<FieldError>) -> Option<Map<String, Value>> {
    match present(body, key)? {
        Value::Object(map) => Some(map.clone()),
        other => {
            errors.push(FieldError::new(key, format!("must be an object, not {}", kind(other))));
            None
        }
    }
}

/// Checks a workflow key from a URL.
pub fn check_workflow_key(key: &str) -> Result<(), String> {
    check_id("a workflow key", key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn fields(body: Value) -> Vec<String> {
        TriggerRequest::from_json(&body).unwrap_err().into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn every_fault_of_a_request_is_named() {
        assert_eq!(fields(json!([])), [""]);
        assert_eq!(fields(json!({})), ["recipients"]);
        assert_eq!(fields(json!({"recipients": []})), ["recipients"]);
        assert_eq!(fields(json!({"recipients": "u"})), ["recipients"]);
        assert_eq!(fields(json!({"recipients": vec!["u"; 1001]})), ["recipients"]);
        assert_eq!(
            fields(json!({
                "recipients": ["ok", 7, {"name": "x"}, {"id": "a", "email": 1}],
                "actor": [], "data": "x", "cancellation_key": 3, "settings": {"skip_delay": "yes"}
            })),
            ["recipients[1]", "recipients[2]", "recipients[3].email", "actor", "cancellation_key", "data", "settings"]
        );
    }

    #[test]
    fn a_recipient_named_twice_gets_one_run_and_both_mentions_properties() {
        let request =
            TriggerRequest::from_json(&json!({"recipients": ["u", {"id": "u", "name": "Ellie"}, {"id": "u", "a": 1}]}))
                .unwrap();
        assert_eq!(request.recipients.len(), 1);
        assert_eq!(json!(request.recipients[0].inline.as_ref().unwrap().properties), json!({"name": "Ellie", "a": 1}));
    }

    #[test]
    fn preferences_and_channel_data_are_told_apart_from_properties_and_their_faults_are_named() {
        let channel = "6f1c2a94-3d7b-4e58-9a06-c41be8d3f715";
        let inline = |preferences: Value, data: Value| {
            json!({"recipients": [{"id": "u", "plan": "pro", "preferences": {"default": preferences},
                                   "channel_data": {channel: data}}]})
        };
        let request = TriggerRequest::from_json(&inline(json!({"categories": {"c": false}}), json!({"tokens": ["t"]})));
        let profile = request.unwrap().recipients.remove(0).inline.unwrap();
        assert_eq!(json!(profile.properties), json!({"plan": "pro"}));
        assert_eq!((profile.preferences.len(), profile.channel_data.len()), (1, 1));
        assert_eq!(
            fields(inline(json!({"category": {}}), json!({"tokens": 1}))),
            ["recipients[0].preferences.default.category", &format!("recipients[0].channel_data.{channel}.tokens")]
        );
    }

    #[test]
    fn references_and_inline_objects_are_told_apart() {
        let request = TriggerRequest::from_json(&json!({"recipients": [
            {"collection": "projects", "id": "p"}, {"collection": "projects", "id": "q", "name": "Q"}, {"id": "u"}
        ], "tenant": "acme"}))
        .unwrap();
        let inline: Vec<bool> = request.recipients.iter().map(|recipient| recipient.inline.is_some()).collect();
        assert_eq!(inline, [false, true, true]);
        assert_eq!(request.tenant.unwrap().reference, RecipientRef::tenant("acme"));
    }

    proptest! {
        #[test]
        fn no_body_makes_validation_panic(text in ".{0,200}", number: i64) {
            let body = json!({"recipients": [text, number, {"id": text, "$trigger_data": number}], "actor": text, "tenant": {"id": text}});
            let _ = TriggerRequest::from_json(&body);
            let _ = CancelRequest::from_json(&body);
        }
    }
}
