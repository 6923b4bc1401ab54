//! A workflow document without faults, for tests to break in one place.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::channel::ChannelType;
use super::fault::Fault;
use super::notice::Remark;
use super::workflow::{Engine, Workflow};
use super::workflow_file::{WorkflowFiles, parse};

/// Two channels for email, one for each other type.
pub fn channels() -> BTreeMap<String, ChannelType> {
    let channels = [
        ("email", ChannelType::Email),
        ("in-app", ChannelType::InAppFeed),
        ("postmark", ChannelType::Email),
        ("twilio", ChannelType::Sms),
    ];
    channels.into_iter().map(|(key, kind)| (key.to_owned(), kind)).collect()
}

/// A document with every supported kind of step, and nothing wrong with it.
pub fn document() -> Value {
    json!({
        "name": "Invite",
        "categories": ["invites", "Team news"],
        "settings": {"is_commercial": true},
        "steps": [
            {
                "ref": "email_1", "type": "channel", "channel_type": "email", "channel_key": "email",
                "template": {"subject": "Hi", "html_body": "<p>Hi</p>"}
            },
            {"ref": "delay_1", "type": "delay", "settings": {"delay_for": {"unit": "days", "value": 3}}},
            {
                "ref": "in_app_feed_1", "type": "channel", "channel_key": "in-app",
                "template": {"markdown_body": "Hi", "action_buttons": [{"label": "Go", "action": "/"}]}
            }
        ]
    })
}

/// A directory with `document` alone.
pub fn files(document: &Value) -> WorkflowFiles {
    let files = BTreeMap::from([("workflow.json".to_owned(), document.to_string())]);
    WorkflowFiles { key: "invite".to_owned(), files }
}

/// Reads `document` as the workflow `invite`.
pub fn read(document: &Value) -> Result<(Workflow, Vec<Remark>), Vec<Fault>> {
    parse(&files(document), &channels(), Engine::Handlebars)
}

/// The sample document with the value at `pointer` (a JSON pointer) replaced, or added to its object.
pub fn with(pointer: &str, value: Value) -> Value {
    let mut document = document();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Value::Object(fields) => drop(fields.insert(key.to_owned(), value)),
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        other => panic!("{other} has no fields"),
    }
    document
}

/// The sample document without the field at `pointer`.
pub fn without(pointer: &str) -> Value {
    let mut document = document();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    document
}

/// The workflow that `document` is.
pub fn workflow(document: &Value) -> Workflow {
    read(document).unwrap().0
}

/// The faults of `document`.
pub fn faults(document: &Value) -> Vec<String> {
    read(document).unwrap_err().iter().map(ToString::to_string).collect()
}

/// The only fault.
pub fn fault(document: &Value) -> String {
    let faults = faults(document);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    faults.into_iter().next().unwrap().strip_prefix("invite/workflow.json ").unwrap().to_owned()
}

/// The only notice of a workflow without faults.
pub fn notice(document: &Value) -> String {
    let (_, notices) = read(document).unwrap();
    assert_eq!(notices.len(), 1, "{notices:#?}");
    notices[0].to_string().strip_prefix("invite/workflow.json ").unwrap().to_owned()
}
