//! Keys in templates that nobody translated: found when a workflow is loaded, before a reader sees one.

use serde_json::Value;

use super::error::Position;
use super::phrases::Phrases;
use crate::model::fault::Fault;
use crate::model::json_path;
use crate::model::notice::Notice;
use crate::model::workflow::Workflow;

/// A notice for each key that the workflow's templates name and that has no text in the default locale. Keys that are
/// computed cannot be known, and one with a `default` says something anyway.
pub fn untranslated(workflow: &Workflow, phrases: &Phrases) -> Vec<Notice> {
    let mut notices = Vec::new();
    walk("", &workflow.source, &mut |path, text| {
        for (at, key) in keys(text).into_iter().filter(|(_, key)| !phrases.knows(key)) {
            let locale = phrases.default_locale();
            let (file, path) = workflow.place(path);
            let notice = Fault {
                file,
                path,
                problem: format!(
                    "{}: the key {key:?} has no text in {locale}, so the key is sent",
                    Position::of(text, at)
                ),
                fix: format!("Add it to translations/{locale}/{locale}.json, or say what is sent with `default`."),
            };
            notices.push(Notice(notice));
        }
    });
    notices
}

fn walk(path: &str, value: &Value, visit: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => visit(path, text),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| walk(&json_path::element(path, index), item, visit));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(key, item)| walk(&json_path::field(path, key), item, visit));
        }
        _ => {}
    }
}

/// The keys in `text` that are printed when they have no translation, each with its offset: `{{ "key" | t }}` and
/// `{{t "key"}}`.
fn keys(text: &str) -> Vec<(usize, &str)> {
    let tags = text.match_indices("{{").filter_map(|(at, _)| {
        let inside = &text[at + 2..at + text[at..].find("}}")?];
        let tag = inside.trim_matches(['{', '-', '~', ' ', '\n', '\t', '\r']);
        let helper = tag.strip_prefix('t').filter(|rest| rest.starts_with(char::is_whitespace)).map(str::trim_start);
        let quoted = helper.unwrap_or(tag);
        let quote = quoted.chars().next().filter(|letter| matches!(letter, '"' | '\''))?;
        let (key, rest) = quoted[1..].split_once(quote)?;
        let filter = rest.trim_start().strip_prefix('|').map(str::trim_start);
        let is_filter = filter.and_then(|rest| rest.strip_prefix('t')).is_some_and(|rest| {
            !rest.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_') && !rest.contains('|')
        });
        (helper.is_some() || is_filter).then_some((at, key))
    });
    tags.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_either_language_unless_something_else_is_said() {
        let found = |text| keys(text).into_iter().map(|(_, key)| key).collect::<Vec<_>>();
        assert_eq!(found("{{ \"a.b\" | t }} {{- 'c' | t: name: x -}}"), ["a.b", "c"]);
        assert_eq!(found("{{t \"a\"}} {{{ t 'b' count=2 }}}"), ["a", "b"]);
        for none in
            ["{{ \"a\" | t | default: \"x\" }}", "{{ \"a\" | truncate: 3 }}", "{{ key | t }}", "{{ t }}", "{{ \"a"]
        {
            assert_eq!(found(none), [] as [&str; 0], "{none}");
        }
    }
}
