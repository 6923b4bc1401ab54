//! The names that a template knows, the nearest first: those of its loops, those that it assigned, its counters, and
//! the scope that it was given.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::value::Val;

#[derive(Clone)]
pub(super) struct Names<'s> {
    loops: Vec<(&'s str, Val<'s>)>,
    assigned: HashMap<&'s str, Val<'s>>,
    counters: HashMap<&'s str, i64>,
    given: Option<&'s Map<String, Value>>,
    /// What is known where nothing else is.
    further: Option<&'s Map<String, Value>>,
}

impl<'s> Names<'s> {
    /// Those of `scope`, and no others yet.
    pub(super) fn new(scope: &'s Value) -> Self {
        let given = scope.as_object();
        Self { loops: Vec::new(), assigned: HashMap::new(), counters: HashMap::new(), given, further: None }
    }

    /// Adds names that all others win over.
    pub(super) fn know(&mut self, further: &'s Map<String, Value>) {
        self.further = Some(further);
    }

    /// What `name` stands for; nil if nothing.
    pub(super) fn get(&self, name: &str) -> Val<'s> {
        if let Some((_, value)) = self.loops.iter().rev().find(|(known, _)| *known == name) {
            return value.clone();
        }
        if let Some(value) = self.assigned.get(name) {
            return value.clone();
        }
        if let Some(count) = self.counters.get(name) {
            return Val::Int(*count);
        }
        let given = [self.given, self.further].into_iter().flatten();
        given.filter_map(|names| names.get(name)).next().map_or(Val::Nil, Val::from)
    }

    /// Gives a name to a value, for the rest of the rendering.
    pub(super) fn assign(&mut self, name: &'s str, value: Val<'s>) {
        self.assigned.insert(name, value);
    }

    /// Gives a name to a value inside a loop, until `leave`.
    pub(super) fn enter(&mut self, name: &'s str, value: Val<'s>) {
        self.loops.push((name, value));
    }

    pub(super) fn leave(&mut self) {
        self.loops.pop();
    }

    /// Adds to the counter `name`, which begins with the number of that name in the scope; answers it before and after.
    pub(super) fn count(&mut self, name: &'s str, by: i64) -> (i64, i64) {
        let given = || self.given.and_then(|given| given.get(name)).and_then(Value::as_i64).unwrap_or(0);
        let before = self.counters.get(name).copied().unwrap_or_else(given);
        let after = before.saturating_add(by);
        self.counters.insert(name, after);
        (before, after)
    }
}
