//! An email layout: what stands around the body of every email that names it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fault::Fault;
use super::findings::Findings;
use super::json_reader::Reader;
use super::notice::Remark;
use super::pointer;
use super::text_files::TextFiles;
use super::workflow_file::WorkflowFiles;

/// The file at the top of a layout's directory.
const DOCUMENT: &str = "layout.json";

/// A layout's sources, in Liquid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// Has a `{{ content }}`.
    pub html: String,
    /// The same for the text part; the text alone when absent.
    #[serde(default)]
    pub text: Option<String>,
    /// The HTML is MJML.
    #[serde(default)]
    pub is_mjml: bool,
    #[serde(default)]
    pub footer_links: Vec<FooterLink>,
    /// What this layout changes of the account's branding.
    #[serde(default)]
    pub branding: Map<String, Value>,
    /// Which files its parts were read from.
    #[serde(skip)]
    pub files: TextFiles,
}

impl Layout {
    /// The file in which the value at `path` of the layout `key` was written, and the path in that file.
    pub fn place(&self, key: &str, path: &str) -> (String, String) {
        self.files.place(&directory(key), DOCUMENT, path)
    }
}

fn directory(key: &str) -> String {
    format!("layouts/{key}")
}

/// A link for the layout's foot, as its templates find it in `footer_links`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FooterLink {
    pub text: String,
    pub url: String,
}

/// Reads the directory of a layout.
pub fn read(files: &WorkflowFiles) -> Result<(Layout, Vec<Remark>), Vec<Fault>> {
    let findings = Findings::of(&directory(&files.key), DOCUMENT);
    let document = pointer::resolve(files, &findings);
    let layout =
        document.as_ref().and_then(|document| read_layout(&Reader::new(document, &findings), findings.files()));
    findings.conclude(layout)
}

fn read_layout(top: &Reader<'_>, files: TextFiles) -> Option<Layout> {
    top.object()?;
    const KEYS: [&str; 13] = [
        "name",
        "key",
        "html_layout",
        "text_layout",
        "footer_links",
        "is_mjml",
        "branding_overrides",
        "environment",
        "sha",
        "created_at",
        "updated_at",
        "description",
        "valid",
    ];
    top.expect_keys(&KEYS);
    let html = top
        .field("html_layout")
        .required_text("Write the HTML with {{ content }} in it, or html_layout@ with the path of a file.");
    let text = top.field("text_layout").text().filter(|text| !text.trim().is_empty());
    let links = top.field("footer_links");
    let links: Vec<_> = links.items().unwrap_or_default().iter().map(read_link).collect();
    Some(Layout {
        html: html?.to_owned(),
        text: text.map(str::to_owned),
        is_mjml: top.field("is_mjml").flag(),
        footer_links: links.into_iter().collect::<Option<_>>()?,
        branding: top.field("branding_overrides").object().cloned().unwrap_or_default(),
        files,
    })
}

fn read_link(link: &Reader<'_>) -> Option<FooterLink> {
    let text = link.field("text").required_text("Write what the link says.");
    let url = link.field("url").required_text("Write where the link leads.");
    Some(FooterLink { text: text?.to_owned(), url: url?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn files(files: &[(&str, &str)]) -> WorkflowFiles {
        let files: BTreeMap<_, _> = files.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
        WorkflowFiles { key: "brand".into(), files }
    }

    #[test]
    fn a_layout_is_read_as_knock_writes_it() {
        let document = r#"{"name": "Brand", "html_layout@": "html_layout.html", "text_layout@": "text_layout.txt",
            "footer_links": [{"text": "Help", "url": "https://x.test"}], "$schema": "s", "__readonly": {"key": "brand"}}"#;
        let (layout, notices) = read(&files(&[
            ("layout.json", document),
            ("html_layout.html", "<b>{{ content }}</b>"),
            ("text_layout.txt", "{{ content }}\n"),
        ]))
        .unwrap();
        assert!(notices.is_empty(), "{notices:?}");
        assert_eq!((layout.html.as_str(), layout.text.as_deref()), ("<b>{{ content }}</b>", Some("{{ content }}\n")));
        assert_eq!(layout.footer_links, [FooterLink { text: "Help".into(), url: "https://x.test".into() }]);
    }

    #[test]
    fn faults_name_the_layouts_directory() {
        let faults = |text: &str| read(&files(&[("layout.json", text)])).unwrap_err()[0].to_string();
        assert!(faults("{}").starts_with("layouts/brand/layout.json html_layout: is missing"));
        assert!(faults(r#"{"html_layout@": "x.html"}"#).contains("there is no file \"brand/x.html\""));
        let faults = read(&files(&[])).unwrap_err();
        assert!(faults[0].to_string().starts_with("layouts/brand/layout.json: is missing"), "{faults:?}");
    }
}
