//! The brand that an email shows: the account's, changed by its layout, changed by the tenant it is about.

use serde_json::{Map, Value, json};

use crate::model::visual_block::is_colour;

/// The colours of a brand and what they are when nobody says.
const COLOURS: [(&str, &str); 4] = [
    ("primary_color", "#000000"),
    ("primary_color_contrast", "#FFFFFF"),
    ("dark_primary_color", "#FFFFFF"),
    ("dark_primary_color_contrast", "#000000"),
];

/// The var that has what a brand comes to.
pub const BRANDING: &str = "branding";

/// The images of a brand.
const IMAGES: [&str; 4] = ["logo_url", "icon_url", "dark_logo_url", "dark_icon_url"];

/// Sets `vars.branding` of a scope.
pub(super) fn apply(scope: &mut Value, layout: &Map<String, Value>) {
    let account = scope.pointer("/vars/branding").and_then(Value::as_object);
    let tenant = scope.pointer("/tenant/settings/branding").and_then(Value::as_object);
    let mut brand: Map<String, Value> =
        COLOURS.iter().map(|(name, colour)| ((*name).to_owned(), json!(colour))).collect();
    brand.extend(merged([account, Some(layout), tenant]));
    if let Some(Value::Object(vars)) = scope.get_mut("vars") {
        vars.insert(BRANDING.to_owned(), Value::Object(brand));
    }
}

/// What these brands come to, the last one first. What is no colour or web address is passed over: it would be put into
/// styles and attributes as it is, and a tenant's settings are other people's.
pub fn merged<'a>(layers: impl IntoIterator<Item = Option<&'a Map<String, Value>>>) -> Map<String, Value> {
    let fits = |name: &str, value: &Value| match value.as_str() {
        Some(text) if COLOURS.iter().any(|(known, _)| *known == name) => is_colour(text),
        Some(text) if IMAGES.contains(&name) => is_web_address(text),
        _ => name == "custom",
    };
    let all = layers.into_iter().flatten().flatten();
    all.filter(|(name, value)| fits(name, value)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A colour of the brand of a scope, safe in a style.
pub(super) fn colour<'s>(scope: &'s Value, name: &str) -> &'s str {
    scope["vars"]["branding"][name].as_str().unwrap_or("#000000")
}

/// Whether `text` is the address of something on the web, safe in an attribute.
pub fn is_web_address(text: &str) -> bool {
    let address = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    address.is_some_and(|rest| !rest.is_empty())
        && text.chars().all(|letter| !letter.is_whitespace() && !letter.is_control() && !"\"'<>\\".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branded(mut scope: Value, layout: Value) -> Value {
        apply(&mut scope, layout.as_object().unwrap());
        scope
    }

    #[test]
    fn a_tenant_changes_what_the_layout_changed_of_the_accounts_brand() {
        let scope = json!({
            "vars": {"branding": {"primary_color": "#111111", "logo_url": "https://a.test/l.png", "dark_primary_color": "#eee"}},
            "tenant": {"id": "t", "settings": {"branding": {"primary_color": "#333333"}}},
        });
        let brand = branded(scope, json!({"primary_color": "#222222", "primary_color_contrast": "white"}));
        assert_eq!(
            brand["vars"]["branding"],
            json!({
                "primary_color": "#333333", "primary_color_contrast": "white", "dark_primary_color": "#eee",
                "dark_primary_color_contrast": "#000000", "logo_url": "https://a.test/l.png",
            })
        );
        assert_eq!(brand["tenant"]["id"], "t");
    }

    #[test]
    fn what_could_end_a_style_or_an_attribute_is_passed_over() {
        let branding = json!({"primary_color": "red;background:url(x)", "logo_url": "https://x\" onerror=\"y", "icon_url": "javascript:x"});
        let scope = json!({"vars": {}, "tenant": {"id": "t", "settings": {"branding": branding}}});
        let brand = branded(scope, json!({}))["vars"]["branding"].take();
        assert_eq!(
            (&brand["primary_color"], &brand["logo_url"], &brand["icon_url"]),
            (&json!("#000000"), &Value::Null, &Value::Null)
        );
    }
}
