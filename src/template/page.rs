//! The pages that this server shows to recipients. They need no script, and load nothing but their style.

use handlebars::{Handlebars, RenderError};
use serde::Serialize;

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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_page_shows_its_data_as_text_and_no_script_is_in_any() {
        let evil = "<script>alert(1)</script>\"'";
        let cell = json!({"id": evil, "label": "Email", "on": true, "fixed": false});
        let data = json!({"title": evil, "sender": evil, "text": evil, "email": evil,
                          "rows": [{"name": evil, "description": evil, "cells": [cell]}], "saved": true});
        for page in [Page::Notice, Page::Unsubscribe, Page::Preferences] {
            let html = page.render(&data).unwrap();
            assert!(html.starts_with("<!doctype html>") && html.contains("&lt;script&gt;"), "{html}");
            assert!(!html.contains("<script") && !html.contains("alert(1)</script>"), "{html}");
        }
        let html = Page::Preferences.render(&data).unwrap();
        assert!(html.contains("name=\"shown\" value=\"1&lt;script"), "{html}");
    }
}
