//! A table while it is being read. The keys that are asked for are the keys that are known and what is left over at the
//! end is unknown, so no second list of keys can disagree with the code that reads them.

use std::collections::BTreeSet;

use super::fault::{ConfigError, Origin, Wrong};
use super::setting::Setting;
use super::tree::{Node, Table, Value};
use crate::base::nearest::nearest;

/// One table and the faults found in it so far.
pub(super) struct Section<'a> {
    /// The dotted path; empty for the whole configuration.
    path: String,
    /// Where the table begins: the place of a key that is missing.
    origin: Origin,
    table: Table,
    asked: BTreeSet<&'static str>,
    errors: &'a mut Vec<ConfigError>,
}

impl<'a> Section<'a> {
    pub fn new(path: impl Into<String>, origin: Origin, table: Table, errors: &'a mut Vec<ConfigError>) -> Self {
        Self { path: path.into(), origin, table, asked: BTreeSet::new(), errors }
    }

    /// The value of `key`, whatever its type; `key` is known from now on.
    pub fn take(&mut self, key: &'static str) -> Option<Node> {
        self.asked.insert(key);
        self.table.get(key).cloned()
    }

    /// The whole table: every key of it is known.
    pub fn take_all(&mut self) -> Table {
        std::mem::take(&mut self.table)
    }

    /// A setting that may be absent. A faulty one is reported and then absent.
    pub fn get<T: Setting>(&mut self, key: &'static str) -> Option<T> {
        let node = self.take(key)?;
        T::read(&node.value).map_err(|wrong| self.report(key, wrong)).ok()
    }

    /// A setting with a default.
    pub fn get_or<T: Setting>(&mut self, key: &'static str, default: T) -> T {
        self.get(key).unwrap_or(default)
    }

    /// A setting that must be there.
    pub fn require<T: Setting>(&mut self, key: &'static str, example: &str) -> Option<T> {
        if self.take(key).is_none() {
            self.report(key, Wrong::new("missing", format!("Add for example `{key} = \"{example}\"`.")));
        }
        self.get(key)
    }

    /// Reports `key` unless `right`.
    pub fn check(&mut self, key: &'static str, right: bool, wrong: impl FnOnce() -> Wrong) {
        if !right {
            self.report(key, wrong());
        }
    }

    /// Reports a fault of `key`.
    pub fn report(&mut self, key: &str, wrong: Wrong) {
        let origin = self.table.get(key).map_or(&self.origin, |node| &node.origin);
        self.errors.push(ConfigError::new(origin.clone(), self.dotted(key), wrong));
    }

    /// Reads the section `key`, which may be absent: then all its settings are.
    pub fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let (origin, table) = match self.take(key) {
            Some(Node { origin, value: Value::Table(table) }) => (origin, table),
            Some(node) => {
                let expected = format!("a section, written [{key}]");
                self.report(key, node.value.is_not(&expected));
                (node.origin, Table::new())
            }
            None => (self.origin.clone(), Table::new()),
        };
        let path = self.dotted(key);
        self.nested(path, origin, table, read)
    }

    /// Reads `table`, which lies at `path`.
    pub fn nested<T>(
        &mut self,
        path: String,
        origin: Origin,
        table: Table,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        let mut section = Section::new(path, origin, table, self.errors);
        let value = read(&mut section);
        section.finish();
        value
    }

    /// Takes all keys as known, where a fault already reported makes it impossible to tell.
    pub fn forgive_unknown_keys(&mut self) {
        self.table.retain(|key, _| self.asked.contains(key.as_str()));
    }

    /// Reports what nobody asked for.
    pub fn finish(self) {
        let known: Vec<&str> = self.asked.iter().copied().collect();
        let what = if self.path.is_empty() { "section" } else { "key" };
        for (key, node) in self.table.iter().filter(|(key, _)| !self.asked.contains(key.as_str())) {
            for origin in origins(node) {
                let mut wrong = Wrong::unknown(what, key, &known);
                if let Some(name) = nearest(key, known.iter().copied()).and_then(|near| origin.spell(&self.path, near))
                {
                    wrong.fix = format!("Did you mean `{name}`? Known: {}.", known.join(", "));
                }
                self.errors.push(ConfigError::new(origin.clone(), self.dotted(key), wrong));
            }
        }
    }

    fn dotted(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// Where `node` was set. A section that only the environment knows was set by each of its variables.
fn origins(node: &Node) -> Vec<&Origin> {
    match (&node.origin, &node.value) {
        (Origin::Environment(_), Value::Table(table)) => table.values().map(|child| &child.origin).collect(),
        (origin, _) => vec![origin],
    }
}
