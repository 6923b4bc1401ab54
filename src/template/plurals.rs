//! What translations say of numbers of things: forms that are missing, so that a number is told wrongly, and forms that no
//! number chooses.

use std::collections::BTreeMap;

use super::locale::tells_one_apart;
use crate::model::notice::Notice;
use crate::model::translation::{Place, Translations, Written, chain};

/// The form for all numbers that have none of their own.
const OTHER: &str = "other";
const ONE: &str = "one";
/// Forms that Unicode has for some languages, and that are not chosen here.
const UNSAID: [&str; 3] = ["two", "few", "many"];

/// A notice for each text that is said of numbers and whose other forms are missing, or that is said of none.
pub fn plurals(translations: &Translations) -> Vec<Notice> {
    let mut notices = Vec::new();
    for (place, table) in &translations.tables {
        let mut groups: BTreeMap<&str, BTreeMap<&str, &Written>> = BTreeMap::new();
        for (key, written) in table {
            if let Some((group, form)) = key.rsplit_once('.') {
                groups.entry(group).or_default().insert(form, written);
            }
        }
        // Where something else stands among them, `other` is a word like any.
        let is_form = |form: &&str| [ONE, OTHER, "zero"].contains(form) || UNSAID.contains(form);
        groups.retain(|_, forms| forms.keys().all(is_form));
        for (group, forms) in groups {
            notices.extend(of_group(translations, place, group, &forms));
        }
    }
    notices
}

fn of_group(translations: &Translations, place: &Place, group: &str, forms: &BTreeMap<&str, &Written>) -> Vec<Notice> {
    let (tenant, locale) = place;
    // A text that is missing here is looked for in what is more general, but in no other language.
    let said = |key: &str| {
        let places = chain(tenant.as_deref(), locale, locale);
        places.iter().any(|place| translations.tables.get(place).is_some_and(|table| table.contains_key(key)))
    };
    let name = group.rsplit_once(':').map_or(group, |(_, name)| name);
    let mut notices = Vec::new();
    for form in UNSAID {
        if let Some(written) = forms.get(form) {
            let fix = "Write what fits every other number as `other`, and remove it.";
            notices.push(written.notice("is never said: the forms are `zero`, `one` and `other`", fix));
        }
    }
    match (forms.get(ONE), forms.get(OTHER)) {
        (_, None) if !said(&format!("{group}.{OTHER}")) && !said(group) => {
            if let Some(written) = forms.values().next() {
                let problem =
                    "has no `other` beside it, so most numbers are told in another language, or the key is sent";
                notices.push(written.notice(problem, &format!("Add {name}.{OTHER}.")));
            }
        }
        // The form of this very place is taken before a better one of a more general place.
        (None, Some(written)) if tells_one_apart(locale) && written.text.contains("count") => {
            let problem = "has no `one` beside it, so it is what is said of 1 thing too";
            notices.push(written.notice(problem, &format!("Add {name}.{ONE}.")));
        }
        _ => {}
    }
    notices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::workflow_file::WorkflowFiles;

    fn told(files: &[(&str, &str)]) -> Vec<String> {
        let folders = files.iter().map(|(name, text)| {
            let locale = name.rsplit_once('.').unwrap().0;
            let locale = locale.rsplit_once(['.', '/']).map_or(locale, |(_, locale)| locale);
            WorkflowFiles { key: locale.to_owned(), files: [((*name).to_owned(), (*text).to_owned())].into() }
        });
        let (translations, faults) = Translations::read(&folders.collect::<Vec<_>>());
        assert_eq!(faults, []);
        plurals(&translations).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_form_without_which_numbers_are_told_wrongly_is_missed() {
        let only_one = told(&[("tasks.de.json", r#"{"due": {"left": {"one": "Eine", "zero": "Keine"}}}"#)]);
        assert_eq!(only_one.len(), 1, "{only_one:?}");
        let expected = "translations/de/tasks.de.json due.left.one: has no `other` beside it, so most numbers are told in \
                        another language, or the key is sent. Add due.left.other.";
        assert_eq!(only_one[0], expected);
        let only_other = told(&[("de.json", r#"{"left": {"other": "{{ count }} Dinge"}}"#)]);
        let expected = "translations/de/de.json left.other: has no `one` beside it, so it is what is said of 1 thing too. \
                        Add left.one.";
        assert_eq!(only_other, [expected]);
        let of_po = told(&[("de.po", "msgid \"x\"\nmsgid_plural \"xs\"\nmsgstr[0] \"1 x\"\nmsgstr[1] \"\"\n")]);
        assert_eq!(of_po.len(), 1, "{of_po:?}");
        assert!(of_po[0].contains("de.po \"x.one\": line 3: has no `other` beside it"), "{of_po:?}");
    }

    #[test]
    fn a_form_that_no_number_chooses_is_told() {
        let forms = r#"{"n": {"one": "1", "few": "{{ count }} a", "many": "{{ count }} b", "other": "{{ count }} c"}}"#;
        let told = told(&[("pl.json", forms)]);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("translations/pl/pl.json n.few: is never said: the forms are"), "{told:?}");
    }

    #[test]
    fn what_is_told_rightly_is_not_missed() {
        for files in [
            [("ja.json", r#"{"n": {"other": "{{ count }}"}}"#), ("ko.json", "{}")],
            [("fr.json", r#"{"n": {"one": "1", "other": "{{ count }}"}}"#), ("fr-BE.json", r#"{"n": {"one": "I"}}"#)],
            [("en.json", r#"{"why": {"late": "Late", "other": "For {{ count }} others"}}"#), ("de.json", "{}")],
            [("en.json", r#"{"size": {"other": "Of another size"}}"#), ("de.json", r#"{"other": "{{ count }}"}"#)],
        ] {
            assert_eq!(told(&files), [""; 0]);
        }
    }
}
