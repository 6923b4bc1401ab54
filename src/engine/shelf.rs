//! What all workflows share, ready to be named: layouts, partials, and what templates say in other languages.

use std::sync::Arc;

use crate::model::fault::Fault;
use crate::model::library::{Library, LibraryFiles};
use crate::model::notice::Remark;
use crate::model::translation::Translations;
use crate::template::{Parts, Phrases, plurals};

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
    /// is not published either. Where a translation is faulty, all the former ones stay: they are one text in many
    /// places. Where there are none, as at the start, what is not faulty is said.
    pub fn read(files: &LibraryFiles, former: &Self) -> (Self, Vec<Remark>, Vec<Fault>) {
        let (library, mut remarks, mut faults) = Library::read(files);
        let (mut shelf, faulty) = Self::of(library, former);
        faults.extend(faulty);
        let (translations, mut faulty) = Translations::read(&files.translations);
        let noticed = translations.notices.iter().cloned().chain(plurals(&translations));
        remarks.extend(noticed.map(Remark::from));
        let (phrases, unparsed) = Phrases::new(&translations, former.phrases.default_locale());
        faulty.extend(unparsed);
        if faulty.is_empty() && files.unread.is_empty() || former.phrases.is_bare() {
            shelf.phrases = Arc::new(phrases);
        }
        faults.extend(faulty);
        (shelf, remarks, faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::workflow_file::WorkflowFiles;
    use crate::template::words::Words;

    fn read(texts: [(&str, &str); 2], former: &Shelf) -> (Shelf, usize) {
        let folder = |(locale, text): (&str, &str)| WorkflowFiles {
            key: locale.to_owned(),
            files: [(format!("belfry.{locale}.json"), text.to_owned())].into(),
        };
        let files = LibraryFiles { translations: texts.map(folder).into(), ..LibraryFiles::default() };
        let (shelf, _, faults) = Shelf::read(&files, former);
        (shelf, faults.len())
    }

    fn said(shelf: &Shelf, locale: &str) -> String {
        let words = Words::new(Arc::clone(&shelf.phrases), None, Some(locale), serde_json::json!({}));
        words.say("preferences.save")
    }

    #[test]
    fn a_faulty_translation_changes_nothing_and_at_the_start_silences_no_other() {
        const GOOD: &str = r#"{"preferences": {"save": "1"}}"#;
        let (first, faults) = read([("de", GOOD), ("fr", "{")], &Shelf::bare("en"));
        assert_eq!((faults, said(&first, "de").as_str(), said(&first, "fr").as_str()), (1, "1", "Save"));
        let (second, faults) = read([("de", &GOOD.replace('1', "2")), ("fr", "{")], &first);
        assert_eq!((faults, said(&second, "de").as_str()), (1, "1"));
    }
}
