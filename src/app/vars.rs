//! Vars that templates and conditions name and the configuration does not set: a link that begins with one would lead
//! nowhere. Knock keeps their values in its dashboard, so nothing that was pulled has them.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::base::config::OWN_VARS;
use crate::model::fault::Fault;
use crate::model::notice::Notice;
use crate::template::branding::BRANDING;

/// The names of vars in `texts` for which nothing `is_set`.
pub fn missing<'t>(texts: impl Iterator<Item = &'t str>, is_set: impl Fn(&str) -> bool) -> BTreeSet<&'t str> {
    texts.flat_map(|text| unset(text, &is_set)).map(|(_, name)| name).collect()
}

/// A notice for each such var, where the first of `files`, which are told by these names, has it.
pub fn notices<'t>(files: impl Iterator<Item = (String, &'t str)>, is_set: impl Fn(&str) -> bool) -> Vec<Notice> {
    let (mut known, mut notices) = (BTreeSet::new(), Vec::new());
    for (file, text) in files {
        for (at, name) in unset(text, &is_set) {
            if known.insert(name) {
                let line = text[..at].matches('\n').count() + 1;
                let problem = format!("line {line}: vars.{name} is not set, so nothing stands where it is printed");
                let fix = format!("Set {name} in the section [vars] of the configuration.");
                notices.push(Notice(Fault { file: file.clone(), path: String::new(), problem, fix }));
            }
        }
    }
    notices
}

/// The names in `text` for which nothing `is_set`, and that are not there without that.
fn unset(text: &str, is_set: impl Fn(&str) -> bool) -> impl Iterator<Item = (usize, &str)> {
    names(text).filter(move |(_, name)| *name != BRANDING && !OWN_VARS.contains(name) && !is_set(name))
}

/// What stands as `vars.name` inside a tag, or at the beginning of a JSON string, as in a condition; and where.
fn names(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices("vars.").filter_map(|(at, found)| {
        let (before, name) = (&text[..at], &text[at + found.len()..]);
        let last = |marks: [&str; 2]| marks.iter().filter_map(|mark| before.rfind(mark)).max();
        let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
        let is_in_tag = last(["{{", "{%"]) > last(["}}", "%}"]) && !before.ends_with(|one| is_part(one) || one == '.');
        let end = name.find(|letter| !is_part(letter)).unwrap_or(name.len());
        ((is_in_tag || before.ends_with('"')) && end > 0).then_some((at, &name[..end]))
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
    use crate::model::link::{PREFERENCES_VAR, UNSUBSCRIBE_VAR};
    use crate::template::writing::WRITING;

    #[test]
    fn the_vars_that_a_configuration_cannot_set_are_those_that_messages_set() {
        assert_eq!(OWN_VARS, [UNSUBSCRIBE_VAR, PREFERENCES_VAR, WRITING]);
    }

    #[test]
    fn vars_are_found_in_tags_and_in_conditions() {
        let found = |text: &str| names(text).map(|(_, name)| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(found("{{ vars.app_url }}/{{data.id}}?a={{vars.key|upcase}}"), ["app_url", "key"]);
        assert_eq!(found("{% if vars.beta.on == true %}x{% endif %}"), ["beta"]);
        assert_eq!(found(r#"{"variable": "vars.plan", "operator": "equal_to"}"#), ["plan"]);
        for text in ["see vars.md", "{{ a }} vars.b", "{{ data.vars.a }}", "{{ myvars.a }}", "{{ vars.", "{{ vars }}"] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn what_is_not_set_is_told_once_with_its_file_and_line() {
        let files = [("w/workflow.json", "{}"), ("w/a.md", "\n{{ vars.a }}{{ vars.b }}"), ("w/b.md", "{{ vars.a }}")];
        let files = files.map(|(file, text)| (file.to_owned(), text));
        let told: Vec<String> =
            notices(files.into_iter(), |name| name == "b").iter().map(ToString::to_string).collect();
        let expected = "w/a.md: line 2: vars.a is not set, so nothing stands where it is printed. \
                        Set a in the section [vars] of the configuration.";
        assert_eq!(told, [expected]);
    }
}
