//! Renders fuzzed templates as a server does, and checks the bounds.

use std::collections::BTreeMap;
use std::sync::Once;
use std::thread;

use belfry::base::clock::Timestamp;
use belfry::base::config::Sender;
use belfry::base::ids::MessageId;
use belfry::delivery::Mail;
use belfry::delivery::email::compose;
use belfry::engine::catalog::Catalog;
use belfry::model::channel::ChannelType;
use belfry::model::library::Library;
use belfry::model::message::EmailContent;
use belfry::model::workflow::Engine;
use belfry::model::workflow_file::WorkflowFiles;
use serde_json::{Value, json};

/// The longest part of a message.
const LONGEST: usize = 1024 * 1024;
/// The stack of the threads on which a server renders, in bytes.
const STACK: usize = 2 * 1024 * 1024;

/// What is rendered, with what.
#[derive(Default)]
pub struct Case<'a> {
    pub engine: &'a str,
    /// Of an email step.
    pub template: Value,
    /// Of a feed step, if there is one.
    pub body: Option<&'a str>,
    pub library: Library,
    /// What the data says.
    pub text: &'a str,
}

/// Renders on a stack like a server's. A panic that the code under test catches is no finding: the fuzzer's own hook
/// would end the process before it is caught.
pub fn render(case: Case<'_>) {
    static CALM: Once = Once::new();
    CALM.call_once(|| std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))));
    thread::scope(|scope| {
        let rendering = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || try_render(case));
        rendering.expect("a thread starts").join().expect("rendering panicked");
    });
}

fn try_render(Case { engine, template, body, library, text }: Case<'_>) {
    let mut steps = vec![json!({"ref": "mail", "type": "channel", "channel_key": "email", "template": template})];
    if let Some(body) = body {
        let template = json!({"markdown_body": body, "action_url": body});
        steps.push(json!({"ref": "item", "type": "channel", "channel_key": "feed", "template": template}));
    }
    let document = json!({"name": "Fuzz", "settings": {"template_engine": engine}, "steps": steps}).to_string();
    let files = WorkflowFiles { key: "fuzz".into(), files: BTreeMap::from([("workflow.json".into(), document)]) };
    let channels = [("email", ChannelType::Email), ("feed", ChannelType::InAppFeed)];
    let channels = channels.map(|(key, kind)| (key.to_owned(), kind)).into();
    let mut catalog = Catalog::new(channels, Engine::Handlebars);
    catalog.furnish(library);
    let Ok(checked) = catalog.check(&files) else { return };
    let scope = scope(text);
    if let Ok(email) = checked.published.templates.email("mail", scope.clone()) {
        assert!(!email.subject.contains(char::is_control));
        assert!(email.html.len() <= LONGEST && email.text.len() <= LONGEST);
        check_wire(email);
    }
    if body.is_some() {
        let _ = checked.published.templates.in_app("item", scope);
    }
}

/// What templates are given: a bit of everything, and what the fuzzer says.
fn scope(text: &str) -> Value {
    json!({
        "recipient": {"id": "u1", "name": text, "locale": text},
        "text": text,
        "data": {"text": text, "list": [1, "b", null, [text], {"k": text}], "n": 3.5, "when": "2026-03-06T23:05:09Z"},
        "list": ["b", "a", text], "n": -7, "yes": true, "nothing": null, "vars": {"app_url": "https://app.example"},
    })
}

/// The mail is one message to every server: all line ends are CRLF, and no line is longer than SMTP allows.
fn check_wire(content: EmailContent) {
    let sender = Sender { name: Some("Acme".into()), address: "no-reply@acme.test".into() };
    let mail = Mail {
        message: MessageId::from([7; 16]),
        to: "ann@x.test".into(),
        content,
        attachments: Vec::new(),
        workflow: "fuzz".into(),
        step_ref: "mail".into(),
        at: Timestamp::from_millis(1_700_000_000_000),
    };
    let composed = compose(&sender, &mail).expect("what is rendered can be sent");
    for line in composed.bytes.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r\n").expect("a line ends with CRLF");
        assert!(line.len() <= 998 && !line.contains(&b'\r'), "{}", String::from_utf8_lossy(line));
    }
}
