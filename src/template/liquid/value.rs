//! What a template computes with: the scope's JSON by reference, and what filters make of it. A copy costs nothing.
//!
//! Lists that share parts can spell out to far more than they hold, so whatever walks through a value pays as it goes.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::ZonedDateTime;
use serde_json::{Map, Value};

use crate::template::budget::{BoundedText, Budget, EMAIL_BYTES, Limit};

/// The deepest nesting of a value: each way through one is a recursion. Data that was parsed from JSON has at most 128
/// levels, and no filter goes deeper than this.
const DEEPEST: usize = 256;
/// The deepest nesting of lists and records that filters make. They are also dropped by a recursion.
const DEEPEST_MADE: usize = 64;
/// What an item of a list costs to look at or to make, as bytes of text: at most 1.6 million are looked at in one
/// rendering, and 200,000 made.
pub(super) const ITEM_BYTES: usize = 64;

#[derive(Clone, Debug)]
pub(super) enum Val<'s> {
    Nil,
    Bool(bool),
    Int(i64),
    /// Always finite.
    Float(f64),
    Str(&'s str),
    Text(Rc<str>),
    Array(&'s [Value]),
    List(Rc<Nest<Vec<Val<'s>>>>),
    Object(&'s Map<String, Value>),
    Record(Rc<Nest<BTreeMap<String, Val<'s>>>>),
    /// `(1..3)`, both ends included.
    Range(i64, i64),
    /// `forloop`.
    Loop(Rc<Turn>),
    /// A time in a zone that was asked for.
    Moment(Rc<ZonedDateTime>),
    /// The words `empty` and `blank`, for comparisons.
    Empty,
    Blank,
}

/// Something made of values, and how deep it nests.
#[derive(Debug)]
pub(super) struct Nest<T> {
    content: T,
    depth: usize,
}

/// Where a loop stands.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) index: usize,
    pub(super) length: usize,
    /// Of a table row.
    pub(super) columns: Option<usize>,
    pub(super) outer: Option<Rc<Turn>>,
}

impl Turn {
    fn field(&self, name: &str) -> Option<Val<'static>> {
        let number = |number: usize| Some(Val::Int(i64::try_from(number).unwrap_or(i64::MAX)));
        let column = self.columns.map(|columns| (self.index % columns, columns));
        match (name, column) {
            ("index", _) => number(self.index + 1),
            ("index0", _) => number(self.index),
            ("rindex", _) => number(self.length - self.index),
            ("rindex0", _) => number(self.length - self.index - 1),
            ("length", _) => number(self.length),
            ("first", _) => Some(Val::Bool(self.index == 0)),
            ("last", _) => Some(Val::Bool(self.index + 1 == self.length)),
            ("parentloop", _) => self.outer.clone().map(Val::Loop),
            ("col", Some((column, _))) => number(column + 1),
            ("col0", Some((column, _))) => number(column),
            ("col_first", Some((column, _))) => Some(Val::Bool(column == 0)),
            ("col_last", Some((column, columns))) => Some(Val::Bool(column + 1 == columns)),
            ("row", Some((_, columns))) => number(self.index / columns + 1),
            _ => None,
        }
    }
}

impl<'s> From<&'s Value> for Val<'s> {
    fn from(value: &'s Value) -> Self {
        match value {
            Value::Null => Self::Nil,
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Number(number) => match number.as_i64() {
                Some(number) => Self::Int(number),
                None => number.as_f64().filter(|number| number.is_finite()).map_or(Self::Nil, Self::Float),
            },
            Value::String(text) => Self::Str(text),
            Value::Array(items) => Self::Array(items),
            Value::Object(fields) => Self::Object(fields),
        }
    }
}

impl<'s> Val<'s> {
    /// A text that was made. Refuses what no message can hold.
    pub(super) fn text(text: impl Into<Rc<str>>, budget: &Budget) -> Result<Self, Limit> {
        let text = text.into();
        if text.len() > EMAIL_BYTES {
            return Err(Limit::Output(EMAIL_BYTES));
        }
        budget.take_making(text.len())?;
        Ok(Self::Text(text))
    }

    /// A list that was made.
    pub(super) fn list(items: Vec<Self>, budget: &Budget) -> Result<Self, Limit> {
        budget.take_making(items.len().saturating_mul(ITEM_BYTES))?;
        let depth = nest(items.iter())?;
        Ok(Self::List(Rc::new(Nest { content: items, depth })))
    }

    /// An object that was made.
    pub(super) fn record(fields: BTreeMap<String, Self>, budget: &Budget) -> Result<Self, Limit> {
        budget.take_making(fields.keys().map(|key| key.len() + ITEM_BYTES).sum())?;
        let depth = nest(fields.values())?;
        Ok(Self::Record(Rc::new(Nest { content: fields, depth })))
    }

    /// What `value` says, as a value of its own.
    pub(super) fn owned(value: Value, budget: &Budget) -> Result<Self, Limit> {
        match value {
            Value::String(text) => Self::text(text, budget),
            Value::Array(items) => {
                let items = items.into_iter().map(|item| Self::owned(item, budget)).collect::<Result<_, _>>()?;
                Self::list(items, budget)
            }
            Value::Object(fields) => {
                let owned = |(key, item)| Ok((key, Self::owned(item, budget)?));
                Self::record(fields.into_iter().map(owned).collect::<Result<_, Limit>>()?, budget)
            }
            Value::Null => Ok(Self::Nil),
            Value::Bool(truth) => Ok(Self::Bool(truth)),
            Value::Number(number) => Ok(match number.as_i64() {
                Some(number) => Self::Int(number),
                None => number.as_f64().map_or(Self::Nil, Self::Float),
            }),
        }
    }

    /// Only nothing and false are false.
    pub(super) fn truthy(&self) -> bool {
        !matches!(self, Self::Nil | Self::Bool(false))
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// How many items a list has; none for what is no list.
    pub(super) fn count(&self) -> Option<usize> {
        match self {
            Self::Array(items) => Some(items.len()),
            Self::List(items) => Some(items.content.len()),
            Self::Range(first, last) if last < first => Some(0),
            Self::Range(first, last) => {
                Some(usize::try_from(last.abs_diff(*first)).map_or(usize::MAX, |count| count.saturating_add(1)))
            }
            _ => None,
        }
    }

    /// The item of a list.
    pub(super) fn item(&self, index: usize) -> Option<Self> {
        match self {
            Self::Array(items) => items.get(index).map(Self::from),
            Self::List(items) => items.content.get(index).cloned(),
            Self::Range(first, last) => {
                let value = first.checked_add_unsigned(u64::try_from(index).ok()?)?;
                (value <= *last).then_some(Self::Int(value))
            }
            _ => None,
        }
    }

    /// The fields of an object.
    pub(super) fn fields(&self) -> Option<Vec<(&str, Self)>> {
        match self {
            Self::Object(fields) => Some(fields.iter().map(|(key, value)| (key.as_str(), value.into())).collect()),
            Self::Record(fields) => {
                Some(fields.content.iter().map(|(key, value)| (key.as_str(), value.clone())).collect())
            }
            _ => None,
        }
    }

    /// `value.name`. What there is not is nil.
    pub(super) fn field(&self, name: &str) -> Self {
        let own = match self {
            Self::Object(fields) => fields.get(name).map(Self::from),
            Self::Record(fields) => fields.content.get(name).cloned(),
            Self::Loop(turn) => turn.field(name),
            _ => None,
        };
        own.or_else(|| match name {
            "size" => self.size().map(|size| Self::Int(i64::try_from(size).unwrap_or(i64::MAX))),
            "first" => self.item(0),
            "last" => self.item(self.count()?.checked_sub(1)?),
            _ => None,
        })
        .unwrap_or(Self::Nil)
    }

    /// `value[key]`. A negative index counts from the end.
    pub(super) fn index(&self, key: &Self) -> Self {
        match key {
            Self::Int(index) => {
                let index = match (usize::try_from(*index), self.count()) {
                    (Ok(index), _) => Some(index),
                    (Err(_), count) => {
                        count.and_then(|count| count.checked_sub(usize::try_from(index.unsigned_abs()).ok()?))
                    }
                };
                index.and_then(|index| self.item(index)).unwrap_or(Self::Nil)
            }
            key => key.as_str().map_or(Self::Nil, |name| self.field(name)),
        }
    }

    /// Characters of a text, items of a list, fields of an object.
    pub(super) fn size(&self) -> Option<usize> {
        match self {
            Self::Object(fields) => Some(fields.len()),
            Self::Record(fields) => Some(fields.content.len()),
            value => value.as_str().map(|text| text.chars().count()).or_else(|| value.count()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.as_str().map_or_else(|| self.size() == Some(0), str::is_empty)
    }

    fn is_blank(&self) -> bool {
        !self.truthy() || self.is_empty() || self.as_str().is_some_and(|text| text.trim().is_empty())
    }

    /// What kind of value this is, for errors: they reach the log, and a value may be a recipient's.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nil | Self::Empty | Self::Blank => "nothing",
            Self::Bool(_) => "a truth value",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Str(_) | Self::Text(_) => "a text",
            Self::Array(_) | Self::List(_) | Self::Range(..) => "a list",
            Self::Object(_) | Self::Record(_) | Self::Loop(_) => "an object",
            Self::Moment(_) => "a time",
        }
    }

    /// The value as text: nothing for nil, the items of a list one after the other, JSON for objects.
    pub(super) fn to_text<'a>(&'a self, budget: &Budget) -> Result<Cow<'a, str>, Limit> {
        if let Some(text) = self.as_str() {
            return Ok(Cow::Borrowed(text));
        }
        let mut out = BoundedText::up_to(EMAIL_BYTES, budget);
        self.write(&mut out, budget)?;
        Ok(Cow::Owned(out.into_text()))
    }

    /// Writes what `to_text` says.
    pub(super) fn write(&self, out: &mut BoundedText<'_>, budget: &Budget) -> Result<(), Limit> {
        self.write_at(0, out, budget)
    }

    fn write_at(&self, depth: usize, out: &mut BoundedText<'_>, budget: &Budget) -> Result<(), Limit> {
        match self {
            Self::Nil | Self::Empty | Self::Blank | Self::Loop(_) => Ok(()),
            Self::Bool(truth) => out.push(if *truth { "true" } else { "false" }),
            Self::Int(number) => out.push(&number.to_string()),
            Self::Float(number) => out.push(&number_text(*number)),
            Self::Str(text) => out.push(text),
            Self::Text(text) => out.push(text),
            Self::Moment(at) => out.push(&at.timestamp().display_with_offset(at.offset()).to_string()),
            Self::Object(_) | Self::Record(_) => self.write_json_at(depth, out, budget),
            Self::Array(_) | Self::List(_) | Self::Range(..) => {
                for item in items(self, depth, budget) {
                    item?.write_at(depth + 1, out, budget)?;
                }
                Ok(())
            }
        }
    }

    /// Writes the value as JSON.
    pub(super) fn write_json(&self, out: &mut BoundedText<'_>, budget: &Budget) -> Result<(), Limit> {
        self.write_json_at(0, out, budget)
    }

    fn write_json_at(&self, depth: usize, out: &mut BoundedText<'_>, budget: &Budget) -> Result<(), Limit> {
        if let Some(fields) = self.fields() {
            deeper(depth)?;
            budget.take_reading(1024 + fields.len().saturating_mul(ITEM_BYTES))?;
            out.push("{")?;
            for (index, (key, value)) in fields.into_iter().enumerate() {
                out.push(if index > 0 { "," } else { "" })?;
                out.push(&Value::from(key).to_string())?;
                out.push(":")?;
                value.write_json_at(depth + 1, out, budget)?;
            }
            return out.push("}");
        }
        if self.count().is_some() {
            out.push("[")?;
            for (index, item) in items(self, depth, budget).enumerate() {
                out.push(if index > 0 { "," } else { "" })?;
                item?.write_json_at(depth + 1, out, budget)?;
            }
            return out.push("]");
        }
        match self {
            Self::Bool(_) | Self::Int(_) | Self::Float(_) => self.write_at(depth, out, budget),
            Self::Str(_) | Self::Text(_) | Self::Moment(_) => {
                out.push(&Value::from(self.to_text(budget)?.into_owned()).to_string())
            }
            _ => out.push("null"),
        }
    }

    /// `==`. Numbers by value, texts letter by letter, lists and objects by what is in them; never across kinds.
    pub(super) fn equals(&self, other: &Self, budget: &Budget) -> Result<bool, Limit> {
        self.equals_at(other, 0, budget)
    }

    fn equals_at(&self, other: &Self, depth: usize, budget: &Budget) -> Result<bool, Limit> {
        Ok(match (self, other) {
            (Self::Empty, value) | (value, Self::Empty) => value.is_empty(),
            (Self::Blank, value) | (value, Self::Blank) => value.is_blank(),
            (Self::Nil, Self::Nil) => true,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Int(one), Self::Int(other)) => one == other,
            (Self::Int(_) | Self::Float(_), Self::Int(_) | Self::Float(_)) => {
                self.compare(other).is_some_and(Ordering::is_eq)
            }
            (Self::Moment(one), Self::Moment(other)) => one == other,
            _ => {
                if let (Some(one), Some(other)) = (self.as_str(), other.as_str()) {
                    budget.take_reading(one.len().min(other.len()))?;
                    return Ok(one == other);
                }
                if let (Some(one), Some(another)) = (self.count(), other.count()) {
                    if one != another {
                        return Ok(false);
                    }
                    for (one, other) in items(self, depth, budget).zip(items(other, depth, budget)) {
                        if !one?.equals_at(&other?, depth + 1, budget)? {
                            return Ok(false);
                        }
                    }
                    return Ok(true);
                }
                let (Some(one), Some(another)) = (self.fields(), other.fields()) else { return Ok(false) };
                deeper(depth)?;
                budget.take_reading(1024 + (one.len() + another.len()).saturating_mul(ITEM_BYTES))?;
                if one.len() != another.len() {
                    return Ok(false);
                }
                for ((key, one), (other_key, other)) in one.iter().zip(&another) {
                    if key != other_key || !one.equals_at(other, depth + 1, budget)? {
                        return Ok(false);
                    }
                }
                true
            }
        })
    }

    /// The order of two numbers or of two texts; other values have none.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(one), Self::Int(other)) => Some(one.cmp(other)),
            (Self::Int(one), Self::Float(other)) => (*one as f64).partial_cmp(other),
            (Self::Float(one), Self::Int(other)) => one.partial_cmp(&(*other as f64)),
            (Self::Float(one), Self::Float(other)) => one.partial_cmp(other),
            (one, other) => Some(one.as_str()?.cmp(other.as_str()?)),
        }
    }

    /// Whether a text has the part, a list the item, an object the key.
    pub(super) fn contains(&self, part: &Self, budget: &Budget) -> Result<bool, Limit> {
        if let Some(text) = self.as_str() {
            budget.take_reading(text.len())?;
            return Ok(part.truthy() && text.contains(&*part.to_text(budget)?));
        }
        if self.count().is_some() {
            for item in items(self, 0, budget) {
                if item?.equals(part, budget)? {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        let key = part.to_text(budget)?;
        Ok(match self {
            Self::Object(fields) => fields.contains_key(&*key),
            Self::Record(fields) => fields.content.contains_key(&*key),
            _ => false,
        })
    }
}

/// The items of a list, each paid for.
pub(super) fn items<'v, 's>(
    value: &'v Val<'s>,
    depth: usize,
    budget: &'v Budget,
) -> impl Iterator<Item = Result<Val<'s>, Limit>> + 'v {
    (0..value.count().unwrap_or(0)).map_while(move |index| {
        let item = value.item(index)?;
        let paid = deeper(depth).and_then(|()| match index % (1024 / ITEM_BYTES) {
            0 => budget.take(1),
            _ => Ok(()),
        });
        Some(paid.map(|()| item))
    })
}

fn deeper(depth: usize) -> Result<(), Limit> {
    if depth < DEEPEST { Ok(()) } else { Err(Limit::Depth(DEEPEST)) }
}

/// The depth of what holds `parts`.
fn nest<'v, 's: 'v>(parts: impl Iterator<Item = &'v Val<'s>>) -> Result<usize, Limit> {
    let depth = parts.map(|part| match part {
        Val::List(items) => items.depth,
        Val::Record(fields) => fields.depth,
        _ => 0,
    });
    let depth = 1 + depth.max().unwrap_or(0);
    if depth > DEEPEST_MADE { Err(Limit::Depth(DEEPEST_MADE)) } else { Ok(depth) }
}

/// A number as people write it: no `.0`, no exponent.
fn number_text(number: f64) -> String {
    if number == 0.0 { "0".to_owned() } else { number.to_string() }
}
