//! API keys: who gets in, and where a key can be read afterwards (nowhere).

use std::fs;
use std::path::Path;

use reqwest::Method;
use serde_json::json;

use crate::server::{FEED, PUBLIC, Process, SECRET, Setup, TestServer, belfry, run};
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
    assert!(!server.process.printed.iter().any(|line| line.contains(" key, for ")), "{:#?}", server.process.printed);
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

/// `belfry keys` in the server's folder; what it printed.
async fn keys(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<String, String> {
    let mut command = belfry(folder, &[&["keys"], arguments].concat());
    command.envs(environment.iter().copied());
    let (code, stdout, stderr) = run(command).await;
    if code == 0 { Ok(stdout.trim().to_owned()) } else { Err(stderr) }
}

#[tokio::test]
async fn keys_are_made_and_revoked_while_the_server_runs_and_while_it_does_not() {
    let mut server = Setup::new().start().await;
    let folder = server.setup.path("");
    let through = async |server: &TestServer, arguments: &[&str]| {
        keys(&folder, arguments, &[("BELFRY_URL", server.url.as_str()), ("BELFRY_API_KEY", SECRET)]).await
    };
    let held = keys(&folder, &["create", "--secret"], &[]).await.unwrap_err();
    assert!(held.contains("--api-key") && held.contains("auth.secret_keys"), "{held}");
    let ci = through(&server, &["create", "--secret", "--name", "ci"]).await.unwrap();
    let page = through(&server, &["create", "--public"]).await.unwrap();
    let user = "/v1/users/u";
    assert_eq!(status_of(&server, Method::GET, user, &ci, "").await, 404);
    assert_eq!(status_of(&server, Method::GET, user, &page, "").await, 404);
    assert_eq!(status_of(&server, Method::GET, "/admin/keys", &page, "").await, 403);
    let listed = through(&server, &["list"]).await.unwrap();
    let line = listed.lines().find(|line| line.ends_with("ci")).unwrap();
    assert!(line.contains(&format!("sk_...{}", &ci[ci.len() - 4..])) && !listed.contains(&ci[8..]), "{listed}");
    assert!(listed.contains("in the configuration"), "{listed}");

    server.process.signal("-TERM").await;
    assert!(server.process.exit().await.success());
    let at_rest = keys(&folder, &["create", "--secret", "--name", "made at rest"], &[]).await.unwrap();
    server.restart().await;
    for key in [&ci, &at_rest] {
        assert_eq!(status_of(&server, Method::GET, user, key, "").await, 404, "it works over a restart");
    }
    let id = line.split_whitespace().next().unwrap();
    assert!(through(&server, &["revoke", id]).await.unwrap().starts_with("revoked: "));
    assert_eq!(status_of(&server, Method::GET, user, &ci, "").await, 401, "at once");
    let again = through(&server, &["revoke", id]).await.unwrap_err();
    assert!(again.contains("belfry keys list"), "{again}");
    let configured = through(&server, &["revoke", &SECRET[SECRET.len() - 4..]]).await.unwrap_err();
    assert!(configured.contains("stands in the configuration"), "{configured}");

    server.kill_9().await;
    assert!(keys(&folder, &["revoke", &at_rest[at_rest.len() - 4..]], &[]).await.is_ok());
    server.restart().await;
    assert_eq!(status_of(&server, Method::GET, user, &ci, "").await, 401, "over a crash");
    assert_eq!(status_of(&server, Method::GET, user, &at_rest, "").await, 401);
    assert_eq!(status_of(&server, Method::GET, user, &page, "").await, 404);
    for key in [&ci, &at_rest, &page] {
        assert_eq!(files_with(&folder, &key[8..]), [] as [String; 0]);
    }
}

#[tokio::test]
async fn keys_say_what_is_missing_where_there_is_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let said = keys(folder.path(), &["list"], &[]).await.unwrap_err();
    assert!(said.contains("there is no data folder belfry-data") && said.contains("--data-dir"), "{said}");
    assert!(!folder.path().join("belfry-data").exists(), "nothing was made");
    let said = keys(folder.path(), &["sign-user", "ada"], &[]).await.unwrap_err();
    assert!(said.contains("--signing-key") && said.contains("KNOCK_SIGNING_KEY"), "{said}");
    let said = keys(folder.path(), &["list", "--url", "http://127.0.0.1:1"], &[]).await.unwrap_err();
    assert!(said.contains("--api-key"), "{said}");
    fs::write(folder.path().join("belfry.toml"), "[auth]\nsigning_public_key = \"k/signing-key.pem\"\n").unwrap();
    keys(folder.path(), &["generate-signing-key", "--out", "k"], &[]).await.unwrap();
    assert!(keys(folder.path(), &["generate-signing-key", "--out", "k"], &[]).await.is_err(), "nothing is overwritten");
    let (code, _, said) = run(belfry(folder.path(), &["serve", "--listen", "127.0.0.1:0"])).await;
    assert!(code == 1 && said.contains("auth.signing_public_key") && said.contains("private key"), "{said}");
}

#[tokio::test]
async fn a_developers_server_takes_the_tokens_that_the_command_line_signs() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = belfry(folder.path(), &["dev", "--listen", "127.0.0.1:0"]);
    command.env("BELFRY__AUTH__ENHANCED_SECURITY", "true");
    let mut process = Process::spawn(command, &folder.path().join("stderr.log"));
    let url = process.line("Belfry listens on ").await.split(' ').next().unwrap().to_owned();
    let public = process.line("  Public key   ").await;
    let ada = keys(folder.path(), &["sign-user", "ada"], &[]).await.unwrap();
    let strict = ["sign-user", "ada", "--explicit-grants", "--grant", "user/feed_read@acme", "--expires-in", "7d"];
    let strict = keys(folder.path(), &strict, &[]).await.unwrap();
    let get = async |path: &str, token: &str| {
        let request = reqwest::Client::new().get(format!("{url}{path}")).bearer_auth(&public);
        request.header("x-knock-user-token", token).send().await.unwrap().status().as_u16()
    };
    let feed = |user: &str| format!("/v1/users/{user}/feeds/{FEED}");
    assert_eq!(get(&feed("ada"), &ada).await, 200);
    assert_eq!(get(&feed("bob"), &ada).await, 403);
    assert_eq!(get("/v1/users/ada", &ada).await, 404);
    assert_eq!(get(&feed("ada"), &strict).await, 200);
    assert_eq!(get("/v1/users/ada", &strict).await, 403);
    assert_eq!(get(&feed("ada"), "").await, 401);
    // The developer's secret key need not be named either.
    assert!(keys(folder.path(), &["create", "--public", "--url", &url], &[]).await.unwrap().starts_with("pk_"));
    process.signal("-TERM").await;
    assert!(process.exit().await.success());
    let log = fs::read_to_string(folder.path().join("stderr.log")).unwrap();
    assert!(!log.contains(ada.split('.').next_back().unwrap()));
}
