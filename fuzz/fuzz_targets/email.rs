//! The assembly of an email: visual blocks and Markdown, layouts and partials, MJML, style sheets, the text part.
#![no_main]

mod render;

use arbitrary::Arbitrary;
use belfry::model::layout::Layout as Written;
use belfry::model::library::Library;
use belfry::model::partial::{Partial, PartialKind};
use belfry::model::workflow::Engine;
use libfuzzer_sys::fuzz_target;
use render::Case;
use serde_json::{Value, json};

/// What an email is assembled of.
#[derive(Arbitrary, Debug)]
struct Email<'a> {
    is_liquid: bool,
    layout: Layout<'a>,
    body: Body<'a>,
    subject: &'a str,
    pre_content: &'a str,
    partial: &'a str,
    text: &'a str,
}

#[derive(Arbitrary, Debug)]
enum Layout<'a> {
    None,
    BuiltIn,
    Html { css: &'a str, around: &'a str },
    Mjml { head: &'a str, before: &'a str, after: &'a str },
}

#[derive(Arbitrary, Debug)]
enum Body<'a> {
    Blocks(Vec<Block<'a>>),
    Html(&'a str),
    Mjml(&'a str),
}

#[derive(Arbitrary, Debug)]
enum Block<'a> {
    Markdown(&'a str),
    Html(&'a str),
    Button(&'a str, &'a str),
    Image(&'a str),
    Partial(&'a str),
    Divider,
}

impl Block<'_> {
    fn document(&self) -> Value {
        match self {
            Self::Markdown(content) => json!({"type": "markdown", "version": 1, "content": content}),
            Self::Html(content) => json!({"type": "html", "version": 1, "content": content}),
            Self::Button(label, action) => json!({
                "type": "button_set", "version": 1,
                "buttons": [{"label": label, "action": action, "variant": "solid"}],
            }),
            Self::Image(url) => json!({"type": "image", "version": 1, "url": url}),
            Self::Partial(text) => {
                json!({"type": "partial", "version": 1, "key": "part", "name": "part", "attrs": {"text": text}})
            }
            Self::Divider => json!({"type": "divider", "version": 1}),
        }
    }
}

impl Layout<'_> {
    /// Its key, and what it says if it is one of the author's own.
    fn written(&self) -> (Option<&'static str>, Option<Written>) {
        let own = |html: String, is_mjml: bool| {
            let text = Some("{{ content }}\n--".to_owned());
            Some(Written {
                html,
                text,
                is_mjml,
                footer_links: Vec::new(),
                branding: Default::default(),
                files: Default::default(),
            })
        };
        match self {
            Self::None => (None, None),
            Self::BuiltIn => (Some("default"), None),
            Self::Html { css, around } => {
                let html = format!("<html><head><style>{css}</style></head><body>{around}{{{{ content }}}}</body>");
                (Some("own"), own(html, false))
            }
            Self::Mjml { head, before, after } => {
                let mjml = format!(
                    "<mjml><mj-head>{head}</mj-head><mj-body>{before}{{{{ content }}}}{after}</mj-body></mjml>"
                );
                (Some("own"), own(mjml, true))
            }
        }
    }
}

fn library(layout: Option<Written>, partial: &str) -> Library {
    let partial = Partial {
        kind: PartialKind::Html,
        content: partial.into(),
        engine: Engine::Liquid,
        inputs: Default::default(),
        files: Default::default(),
    };
    Library {
        layouts: layout.map(|layout| ("own".to_owned(), layout)).into_iter().collect(),
        partials: [("part".to_owned(), partial)].into(),
        ..Library::default()
    }
}

fuzz_target!(|email: Email<'_>| {
    let (key, layout) = email.layout.written();
    let mut template = json!({
        "subject": email.subject,
        "settings": {"layout_key": key, "pre_content": email.pre_content},
    });
    match &email.body {
        Body::Blocks(blocks) => {
            template["visual_blocks"] = blocks.iter().take(12).map(Block::document).collect();
        }
        Body::Html(html) => template["html_body"] = json!(html),
        Body::Mjml(mjml) => {
            template["html_body"] = json!(format!("<mjml><mj-body>{mjml}</mj-body></mjml>"));
            template["is_mjml"] = json!(true);
        }
    }
    render::render(Case {
        engine: if email.is_liquid { "liquid" } else { "handlebars" },
        template,
        library: library(layout, email.partial),
        text: email.text,
        body: None,
    });
});
