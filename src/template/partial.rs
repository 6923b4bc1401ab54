//! Partials: content that templates of either language share. One knows what it is given and nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    /// While one is parsed that stands in itself: for each partial it names, the way from there back to it.
    circles: BTreeMap<String, Vec<String>>,
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
        let known = faulty.iter().map(|key| (key.clone(), None)).collect();
        let mut partials = Self { known, circles: BTreeMap::new() };
        let mut left: BTreeMap<&str, &Written> = written.iter().map(|(key, one)| (key.as_str(), one)).collect();
        while !left.is_empty() {
            let named = |one: &Written| left.keys().copied().filter(|key| names(&one.content, key)).collect();
            let named: Names<'_> = left.iter().map(|(key, one)| (*key, named(one))).collect();
            // One that names none that is still to come can be parsed; of those in a circle, none ever can.
            let mut next: Vec<&str> = left.keys().copied().filter(|key| named[key].is_empty()).collect();
            if next.is_empty() {
                next = left.keys().copied().filter(|key| !circles(&named, key).is_empty()).collect();
            }
            for key in next {
                partials.circles = circles(&named, key);
                let Some(one) = left.remove(key) else { continue };
                let mut complain = |complaint| complain(one.place(key, "content"), complaint);
                let parsed = Partial::parse(key, one, escape, &partials, &mut complain);
                partials.known.insert(key.to_owned(), parsed.map(Arc::new));
            }
        }
        partials.circles = BTreeMap::new();
        partials
    }

    /// The partial `key`, or what is wrong with naming it and what to do.
    pub(super) fn find(&self, key: &str) -> Result<&Arc<Partial>, (String, String)> {
        if let Some(way) = self.circles.get(key) {
            let problem = format!("the partial stands in itself: it names `{}`", way.join("`, which names `"));
            return Err((problem, "Take one of these names out: nothing can hold itself.".into()));
        }
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

/// Whether a content names the partial `key`, in a tag of either language: `{{> card}}` or `{% render "card" %}`.
fn names(content: &str, key: &str) -> bool {
    content.match_indices(key).any(|(at, _)| {
        let (before, behind) =
            (content[..at].trim_end_matches(['"', '\'', '[']).trim_end(), &content[at + key.len()..]);
        let is_whole = !behind.starts_with(|letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-'));
        let in_handlebars = || before.strip_suffix('>').is_some_and(|tag| tag.trim_end_matches('~').ends_with("{{"));
        is_whole && (before.ends_with("render") || in_handlebars())
    })
}

/// Which of some partials each of them names.
type Names<'k> = BTreeMap<&'k str, Vec<&'k str>>;

/// For each partial that `key` names and that leads back to it, the shortest way.
fn circles(named: &Names<'_>, key: &str) -> BTreeMap<String, Vec<String>> {
    let firsts = named.get(key).into_iter().flatten();
    firsts.filter_map(|first| Some(((*first).to_owned(), way(named, first, key)?))).collect()
}

/// The shortest way by names from `first` to `last`, both included.
fn way(named: &Names<'_>, first: &str, last: &str) -> Option<Vec<String>> {
    let mut ways = VecDeque::from([vec![first]]);
    let mut seen = BTreeSet::from([first]);
    while let Some(way) = ways.pop_front() {
        let end = *way.last()?;
        if end == last {
            return Some(way.into_iter().map(str::to_owned).collect());
        }
        for next in named.get(end).into_iter().flatten().filter(|next| seen.insert(next)) {
            ways.push_back([&way[..], &[*next]].concat());
        }
    }
    None
}

impl Partial {
    fn parse(
        key: &str,
        written: &Written,
        escape: Escape,
        partials: &Partials,
        complain: &mut dyn FnMut(Complaint),
    ) -> Option<Self> {
        let label = place_name(written.place(key, "content"));
        let (source, origins) = match (written.kind, escape) {
            (PartialKind::Markdown, Escape::Html) => {
                let mut patchwork = Patchwork::default();
                email_markdown::compile(&written.content, written.engine, "content".to_owned(), &mut patchwork)
                    .map_err(&mut *complain)
                    .ok()?;
                let (source, origins) = patchwork.finish();
                (source, Some(origins))
            }
            _ => (written.content.clone(), None),
        };
        let source = Source::read(&source, written.engine, escape, partials, &mut |mut complaint| {
            origins.as_ref().map(|origins| origins.trace(&source, &mut complaint));
            complain(complaint);
        })?;
        Some(Self { label, source, inputs: written.inputs.clone() })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::workflow::Engine;

    /// All complaints about partials of these contents.
    fn complaints(engine: Engine, written: &[(&str, &str)]) -> Vec<String> {
        let one = |content: &str| Written {
            kind: PartialKind::Html,
            content: content.to_owned(),
            engine,
            inputs: BTreeMap::new(),
            files: Default::default(),
        };
        let written = written.iter().map(|(key, content)| ((*key).to_owned(), one(content))).collect();
        let mut found = Vec::new();
        Partials::parse(&written, &BTreeSet::new(), Escape::Html, &mut |(file, _), complaint| {
            let key = file.split('/').nth(1).unwrap_or_default();
            found.push(format!("{key}: {}. {}", complaint.problem, complaint.fix));
        });
        found
    }

    #[test]
    fn a_partial_that_stands_in_itself_is_told_as_a_circle() {
        const FIX: &str = "Take one of these names out: nothing can hold itself.";
        let around = |key: &str, way: &str| format!("{key}: the partial stands in itself: it names {way}. {FIX}");
        assert_eq!(
            complaints(Engine::Handlebars, &[("card", "{{#if a}}{{> card}}{{/if}}")]),
            [around("card", "`card`")]
        );
        let written = [
            ("a", "{% render 'b' %}"),
            ("b", "{% render \"c\" %}{% render 'd' %}"),
            ("c", "{%- render 'a', x: 1 -%}"),
            ("d", "x"),
            ("e", "{% render 'a' %}"),
        ];
        assert_eq!(
            complaints(Engine::Liquid, &written),
            [
                around("a", "`b`, which names `c`, which names `a`"),
                around("b", "`c`, which names `a`, which names `b`"),
                around("c", "`a`, which names `b`, which names `c`"),
                "e: the partial `a` has faults of its own. Correct them; they are listed too.".to_owned(),
            ]
        );
    }

    #[test]
    fn words_that_are_keys_of_partials_name_none() {
        let written =
            [("card", "A card > button: {% render 'button' %}"), ("button", "\"card\" {% render 'button-wide' %}")];
        assert_eq!(complaints(Engine::Liquid, &[written[0], written[1], ("button-wide", "a card")]), [""; 0]);
    }
}
