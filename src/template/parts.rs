//! The parts that emails of all workflows share, parsed once: layouts and partials.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::Complaint;
use super::handlebars::Escape;
use super::layout::{self, Layout};
use super::partial::Partials;
use crate::base::nearest::{did_you_mean, nearest, quoted_list};
use crate::model::fault::Fault;
use crate::model::layout::Layout as Written;
use crate::model::library::Library;

/// Parsed layouts and partials.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    layouts: BTreeMap<String, Option<Arc<Layout>>>,
    pub(super) in_html: Partials,
    pub(super) in_text: Partials,
}

impl Parts {
    /// Parses a library, and finds all that is wrong with it.
    pub fn new(library: &Library) -> (Self, Vec<Fault>) {
        let mut faults: Vec<Fault> = Vec::new();
        let mut complain = |(file, path): (String, String), complaint: Complaint| {
            let fault = complaint.into_fault(file, path);
            // A partial is parsed for HTML and for text, and is mostly wrong in both.
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        };
        let mut partials = |escape| Partials::parse(&library.partials, &library.faulty_partials, escape, &mut complain);
        let mut parts =
            Self { layouts: BTreeMap::new(), in_html: partials(Escape::Html), in_text: partials(Escape::None) };
        let default = Written::built_in();
        let built_in = [(layout::DEFAULT.to_owned(), default)];
        let all = built_in.iter().map(|(key, layout)| (key, layout)).chain(&library.layouts);
        for (key, written) in all {
            let layout = Layout::parse(key, written, &parts.in_html, &parts.in_text, &mut |field, complaint| {
                complain(written.place(key, field), complaint);
            });
            parts.layouts.insert(key.clone(), layout.map(Arc::new));
        }
        let faulty = library.faulty_layouts.iter().filter(|key| !library.layouts.contains_key(*key));
        parts.layouts.extend(faulty.map(|key| (key.clone(), None)));
        (parts, faults)
    }

    /// The layout `key`, or what is wrong with naming it.
    pub(super) fn layout(&self, key: &str) -> Result<Arc<Layout>, Complaint> {
        match self.layouts.get(key) {
            Some(Some(layout)) => Ok(Arc::clone(layout)),
            Some(None) => {
                let problem = format!("the layout `{key}` has faults of its own");
                Err(Complaint::new(None, problem, "Correct them; they are listed too."))
            }
            None => {
                let keys: Vec<&str> = self.layouts.keys().map(String::as_str).collect();
                let all = format!("The known layouts are {}; null means none.", quoted_list(&keys));
                let fix = did_you_mean(nearest(key, keys), &all);
                Err(Complaint::new(None, format!("there is no email layout `{key}`"), fix))
            }
        }
    }
}
