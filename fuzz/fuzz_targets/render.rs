//! Renders fuzzed templates as a server does, and checks the bounds.

use std::collections::BTreeMap;

use belfry::engine::catalog::Catalog;
use belfry::model::channel::ChannelType;
use belfry::model::workflow::Engine;
use belfry::model::workflow_file::WorkflowFiles;
use serde_json::{Value, json};

/// The longest part of a message.
const LONGEST: usize = 1024 * 1024;

/// What templates are given: a bit of everything, and what the fuzzer says.
fn scope(text: &str) -> Value {
    json!({
        "recipient": {"id": "u1", "name": text, "locale": text},
        "text": text,
        "data": {"text": text, "list": [1, "b", null, [text], {"k": text}], "n": 3.5, "when": "2026-03-06T23:05:09Z"},
        "list": ["b", "a", text], "n": -7, "yes": true, "nothing": null, "vars": {"app_url": "https://app.example"},
    })
}

/// Loads a workflow with one email step of `template` and, if `body` is given, one feed step; renders them.
pub fn render(engine: &str, template: Value, body: Option<&str>, text: &str) {
    let mut steps = vec![json!({"ref": "mail", "type": "channel", "channel_key": "email", "template": template})];
    if let Some(body) = body {
        let template = json!({"markdown_body": body, "action_url": body});
        steps.push(json!({"ref": "item", "type": "channel", "channel_key": "feed", "template": template}));
    }
    let document = json!({"name": "Fuzz", "settings": {"template_engine": engine}, "steps": steps}).to_string();
    let files = WorkflowFiles { key: "fuzz".into(), files: BTreeMap::from([("workflow.json".into(), document)]) };
    let channels = [("email", ChannelType::Email), ("feed", ChannelType::InAppFeed)];
    let channels = channels.map(|(key, kind)| (key.to_owned(), kind)).into();
    let Ok(checked) = Catalog::new(channels, Engine::Handlebars).check(&files) else { return };
    let scope = scope(text);
    if let Ok(email) = checked.published.templates.email("mail", scope.clone()) {
        assert!(!email.subject.contains(char::is_control));
        assert!(email.html.len() <= LONGEST && email.text.len() <= LONGEST);
    }
    if body.is_some() {
        let _ = checked.published.templates.in_app("item", scope);
    }
}
