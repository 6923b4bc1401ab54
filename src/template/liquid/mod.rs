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
use std::rc::Rc;

use serde_json::{Map, Value};

use self::expression::{Expression, Operand};
use self::interpreter::Interpreter;
use self::node::Node;
use super::budget::Budget;
use super::error::{Complaint, Position, RenderError};
use super::partial::Partials;

/// A parsed template.
#[derive(Debug)]
pub(super) struct Template {
    source: String,
    tree: node::Block,
}

impl Template {
    /// Parses `source`, and finds all uses of what does not exist.
    pub(super) fn parse(source: &str, partials: &Partials) -> Result<Self, Vec<Complaint>> {
        let pieces = lexer::pieces(source).map_err(|complaint| vec![complaint])?;
        Ok(Self { source: source.to_owned(), tree: parser::parse(source, &pieces, partials)? })
    }

    /// The source as it was written.
    pub(super) fn text(&self) -> &str {
        &self.source
    }

    /// Whether the template prints the variable `name` as it is.
    pub(super) fn prints(&self, name: &str) -> bool {
        fn found(nodes: &[Node], name: &str) -> bool {
            nodes.iter().any(|node| match node {
                Node::Output(expression) => expression.as_name() == Some(name),
                Node::If { arms, otherwise } => arms.iter().any(|arm| found(&arm.body, name)) || found(otherwise, name),
                Node::Case { arms, otherwise, .. } => {
                    arms.iter().any(|arm| found(&arm.body, name)) || found(otherwise, name)
                }
                Node::Capture { body, .. } => found(body, name),
                _ => false,
            })
        }
        found(&self.tree, name)
    }

    /// What filters will refuse of what the source gives them.
    pub(super) fn foresee(&self) -> Vec<Complaint> {
        let mut found = Vec::new();
        node::walk(&self.tree, &mut |expression: &Expression| {
            for call in &expression.filters {
                let args: Vec<_> = call.args.iter().map(Operand::written).collect();
                if let Some(problem) = filter::foresee(call.filter, &args) {
                    let at = Position::of(&self.source, call.at);
                    found.push(Complaint::foreseen(Some(at), call.filter.name, &problem, call.filter.usage));
                }
            }
        });
        found
    }

    /// Renders out of `budget`; `label` is for the error.
    pub(super) fn render(&self, label: &str, scope: &Value, budget: &Rc<Budget>) -> Result<String, RenderError> {
        Ok(Interpreter::new(self, label, scope, budget).run()?.text)
    }

    /// Renders this layout around `content`. What `before` prints, or assigns, stands before all.
    pub(super) fn render_around(
        &self,
        label: &str,
        before: Option<Content<'_>>,
        content: Content<'_>,
        frame: Frame<'_>,
        limit: usize,
    ) -> Result<Placed, RenderError> {
        let budget = Rc::new(Budget::new(limit));
        let mut interpreter = Interpreter::new(self, label, frame.scope, &budget);
        interpreter.place(before, content);
        interpreter.know(frame.names);
        interpreter.run()
    }
}

/// What a layout is rendered with.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) scope: &'a Value,
    /// Names beside those of the scope, which win.
    pub(super) names: &'a Map<String, Value>,
}

/// A rendered layout, and where in it the content lies.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) text: String,
    pub(super) content: Range<usize>,
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
