//! `belfry import knock`: what it takes from a pulled directory, what it says, and that nothing is lost on the way.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::server::{belfry, run};

/// Knock's published workflows; see the LICENSE there.
fn published() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/knock-workflows")
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// All files under `folder`, by their path there.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            found.extend(files(&entry.path()).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

async fn import(folder: &Path, from: &Path, more: &[&str]) -> (i32, String, String) {
    let from = from.to_str().unwrap();
    run(belfry(folder, &[&["import", "knock", from], more].concat())).await
}

const WORKFLOW: &str = r#"{
  "name": "Hello",
  "steps": [
    {
      "ref": "email_1",
      "type": "channel",
      "channel_key": "postmark",
      "template": {
        "subject": "Hello {{ recipient.name }}",
        "html_body@": "email_1/html_body.html"
      }
    }
  ],
  "__readonly": {"key": "hello"},
  "$schema": "https://schemas.knock.app/cli/workflow.json"
}
"#;

#[tokio::test]
async fn an_import_loses_nothing_and_a_second_one_changes_nothing() {
    let folder = folder();
    let (code, said, stderr) = import(folder.path(), &published(), &["--to", "one"]).await;
    assert_eq!(code, 0, "{said}{stderr}");
    let (code, ..) = import(folder.path(), &folder.path().join("one"), &["--to", "two"]).await;
    assert_eq!(code, 0);
    let one = files(&folder.path().join("one"));
    assert_eq!(one, files(&folder.path().join("two")));
    let mut pulled = files(&published());
    pulled.remove("LICENSE").unwrap();
    for (name, bytes) in pulled {
        let copied = &one[&format!("workflows/{name}")];
        if name.ends_with("/workflow.json") {
            let recorded = "\n  \"settings\": {\"template_engine\": \"liquid\"},";
            let without = String::from_utf8(copied.clone()).unwrap().replacen(recorded, "", 1);
            assert_eq!(without.as_bytes(), bytes, "{name}");
        } else {
            assert_eq!(*copied, bytes, "{name}");
        }
    }
}

#[tokio::test]
async fn what_knock_pull_wrote_is_found_by_knock_json_and_runs_at_once() {
    let folder = folder();
    write(
        folder.path(),
        &[
            ("knock/knock.json", r#"{"knockDir": "notifications/"}"#),
            ("knock/notifications/workflows/hello/workflow.json", WORKFLOW),
            ("knock/notifications/workflows/hello/email_1/html_body.html", "<p>{{ data.text | upcase }}</p>"),
            ("knock/notifications/guides/tour/guide.json", "{}"),
            ("knock/src/unrelated/workflow.json", "not for us"),
        ],
    );
    let (code, said, _) = import(folder.path(), &folder.path().join("knock"), &[]).await;
    assert_eq!(code, 0);
    for line in [
        "taken        workflows/hello: 1 step\n",
        "adapted      workflows/hello/workflow.json:1: its templates are recorded as Liquid, in settings\n",
        "unsupported  guides/tour: guides are kept, but have no effect in this version\n",
        "key = \"postmark\"",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(folder.path().join("config/guides/tour/guide.json").exists());
    let (code, said, stderr) = run(belfry(folder.path(), &["workflow", "validate"])).await;
    assert_eq!((code, said.as_str()), (0, "hello: valid, 1 steps\n"), "{stderr}");
    let to = r#"{"id": "u1", "name": "Ann"}"#;
    let preview = ["workflow", "preview", "hello", "--to", to, "--data", r#"{"text": "hi"}"#];
    let (_, said, stderr) = run(belfry(folder.path(), &preview)).await;
    assert!(said.contains("Hello Ann") && said.contains(">HI</p>"), "{said}{stderr}");
}

#[tokio::test]
async fn a_check_writes_nothing_and_names_file_and_line_of_what_is_not_supported() {
    let folder = folder();
    let from = folder.path().join("flows");
    let pushes = WORKFLOW.replace(
        "\"steps\": [",
        "\"steps\": [\n    {\"ref\": \"p\", \"type\": \"channel\",\n     \"channel_type\": \"push\"},",
    );
    write(
        &from,
        &[
            ("pushes/workflow.json", &pushes),
            ("pushes/email_1/html_body.html", "<p>x</p>"),
            ("broken/workflow.json", &WORKFLOW.replace("\"type\": \"channel\"", "\"type\": \"teleport\"")),
            ("broken/email_1/html_body.html", "<p>x</p>"),
            ("unclear/workflow.json", WORKFLOW),
            ("unclear/email_1/html_body.html", "<p>\n{{ data.text | upcaes }}</p>"),
        ],
    );
    let (code, said, stderr) = import(folder.path(), &from, &["--check"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(stderr.contains("3 things in") && !folder.path().join("config").exists(), "{stderr}");
    for line in [
        "unsupported  workflows/pushes/workflow.json:5: steps[0].channel_type: channels of type \"push\" are not supported",
        "unsupported  workflows/broken/workflow.json:6: steps[0].type: \"teleport\" is not a type of step",
        "unsupported  workflows/unclear/email_1/html_body.html:2: steps[0].template.html_body: line 2, column 16: there is \
         no filter `upcaes`. Did you mean `upcase`?",
        "Workflows that run: 1. That do not: broken, unclear.",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    write(&from, &[("unclear/email_1/html_body.html", "<p>{{ data.text | upcase }}</p>")]);
    let (code, said, _) = import(folder.path(), &from.join("unclear"), &["--check"]).await;
    assert_eq!(code, 0, "one workflow alone: {said}");
}

#[tokio::test]
async fn nothing_is_written_over_that_differs_unless_it_is_said() {
    let folder = folder();
    let from = folder.path().join("flows");
    write(&from, &[("hello/workflow.json", WORKFLOW), ("hello/email_1/html_body.html", "<p>x</p>")]);
    assert_eq!(import(folder.path(), &from, &[]).await.0, 0);
    assert_eq!(import(folder.path(), &from, &[]).await.0, 0, "the same again is no conflict");
    write(folder.path(), &[("config/workflows/hello/email_1/html_body.html", "<p>mine</p>")]);
    let (code, _, said) = import(folder.path(), &from, &[]).await;
    assert!(code == 1 && said.contains("html_body.html is there already and differs"), "{said}");
    let kept = fs::read_to_string(folder.path().join("config/workflows/hello/email_1/html_body.html")).unwrap();
    assert_eq!(kept, "<p>mine</p>");
    assert_eq!(import(folder.path(), &from, &["--overwrite"]).await.0, 0);
}

#[tokio::test]
async fn a_folder_that_is_not_knocks_is_said_to_be_none() {
    let folder = folder();
    for (from, expected) in [("none", "is not a folder"), (".", "holds nothing to import")] {
        let (code, _, said) = import(folder.path(), Path::new(from), &[]).await;
        assert!(code == 1 && said.contains(expected), "{said}");
    }
    write(folder.path(), &[("knock.json", r#"{"knockDir": "../elsewhere"}"#)]);
    let (_, _, said) = import(folder.path(), Path::new("."), &[]).await;
    assert!(said.contains("leads out of the folder"), "{said}");
}

#[tokio::test]
async fn translations_are_imported_and_speak_the_language_of_the_recipient() {
    let folder = folder();
    let from = folder.path().join("knock");
    let greets = WORKFLOW.replace("Hello {{ recipient.name }}", "{{ \\\"greeting\\\" | t: name: recipient.name }}");
    write(
        &from,
        &[
            ("workflows/hello/workflow.json", &greets),
            ("workflows/hello/email_1/html_body.html", "<p>{{ \"no.such\" | t }}</p>"),
            ("translations/en/en.json", r#"{"greeting": "Hello {{ name }}"}"#),
            ("translations/fr/fr.json", r#"{"greeting": "Bonjour {{ name }}"}"#),
            ("translations/de/de.json", r#"{"greeting": ["Hallo"]}"#),
        ],
    );
    let (code, said, _) = import(folder.path(), &from, &[]).await;
    assert_eq!(code, 0);
    for line in [
        "taken        translations/fr\n",
        "unsupported  translations/de/de.json:1: \"greeting\": is neither a text nor an object of texts",
        "unsupported  workflows/hello/email_1/html_body.html:1: steps[0].template.html_body: line 1, column 4: \
         the key \"no.such\" has no text in en, so the key is sent",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    fs::remove_dir_all(folder.path().join("config/translations/de")).unwrap();
    let (code, said, stderr) = run(belfry(folder.path(), &["workflow", "validate"])).await;
    assert!(
        code == 0 && said.contains("note: hello/workflow.json steps[0].template.html_body: line 1"),
        "{said}{stderr}"
    );
    for (locale, expected) in [("fr-BE", "Bonjour Ann"), ("nl", "Hello Ann")] {
        let to = format!(r#"{{"id": "u1", "name": "Ann", "locale": "{locale}"}}"#);
        let (_, said, stderr) = run(belfry(folder.path(), &["workflow", "preview", "hello", "--to", &to])).await;
        assert!(said.contains(expected) && said.contains(">no.such</p>"), "{said}{stderr}");
    }
}
