//! A template in either language.

use std::rc::Rc;

use ::handlebars::Context;
use serde_json::Value;

use super::budget::Budget;
use super::error::{Complaint, RenderError};
use super::handlebars::Escape;
use super::partial::Partials;
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
    pub(super) fn parse(
        text: &str,
        engine: Engine,
        escape: Escape,
        partials: &Partials,
    ) -> Result<Self, Vec<Complaint>> {
        match engine {
            Engine::Handlebars => handlebars::Source::parse(text, escape, partials).map(Self::Handlebars),
            Engine::Liquid => liquid::Template::parse(text, partials).map(Self::Liquid),
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
        let budget = Rc::new(Budget::new(limit));
        match self {
            Self::Handlebars(source) => source.render(name, context, &budget),
            Self::Liquid(template) => template.render(name, context.data(), &budget),
        }
    }

    /// Renders inside of another template, out of its budget.
    pub(super) fn render_inside(&self, name: &str, scope: Value, budget: &Rc<Budget>) -> Result<String, RenderError> {
        match self {
            Self::Handlebars(source) => source.render(name, &Context::from(scope), budget),
            Self::Liquid(template) => template.render(name, &scope, budget),
        }
    }
}
