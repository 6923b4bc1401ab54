//! What one template may cost. Every bound is a count, so that the same input always gives the same answer.

use std::cell::Cell;
use std::fmt;
use std::io;

use handlebars::Output;
use serde_json::Value;

/// The longest template source, in bytes.
pub const SOURCE_BYTES: usize = 256 * 1024;
/// The deepest nesting of blocks in a template, an `else if` counting as one. The parser is quadratic in it.
pub const SOURCE_DEPTH: usize = 64;
/// The deepest nesting of blocks while rendering, over a layout, its content and the partials in both.
pub const RENDER_DEPTH: usize = 2 * SOURCE_DEPTH + 2;
/// The most tags in a template. Bounds what one pass over it can cost.
pub const SOURCE_TAGS: usize = 2_000;
/// The most path segments, values and sub-expressions in one tag. Bounds what one tag can cost.
pub const TAG_PARTS: usize = 64;
/// The longest subject and email body, in bytes.
pub const EMAIL_BYTES: usize = 1024 * 1024;
/// The longest text of a feed item, before and after Markdown, in bytes.
pub const FEED_BYTES: usize = 64 * 1024;
/// The deepest nesting of Markdown. The sanitiser is quadratic in it.
pub const FEED_DEPTH: usize = 64;
/// The deepest nesting of an email's HTML from which a text part is made.
pub const HTML_DEPTH: usize = 128;
/// The sum over an email's tags of their depth, which bounds the nodes that a browser's repair rules can make of it.
pub const HTML_WEIGHT: usize = 300_000;
/// The work of one rendering: a turn of a loop, a tag inside a block and each KiB that a helper reads or makes is a step.
pub const STEPS: u64 = 100_000;

/// The limit that a template ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `STEPS`.
    Steps,
    /// The longest output, in bytes.
    Output(usize),
    /// The deepest nesting of what came out.
    Depth(usize),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps => write!(f, "rendering takes more than {STEPS} steps; loop over fewer items"),
            Self::Output(bytes) => write!(f, "the result is longer than {} KiB; pass less data", bytes / 1024),
            Self::Depth(depth) => write!(f, "the result nests deeper than {depth} levels; flatten it"),
        }
    }
}

/// What is left of one rendering's budget, the partials in it included.
pub(super) struct Budget {
    steps: Cell<u64>,
    /// Steps that each step costs on top, while names resolve to values that are copied at every mention.
    surcharge: Cell<u64>,
    /// How deep blocks nest right now, over all templates that stand in one another: each level is a recursion.
    depth: Cell<usize>,
    output: usize,
    exceeded: Cell<Option<Limit>>,
}

impl Budget {
    pub(super) fn new(output: usize) -> Self {
        Self {
            steps: Cell::new(STEPS),
            surcharge: Cell::new(0),
            depth: Cell::new(0),
            output,
            exceeded: Cell::new(None),
        }
    }

    /// Takes `steps`, each at the current surcharge.
    pub(super) fn take(&self, steps: u64) -> Result<(), Limit> {
        let cost = steps.saturating_mul(1 + self.surcharge.get());
        match self.steps.get().checked_sub(cost) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => Err(self.exceed(Limit::Steps)),
        }
    }

    /// Goes one level deeper, until `ascend`.
    pub(super) fn descend(&self) -> Result<(), Limit> {
        if self.depth.get() == RENDER_DEPTH {
            return Err(self.exceed(Limit::Depth(RENDER_DEPTH)));
        }
        self.depth.set(self.depth.get() + 1);
        Ok(())
    }

    /// Comes back from a level.
    pub(super) fn ascend(&self) {
        self.depth.set(self.depth.get().saturating_sub(1));
    }

    /// Raises the surcharge by what copying `bytes` costs and gives the raise, for `lower`.
    pub(super) fn raise(&self, bytes: usize) -> u64 {
        let raise = kib(bytes);
        self.surcharge.set(self.surcharge.get() + raise);
        raise
    }

    /// Ends a raise.
    pub(super) fn lower(&self, raise: u64) {
        self.surcharge.set(self.surcharge.get() - raise);
    }

    /// Takes the steps of reading `bytes`.
    pub(super) fn take_reading(&self, bytes: usize) -> Result<(), Limit> {
        self.take(kib(bytes))
    }

    /// Takes the steps of making `bytes` that a template may keep: eight times those of reading, so that one rendering
    /// holds at most 13 MB whatever it keeps.
    pub(super) fn take_making(&self, bytes: usize) -> Result<(), Limit> {
        self.take(kib(bytes.saturating_mul(8)))
    }

    /// Takes the steps of reading or making `value`.
    pub(super) fn take_value(&self, value: &Value) -> Result<(), Limit> {
        self.take(kib(weight(value)))
    }

    /// The first limit that was met.
    pub(super) fn exceeded(&self) -> Option<Limit> {
        self.exceeded.get()
    }

    fn exceed(&self, limit: Limit) -> Limit {
        let first = self.exceeded.get().unwrap_or(limit);
        self.exceeded.set(Some(first));
        first
    }
}

fn kib(bytes: usize) -> u64 {
    bytes as u64 / 1024
}

/// Roughly the bytes of `value` in memory. Stops counting at what no budget could pay for.
pub(super) fn weight(value: &Value) -> usize {
    const ENOUGH: usize = STEPS as usize * 1024 + 1024;
    fn add(value: &Value, depth: usize, sum: &mut usize) {
        *sum += 16;
        if *sum > ENOUGH || depth > 256 {
            *sum = ENOUGH;
            return;
        }
        match value {
            Value::String(text) => *sum += text.len(),
            Value::Array(items) => {
                for item in items {
                    add(item, depth + 1, sum);
                    if *sum >= ENOUGH {
                        return;
                    }
                }
            }
            Value::Object(fields) => {
                for (key, item) in fields {
                    *sum += key.len();
                    add(item, depth + 1, sum);
                    if *sum >= ENOUGH {
                        return;
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut sum = 0;
    add(value, 0, &mut sum);
    sum
}

/// Collects a rendering and refuses the byte that is one too many.
pub(super) struct BoundedText<'b> {
    text: String,
    most: usize,
    budget: &'b Budget,
}

impl<'b> BoundedText<'b> {
    pub(super) fn new(budget: &'b Budget) -> Self {
        Self { text: String::new(), most: budget.output, budget }
    }

    /// Collects what is not the rendering itself, such as a text inside it, up to `most` bytes.
    pub(super) fn up_to(most: usize, budget: &'b Budget) -> Self {
        Self { text: String::new(), most, budget }
    }

    /// What was collected so far.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn push(&mut self, piece: &str) -> Result<(), Limit> {
        if self.text.len() + piece.len() > self.most {
            return Err(self.budget.exceed(Limit::Output(self.most)));
        }
        self.text.push_str(piece);
        Ok(())
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

impl Output for BoundedText<'_> {
    fn write(&mut self, piece: &str) -> Result<(), io::Error> {
        self.push(piece).map_err(|limit| io::Error::other(limit.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_under_a_surcharge_costs_more_and_the_surcharge_ends() {
        let budget = Budget::new(10);
        let raise = budget.raise(9 * 1024);
        budget.take(9_000).unwrap();
        budget.lower(raise);
        budget.take(10_000).unwrap();
        assert_eq!(budget.take(1), Err(Limit::Steps));
        assert_eq!(budget.exceeded(), Some(Limit::Steps));
    }

    #[test]
    fn output_stops_at_the_limit_and_not_before() {
        let budget = Budget::new(4);
        let mut out = BoundedText::new(&budget);
        out.write("four").unwrap();
        out.write("").unwrap();
        assert!(out.write("!").is_err());
        assert_eq!(budget.exceeded(), Some(Limit::Output(4)));
    }
}
