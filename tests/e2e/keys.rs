//! API keys: who gets in, and where a key can be read afterwards (nowhere).

use std::fs;
use std::path::Path;

use reqwest::Method;
use serde_json::json;

use crate::server::{FEED, PUBLIC, Process, SECRET, Setup, TestServer, belfry};
use crate::smtp::SmtpServer;

/// Every file under `folder` whose bytes contain `text`.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if fs::read(&path).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

async fn status_of(server: &TestServer, method: Method, path: &str, key: &str, body: &str) -> u16 {
    let body = Some(body.to_owned()).filter(|body| !body.is_empty());
    server.send(method, path, key, &[], body).await.unwrap().status
}

#[tokio::test]
async fn made_keys_are_shown_once_work_from_then_on_and_are_written_nowhere() {
    let mut server =
        Setup::new().without("auth").set("auth.enhanced_security", false).set("log.level", "trace").start().await;
    let secret = server.process.line("Secret key, for backends: ").await;
    let public = server.process.line("Public key, for browsers: ").await;
    assert!(secret.starts_with("sk_") && secret.len() >= 64, "{} characters", secret.len());
    assert!(public.starts_with("pk_") && public.len() >= 64, "{} characters", public.len());
    let body = json!({"recipients": ["a@x.test"]}).to_string();
    let path = "/v1/workflows/note/trigger";
    for _ in 0..2 {
        assert_eq!(status_of(&server, Method::POST, path, &secret, &body).await, 200);
        assert_eq!(status_of(&server, Method::POST, path, SECRET, &body).await, 401);
        assert_eq!(status_of(&server, Method::GET, &format!("/v1/users/u/feeds/{FEED}"), &public, "").await, 200);
        server.process.signal("-TERM").await;
        assert!(server.process.exit().await.success());
        server.restart().await;
    }
    server.process.signal("-TERM").await;
    assert!(server.process.exit().await.success());
    assert!(!server.process.printed.iter().any(|line| line.contains("key")), "{:#?}", server.process.printed);
    for key in [&secret, &public] {
        // The folder holds the data, the configuration and what was logged at the finest level.
        assert_eq!(files_with(server.setup.path("data").parent().unwrap(), &key[8..]), [] as [String; 0]);
    }
}

#[tokio::test]
async fn configured_keys_are_not_stored_either_and_count_alone() {
    let mut server = Setup::new().start().await;
    assert_eq!(server.get("/v1/users/u").await.status, 404);
    server.process.signal("-TERM").await;
    assert!(server.process.exit().await.success());
    assert_eq!(files_with(&server.setup.path("data"), &SECRET[8..]), [] as [String; 0]);
    server.setup = server.setup.set("auth.secret_keys", vec!["sk_test_rotated".to_owned()]);
    server.restart().await;
    assert_eq!(status_of(&server, Method::GET, "/v1/users/u", SECRET, "").await, 401);
    assert_eq!(status_of(&server, Method::GET, "/v1/users/u", "sk_test_rotated", "").await, 404);
}

#[tokio::test]
async fn whoever_has_no_key_or_the_wrong_one_gets_nowhere() {
    let server = Setup::new().start().await;
    let routes = [
        (Method::POST, "/v1/workflows/note/trigger".to_owned(), true),
        (Method::POST, "/v1/workflows/note/cancel".to_owned(), true),
        (Method::GET, "/v1/users/u".to_owned(), false),
        (Method::PUT, "/v1/users/u".to_owned(), false),
        (Method::GET, format!("/v1/users/u/feeds/{FEED}"), false),
    ];
    let body = json!({"recipients": ["u@x.test"], "cancellation_key": "k"}).to_string();
    for (method, path, needs_secret) in routes {
        let with = async |key: &str| {
            let body = Some(body.clone()).filter(|_| method != Method::GET);
            server.send(method.clone(), &path, key, &[], body).await.unwrap()
        };
        let reply = with("").await;
        reply.assert_error(401, "authentication_required");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        let long = "k".repeat(4_000);
        for wrong in ["sk_test_wrong", &SECRET[..SECRET.len() - 1], &format!("{SECRET}x"), "ü", &long] {
            with(wrong).await.assert_error(401, "api_key_missing");
        }
        if needs_secret {
            with(PUBLIC).await.assert_error(403, "incorrect_token_type");
        } else {
            assert!(matches!(with(PUBLIC).await.status, 200 | 404), "{path}");
        }
    }
    for scheme in ["Basic", "bearer"] {
        let header = format!("{scheme} {SECRET}");
        let reply = server.send(Method::GET, "/v1/users/u", "", &[("authorization", &header)], None).await.unwrap();
        assert_eq!(reply.status, if scheme == "bearer" { 200 } else { 401 }, "{scheme}");
    }
    server.settle().await;
    assert!(server.mailbox().await.is_empty(), "a refused trigger ran");
}

#[tokio::test]
async fn the_finest_log_holds_no_secret_and_nothing_of_what_is_sent() {
    let smtp = SmtpServer::start();
    let setup = Setup::new().smtp(&smtp).set_email("username", "mailer").set_email("password", "hunter2-canary");
    let server = setup.set("log.level", "trace").environment("RUST_LOG", "trace").start().await;
    let body = json!({
        "recipients": [{"id": "u1", "email": "u1@x.test", "name": "Canary-Name", "$trigger_data": {"own": "canary-own"}}],
        "actor": {"id": "a1", "name": "canary-actor"},
        "cancellation_key": "canary-cancellation-key",
        "data": {"inviteToken": "canary-token", "text": "canary-text", "n": "canary-subject"},
    });
    server.trigger("both", body.clone()).await;
    server.trigger("later", body).await;
    server.cancel("later", json!({"cancellation_key": "canary-cancellation-key"})).await;
    server.put("/v1/users/u2", json!({"phone_number": "canary-phone"})).await;
    server.get("/v1/users/u2?user_token=canary-user-token").await;
    let headers = [("x-knock-user-token", "canary-user-token"), ("idempotency-key", "canary-idempotency")];
    let wrong = Some(json!({"recipients": 7, "data": {"a": "canary-invalid"}}).to_string());
    server.send(Method::POST, "/v1/workflows/note/trigger", SECRET, &headers, wrong).await.unwrap();
    server.send(Method::GET, "/v1/users/u2", "sk_test_canary-wrong-key", &[], None).await.unwrap();
    server.settle().await;
    assert_eq!(smtp.mails().len(), 1);
    let log = server.process.stderr();
    assert!(log.lines().count() > 20, "the log is too short to prove anything:\n{log}");
    for secret in [&SECRET[8..], "hunter2", "canary", "Canary"] {
        let told: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(told.is_empty(), "`{secret}` is in the log: {told:#?}");
    }
}

#[tokio::test]
async fn a_developers_keys_stay_the_same_as_long_as_the_data_folder_does() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("stderr.log");
    let mut keys = Vec::new();
    for data in ["one", "one", "two"] {
        let arguments = ["dev", "--listen", "127.0.0.1:0", "--data-dir", data];
        let mut process = Process::spawn(belfry(folder.path(), &arguments), &log);
        keys.push(process.line("  Secret key   ").await);
        process.signal("-TERM").await;
        assert!(process.exit().await.success());
    }
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[0], keys[2]);
    assert!(!fs::read_to_string(log).unwrap().contains(&keys[0][8..]));
}
