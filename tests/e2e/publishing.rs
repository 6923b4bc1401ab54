//! Workflows change while the server runs: they are published again, switched off, and refuse data that does not fit.

use std::fs;

use serde_json::{Value, json};

use crate::server::{DEADLINE, Process, SECRET, Setup, TestServer, belfry, delay, email, run};

fn subjects(mails: &[Value]) -> Vec<String> {
    let mut subjects: Vec<String> =
        mails.iter().map(|mail| mail["subject"].as_str().unwrap().trim().to_owned()).collect();
    subjects.sort();
    subjects
}

fn write(server: &TestServer, key: &str, text: &str) {
    let folder = server.setup.path("workflows").join(key);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("workflow.json"), text).unwrap();
}

fn workflow(steps: &[Value]) -> String {
    let named = steps.iter().enumerate().map(|(number, step)| {
        let mut step = step.clone();
        step["ref"] = json!(format!("step_{number}"));
        step
    });
    json!({"name": "W", "steps": named.collect::<Vec<_>>()}).to_string()
}

#[tokio::test]
async fn a_reload_counts_for_later_triggers_and_a_run_keeps_the_version_with_which_it_began() {
    let mut server = Setup::new().workflow("w", &[delay("hours", 1), email("Old")]).start().await;
    let body = json!({"recipients": ["a@x.test"]});
    server.trigger("w", body.clone()).await;
    write(&server, "w", &workflow(&[delay("hours", 1), email("New")]));
    write(&server, "young", &workflow(&[email("Young")]));
    write(&server, "both", r#"{"name": "Both", "steps": [{"type": "chanel", "ref": "a"}]}"#);
    fs::remove_dir_all(server.setup.path("workflows").join("note")).unwrap();
    server.trigger("note", body.clone()).await;
    let done = server.post("/admin/workflows/reload", json!({})).await.json();
    let keys: Vec<&str> =
        done["published"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
    assert_eq!((keys, &done["removed"]), (vec!["w", "young"], &json!(["note"])));
    assert_eq!(
        (&done["faults"][0]["file"], &done["faults"][0]["path"]),
        (&json!("both/workflow.json"), &json!("steps[0].type"))
    );
    server.post("/v1/workflows/note/trigger", body.clone()).await.assert_error(404, "workflow_missing");
    server.trigger("both", body.clone()).await;
    for key in ["w", "young"] {
        server.trigger(key, body.clone()).await;
    }
    server.kill_9().await;
    server.restart().await;
    server.advance("2h").await;
    assert_eq!(subjects(&server.mailbox().await), ["Both", "New", "Note", "Old", "Young"]);
    let again = server.post("/admin/workflows/reload", json!({})).await.json();
    assert_eq!((&again["published"], &again["removed"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn a_waiting_run_reads_its_templates_in_the_language_in_which_it_began() {
    let mut server = Setup::new().start().await;
    let trigger = |to: &str| json!({"recipients": [to], "data": {"n": 1, "text": "<i>"}});
    server.trigger("reminder", trigger("old@x.test")).await;
    for engine in ["liquid", "handlebars"] {
        server.settle().await;
        server.kill_9().await;
        server.setup = server.setup.set("workflows.template_engine", engine);
        server.restart().await;
        server.trigger("reminder", trigger(&format!("{engine}@x.test"))).await;
    }
    server.advance("3d").await;
    let mails = server.mailbox().await;
    // Only Handlebars escapes by itself.
    let escaped = |to: &str| -> Vec<bool> {
        let of = mails.iter().filter(|mail| mail["to"] == format!("{to}@x.test"));
        of.map(|mail| mail["html"].as_str().unwrap().contains(">&lt;i&gt;</p>")).collect()
    };
    assert_eq!(escaped("old"), [true, true]);
    assert_eq!(escaped("liquid"), [false, false]);
    assert_eq!(escaped("handlebars"), [true, true]);
}

#[tokio::test]
async fn layouts_partials_and_translations_are_published_with_what_names_them_and_a_faulty_one_replaces_none() {
    let mut asks = email("{{t \"hi\"}} {{n}}");
    asks["template"]["html_body"] = json!("{{> card}}");
    let setup = Setup::new().workflow("w", &[delay("hours", 1), asks]);
    let layout = |text: &str| {
        let html = format!("<html><head></head><body>{text} {{{{content}}}}</body></html>");
        json!({"name": "Default", "html_layout": html, "text_layout": "{{content}}"}).to_string()
    };
    let card = |text: &str| json!({"name": "Card", "type": "html", "content": text}).to_string();
    let say = |path: &str, text: &str| {
        let file = setup.path(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    say("layouts/default/layout.json", &layout("layout-1"));
    say("partials/card/partial.json", &card("card-1"));
    say("translations/en/en.json", &json!({"hi": "hi-1"}).to_string());
    let mut server = setup.start().await;
    let reload = async |server: &TestServer| server.post("/admin/workflows/reload", json!({})).await.json();
    let trigger = async |server: &TestServer, n: u8| {
        server.trigger("w", json!({"recipients": ["a@x.test"], "data": {"n": n}})).await;
    };
    let publishes = |done: &Value, key: &str| done["published"].as_array().unwrap().iter().any(|one| one["key"] == key);
    trigger(&server, 1).await;
    // A broken default layout is not the one that is built in, whether the server runs or starts.
    for path in ["layouts/default/layout.json", "partials/card/partial.json", "translations/en/en.json"] {
        fs::write(server.setup.path(path), "{").unwrap();
    }
    let done = reload(&server).await;
    let files: Vec<&str> = done["faults"].as_array().unwrap().iter().map(|one| one["file"].as_str().unwrap()).collect();
    for file in
        ["layouts/default/layout.json", "partials/card/partial.json", "translations/en/en.json", "w/workflow.json"]
    {
        assert!(files.contains(&file), "{file}: {files:?}");
    }
    assert!(!publishes(&done, "w"), "{done}");
    trigger(&server, 2).await;
    server.kill_9().await;
    server.restart().await;
    trigger(&server, 3).await;
    let write = |path: &str, text: String| fs::write(server.setup.path(path), text).unwrap();
    write("layouts/default/layout.json", layout("layout-2"));
    write("partials/card/partial.json", card("card-2"));
    write("translations/en/en.json", json!({"hi": "hi-2"}).to_string());
    let done = reload(&server).await;
    assert!(publishes(&done, "w") && done["faults"] == json!([]), "{done}");
    trigger(&server, 4).await;
    assert_eq!(reload(&server).await["published"], json!([]));
    server.advance("2h").await;
    let mut told: Vec<String> = Vec::new();
    for mail in server.mailbox().await {
        let html = mail["html"].as_str().unwrap();
        let (layout, card) = (html.contains("layout-2"), html.contains("card-2"));
        assert!(layout || html.contains("layout-1") && html.contains("card-1"), "{html}");
        assert_eq!(layout, card, "they are of one version");
        told.push(format!("{} {}", mail["subject"].as_str().unwrap(), if layout { "new" } else { "old" }));
    }
    told.sort();
    // What is translated is what it is now, for runs of every version.
    assert_eq!(told, ["hi-2 1 old", "hi-2 2 old", "hi-2 3 old", "hi-2 4 new"]);
}

#[tokio::test]
async fn the_command_line_and_a_hangup_publish_too() {
    let server = Setup::new().workflow("w", &[email("Old")]).start().await;
    let arguments = ["workflow", "reload", "--url", &server.url, "--api-key", SECRET];
    write(&server, "w", &workflow(&[email("New")]));
    let (code, said, _) = run(belfry(&server.setup.path("."), &arguments)).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("published w\n"), "{said}");
    write(&server, "w", "{");
    let (code, said, _) = run(belfry(&server.setup.path("."), &arguments)).await;
    assert!(code == 1 && said.contains("fault: w/workflow.json"), "{said}");
    write(&server, "w", &workflow(&[email("Newest")]));
    server.process.signal("-HUP").await;
    let published = async {
        loop {
            server.trigger("w", json!({"recipients": ["a@x.test"]})).await;
            server.settle().await;
            if subjects(&server.mailbox().await).contains(&"Newest".to_owned()) {
                break;
            }
        }
    };
    tokio::time::timeout(DEADLINE, published).await.expect("a hangup publishes nothing");
}

#[tokio::test]
async fn a_developers_server_publishes_what_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("workflows/hello/workflow.json");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, workflow(&[email("Hello")])).unwrap();
    let command = belfry(folder.path(), &["dev", "--workflows", "workflows", "--listen", "127.0.0.1:0"]);
    let mut process = Process::spawn(command, &folder.path().join("stderr.log"));
    process.line("Belfry listens on ").await;
    fs::write(&file, workflow(&[email("Hello you")])).unwrap();
    assert_eq!(process.line("Published ").await, "hello");
    fs::write(&file, "{").unwrap();
    assert!(process.line("Not published: ").await.starts_with("hello/workflow.json"));
}

#[tokio::test]
async fn a_workflow_that_is_off_takes_no_triggers_and_its_runs_end_until_it_is_on_again() {
    let off = r#"{"name": "Off", "active": false, "steps": [{"ref": "d", "type": "delay", "settings": {"delay_for": {"unit": "days", "value": 1}}}]}"#;
    let nested = json!({"type": "trigger_workflow", "settings": {"workflow_key": "later"}});
    let setup = Setup::new().workflow_text("off", off).workflow("parent", &[nested, email("Parent")]);
    let mut server = setup.start().await;
    let body = json!({"recipients": ["a@x.test"]});
    server.post("/v1/workflows/off/trigger", body.clone()).await.assert_error(422, "workflow_inactive");
    server.trigger("later", body.clone()).await;
    let reply = server.put("/v1/workflows/later/activate?status=false", json!({})).await;
    assert_eq!((reply.status, &reply.json()["workflow"]["active"]), (200, &json!(false)));
    server.kill_9().await;
    server.restart().await;
    server.post("/v1/workflows/later/trigger", body.clone()).await.assert_error(422, "workflow_inactive");
    server.trigger("parent", body.clone()).await;
    server.advance("25h").await;
    assert_eq!(subjects(&server.mailbox().await), ["Parent"], "the pending run has ended, and the step was left out");
    for key in ["later", "off"] {
        assert_eq!(server.put(&format!("/v1/workflows/{key}/activate?status=true"), json!({})).await.status, 200);
        server.trigger(key, body.clone()).await;
    }
    server.put("/v1/workflows/none/activate?status=true", json!({})).await.assert_error(404, "workflow_missing");
    server.put("/v1/workflows/off/activate", json!({})).await.assert_error(422, "invalid_params");
}

#[tokio::test]
async fn data_that_does_not_fit_the_schema_starts_nothing_and_each_fault_is_named() {
    let mut document: Value = serde_json::from_str(&workflow(&[email("Fits")])).unwrap();
    document["trigger_data_json_schema"] = json!({
        "type": "object", "required": ["page_id"],
        "properties": {"page_id": {"type": "string"}, "items": {"type": "array", "items": {"type": "integer"}}},
    });
    let mut wrong = document.clone();
    wrong["trigger_data_json_schema"]["type"] = json!("objekt");
    let setup = Setup::new().workflow_text("typed", &document.to_string());
    let server = setup.workflow_text("wrong", &wrong.to_string()).start().await;
    let trigger = |data: Value| {
        let body = json!({"recipients": ["a@x.test"], "data": data});
        let server = &server;
        async move { server.post("/v1/workflows/typed/trigger", body).await }
    };
    assert_eq!(trigger(json!({"page_id": "p", "items": [1]})).await.status, 200);
    let errors = trigger(json!({"page_id": 7, "items": [1, "x"]})).await.assert_error(422, "invalid_params");
    let mut fields: Vec<&str> =
        errors["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["data.items.1", "data.page_id"]);
    server.settle().await;
    assert_eq!(server.mailbox().await.len(), 1);
    let faults = server.post("/admin/workflows/reload", json!({})).await.json();
    assert_eq!(faults["faults"][0]["path"], "trigger_data_json_schema");
}
