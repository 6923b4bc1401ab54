//! Templates in Handlebars, in an email and in a feed item.
#![no_main]

mod render;

use libfuzzer_sys::fuzz_target;
use render::Case;
use serde_json::json;

fuzz_target!(|input: (&str, &str)| {
    let (source, text) = input;
    let template = json!({"subject": source, "html_body": source, "settings": {"layout_key": null}});
    render::render(Case { engine: "handlebars", template, body: Some(source), text, ..Case::default() });
});
