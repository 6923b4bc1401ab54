//! An email: subject, HTML and text, in their layout.

use std::ops::Range;

use handlebars::Context;

use super::budget::EMAIL_BYTES;
use super::error::{Complaint, RenderError};
use super::handlebars::Escape;
use super::language::Source;
use super::liquid::{self, Content};
use super::{line, plain};
use crate::model::message::EmailContent;
use crate::model::workflow::{EmailTemplate, Engine};

/// The layout that the binary brings. Authors can give a link in their body `class="button"`. Layouts are Liquid, so
/// that they know what a body in Liquid assigned; bodies are in either language.
const DEFAULT_HTML: &str = include_str!("../../templates/email/default.html.liquid");
const DEFAULT_TEXT: &str = include_str!("../../templates/email/default.txt.liquid");

/// The field that a fault in a layout is about.
const LAYOUT: &str = "settings.layout_key";

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
    html: liquid::Template,
    text: liquid::Template,
}

impl Email {
    /// Parses all sources; `complain` takes each complaint and the field that it is about.
    pub(super) fn parse(
        template: &EmailTemplate,
        engine: Engine,
        complain: &mut dyn FnMut(&str, Complaint),
    ) -> Option<Self> {
        if let Some(layout) = template.layout.as_deref().filter(|layout| *layout != "default") {
            let problem = format!("there is no email layout `{layout}`");
            let fix = "The known layout is `default`; null means none.";
            complain(LAYOUT, Complaint::new(None, problem, fix));
        }
        let mut parse = |field: &str, source: &str, escape| {
            Source::parse(source, engine, escape)
                .map_err(|complaints| complaints.into_iter().for_each(|complaint| complain(field, complaint)))
                .ok()
        };
        let subject = parse("subject", &template.subject, Escape::None);
        let html = parse("html_body", &template.html_body, Escape::Html);
        let text = template.text_body.as_deref().map(|text| parse("text_body", text, Escape::None));
        let mut parse = |source: &str| {
            liquid::Template::parse(source)
                .map_err(|complaints| complaints.into_iter().for_each(|complaint| complain(LAYOUT, complaint)))
                .ok()
        };
        let layout = template
            .layout
            .as_deref()
            .map(|_| parse(DEFAULT_HTML).zip(parse(DEFAULT_TEXT)).map(|(html, text)| Layout { html, text }));
        Some(Self {
            subject: subject?,
            html: html?,
            text: text.map_or(Some(None), |parsed| parsed.map(Some))?,
            layout: layout.map_or(Some(None), |parsed| parsed.map(Some))?,
        })
    }

    /// Renders the email; `name` is the step's, for errors.
    pub(super) fn render(&self, name: &str, context: &Context) -> Result<EmailContent, RenderError> {
        let label = |field: &str| format!("{name}.{field}");
        let subject = line::one(&self.subject.render(&label("subject"), context, EMAIL_BYTES)?);
        let frame = Frame { context, subject: &subject, label: &label(LAYOUT) };
        let (html, body) =
            frame.put(self.layout.as_ref().map(|layout| &layout.html), &self.html, &label("html_body"))?;
        let layout = self.layout.as_ref().map(|layout| &layout.text);
        let text = match &self.text {
            Some(source) => frame.put(layout, source, &label("text_body"))?.0,
            None => {
                // Made from the body alone: the layout's frame says nothing that a reader of text needs.
                let text = plain::from_html(&html[body]);
                let text = text.map_err(|cause| RenderError::new(&label("html_body"), cause))?;
                match layout {
                    Some(layout) => frame.wrap(layout, Content::Text(&text))?.0,
                    None => text,
                }
            }
        };
        Ok(EmailContent { subject, html, text, unsubscribe: None })
    }
}

/// What the layouts of one email share.
struct Frame<'a> {
    context: &'a Context,
    subject: &'a str,
    /// The layout's name, for errors.
    label: &'a str,
}

impl Frame<'_> {
    /// Renders `body` in its layout, if it has one. Answers the whole, and where in it the body lies.
    fn put(
        &self,
        layout: Option<&liquid::Template>,
        body: &Source,
        label: &str,
    ) -> Result<(String, Range<usize>), RenderError> {
        match (layout, body) {
            (Some(layout), Source::Liquid(body)) => self.wrap(layout, Content::Template(body, label)),
            (Some(layout), body) => self.wrap(layout, Content::Text(&body.render(label, self.context, EMAIL_BYTES)?)),
            (None, body) => {
                let text = body.render(label, self.context, EMAIL_BYTES)?;
                let all = 0..text.len();
                Ok((text, all))
            }
        }
    }

    fn wrap(&self, layout: &liquid::Template, content: Content<'_>) -> Result<(String, Range<usize>), RenderError> {
        layout.render_around(self.label, content, self.context.data(), self.subject, EMAIL_BYTES)
    }
}
