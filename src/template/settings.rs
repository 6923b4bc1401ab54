//! Settings of a step: templates, or JSON whose texts are templates.

use ::handlebars::Context;
use serde_json::{Map, Value};

use super::budget::{EMAIL_BYTES, Limit};
use super::error::{Cause, Complaint, RenderError};
use super::handlebars::Escape;
use super::language::Source;
use super::partial::Partials;
use crate::model::settings::Settings;
use crate::model::workflow::Engine;

/// The most that the settings of a step come to, in bytes.
const SETTINGS_BYTES: usize = EMAIL_BYTES;

/// Parsed settings.
#[derive(Debug)]
pub(super) struct Parsed {
    /// Where they stand in the document: what comes before the name of one.
    label: String,
    nodes: Vec<(&'static str, Node)>,
}

#[derive(Debug)]
enum Node {
    Template(Source),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
    Plain(Value),
}

impl Parsed {
    /// Parses all; `complain` takes each complaint and the setting that it is about.
    pub(super) fn new(
        label: String,
        settings: &Settings,
        engine: Engine,
        partials: &Partials,
        complain: &mut dyn FnMut(&str, Complaint),
    ) -> Self {
        let mut parse =
            |(name, value)| (name, Node::parse(value, engine, partials, &mut |complaint| complain(name, complaint)));
        let nodes = settings.iter().map(&mut parse).collect();
        Self { label, nodes }
    }

    /// Renders each to a value.
    pub(super) fn render(&self, context: &Context) -> Result<Map<String, Value>, RenderError> {
        let mut left = SETTINGS_BYTES;
        let render = |(name, node): &(&'static str, Node)| {
            let value = node.render(&format!("{}{name}", self.label), context, &mut left)?;
            Ok(((*name).to_owned(), value))
        };
        self.nodes.iter().map(render).collect()
    }
}

impl Node {
    fn parse(value: &Value, engine: Engine, partials: &Partials, complain: &mut dyn FnMut(Complaint)) -> Self {
        match value {
            Value::String(text) if text.contains("{{") || text.contains("{%") => {
                let source = Source::read(text, engine, Escape::None, partials, complain);
                source.map_or(Self::Plain(Value::Null), Self::Template)
            }
            Value::Array(items) => {
                Self::List(items.iter().map(|item| Self::parse(item, engine, partials, complain)).collect())
            }
            Value::Object(fields) => {
                let parse =
                    |(key, value): (&String, &Value)| (key.clone(), Self::parse(value, engine, partials, complain));
                Self::Object(fields.iter().map(parse).collect())
            }
            other => Self::Plain(other.clone()),
        }
    }

    fn render(&self, label: &str, context: &Context, left: &mut usize) -> Result<Value, RenderError> {
        match self {
            Self::Template(source) => {
                let text = source.render(label, context, *left)?;
                *left = left
                    .checked_sub(text.len())
                    .ok_or_else(|| RenderError::new(label, Cause::Budget(Limit::Output(SETTINGS_BYTES))))?;
                Ok(Value::String(text))
            }
            Self::List(items) => items.iter().map(|item| item.render(label, context, left)).collect(),
            Self::Object(fields) => {
                let render = |(key, node): &(String, Self)| Ok((key.clone(), node.render(label, context, left)?));
                fields.iter().map(render).collect::<Result<Map<_, _>, _>>().map(Value::Object)
            }
            Self::Plain(value) => Ok(value.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(value: Value, data: Value) -> Result<Value, String> {
        let settings = Settings::default().with("data", value);
        let mut complaints = Vec::new();
        let label = "steps[0].settings.".to_owned();
        let parsed = Parsed::new(label, &settings, Engine::Liquid, &Partials::default(), &mut |_, complaint| {
            complaints.push(complaint.problem)
        });
        if let Some(complaint) = complaints.pop() {
            return Err(complaint);
        }
        let rendered = parsed.render(&Context::from(data)).map_err(|error| error.to_string())?;
        Ok(rendered["data"].clone())
    }

    #[test]
    fn texts_are_rendered_wherever_they_lie_and_all_else_stays() {
        let value = json!({"n": 1, "list": ["{{ a }}", null], "in": {"{{ a }}": "{{ b | json }}"}});
        let rendered = render(value, json!({"a": "\"{{ b }}\"", "b": {"x": [1]}}));
        let expected = json!({"n": 1, "list": ["\"{{ b }}\"", null], "in": {"{{ a }}": "{\"x\":[1]}"}});
        assert_eq!(rendered, Ok(expected));
        assert!(render(json!("{% if %}"), json!({})).is_err());
    }

    #[test]
    fn all_texts_of_a_step_share_one_bound() {
        let long = "x".repeat(EMAIL_BYTES / 3);
        let texts = |count: usize| vec![json!("{{ a }}"); count];
        assert!(render(json!(texts(3)), json!({"a": long})).is_ok());
        let error = render(json!(texts(4)), json!({"a": long})).unwrap_err();
        assert!(error.starts_with("steps[0].settings.data"), "{error}");
        assert!(error.contains("the result is longer than"), "{error}");
    }
}
