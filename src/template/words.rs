//! The words that Belfry itself says to recipients: on its pages, and around emails in the layout that it brings. In English
//! they are built in; translations say them in other languages, or otherwise, under the same keys of the namespace `belfry`.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use super::budget::Budget;
use super::locale;
use super::phrases::Phrases;
use crate::model::translation::Translations;
use crate::model::workflow_file::WorkflowFiles;

/// Where they stand among translations.
pub(super) const NAMESPACE: &str = "belfry:";
/// The language in which they are built in.
pub(super) const BUILT_IN_LOCALE: &str = "en";
/// The longest of a page's texts, in bytes.
const LONGEST: usize = 16 * 1024;

/// Built in, by key.
pub(super) static BUILT_IN: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let file = ("belfry.en.json".to_owned(), include_str!("../../templates/words.en.json").to_owned());
    let files = WorkflowFiles { key: BUILT_IN_LOCALE.to_owned(), files: [file].into() };
    let (translations, _) = Translations::read(&[files]);
    translations.tables.into_values().flatten().map(|(key, written)| (key, written.text)).collect()
});

/// What is said to one reader.
pub struct Words {
    phrases: Arc<Phrases>,
    tenant: Option<String>,
    locale: String,
    /// What the texts can name.
    known: Value,
}

impl Words {
    /// In `locale`, or that of the environment; with the tenant's own words first.
    pub fn new(phrases: Arc<Phrases>, tenant: Option<String>, locale: Option<&str>, known: Value) -> Self {
        let locale = locale.filter(|locale| !locale.trim().is_empty()).unwrap_or(phrases.default_locale()).to_owned();
        Self { phrases, tenant, locale, known }
    }

    /// What `key` says, if anything. A text that cannot be rendered says nothing.
    pub fn find(&self, key: &str) -> Option<String> {
        let key = format!("{NAMESPACE}{key}");
        let (_, template) = self.phrases.find(&key, None, self.tenant.as_deref(), &self.locale)?;
        let text = template.render(&key, &self.known, &Rc::new(Budget::new(LONGEST))).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// What `key` says, or nothing.
    pub fn say(&self, key: &str) -> String {
        self.find(key).unwrap_or_default()
    }

    /// In which language `key` speaks, as HTML names it.
    pub fn language(&self, key: &str) -> &str {
        let key = format!("{NAMESPACE}{key}");
        let found = self.phrases.find(&key, None, self.tenant.as_deref(), &self.locale);
        found.map_or(BUILT_IN_LOCALE, |(locale, _)| locale)
    }

    /// Whether that language is written from right to left.
    pub fn is_right_to_left(&self, key: &str) -> bool {
        locale::is_right_to_left(self.language(key))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(locale: &str, tenant: Option<&str>) -> Words {
        let files = [
            ("belfry.de.json", r#"{"preferences": {"title": "Was {{ sender }} dir sagt"}}"#),
            ("tenants/acme/belfry.de.json", r#"{"preferences": {"title": "Acme!", "save": "{{ nothing }}"}}"#),
        ];
        let files = files.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let (translations, faults) = Translations::read(&[WorkflowFiles { key: "de".into(), files }]);
        assert_eq!(faults, []);
        let (phrases, _) = Phrases::new(&translations, "fr");
        Words::new(Arc::new(phrases), tenant.map(str::to_owned), Some(locale), json!({"sender": "Zoë"}))
    }

    #[test]
    fn what_is_not_translated_is_said_in_english_whatever_the_default() {
        let german = words("de-AT", None);
        assert_eq!(
            (german.say("preferences.title").as_str(), german.language("preferences.title")),
            ("Was Zoë dir sagt", "de")
        );
        assert_eq!((german.say("preferences.save").as_str(), german.language("preferences.save")), ("Save", "en"));
        let none = words("", None);
        assert_eq!((none.say("unsubscribed.title").as_str(), none.find("no.such")), ("You are unsubscribed", None));
    }

    #[test]
    fn a_tenant_says_it_otherwise_or_not_at_all() {
        let acme = words("de", Some("acme"));
        assert_eq!((acme.say("preferences.title").as_str(), acme.find("preferences.save")), ("Acme!", None));
    }

    #[test]
    fn every_built_in_text_is_one() {
        assert!(BUILT_IN.len() > 20, "{BUILT_IN:?}");
        let words =
            Words::new(Arc::default(), None, None, json!({"sender": "Acme", "vars": {"app_url": "https://a.test"}}));
        for key in BUILT_IN.keys() {
            assert!(words.find(key.strip_prefix(NAMESPACE).unwrap()).is_some(), "{key}");
        }
    }
}
