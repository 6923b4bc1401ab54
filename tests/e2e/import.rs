//! `belfry import knock`: what it takes from a pulled directory, what it says, and that nothing is lost on the way.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{Process, belfry, run};

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
    assert_eq!((code, said.as_str()), (0, "hello: valid, 1 step\n"), "{stderr}");
    let to = r#"{"id": "u1", "name": "Ann"}"#;
    let preview = ["workflow", "preview", "hello", "--to", to, "--data", r#"{"text": "hi"}"#];
    let (_, said, stderr) = run(belfry(folder.path(), &preview)).await;
    assert!(said.contains("Hello Ann") && said.contains(">HI</p>"), "{said}{stderr}");
}

#[tokio::test]
async fn an_import_names_the_vars_that_are_not_set() {
    let folder = folder();
    let html = "<a href=\"{{ vars.app_url }}/{{ vars.region }}\">Open</a> {{ vars.branding.logo_url }}";
    write(
        folder.path(),
        &[
            ("knock/workflows/hello/workflow.json", WORKFLOW),
            ("knock/workflows/hello/email_1/html_body.html", html),
            ("set.toml", "[vars]\nregion = \"eu\"\n"),
        ],
    );
    let knock = folder.path().join("knock");
    let said = |more| {
        let (folder, knock) = (folder.path().to_owned(), knock.clone());
        async move { import(&folder, &knock, more).await.1 }
    };
    let all = said(&["--check"]).await;
    assert!(all.contains("For belfry.toml:\n\n[vars]\napp_url = \"\"\nregion = \"\"\n"), "{all}");
    let left = said(&["--check", "--config", "set.toml"]).await;
    assert!(left.contains("[vars]\napp_url = \"\"\n") && !left.contains("region"), "{left}");
    let none = import(folder.path(), &pulled().join("notifications/partials"), &["--check"]).await.1;
    assert!(!none.contains("[vars]"), "{none}");
}

/// A directory as `knock pull --all` writes it, with something of each kind in it and forms that Knock's other templates
/// use; two files in it are nobody's.
fn pulled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/knock-directory")
}

#[tokio::test]
async fn of_a_pulled_directory_all_is_taken_or_told() {
    let folder = folder();
    let (code, said, stderr) = import(folder.path(), &pulled(), &[]).await;
    assert_eq!(code, 0, "{said}{stderr}");
    let result = files(&folder.path().join("config"));
    for (name, bytes) in files(&pulled().join("notifications")) {
        match result.get(&name) {
            Some(copied) if name.ends_with("/workflow.json") => {
                let mut copied: Value = serde_json::from_slice(copied).unwrap();
                let settings = copied.as_object_mut().unwrap().remove("settings").unwrap();
                assert_eq!(settings, json!({"template_engine": "liquid"}), "{name}");
                assert_eq!(copied, serde_json::from_slice::<Value>(&bytes).unwrap(), "{name}");
            }
            Some(copied) => assert_eq!(*copied, bytes, "{name}"),
            None => assert!(said.contains(&format!("left         {name}: ")), "{name}\n{said}"),
        }
    }
    for line in [
        "taken        workflows/order: 1 step\n",
        "adapted      workflows/order/workflow.json:1: its templates are recorded as Liquid, in settings\n",
        "unsupported  workflows/readings/workflow.json:46: steps[0].branches[0].steps[2].channel_type: channels of type \"sms\"",
        "taken        layouts/brand\n",
        "taken        partials/line\n",
        "unsupported  partials/line/partial.json:6: colour_scheme: is not known here and has no effect",
        "taken        translations/fr\n",
        "unsupported  audiences/beta: audiences are kept, but have no effect in this version\n",
        "unsupported  guides/tour: guides are kept, but have no effect in this version\n",
        "unsupported  message-types/banner: message-types are kept, but have no effect in this version\n",
        "\n4 workflows run.\n",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let (code, said, stderr) = run(belfry(folder.path(), &["workflow", "validate"])).await;
    assert!(code == 0 && said.contains("order: valid") && said.contains("colour_scheme"), "{said}{stderr}");
}

#[tokio::test]
async fn what_was_imported_runs_in_a_developers_server() {
    let folder = folder();
    assert_eq!(import(folder.path(), &pulled(), &[]).await.0, 0);
    let arguments = ["dev", "--listen", "127.0.0.1:0"];
    let mut server = Process::spawn(belfry(folder.path(), &arguments), &folder.path().join("stderr.log"));
    let url = server.line("Belfry listens on ").await.split(' ').next().unwrap().to_owned();
    let key = server.line("  Secret key   ").await;
    server.line("Try, in another terminal:").await;
    let example = server.line("  ").await;
    assert!(example.contains(" trigger incident --to "), "a workflow that there is: {example}");
    let http = reqwest::Client::new();
    let post =
        |path: &str, body: Value| http.post(format!("{url}{path}")).bearer_auth(&key).body(body.to_string()).send();
    let ann = json!({"id": "ann", "name": "Ann", "email": "ann@x.test", "locale": "fr-BE"});
    let reading = |event: &str, value: u32, window: Value| {
        let sensor =
            json!({"events": ["heat"], "channels": ["email"], "window": window, "chart": "https://acme.test/c.png"});
        json!({"event": event, "value": value, "sensor": sensor})
    };
    let incident = |severity: &str| json!({"incident": {"severity": severity, "title": "Power is out again"}});
    let tasks = json!([{"name": "Write the report", "date": "2020-02-03"}, {"name": "Rest", "date": "2999-01-02"}]);
    let week = json!({"important": true, "eventType": "x", "tasks": tasks, "picture": "https://acme.test/hill.png"});
    let two_hours = json!({"unit": "hours", "value": 2});
    for (workflow, data) in [
        ("order", json!({"id": 7, "items": [{"name": "Tea", "count": 2}, {"name": "Cups", "count": 4}]})),
        ("readings", reading("heat", 95, json!(null))),
        ("readings", reading("frost", 95, json!(null))),
        ("readings", reading("heat", 91, two_hours.clone())),
        ("readings", reading("heat", 92, two_hours)),
        ("incident", incident("critical")),
        ("incident", incident("warning")),
        ("weekly", week),
        ("weekly", json!({"important": false, "eventType": "y"})),
    ] {
        let actor = json!({"id": "bo", "name": "Bo Ek"});
        let body = json!({"recipients": [ann], "actor": actor, "data": data});
        let reply = post(&format!("/v1/workflows/{workflow}/trigger"), body).await.unwrap();
        assert_eq!(reply.status(), 200, "{workflow}");
    }
    assert_eq!(post("/dev/clock/advance", json!({"by": "3h"})).await.unwrap().status(), 200);
    let mailbox = http.get(format!("{url}/dev/mailbox")).send().await.unwrap().text().await.unwrap();
    let mailbox: Value = serde_json::from_str(&mailbox).unwrap();
    let mails: BTreeMap<&str, (&str, &str)> = mailbox["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mail| {
            let text = |name: &str| mail[name].as_str().unwrap();
            (text("subject"), (text("html"), text("text")))
        })
        .collect();
    let expected: [(&str, &[&str]); 6] = [
        ("2 readings of heat were too high", &["<li>91</li><li>92</li>"]),
        ("A reading of heat", &["Very high: <strong>95</strong>", "block-divider", "src=\"https://acme.test/c.png\""]),
        ("Escalation: Power is out again", &["Power is out again</p>"]),
        ("Merci, Ann", &["<h1>Order 7</h1><p>2 × Tea</p><p>4 × Cups</p><a href=\"https://acme.test/help\">Help</a>"]),
        (
            "The week of Bo",
            &[
                "class=\"late\"",
                "Write the..., Feb 3",
                "class=\"open\"",
                "Rest, Jan 2",
                "href=\"https://acme.test/week?n=1&amp;utm_source=mail&amp;utm_campaign=weekly\"",
                "src=\"https://acme.test/hill.png\" alt=\"\"",
                "src=\"https://acme.test/default.png\" alt=\"A hill\"",
                "By day",
            ],
        ),
        ("Warning: Power is...", &["Power is out again</p>"]),
    ];
    assert_eq!(mails.keys().copied().collect::<Vec<_>>(), expected.map(|(subject, _)| subject));
    for (subject, parts) in expected {
        for part in parts {
            assert!(mails[subject].0.contains(part), "{subject}: {part}\n{}", mails[subject].0);
        }
    }
    assert_eq!(mails["Merci, Ann"].1, "2 × Tea\n\n4 × Cups\n-- \nAcme");
    server.signal("-INT").await;
    assert_eq!(server.exit().await.code(), Some(0));
}

#[tokio::test]
async fn what_cannot_be_read_is_said_with_its_file_its_line_and_the_way_out() {
    let folder = folder();
    let from = folder.path().join("flows");
    write(
        &from,
        &[
            ("torn/workflow.json", "{\n  \"name\": \"Torn\",\n  \"steps\": [,]\n}"),
            ("lost/workflow.json", &WORKFLOW.replace("html_body.html", "body.html")),
            ("lost/email_1/html_body.html", "<p>x</p>"),
            ("empty/notes.txt", "x"),
        ],
    );
    let (code, said, stderr) = import(folder.path(), &from, &["--check"]).await;
    assert_eq!(code, 1, "{said}");
    for line in [
        "unsupported  workflows/torn/workflow.json:3: is not valid JSON: expected value at line 3 column 13. Correct it there",
        "unsupported  workflows/lost/workflow.json:10: steps[0].template.html_body@: there is no file \"lost/email_1/body.html\"",
        "unsupported  workflows/empty/workflow.json:1: is missing",
        "Workflows that run: 0. That do not: empty, lost, torn.",
    ] {
        assert!(said.contains(line), "{line}\n{said}{stderr}");
    }
    for (settings, problem) in [
        ("{\"knockDir\": ", "knock.json cannot be read"),
        ("{\"knockDir\": \"pulled\"}", "knockDir: there is no folder \"pulled\""),
    ] {
        write(folder.path(), &[("project/knock.json", settings)]);
        let (code, _, stderr) = import(folder.path(), &folder.path().join("project"), &[]).await;
        assert!(code == 1 && stderr.contains(problem), "{stderr}");
    }
    write(folder.path(), &[("file", "x")]);
    let (code, _, stderr) = import(folder.path(), &folder.path().join("file"), &[]).await;
    assert!(code == 1 && stderr.contains("is not a folder. Name what `knock pull` wrote"), "{stderr}");
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
        "unsupported  workflows/unclear/email_1/html_body.html:2: line 2, column 16: there is \
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
async fn what_is_only_noticed_is_told_and_does_not_fail_a_check() {
    let folder = folder();
    let from = folder.path().join("knock");
    let due = r#"{"due": {"other": "{{ count }} Dinge"}}"#;
    let card = r#"{"name": "Card", "type": "html", "content": "<p>{{ title }}</p>",
        "input_schema": [{"key": "title", "type": "txt", "label": "Title"}]}"#;
    write(
        &from,
        &[
            ("workflows/hello/workflow.json", WORKFLOW),
            ("workflows/hello/email_1/html_body.html", "<p>{{ \"no.such\" | t }}</p>"),
            ("translations/de/de.json", due),
            ("partials/card/partial.json", card),
        ],
    );
    let (code, said, stderr) = import(folder.path(), &from, &["--check"]).await;
    assert_eq!((code, stderr.as_str()), (0, ""), "{said}");
    for line in [
        "note         workflows/hello/email_1/html_body.html:1: line 1, column 4: the key \"no.such\" has no text in en",
        "note         partials/card/partial.json:2: input_schema[0].type: \"txt\" is not a type of input",
        "note         translations/de/de.json:1: due.other: has no `one` beside it",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }

    let goal = WORKFLOW.replacen('{', "{\"goal_attachment\": {\"goal\": \"g\"},", 1);
    write(&from, &[("workflows/hello/workflow.json", &goal)]);
    let (code, said, stderr) = import(folder.path(), &from, &["--check"]).await;
    assert!(code == 1 && stderr.contains("1 thing in "), "{said}{stderr}");
    assert!(said.contains("unsupported  workflows/hello/workflow.json:1: goal_attachment: is kept, but"), "{said}");
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
            ("translations/fr-CA/fr-CA.json", "{\n  \"a\": {\n    \"b\": \"{{ name | upcas }}\"}}"),
            ("translations/fr-CA/tasks.fr-CA.po", "\nmsgid \"due\"\nmsgstr \"{{ on | dat }}\"\n"),
            ("translations/nl/nl.po", "\n\nmsgid \"due\n"),
        ],
    );
    let (code, said, _) = import(folder.path(), &from, &[]).await;
    assert_eq!(code, 0);
    for line in [
        "taken        translations/fr\n",
        "unsupported  translations/de/de.json:1: greeting: is neither a text nor an object of texts",
        "unsupported  translations/fr-CA/fr-CA.json:3: a.b: line 1, column 11: there is no filter `upcas`",
        "unsupported  translations/fr-CA/tasks.fr-CA.po:3: \"due\": line 3, in its text: line 1, column 9: ",
        "unsupported  translations/nl/nl.po:3: line 3: a text is not closed",
        "note         workflows/hello/email_1/html_body.html:1: line 1, column 4: \
         the key \"no.such\" has no text in en, so the key is sent",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    for faulty in ["de", "fr-CA", "nl"] {
        fs::remove_dir_all(folder.path().join("config/translations").join(faulty)).unwrap();
    }
    let (code, said, stderr) = run(belfry(folder.path(), &["workflow", "validate"])).await;
    assert!(code == 0 && said.contains("note: hello/email_1/html_body.html: line 1"), "{said}{stderr}");
    for (locale, expected) in [("fr-BE", "Bonjour Ann"), ("nl", "Hello Ann")] {
        let to = format!(r#"{{"id": "u1", "name": "Ann", "locale": "{locale}"}}"#);
        let (_, said, stderr) = run(belfry(folder.path(), &["workflow", "preview", "hello", "--to", &to])).await;
        assert!(said.contains(expected) && said.contains(">no.such</p>"), "{said}{stderr}");
    }
}
