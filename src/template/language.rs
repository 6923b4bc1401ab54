//! A template in either language.

use std::rc::Rc;

use ::handlebars::Context;
use serde_json::Value;

use super::budget::Budget;
use super::error::{Complaint, Position, RenderError};
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
            Engine::Handlebars => {
                let parsed = handlebars::Source::parse(text, escape, partials);
                not_liquid(text, partials, parsed).map(Self::Handlebars)
            }
            Engine::Liquid => liquid::Template::parse(text, partials).map(Self::Liquid),
        }
    }

    /// The same, with all that is wrong told to `complain`: also what is foreseen to be refused when it is rendered.
    pub(super) fn read(
        text: &str,
        engine: Engine,
        escape: Escape,
        partials: &Partials,
        complain: &mut dyn FnMut(Complaint),
    ) -> Option<Self> {
        let parsed = Self::parse(text, engine, escape, partials);
        let complaints = match &parsed {
            Ok(Self::Handlebars(source)) => source.foresee(),
            Ok(Self::Liquid(template)) => template.foresee(),
            Err(complaints) => complaints.clone(),
        };
        complaints.into_iter().for_each(complain);
        parsed.ok()
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

/// What reading `text` as Handlebars came to, unless it is Liquid: Handlebars stops at its filters, and would send its
/// tags as they are.
fn not_liquid<T>(text: &str, partials: &Partials, parsed: Result<T, Vec<Complaint>>) -> Result<T, Vec<Complaint>> {
    const FIX: &str = "Write \"template_engine\": \"liquid\" in the workflow's settings, or in the template.";
    let tag = text.find("{%");
    let mark = if parsed.is_err() { tag.or_else(|| text.find('|')) } else { tag };
    match mark {
        Some(at) if liquid::Template::parse(text, partials).is_ok() => {
            Err(vec![Complaint::new(Some(Position::of(text, at)), "this is Liquid, and is read as Handlebars", FIX)])
        }
        _ => parsed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn liquid_that_is_read_as_handlebars_says_so_instead_of_being_sent() {
        let problem = |text: &str| {
            let parsed = Source::parse(text, Engine::Handlebars, Escape::None, &Partials::default());
            parsed.err().map(|complaints| format!("{}: {}", complaints[0].at.unwrap(), complaints[0].problem))
        };
        let found = |place: &str| Some(format!("{place}: this is Liquid, and is read as Handlebars"));
        assert_eq!(problem("a\n{% if name %}{{ name }}{% endif %}"), found("line 2, column 1"));
        assert_eq!(problem("{{ name | upcase }}"), found("line 1, column 9"));
        for text in ["{{name}} | {{plan}}", "10 {% off", "{{#if a}}{% b %}{{/if}}"] {
            assert_eq!(problem(text), None, "{text}");
        }
        assert!(problem("{{name} | x").is_some_and(|problem| problem.contains("is not closed")));
    }
}
