//! Vars that templates and conditions name. Knock keeps their values in its dashboard, so nothing that was pulled has
//! them, and a link that begins with one would lead nowhere.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::pulled::Resource;
use crate::model::link::{PREFERENCES_VAR, UNSUBSCRIBE_VAR};
use crate::template::branding::BRANDING;

/// Those that there are without being set.
const GIVEN: [&str; 3] = [BRANDING, UNSUBSCRIBE_VAR, PREFERENCES_VAR];

/// The names of vars in `resources` for which nothing `is_set`.
pub fn missing(resources: &[Resource], is_set: impl Fn(&str) -> bool) -> BTreeSet<&str> {
    let texts = resources.iter().flat_map(|resource| resource.files.keys().filter_map(|name| resource.text(name)));
    texts.flat_map(names).filter(|name| !GIVEN.contains(name) && !is_set(name)).collect()
}

/// What stands as `vars.name` inside a tag, or at the beginning of a JSON string, as in a condition.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("vars.").filter_map(|(at, found)| {
        let (before, name) = (&text[..at], &text[at + found.len()..]);
        let last = |marks: [&str; 2]| marks.iter().filter_map(|mark| before.rfind(mark)).max();
        let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
        let is_in_tag = last(["{{", "{%"]) > last(["}}", "%}"]) && !before.ends_with(|one| is_part(one) || one == '.');
        let end = name.find(|letter| !is_part(letter)).unwrap_or(name.len());
        ((is_in_tag || before.ends_with('"')) && end > 0).then_some(&name[..end])
    })
}

/// What is `missing`, as it goes into the configuration file.
pub fn to_toml(missing: &BTreeSet<&str>) -> String {
    let mut text = "[vars]\n".to_owned();
    for name in missing {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} = \"\"");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vars_are_found_in_tags_and_in_conditions() {
        let found = |text: &str| names(text).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(found("{{ vars.app_url }}/{{data.id}}?a={{vars.key|upcase}}"), ["app_url", "key"]);
        assert_eq!(found("{% if vars.beta.on == true %}x{% endif %}"), ["beta"]);
        assert_eq!(found(r#"{"variable": "vars.plan", "operator": "equal_to"}"#), ["plan"]);
        for text in ["see vars.md", "{{ a }} vars.b", "{{ data.vars.a }}", "{{ myvars.a }}", "{{ vars.", "{{ vars }}"] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }
}
