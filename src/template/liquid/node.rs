//! A parsed template: a tree of what is written, done, decided and repeated.

use std::ops::Range;
use std::sync::Arc;

use super::expression::{Expression, Operand};
use crate::template::partial::Partial;

pub(super) type Block = Vec<Node>;

#[derive(Debug)]
pub(super) enum Node {
    /// A range of the source.
    Text(Range<usize>),
    Output(Expression),
    Assign {
        name: String,
        value: Expression,
    },
    Capture {
        name: String,
        body: Block,
    },
    /// `if` and `unless`: the first arm that holds, else the last block.
    If {
        arms: Vec<Arm>,
        otherwise: Block,
    },
    /// Every arm that has an equal value, else the last block.
    Case {
        value: Expression,
        arms: Vec<When>,
        otherwise: Block,
    },
    For(Box<Loop>),
    /// A partial, with what it is given.
    Render {
        partial: Arc<Partial>,
        given: Vec<(String, Operand)>,
        at: usize,
    },
    /// What the translators made of a text, else the text.
    Translated {
        /// The text as it is written: the key of its translation.
        key: String,
        given: Vec<(String, Operand)>,
        body: Block,
        at: usize,
    },
    Break,
    Continue,
    /// The values in turn; `group` tells cycles apart.
    Cycle {
        group: Option<Operand>,
        values: Vec<Operand>,
        text: String,
    },
    /// Adds to a counter; `prints_before` tells `increment` from `decrement`.
    Count {
        name: String,
        by: i64,
        prints_before: bool,
    },
}

#[derive(Debug)]
pub(super) struct Arm {
    /// Of `unless`.
    pub(super) negated: bool,
    pub(super) condition: Expression,
    pub(super) body: Block,
}

#[derive(Debug)]
pub(super) struct When {
    pub(super) values: Vec<Operand>,
    pub(super) body: Block,
}

/// `for` and `tablerow`.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) name: String,
    pub(super) list: Operand,
    /// Tells loops apart for `offset: continue`.
    pub(super) text: String,
    pub(super) offset: Option<Offset>,
    pub(super) limit: Option<Operand>,
    pub(super) reversed: bool,
    pub(super) body: Block,
    /// When there is nothing to loop over.
    pub(super) otherwise: Block,
    pub(super) table: Option<Table>,
    pub(super) at: usize,
}

/// `tablerow`: how many columns, if that is said.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) columns: Option<Operand>,
}

#[derive(Debug)]
pub(super) enum Offset {
    At(Operand),
    /// Where the last loop of this name over this list ended.
    Continue,
}

/// Shows each expression of the blocks to `see`.
pub(super) fn walk(nodes: &[Node], see: &mut dyn FnMut(&Expression)) {
    for node in nodes {
        match node {
            Node::Output(expression) | Node::Assign { value: expression, .. } => see(expression),
            Node::Capture { body, .. } | Node::Translated { body, .. } => walk(body, see),
            Node::If { arms, otherwise } => {
                for arm in arms {
                    see(&arm.condition);
                    walk(&arm.body, see);
                }
                walk(otherwise, see);
            }
            Node::Case { value, arms, otherwise } => {
                see(value);
                arms.iter().for_each(|arm| walk(&arm.body, see));
                walk(otherwise, see);
            }
            Node::For(repeat) => {
                walk(&repeat.body, see);
                walk(&repeat.otherwise, see);
            }
            Node::Text(_) | Node::Render { .. } | Node::Break | Node::Continue => {}
            Node::Cycle { .. } | Node::Count { .. } => {}
        }
    }
}
