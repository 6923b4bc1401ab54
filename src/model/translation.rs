//! Translations: `translations/<locale>/<locale>.json`, `<namespace>.<locale>.json`, or the same as `.po`. Those of one
//! tenant lie in `translations/<locale>/tenants/<tenant>/` and win over the others.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fault::Fault;
use super::json_reader::shown_text;
use super::po_file;
use super::workflow_file::WorkflowFiles;

/// The deepest nesting of keys.
const MAX_DEPTH: usize = 32;

/// Whose translations, and into what; the locale as `tag` writes it.
pub type Place = (Option<String>, String);

/// The translations of an environment, as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Translations {
    /// By place: by key, `namespace:path.to.key` or `path.to.key`.
    pub tables: BTreeMap<Place, BTreeMap<String, String>>,
}

impl Translations {
    /// Reads the directories of all locales, and finds all that is wrong with them.
    pub fn read(folders: &[WorkflowFiles]) -> (Self, Vec<Fault>) {
        let (mut translations, mut faults) = (Self::default(), Vec::new());
        for folder in folders {
            for (name, text) in &folder.files {
                let file = format!("translations/{}/{name}", folder.key);
                let fault = |(path, problem, fix): (String, String, String)| Fault { file, path, problem, fix };
                match translations.add(&folder.key, name, text) {
                    Ok(()) => {}
                    Err(wrong) => faults.push(fault(wrong)),
                }
            }
        }
        (translations, faults)
    }

    /// How many translated texts there are.
    pub fn count(&self) -> usize {
        self.tables.values().map(BTreeMap::len).sum()
    }

    /// Adds the file `name` of the folder `locale`. The error is the path in it, the problem, and the fix.
    fn add(&mut self, locale: &str, name: &str, text: &str) -> Result<(), (String, String, String)> {
        let (tenant, name) = match name.strip_prefix("tenants/").and_then(|rest| rest.split_once('/')) {
            Some((tenant, name)) => (Some(tenant.to_owned()), name),
            None => (None, name),
        };
        let (stem, format) = name.rsplit_once('.').unwrap_or((name, ""));
        let (namespace, of) = match stem.rsplit_once('.') {
            Some((namespace, of)) => (Some(namespace), of),
            None => (None, stem),
        };
        if tag(of) != tag(locale) || !matches!(format, "json" | "po") || name.contains('/') {
            let fix = format!("Name it {locale}.json, or NAMESPACE.{locale}.json; .po files are read too.");
            return Err((String::new(), "is no translation into the locale of its folder".into(), fix));
        }
        let mut found = Vec::new();
        if format == "po" {
            found = po_file::read(text).map_err(|(line, problem)| {
                (String::new(), format!("line {line}: {problem}"), "Write it as gettext's PO files are.".into())
            })?;
        } else {
            let fix = "Write an object of texts, or of objects of texts.";
            let document: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
                .map_err(|error| (String::new(), format!("is not valid JSON: {error}"), fix.to_owned()))?;
            flatten("", &document, 0, &mut found).map_err(|path| {
                let problem = "is neither a text nor an object of texts".to_owned();
                (path, problem, fix.to_owned())
            })?;
        }
        let table = self.tables.entry((tenant, tag(locale))).or_default();
        for (key, text) in found {
            let key = namespace.map_or_else(|| key.clone(), |namespace| format!("{namespace}:{key}"));
            table.insert(key, text);
        }
        Ok(())
    }
}

/// The texts in `value` by their paths. The error is the path of what is no text.
fn flatten(path: &str, value: &Value, depth: usize, found: &mut Vec<(String, String)>) -> Result<(), String> {
    match value {
        Value::String(text) if depth > 0 => found.push((path.to_owned(), text.clone())),
        Value::Object(fields) if depth < MAX_DEPTH => {
            for (key, value) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, depth + 1, found)?;
            }
        }
        _ => return Err(if path.is_empty() { String::new() } else { shown_text(path) }),
    }
    Ok(())
}

/// A locale as it is compared: `fr_BE` and `FR-be` are one.
pub fn tag(locale: &str) -> String {
    locale.trim().replace('_', "-").to_ascii_lowercase()
}

/// Where a text is looked for: first the tenant's, each in the locale, then in what is more general, then in `default`.
pub fn chain(tenant: Option<&str>, locale: &str, default: &str) -> Vec<Place> {
    let mut locales = Vec::new();
    for start in [tag(locale), tag(default)] {
        let mut locale = start.as_str();
        while !locale.is_empty() {
            if !locales.iter().any(|known| known == locale) {
                locales.push(locale.to_owned());
            }
            locale = locale.rsplit_once('-').map_or("", |(general, _)| general);
        }
    }
    let owners = tenant.map(|tenant| Some(tenant.to_owned())).into_iter().chain([None]);
    owners.flat_map(|owner| locales.iter().map(move |locale| (owner.clone(), locale.clone()))).collect()
}

/// The keys under which a text for `count` things may stand, the best first: only one is `one`.
pub fn forms(key: &str, count: Option<f64>) -> Vec<String> {
    let plurals: &[&str] = match count {
        None => &[],
        Some(0.0) => &["zero", "other"],
        Some(1.0) => &["one", "other"],
        Some(_) => &["other"],
    };
    plurals.iter().map(|form| format!("{key}.{form}")).chain([key.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> (Translations, Vec<String>) {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let (translations, faults) = Translations::read(&[WorkflowFiles { key: "fr-BE".into(), files }]);
        (translations, faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn keys_are_paths_in_namespaces_and_tenants_have_their_own() {
        let (translations, faults) = read(&[
            ("fr-BE.json", r#"{"greeting": {"formal": "Bonjour"}, "bye": "Au revoir"}"#),
            ("tasks.fr_be.json", r#"{"due": "Pour {{ date }}"}"#),
            ("tenants/acme/fr-BE.json", r#"{"bye": "Salut"}"#),
            ("system.fr-BE.po", "msgid \"Hello\"\nmsgstr \"Bonjour\"\n"),
        ]);
        assert_eq!((faults, translations.count()), (Vec::new(), 5));
        let table = |tenant: Option<&str>| &translations.tables[&(tenant.map(str::to_owned), "fr-be".to_owned())];
        let keys: Vec<_> = table(None).keys().map(String::as_str).collect();
        assert_eq!(keys, ["bye", "greeting.formal", "system:Hello", "tasks:due"]);
        assert_eq!(table(Some("acme"))["bye"], "Salut");
    }

    #[test]
    fn what_is_no_translation_is_a_fault_that_names_its_file() {
        for (name, text, expected) in [
            ("en.json", "{}", "translations/fr-BE/en.json: is no translation into the locale of its folder"),
            ("fr-BE.txt", "{}", "is no translation"),
            ("fr-BE.json", "{", "translations/fr-BE/fr-BE.json: is not valid JSON"),
            ("fr-BE.json", "[]", "fr-BE.json: is neither a text nor an object of texts"),
            ("fr-BE.json", "{\"a\": {\"b\": 1}}", "fr-BE.json \"a.b\": is neither a text nor an object of texts"),
            ("fr-BE.po", "msgid \"a\nmsgstr \"b\"", "line 1: a text is not closed"),
        ] {
            let (translations, faults) = read(&[(name, text)]);
            assert!(faults.len() == 1 && faults[0].contains(expected), "{faults:?}");
            assert_eq!(translations.count(), 0);
        }
    }

    #[test]
    fn a_text_is_looked_for_from_the_particular_to_the_general() {
        let shown = |chain: Vec<Place>| {
            let shown = |(tenant, locale): Place| tenant.map_or(locale.clone(), |tenant| format!("{tenant}/{locale}"));
            chain.into_iter().map(shown).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(chain(Some("t"), "fr_BE", "en")), "t/fr-be t/fr t/en fr-be fr en");
        assert_eq!(shown(chain(None, "zh-Hant-TW", "zh")), "zh-hant-tw zh-hant zh");
        assert_eq!(shown(chain(None, "", "en-GB")), "en-gb en");
    }

    #[test]
    fn only_one_is_one_and_zero_may_be_other() {
        assert_eq!(forms("k", Some(0.0)), ["k.zero", "k.other", "k"]);
        assert_eq!(forms("k", Some(1.0)), ["k.one", "k.other", "k"]);
        assert_eq!(forms("k", Some(21.0)), ["k.other", "k"]);
        assert_eq!(forms("k", None), ["k"]);
    }
}
