//! An email: subject, HTML and text, in their layout.

use handlebars::Context;
use serde_json::{Map, Value};

use super::budget::EMAIL_BYTES;
use super::error::{Complaint, RenderError};
use super::handlebars::{Escape, Source};
use super::{line, plain};
use crate::model::message::EmailContent;
use crate::model::workflow::EmailTemplate;

/// The layout that the binary brings. Authors can give a link in their body `class="button"`.
const DEFAULT_HTML: &str = include_str!("../../templates/email/default.html.hbs");
const DEFAULT_TEXT: &str = include_str!("../../templates/email/default.txt.hbs");

/// What a layout can name besides `content` and `subject`.
const SHARED: [&str; 3] = ["vars", "workflow", "preview_text"];

/// An email's templates, parsed.
#[derive(Debug)]
pub(super) struct Email {
    subject: Source,
    html: Source,
    text: Option<Source>,
    layout: Option<Layout>,
}

#[derive(Debug)]
struct Layout {
    html: Source,
    text: Source,
}

impl Email {
    /// Parses all sources; `complain` takes each complaint and the field that it is about.
    pub(super) fn parse(template: &EmailTemplate, complain: &mut dyn FnMut(&str, Complaint)) -> Option<Self> {
        if let Some(layout) = template.layout.as_deref().filter(|layout| *layout != "default") {
            let problem = format!("there is no email layout `{layout}`");
            let fix = "The known layout is `default`; null means none.";
            complain("settings.layout_key", Complaint::new(None, problem, fix));
        }
        let mut parse = |field: &str, source: &str, escape| {
            Source::parse(source, escape)
                .map_err(|complaints| complaints.into_iter().for_each(|complaint| complain(field, complaint)))
                .ok()
        };
        let subject = parse("subject", &template.subject, Escape::None);
        let html = parse("html_body", &template.html_body, Escape::Html);
        let text = template.text_body.as_deref().map(|text| parse("text_body", text, Escape::None));
        let layout = template.layout.as_deref().map(|_| {
            let html = parse("settings.layout_key", DEFAULT_HTML, Escape::Html)?;
            Some(Layout { html, text: parse("settings.layout_key", DEFAULT_TEXT, Escape::None)? })
        });
        Some(Self {
            subject: subject?,
            html: html?,
            text: text.map_or(Some(None), |parsed| parsed.map(Some))?,
            layout: layout.map_or(Some(None), |parsed| parsed.map(Some))?,
        })
    }

    /// Renders the email; `name` is the step's, for errors.
    pub(super) fn render(&self, name: &str, context: &Context) -> Result<EmailContent, RenderError> {
        let field = |field: &str| format!("{name}.{field}");
        let subject = line::one(&self.subject.render(&field("subject"), context, EMAIL_BYTES)?);
        let html = self.html.render(&field("html_body"), context, EMAIL_BYTES)?;
        let text = match &self.text {
            Some(source) => source.render(&field("text_body"), context, EMAIL_BYTES)?,
            // Made from the body alone: the layout's frame says nothing that a reader of text needs.
            None => plain::from_html(&html).map_err(|cause| RenderError::new(&field("html_body"), cause))?,
        };
        let Some(layout) = &self.layout else { return Ok(EmailContent { subject, html, text }) };
        let wrap = |source: &Source, content: String| {
            let scope = layout_scope(context.data(), &subject, content);
            source.render(&field("settings.layout_key"), &Context::from(scope), EMAIL_BYTES)
        };
        let html = wrap(&layout.html, html)?;
        let text = wrap(&layout.text, text)?;
        Ok(EmailContent { subject, html, text })
    }
}

fn layout_scope(scope: &Value, subject: &str, content: String) -> Value {
    let mut fields = Map::new();
    for name in SHARED {
        fields.insert(name.to_owned(), scope.get(name).cloned().unwrap_or_default());
    }
    fields.insert("subject".to_owned(), Value::String(subject.to_owned()));
    fields.insert("content".to_owned(), Value::String(content));
    Value::Object(fields)
}
