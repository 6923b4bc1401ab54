//! An email, assembled: subject and addresses, body in its layout, MJML, style sheets, text.

use std::sync::{Arc, LazyLock};

use handlebars::Context;
use serde_json::{Map, Value, json};

use super::addressing::{ChannelAddressing, Overrides};
use super::budget::EMAIL_BYTES;
use super::error::{Cause, Complaint, RenderError};
use super::handlebars::Escape;
use super::language::Source;
use super::layout::Layout;
use super::liquid::{Content, Frame, Placed, Template};
use super::parts::Parts;
use super::patchwork::{Origins, Patchwork};
use super::{branding, inline, line, mjml, plain, speech, visual, writing};
use crate::model::attachment;
use crate::model::message::EmailContent;
use crate::model::workflow::{EmailBody, EmailTemplate, Engine};

/// The field that a fault in naming a layout is about.
const LAYOUT: &str = "settings.layout_key";

/// What stands around a body that has no layout, or no layout for its text.
static NOTHING: LazyLock<Option<Template>> =
    LazyLock::new(|| Template::parse("{{ content }}", &Default::default()).ok());

/// An email's templates, parsed.
#[derive(Debug)]
pub(super) struct Email {
    subject: Source,
    body: Body,
    text: Option<Source>,
    pre_content: Option<Source>,
    layout: Option<Arc<Layout>>,
    overrides: Overrides,
    is_mjml: bool,
    attachment_key: String,
}

#[derive(Debug)]
struct Body {
    source: Source,
    /// Where its tags were written; empty for a body that is one text.
    origins: Origins,
    field: &'static str,
    /// It is made of visual blocks.
    has_blocks: bool,
}

impl Email {
    /// Parses all sources; `complain` takes each complaint and the field that it is about.
    pub(super) fn parse(
        template: &EmailTemplate,
        engine: Engine,
        parts: &Parts,
        complain: &mut dyn FnMut(&str, Complaint),
    ) -> Option<Self> {
        let mut in_template = |field: &str, complaint| complain(&format!("template.{field}"), complaint);
        let layout = match template.layout.as_deref().map(|key| parts.layout(key)).transpose() {
            Ok(layout) => Some(layout),
            Err(complaint) => {
                in_template(LAYOUT, complaint);
                None
            }
        };
        if template.is_mjml && layout.as_ref().is_some_and(|layout| layout.as_ref().is_some_and(|one| !one.is_mjml)) {
            let fix = "Name a layout of MJML, or none with \"layout_key\": null.";
            in_template("is_mjml", Complaint::new(None, "is set, but the layout is HTML", fix));
            return None;
        }
        let subject = parse("subject", &template.subject, engine, Escape::None, parts, &mut in_template);
        let body = Body::parse(&template.body, engine, parts, &mut in_template);
        if let (true, EmailBody::Html(html)) = (template.is_mjml, &template.body) {
            mjml::check(html, engine).into_iter().for_each(|complaint| in_template("html_body", complaint));
        }
        let text = template.text_body.as_deref();
        let text = text.map(|text| parse("text_body", text, engine, Escape::None, parts, &mut in_template));
        let pre_content = template.pre_content.as_deref();
        let pre_content =
            pre_content.map(|text| parse("settings.pre_content", text, engine, Escape::Html, parts, &mut in_template));
        let overrides = Overrides::parse(&template.overrides, engine, &parts.in_text, &mut |field, complaint| {
            complain(&format!("channel_overrides.{field}"), complaint);
        });
        Some(Self {
            subject: subject?,
            body: body?,
            text: text.map_or(Some(None), |parsed| parsed.map(Some))?,
            pre_content: pre_content.map_or(Some(None), |parsed| parsed.map(Some))?,
            layout: layout?,
            overrides: overrides?,
            is_mjml: template.is_mjml,
            attachment_key: template.attachment_key.clone(),
        })
    }

    /// Renders the email with a scope; `path` is the step's in its document, for errors.
    pub(super) fn render(
        &self,
        path: &str,
        channel: &ChannelAddressing,
        mut scope: Value,
    ) -> Result<EmailContent, RenderError> {
        let none = Map::new();
        branding::apply(&mut scope, self.layout.as_ref().map_or(&none, |layout| &layout.branding));
        let mut context = Context::from(scope);
        let name = &format!("{path}.template");
        let label = |field: &str| format!("{name}.{field}");
        let subject = line::one(&self.subject.render(&label("subject"), &context, EMAIL_BYTES)?);
        let (addressing, other_subject) = self.overrides.render(path, &context, channel)?;
        let subject = other_subject.unwrap_or(subject);
        let has_attachments = self.check_attachments(name, context.data())?;
        let language = self.language(&context);
        writing::apply(context.data_mut(), &language);

        let links = self.layout.as_ref().map_or(Value::Null, |layout| layout.footer_links.clone());
        let names = Map::from_iter([("subject".to_owned(), json!(subject)), ("footer_links".to_owned(), links)]);
        let assembly = Assembly { email: self, name, context: &context, names: &names };
        let (html, content) = assembly.html()?;
        let text = match &self.text {
            Some(source) => assembly.put(Part::Text, source, &label("text_body"))?.text,
            None => {
                // Made from the body alone: the layout's frame says nothing that a reader of text needs.
                let text = plain::from_html(&content);
                let text = text.map_err(|cause| RenderError::new(&label(self.body.field), cause))?;
                assembly.around(Part::Text, Content::Text(&text))?.text
            }
        };
        let attachment_key = has_attachments.then(|| self.attachment_key.clone());
        Ok(EmailContent { subject, html, text, unsubscribe: None, addressing: Box::new(addressing), attachment_key })
    }

    /// The locale that the email speaks: of the first text that it says from translations, in its subject or else its
    /// body; else the environment's. It is asked before the body is rendered in its place, which stands below `<html>`.
    fn language(&self, context: &Context) -> String {
        let speech = speech::current();
        if speech.said().is_none() && speech.may_differ() {
            // Its error comes again.
            let _ = self.body.source.render("", context, EMAIL_BYTES);
        }
        speech.said().unwrap_or(speech.default_locale()).to_owned()
    }

    /// Whether the trigger's data holds attachments for this email; those that could not be sent end the rendering. Their
    /// contents are not looked at: a scope has none.
    fn check_attachments(&self, name: &str, scope: &Value) -> Result<bool, RenderError> {
        let found = scope.get("data").and_then(|data| data.get(&self.attachment_key)).unwrap_or(&Value::Null);
        match attachment::count(found) {
            Ok(count) => Ok(count > 0),
            Err(problem) => {
                let cause = Cause::Template(format!("`data.{}`: {problem}", self.attachment_key));
                Err(RenderError::new(&format!("{name}.settings.attachment_key"), cause))
            }
        }
    }
}

fn parse(
    field: &str,
    text: &str,
    engine: Engine,
    escape: Escape,
    parts: &Parts,
    complain: &mut dyn FnMut(&str, Complaint),
) -> Option<Source> {
    let partials = if escape == Escape::Html { &parts.in_html } else { &parts.in_text };
    Source::read(text, engine, escape, partials, &mut |complaint| complain(field, complaint))
}

impl Body {
    fn parse(
        body: &EmailBody,
        engine: Engine,
        parts: &Parts,
        complain: &mut dyn FnMut(&str, Complaint),
    ) -> Option<Self> {
        let mut faulty = false;
        let (field, has_blocks, patchwork) = match body {
            EmailBody::Html(html) => {
                let mut patchwork = Patchwork::default();
                patchwork.write(html);
                ("html_body", false, patchwork)
            }
            EmailBody::Blocks(blocks) => {
                let patchwork = visual::compile(blocks, engine, &mut |field, complaint| {
                    faulty = true;
                    complain(field, complaint);
                });
                ("visual_blocks", true, patchwork)
            }
        };
        let (text, origins) = patchwork.finish();
        let source = Source::read(&text, engine, Escape::Html, &parts.in_html, &mut |mut complaint| {
            let field = origins.trace(&text, &mut complaint).unwrap_or(field);
            complain(field, complaint);
        });
        let source = source.filter(|_| !faulty)?;
        Some(Self { source, origins, field, has_blocks })
    }

    /// An error in this body with the field and the place of the author's text.
    fn trace(&self, name: &str, mut error: RenderError) -> RenderError {
        if error.template == format!("{name}.{}", self.field)
            && let Some((field, at)) = error.at.and_then(|at| self.origins.of(self.source.text(), at))
        {
            (error.template, error.at) = (format!("{name}.{field}"), Some(at));
        }
        error
    }
}

/// Which part of the message a template is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Html,
    Text,
}

/// One rendering of one email.
struct Assembly<'a> {
    email: &'a Email,
    name: &'a str,
    context: &'a Context,
    /// What layouts know beside the scope.
    names: &'a Map<String, Value>,
}

impl Assembly<'_> {
    /// The HTML part, and the HTML that its text is made of.
    fn html(&self) -> Result<(String, String), RenderError> {
        let email = self.email;
        let field = email.body.field;
        let label = format!("{}.{field}", self.name);
        let placed =
            self.put(Part::Html, &email.body.source, &label).map_err(|error| email.body.trace(self.name, error))?;
        let content = placed.text[placed.content.clone()].to_owned();
        let layout_is_mjml = email.layout.as_ref().is_some_and(|layout| layout.is_mjml);
        let failed = |cause| RenderError::new(&label, cause);
        let of_layout = |cause| RenderError::new(email.layout.as_ref().map_or(&label, |layout| &layout.html.0), cause);
        let (mut html, content) = if email.is_mjml {
            let html = mjml::to_html(&placed.text).map_err(|(at, cause)| {
                // What is wrong behind the body may be so because of it.
                if at.is_some_and(|at| at < placed.content.start) { of_layout(cause) } else { failed(cause) }
            })?;
            (html.clone(), html)
        } else if layout_is_mjml {
            (mjml::around(&placed.text, placed.content).map_err(of_layout)?, content)
        } else {
            (placed.text, content)
        };
        if email.body.has_blocks {
            let colour = |name| branding::colour(self.context.data(), name);
            let sheet = visual::style_sheet(colour("dark_primary_color"), colour("dark_primary_color_contrast"));
            html.insert_str(head(&html), &sheet);
        }
        Ok((inline::css(html).map_err(failed)?, content))
    }

    /// Renders `source` in the layout.
    fn put(&self, part: Part, source: &Source, label: &str) -> Result<Placed, RenderError> {
        match source {
            // Rendered in its place: what it assigns is the layout's from there on.
            Source::Liquid(template) => self.around(part, Content::Template(template, label)),
            source => self.around(part, Content::Text(&source.render(label, self.context, EMAIL_BYTES)?)),
        }
    }

    /// Renders the layout around `content`, behind what is to stand before it.
    fn around(&self, part: Part, content: Content<'_>) -> Result<Placed, RenderError> {
        let label = format!("{}.settings.pre_content", self.name);
        let rendered;
        let before = match &self.email.pre_content {
            None => None,
            Some(Source::Liquid(template)) => Some(Content::Template(template, &label)),
            Some(source) => {
                rendered = source.render(&label, self.context, EMAIL_BYTES)?;
                Some(Content::Text(&rendered))
            }
        };
        let frame = Frame { scope: self.context.data(), names: self.names };
        let layout = self.email.layout.as_deref().and_then(|layout| match part {
            Part::Html => Some(&layout.html),
            Part::Text => layout.text.as_ref(),
        });
        match (layout, NOTHING.as_ref()) {
            (Some((label, layout)), _) => layout.render_around(label, before, content, frame, EMAIL_BYTES),
            (None, Some(nothing)) => nothing.render_around(&label, before, content, frame, EMAIL_BYTES),
            (None, None) => Err(RenderError::new(&label, Cause::Template("the engine does not start".to_owned()))),
        }
    }
}

/// Where in a page a style sheet goes that the others win over.
fn head(html: &str) -> usize {
    let after = |tag: &str| {
        let at = html.find(tag)?;
        Some(at + html[at..].find('>')? + 1)
    };
    after("<head>").or_else(|| after("<head ")).unwrap_or(0)
}
