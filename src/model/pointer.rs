//! `field@` pointers: `"html_body@": "email_1/html_body.html"` sets `html_body` to the content of that file.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::findings::Findings;
use super::json_path;
use super::json_reader::{shown, shown_text};
use super::workflow_file::WorkflowFiles;
use crate::base::nearest::nearest;

/// The one file name whose content is JSON with pointers of its own; all others are raw text.
const NESTED_DOCUMENT: &str = "visual_blocks.json";

/// How deep pointers may lead: the document to a nested one, and that to a text.
const LEVELS: usize = 2;

/// The longest file.
const MAX_FILE_BYTES: usize = 1024 * 1024;

/// The most pointers of a workflow.
const MAX_POINTERS: usize = 1_000;

/// The deepest nesting of the resolved document. Below the JSON parser's own limit of 128, so that what is stored can
/// be read back.
const MAX_DEPTH: usize = 64;

/// The keys that the document's tools write into it for themselves: no part of the workflow.
const IGNORED: [&str; 2] = ["$schema", "__readonly"];

/// The document of `files` with every pointer followed. None after a fault that leaves nothing to look at.
pub fn resolve(files: &WorkflowFiles, findings: &Findings) -> Option<Value> {
    let resolver = Resolver { files, findings, used: RefCell::default(), pointers: Cell::new(0) };
    let top = findings.document();
    let Some(text) = files.files.get(top) else {
        let fix = match nearest(top, files.files.keys().map(String::as_str)) {
            Some(name) => format!("Rename {} to {top}.", shown_text(name)),
            None => format!("Every such directory holds a {top}."),
        };
        findings.file_fault(top, "is missing", fix);
        return None;
    };
    let mut document = resolver.parse(top, text)?;
    if let Some(fields) = document.as_object_mut() {
        fields.retain(|key, _| !IGNORED.contains(&key.as_str()));
    }
    Some(resolver.follow_all(document, &Place { file: top, path: "", level: 0, depth: 0 }))
}

struct Resolver<'a> {
    files: &'a WorkflowFiles,
    findings: &'a Findings,
    /// By file: the pointer that leads there.
    used: RefCell<BTreeMap<&'a str, String>>,
    /// How many there were so far.
    pointers: Cell<usize>,
}

/// Where a value stands: the file that holds it, its path in the whole document, and how deep that is.
struct Place<'a> {
    file: &'a str,
    path: &'a str,
    level: usize,
    depth: usize,
}

impl<'a> Resolver<'a> {
    fn follow_all(&self, value: Value, place: &Place<'_>) -> Value {
        let nested = matches!(value, Value::Array(_) | Value::Object(_));
        if nested && place.depth >= MAX_DEPTH {
            self.findings.value_fault(place.path, format!("is nested more than {MAX_DEPTH} deep"), "Flatten it.");
            return Value::Null;
        }
        let inside = |value, path: &str| self.follow_all(value, &Place { path, depth: place.depth + 1, ..*place });
        match value {
            Value::Array(items) => {
                let items = items.into_iter().enumerate();
                items.map(|(index, item)| inside(item, &json_path::element(place.path, index))).collect()
            }
            Value::Object(fields) => {
                let (pointers, plain): (Vec<_>, Vec<_>) = fields.into_iter().partition(|(key, _)| key.ends_with('@'));
                let plain = plain.into_iter().map(|(key, value)| {
                    let value = inside(value, &json_path::field(place.path, &key));
                    (key, value)
                });
                let mut resolved: Map<String, Value> = plain.collect();
                for (key, target) in pointers {
                    self.follow_into(&mut resolved, &key, &target, place);
                }
                Value::Object(resolved)
            }
            scalar => scalar,
        }
    }

    /// Sets the field that the pointer `key` names in `object`, unless it is set already.
    fn follow_into(&self, object: &mut Map<String, Value>, key: &str, target: &Value, place: &Place<'_>) {
        let pointer = json_path::field(place.path, key);
        let name = key.trim_end_matches('@');
        if name.is_empty() {
            self.findings.field_fault(&pointer, "names no field", "Write the field's name before the @.");
            return;
        }
        let path = json_path::field(place.path, name);
        if object.contains_key(name) {
            let fix = format!("Remove {} or {}.", shown_text(name), shown_text(key));
            self.findings.notice(&pointer, format!("is not read: {} is there too and wins", shown_text(name)), fix);
            return;
        }
        match self.follow(target, &pointer, &path, place) {
            Some(content) => drop(object.insert(name.to_owned(), content)),
            None => self.findings.leave_unread(&path),
        }
    }

    /// The content of the file that the pointer at `pointer` leads to, which is to stand at `path`.
    fn follow(&self, target: &Value, pointer: &str, path: &str, place: &Place<'_>) -> Option<Value> {
        self.pointers.set(self.pointers.get() + 1);
        if self.pointers.get() > MAX_POINTERS {
            // One fault is enough.
            if self.pointers.get() == MAX_POINTERS + 1 {
                self.findings.field_fault(pointer, "is one pointer too many", format!("Use at most {MAX_POINTERS}."));
            }
            return None;
        }
        if place.level >= LEVELS {
            let problem = format!(
                "is a pointer in a file that is itself {LEVELS} pointers away from {}",
                self.findings.document()
            );
            self.findings.field_fault(pointer, problem, "Write the value here.");
            return None;
        }
        let Some(target) = target.as_str() else {
            let problem = format!("{} is not a path", shown(target));
            self.findings.field_fault(pointer, problem, "Write the path of a file, relative to this one.");
            return None;
        };
        let wanted = match join(place.file, target) {
            Ok(wanted) => wanted,
            Err(problem) => {
                let fix = "Write the path of a file in this directory, relative to the one that names it, with /.";
                self.findings.field_fault(pointer, format!("{} {problem}", shown_text(target)), fix);
                return None;
            }
        };
        let Some((file, text)) = self.files.files.get_key_value(&wanted) else {
            self.findings.field_fault(pointer, self.no_such_file(&wanted), self.instead_of(&wanted));
            return None;
        };
        self.claim(file, pointer)?;
        self.findings.read_from(path, file);
        if file.rsplit('/').next() != Some(NESTED_DOCUMENT) {
            self.short_enough(file, text)?;
            return Some(Value::String(text.clone()));
        }
        let document = self.parse(file, text)?;
        Some(self.follow_all(document, &Place { file, path, level: place.level + 1, depth: place.depth + 1 }))
    }

    /// One file, one field: editing a text must not change another one unseen.
    fn claim(&self, file: &'a str, pointer: &str) -> Option<()> {
        if file == self.findings.document() {
            self.findings.field_fault(pointer, format!("leads to {file} itself"), "Name another file.");
            return None;
        }
        if let Some(other) = self.used.borrow().get(file) {
            let problem = format!("{} is the file of {other} already", shown_text(file));
            self.findings.field_fault(pointer, problem, "Give each field a file of its own.");
            return None;
        }
        self.used.borrow_mut().insert(file, pointer.to_owned());
        Some(())
    }

    fn parse(&self, file: &str, text: &str) -> Option<Value> {
        self.short_enough(file, text)?;
        // Some editors begin a file with a byte order mark, which JSON does not allow.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let fault = |error: &serde_json::Error| {
            let fix = "Correct it there, or just before: look for a missing or extra comma, quote or brace.";
            self.findings.file_fault(file, format!("is not valid JSON: {error}"), fix);
        };
        serde_json::from_str(text).inspect_err(fault).ok()
    }

    fn short_enough(&self, file: &str, text: &str) -> Option<()> {
        if text.len() > MAX_FILE_BYTES {
            let problem = format!("has {} bytes", text.len());
            self.findings.file_fault(file, problem, format!("A file has at most {MAX_FILE_BYTES} bytes."));
            return None;
        }
        Some(())
    }

    fn no_such_file(&self, wanted: &str) -> String {
        format!("there is no file {}", shown_text(&format!("{}/{wanted}", self.files.key)))
    }

    fn instead_of(&self, wanted: &str) -> String {
        match nearest(wanted, self.files.files.keys().map(String::as_str)) {
            Some(name) => format!("Did you mean {}?", shown_text(name)),
            None => "Create it, or correct the path.".to_owned(),
        }
    }
}

/// `target`, which stands in the file `from`, relative to the directory. The error says what is wrong with it.
fn join(from: &str, target: &str) -> Result<String, &'static str> {
    if target.trim().is_empty() {
        return Err("is an empty path");
    }
    if target.contains('\\') {
        return Err("has a backslash");
    }
    if target.starts_with('/') || target.as_bytes().get(1) == Some(&b':') {
        return Err("is an absolute path");
    }
    let folder = from.rsplit_once('/').map(|(folder, _)| folder);
    let mut segments: Vec<&str> = folder.into_iter().collect();
    for segment in target.split('/') {
        match segment {
            ".." => return Err("leads out of its directory"),
            "" => return Err("has an empty part"),
            "." => {}
            name => segments.push(name),
        }
    }
    Ok(segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn resolved(files: &[(&str, &str)]) -> (Option<Value>, Vec<String>, Vec<String>) {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let findings = Findings::new("invite");
        let value = resolve(&WorkflowFiles { key: "invite".to_owned(), files }, &findings);
        let (faults, notices) = findings.into_parts();
        let (faults, notices) = (faults.iter().map(ToString::to_string), notices.iter().map(ToString::to_string));
        (value, faults.collect(), notices.collect())
    }

    /// The only fault.
    fn fault(files: &[(&str, &str)]) -> String {
        let (_, faults, _) = resolved(files);
        assert_eq!(faults.len(), 1, "{faults:?}");
        faults.into_iter().next().unwrap()
    }

    #[test]
    fn a_pointer_sets_its_field_to_the_files_text() {
        let (value, faults, _) =
            resolved(&[("workflow.json", r#"{"a": [{"b@": "./x/b.html"}], "$schema": "s"}"#), ("x/b.html", "<p>\n")]);
        assert!(faults.is_empty());
        assert_eq!(value, Some(json!({"a": [{"b": "<p>\n"}]})));
    }

    #[test]
    fn visual_blocks_are_json_and_their_pointers_are_relative_to_them() {
        let (value, faults, _) = resolved(&[
            ("workflow.json", r#"{"blocks@": "email_1/visual_blocks.json", "other@": "other.json"}"#),
            ("email_1/visual_blocks.json", "\u{feff}[{\"content@\": \"visual_blocks/1.content.md\"}]"),
            ("email_1/visual_blocks/1.content.md", "Hello"),
            ("other.json", "[]"),
        ]);
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(value, Some(json!({"blocks": [{"content": "Hello"}], "other": "[]"})));
    }

    #[test]
    fn the_inline_value_wins_and_the_pointer_is_noticed() {
        let (value, faults, notices) = resolved(&[("workflow.json", r#"{"a": "inline", "a@": "nowhere"}"#)]);
        assert!(faults.is_empty());
        assert_eq!(value, Some(json!({"a": "inline"})));
        assert!(notices[0].starts_with("invite/workflow.json a@: is not read"), "{notices:?}");
    }

    #[test]
    fn a_missing_file_is_named_with_its_pointer_and_the_nearest_file() {
        let files = [("workflow.json", r#"{"a": {"b@": "email_1/html_body.htm"}}"#), ("email_1/html_body.html", "")];
        let text = fault(&files);
        assert!(text.starts_with("invite/workflow.json a.b@: there is no file \"invite/email_1/html_body.htm\""));
        assert!(text.ends_with("Did you mean \"email_1/html_body.html\"?"), "{text}");
    }

    #[test]
    fn a_pointer_stays_inside_the_directory() {
        for (target, problem) in [
            ("../secret", "leads out"),
            ("a/../../b", "leads out"),
            ("/etc/passwd", "absolute"),
            ("c:/x", "absolute"),
            (r"a\\b", "backslash"),
            ("a//b", "empty part"),
            ("", "empty path"),
            ("workflow.json", "itself"),
        ] {
            let text = fault(&[("workflow.json", &format!(r#"{{"a@": "{target}"}}"#))]);
            assert!(text.contains(problem), "{target}: {text}");
        }
        assert!(fault(&[("workflow.json", r#"{"a@": 7}"#)]).contains("7 is not a path"));
        assert!(fault(&[("workflow.json", r#"{"@": "x"}"#)]).contains("names no field"));
    }

    #[test]
    fn a_file_serves_one_field_only() {
        let text = fault(&[("workflow.json", r#"{"a@": "x", "b@": "x"}"#), ("x", "")]);
        assert!(text.contains("b@: \"x\" is the file of a@ already"), "{text}");
    }

    #[test]
    fn pointers_go_two_levels_deep_and_no_further() {
        let text = fault(&[
            ("workflow.json", r#"{"a@": "visual_blocks.json"}"#),
            ("visual_blocks.json", r#"{"b@": "x/visual_blocks.json"}"#),
            ("x/visual_blocks.json", r#"{"c@": "y"}"#),
            ("x/y", ""),
        ]);
        assert!(text.starts_with("invite/x/visual_blocks.json c@: is a pointer in a file"), "{text}");
    }

    #[test]
    fn invalid_json_is_located_by_line_and_column() {
        let text = fault(&[("workflow.json", "{\n  \"a\": 1,\n}")]);
        assert!(
            text.starts_with("invite/workflow.json: is not valid JSON: trailing comma at line 3 column 1."),
            "{text}"
        );
        let text = fault(&[("workflow.json", r#"{"a@": "visual_blocks.json"}"#), ("visual_blocks.json", "[")]);
        assert!(text.starts_with("invite/visual_blocks.json: is not valid JSON"), "{text}");
    }

    #[test]
    fn size_and_depth_are_bounded() {
        assert!(fault(&[("workflow.json", &" ".repeat(MAX_FILE_BYTES + 1))]).contains("has 1048577 bytes"));
        let pointers: Vec<String> = (0..2_000).map(|n| format!(r#""{n}@": "{n}""#)).collect();
        let (_, faults, _) = resolved(&[("workflow.json", &format!("{{{}}}", pointers.join(",")))]);
        assert_eq!(faults.len(), 1_001);
        assert!(faults[1_000].contains("one pointer too many"));
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(fault(&[("workflow.json", &deep(MAX_DEPTH + 1))]).contains("nested more than 64"));
        assert!(fault(&[("workflow.json", &deep(100_000))]).contains("recursion limit"));
        assert!(resolved(&[("workflow.json", &deep(MAX_DEPTH))]).1.is_empty());
    }

    #[test]
    fn a_directory_without_a_document_says_so() {
        assert!(fault(&[("workflow.jsn", "{}")]).contains("Rename \"workflow.jsn\""));
    }
}
