//! The second engine: Liquid, as Knock's published workflows use it, for templates that shall run unchanged.
//!
//! From source to text: `lexer` cuts it into pieces, `words` reads what stands inside a tag, `parser` makes a tree of
//! `node`s and `expression`s, `interpreter` walks it with the `names` of a scope, and `filter` is the table of filters.
//! A missing name is nothing, as everywhere in Liquid. Whatever a template says, its source, nesting, work and output
//! are bounded by counts (see `budget`), and neither parsing nor rendering recurses deeper than those.

mod expression;
mod filter;
mod interpreter;
mod lexer;
mod names;
mod node;
mod parser;
mod value;
mod words;

use std::ops::Range;

use serde_json::Value;

use self::interpreter::Interpreter;
use super::budget::Budget;
use super::error::{Complaint, RenderError};

/// A parsed template.
#[derive(Debug)]
pub(super) struct Template {
    source: String,
    tree: node::Block,
}

impl Template {
    /// Parses `source`, and finds all uses of what does not exist.
    pub(super) fn parse(source: &str) -> Result<Self, Vec<Complaint>> {
        let pieces = lexer::pieces(source).map_err(|complaint| vec![complaint])?;
        Ok(Self { source: source.to_owned(), tree: parser::parse(source, &pieces)? })
    }

    /// The source as it was written.
    pub(super) fn text(&self) -> &str {
        &self.source
    }

    /// Renders to at most `limit` bytes; `label` is for the error.
    pub(super) fn render(&self, label: &str, scope: &Value, limit: usize) -> Result<String, RenderError> {
        let budget = Budget::new(limit);
        Ok(Interpreter::new(self, label, scope, &budget).run()?.0)
    }

    /// Renders this layout around `content`. Answers the whole, and where in it the content lies.
    pub(super) fn render_around(
        &self,
        label: &str,
        content: Content<'_>,
        scope: &Value,
        subject: &str,
        limit: usize,
    ) -> Result<(String, Range<usize>), RenderError> {
        let budget = Budget::new(limit);
        let mut interpreter = Interpreter::new(self, label, scope, &budget);
        interpreter.place(content);
        interpreter.assign("subject", subject);
        interpreter.run()
    }
}

/// What a layout is put around.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    /// Rendered already, in whatever language.
    Text(&'a str),
    /// Rendered in its place, and the name for its errors. Names that it assigns are the layout's from there on.
    Template(&'a Template, &'a str),
}

#[cfg(test)]
mod tests;
