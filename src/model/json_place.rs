//! Where a value stands in the text of a JSON document: for the line of a finding, and for an edit that leaves the rest
//! of the text as it is.

use std::ops::Range;

use serde_json::Value;

use super::json_path;

/// The bytes of the value at `path` (as `json_path` writes it) in `text`, if it is there. The text must be JSON.
pub fn span(text: &str, path: &str) -> Option<Range<usize>> {
    let mut scan = Scan { text, at: if text.starts_with('\u{feff}') { 3 } else { 0 } };
    scan.blanks();
    for part in parts(path)? {
        match part {
            Part::Key(key) => scan.enter_field(&key)?,
            Part::Index(index) => scan.enter_element(index)?,
        }
    }
    let start = scan.at;
    scan.skip_value()?;
    Some(start..scan.at)
}

/// The line, from 1, of the value at `path`, or of the innermost one around it that there is.
pub fn line(text: &str, path: &str) -> usize {
    let found = json_path::ancestors(path).map(|(path, _)| path).chain([""]).find_map(|path| span(text, path));
    let before = text.get(..found.map_or(0, |span| span.start)).unwrap_or_default();
    before.matches('\n').count() + 1
}

enum Part {
    Key(String),
    Index(usize),
}

/// The parts of `steps[0].template["a key"]`; none when it is not written so, as where a long key was cut.
fn parts(path: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let Some(inside) = rest.strip_prefix('[') else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            parts.push(Part::Key(rest[..end].to_owned()));
            rest = &rest[end..];
            continue;
        };
        let (part, length) = if inside.starts_with('"') {
            let mut scan = Scan { text: inside, at: 0 };
            (Part::Key(scan.string()?), scan.at)
        } else {
            let end = inside.find(']')?;
            (Part::Index(inside[..end].parse().ok()?), end)
        };
        parts.push(part);
        rest = inside[length..].strip_prefix(']')?;
    }
    Some(parts)
}

struct Scan<'t> {
    text: &'t str,
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Takes `byte` and the blanks around it.
    fn take(&mut self, byte: u8) -> Option<()> {
        self.blanks();
        if self.peek()? != byte {
            return None;
        }
        self.at += 1;
        self.blanks();
        Some(())
    }

    /// The string that begins here, decoded.
    fn string(&mut self) -> Option<String> {
        let start = self.at;
        self.skip_string()?;
        serde_json::from_str(self.text.get(start..self.at)?).ok()
    }

    fn skip_string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.peek()? {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                _ => self.at += 1,
            }
        }
    }

    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => self.skip_string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                byte if depth > 0 && (byte.is_ascii_whitespace() || byte == b',' || byte == b':') => self.at += 1,
                _ => {
                    let rest = &self.text.as_bytes()[self.at..];
                    let ends = |byte: &u8| byte.is_ascii_whitespace() || b",:]}".contains(byte);
                    self.at += rest.iter().position(ends).unwrap_or(rest.len()).max(1);
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn enter_field(&mut self, key: &str) -> Option<()> {
        self.take(b'{')?;
        loop {
            let found = self.string()?;
            self.take(b':')?;
            if found == key {
                return Some(());
            }
            self.skip_value()?;
            self.take(b',')?;
        }
    }

    fn enter_element(&mut self, index: usize) -> Option<()> {
        self.take(b'[')?;
        for _ in 0..index {
            self.skip_value()?;
            self.take(b',')?;
        }
        (self.peek()? != b']').then_some(())
    }
}

/// `text` with `key` set to `value`, written as JSON, in the object at `path`: the rest stays as it is, byte for byte.
/// None when there is no object at `path`, or the key is there already.
pub fn with_field(text: &str, path: &str, key: &str, value: &str) -> Option<String> {
    if span(text, &json_path::field(path, key)).is_some() {
        return None;
    }
    let object = span(text, path)?;
    let inside = text.get(object.clone())?.strip_prefix('{')?;
    let blanks = &inside[..inside.len() - inside.trim_start().len()];
    let field = format!("{}: {value}", Value::from(key));
    let (before, after) = text.split_at(object.start + 1);
    Some(match inside.trim_start().starts_with('}') {
        true => format!("{before}{field}{after}"),
        false => format!("{before}{blanks}{field},{after}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const TEXT: &str =
        "\u{feff}{\n  \"a\": [1, {\"b\\\"\": \"x]}\\\"\"}, [[]],\n\n true],\n  \"c d\" : {\"e\": -1.5e3 }\n}\n";

    #[test]
    fn a_value_is_found_by_its_path() {
        let found = |path: &str| span(TEXT, path).map(|span| &TEXT[span]);
        assert_eq!(found("a[0]"), Some("1"));
        assert_eq!(found("a[1][\"b\\\"\"]"), Some("\"x]}\\\"\""));
        assert_eq!(found("a[2]"), Some("[[]]"));
        assert_eq!(found("a[3]"), Some("true"));
        assert_eq!(found("[\"c d\"].e"), Some("-1.5e3"));
        for missing in ["a[4]", "b", "a.b", "a[1].b", "[0]", "a[x]", "a[\"x", "a[2][0][0]"] {
            assert_eq!(found(missing), None, "{missing}");
        }
    }

    #[test]
    fn a_line_is_that_of_the_value_or_of_what_is_around_it() {
        for (path, expected) in [("a[1]", 2), ("a[3]", 4), ("[\"c d\"].e", 5), ("[\"c d\"].x.y", 5), ("z", 1), ("", 1)]
        {
            assert_eq!(line(TEXT, path), expected, "{path}");
        }
        assert_eq!(line("no JSON", "a.b"), 1);
    }

    #[test]
    fn a_field_is_added_in_the_style_of_the_text() {
        let set = |text: &str, path: &str| with_field(text, path, "k", "\"v\"");
        assert_eq!(set("{}", "").as_deref(), Some("{\"k\": \"v\"}"));
        assert_eq!(set("{\n  \"a\": 1\n}\n", "").as_deref(), Some("{\n  \"k\": \"v\",\n  \"a\": 1\n}\n"));
        assert_eq!(set("{\"a\": {\"b\": 1}}", "a").as_deref(), Some("{\"a\": {\"k\": \"v\",\"b\": 1}}"));
        for none in ["{\"k\": null}", "[]", "1", "", "{"] {
            assert_eq!(set(none, ""), None, "{none}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..4).prop_map(|map| map.into_iter().collect::<Value>()),
            ]
        })
    }

    /// Every path of `value`, with what stands there.
    fn all<'v>(path: &str, value: &'v Value, found: &mut Vec<(String, &'v Value)>) {
        found.push((path.to_owned(), value));
        match value {
            Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| {
                all(&json_path::element(path, index), item, found);
            }),
            Value::Object(fields) => fields.iter().for_each(|(key, item)| {
                all(&json_path::field(path, key), item, found);
            }),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn every_value_is_found_where_the_parser_reads_it(value in any_json(), pretty in any::<bool>()) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let mut places = Vec::new();
            all("", &value, &mut places);
            for (path, expected) in places {
                // A key whose characters are written as Rust does and not as JSON is only found by those around it.
                if let Some(span) = span(&text, &path) {
                    prop_assert_eq!(&serde_json::from_str::<Value>(&text[span]).unwrap(), expected, "{}", path);
                } else {
                    prop_assert!(path.contains("[\""), "{}", path);
                }
            }
        }

        #[test]
        fn an_added_field_changes_nothing_else(value in any_json(), pretty in any::<bool>()) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let mut expected = value.clone();
            match (with_field(&text, "", "added", "\"x\""), expected.as_object_mut()) {
                (Some(edited), Some(fields)) => {
                    fields.insert("added".into(), json!("x"));
                    prop_assert_eq!(serde_json::from_str::<Value>(&edited).unwrap(), expected);
                    prop_assert_eq!(with_field(&edited, "", "added", "\"y\""), None);
                }
                (None, None) => {}
                (edited, _) => prop_assert!(false, "{:?} of {}", edited, text),
            }
        }
    }
}
