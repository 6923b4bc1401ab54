//! What Outlook on Windows shows, which lays mail out as Word does: tables and attributes, and little of CSS.

use serde_json::{Value, json};

use super::{catalog, of_blocks, published, scope};

/// A start tag with its attributes.
struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What its style says of a property.
    fn style(&self, property: &str) -> Option<&str> {
        let declarations = self.get("style").unwrap_or_default().split(';');
        let pairs = declarations.filter_map(|declaration| declaration.split_once(':'));
        pairs.filter(|(name, _)| name.trim() == property).map(|(_, value)| value.trim()).next_back()
    }
}

/// The start tags of HTML without comments. Attributes stand in double quotes, as in all that is ours.
fn tags(html: &str) -> Vec<Tag> {
    let body = html.split("<body").nth(1).unwrap();
    let read = |text: &str| {
        let text = text.split('>').next().unwrap();
        let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut parts = rest.split('"');
        let mut attributes = Vec::new();
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            attributes.push((name.trim().trim_end_matches('=').to_owned(), value.to_owned()));
        }
        Tag { name: name.to_owned(), attributes }
    };
    format!("body{body}").split('<').filter(|text| text.starts_with(char::is_alphabetic)).map(read).collect()
}

/// The HTML as programs see it that read `[if mso]`, or as all others do.
fn seen(html: &str, by_outlook: bool) -> String {
    let html = html.replace("<!--[if !mso]><!-->", "\u{1}").replace("<!--<![endif]-->", "\u{2}");
    let mut seen = String::new();
    let mut rest = html.as_str();
    while let Some(at) = rest.find(['<', '\u{1}']) {
        seen.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix('\u{1}') {
            let (others, after) = after.split_once('\u{2}').unwrap();
            seen.push_str(if by_outlook { "" } else { others });
            rest = after;
        } else if let Some(after) = rest.strip_prefix("<!--[if mso]>") {
            let (outlook, after) = after.split_once("<![endif]-->").unwrap();
            seen.push_str(if by_outlook { outlook } else { "" });
            rest = after;
        } else {
            assert!(!rest.starts_with("<!--"), "no other comments: {}", &rest[..60.min(rest.len())]);
            seen.push('<');
            rest = &rest[1..];
        }
    }
    seen + rest
}

fn emails() -> Vec<String> {
    let button = |label: &str, variant: &str, size: Value| json!({"label": label, "action": "https://a.test", "variant": variant, "size_attrs": size});
    let buttons =
        json!([button("One", "solid", json!({"size": "lg"})), button("Two", "outline", json!({"is_fullwidth": true}))]);
    let markdown = "# Title\n\nText with `code`\n\n- a\n- b\n\n> quote\n\n---\n\n```\ncode\n```";
    let blocks = json!([
        {"type": "markdown", "content": markdown},
        {"type": "image", "url": "https://a.test/i.png", "alt": "i", "style_attrs": {"width": "240px"}},
        {"type": "button_set", "buttons": buttons},
        {"type": "divider"},
        {"type": "html", "content": "<p class=\"muted\">x <a class=\"button\" href=\"https://a.test\">Go</a></p>"},
    ]);
    let mut scope = scope();
    scope["vars"]["branding"] = json!({"logo_url": "https://a.test/l.png", "dark_logo_url": "https://a.test/d.png"});
    scope["vars"]["commercial_unsubscribe_url"] = json!("https://a.test/u");
    scope["vars"]["manage_preferences_url"] = json!("https://a.test/p");
    scope["workflow"]["commercial"] = json!(true);
    scope["preview_text"] = json!("Soon");
    let email = |engine| {
        published(&catalog(), "w", of_blocks(blocks.clone(), engine)).templates.email("email_1", scope.clone())
    };
    ["liquid", "handlebars"].map(|engine| email(engine).unwrap().html).into()
}

#[test]
fn nothing_in_the_default_layout_needs_what_outlook_lacks() {
    for html in emails() {
        let spaceless: String = html.to_lowercase().chars().filter(|letter| !letter.is_whitespace()).collect();
        for lacking in [
            "display:flex",
            "display:inline-flex",
            "display:grid",
            "position:absolute",
            "position:relative",
            "float:",
            "background-image",
            "url(",
            "var(--",
            "calc(",
            "<svg",
            "<video",
            "<form",
            "<script",
            "@import",
            "@font-face",
        ] {
            assert!(!spaceless.contains(lacking), "{lacking} in {html}");
        }
        let outlook = seen(&html, true);
        for tag in tags(&outlook) {
            let shown = format!("<{} {:?}>", tag.name, tag.attributes);
            match tag.name.as_str() {
                "table" => {
                    let zero = ["cellpadding", "cellspacing", "border"].map(|name| tag.get(name));
                    assert_eq!((tag.get("role"), zero), (Some("presentation"), [Some("0"); 3]), "{shown}");
                    assert!(tag.get("align").is_none(), "Word floats it: {shown}");
                }
                "img" => {
                    assert!(tag.get("alt").is_some() && tag.style("border") == Some("0"), "{shown}");
                    assert!(tag.get("width").or(tag.get("height")).is_some(), "it is as large as its file: {shown}");
                }
                _ => {}
            }
            if ["table", "td", "body"].contains(&tag.name.as_str()) {
                let colour = tag.style("background-color").filter(|colour| *colour != "transparent");
                assert_eq!(tag.get("bgcolor"), colour, "{shown}");
            }
        }
    }
}

#[test]
fn outlook_gets_a_fixed_width_and_buttons_with_room_and_every_program_whole_tables() {
    for html in emails() {
        assert_eq!(html.matches("<!--[if").count(), html.matches("<![endif]").count());
        let [outlook, others] = [true, false].map(|by_outlook| seen(&html, by_outlook));
        for (view, name) in [(&outlook, "Outlook"), (&others, "others")] {
            for tag in ["table", "tr", "td"] {
                let opened = view.matches(&format!("<{tag}>")).count() + view.matches(&format!("<{tag} ")).count();
                assert_eq!(opened, view.matches(&format!("</{tag}>")).count(), "{tag} for {name}: {view}");
            }
        }
        let fixed = |tag: &Tag| tag.name == "table" && tag.get("width") == Some("600");
        assert_eq!(tags(&outlook).iter().filter(|tag| fixed(tag)).count(), 1, "Word knows no max-width: {outlook}");
        assert!(!tags(&others).iter().any(fixed), "phones are narrower: {others}");
        let cells = tags(&outlook)
            .into_iter()
            .filter(|tag| tag.get("class").is_some_and(|class| class.contains("block-button-cell")));
        let padded: Vec<_> = cells.map(|cell| cell.style("mso-padding-alt").map(str::to_owned)).collect();
        assert_eq!(padded, [Some("14px 26px".to_owned()), Some("11px 20px".to_owned())]);
        let dark = tags(&outlook).iter().any(|tag| tag.get("class") == Some("logo-dark"));
        assert!(!dark, "Word shows what is hidden by max-height: {outlook}");
    }
}

#[test]
fn a_solid_button_has_the_same_box_as_an_outlined_one_beside_it() {
    for html in emails() {
        let cells = tags(&seen(&html, false))
            .into_iter()
            .filter(|tag| tag.get("class").is_some_and(|class| class.contains("block-button-cell")));
        let borders: Vec<_> = cells.map(|cell| cell.style("border").unwrap().to_owned()).collect();
        assert_eq!(borders, ["1px solid #3d5afe", "1px solid #3d5afe"]);
        // In the dark, where the background is another, the border is too.
        let dark = "background-color: #FFFFFF !important; color: #000000 !important; border-color: #FFFFFF !important;";
        assert!(html.contains(dark), "{html}");
    }
}
