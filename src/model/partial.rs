//! A partial: a piece of content that templates share. It knows only what it is given.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fault::Fault;
use super::findings::Findings;
use super::json_reader::{Reader, shown_text};
use super::notice::Remark;
use super::pointer;
use super::template_file::read_engine;
use super::text_files::TextFiles;
use super::workflow::Engine;
use super::workflow_file::WorkflowFiles;
use crate::base::nearest::{did_you_mean, nearest, quoted_list};

/// The file at the top of a partial's directory.
const DOCUMENT: &str = "partial.json";

/// A partial's source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    pub kind: PartialKind,
    pub content: String,
    /// Liquid unless the document says otherwise: partials come from where that is the language.
    pub engine: Engine,
    /// What it declares to be given, by name.
    #[serde(default)]
    pub inputs: BTreeMap<String, Input>,
    /// Which files its parts were read from.
    #[serde(skip)]
    pub files: TextFiles,
}

impl Partial {
    /// The file in which the value at `path` of the partial `key` was written, and the path in that file.
    pub fn place(&self, key: &str, path: &str) -> (String, String) {
        self.files.place(&directory(key), DOCUMENT, path)
    }
}

fn directory(key: &str) -> String {
    format!("partials/{key}")
}

/// What a partial's content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartialKind {
    Html,
    /// In HTML it is compiled as a block of Markdown is; in Markdown it stays what it is.
    Markdown,
    Text,
    Json,
}

/// A declared input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// It stays the boolean, number, list or object that it is given as. Others become text.
    pub typed: bool,
    /// What it is when nothing is given.
    #[serde(default)]
    pub default: Option<Value>,
}

const KINDS: [(&str, PartialKind); 4] = [
    ("html", PartialKind::Html),
    ("markdown", PartialKind::Markdown),
    ("text", PartialKind::Text),
    ("json", PartialKind::Json),
];

/// The types of input that are texts.
const TEXTS: [&str; 5] = ["text", "textarea", "markdown", "select", "url"];

/// The types of input that are no texts. An image is a `url`, an `alt` and an `action`; a button a `text` and an `action`.
const TYPED: [&str; 7] = ["boolean", "number", "json", "list", "multi_select", "image", "button"];

/// Reads the directory of a partial.
pub fn read(files: &WorkflowFiles) -> Result<(Partial, Vec<Remark>), Vec<Fault>> {
    let findings = Findings::of(&directory(&files.key), DOCUMENT);
    let document = pointer::resolve(files, &findings);
    let partial =
        document.as_ref().and_then(|document| read_partial(&Reader::new(document, &findings), findings.files()));
    findings.conclude(partial)
}

fn read_partial(top: &Reader<'_>, files: TextFiles) -> Option<Partial> {
    top.object()?;
    const KEYS: [&str; 15] = [
        "name",
        "key",
        "type",
        "content",
        "description",
        "input_schema",
        "visual_block_enabled",
        "icon_name",
        "valid",
        "template_engine",
        "environment",
        "inserted_at",
        "updated_at",
        "created_at",
        "sha",
    ];
    top.expect_keys(&KEYS);
    let kind = read_kind(&top.field("type"));
    let content = top.field("content").required_text("Write the content, or content@ with the path of a file.");
    let inputs = top.field("input_schema").items().unwrap_or_default();
    let inputs: Vec<_> = inputs.iter().map(read_input).collect();
    Some(Partial {
        kind: kind?,
        content: content?.to_owned(),
        engine: read_engine(&top.field("template_engine")).unwrap_or(Engine::Liquid),
        inputs: inputs.into_iter().collect::<Option<_>>()?,
        files,
    })
}

fn read_kind(field: &Reader<'_>) -> Option<PartialKind> {
    let names = KINDS.map(|(name, _)| name);
    let all = format!("Write one of {}.", quoted_list(&names));
    let name = field.required_text(&all)?;
    let kind = KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
    if kind.is_none() {
        let fix = did_you_mean(nearest(name, names), &all);
        field.fault(format!("{} is not a type of partial", shown_text(name)), fix);
    }
    kind
}

fn read_input(input: &Reader<'_>) -> Option<(String, Input)> {
    let key = input.field("key").required_name("Write the name of the input.")?;
    let kind = input.field("type");
    let typed = kind.text().is_some_and(|kind| TYPED.contains(&kind));
    if let Some(name) = kind.text().filter(|name| !TYPED.contains(name) && !TEXTS.contains(name)) {
        let names = [TEXTS.as_slice(), &TYPED].concat();
        let fix = did_you_mean(nearest(name, names.iter().copied()), &format!("Write one of {}.", quoted_list(&names)));
        kind.notice(format!("{} is not a type of input, so it is taken as text", shown_text(name)), fix);
    }
    let default =
        input.field("settings").field("default").value().cloned().or_else(|| default_of_parts(input.value()?));
    Some((key.to_owned(), Input { typed, default }))
}

/// What an image or a button is when nothing is given: each of its parts is declared as an input is.
fn default_of_parts(input: &Value) -> Option<Value> {
    let default = |(key, part): (&String, &Value)| Some((key.clone(), part.pointer("/settings/default")?.clone()));
    let parts: Map<String, Value> = input.as_object()?.iter().filter_map(default).collect();
    (!parts.is_empty()).then_some(Value::Object(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(document: &str) -> Result<Partial, String> {
        let files = [("partial.json", document), ("content.md", "Hi {{ name }}")];
        let files = files.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        match read(&WorkflowFiles { key: "hello".into(), files }) {
            Ok((partial, _)) => Ok(partial),
            Err(faults) => Err(faults[0].to_string()),
        }
    }

    #[test]
    fn a_partial_is_read_with_the_types_of_its_inputs() {
        let read = partial(
            r#"{"type": "markdown", "content@": "content.md", "input_schema": [
                {"type": "text", "key": "name", "settings": {"default": "you"}}, {"type": "boolean", "key": "bold"},
                {"type": "image", "key": "face", "url": {"key": "url", "type": "url", "settings": {"default": "/a.png"}},
                 "alt": {"key": "alt", "type": "text", "settings": {}}}]}"#,
        )
        .unwrap();
        assert_eq!(
            (read.kind, read.engine, read.content.as_str()),
            (PartialKind::Markdown, Engine::Liquid, "Hi {{ name }}")
        );
        assert_eq!(read.inputs["name"], Input { typed: false, default: Some("you".into()) });
        assert_eq!(read.inputs["bold"], Input { typed: true, default: None });
        assert_eq!(read.inputs["face"], Input { typed: true, default: Some(serde_json::json!({"url": "/a.png"})) });
    }

    #[test]
    fn an_input_of_no_type_is_text_and_that_is_told() {
        let document = r#"{"type": "html", "content": "x", "input_schema": [
            {"key": "a", "type": "boolaen"}, {"key": "b", "type": "colour"}, {"key": "c", "type": "url"}, {"key": "d"}]}"#;
        let files = [("partial.json".to_owned(), document.to_owned())].into();
        let (partial, notices) = read(&WorkflowFiles { key: "p".into(), files }).unwrap();
        assert!(partial.inputs.values().all(|input| !input.typed));
        let told: Vec<String> = notices.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        let expected = "partials/p/partial.json input_schema[0].type: \"boolaen\" is not a type of input, so it is taken as \
                        text. Did you mean \"boolean\"?";
        assert!(told[0].starts_with(expected), "{told:?}");
        assert!(told[1].contains("\"colour\" is not a type") && told[1].contains("\"textarea\""), "{told:?}");
    }

    #[test]
    fn a_fault_names_the_partials_directory() {
        let fault = partial(r#"{"type": "htlm", "content": "x"}"#).unwrap_err();
        let expected = "partials/hello/partial.json type: \"htlm\" is not a type of partial. Did you mean \"html\"?";
        assert!(fault.starts_with(expected), "{fault}");
    }
}
