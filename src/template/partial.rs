//! Partials: content that templates of either language share. One knows what it is given and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::budget::Budget;
use super::email_markdown;
use super::error::{Complaint, RenderError, place_name};
use super::handlebars::Escape;
use super::language::Source;
use super::patchwork::Patchwork;
use crate::base::nearest::{did_you_mean, nearest};
use crate::model::partial::{Input, Partial as Written, PartialKind};

/// A parsed partial.
#[derive(Debug)]
pub(super) struct Partial {
    /// Where its content was written, for errors: `partials/card/content.html`.
    label: String,
    source: Source,
    inputs: BTreeMap<String, Input>,
}

/// The partials that a template can name, by their keys. One that has faults of its own is known, and cannot be used.
#[derive(Clone, Debug, Default)]
pub(super) struct Partials {
    known: BTreeMap<String, Option<Arc<Partial>>>,
}

impl Partials {
    /// Parses `written`, beside which there are some `faulty` ones, for templates of HTML, or for others; `complain`
    /// takes each complaint, and where what it is about was written. A partial knows those that come before it in an
    /// order in which none needs a later one.
    pub(super) fn parse(
        written: &BTreeMap<String, Written>,
        faulty: &BTreeSet<String>,
        escape: Escape,
        complain: &mut dyn FnMut((String, String), Complaint),
    ) -> Self {
        let mut partials = Self { known: faulty.iter().map(|key| (key.clone(), None)).collect() };
        let mut left: Vec<(&String, &Written)> = written.iter().collect();
        while !left.is_empty() {
            // One whose content mentions none that is still to come can be parsed; of a circle, none can.
            let waits = |(key, one): &(&String, &Written)| {
                left.iter().any(|(other, _)| other != key && names(&one.content, other))
            };
            let (waiting, ready): (Vec<_>, Vec<_>) = left.iter().copied().partition(waits);
            for (key, one) in if ready.is_empty() { &left } else { &ready } {
                let parsed = Partial::parse(key, one, escape, &partials);
                let mut complain = |complaint| complain(one.place(key, "content"), complaint);
                let parsed = parsed.map_err(|complaints| complaints.into_iter().for_each(&mut complain));
                partials.known.insert((*key).clone(), parsed.ok().map(Arc::new));
            }
            left = if ready.is_empty() { Vec::new() } else { waiting };
        }
        partials
    }

    /// The partial `key`, or what is wrong with naming it and what to do.
    pub(super) fn find(&self, key: &str) -> Result<&Arc<Partial>, (String, String)> {
        match self.known.get(key) {
            Some(Some(partial)) => Ok(partial),
            Some(None) => {
                Err((format!("the partial `{key}` has faults of its own"), "Correct them; they are listed too.".into()))
            }
            None => {
                let fix = format!("Create partials/{key}/partial.json, or correct the name.");
                let near = nearest(key, self.known.keys().map(String::as_str));
                Err((format!("there is no partial `{key}`"), did_you_mean(near, &fix)))
            }
        }
    }

    /// `text`, followed by the contents of all partials that it names, and that those name.
    pub(super) fn with_mentioned(&self, text: &str) -> String {
        let mut all = text.to_owned();
        let mut left: Vec<_> = self.known.iter().filter_map(|(key, one)| Some((key, one.as_ref()?))).collect();
        while let Some(index) = left.iter().position(|(key, _)| names(&all, key)) {
            all.push_str(left.swap_remove(index).1.source.text());
        }
        all
    }
}

/// Whether a content names the partial `key`: it stands there in quotes, or behind `>`.
fn names(content: &str, key: &str) -> bool {
    content.match_indices(key).any(|(at, _)| content[..at].ends_with(['"', '\'', ' ', '>']))
}

impl Partial {
    fn parse(key: &str, written: &Written, escape: Escape, partials: &Partials) -> Result<Self, Vec<Complaint>> {
        let label = place_name(written.place(key, "content"));
        let (source, origins) = match (written.kind, escape) {
            (PartialKind::Markdown, Escape::Html) => {
                let mut patchwork = Patchwork::default();
                email_markdown::compile(&written.content, written.engine, "content".to_owned(), &mut patchwork)
                    .map_err(|complaint| vec![complaint])?;
                let (source, origins) = patchwork.finish();
                (source, Some(origins))
            }
            _ => (written.content.clone(), None),
        };
        let parsed = Source::parse(&source, written.engine, escape, partials);
        let source = parsed.map_err(|complaints| {
            let traced = complaints.into_iter().map(|mut complaint| {
                origins.as_ref().map(|origins| origins.trace(&source, &mut complaint));
                complaint
            });
            traced.collect::<Vec<_>>()
        })?;
        Ok(Self { label, source, inputs: written.inputs.clone() })
    }

    /// Whether the input `name` stays the value that it is given as, and does not become text. What no schema declares does
    /// if it is a list or an object: as text it could only be printed.
    pub(super) fn keeps(&self, name: &str, is_compound: bool) -> bool {
        self.inputs.get(name).map_or(is_compound, |input| input.typed)
    }

    /// Renders with what is given, out of the budget of the template that it stands in. `now` is that of the rendering.
    pub(super) fn render(
        &self,
        given: Map<String, Value>,
        now: Option<Value>,
        budget: &Rc<Budget>,
    ) -> Result<String, RenderError> {
        let mut scope = Map::new();
        scope.extend(now.map(|now| ("timestamp".to_owned(), now)));
        for (name, input) in &self.inputs {
            scope.extend(input.default.clone().map(|default| (name.clone(), default)));
        }
        for (name, value) in given {
            let value = match value {
                // Written as text in a block or a tag, but declared to be more.
                Value::String(text) if self.keeps(&name, false) => {
                    serde_json::from_str(&text).unwrap_or(Value::String(text))
                }
                Value::Null | Value::String(_) => value,
                value if self.keeps(&name, value.is_array() || value.is_object()) => value,
                value => Value::String(super::helper::text(&value)),
            };
            if !value.is_null() {
                scope.insert(name, value);
            }
        }
        self.source.render_inside(&self.label, Value::Object(scope), budget)
    }
}
