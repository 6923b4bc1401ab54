//! `belfry explain` and the API behind it: what a trigger would do, with nothing stored or sent.

use serde_json::{Value, json};

use crate::server::{PUBLIC, SECRET, Setup, TestServer, belfry, delay, email, in_app, run};

async fn explain(server: &TestServer, arguments: &[&str]) -> String {
    let mut command = belfry(&server.setup.path(""), &[&["explain"], arguments].concat());
    command.env("BELFRY_URL", &server.url).env("BELFRY_API_KEY", SECRET);
    let (code, stdout, stderr) = run(command).await;
    assert_eq!(code, 0, "{stderr}");
    stdout
}

fn asking(mut step: Value, variable: &str, operator: &str, argument: &str) -> Value {
    step["conditions"] = json!({"all": [{"variable": variable, "operator": operator, "argument": argument}]});
    step
}

#[tokio::test]
async fn all_decisions_are_told_as_they_would_be_and_nothing_is_stored_or_sent() {
    let steps = [
        in_app("Item {{n}}"),
        asking(email("First {{n}}"), "recipient.plan", "equal_to", "data.plan"),
        delay("days", 3),
        asking(email("Second"), "refs.step_1.engagement_status", "contains", "$message.seen"),
    ];
    let server = Setup::new().workflow("asks", &steps).start().await;
    server.put("/v1/users/ann", json!({"email": "ann@x.test", "plan": "pro"})).await;
    server.put("/v1/users/ann/preferences/default", json!({"channel_types": {"in_app_feed": false}})).await;
    std::fs::write(server.setup.path("data.json"), r#"{"n": 7, "plan": "pro", "text": "Hello"}"#).unwrap();

    let told = explain(&server, &["asks", "--to", "ann", "--data", "@data.json"]).await;
    for expected in [
        "asks for ann\n  dry run     nothing is stored or sent",
        "no: channel_types.in_app_feed in the recipient's default preferences",
        "yes: recipient.plan is \"pro\", asked is equal_to data.plan, which is \"pro\"",
        "subject: First 7",
        "| Hello",
        "step_2 (delay)",
        "no: refs.step_1.engagement_status is [], asked is contains \"$message.seen\"",
        "the run has come to its end",
        "step_0  no message: skipped: the recipient's preferences",
        "step_1  message: email to ann@x.test",
        "step_3  no message: skipped: its conditions",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }

    // What is said inline counts over what is stored.
    let inline =
        r#"{"id": "ann", "plan": "free", "preferences": {"default": {"channel_types": {"in_app_feed": true}}}}"#;
    let told = explain(&server, &["asks", "--to", inline, "--data", "@data.json"]).await;
    assert!(told.contains("step_0  message: in_app_feed") && told.contains("step_1  no message: skipped"), "{told}");
    let new = r#"{"id": "new", "email": "new@x.test", "plan": "pro"}"#;
    let told = explain(&server, &["asks", "--to", new, "--to", "ann", "--data", "@data.json", "--json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["runs"].as_array().unwrap().len(), 2);
    assert_eq!(told["runs"][0]["messages"][1]["content"]["subject_line"], "First 7");
    assert_eq!(told["runs"][0]["id"], Value::Null);

    server.settle().await;
    assert_eq!(server.mailbox().await, [] as [Value; 0]);
    server.get("/v1/users/new").await.assert_error(404, "resource_missing");
    assert_eq!(server.get("/v1/users/ann").await.json()["plan"], "pro");
    let preferences = server.get("/v1/users/ann/preferences/default").await.json();
    assert_eq!(preferences["channel_types"]["in_app_feed"], false);
    assert_eq!(server.get("/v1/workflow_recipient_runs").await.json()["items"], json!([]));
    assert_eq!(server.feed("new").await["entries"], json!([]));
}

#[tokio::test]
async fn a_message_to_a_listed_address_is_told_as_undelivered_as_it_would_end() {
    let asks = asking(email("Sorry"), "refs.step_0.delivery_status", "equal_to", "$message.undelivered");
    let server = Setup::new().workflow("told", &[email("Hello"), delay("days", 1), asks]).start().await;
    server.post("/admin/suppressions", json!({"address": "ann@x.test", "note": "by phone"})).await;
    let to = r#"{"id": "ann", "email": "Ann@x.test"}"#;
    let told = explain(&server, &["told", "--to", to]).await;
    for expected in [
        "permanent: ann@x.test is on the suppression list since ",
        ": by phone\n",
        "step_0  message: email to Ann@x.test, undelivered\n",
        "step_2  message: email to Ann@x.test, undelivered\n",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }

    // In the words of a run that there is.
    let body = json!({"recipients": [{"id": "ann", "email": "Ann@x.test"}]});
    let dry = server.post("/admin/workflows/told/explain", body.clone()).await.json()["runs"][0]["messages"][0].clone();
    server.trigger("told", body).await;
    server.settle().await;
    let runs = server.get("/v1/workflow_recipient_runs").await.json();
    let run = server.get(&format!("/v1/workflow_recipient_runs/{}", runs["items"][0]["id"].as_str().unwrap())).await;
    let real = run.json()["messages"][0].clone();
    assert_eq!(dry["status"], real["status"], "{dry}");
    for field in ["number", "result", "reply"] {
        assert_eq!(dry["attempts"][0][field], real["attempts"][0][field], "{dry}");
    }
}

#[tokio::test]
async fn throttles_batches_and_what_runs_once_are_told_as_they_stand() {
    let hour = json!({"unit": "hours", "value": 1});
    let throttle = json!({"type": "throttle", "settings": {"throttle_window": hour}});
    let batch = json!({"type": "batch", "settings": {"batch_window": hour}});
    let server = Setup::new()
        .workflow("rarely", &[throttle, email("Rare")])
        .workflow("together", &[batch, email("{{total_activities}} together")])
        .start()
        .await;
    let to = ["--to", r#"{"id": "ann", "email": "ann@x.test"}"#];
    for _ in 0..2 {
        let told = explain(&server, &[&["rarely"], &to[..]].concat()).await;
        assert!(told.contains("step_1  message: email to ann@x.test"), "asking takes no place: {told}");
        let told = explain(&server, &[&["together"], &to[..]].concat()).await;
        assert!(told.contains("subject: 1 together"), "{told}");
    }
    let body = json!({"recipients": [{"id": "ann", "email": "ann@x.test"}]});
    server.trigger("rarely", body.clone()).await;
    server.trigger("together", body).await;
    server.settle().await;
    let told = explain(&server, &[&["rarely"], &to[..]].concat()).await;
    assert!(told.contains("step_1  no message: not reached; the run ended at a throttle"), "{told}");
    let told = explain(&server, &[&["together"], &to[..]].concat()).await;
    assert!(told.contains("step_1  no message: not reached") && !told.contains("subject"), "{told}");
}

#[tokio::test]
async fn fetches_updates_and_nested_triggers_are_decided_and_none_of_them_is_made() {
    let step = |kind: &str, settings: Value| json!({"type": kind, "settings": settings});
    let nested = |more: Value| {
        let mut settings = json!({"workflow_key": "typed"});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        step("trigger_workflow", settings)
    };
    let typed = json!({
        "name": "Typed", "steps": [{"ref": "d", "type": "delay", "settings": {"delay_for": {"unit": "days", "value": 1}}}],
        "trigger_data_json_schema": {"type": "object", "required": ["n"]},
    });
    let steps = [
        step("update_data", json!({"data": {"plan": "pro"}})),
        step("update_user", json!({"recipient_mode": "current", "update_properties": {"plan": "{{plan}}"}})),
        // Nobody answers there, and nobody is asked.
        step("http_fetch", json!({"method": "get", "url": "http://127.0.0.1:1/{{plan}}?key=secret"})),
        nested(json!({"data": {"n": 1}, "recipients": {"id": "bob", "name": "Bob"}})),
        step("trigger_workflow", json!({"workflow_key": "none"})),
        email("{{recipient.plan}} {{plan}}"),
        nested(json!({"data": {}})),
        email("Never"),
    ];
    let server = Setup::new().workflow("all", &steps).workflow_text("typed", &typed.to_string()).start().await;
    server.put("/v1/users/ann", json!({"email": "ann@x.test", "plan": "free"})).await;
    let told = explain(&server, &["all", "--to", "ann"]).await;
    for expected in [
        "GET http://127.0.0.1:1/pro",
        "a dry run makes no request; the answer counts as empty",
        "subject: pro pro",
        "no workflow has the key `none`",
        "trigger_data_json_schema",
        "step_7  no message: not reached",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
    assert!(!told.contains("secret"), "{told}");
    server.settle().await;
    assert_eq!(server.get("/v1/users/ann").await.json()["plan"], "free");
    server.get("/v1/users/bob").await.assert_error(404, "resource_missing");
    assert_eq!(server.get("/v1/workflow_recipient_runs").await.json()["items"], json!([]));
}

#[tokio::test]
async fn what_a_trigger_refuses_is_refused_and_the_key_is_a_secret_one() {
    let server = Setup::new().start().await;
    let post = async |path: &str, key: &str, body: Value| {
        server.send(reqwest::Method::POST, path, key, &[], Some(body.to_string())).await.unwrap()
    };
    let body = json!({"recipients": ["ann"]});
    post("/admin/workflows/note/explain", PUBLIC, body.clone()).await.assert_error(403, "incorrect_token_type");
    post("/admin/workflows/nothing/explain", SECRET, body).await.assert_error(404, "workflow_missing");
    post("/admin/workflows/note/explain", SECRET, json!({"recipients": []})).await.assert_error(422, "invalid_params");
    let nobody = json!({"recipients": ["ann"], "actor": "nobody"});
    post("/admin/workflows/note/explain", SECRET, nobody).await.assert_error(422, "actor_missing");
}
