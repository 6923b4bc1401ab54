#![no_main]

mod render;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// What an email is assembled of.
#[derive(Arbitrary, Debug)]
struct Email<'a> {
    is_liquid: bool,
    has_layout: bool,
    subject: &'a str,
    blocks: Vec<Block<'a>>,
    pre_content: &'a str,
    text: &'a str,
}

#[derive(Arbitrary, Debug)]
enum Block<'a> {
    Markdown(&'a str),
    Html(&'a str),
    Button(&'a str, &'a str),
    Image(&'a str),
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
            Self::Divider => json!({"type": "divider", "version": 1}),
        }
    }
}

fuzz_target!(|email: Email<'_>| {
    let blocks: Vec<Value> = email.blocks.iter().take(12).map(Block::document).collect();
    let layout = email.has_layout.then_some("default");
    let settings = json!({"layout_key": layout, "pre_content": email.pre_content});
    let template = json!({"subject": email.subject, "visual_blocks": blocks, "settings": settings});
    render::render(if email.is_liquid { "liquid" } else { "handlebars" }, template, None, email.text);
});
