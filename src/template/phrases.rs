//! Translations, parsed: each text is Liquid, whatever the language of the template that names it.

use std::collections::HashMap;

use super::error::Complaint;
use super::liquid::Template;
use super::partial::Partials;
use super::words::{BUILT_IN, BUILT_IN_LOCALE, NAMESPACE};
use crate::model::fault::Fault;
use crate::model::translation::{Place, Translations, Written, chain, forms};

/// The locale of those who say nothing, where the configuration says nothing either.
const DEFAULT_LOCALE: &str = "en";

/// All translated texts of an environment.
#[derive(Debug)]
pub struct Phrases {
    default: String,
    tables: HashMap<Place, HashMap<String, Template>>,
    is_bare: bool,
}

impl Default for Phrases {
    fn default() -> Self {
        Self::new(&Translations::default(), DEFAULT_LOCALE).0
    }
}

impl Phrases {
    /// Parses all texts, and finds all that is wrong with them. `default` is the locale of the environment.
    pub fn new(translations: &Translations, default: &str) -> (Self, Vec<Fault>) {
        let mut phrases =
            Self { default: default.to_owned(), tables: HashMap::new(), is_bare: translations.tables.is_empty() };
        let mut faults = Vec::new();
        for (place, texts) in &translations.tables {
            let table = phrases.tables.entry(place.clone()).or_default();
            for (key, written) in texts {
                match Template::parse(&written.text, &Partials::default()) {
                    Ok(phrase) => drop(table.insert(key.clone(), phrase)),
                    Err(complaints) => faults.extend(complaints.into_iter().map(|one| fault(one, written))),
                }
            }
        }
        let table = phrases.tables.entry((None, BUILT_IN_LOCALE.to_owned())).or_default();
        for (key, text) in BUILT_IN.iter() {
            if let (false, Ok(phrase)) = (table.contains_key(key), Template::parse(text, &Partials::default())) {
                table.insert(key.clone(), phrase);
            }
        }
        (phrases, faults)
    }

    /// Whether there is nothing but what is built in.
    pub fn is_bare(&self) -> bool {
        self.is_bare
    }

    /// The locale of those who say nothing.
    pub fn default_locale(&self) -> &str {
        &self.default
    }

    /// What `key` says to somebody, of so many things, and in which locale.
    pub(super) fn find(
        &self,
        key: &str,
        count: Option<f64>,
        tenant: Option<&str>,
        locale: &str,
    ) -> Option<(&str, &Template)> {
        let forms = forms(key, count);
        let mut places = chain(tenant, locale, &self.default);
        if key.starts_with(NAMESPACE) {
            places.push((None, BUILT_IN_LOCALE.to_owned()));
        }
        places
            .iter()
            .filter_map(|place| self.tables.get_key_value(place))
            .find_map(|((_, locale), table)| forms.iter().find_map(|form| Some((locale.as_str(), table.get(form)?))))
    }

    /// Whether somebody who reads `locale` can be told something in a language that is not the environment's. Belfry's own
    /// words do not count: they stand around what is told.
    pub(super) fn have_another(&self, tenant: Option<&str>, locale: &str) -> bool {
        let usual = chain(tenant, &self.default, "");
        let others = chain(tenant, locale, "").into_iter().filter(|place| !usual.contains(place));
        let mut tables = others.filter_map(|place| self.tables.get(&place));
        tables.any(|table| table.keys().any(|key| !key.starts_with(NAMESPACE)))
    }

    /// Whether `key` says something, in whatever number, to somebody who says nothing of languages.
    pub(super) fn knows(&self, key: &str) -> bool {
        [None, Some(1.0), Some(2.0)].iter().any(|count| self.find(key, *count, None, &self.default).is_some())
    }
}

/// What is wrong in a text. In a file of lines both lines are told: that of the file, and that of the text.
fn fault(complaint: Complaint, Written { file, path, line, .. }: &Written) -> Fault {
    let Fault { file, path, problem, fix } = complaint.into_fault(file.clone(), path.clone());
    let problem = line.map_or(problem.clone(), |line| format!("line {line}, in its text: {problem}"));
    Fault { file, path, problem, fix }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use handlebars::Context;
    use serde_json::{Value, json};

    use super::super::budget::EMAIL_BYTES;
    use super::super::handlebars::Escape;
    use super::super::language::Source;
    use super::super::speech;
    use super::*;
    use crate::model::workflow::Engine;
    use crate::model::workflow_file::WorkflowFiles;

    fn phrases() -> Arc<Phrases> {
        let folder = |key: &str, files: &[(&str, &str)]| {
            let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            WorkflowFiles { key: key.into(), files }
        };
        let (translations, faults) = Translations::read(&[
            folder(
                "en",
                &[(
                    "en.json",
                    r#"{"hi": "Hello {{ name }}", "only_en": "English", "again": "{{ 'hi' | t }}!",
                        "items": {"zero": "none", "one": "{{ count }} item", "other": "{{ count }} items"}}"#,
                )],
            ),
            folder(
                "fr",
                &[
                    (
                        "fr.json",
                        r#"{"hi": "Bonjour {{ name }}", "items": {"one": "un", "other": "{{ count }} choses"}}"#,
                    ),
                    ("mail.fr.json", r#"{"bye": {"soft": "À bientôt"}}"#),
                    ("system.fr.json", r#"{"Hi {{ name }}, {{ count }} left": "Salut {{ name }}, reste {{ count }}"}"#),
                    ("tenants/acme/fr.json", r#"{"hi": "Coucou {{ name }}"}"#),
                ],
            ),
            folder("fr-BE", &[("fr-BE.json", r#"{"items": {"other": "{{ count }} affaires"}}"#)]),
        ]);
        assert_eq!(faults, []);
        let (phrases, faults) = Phrases::new(&translations, "en");
        assert_eq!(faults, []);
        Arc::new(phrases)
    }

    fn said(engine: Engine, template: &str, scope: &Value) -> String {
        let source = Source::parse(template, engine, Escape::Html, &Partials::default()).unwrap();
        let _spoken = speech::to(&phrases(), scope);
        source.render("body", &Context::from(scope.clone()), EMAIL_BYTES).unwrap()
    }

    fn scope(locale: &str) -> Value {
        json!({"recipient": {"id": "u", "locale": locale}, "name": "Zoë", "n": 3, "html": "<b>"})
    }

    #[test]
    fn a_fault_in_a_text_names_its_file_and_the_key_there() {
        let texts = [
            ("de-AT.json", r#"{"a": {"b": "{{ x | uppcase }}"}, "ok": "x"}"#),
            ("tasks.de-AT.po", "msgid \"due\"\nmsgstr \"\"\n\"Am {{ date | dat }}\"\n"),
            ("tenants/acme/de-AT.json", r#"{"Hi {{ name": "{% iff x %}"}"#),
        ];
        let files = texts.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let (translations, faults) = Translations::read(&[WorkflowFiles { key: "de-AT".into(), files }]);
        assert_eq!(faults, []);
        let (phrases, faults) = Phrases::new(&translations, "en");
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        for expected in [
            "translations/de-AT/de-AT.json a.b: line 1, column 8: there is no filter `uppcase`",
            "translations/de-AT/tasks.de-AT.po \"due\": line 2, in its text: line 1, column 14: there is no filter `dat`",
            "translations/de-AT/tenants/acme/de-AT.json [\"Hi {{ name\"]: line 1, column 4: there is no tag",
        ] {
            assert!(told.iter().any(|told| told.starts_with(expected)), "{expected}\n{told:#?}");
        }
        assert_eq!(told.len(), 3, "{told:#?}");
        assert!(phrases.find("ok", None, None, "de-AT").is_some());
    }

    #[test]
    fn a_key_says_its_text_in_the_most_particular_language_that_has_it() {
        let liquid = |template: &str, locale: &str| said(Engine::Liquid, template, &scope(locale));
        let handlebars = |template: &str, locale: &str| said(Engine::Handlebars, template, &scope(locale));
        for (locale, expected) in
            [("fr-BE", "Bonjour Zoë"), ("fr_CA", "Bonjour Zoë"), ("de", "Hello Zoë"), ("", "Hello Zoë")]
        {
            assert_eq!(liquid("{{ 'hi' | t: name: name }}", locale), expected);
            assert_eq!(handlebars("{{t \"hi\" name=name}}", locale), expected);
        }
        assert_eq!(liquid("{{ 'mail:bye.soft' | t | upcase }}", "fr-BE"), "À BIENTÔT");
        assert_eq!(liquid("{{ 'only_en' | t }}{{ 'hi' | t }}", "fr"), "EnglishBonjour ");
    }

    #[test]
    fn a_tenants_own_words_win() {
        let mut scope = scope("fr-BE");
        scope["tenant"] = json!({"id": "acme"});
        assert_eq!(said(Engine::Liquid, "{{ 'hi' | t: name: name }}", &scope), "Coucou Zoë");
        scope["tenant"] = json!({"id": "other"});
        assert_eq!(said(Engine::Liquid, "{{ 'hi' | t: name: name }}", &scope), "Bonjour Zoë");
    }

    #[test]
    fn a_count_chooses_the_form() {
        let liquid = |count: &str, locale| {
            said(Engine::Liquid, &format!("{{{{ 'items' | t: count: {count} }}}}"), &scope(locale))
        };
        assert_eq!(["0", "1", "2"].map(|count| liquid(count, "en")), ["none", "1 item", "2 items"]);
        assert_eq!(["0", "1", "n"].map(|count| liquid(count, "fr")), ["0 choses", "un", "3 choses"]);
        assert_eq!(liquid("5", "fr-BE"), "5 affaires");
        let handlebars = said(Engine::Handlebars, "{{t \"items\" count=1}} {{t \"items\" count=n}}", &scope("fr"));
        assert_eq!(handlebars, "un 3 choses");
    }

    #[test]
    fn a_key_without_a_text_is_sent_itself_unless_something_else_is_said() {
        let scope = scope("fr");
        assert_eq!(said(Engine::Liquid, "{{ 'no.such' | t }} {{ 'no.such' | t | default: 'x' }}", &scope), "no.such x");
        let handlebars = "{{t \"no.such\"}} {{default (t \"no.such\") \"x\"}}";
        assert_eq!(said(Engine::Handlebars, handlebars, &scope), "no.such x");
    }

    #[test]
    fn a_text_between_tags_is_translated_with_the_names_around_it() {
        let template = "{% t count: n %}Hi {{ name }}, {{ count }} left{% endt %}{{ count }}";
        assert_eq!(said(Engine::Liquid, template, &scope("fr-CA")), "Salut Zoë, reste 3");
        assert_eq!(said(Engine::Liquid, template, &scope("de")), "Hi Zoë, 3 left");
        let looped = "{% for x in (1..2) %}{%- t -%} Hi {{ name }}, {{ count }} left {%- endt -%}{{ x }}{% endfor %}";
        assert_eq!(said(Engine::Liquid, looped, &scope("fr")), "Salut Zoë, reste 1Salut Zoë, reste 2");
    }

    #[test]
    fn what_a_translation_says_is_not_translated_again_and_is_escaped_like_any_value() {
        assert_eq!(said(Engine::Liquid, "{{ 'again' | t }}", &scope("en")), "hi!");
        assert_eq!(
            said(Engine::Handlebars, "{{t \"hi\" name=html}}|{{{t \"hi\" name=html}}}", &scope("en")),
            "Hello &lt;b&gt;|Hello <b>"
        );
    }

    #[test]
    fn numbers_and_times_follow_the_recipients_locale() {
        let liquid =
            "{{ 1234.5 | format_number }} {{ 9.5 | currency: 'EUR' }} {{ '2026-03-06' | format_date_in_locale }}";
        let plain = |text: String| text.replace('\u{a0}', " ");
        assert_eq!(plain(said(Engine::Liquid, liquid, &scope("de"))), "1.234,5 9,50 € 06.03.2026");
        let handlebars =
            "{{format_number 1234.5}} {{currency 9.5 \"EUR\"}} {{format_date_in_locale \"2026-03-06\" \"\" \"long\"}}";
        assert_eq!(plain(said(Engine::Handlebars, handlebars, &scope("de"))), "1.234,5 9,50 € 6. März 2026");
        assert_eq!(
            said(
                Engine::Liquid,
                "{{ 'soon' | format_date_in_locale }}{{ nil | format_datetime_in_locale }}",
                &scope("de")
            ),
            "soon"
        );
    }
}
