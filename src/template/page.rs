//! The pages that this server shows to recipients. They need no script, and load nothing but their style.

use handlebars::{Handlebars, RenderError};
use serde::Serialize;
use serde_json::{Map, Value};

/// How all of them look.
pub const STYLE: &str = include_str!("../../templates/hosted/style.css");

const FRAME: &str = include_str!("../../templates/hosted/frame.hbs");

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// A sentence.
    Notice,
    /// Asks before it unsubscribes.
    Unsubscribe,
    /// The preference center.
    Preferences,
}

impl Page {
    fn source(self) -> &'static str {
        match self {
            Self::Notice => include_str!("../../templates/hosted/notice.hbs"),
            Self::Unsubscribe => include_str!("../../templates/hosted/unsubscribe.hbs"),
            Self::Preferences => include_str!("../../templates/hosted/preferences.hbs"),
        }
    }

    /// The page as HTML; all that `data` holds is text in it.
    pub fn render(self, data: &impl Serialize) -> Result<String, RenderError> {
        let mut registry = Handlebars::new();
        registry.register_partial("frame", FRAME)?;
        registry.render_template(self.source(), data)
    }
}

/// The style sheet that puts a brand's colours in place of the page's own; nothing if it has none.
pub fn style_of(brand: &Map<String, Value>) -> String {
    let rule = |colour: &str, contrast: &str, fallback: &str| {
        let colour = brand.get(colour)?.as_str()?;
        let contrast = brand.get(contrast).and_then(Value::as_str).unwrap_or(fallback);
        Some(format!(":root{{--accent:{colour};--on-accent:{contrast}}}"))
    };
    let light = rule("primary_color", "primary_color_contrast", "#ffffff");
    let dark = rule("dark_primary_color", "dark_primary_color_contrast", "#000000");
    let scheme = |rule: Option<String>, scheme: &str| {
        rule.map(|rule| format!("@media (prefers-color-scheme:{scheme}){{{rule}}}")).unwrap_or_default()
    };
    scheme(light, "light") + &scheme(dark, "dark")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_page_shows_its_data_as_text_and_no_script_is_in_any() {
        let evil = "<script>alert(1)</script>\"'";
        let cell = json!({"id": evil, "label": "Email", "on": true, "fixed": false});
        let words = json!({"save": evil, "saved": evil, "button": evil});
        let data = json!({"title": evil, "sender": evil, "text": evil, "email": evil, "words": words,
                          "footer": {"text": evil, "url": evil}, "logo": evil, "dark_logo": evil, "lang": evil,
                          "rows": [{"name": evil, "description": evil, "cells": [cell]}], "saved": true});
        for page in [Page::Notice, Page::Unsubscribe, Page::Preferences] {
            let html = page.render(&data).unwrap();
            assert!(html.starts_with("<!doctype html>") && html.contains("&lt;script&gt;"), "{html}");
            assert!(!html.contains("<script") && !html.contains("alert(1)</script>"), "{html}");
        }
        let brand = json!({"primary_color": "#ff0000", "dark_primary_color": "#ffaaaa", "dark_primary_color_contrast": "black"});
        let style = style_of(brand.as_object().unwrap());
        assert_eq!(
            style,
            "@media (prefers-color-scheme:light){:root{--accent:#ff0000;--on-accent:#ffffff}}\
             @media (prefers-color-scheme:dark){:root{--accent:#ffaaaa;--on-accent:black}}"
        );
        assert_eq!(style_of(&Map::new()), "");
        let html = Page::Preferences.render(&data).unwrap();
        assert!(html.contains("name=\"shown\" value=\"1&lt;script"), "{html}");
    }
}
