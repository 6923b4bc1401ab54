//! What clients get wrong, and what they are told.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{PUBLIC, SECRET, Setup};
use crate::smtp::Smtp;

const TRIGGER: &str = "/v1/workflows/welcome-to-knock/trigger";

#[tokio::test]
async fn every_fault_has_a_status_a_code_and_a_way_out() {
    let smtp = Smtp::start();
    let mut setup = Setup::new(smtp.port);
    setup.more = "[http]\nmax_body_bytes = 100000".into();
    let server = setup.start();
    let many: Vec<String> = (0..1_001).map(|number| format!("u{number}")).collect();
    let deep = "[".repeat(100_000 / 2);
    let post = |path: &'static str, body: String| (Method::POST, path, SECRET, body);
    let ok = json!({"recipients": ["u@x.test"]}).to_string();
    let table = [
        (post(TRIGGER, "{\"recipients\": [".into()), 400, "bad_request", "line 1"),
        (post(TRIGGER, deep), 400, "bad_request", "recursion"),
        (post(TRIGGER, String::new()), 422, "invalid_params", "recipients"),
        (post(TRIGGER, "[]".into()), 422, "invalid_params", "JSON object"),
        (post(TRIGGER, json!({"recipients": []}).to_string()), 422, "invalid_params", "recipients"),
        (post(TRIGGER, json!({"recipients": many}).to_string()), 422, "invalid_params", "1000"),
        (post(TRIGGER, json!({"recipients": [7]}).to_string()), 422, "invalid_params", "recipients[0]"),
        (post(TRIGGER, json!({"recipients": ["a\u{0}b"]}).to_string()), 422, "invalid_params", "recipients[0]"),
        (post(TRIGGER, json!({"recipients": ["u"], "actor": "nobody"}).to_string()), 422, "actor_missing", "nobody"),
        (post(TRIGGER, format!("\"{}\"", "x".repeat(100_000))), 413, "payload_too_large", "http.max_body_bytes"),
        (post("/v1/workflows/nope/trigger", ok.clone()), 404, "workflow_missing", "account-invite"),
        (post("/v1/workflows/welcome-to-knock/cancel", "{}".into()), 422, "invalid_params", "cancellation_key"),
        (post("/v1/nothing", String::new()), 404, "resource_missing", "/v1/nothing"),
        ((Method::GET, TRIGGER, SECRET, String::new()), 404, "resource_missing", "GET"),
        ((Method::POST, TRIGGER, "sk_wrong", ok.clone()), 401, "api_key_missing", "auth.secret_keys"),
        ((Method::POST, TRIGGER, PUBLIC, ok), 403, "incorrect_token_type", "secret key"),
        ((Method::GET, "/v1/users/nobody", PUBLIC, String::new()), 404, "resource_missing", "nobody"),
        ((Method::GET, "/v1/users/u/feeds/nope", PUBLIC, String::new()), 404, "channel_invalid", "in-app"),
        ((Method::PUT, "//v1/users/%FF", PUBLIC, "{}".into()), 422, "invalid_params", "must not contain"),
        ((Method::PUT, "/v1/users/u", PUBLIC, "{\"email\": 1}".into()), 422, "invalid_params", "email"),
        (post("/dev/clock/advance", "{\"by\": \"soon\"}".into()), 422, "invalid_params", "by"),
    ];
    for ((method, path, key, body), status, code, hint) in table {
        let shown = body.chars().take(60).collect::<String>();
        let response = server.send(method, path, key, body).await;
        assert_eq!(response.status(), status, "{path} {shown}");
        assert!(response.headers().contains_key("x-request-id"));
        let answer: Value = response.json().await.unwrap();
        assert_eq!((answer["code"].as_str(), answer["status"].as_u64()), (Some(code), Some(status.into())), "{answer}");
        assert!(answer["errors"].is_array() && answer["type"].is_string(), "{answer}");
        assert!(answer.to_string().contains(hint), "{hint} is not in {answer}");
    }
    assert!(smtp.mails().is_empty());
}

#[tokio::test]
async fn a_template_that_fails_ends_its_run_and_no_other() {
    let smtp = Smtp::start();
    let folder = tempfile::tempdir().unwrap();
    let write = |key: &str, subject: &str| {
        let workflow = json!({"name": key, "steps": [{
            "ref": "email_1", "type": "channel", "channel_key": "email",
            "template": {"subject": subject, "html_body": "<p>Hi</p>", "settings": {"layout_key": "default"}},
        }]});
        std::fs::create_dir(folder.path().join(key)).unwrap();
        std::fs::write(folder.path().join(key).join("workflow.json"), workflow.to_string()).unwrap();
    };
    write("failing", "{{date data.when \"%Y\"}}");
    write("good", "Hi");
    write("broken", "{{#if a}}");
    let mut setup = Setup::new(smtp.port);
    setup.workflows = folder.path().to_owned();
    let server = setup.start();
    let log = server.process.log();
    assert!(log.contains("broken/workflow.json steps[0].template.subject"), "{log}");
    server.trigger("failing", json!({"recipients": ["bad@x.test"], "data": {"when": "never"}})).await;
    server.trigger("failing", json!({"recipients": ["fine@x.test"], "data": {"when": "2026-01-31"}})).await;
    server.trigger("good", json!({"recipients": ["good@x.test"]})).await;
    assert_eq!(smtp.wait("fine@x.test", 1)[0].header("Subject"), Some("2026"));
    smtp.wait("good@x.test", 1);
    server.advance("1d").await;
    assert!(smtp.to("bad@x.test").is_empty());
    assert!(server.process.log().contains("a run failed"));
}

#[tokio::test]
async fn the_dev_endpoints_are_not_there_without_dev() {
    let smtp = Smtp::start();
    let mut setup = Setup::new(smtp.port);
    setup.dev = false;
    let server = setup.start();
    for (method, path) in [(Method::GET, "/dev/mailbox"), (Method::POST, "/dev/clock/advance")] {
        let response = server.send(method, path, SECRET, "{}").await;
        assert_eq!(response.status(), 404);
        assert!(response.text().await.unwrap().contains("server.dev"));
    }
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 200)] {
        assert_eq!(server.send(Method::GET, path, "", "").await.status(), status, "{path}");
    }
}

#[tokio::test]
async fn no_key_and_no_data_is_in_the_log_at_its_most_talkative() {
    let smtp = Smtp::start();
    let server = Setup::new(smtp.port).start();
    let path = "/v1/users/u1?user_token=canary-token&api_key=canary-key";
    server.send(Method::PUT, path, SECRET, json!({"email": "u@x.test", "note": "canary-note"}).to_string()).await;
    let body =
        json!({"recipients": ["u1"], "data": {"inviteToken": "canary-data"}, "cancellation_key": "canary-cancel"});
    server.trigger("account-invite", body).await;
    smtp.wait("u@x.test", 1);
    server.advance("3d").await;
    let log = server.process.log();
    assert!(log.contains("triggered"));
    for secret in [SECRET, PUBLIC, "canary-token", "canary-key", "canary-note", "canary-data", "canary-cancel"] {
        assert!(!log.contains(secret), "{secret}");
    }
}
