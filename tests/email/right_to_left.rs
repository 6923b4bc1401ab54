//! Mail that is written from right to left: whatever says its texts in a language that is.

use std::collections::BTreeMap;

use belfry::engine::catalog::Catalog;
use belfry::engine::shelf::Shelf;
use belfry::model::library::LibraryFiles;
use belfry::model::workflow_file::WorkflowFiles;
use serde_json::{Value, json};

use super::{catalog, of_blocks, published, scope};

/// A catalog with one text in English and Arabic, another in English, and Belfry's own words in Hebrew.
fn translated(default: &str) -> Catalog {
    let folder = |locale: &str, name: &str, text: &str| WorkflowFiles {
        key: locale.to_owned(),
        files: BTreeMap::from([(name.to_owned(), text.to_owned())]),
    };
    let translations = vec![
        folder("en", "en.json", r#"{"hi": "Hi", "bye": "Bye"}"#),
        folder("ar", "ar.json", r#"{"hi": "Hi"}"#),
        folder("he", "belfry.he.json", r#"{"email": {"preferences": "P"}}"#),
    ];
    let (shelf, _, faults) =
        Shelf::read(&LibraryFiles { translations, ..LibraryFiles::default() }, &Shelf::bare(default));
    assert_eq!(faults, []);
    let catalog = catalog();
    catalog.shelve(shelf, &BTreeMap::new());
    catalog
}

/// The HTML of an email with these blocks to somebody who reads `locale`.
fn html(catalog: &Catalog, engine: &str, blocks: &Value, locale: &str) -> String {
    let mut scope = scope();
    scope["recipient"]["locale"] = json!(locale);
    let published = published(catalog, "w", of_blocks(blocks.clone(), engine));
    published.templates.email("email_1", scope).unwrap().html
}

/// The HTML as it looks in a mirror.
fn mirrored(html: &str) -> String {
    html.replace("left", "\u{1}").replace("right", "left").replace('\u{1}', "right")
}

#[test]
fn a_mail_in_arabic_is_the_mirror_image_of_the_one_in_english() {
    let catalog = translated("en");
    for (engine, hi) in [("liquid", "{{ 'hi' | t }}"), ("handlebars", "{{t 'hi'}}")] {
        let buttons = json!([{"label": "One", "action": "/1"}, {"label": "Two", "action": "/2", "variant": "outline"}]);
        let blocks = json!([
            {"type": "markdown", "content": format!("# {hi}\n\n- a\n\n> b\n\n| c | d |\n|---|---|\n| e | f |")},
            {"type": "button_set", "buttons": buttons},
            {"type": "image", "url": "https://x.test/a.png", "alt": "A", "layout_attrs": {"horizontal_align": "right"}},
            {"type": "html", "content": "<p>g</p>", "layout_attrs": {"padding_left": 24, "padding_right": 8}},
            {"type": "row", "columns": [[{"type": "html", "content": "h"}], [{"type": "html", "content": "i"}]]},
        ]);
        let [english, arabic] = ["en", "ar-EG"].map(|locale| html(&catalog, engine, &blocks, locale));
        assert!(english.starts_with("<!DOCTYPE html><html lang=\"en\" dir=\"ltr\" "), "{english}");
        assert!(arabic.starts_with("<!DOCTYPE html><html lang=\"ar\" dir=\"rtl\" "), "{arabic}");
        let (of_code, arabic): (Vec<_>, Vec<_>) = arabic.lines().partition(|line| line.contains("direction: ltr"));
        assert_eq!(of_code.len(), 1, "code is written from left to right everywhere");
        let as_english = mirrored(&arabic.join("\n")).replace("\"rtl\"", "\"ltr\"").replace("\"ar\"", "\"en\"");
        assert_eq!(as_english, english.lines().collect::<Vec<_>>().join("\n"));
        for side in ["padding-left:24px", "border-left", "text-align: left", "align=\"left\"", "margin-right:8px"] {
            assert!(english.contains(side), "{side} in {english}");
        }
    }
}

#[test]
fn a_mail_is_in_the_language_that_it_says_its_texts_in() {
    let says = |body: &str| json!([{"type": "html", "content": body}]);
    let begins = |default: &str, body: &str, locale: &str, expected: &str| {
        let html = html(&translated(default), "liquid", &says(body), locale);
        assert!(html.starts_with(&format!("<!DOCTYPE html><html {expected} ")), "{body} for {locale}: {html}");
        let table = expected.split_once(' ').unwrap().1;
        assert!(html.contains(&format!("<table {table} role=\"presentation\"")), "programs drop <html>: {html}");
    };
    let (english, arabic) = ("lang=\"en\" dir=\"ltr\"", "lang=\"ar\" dir=\"rtl\"");
    begins("en", "{{ 'hi' | t }}", "ar_EG", arabic);
    begins("en", "{{ 'bye' | t }} {{ 'hi' | t }}", "ar", english);
    begins("en", "{{ 'hi' | t }}", "fr", english);
    begins("en", "{{ 'bye' | t }}", "ar", english);
    begins("en", "Written out", "ar", english);
    begins("en", "Around it are words of Belfry", "he", english);
    begins("ar", "Written out", "", arabic);
}
