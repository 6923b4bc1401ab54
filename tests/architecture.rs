//! The rules of the source tree, proved from its text: floors, who may name which crate, documentation, sizes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. A module may name its own floor and those before it.
const FLOORS: [&str; 9] = ["base", "model", "template", "store", "engine", "delivery", "feed", "http", "app"];

/// A file longer than this holds two concepts.
const LONGEST_FILE: usize = 700;

struct Source {
    /// Relative to `src`, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The code without comments and without what is in string literals: a name in prose is not a dependency.
    fn code(&self) -> String {
        strip(&self.text)
    }

    /// The code up to its tests; the rules of what ships do not bind what proves them.
    fn shipped(&self) -> String {
        let code = self.code();
        if self.is_test() { String::new() } else { cut_tests(&code) }
    }

    fn is_test(&self) -> bool {
        matches!(self.path.rsplit('/').next(), Some("tests.rs" | "workflow_sample.rs"))
    }

    fn floor(&self) -> Option<&str> {
        let first = self.path.split('/').next()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        FLOORS.into_iter().find(|floor| *floor == name)
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
                found.push(Source { path: relative, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 20, "the source tree was not found at {}", root.display());
    found
}

/// Blanks comments and the insides of string and character literals; lines stay where they are.
fn strip(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let blank = |out: &mut String, c: char| out.push(if c == '\n' { '\n' } else { ' ' });
    while at < chars.len() {
        let rest = &chars[at..];
        if rest.starts_with(&['/', '/']) {
            while at < chars.len() && chars[at] != '\n' {
                out.push(' ');
                at += 1;
            }
        } else if rest.starts_with(&['/', '*']) {
            let mut depth = 0;
            while at < chars.len() {
                if chars[at..].starts_with(&['/', '*']) {
                    depth += 1;
                } else if chars[at..].starts_with(&['*', '/']) {
                    depth -= 1;
                }
                let step =
                    if chars[at..].starts_with(&['/', '*']) || chars[at..].starts_with(&['*', '/']) { 2 } else { 1 };
                chars[at..at + step].iter().for_each(|c| blank(&mut out, *c));
                at += step;
                if depth == 0 {
                    break;
                }
            }
        } else if let Some(hashes) = raw_string(rest, at.checked_sub(1).map(|before| chars[before])) {
            let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            at += 2 + hashes;
            while at < chars.len() && !chars[at..].starts_with(&close) {
                blank(&mut out, chars[at]);
                at += 1;
            }
            at += close.len();
            out.push_str("\"\"");
        } else if chars[at] == '"' {
            out.push('"');
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                let step = if chars[at] == '\\' { 2 } else { 1 };
                chars[at..(at + step).min(chars.len())].iter().for_each(|c| blank(&mut out, *c));
                at += step;
            }
            out.push('"');
            at += 1;
        } else if let Some(length) = char_literal(rest) {
            out.push_str("' '");
            at += length;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

/// How many hashes the raw string has that begins here.
fn raw_string(rest: &[char], before: Option<char>) -> Option<usize> {
    if rest.first() != Some(&'r') || before.is_some_and(|c| c.is_alphanumeric() && c != 'b' || c == '_') {
        return None;
    }
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    (rest.get(1 + hashes) == Some(&'"')).then_some(hashes)
}

/// How long the character literal is that begins here; a lifetime is none.
fn char_literal(rest: &[char]) -> Option<usize> {
    match rest {
        ['\'', '\\', _, tail @ ..] => tail.iter().position(|c| *c == '\'').map(|end| end + 4),
        ['\'', _, '\'', ..] => Some(3),
        _ => None,
    }
}

/// Removes every item under `#[cfg(test)]`.
fn cut_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..start]);
        let item = &rest[start..];
        let (open, semicolon) = (item.find('{'), item.find(';'));
        let end = match (open, semicolon) {
            (Some(open), semicolon) if semicolon.is_none_or(|semicolon| open < semicolon) => {
                let mut depth = 0;
                let closing = item[open..].char_indices().find(|(_, c)| {
                    depth += i32::from(*c == '{') - i32::from(*c == '}');
                    depth == 0
                });
                closing.map_or(item.len(), |(at, _)| open + at + 1)
            }
            (_, Some(semicolon)) => semicolon + 1,
            _ => item.len(),
        };
        rest = &item[end..];
    }
    kept + rest
}

/// The words that follow `prefix` where it stands as a path's beginning, such as the floors of `crate::`.
fn named_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = code[at + prefix.len()..].trim_start();
        match rest.strip_prefix('{') {
            None => drop(names.insert(word(rest))),
            Some(group) => names.extend(top_level(group).map(word)),
        }
    }
    names
}

fn word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The parts of a `{a, b::{c, d}}` group, given from behind its opening brace.
fn top_level(group: &str) -> impl Iterator<Item = &str> {
    let mut depth = 1;
    let end = group.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0
    });
    let inner = &group[..end.unwrap_or(group.len())];
    let mut depth = 0;
    inner.split(move |c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    })
}

/// Whether `code` names the crate as `name::`, `use name;` or `extern crate`.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + name.len()..];
        // `super::handlebars` and `self::handlebars` are modules of ours; `::handlebars` is the crate.
        let module = ["super::", "self::", "crate::", "template::"].iter().any(|path| code[..at].ends_with(path));
        !module
            && !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.')
            && (after.starts_with("::")
                || code[..at].trim_end().ends_with("use") && after.trim_start().starts_with(';'))
    })
}

/// Every file that breaks the rule, one a line.
fn offenders(wrong: impl Fn(&Source) -> Option<String>) -> String {
    let lines: Vec<String> =
        sources().iter().filter_map(|source| wrong(source).map(|why| format!("{}: {why}", source.path))).collect();
    lines.join("\n")
}

fn only_in(name: &str, allowed: &[&str]) -> String {
    offenders(|source| {
        let inside = allowed.iter().any(|place| source.path.starts_with(place));
        (!inside && names_crate(&source.code(), name)).then(|| format!("names `{name}`, which belongs to {allowed:?}"))
    })
}

#[test]
fn a_module_names_only_its_own_floor_and_those_below() {
    let found = offenders(|source| {
        let own = FLOORS.iter().position(|floor| Some(*floor) == source.floor())?;
        let code = source.shipped();
        let mut named = named_after(&code, "crate::");
        named.extend(named_after(&code, "belfry::"));
        let above: Vec<_> =
            named.into_iter().filter(|name| FLOORS.iter().position(|floor| floor == name) > Some(own)).collect();
        (!above.is_empty()).then(|| format!("names the floors {above:?} above it"))
    });
    assert_eq!(found, "");
}

#[test]
fn every_file_belongs_to_a_floor() {
    let found = offenders(|source| {
        let outside = source.floor().is_none() && !matches!(source.path.as_str(), "lib.rs" | "main.rs");
        outside.then(|| format!("is on none of the floors {FLOORS:?}"))
    });
    assert_eq!(found, "");
}

#[test]
fn only_one_file_sends_to_actors() {
    let found = offenders(|source| {
        let code = source.code();
        let sends = code.match_indices("do_send").any(|(at, _)| !code[..at].ends_with(char::is_alphanumeric));
        (source.path != "base/mail.rs" && sends).then(|| "calls `do_send`; say what is meant with `base::mail`".into())
    });
    assert_eq!(found, "");
}

#[test]
fn only_one_file_writes_to_standard_output_and_error() {
    let found = offenders(|source| {
        let code = source.shipped();
        let prints = ["print!(", "println!("].iter().any(|print| code.contains(print));
        prints.then(|| "prints, and panics when nobody reads; say it with `app::console`".into())
    });
    assert_eq!(found, "");
}

#[test]
fn crates_are_named_only_where_they_belong() {
    let rules: [(&str, &[&str]); 15] = [
        ("redb", &["store/"]),
        ("lettre", &["delivery/email.rs", "delivery/smtp.rs"]),
        ("handlebars", &["template/"]),
        ("pulldown_cmark", &["template/"]),
        ("ammonia", &["template/"]),
        ("html2text", &["template/"]),
        ("icu_calendar", &["template/locale.rs"]),
        ("icu_datetime", &["template/locale.rs"]),
        ("icu_decimal", &["template/locale.rs"]),
        ("icu_experimental", &["template/locale.rs"]),
        ("icu_locale_core", &["template/locale.rs"]),
        ("icu_plurals", &["template/locale.rs"]),
        ("actix_http", &["http/upgrade.rs", "app/server.rs"]),
        ("actix_web", &["http/", "app/", "main.rs"]),
        ("actix_web_actors", &["http/"]),
    ];
    for (name, allowed) in rules {
        assert_eq!(only_in(name, allowed), "");
    }
}

#[test]
fn the_deprecated_socket_crate_is_one_files_business() {
    let files: Vec<String> = sources()
        .into_iter()
        .filter(|source| names_crate(&source.code(), "actix_web_actors"))
        .map(|source| source.path)
        .collect();
    assert!(files.len() <= 1, "{files:?}");
}

#[test]
fn every_file_opens_by_saying_what_it_is_for() {
    let found = offenders(|source| {
        let thin = matches!(source.path.as_str(), "lib.rs" | "main.rs");
        (!thin && !source.text.starts_with("//! ")).then(|| "does not open with `//!`".into())
    });
    assert_eq!(found, "");
}

#[test]
fn no_file_is_long_enough_to_hold_two_concepts() {
    let found = offenders(|source| {
        let lines = source.text.lines().count();
        (lines > LONGEST_FILE).then(|| format!("has {lines} lines, more than {LONGEST_FILE}"))
    });
    assert_eq!(found, "");
}

#[test]
fn no_module_is_named_after_nothing() {
    let found = offenders(|source| {
        let empty = ["utils", "util", "helpers", "manager", "common", "misc"];
        let parts = source.path.trim_end_matches(".rs").split('/');
        let name = parts.into_iter().find(|part| empty.contains(part))?;
        Some(format!("`{name}` names no concept"))
    });
    assert_eq!(found, "");
}

#[test]
fn nothing_is_left_for_later() {
    let found = offenders(|source| {
        let mark = ["TODO", "FIXME", "XXX"].into_iter().find(|mark| {
            let text = &source.text;
            text.match_indices(mark).any(|(at, _)| {
                let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                !word(text[..at].chars().next_back()) && !word(text[at + mark.len()..].chars().next())
            })
        })?;
        Some(format!("has a {mark}"))
    });
    assert_eq!(found, "");
}

#[test]
fn every_dependency_says_why_it_is_here() {
    // What every Rust program of this kind has needs no reason.
    const PLAIN: [&str; 4] = ["serde", "thiserror", "tokio", "uuid"];
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let (mut section, mut explained, mut before) = ("", false, "");
    let mut bare = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            (section, explained, before) = (line, false, "");
        } else if line.starts_with('#') {
            explained = true;
        } else if section.ends_with("dependencies]") && !line.is_empty() {
            let name = line.split([' ', '=', '.']).next().unwrap_or_default();
            // `serde_json` and `tracing-subscriber` share the reason of the line above them.
            let family = !before.is_empty() && name.starts_with(before);
            if !explained && !family && !PLAIN.contains(&name) {
                bare.push(name.to_owned());
            }
            (explained, before) = (false, name);
        }
    }
    assert_eq!(bare, Vec::<String>::new(), "no comment above these in Cargo.toml");
}

#[test]
fn the_reader_of_the_source_is_not_fooled() {
    let code = strip("a /* redb:: /* x */ y */ \"redb:: \\\" z\" r#\"redb::\"# 'x' '\\'' b // redb::\nfn f<'a>() {}");
    assert!(!code.contains("redb") && code.contains("fn f<'a>() {}"), "{code}");
    assert_eq!(
        cut_tests("a #[cfg(test)] mod t { fn x() {} } b #[cfg(test)] mod u; c").matches(['a', 'b', 'c']).count(),
        3
    );
    assert!(!cut_tests("#[cfg(test)] mod t { crate::app }").contains("app"));
    let named = named_after("use crate::{store::{Store, op}, app}; crate::feed::x", "crate::");
    assert_eq!(named.into_iter().collect::<Vec<_>>(), ["app", "feed", "store"]);
    assert!(
        names_crate("use ::handlebars::X;", "handlebars") && !names_crate("use super::handlebars::X;", "handlebars")
    );
    assert!(names_crate("let x = redb::Y;", "redb") && !names_crate("my_redb::Y", "redb"));
}
