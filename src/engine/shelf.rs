//! What all workflows share, ready to be named: layouts, partials, and what templates say in other languages.

use std::sync::Arc;

use crate::model::fault::Fault;
use crate::model::library::{Library, LibraryFiles};
use crate::model::notice::Notice;
use crate::model::translation::Translations;
use crate::template::{Parts, Phrases};

/// Layouts, partials and translations.
#[derive(Debug)]
pub struct Shelf {
    pub library: Library,
    pub parts: Parts,
    pub phrases: Arc<Phrases>,
}

impl Default for Shelf {
    fn default() -> Self {
        let library = Library::default();
        Self { parts: Parts::new(&library).0, library, phrases: Arc::default() }
    }
}

impl Shelf {
    /// Nothing but what is built in, for those who read `locale` where they say nothing.
    pub fn bare(locale: &str) -> Self {
        let (phrases, _) = Phrases::new(&Translations::default(), locale);
        Self { phrases: Arc::new(phrases), ..Self::default() }
    }

    /// These layouts and partials, with the phrases of `former`; and every fault in their templates.
    pub fn of(library: Library, former: &Self) -> (Self, Vec<Fault>) {
        let (parts, faults) = Parts::new(&library);
        (Self { library, parts, phrases: Arc::clone(&former.phrases) }, faults)
    }

    /// Reads what is to stand in the place of `former`. A faulty layout or partial cannot be named, so that what names it
    /// is not published either. Where a translation is faulty, all the former ones stay: they are one text in many places.
    pub fn read(files: &LibraryFiles, former: &Self) -> (Self, Vec<Notice>, Vec<Fault>) {
        let (library, notices, mut faults) = Library::read(files);
        let (mut shelf, faulty) = Self::of(library, former);
        faults.extend(faulty);
        let (translations, mut faulty) = Translations::read(&files.translations);
        let (phrases, unparsed) = Phrases::new(&translations, former.phrases.default_locale());
        faulty.extend(unparsed);
        if faulty.is_empty() && files.unread.is_empty() || former.phrases.is_empty() {
            shelf.phrases = Arc::new(phrases);
        }
        faults.extend(faulty);
        (shelf, notices, faults)
    }
}
