//! A feed item: Markdown body, link and buttons, as blocks.

use handlebars::Context;

use super::author_tags::AuthorTags;
use super::budget::FEED_BYTES;
use super::error::{Cause, Complaint, RenderError};
use super::handlebars::Escape;
use super::language::Source;
use super::partial::Partials;
use super::{line, markdown};
use crate::model::message::{Block, Button};
use crate::model::workflow::{Engine, InAppTemplate};

/// A feed item's templates, parsed.
#[derive(Debug)]
pub(super) struct InApp {
    body: Source,
    /// The tags that were written into the body, or into partials that it names.
    tags: AuthorTags,
    action_url: Option<Source>,
    /// Label and link of each.
    buttons: Vec<(Source, Source)>,
}

/// The names of the buttons, in order: the ones that the client reads.
const BUTTONS: [&str; 2] = ["primary", "secondary"];

impl InApp {
    /// Parses all sources; `complain` takes each complaint and the field that it is about.
    pub(super) fn parse(
        template: &InAppTemplate,
        engine: Engine,
        partials: &Partials,
        complain: &mut dyn FnMut(&str, Complaint),
    ) -> Option<Self> {
        let mut parse = |field: &str, source: &str| {
            Source::read(source, engine, Escape::None, partials, &mut |complaint| complain(field, complaint))
        };
        let body = parse("markdown_body", &template.markdown_body);
        let url = template.action_url.as_deref().filter(|url| !url.trim().is_empty());
        let action_url = url.map(|url| parse("action_url", url));
        let buttons: Vec<_> = template
            .action_buttons
            .iter()
            .enumerate()
            .map(|(index, button)| {
                let label = parse(&format!("action_buttons[{index}].label"), &button.label);
                label.zip(parse(&format!("action_buttons[{index}].action"), &button.action))
            })
            .collect();
        let tags = AuthorTags::of(&partials.with_mentioned(&template.markdown_body));
        Some(Self {
            body: body?,
            tags,
            action_url: action_url.map_or(Some(None), |parsed| parsed.map(Some))?,
            buttons: buttons.into_iter().collect::<Option<_>>()?,
        })
    }

    /// Renders the item; `path` is the step's in its document, for errors.
    pub(super) fn render(&self, path: &str, context: &Context) -> Result<Vec<Block>, RenderError> {
        let name = format!("{path}.template");
        let field = format!("{name}.markdown_body");
        let body = self.body.render(&field, context, FEED_BYTES)?;
        let rendered =
            markdown::to_html(&body, &self.tags).map_err(|limit| RenderError::new(&field, Cause::Budget(limit)))?;
        let mut blocks = vec![Block::Markdown { name: "body".into(), content: self.body.text().to_owned(), rendered }];
        if let Some(source) = &self.action_url {
            let rendered = link(source, &format!("{name}.action_url"), context)?;
            if !rendered.is_empty() {
                let content = source.text().to_owned();
                blocks.push(Block::Text { name: "action_url".into(), content, rendered });
            }
        }
        let mut buttons = Vec::with_capacity(self.buttons.len());
        for (index, ((label, action), button)) in self.buttons.iter().zip(BUTTONS).enumerate() {
            let field = format!("{name}.action_buttons[{index}]");
            let label = line::one(&label.render(&format!("{field}.label"), context, FEED_BYTES)?);
            let action = link(action, &format!("{field}.action"), context)?;
            buttons.push(Button { name: button.into(), label, action });
        }
        if !buttons.is_empty() {
            blocks.push(Block::ButtonSet { name: "actions".into(), buttons });
        }
        Ok(blocks)
    }
}

fn link(source: &Source, field: &str, context: &Context) -> Result<String, RenderError> {
    let url = line::url(&source.render(field, context, FEED_BYTES)?);
    match line::unsafe_scheme(&url) {
        Some(scheme) => Err(RenderError::new(field, Cause::UnsafeUrl(scheme))),
        None => Ok(url),
    }
}
