//! Filters of lists.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::number::{add, exact};
use super::{Answer, Call, Refusal, Val, number};
use crate::template::budget::{BoundedText, EMAIL_BYTES};

/// What lies at `path` in `value`, as in `author.name`; the value itself where there is no path.
pub(super) fn at<'s>(value: &Val<'s>, path: &str) -> Val<'s> {
    if path.is_empty() {
        return value.clone();
    }
    path.split('.').fold(value.clone(), |value, name| value.field(name))
}

/// The first or last item of a list, or letter of a text.
pub(super) fn end<'s>(value: &Val<'s>, first: bool) -> Val<'s> {
    if let Some(text) = value.as_str() {
        let letter = if first { text.chars().next() } else { text.chars().next_back() };
        return letter.map_or(Val::Nil, |letter| Val::Text(letter.to_string().into()));
    }
    let index = if first { Some(0) } else { value.count().and_then(|count| count.checked_sub(1)) };
    index.and_then(|index| value.item(index)).unwrap_or(Val::Nil)
}

pub(super) fn join<'s>(call: &Call<'_, 's>) -> Answer<'s> {
    let separator = call.text_or(0, " ")?;
    let mut out = BoundedText::up_to(EMAIL_BYTES, call.budget);
    for (index, item) in call.items()?.iter().enumerate() {
        out.push(if index > 0 { &separator } else { "" })?;
        item.write(&mut out, call.budget)?;
    }
    call.made(out.into_text())
}

/// Where a value comes in order: numbers, texts, truth values, everything else, nothing.
#[derive(PartialEq)]
enum Rank {
    Number(f64),
    Text(String),
    Bool(bool),
    Other,
    Nothing,
}

impl Rank {
    fn class(&self) -> u8 {
        match self {
            Self::Number(_) => 0,
            Self::Text(_) => 1,
            Self::Bool(_) => 2,
            Self::Other => 3,
            Self::Nothing => 4,
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.total_cmp(other),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Bool(one), Self::Bool(other)) => one.cmp(other),
            (one, other) => one.class().cmp(&other.class()),
        }
    }
}

/// The items in order of what lies at the path; texts as `fold` makes them.
pub(super) fn sort<'s>(call: &Call<'_, 's>, fold: fn(&str) -> String) -> Answer<'s> {
    let path = call.text_or(0, "")?;
    let items = call.items()?;
    let rounds = usize::try_from(items.len().max(2).ilog2()).unwrap_or(64);
    let mut ranked = Vec::with_capacity(items.len());
    for item in items {
        let value = at(&item, &path);
        let rank = match &value {
            Val::Nil => Rank::Nothing,
            Val::Bool(truth) => Rank::Bool(*truth),
            Val::Int(_) | Val::Float(_) => Rank::Number(number(&value)?),
            value => match value.as_str() {
                Some(text) => {
                    // It is copied once and then compared in each round.
                    call.budget.take_making(text.len())?;
                    call.budget.take_reading(text.len().saturating_mul(rounds))?;
                    Rank::Text(fold(text))
                }
                None => Rank::Other,
            },
        };
        ranked.push((rank, item));
    }
    ranked.sort_by(|(one, _), (other, _)| one.order(other));
    call.list(ranked.into_iter().map(|(_, item)| item))
}

/// What tells a value from others.
fn key(call: &Call<'_, '_>, value: &Val<'_>) -> Result<String, Refusal> {
    let mut out = BoundedText::up_to(EMAIL_BYTES, call.budget);
    value.write_json(&mut out, call.budget)?;
    let key = out.into_text();
    call.budget.take_making(key.len())?;
    Ok(key)
}

pub(super) fn uniq<'s>(call: &Call<'_, 's>) -> Answer<'s> {
    let path = call.text_or(0, "")?;
    let (mut seen, mut kept) = (HashSet::new(), Vec::new());
    for item in call.items()? {
        if seen.insert(key(call, &at(&item, &path))?) {
            kept.push(item);
        }
    }
    call.list(kept.into_iter())
}

/// The items that are in both lists.
pub(super) fn intersect<'s>(call: &Call<'_, 's>) -> Answer<'s> {
    let mut others = HashSet::new();
    for item in call.list_arg(0)? {
        others.insert(key(call, &item)?);
    }
    let mut kept = Vec::new();
    for item in call.items()? {
        if others.remove(&key(call, &item)?) {
            kept.push(item);
        }
    }
    call.list(kept.into_iter())
}

/// The items, and whether each has the value at the path; any true value where none is named.
pub(super) fn matching<'s>(call: &Call<'_, 's>) -> Result<Vec<(Val<'s>, bool)>, Refusal> {
    let path = call.arg_text(0)?;
    let mut all = Vec::new();
    for item in call.items()? {
        let value = at(&item, &path);
        let meets = match call.args.get(1) {
            Some(expected) => value.equals(expected, call.budget)?,
            None => value.truthy(),
        };
        all.push((item, meets));
    }
    Ok(all)
}

/// The items in groups of what lies at the path, each `{name, items}`, in the order in which they first come.
pub(super) fn group_by<'s>(call: &Call<'_, 's>) -> Answer<'s> {
    let path = call.arg_text(0)?;
    let mut groups: Vec<(Val<'s>, Vec<Val<'s>>)> = Vec::new();
    let mut places = HashMap::new();
    for item in call.items()? {
        let name = at(&item, &path);
        let place = *places.entry(key(call, &name)?).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, items)) => items.push(item),
            None => groups.push((name, vec![item])),
        }
    }
    let record = |(name, items)| {
        let items = call.list(items)?;
        Ok(Val::record(BTreeMap::from([("name".to_owned(), name), ("items".to_owned(), items)]), call.budget)?)
    };
    let records: Vec<_> =
        groups.into_iter().map(|(name, items)| record((name, items.into_iter()))).collect::<Result<_, Refusal>>()?;
    call.list(records.into_iter())
}

pub(super) fn sum<'s>(call: &Call<'_, 's>) -> Answer<'s> {
    let path = call.text_or(0, "")?;
    let mut total = Val::Int(0);
    for item in call.items()? {
        total = add(&total, &exact(&at(&item, &path))?)?;
    }
    Ok(total)
}
