#![no_main]

mod render;

use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|input: (&str, &str)| {
    let (template, text) = input;
    let plain = json!({"subject": template, "html_body": template, "settings": {"layout_key": null}});
    render::render("handlebars", plain, Some(template), text);
});
