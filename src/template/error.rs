//! What goes wrong: in a template when it is loaded, and with data when it is rendered.

use std::fmt;

use super::budget::Limit;
use crate::model::fault::Fault;

/// How an error names the place of a text: `account-invite/workflow.json steps[0].template.subject`, or a file of its own.
pub(super) fn place_name((file, path): (String, String)) -> String {
    if path.is_empty() { file } else { format!("{file} {path}") }
}

/// A line and a column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Position {
    /// Where the byte at `offset` stands.
    pub(super) fn of(source: &str, offset: usize) -> Self {
        let before = &source[..offset];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
        Self { line, column }
    }

    /// The byte of `source` that stands here; its end when it has no such place.
    pub(super) fn offset(self, source: &str) -> usize {
        let line: usize = source.split_inclusive('\n').take(self.line.saturating_sub(1)).map(str::len).sum();
        let letters = source[line..].char_indices().nth(self.column.saturating_sub(1));
        letters.map_or(source.len(), |(offset, _)| line + offset)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A template could not be rendered with the data that it was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{template}{}: {cause}", at.map(|at| format!(" {at}")).unwrap_or_default())]
pub struct RenderError {
    /// Where it was written: `account-invite/email_1/html_body.html`.
    pub template: String,
    /// Where in its source, when that is known.
    pub at: Option<Position>,
    /// Why, and what to do.
    pub cause: Cause,
}

impl RenderError {
    pub(super) fn new(template: &str, cause: Cause) -> Self {
        Self { template: template.to_owned(), at: None, cause }
    }
}

/// Why a template could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// It would cost more than one template may.
    #[error("{0}")]
    Budget(Limit),
    /// A helper or the engine refused its input.
    #[error("{0}")]
    Template(String),
    /// A link would run code or show foreign content in the reader's browser.
    #[error("a link must not start with `{0}:`; use https, or a path such as /projects/1")]
    UnsafeUrl(String),
    /// The workflow has no such step, or it is on another channel.
    #[error("the workflow has no {channel} step of this name; use the `ref` of one of its steps")]
    UnknownStep { channel: &'static str },
}

impl From<Limit> for Cause {
    fn from(limit: Limit) -> Self {
        Self::Budget(limit)
    }
}

/// What is wrong in one template's source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) at: Option<Position>,
    pub(super) problem: String,
    /// Where the block begins that the problem speaks of last, if it is one.
    pub(super) begun: Option<Position>,
    pub(super) fix: String,
    /// The source can be read and only its rendering will fail, if it comes to that place: what was stored before this
    /// was looked for must still load.
    pub(super) foreseen: bool,
}

impl Complaint {
    pub(super) fn new(at: Option<Position>, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { at, problem: problem.into(), begun: None, fix: fix.into(), foreseen: false }
    }

    /// A complaint that a filter or helper will refuse what the source gives it.
    pub(super) fn foreseen(at: Option<Position>, name: &str, problem: &str, usage: &str) -> Self {
        let complaint = Self::new(at, format!("`{name}`: {problem}"), format!("Use it as {usage}."));
        Self { foreseen: true, ..complaint }
    }

    /// The complaint as a fault of `file`, at the field `path`.
    pub(super) fn into_fault(self, file: String, path: String) -> Fault {
        let at = self.at.map(|at| format!("{at}: ")).unwrap_or_default();
        let begun = self.begun.map(|begun| format!(" of line {}", begun.line)).unwrap_or_default();
        Fault { file, path, problem: format!("{at}{}{begun}", self.problem), fix: self.fix }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_where_and_what_to_do() {
        let mut error = RenderError::new("w/workflow.json steps[0].template.subject", Cause::Budget(Limit::Steps));
        let rest = "rendering takes more than 100000 steps; loop over fewer items";
        assert_eq!(error.to_string(), format!("w/workflow.json steps[0].template.subject: {rest}"));
        error.at = Some(Position { line: 2, column: 7 });
        assert_eq!(error.to_string(), format!("w/workflow.json steps[0].template.subject line 2, column 7: {rest}"));
    }
}
