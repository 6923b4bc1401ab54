//! The command line: what it prints, how it ends, and what it says when it cannot.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::server::{DEADLINE, Process, SECRET, Setup, belfry, email, run};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Runs the binary in `folder`; it must fail, and say why on standard error in Belfry's own words.
async fn refused(folder: &Path, arguments: &[&str]) -> String {
    refused_with(1, folder, arguments).await
}

async fn refused_with(expected: i32, folder: &Path, arguments: &[&str]) -> String {
    let (code, _, stderr) = run(belfry(folder, arguments)).await;
    assert_eq!(code, expected, "{stderr}");
    assert!(stderr.contains("belfry: "), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

#[tokio::test]
async fn a_mistyped_setting_is_named_with_its_line_and_the_nearest_one() {
    let folder = folder();
    fs::write(folder.path().join("belfry.toml"), "[server]\nlistn = \"127.0.0.1:0\"\n[log]\nlevel = \"loud\"\n")
        .unwrap();
    for command in [["serve"].as_slice(), &["config", "check"]] {
        let said = refused(folder.path(), command).await;
        assert!(said.contains("belfry.toml:2: server.listn: unknown key `listn`. Did you mean `listen`?"), "{said}");
        assert!(said.contains("belfry.toml:4"), "all faults are reported at once: {said}");
    }
    assert!(!folder.path().join("belfry-data").exists(), "nothing was begun");
}

#[tokio::test]
async fn a_taken_port_is_named_and_nothing_is_touched() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refused(folder.path(), &["serve", "--listen", &address]).await;
    assert!(said.contains(&format!("{address} is taken by another program")) && said.contains("--listen"), "{said}");
    assert!(!folder.path().join("belfry-data").exists());
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_written_is_named_with_the_way_out() {
    let folder = folder();
    fs::write(folder.path().join("file"), "").unwrap();
    let said = refused_with(75, folder.path(), &["serve", "--listen", "127.0.0.1:0", "--data-dir", "file/data"]).await;
    assert!(said.contains("the data folder file/data cannot be written") && said.contains("--data-dir"), "{said}");
}

#[tokio::test]
async fn a_data_file_that_is_damaged_is_named_and_left_as_it_is() {
    let folder = folder();
    fs::create_dir(folder.path().join("belfry-data")).unwrap();
    let file = folder.path().join("belfry-data/belfry.redb");
    for damage in ["", "this is no database"] {
        fs::write(&file, damage).unwrap();
        let said = refused_with(65, folder.path(), &["serve", "--listen", "127.0.0.1:0"]).await;
        assert!(said.contains("belfry.redb cannot be read") && said.contains("restore a backup"), "{said}");
        assert_eq!(fs::read_to_string(&file).unwrap(), damage);
    }
}

#[tokio::test]
async fn a_data_file_of_a_newer_version_is_refused_and_left_as_it_is() {
    let mut server = Setup::new().start().await;
    server.process.signal("-TERM").await;
    assert!(server.process.exit().await.success());
    let file = server.setup.path("data/belfry.redb");
    let meta: redb::TableDefinition<'static, &[u8], &[u8]> = redb::TableDefinition::new("meta");
    let newer = belfry::store::codec::encode(&7_000_u32).unwrap();
    let write = || {
        let database = redb::Database::open(&file).unwrap();
        let txn = database.begin_write().unwrap();
        let before = txn
            .open_table(meta)
            .unwrap()
            .insert(b"schema".as_slice(), newer.as_slice())
            .unwrap()
            .unwrap()
            .value()
            .to_vec();
        txn.commit().unwrap();
        before
    };
    write();
    let (code, stdout, stderr) = run(server.setup.command()).await;
    assert_eq!((code, stdout.as_str()), (65, ""), "{stderr}");
    assert!(stderr.contains("was written by a newer Belfry (schema 7000, this one reads up to 3)"), "{stderr}");
    assert!(stderr.contains("Start the newer version again"), "{stderr}");
    assert_eq!(write(), newer, "the schema is what it was");
    assert!(!server.setup.path("data/belfry.redb.schema-7000").exists());
}

#[tokio::test]
async fn a_second_server_on_the_same_data_folder_is_refused_and_harms_nothing() {
    let server = Setup::new().start().await;
    let (code, stdout, stderr) = run(server.setup.command()).await;
    assert_eq!((code, stdout.as_str()), (75, ""));
    assert!(stderr.contains("is in use by another Belfry") && stderr.contains("--data-dir"), "{stderr}");
    server.trigger("note", json!({"recipients": ["a@x.test"]})).await;
    server.settle().await;
    assert_eq!(server.mailbox().await.len(), 1);
}

#[tokio::test]
async fn validate_reports_every_fault_with_file_place_and_fix() {
    let setup = Setup::new();
    let check = || {
        let mut command = belfry(&setup.path("."), &["workflow", "validate", "workflows"]);
        command.kill_on_drop(true);
        run(command)
    };
    let (code, stdout, stderr) = check().await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("account-invite: valid, 3 steps\n"), "{stdout}");

    let broken = json!({"name": "b", "steps": [
        {"ref": "e", "type": "channel", "channel_type": "email", "channel_key": "emial",
         "template": {"subject": "{{#if x}}", "html_body": "x"}},
    ]});
    let setup = setup.workflow_text("broken", &broken.to_string()).workflow_text("unreadable", "{");
    let (code, stdout, stderr) = run(belfry(&setup.path("."), &["workflow", "validate", "workflows"])).await;
    assert_eq!(code, 1, "{stdout}");
    assert!(stderr.contains("faults in workflows"), "{stderr}");
    assert!(stdout.contains("fault: broken/workflow.json steps[0].channel_key: \"emial\""), "{stdout}");
    assert!(stdout.contains("fault: unreadable/workflow.json"), "{stdout}");
    assert!(stdout.contains("account-invite: valid"), "the others are still checked: {stdout}");

    let said = refused(&setup.path("."), &["workflow", "validate", "nowhere"]).await;
    assert!(said.contains("nowhere"), "{said}");
}

#[tokio::test]
async fn the_default_configuration_passes_its_own_check() {
    let folder = folder();
    let (code, default, _) = run(belfry(folder.path(), &["config", "default"])).await;
    assert_eq!(code, 0);
    fs::write(folder.path().join("one.toml"), &default).unwrap();
    let (code, effective, stderr) = run(belfry(folder.path(), &["config", "check", "--config", "one.toml"])).await;
    assert_eq!(code, 0, "{stderr}");
    fs::write(folder.path().join("two.toml"), &effective).unwrap();
    let (code, again, stderr) = run(belfry(folder.path(), &["config", "check", "--config", "two.toml"])).await;
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(effective, again);
}

#[tokio::test]
async fn the_checked_configuration_shows_no_secret() {
    let setup = Setup::new().set_email("provider", "smtp").set_email("host", "h.test");
    let setup = setup.set_email("username", "u").set_email("password", "hunter2");
    drop(setup.command());
    let (code, stdout, stderr) = run(belfry(&setup.path("."), &["config", "check"])).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("***") && !stdout.contains("hunter2") && !stdout.contains(SECRET), "{stdout}");
}

#[tokio::test]
async fn trigger_and_cancel_work_against_a_running_server() {
    let server = Setup::new().start().await;
    let folder = folder();
    fs::write(folder.path().join("data.json"), r#"{"n": 5}"#).unwrap();
    let cli = async |arguments: &[&str]| {
        let mut command = belfry(folder.path(), arguments);
        command.env("BELFRY_URL", &server.url).env("BELFRY_API_KEY", SECRET);
        run(command).await
    };
    let to = r#"{"id": "u1", "email": "u1@x.test"}"#;
    let arguments =
        ["trigger", "reminder", "--to", to, "--to", "b@x.test", "--data", "@data.json", "--cancellation-key", "k"];
    let (code, id, stderr) = cli(&arguments).await;
    assert_eq!((code, id.trim().len()), (0, 36), "{id}{stderr}");
    server.settle().await;
    let (code, said, stderr) = cli(&["cancel", "reminder", "k", "--to", "b@x.test"]).await;
    assert_eq!((code, said.as_str()), (0, "cancelled=1, in_flight=0\n"), "{stderr}");
    server.advance("4d").await;
    let mut subjects: Vec<String> =
        server.mailbox().await.iter().map(|mail| format!("{} {}", mail["to"], mail["subject"])).collect();
    subjects.sort();
    assert_eq!(subjects, [r#""b@x.test" "First 5""#, r#""u1@x.test" "First 5""#, r#""u1@x.test" "Second 5""#]);

    let (code, _, said) = cli(&["trigger", "remindr", "--to", "u"]).await;
    assert!(code == 1 && said.contains("no workflow has the key `remindr`") && said.contains("reminder"), "{said}");
    let (code, _, said) = cli(&["trigger", "note", "--to", "u", "--data", "{"]).await;
    assert!(code == 1 && said.contains("--data is not valid JSON"), "{said}");
    let (code, _, said) = cli(&["cancel", "note", ""]).await;
    assert!(code == 1 && said.contains("must not be empty") && !said.contains('{'), "{said}");
}

#[tokio::test]
async fn whoever_calls_a_server_that_is_not_there_or_without_a_key_is_told_what_to_do() {
    let folder = folder();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let said = refused(folder.path(), &["trigger", "note", "--to", "u", "--url", &url, "--api-key", SECRET]).await;
    assert!(said.contains(&format!("no Belfry answers at {url}")) && said.contains("belfry dev"), "{said}");
    let said = refused(folder.path(), &["cancel", "note", "k", "--url", &url]).await;
    assert!(said.contains("--api-key") && said.contains("BELFRY_API_KEY"), "{said}");
}

#[tokio::test]
async fn a_running_server_is_found_by_the_configuration_unless_flags_say_otherwise() {
    let server = Setup::new().start().await;
    let folder = folder();
    let listen = server.url.strip_prefix("http://").unwrap();
    fs::write(folder.path().join("belfry.toml"), format!("[server]\nlisten = \"{listen}\"\n")).unwrap();
    let commands: [&[&str]; 4] = [
        &["trigger", "note", "--to", "u", "--cancellation-key", "k"],
        &["explain", "note", "--to", "u"],
        &["cancel", "note", "k"],
        &["workflow", "reload"],
    ];
    for command in commands {
        let with = |more: &[&str]| {
            let mut command = belfry(folder.path(), &[command, more].concat());
            command.env("BELFRY_API_KEY", SECRET);
            run(command)
        };
        let (code, _, stderr) = with(&[]).await;
        assert_eq!((code, stderr.as_str()), (0, ""), "{command:?}");
        let (code, _, said) = with(&["--url", "http://127.0.0.1:1"]).await;
        assert!(code == 1 && said.contains("no Belfry answers at http://127.0.0.1:1"), "{said}");
    }
    // With both, what the file says does not matter.
    fs::write(folder.path().join("belfry.toml"), "torn").unwrap();
    let both = ["cancel", "note", "k", "--url", &server.url, "--api-key", SECRET];
    let (code, _, stderr) = run(belfry(folder.path(), &both)).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
}

#[tokio::test]
async fn the_demo_plays_the_story_and_leaves_nothing_behind() {
    let folder = folder();
    let mut command = belfry(folder.path(), &["demo"]);
    command.env("TMPDIR", folder.path());
    let (code, stdout, stderr) = run(command).await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    let timeline: Vec<&str> = stdout.lines().filter(|line| line.starts_with("day ")).collect();
    assert!(timeline.len() >= 9, "{stdout}");
    let days: Vec<&str> = timeline.iter().map(|line| &line[..5]).collect();
    assert!(days.is_sorted() && days.first() == Some(&"day 0") && days.last() == Some(&"day 3"), "{stdout}");
    assert!(
        timeline.last().unwrap().contains("dr@grant.test") && timeline.last().unwrap().contains("Reminder"),
        "{stdout}"
    );
    assert!(stdout.contains("As it should be"), "{stdout}");
    assert_eq!(stderr, "");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "it left something behind");
}

#[tokio::test]
async fn dev_prints_an_address_keys_and_commands_that_work_as_printed() {
    let folder = folder();
    let arguments = ["dev", "--listen", "127.0.0.1:0"];
    let mut process = Process::spawn(belfry(folder.path(), &arguments), &folder.path().join("stderr.log"));
    process.line("Try, in another terminal:").await;
    process.line("  curl -X POST ").await;
    let printed = process.printed.clone();
    let value = |start: &str| printed.iter().find_map(|line| line.strip_prefix(start)).unwrap().to_owned();
    let url = value("Belfry listens on ").split(' ').next().unwrap().to_owned();
    assert_eq!(value("See it live: "), format!("{url}/demo"));
    assert!(value("  Secret key   ").starts_with("sk_") && value("  Public key   ").starts_with("pk_"));

    // The command, over two lines, as a shell reads it.
    let start = printed.iter().position(|line| line.contains(" trigger account-invite ")).unwrap();
    let typed = printed[start..start + 2].join("\n").trim().to_owned();
    let typed = match typed.strip_prefix("belfry ") {
        Some(rest) => format!("'{}' {rest}", env!("CARGO_BIN_EXE_belfry")),
        None => typed,
    };
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-c", &typed]).current_dir(folder.path());
    let (code, id, stderr) = run(shell).await;
    assert_eq!((code, id.trim().len()), (0, 36), "{typed}\n{id}{stderr}");

    let http = reqwest::Client::builder().timeout(DEADLINE).build().unwrap();
    let advanced = http.post(format!("{url}/dev/clock/advance")).body(r#"{"by": "3d"}"#).send().await.unwrap();
    assert_eq!(advanced.status(), 200);
    let mailbox: serde_json::Value = http.get(format!("{url}/dev/mailbox")).send().await.unwrap().json().await.unwrap();
    assert_eq!(mailbox["entries"].as_array().unwrap().len(), 2, "{mailbox}");
    assert!(mailbox["entries"][1]["text"].as_str().unwrap().contains("/invite/abc"), "{mailbox}");
    // Without a key: the one of the data folder is found.
    let (code, _, stderr) = run(belfry(folder.path(), &["cancel", "account-invite", "k", "--url", &url])).await;
    assert_eq!(code, 0, "{stderr}");
    process.signal("-INT").await;
    assert_eq!(process.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_broken_workflow_stops_no_other_and_the_log_says_where_and_how() {
    let broken = json!({"name": "b", "steps": [{"ref": "x", "type": "chanel"}]});
    let setup = Setup::new()
        .workflow_text("broken", &broken.to_string())
        .workflow_text("unreadable", "{\"name\": ")
        .workflow("bad-template", &[email("{{#if x}}")]);
    fs::create_dir(setup.path("workflows/empty")).unwrap();
    fs::write(setup.path("workflows/broken/\u{fffd}.txt"), b"\xff\xfe").unwrap();
    let server = setup.start().await;
    let log = server.process.stderr();
    for part in ["broken", "unreadable/workflow.json", "bad-template/workflow.json steps[0].template.subject", "empty"]
    {
        assert!(log.contains(part), "{part} is not in\n{log}");
    }
    server.trigger("note", json!({"recipients": ["a@x.test"]})).await;
    let reply = server.post("/v1/workflows/broken/trigger", json!({"recipients": ["a@x.test"]})).await;
    let body = reply.assert_error(404, "workflow_missing");
    assert!(body["message"].as_str().unwrap().contains("note"), "{body}");
    server.settle().await;
    assert_eq!(server.mailbox().await.len(), 1);
}

#[tokio::test]
async fn a_preview_is_what_would_be_sent_and_says_what_there_is_when_there_is_no_such_thing() {
    let folder = folder();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let email = r#"{"ref": "mail", "type": "channel", "channel_key": "email", "channel_type": "email", "template": {
        "subject": "{{ actor.name | split: ' ' | first }} needs you", "html_body@": "mail.html",
        "text_body": "{{ data.n | pluralize: 'task', 'tasks' }}", "settings": {"layout_key": null}}}"#;
    let item = r#"{"ref": "item", "type": "channel", "channel_key": "in-app", "channel_type": "in_app_feed",
        "template": {"template_engine": "handlebars", "markdown_body": "**{{recipient.name}}**"}}"#;
    let workflow = |steps: &str| {
        format!(r#"{{"name": "Nudge", "settings": {{"template_engine": "liquid"}}, "steps": [{steps}]}}"#)
    };
    write("workflows/nudge/workflow.json", &workflow(&format!("{email}, {item}")));
    write("workflows/nudge/mail.html", "<p>{{ recipient.name | escape }} {{ tenant.id }}</p>");
    write("data.json", r#"{"n": 2}"#);
    let arguments =
        ["workflow", "preview", "nudge", "--workflows", "workflows", "--to", r#"{"id": "u1", "name": "<Ada>"}"#];
    let others = ["--actor", r#"{"id": "u2", "name": "Bo Li"}"#, "--tenant", "acme", "--data", "@data.json"];
    let (code, stdout, stderr) = run(belfry(folder.path(), &[arguments.as_slice(), &others].concat())).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
    let printed: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(printed["mail"], json!({"subject": "Bo needs you", "html": "<p>&lt;Ada&gt; acme</p>", "text": "tasks"}));
    assert_eq!(printed["item"]["blocks"][0]["rendered"], "<p><strong>&lt;Ada&gt;</strong></p>");

    let one = [arguments.as_slice(), &["--step", "item"]].concat();
    let (_, stdout, _) = run(belfry(folder.path(), &one)).await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&stdout).unwrap().as_object().unwrap().len(), 1);

    let said = refused(folder.path(), &[arguments.as_slice(), &["--step", "itm"]].concat()).await;
    assert!(said.contains("no step `itm` sends a message. Did you mean \"item\"?"), "{said}");
    let said = refused(folder.path(), &["workflow", "preview", "nudg", "--workflows", "workflows", "--to", "u1"]).await;
    assert!(said.contains("there is no workflow `nudg` under workflows. Did you mean \"nudge\"?"), "{said}");

    write("workflows/nudge/mail.html", "<p>\n{{ 1 | divided_by: data.none }}</p>");
    let said = refused(folder.path(), &arguments).await;
    assert!(said.contains("nudge/mail.html line 2, column 8: `divided_by`"), "{said}");

    write("workflows/nudge/mail.html", "<p>\n{% fi a %}</p>");
    let said = refused(folder.path(), &arguments).await;
    let fault = "nudge/mail.html: line 2, column 4: there is no tag `fi`";
    assert!(said.contains(fault), "{said}");
    let (_, stdout, _) = run(belfry(folder.path(), &["workflow", "validate", "workflows"])).await;
    assert!(stdout.contains(fault), "{stdout}");
}

#[tokio::test]
async fn a_preview_says_on_standard_error_what_is_wrong_with_translations() {
    let folder = folder();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let item = r#"{"ref": "item", "type": "channel", "channel_key": "in-app", "channel_type": "in_app_feed",
        "template": {"markdown_body": "{{ 'hi' | t }} {{ 'no.such' | t }}", "action_url": "/"}}"#;
    let document = format!(r#"{{"name": "W", "settings": {{"template_engine": "liquid"}}, "steps": [{item}]}}"#);
    write("config/workflows/w/workflow.json", &document);
    write("config/translations/en/en.json", r#"{"hi": "Hello"}"#);
    write("config/translations/de/de.json", r#"{"hi": "Hallo {{ name | upcas }}"}"#);
    write("config/translations/fr.json", "{}");
    write("config/partials/card/partial.json", "{");
    let (code, stdout, stderr) = run(belfry(folder.path(), &["workflow", "preview", "w", "--to", "ada"])).await;
    assert_eq!(code, 0, "{stderr}");
    let printed: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(printed["item"]["blocks"][0]["rendered"], "<p>Hello no.such</p>");
    let told: Vec<&str> = stderr.lines().collect();
    for (line, expected) in told.iter().zip([
        "note: w/workflow.json steps[0].template.markdown_body: line 1, column 16: the key \"no.such\" has no text in en",
        "note: translations/fr.json: is not read, since it lies in no folder of its own. Move it to translations/fr/fr.json",
        "fault: translations/de/de.json hi: line 1, column 17: there is no filter `upcas`",
    ]) {
        assert!(line.starts_with(expected), "{expected}\n{stderr}");
    }
    assert_eq!(told.len(), 3, "what the workflow does not name is not told: {stderr}");
}

#[tokio::test]
async fn a_value_from_a_file_is_told_with_the_name_of_the_file() {
    let folder = folder();
    fs::write(folder.path().join("data.json"), "{\"inviteToken\": \"abc\"}").unwrap();
    fs::write(folder.path().join("ada.json"), r#"{"id": "ada", "name": "Ada"}"#).unwrap();
    fs::write(folder.path().join("bad.json"), "{\n  \"a\": x\n}").unwrap();
    const PREVIEW: [&str; 3] = ["workflow", "preview", "account-invite"];
    for (command, data, to, expected) in [
        (PREVIEW.as_slice(), "data.json", "ada", "--data: data.json is a file; write @data.json to read it"),
        (
            &["trigger", "account-invite"],
            "data.json",
            "ada",
            "--data: data.json is a file; write @data.json to read it",
        ),
        (
            &["explain", "account-invite"],
            "@data.json",
            "ada.json",
            "--to: ada.json is a file; write @ada.json to read it",
        ),
        (&PREVIEW, "@bad.json", "ada", "--data: bad.json is not valid JSON: expected value at line 2 column 8"),
        (&PREVIEW, "@none.json", "ada", "--data: none.json cannot be read: No such file"),
        (&PREVIEW, "@data.json", "@none.json", "--to: none.json cannot be read: No such file"),
        (&PREVIEW, "{", "ada", "--data is not valid JSON (write @FILE to read a file): EOF"),
    ] {
        let key: &[&str] =
            if command == PREVIEW { &[] } else { &["--api-key", "sk_test_1", "--url", "http://127.0.0.1:9"] };
        let said = refused(folder.path(), &[command, &["--to", to, "--data", data], key].concat()).await;
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    let read = [PREVIEW.as_slice(), &["--to", "@ada.json", "--data", "@data.json"]].concat();
    let (code, stdout, stderr) = run(belfry(folder.path(), &read)).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains("abc"), "{stdout}");
}

#[tokio::test]
async fn where_there_is_no_folder_of_workflows_the_way_to_one_is_said() {
    let setup = Setup::new();
    let one = ["workflow", "validate", "workflows/account-invite"];
    let (code, stdout, _) = run(belfry(&setup.path("."), &one)).await;
    let expected = "fault: workflows/account-invite: this is one workflow. Name the folder that holds it: workflows\n";
    assert_eq!((code, stdout.as_str()), (1, expected));
    let folder = folder();
    let begin =
        "Each workflow is a folder in it, as config/workflows/account-invite/workflow.json; `belfry import knock`";
    let (code, stdout, _) = run(belfry(folder.path(), &["workflow", "validate"])).await;
    assert!(code == 1 && stdout.contains("config/workflows: the directory cannot be read") && stdout.contains(begin));
    fs::create_dir_all(folder.path().join("config/workflows")).unwrap();
    let said = refused(folder.path(), &["workflow", "validate"]).await;
    assert!(said.contains("there is no workflow under config/workflows. ") && said.contains(begin), "{said}");
    let said = refused(folder.path(), &["workflow", "preview", "nudge", "--to", "ada"]).await;
    assert!(said.contains("The folder has no workflows. ") && said.contains(begin), "{said}");
}

#[tokio::test]
async fn validate_names_vars_that_the_configuration_does_not_set() {
    let setup = Setup::new().workflow("w", &[email("{{vars.app_url}} {{vars.team}}")]);
    let (code, stdout, stderr) = run(belfry(&setup.path("."), &["workflow", "validate", "workflows"])).await;
    assert_eq!((code, stdout.contains("vars.")), (0, false), "without a configuration: {stdout}{stderr}");
    drop(setup.command());
    let (code, stdout, stderr) = run(belfry(&setup.path("."), &["workflow", "validate"])).await;
    let expected =
        "note: w/workflow.json: line 1: vars.team is not set, so nothing stands where it is printed. Set team";
    assert!(code == 0 && stdout.contains(expected) && !stdout.contains("vars.app_url"), "{stdout}{stderr}");
}

/// As `belfry dev` has them there: who saw them run sees what they say.
#[tokio::test]
async fn a_preview_where_there_are_no_workflows_is_of_the_starters() {
    let folder = folder();
    let arguments = ["workflow", "preview", "account-invite", "--to", "ada", "--data", r#"{"inviteToken": "abc"}"#];
    let (code, stdout, stderr) = run(belfry(folder.path(), &arguments)).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
    let printed: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let mails = printed.as_object().unwrap().values().filter_map(|message| message["html"].as_str());
    assert!(mails.clone().count() > 0 && mails.clone().all(|html| html.contains("abc")), "{printed}");
    let said = refused(folder.path(), &["workflow", "preview", "acount", "--to", "ada"]).await;
    assert!(said.contains("config/workflows: the directory cannot be read"), "{said}");
}
