//! `belfry doctor`: what it finds, and what it says to do.

use std::fs;
use std::net::TcpListener;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::server::{Setup, belfry, run};
use crate::smtp::{Answer, SmtpServer};

/// Doctor's findings, by check, and whether it exits with success.
async fn examine(mut command: Command) -> (bool, Vec<Value>) {
    command.arg("--json");
    let (code, stdout, stderr) = run(command).await;
    assert!(code == 0 || code == 1 && stderr.contains("failed"), "{code}: {stderr}");
    (code == 0, stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn doctor(setup: &Setup, listen: &str) -> Command {
    drop(setup.command());
    let mut command = belfry(&setup.path(""), &["doctor"]);
    command.env("BELFRY__SERVER__LISTEN", listen);
    command
}

#[track_caller]
fn assert_found(findings: &[Value], check: &str, level: &str, parts: &[&str]) {
    let of_it: Vec<&Value> = findings.iter().filter(|finding| finding["check"] == check).collect();
    let fits =
        |finding: &&Value| finding["level"] == level && parts.iter().all(|part| finding.to_string().contains(part));
    assert!(of_it.iter().any(fits), "{check} is not {level} with {parts:?}: {findings:#?}");
}

#[tokio::test]
async fn a_server_that_is_well_is_found_well_while_it_runs_and_at_rest() {
    let smtp = SmtpServer::start();
    let mut server = Setup::new().smtp(&smtp).start().await;
    server.trigger("later", json!({"recipients": ["u@x.test"]})).await;
    let listen = server.url.strip_prefix("http://").unwrap().to_owned();
    let (well, findings) = examine(doctor(&server.setup, &listen)).await;
    assert!(well, "{findings:#?}");
    assert!(findings.iter().all(|finding| finding["level"] == "ok"), "{findings:#?}");
    assert_found(&findings, "data", "ok", &["a server holds the folder, and is well"]);
    assert_found(&findings, "port", "ok", &["the server listens"]);
    assert_found(&findings, "mail", "ok", &["channel `email`", "lets us in"]);
    assert!(smtp.offered().is_empty(), "nothing is sent");

    server.kill_9().await;
    let before = fs::read(server.setup.path("data/belfry.redb")).unwrap();
    let (well, findings) = examine(doctor(&server.setup, &listen)).await;
    assert!(well, "{findings:#?}");
    assert_found(&findings, "data", "ok", &["records can be read, 1 runs wait"]);
    assert_found(&findings, "port", "ok", &["is free"]);
    assert!(fs::read(server.setup.path("data/belfry.redb")).unwrap() == before, "it changed the data");
    server.restart().await;

    // For people: a line each. The server listens on another port since it was started again.
    let (code, stdout, _) = run(doctor(&server.setup, &listen)).await;
    assert_eq!(code, 0, "{stdout}");
    assert!(stdout.starts_with("ok    config       it is valid\n"), "{stdout}");
    assert!(stdout.contains("warn  port") && stdout.contains("It listens elsewhere"), "{stdout}");
}

#[tokio::test]
async fn whatever_would_keep_a_server_from_its_work_fails_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let setup = Setup::new().set_email("provider", "smtp").set_email("host", "127.0.0.1").set_email("tls", "none");
    let setup = setup.set("auth.signing_public_key", "nowhere.pem").workflow_text("broken", "{");
    drop(setup.command());
    let config = fs::read_to_string(setup.path("belfry.toml")).unwrap();
    fs::write(setup.path("with-port.toml"), config.replace("host = ", &format!("port = {nobody}\nhost = "))).unwrap();
    fs::create_dir(setup.path("data")).unwrap();
    fs::write(setup.path("data/belfry.redb"), "this is no database").unwrap();
    let mut command = doctor(&setup, &taken.local_addr().unwrap().to_string());
    command.args(["--config", "with-port.toml"]);
    let (well, findings) = examine(command).await;
    assert!(!well);
    assert_found(&findings, "keys", "fail", &["nowhere.pem", "generate-signing-key"]);
    assert_found(&findings, "data", "fail", &["belfry.redb", "belfry restore FILE --force"]);
    assert_found(&findings, "port", "fail", &["is taken by another program", "server.listen"]);
    assert_found(&findings, "workflows", "fail", &["broken/workflow.json"]);
    assert_found(&findings, "workflows", "ok", &["are valid"]);
    assert_found(&findings, "mail", "fail", &["channel `email`", "does not let us in", "username and password"]);
    assert_eq!(fs::read_to_string(setup.path("data/belfry.redb")).unwrap(), "this is no database");
    assert_eq!(fs::read_dir(setup.path("data")).unwrap().count(), 2, "the data file and its lock");

    let mut command = doctor(&setup, "0.0.0.0:0");
    command.args(["--config", "with-port.toml", "--no-network"]);
    let (_, findings) = examine(command).await;
    assert_found(&findings, "mail", "ok", &["was not tried"]);
    assert_found(&findings, "dev", "fail", &["server.dev"]);
    assert_found(&findings, "public url", "warn", &["server.public_url"]);
}

#[tokio::test]
async fn the_login_at_a_mail_server_is_tried_and_one_that_refuses_is_named_with_its_words() {
    let smtp = SmtpServer::start();
    let setup = Setup::new().smtp(&smtp).set_email("username", "ada").set_email("password", "hunter2");
    let (well, findings) = examine(doctor(&setup, "127.0.0.1:0")).await;
    assert!(well, "{findings:#?}");
    assert_found(&findings, "mail", "warn", &["lets us in as ada", "in the clear", "starttls"]);
    assert_eq!((smtp.logins(), smtp.offered().len()), (1, 0));
    assert!(!findings.iter().any(|finding| finding.to_string().contains("hunter2")), "{findings:#?}");
    smtp.script(|_| Answer::Reply("554 we know you not"));
    let (well, findings) = examine(doctor(&setup, "127.0.0.1:0")).await;
    assert!(!well);
    assert_found(&findings, "mail", "fail", &["does not let us in as ada", "we know you not"]);
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_is_all_that_is_found() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("belfry.toml"), "[server]\nlistn = 1\n[log]\nlevel = \"loud\"\n").unwrap();
    let (well, findings) = examine(belfry(folder.path(), &["doctor"])).await;
    assert!(!well);
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert_found(&findings, "config", "fail", &["belfry.toml:2", "Did you mean `listen`?"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was made");
}
