//! Layouts: what stands around the body of an email. They are Liquid, so that they know what a body in Liquid assigned;
//! bodies are in either language.

use serde_json::{Map, Value, json};

use super::error::{Complaint, place_name};
use super::liquid::Template;
use super::mjml;
use super::partial::Partials;
use crate::model::layout::{FooterLink, Layout as Written};
use crate::model::text_files::TextFiles;
use crate::model::workflow::Engine;

/// The key of the layout that the binary brings, and that an email has which names none.
pub(super) const DEFAULT: &str = "default";
const DEFAULT_HTML: &str = include_str!("../../templates/email/default.html.liquid");
const DEFAULT_TEXT: &str = include_str!("../../templates/email/default.txt.liquid");

/// A parsed layout.
#[derive(Debug)]
pub(super) struct Layout {
    /// Each with the place that it was written at, for errors.
    pub(super) html: (String, Template),
    pub(super) text: Option<(String, Template)>,
    pub(super) is_mjml: bool,
    /// What it changes of the account's branding.
    pub(super) branding: Map<String, Value>,
    pub(super) footer_links: Value,
}

impl Written {
    /// The layout that the binary brings. In a body, `class="button"` on a link makes it a button.
    pub(super) fn built_in() -> Self {
        Self {
            html: DEFAULT_HTML.to_owned(),
            text: Some(DEFAULT_TEXT.to_owned()),
            is_mjml: false,
            footer_links: Vec::new(),
            branding: Map::new(),
            files: TextFiles::default(),
        }
    }
}

impl Layout {
    /// Parses a layout; `complain` takes each complaint and the field that it is about.
    pub(super) fn parse(
        key: &str,
        written: &Written,
        in_html: &Partials,
        in_text: &Partials,
        complain: &mut dyn FnMut(&str, Complaint),
    ) -> Option<Self> {
        let mut parse = |field: &str, source: &str, partials| {
            let template = Template::parse(source, partials)
                .map_err(|complaints| complaints.into_iter().for_each(|complaint| complain(field, complaint)))
                .ok()?;
            let is_mjml = written.is_mjml && field == "html_layout";
            let markup = if is_mjml { mjml::check(source, Engine::Liquid) } else { Vec::new() };
            template.foresee().into_iter().chain(markup).for_each(|complaint| complain(field, complaint));
            if !template.prints("content") {
                let fix = "Write {{ content }} where the body of the email shall stand.";
                complain(field, Complaint::new(None, "has no {{ content }}", fix));
                return None;
            }
            Some((place_name(written.place(key, field)), template))
        };
        let html = parse("html_layout", &written.html, in_html);
        let text = written.text.as_deref().map(|text| parse("text_layout", text, in_text));
        let link = |FooterLink { text, url }: &FooterLink| json!({"text": text, "url": url});
        Some(Self {
            html: html?,
            text: text.map_or(Some(None), |parsed| parsed.map(Some))?,
            is_mjml: written.is_mjml,
            branding: written.branding.clone(),
            footer_links: written.footer_links.iter().map(link).collect(),
        })
    }
}
