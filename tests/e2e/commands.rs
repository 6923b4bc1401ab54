//! The command line.

use std::process::{Command, Output};

use reqwest::Method;
use serde_json::json;

use crate::server::{Process, SECRET, Setup, belfry};
use crate::smtp::Smtp;

fn run(command: &mut Command) -> (bool, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.success(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn the_demo_plays_the_main_job() {
    let (good, said, log) = run(belfry().arg("demo"));
    assert!(good, "{said}{log}");
    for words in ["day 3", "Reminder", "cancelled", "badge: 1", "As it should be"] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
}

#[test]
fn the_default_configuration_is_complete_and_checks() {
    let folder = tempfile::tempdir().unwrap();
    let (_, default, _) = run(belfry().args(["config", "default"]));
    std::fs::write(folder.path().join("belfry.toml"), &default).unwrap();
    let (good, effective, log) = run(belfry().args(["config", "check"]).current_dir(folder.path()));
    assert!(good && effective.contains("127.0.0.1:8650"), "{effective}{log}");
    std::fs::write(folder.path().join("belfry.toml"), default.replace("listen =", "listn =")).unwrap();
    let (good, _, log) = run(belfry().args(["config", "check"]).current_dir(folder.path()));
    assert!(!good && log.contains("belfry.toml:") && log.contains("`listen`"), "{log}");
}

#[test]
fn workflow_validate_names_file_path_and_way_out() {
    let (good, said, _) = run(belfry().args(["workflow", "validate", "config/workflows"]));
    assert!(good && said.contains("account-invite: valid"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("a")).unwrap();
    let workflow = json!({"name": "A", "steps": [{"ref": "d", "type": "delay", "settings": {"delay_for": {"unit": "dayz", "value": 3}}}]});
    std::fs::write(folder.path().join("a/workflow.json"), workflow.to_string()).unwrap();
    let (good, said, _) = run(belfry().args(["workflow", "validate"]).arg(folder.path()));
    assert!(!good, "{said}");
    assert!(said.contains("a/workflow.json steps[0].settings.delay_for.unit") && said.contains("days"), "{said}");
}

#[tokio::test]
async fn a_taken_port_and_a_taken_folder_are_said_and_harm_nobody() {
    let smtp = Smtp::start();
    let server = Setup::new(smtp.port).start();
    let address = server.process.url.trim_start_matches("http://").to_owned();
    let elsewhere = tempfile::tempdir().unwrap();
    let serve = |data: &std::path::Path, listen: &str| {
        let mut command = belfry();
        command.args(["serve", "--listen", listen, "--data-dir"]).arg(data);
        run(&mut command)
    };
    let (good, _, log) = serve(elsewhere.path(), &address);
    assert!(!good && log.contains("is taken") && log.contains("--listen"), "{log}");
    let (good, _, log) = serve(&server.folder.path().join("data"), "127.0.0.1:0");
    assert!(!good && log.contains("in use by another Belfry") && log.contains("--data-dir"), "{log}");
    let (good, _, log) = serve(std::path::Path::new("/dev/null/data"), "127.0.0.1:0");
    assert!(!good && log.contains("cannot be written"), "{log}");
    server.trigger("welcome-to-knock", json!({"recipients": ["dr@grant.test"]})).await;
    smtp.wait("dr@grant.test", 1);
}

#[tokio::test]
async fn trigger_and_cancel_drive_a_server() {
    let smtp = Smtp::start();
    let server = Setup::new(smtp.port).start();
    let call = |arguments: &[&str]| {
        let mut command = belfry();
        command.args(arguments).args(["--url", &server.process.url, "--api-key", SECRET]);
        run(&mut command)
    };
    let data = r#"{"inviteToken": "abc"}"#;
    let (good, said, log) = call(&[
        "trigger",
        "account-invite",
        "--to",
        "dr@grant.test",
        "--to",
        r#"{"id": "u", "email": "u@x.test"}"#,
        "--data",
        data,
        "--cancellation-key",
        "k",
    ]);
    assert!(good && said.trim().len() == 36, "{said}{log}");
    smtp.wait("u@x.test", 1);
    let (good, said, log) = call(&["cancel", "account-invite", "k"]);
    assert!(good && said.contains("cancelled=2"), "{said}{log}");
    let (good, _, log) = call(&["trigger", "account-invit", "--to", "u"]);
    assert!(!good && log.contains("account-invite"), "{log}");
    let (good, _, log) =
        run(belfry().args(["trigger", "w", "--to", "u", "--url", "http://127.0.0.1:1", "--api-key", "sk_x"]));
    assert!(!good && log.contains("belfry dev"), "{log}");
}

#[tokio::test]
async fn keys_that_the_server_makes_are_shown_once_and_stored_hashed() {
    let smtp = Smtp::start();
    let mut setup = Setup::new(smtp.port);
    setup.keys = false;
    let mut server = setup.start();
    let said = server.process.wait_for("Public key");
    let key = |prefix: &str| said[said.find(prefix).unwrap()..].split_whitespace().next().unwrap().to_owned();
    let (secret, public) = (key("sk_test_"), key("pk_test_"));
    for _ in 0..2 {
        assert_eq!(server.send(Method::PUT, "/v1/users/u", &secret, "").await.status(), 200);
        assert_eq!(server.send(Method::GET, "/v1/users/u", &public, "").await.status(), 200);
        assert_eq!(server.send(Method::GET, "/v1/users/u", SECRET, "").await.status(), 401);
        server.crash_and_restart();
        server.process.wait_for("listening");
        assert!(!server.process.log().contains("sk_test_"), "it is shown once");
    }
    for file in std::fs::read_dir(server.folder.path().join("data")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}

#[test]
fn a_developers_server_keeps_its_keys_as_long_as_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = belfry();
        command.args(["dev", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path().join("data"));
        Process::spawn(command)
    };
    let keys = || std::fs::read_to_string(folder.path().join("data/dev-keys.toml")).unwrap();
    let first = start();
    let before = keys();
    let (good, said, log) = run(belfry()
        .args(["trigger", "account-invite", "--to", "dr@grant.test", "--url", &first.url, "--data-dir"])
        .arg(folder.path().join("data")));
    assert!(good, "{said}{log}");
    drop(first);
    drop(start());
    assert_eq!(keys(), before);
}
