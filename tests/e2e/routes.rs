//! The routes that the server has, read from its source: actix tells them to nobody.

use reqwest::Method;

/// What its source writes once for several routes.
const PREFIXES: [(&str, &str); 4] = [
    ("{guides}", "/v1/users/{id}/guides"),
    ("{center}", "/v1/users/{id}/preference_center"),
    ("{slack}", "/v1/providers/slack/{channel}"),
    ("{teams}", "/v1/providers/ms-teams/{channel}"),
];

/// The routes of the server, as its source has them: method and pattern.
pub fn routes() -> Vec<(Method, String)> {
    let source = include_str!("../../src/http/mod.rs");
    let quoted = |text: &'static str| text.split('"').nth(1).unwrap();
    // What several kinds of recipients have alike is written once.
    let owners: Vec<_> = source.split("owned(routes, ").skip(1).map(quoted).collect();
    let mut parts = source.split(".route(");
    let scope_in = |part: &'static str| Some(quoted(part.rsplit_once("web::scope(")?.1));
    let mut scope = parts.next().and_then(scope_in).unwrap_or_default();
    let mut found = Vec::new();
    for part in parts {
        let (_, rest) = part.split_once("web::").unwrap();
        let method = Method::from_bytes(rest.split_once('(').unwrap().0.to_uppercase().as_bytes()).unwrap();
        let pattern = quoted(part);
        if part.trim_start().starts_with("&at(") {
            found.extend(owners.iter().map(|owner| (method.clone(), format!("{owner}{pattern}"))));
        } else if part.trim_start().starts_with("&format!(") {
            let written = PREFIXES.iter().fold(pattern.to_owned(), |path, (name, prefix)| path.replace(name, prefix));
            found.push((method, written.replace("{{", "{").replace("}}", "}")));
        } else {
            found.push((method, format!("{scope}{pattern}")));
        }
        scope = scope_in(part).unwrap_or(scope);
    }
    found
}
