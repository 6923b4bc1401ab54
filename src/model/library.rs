//! The library: the layouts and partials that workflows share.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fault::Fault;
use super::layout::{self, Layout};
use super::notice::{Notice, Remark};
use super::partial::{self, Partial};
use super::workflow_file::WorkflowFiles;

/// Layouts and partials by their keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Library {
    #[serde(default)]
    pub layouts: BTreeMap<String, Layout>,
    #[serde(default)]
    pub partials: BTreeMap<String, Partial>,
    /// The keys of those that are there and could not be read: nothing else may stand in for them.
    #[serde(skip)]
    pub faulty_layouts: BTreeSet<String>,
    #[serde(skip)]
    pub faulty_partials: BTreeSet<String>,
}

/// The directories of a library, read from disk.
#[derive(Clone, Debug, Default)]
pub struct LibraryFiles {
    pub layouts: Vec<WorkflowFiles>,
    pub partials: Vec<WorkflowFiles>,
    pub translations: Vec<WorkflowFiles>,
    /// What is wrong with folders of them that could not be read, by their keys.
    pub unread: Vec<Fault>,
    /// Files that lie beside such folders, and those of workflows, where nothing is read.
    pub strays: Vec<Notice>,
}

impl Library {
    /// Reads all directories. A faulty one is left out and does not hide the others.
    pub fn read(files: &LibraryFiles) -> (Self, Vec<Remark>, Vec<Fault>) {
        let (mut library, mut faults) = (Self::default(), files.unread.clone());
        let mut remarks: Vec<Remark> = files.strays.iter().cloned().map(Remark::from).collect();
        for fault in &files.unread {
            library.faulty_layouts.insert(fault.file.clone());
            library.faulty_partials.insert(fault.file.clone());
        }
        for files in &files.layouts {
            match layout::read(files) {
                Ok((layout, told)) => {
                    library.layouts.insert(files.key.clone(), layout);
                    remarks.extend(told);
                }
                Err(found) => {
                    library.faulty_layouts.insert(files.key.clone());
                    faults.extend(found);
                }
            }
        }
        for files in &files.partials {
            match partial::read(files) {
                Ok((partial, told)) => {
                    library.partials.insert(files.key.clone(), partial);
                    remarks.extend(told);
                }
                Err(found) => {
                    library.faulty_partials.insert(files.key.clone());
                    faults.extend(found);
                }
            }
        }
        (library, remarks, faults)
    }

    pub fn is_empty(&self) -> bool {
        self.layouts.is_empty() && self.partials.is_empty()
    }

    /// The part of the library that a workflow can name: its keys stand in the document, or in what stands there. One
    /// that is only mentioned is taken too, which costs a little room and nothing else.
    pub fn named_in(&self, document: &Value) -> Self {
        let mut named = Self::default();
        let mut unread = vec![document.to_string()];
        // A layout that is named `default` is so by saying nothing.
        unread.push("default".to_owned());
        while let Some(text) = unread.pop() {
            for (key, layout) in &self.layouts {
                if !named.layouts.contains_key(key) && text.contains(key.as_str()) {
                    unread.extend([layout.html.clone(), layout.text.clone().unwrap_or_default()]);
                    named.layouts.insert(key.clone(), layout.clone());
                }
            }
            for (key, partial) in &self.partials {
                if !named.partials.contains_key(key) && text.contains(key.as_str()) {
                    unread.push(partial.content.clone());
                    named.partials.insert(key.clone(), partial.clone());
                }
            }
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use super::super::partial::PartialKind;
    use super::super::workflow::Engine;
    use super::*;
    use serde_json::json;

    fn partial(content: &str) -> Partial {
        Partial {
            kind: PartialKind::Html,
            content: content.into(),
            engine: Engine::Liquid,
            inputs: BTreeMap::new(),
            files: Default::default(),
        }
    }

    #[test]
    fn a_workflow_names_what_stands_in_it_and_in_what_stands_there() {
        let partials = [("card", "{% render 'badge' %}"), ("badge", "x"), ("unused", "y")];
        let library = Library {
            partials: partials.map(|(key, content)| (key.to_owned(), partial(content))).into(),
            ..Library::default()
        };
        let named = library.named_in(&json!({"steps": [{"html_body": "{% render 'card' %}"}]}));
        assert_eq!(named.partials.keys().collect::<Vec<_>>(), ["badge", "card"]);
    }
}
