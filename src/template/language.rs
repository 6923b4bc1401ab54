//! A template in either language.

use ::handlebars::Context;

use super::error::{Complaint, RenderError};
use super::handlebars::Escape;
use super::{handlebars, liquid};
use crate::model::workflow::Engine;

/// A parsed template.
#[derive(Debug)]
pub(super) enum Source {
    Handlebars(handlebars::Source),
    Liquid(liquid::Template),
}

impl Source {
    /// Parses `text`. Only handlebars escapes by itself: in Liquid, authors write `| escape`, as where it comes from.
    pub(super) fn parse(text: &str, engine: Engine, escape: Escape) -> Result<Self, Vec<Complaint>> {
        match engine {
            Engine::Handlebars => handlebars::Source::parse(text, escape).map(Self::Handlebars),
            Engine::Liquid => liquid::Template::parse(text).map(Self::Liquid),
        }
    }

    /// The source as it was written.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Handlebars(source) => source.text(),
            Self::Liquid(template) => template.text(),
        }
    }

    /// Renders to at most `limit` bytes; `name` is for the error.
    pub(super) fn render(&self, name: &str, context: &Context, limit: usize) -> Result<String, RenderError> {
        match self {
            Self::Handlebars(source) => source.render(name, context, limit),
            Self::Liquid(template) => template.render(name, context.data(), limit),
        }
    }
}
