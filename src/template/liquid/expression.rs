//! Expressions: what stands in an output, a condition or an assignment.

use super::filter::{self, Filter};
use super::value::Val;
use super::words::{Word, Words};
use crate::base::nearest::nearest;
use crate::template::error::Complaint;

/// The deepest nesting of brackets and ranges: each level is a recursion.
const DEEPEST: usize = 16;

/// `a == 1 and b | default: "c"`.
#[derive(Debug)]
pub(super) struct Expression {
    pub(super) first: Comparison,
    /// What follows. There is no precedence: `a and b or c` is `a and (b or c)`.
    pub(super) joined: Vec<(Join, Comparison)>,
    pub(super) filters: Vec<Call>,
    /// Where it begins in the source.
    pub(super) at: usize,
    /// The steps that evaluating it takes, filters aside.
    pub(super) cost: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    And,
    Or,
}

/// A value, or two that are compared.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) negated: bool,
    pub(super) left: Operand,
    pub(super) right: Option<(Test, Operand)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
}

const TESTS: [(&str, Test); 7] = [
    ("==", Test::Equal),
    ("!=", Test::NotEqual),
    ("<>", Test::NotEqual),
    ("<=", Test::LessOrEqual),
    (">=", Test::GreaterOrEqual),
    ("<", Test::Less),
    (">", Test::Greater),
];

#[derive(Debug)]
pub(super) enum Operand {
    Literal(Literal),
    /// A variable and the way into it.
    Path(Box<Root>, Vec<Part>),
    Range(Box<(Operand, Operand)>),
}

#[derive(Debug)]
pub(super) enum Literal {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Empty,
    Blank,
}

impl Operand {
    /// The value that is written in the source; none for one that only a rendering knows.
    pub(super) fn written(&self) -> Option<Val<'_>> {
        match self {
            Self::Literal(literal) => Some(literal.value()),
            Self::Path(..) | Self::Range(_) => None,
        }
    }
}

impl Literal {
    pub(super) fn value(&self) -> Val<'_> {
        match self {
            Self::Nil => Val::Nil,
            Self::Bool(truth) => Val::Bool(*truth),
            Self::Int(number) => Val::Int(*number),
            Self::Float(number) => Val::Float(*number),
            Self::Text(text) => Val::Str(text),
            Self::Empty => Val::Empty,
            Self::Blank => Val::Blank,
        }
    }
}

/// What a path begins with.
#[derive(Debug)]
pub(super) enum Root {
    Name(String),
    /// `["a name with blanks"]`.
    Computed(Operand),
}

/// A step of a path.
#[derive(Debug)]
pub(super) enum Part {
    Name(String),
    Index(Operand),
}

/// A filter and what it is called with.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) filter: &'static Filter,
    pub(super) args: Vec<Operand>,
    pub(super) named: Vec<(String, Operand)>,
    pub(super) at: usize,
    /// The steps that reading its arguments takes.
    pub(super) cost: u64,
}

impl Expression {
    /// The name of the variable that this is and nothing else.
    pub(super) fn as_name(&self) -> Option<&str> {
        let plain = self.joined.is_empty() && self.filters.is_empty() && self.first.right.is_none();
        match &self.first.left {
            Operand::Path(root, parts) if plain && !self.first.negated && parts.is_empty() => match &**root {
                Root::Name(name) => Some(name),
                Root::Computed(_) => None,
            },
            _ => None,
        }
    }
}

/// Reads an expression with its filters.
pub(super) fn expression(words: &mut Words<'_>) -> Result<Expression, Complaint> {
    let (at, before) = (words.offset(), words.taken());
    let first = comparison(words)?;
    let mut joined = Vec::new();
    loop {
        let join = match words.peek() {
            Some(Word::Name("and")) => Join::And,
            Some(Word::Name("or")) => Join::Or,
            _ => break,
        };
        words.next();
        joined.push((join, comparison(words)?));
    }
    let cost = cost(words, before);
    let mut filters: Vec<Call> = Vec::new();
    while words.take("|") {
        filters.push(call(words)?);
    }
    Ok(Expression { first, joined, filters, at, cost })
}

/// The steps that evaluating takes what was read since `before`.
fn cost(words: &Words<'_>, before: usize) -> u64 {
    1 + (words.taken() - before) as u64 / 8
}

/// Reads an expression that is all that is left of its tag.
pub(super) fn whole(words: &mut Words<'_>) -> Result<Expression, Complaint> {
    let expression = expression(words)?;
    let fix = match words.peek() {
        Some(Word::Mark("=")) => "Write == to compare.",
        Some(Word::Mark("(")) => "Filters are written {{ value | filter: argument }}.",
        Some(Word::Name(_)) => "Join values with `and` or `or`, and filters with `|`.",
        _ => "Remove it.",
    };
    words.end(fix)?;
    Ok(expression)
}

fn comparison(words: &mut Words<'_>) -> Result<Comparison, Complaint> {
    let mut negated = false;
    while words.take_name("not") {
        negated = !negated;
    }
    let left = operand(words, 0)?;
    let test = match words.peek() {
        Some(Word::Mark(mark)) => TESTS.iter().find(|(known, _)| known == mark).map(|(_, test)| *test),
        Some(Word::Name("contains")) => Some(Test::Contains),
        _ => None,
    };
    let Some(test) = test else { return Ok(Comparison { negated, left, right: None }) };
    words.next();
    Ok(Comparison { negated, left, right: Some((test, operand(words, 0)?)) })
}

/// Reads a single value.
pub(super) fn single(words: &mut Words<'_>) -> Result<Operand, Complaint> {
    operand(words, 0)
}

fn operand(words: &mut Words<'_>, depth: usize) -> Result<Operand, Complaint> {
    if depth > DEEPEST {
        return Err(words.complaint(format!("brackets nest deeper than {DEEPEST} levels"), "Assign parts to names."));
    }
    let root = match words.peek() {
        Some(Word::Name(_) | Word::Text(_) | Word::Int(_) | Word::Float(_) | Word::Mark("(" | "[")) => words.next(),
        _ => None,
    };
    let root = match root {
        Some(Word::Text(text)) => return Ok(Operand::Literal(Literal::Text(text))),
        Some(Word::Int(number)) => return Ok(Operand::Literal(Literal::Int(number))),
        Some(Word::Float(number)) => return Ok(Operand::Literal(Literal::Float(number))),
        Some(Word::Mark("(")) => return range(words, depth),
        Some(Word::Name(name)) => Root::Name(name.to_owned()),
        Some(Word::Mark(_)) => Root::Computed(index(words, depth)?),
        None => return Err(words.unexpected("a value", "Write a name, a number, or a text in quotes.")),
    };
    let mut parts = Vec::new();
    loop {
        if words.take(".") {
            let Some(Word::Name(name)) = words.peek() else {
                return Err(words.unexpected("a name", "Write names as in recipient.name, numbers as in items[0]."));
            };
            parts.push(Part::Name((*name).to_owned()));
            words.next();
        } else if words.take("[") {
            parts.push(Part::Index(index(words, depth)?));
        } else {
            break;
        }
    }
    match (&root, parts.is_empty()) {
        (Root::Name(name), true) => {
            Ok(literal(name).map_or_else(|| Operand::Path(Box::new(root), parts), Operand::Literal))
        }
        _ => Ok(Operand::Path(Box::new(root), parts)),
    }
}

fn literal(name: &str) -> Option<Literal> {
    Some(match name {
        "true" => Literal::Bool(true),
        "false" => Literal::Bool(false),
        "nil" | "null" => Literal::Nil,
        "empty" => Literal::Empty,
        "blank" => Literal::Blank,
        _ => return None,
    })
}

/// The value in brackets whose opening was taken.
fn index(words: &mut Words<'_>, depth: usize) -> Result<Operand, Complaint> {
    let value = operand(words, depth + 1)?;
    if words.take("]") { Ok(value) } else { Err(words.unexpected("`]`", "Close the bracket.")) }
}

/// The range whose opening was taken.
fn range(words: &mut Words<'_>, depth: usize) -> Result<Operand, Complaint> {
    const FIX: &str =
        "Parentheses are for ranges such as (1..3). Conditions are read from right to left; use `assign`.";
    let first = operand(words, depth + 1)?;
    if !words.take("..") {
        return Err(words.unexpected("`..`", FIX));
    }
    let last = operand(words, depth + 1)?;
    if words.take(")") { Ok(Operand::Range(Box::new((first, last)))) } else { Err(words.unexpected("`)`", FIX)) }
}

/// Reads a filter behind its `|`.
fn call(words: &mut Words<'_>) -> Result<Call, Complaint> {
    let (at, before) = (words.offset(), words.taken());
    let Some(Word::Name(name)) = words.peek() else {
        return Err(words.unexpected("the name of a filter", "Write it as in {{ name | upcase }}."));
    };
    let Some(filter) = filter::find(name) else {
        return Err(words.complaint(format!("there is no filter `{name}`"), instead_of(name)));
    };
    words.next();
    let usage = || format!("Use it as {}.", filter.usage);
    let (mut args, mut named) = (Vec::new(), Vec::new());
    let takes_more = words.take(":");
    while takes_more && !matches!(words.peek(), None | Some(Word::Mark("|"))) {
        match words.take_label(":") {
            Some(label) => named.push((label.to_owned(), operand(words, 0)?)),
            None => args.push(operand(words, 0)?),
        }
        if !words.take(",") {
            break;
        }
    }
    if !filter.takes.contains(&args.len()) {
        let problem = format!("`{}` does not take {} values", filter.name, args.len());
        return Err(words.complaint_at(at, problem, usage()));
    }
    let is_known = |label: &str| filter.options == filter::ANY || filter.options.contains(&label);
    if let Some((label, _)) = named.iter().find(|(label, _)| !is_known(label)) {
        let problem = format!("`{}` has no option `{label}:`", filter.name);
        return Err(words.complaint_at(at, problem, usage()));
    }
    Ok(Call { filter, args, named, at, cost: cost(words, before) })
}

fn instead_of(name: &str) -> String {
    match nearest(name, filter::ALL.iter().map(|filter| filter.name)).and_then(filter::find) {
        Some(near) => format!("Did you mean `{}`? Use it as {}.", near.name, near.usage),
        None => "Compute the value before the trigger.".to_owned(),
    }
}
