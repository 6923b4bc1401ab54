//! The settings of a fetch step: which request is made, and where its answer goes.

use serde_json::Value;

use super::json_reader::{Reader, shown_text};
use super::settings::Settings;
use super::step_file::read_settings;
use crate::base::nearest::{did_you_mean, nearest, quoted_list};

pub const URL: &str = "url";
pub const HEADERS: &str = "headers";
pub const QUERY_PARAMS: &str = "query_params";
pub const BODY: &str = "body";
pub const SIGNING_KEY: &str = "signing_key";

/// How often a fetch is tried at most.
pub const MAX_ATTEMPTS: u8 = 3;

/// A request that is made while a run is on its way, and what becomes of the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetch {
    pub method: Method,
    /// Where in the run's data the answer is put; empty: its fields are merged into the top.
    pub response_path: Vec<String>,
    /// A fetch that fails is left out, and does not end the run.
    pub goes_on: bool,
    pub settings: Settings,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    const ALL: [(&'static str, Self); 5] = [
        ("get", Self::Get),
        ("post", Self::Post),
        ("put", Self::Put),
        ("patch", Self::Patch),
        ("delete", Self::Delete),
    ];

    /// Its name, in upper case as on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What the step at `step` fetches. None after a fault.
pub fn read_fetch(step: &Reader<'_>) -> Option<Fetch> {
    const FORM: &str = r#"Write {"method": "get", "url": "https://api.example/..."}."#;
    const KEYS: [&str; 8] = ["method", URL, HEADERS, QUERY_PARAMS, BODY, SIGNING_KEY, "response_path", "on_error"];
    let settings = read_settings(step, FORM, &KEYS)?;
    let method = read_method(&settings.field("method"));
    let url = read_url(&settings.field(URL));
    let response_path = read_response_path(&settings.field("response_path"));
    let goes_on = settings.field("on_error").choice(&[("halt", false), ("continue", true)]);
    let mut read = Settings::default().with(URL, url?);
    for name in [HEADERS, QUERY_PARAMS, BODY, SIGNING_KEY] {
        let field = settings.field(name);
        if let Some(value) = field.value().filter(|_| !field.is_blank()) {
            read = read.with(name, value.clone());
        }
    }
    Some(Fetch { method: method?, response_path: response_path?, goes_on: goes_on?, settings: read })
}

fn read_method(field: &Reader<'_>) -> Option<Method> {
    let names = Method::ALL.map(|(name, _)| name);
    let fix = format!("Write one of {}.", quoted_list(&names));
    let name = field.required_text(&fix)?;
    let found = Method::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    if found.is_none() {
        field.fault(format!("{} is not a method", shown_text(name)), did_you_mean(nearest(name, names), &fix));
    }
    found.map(|(_, method)| *method)
}

fn read_url(field: &Reader<'_>) -> Option<Value> {
    const FIX: &str = "Write it with its scheme, as in https://api.example/users/{{ recipient.id }}.";
    let text = field.required_text(FIX)?;
    // What begins with a template is known only when it is rendered.
    if !["http://", "https://", "{{", "{%"].iter().any(|start| text.trim().starts_with(start)) {
        field.fault(format!("{} is no URL", shown_text(text)), FIX);
        return None;
    }
    Some(Value::String(text.to_owned()))
}

fn read_response_path(field: &Reader<'_>) -> Option<Vec<String>> {
    if field.is_blank() {
        return Some(Vec::new());
    }
    let text = field.text()?.trim();
    let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
    if parts.iter().any(|part| part.is_empty() || part.contains(['[', ']', '{'])) {
        field.fault(format!("{} is no path", shown_text(text)), "Write names with dots between them, as in user.plan.");
        return None;
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::workflow::StepKind;
    use super::super::workflow_sample::*;
    use super::*;

    fn step(settings: Value) -> Value {
        with("/steps/1", json!({"ref": "fetch_1", "type": "http_fetch", "settings": settings}))
    }

    #[test]
    fn a_fetch_is_read() {
        let settings = json!({
            "method": "POST", "url": "{{vars.api}}/x", "headers": [{"key": "a", "value": "b"}], "body": "",
            "response_path": "a.b", "on_error": "continue", "query_params": null,
        });
        let read = workflow(&step(settings.clone()));
        let StepKind::Fetch(fetch) = &read.steps[1].kind else { panic!("{read:?}") };
        assert_eq!((fetch.method, fetch.goes_on), (Method::Post, true));
        assert_eq!(fetch.response_path, ["a", "b"]);
        let names: Vec<_> = fetch.settings.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["url", "headers"]);
    }

    #[test]
    fn a_fetch_that_can_never_be_made_is_found() {
        let url = "https://x.test";
        for (settings, problem) in [
            (json!(null), "settings: is null, but required"),
            (json!({"method": "get"}), "settings.url: is missing"),
            (json!({"url": url}), "settings.method: is missing"),
            (json!({"url": url, "method": "gett"}), "\"gett\" is not a method. Did you mean \"get\"?"),
            (json!({"url": "x.test", "method": "get"}), "settings.url: \"x.test\" is no URL"),
            (json!({"url": "file:///etc/passwd", "method": "get"}), "is no URL"),
            (json!({"url": url, "method": "get", "response_path": "a..b"}), "\"a..b\" is no path"),
            (
                json!({"url": url, "method": "get", "on_error": "ignore"}),
                "\"ignore\" is not known. Write one of \"halt\", \"continue\".",
            ),
        ] {
            let text = fault(&step(settings));
            assert!(text.contains(problem), "{text}");
        }
    }
}
