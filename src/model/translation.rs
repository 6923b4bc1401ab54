//! Translations: `translations/<locale>/<locale>.json`, `<namespace>.<locale>.json`, or the same as `.po`. Those of one
//! tenant lie in `translations/<locale>/tenants/<tenant>/` and win over the others.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fault::Fault;
use super::json_path;
use super::json_reader::shown_text;
use super::notice::Notice;
use super::po_file;
use super::workflow_file::WorkflowFiles;

/// The deepest nesting of keys.
const MAX_DEPTH: usize = 32;

/// What is wrong with a file: the path in it, the problem, and the fix.
type Wrong = (String, String, String);

/// Whose translations, and into what; the locale as `tag` writes it.
pub type Place = (Option<String>, String);

/// The translations of an environment, as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Translations {
    /// By place: by key, `namespace:path.to.key` or `path.to.key`.
    pub tables: BTreeMap<Place, BTreeMap<String, Written>>,
    /// Of texts that are there and never said.
    pub notices: Vec<Notice>,
}

/// A translated text, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub text: String,
    /// `translations/de/tasks.de.json`.
    pub file: String,
    /// The path of its key in the file, which has no namespace.
    pub path: String,
    /// The line on which it begins, in a file of lines.
    pub line: Option<usize>,
}

impl Translations {
    /// Reads the directories of all locales, and finds all that is wrong with them.
    pub fn read(folders: &[WorkflowFiles]) -> (Self, Vec<Fault>) {
        let (mut translations, mut faults) = (Self::default(), Vec::new());
        for folder in folders {
            for (name, text) in &folder.files {
                // Names of files are anyone's: a control character in one must not reach a terminal.
                let file = format!("translations/{}/{name}", folder.key).replace(char::is_control, "\u{fffd}");
                if let Err((path, problem, fix)) = translations.add(&file, &folder.key, name, text) {
                    faults.push(Fault { file, path, problem, fix });
                }
            }
        }
        (translations, faults)
    }

    /// How many translated texts there are.
    pub fn count(&self) -> usize {
        self.tables.values().map(BTreeMap::len).sum()
    }

    /// Adds the file `name` of the folder `locale`, which is told as `file`.
    fn add(&mut self, file: &str, locale: &str, name: &str, text: &str) -> Result<(), Wrong> {
        let (tenant, name) = match name.strip_prefix("tenants/").and_then(|rest| rest.split_once('/')) {
            Some((tenant, name)) => (Some(tenant.to_owned()), name),
            None => (None, name),
        };
        let last = name.rsplit_once('/').map_or(name, |(_, last)| last);
        let (stem, format) = last.rsplit_once('.').unwrap_or((last, ""));
        let (namespace, of) = match stem.rsplit_once('.') {
            Some((namespace, of)) => (Some(namespace), of),
            None => (None, stem),
        };
        if tag(of) != tag(locale) || !matches!(format, "json" | "po") || name.contains('/') {
            let fix = match locale {
                "tenants" if name != last => format!("Move it to translations/{of}/tenants/{name}."),
                _ => format!("Name it {locale}.json, or NAMESPACE.{locale}.json; .po files are read too."),
            };
            return Err((String::new(), "is no translation into the locale of its folder".into(), fix));
        }
        let (found, unsaid) = match format {
            "po" => texts_of_po(text)?,
            _ => (texts_of_json(text)?, Vec::new()),
        };
        self.notices.extend(unsaid.into_iter().map(|one| {
            let problem = "is never said: the first form is said of 1 thing, and the last of every other number";
            one.written(file).notice(problem, "Let the last one fit them all.")
        }));
        let table = self.tables.entry((tenant, tag(locale))).or_default();
        for one in found {
            let key = namespace.map_or_else(|| one.key.clone(), |namespace| format!("{namespace}:{}", one.key));
            if let Some(lost) = table.insert(key, one.written(file)) {
                let problem = format!("is not said: {file} has a text for the same key, and wins");
                self.notices.push(lost.notice(&problem, "Remove one of them."));
            }
        }
        Ok(())
    }
}

impl Written {
    /// What is told of it, with its place.
    pub fn notice(&self, problem: &str, fix: &str) -> Notice {
        let problem = self.line.map_or(problem.to_owned(), |line| format!("line {line}: {problem}"));
        Notice(Fault { file: self.file.clone(), path: self.path.clone(), problem, fix: fix.to_owned() })
    }
}

/// A text of a file.
struct Found {
    key: String,
    path: String,
    text: String,
    line: Option<usize>,
}

impl Found {
    fn written(self, file: &str) -> Written {
        Written { text: self.text, file: file.to_owned(), path: self.path, line: self.line }
    }
}

/// The texts that are said, and those that no number chooses.
fn texts_of_po(text: &str) -> Result<(Vec<Found>, Vec<Found>), Wrong> {
    let (said, unsaid) = po_file::read(text).map_err(|(line, problem)| {
        (String::new(), format!("line {line}: {problem}"), "Write it as gettext's PO files are.".into())
    })?;
    let found = |texts: Vec<po_file::Text>| {
        let found = texts.into_iter().map(|po_file::Text { key, text, line }| {
            let path = shown_text(&key);
            Found { key, path, text, line: Some(line) }
        });
        found.collect()
    };
    Ok((found(said), found(unsaid)))
}

fn texts_of_json(text: &str) -> Result<Vec<Found>, Wrong> {
    const FIX: &str = "Write an object of texts, or of objects of texts.";
    let document: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| (String::new(), format!("is not valid JSON: {error}"), FIX.to_owned()))?;
    let mut found = Vec::new();
    flatten("", "", &document, 0, &mut found)
        .map_err(|path| (path, "is neither a text nor an object of texts".to_owned(), FIX.to_owned()))?;
    Ok(found)
}

/// The texts in `value`, which stands at `key` and `path`. The error is the path of what is no text.
fn flatten(key: &str, path: &str, value: &Value, depth: usize, found: &mut Vec<Found>) -> Result<(), String> {
    match value {
        Value::String(text) if depth > 0 => {
            found.push(Found { key: key.to_owned(), path: path.to_owned(), text: text.clone(), line: None });
        }
        Value::Object(fields) if depth < MAX_DEPTH => {
            for (name, value) in fields {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flatten(&key, &json_path::field(path, name), value, depth + 1, found)?;
            }
        }
        _ => return Err(path.to_owned()),
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
        assert_eq!(table(Some("acme"))["bye"].text, "Salut");
    }

    #[test]
    fn what_is_no_translation_is_a_fault_that_names_its_file() {
        for (name, text, expected) in [
            ("en.json", "{}", "translations/fr-BE/en.json: is no translation into the locale of its folder"),
            ("fr-BE.txt", "{}", "is no translation"),
            ("fr-BE.json", "{", "translations/fr-BE/fr-BE.json: is not valid JSON"),
            ("fr-BE.json", "[]", "fr-BE.json: is neither a text nor an object of texts"),
            ("fr-BE.json", "{\"a\": {\"b\": 1}}", "fr-BE.json a.b: is neither a text nor an object of texts"),
            ("fr-BE.po", "msgid \"a\nmsgstr \"b\"", "line 1: a text is not closed"),
        ] {
            let (translations, faults) = read(&[(name, text)]);
            assert!(faults.len() == 1 && faults[0].contains(expected), "{faults:?}");
            assert_eq!(translations.count(), 0);
        }
    }

    #[test]
    fn a_key_that_stands_in_two_files_is_told_with_both() {
        let (translations, faults) = read(&[
            ("fr-BE.json", r#"{"bye": "Salut", "greeting": {"formal": "Bonjour"}}"#),
            ("fr-BE.po", "msgid \"bye\"\nmsgstr \"Au revoir\"\n"),
            ("tenants/acme/fr-BE.json", r#"{"bye": "Ciao"}"#),
        ]);
        assert_eq!(faults, [""; 0]);
        let told: Vec<String> = translations.notices.iter().map(ToString::to_string).collect();
        let expected = "translations/fr-BE/fr-BE.json bye: is not said: translations/fr-BE/fr-BE.po has a text for the same \
                        key, and wins. Remove one of them.";
        assert_eq!(told, [expected]);
        assert_eq!(translations.tables[&(None, "fr-be".to_owned())]["bye"].text, "Au revoir");
    }

    #[test]
    fn a_plural_form_that_no_number_chooses_is_told_with_its_line() {
        let po = "msgid \"file\"\nmsgid_plural \"files\"\nmsgstr[0] \"1\"\nmsgstr[1] \"2\"\nmsgstr[2] \"5\"\n";
        let (translations, faults) = read(&[("fr-BE.po", po)]);
        assert_eq!((faults, translations.count()), (Vec::new(), 2));
        let told: Vec<String> = translations.notices.iter().map(ToString::to_string).collect();
        let expected = "translations/fr-BE/fr-BE.po \"file\": line 4: is never said: the first form is said of 1 thing, and \
                        the last of every other number. Let the last one fit them all.";
        assert_eq!(told, [expected]);
    }

    #[test]
    fn a_tenants_texts_outside_of_a_locale_are_told_where_they_belong() {
        for (name, expected) in [
            ("acme/de.json", "Move it to translations/de/tenants/acme/de.json."),
            ("acme/tasks.pt-BR.po", "Move it to translations/pt-BR/tenants/acme/tasks.pt-BR.po."),
        ] {
            let files = [(name.to_owned(), "{}".to_owned())].into();
            let (_, faults) = Translations::read(&[WorkflowFiles { key: "tenants".into(), files }]);
            let expected =
                format!("translations/tenants/{name}: is no translation into the locale of its folder. {expected}");
            assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
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
