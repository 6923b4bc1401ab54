//! Steps that wait for an event, over the real binary: what is answered has met whoever waited for it.

use serde_json::{Value, json};

use crate::server::{SECRET, Setup, TestServer, belfry, email, in_app, run};
use crate::smtp::SmtpServer;

/// A wait of a day for an event; its conditions compare what the event tells with texts or paths.
fn wait(event: Value, conditions: &[(&str, &str)]) -> Value {
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(variable, argument)| json!({"variable": variable, "operator": "equal_to", "argument": argument}))
        .collect();
    let groups =
        if conditions.is_empty() { json!(null) } else { json!([{"operator": "and", "conditions": conditions}]) };
    json!({"type": "wait_for_event", "settings": {
        "event": event, "match_conditions": groups, "expires_after": {"unit": "days", "value": 1},
    }})
}

/// For the first step's message of the workflow `key` to be seen.
fn until_seen(key: &str) -> Value {
    let event = json!({"event_type": "message", "event_key": "seen", "source_type": "workflow", "source_key": key});
    wait(event, &[("event.step_ref", "step_0")])
}

async fn items(server: &TestServer, user: &str) -> Vec<String> {
    let feed = server.feed(user).await;
    let entries = feed["entries"].as_array().unwrap();
    let text = |entry: &Value| entry["blocks"][0]["rendered"].as_str().unwrap().trim().to_owned();
    entries.iter().rev().map(text).map(|html| html.replace("<p>", "").replace("</p>", "")).collect()
}

/// Marks the newest item of `user`.
async fn see(server: &TestServer, user: &str) {
    let id = server.feed(user).await["entries"][0]["id"].as_str().unwrap().to_owned();
    let reply = server.put(&format!("/v1/messages/{id}/seen"), json!({})).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// The only run of `workflow`, with its events.
async fn run_of(server: &TestServer, workflow: &str) -> Value {
    let runs = server.get(&format!("/v1/workflow_recipient_runs?workflow={workflow}")).await.json();
    let id = runs["items"][0]["id"].as_str().unwrap();
    server.get(&format!("/v1/workflow_recipient_runs/{id}")).await.json()
}

fn event<'a>(run: &'a Value, name: &str) -> &'a Value {
    run["events"].as_array().unwrap().iter().find(|event| event["event"] == name).unwrap_or(&Value::Null)
}

/// Runs `belfry` against the server.
async fn command(server: &TestServer, arguments: &[&str]) -> (i32, String, String) {
    let mut command = belfry(&server.setup.path(""), arguments);
    command.env("BELFRY_URL", &server.url).env("BELFRY_API_KEY", SECRET);
    run(command).await
}

#[tokio::test]
async fn a_message_that_is_seen_lets_its_run_go_on_and_one_that_is_not_ends_it() {
    let server = Setup::new().workflow("ask", &[in_app("Asked"), until_seen("ask"), in_app("Thanks")]).start().await;
    server.trigger("ask", json!({"recipients": ["ann", "bob"]})).await;
    server.settle().await;
    let pending = server.get("/admin/runs").await.json();
    let waiting = &pending["entries"][0];
    assert_eq!((&waiting["waits_at"], &waiting["waits_for"]), (&json!("step_1"), &json!("message.seen of ask")));
    let (_, listed, _) = command(&server, &["runs", "list", "--pending"]).await;
    assert!(listed.contains("step_1: message.seen of ask"), "{listed}");

    see(&server, "ann").await;
    server.settle().await;
    assert_eq!(
        (items(&server, "ann").await, items(&server, "bob").await),
        (vec!["Asked".into(), "Thanks".into()], vec!["Asked".to_owned()])
    );
    let ann = run_of(&server, "ask&recipient=ann").await;
    assert_eq!((&ann["status"], &ann["outcome"]), (&json!("completed"), &json!("finished")));
    assert_eq!(event(&ann, "wait_registered")["data"]["waits_for"], "message.seen of ask");
    let told = &event(&ann, "wait_matched")["data"]["event"];
    assert_eq!((&told["event_type"], &told["step_ref"]), (&json!("message.seen"), &json!("step_0")));

    let bob = run_of(&server, "ask&recipient=bob").await;
    assert_eq!((&bob["status"], &bob["waits_for"]), (&json!("paused"), &json!("message.seen of ask")));
    server.advance("1d1m").await;
    let bob = run_of(&server, "ask&recipient=bob").await;
    assert_eq!((&bob["status"], &bob["outcome"]), (&json!("cancelled"), &json!("halted_by_timeout")));
    assert_eq!(event(&bob, "wait_expired")["step_ref"], "step_1");
    let id = bob["id"].as_str().unwrap();
    let (code, shown, stderr) = command(&server, &["runs", "show", id]).await;
    assert_eq!(code, 0, "{stderr}");
    for expected in [
        "waits for message.seen of ask, until ",
        "message.seen of ask has not come in time",
        "step_2  no message: not reached; the run ended, since the event for which it waited has not come in time",
    ] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
    // It is too late, and nobody waits any more.
    see(&server, "bob").await;
    server.settle().await;
    assert_eq!(items(&server, "bob").await, ["Asked"]);
}

#[tokio::test]
async fn an_event_that_was_answered_before_a_kill_has_met_its_run_once() {
    let steps = [in_app("Asked"), until_seen("ask"), email("Thanks {{n}}")];
    let smtp = SmtpServer::start();
    let mut server = Setup::new().smtp(&smtp).workflow("ask", &steps).start().await;
    for n in 0..4 {
        let recipients = json!([{"id": format!("u{n}"), "email": format!("u{n}@x.test")}]);
        server.trigger("ask", json!({"recipients": recipients, "data": {"n": n}})).await;
    }
    server.settle().await;
    server.kill_9().await;
    server.restart().await;
    // Half of them before another kill, which their answers precede by nothing.
    for n in 0..2 {
        see(&server, &format!("u{n}")).await;
    }
    server.kill_9().await;
    server.restart().await;
    for n in [0, 1, 2] {
        see(&server, &format!("u{n}")).await;
    }
    server.settle().await;
    server.kill_9().await;
    server.restart().await;
    server.advance("1d1m").await;
    let mut subjects: Vec<String> = smtp.mails().iter().map(|mail| mail.subject().to_owned()).collect();
    subjects.sort();
    // A kill may repeat an email that was on the wire; what it cannot do is to lose one, or to meet nobody's event.
    subjects.dedup();
    assert_eq!(subjects, ["Thanks 0", "Thanks 1", "Thanks 2"]);
    let runs = server.get("/v1/workflow_recipient_runs?workflow=ask").await.json();
    let mut outcomes: Vec<&str> =
        runs["items"].as_array().unwrap().iter().map(|run| run["outcome"].as_str().unwrap()).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["finished", "finished", "finished", "halted_by_timeout"]);
}

#[tokio::test]
async fn a_cancel_ends_a_wait_and_no_event_brings_it_back() {
    let steps = [in_app("Asked"), until_seen("ask"), in_app("Thanks")];
    let mut server = Setup::new().workflow("ask", &steps).start().await;
    server.trigger("ask", json!({"recipients": ["ann"], "cancellation_key": "k"})).await;
    server.settle().await;
    assert_eq!(server.cancel("ask", json!({"cancellation_key": "k"})).await, "cancelled=1, in_flight=0");
    see(&server, "ann").await;
    server.kill_9().await;
    server.restart().await;
    see(&server, "ann").await;
    server.advance("2d").await;
    assert_eq!(items(&server, "ann").await, ["Asked"]);
}

#[tokio::test]
async fn a_run_waits_for_another_workflow_a_changed_recipient_and_an_audience() {
    let of = |event: Value, conditions: &[(&str, &str)], text: &str| [wait(event, conditions), in_app(text)];
    let order = json!({"event_type": "workflow", "event_key": "completed", "source_key": "order"});
    let updated = json!({"event_type": "recipient", "event_key": "updated"});
    let audience = |key: &str| json!({"event_type": "audience", "event_key": key, "audience_key": "vips"});
    let server = Setup::new()
        .workflow("order", &[in_app("Order {{n}}")])
        .workflow("after-order", &of(order, &[("event.notify_data.n", "data.n")], "Ordered {{n}}"))
        .workflow("upgraded", &of(updated, &[("event.properties.plan", "\"pro\"")], "Pro"))
        .workflow("welcome", &of(audience("enter"), &[], "In"))
        .workflow("goodbye", &of(audience("exit"), &[], "Out"))
        .start()
        .await;
    for workflow in ["after-order", "upgraded", "welcome", "goodbye"] {
        server.trigger(workflow, json!({"recipients": ["ann"], "data": {"n": 2}})).await;
    }
    server.settle().await;
    let mut told = Vec::new();
    server.trigger("order", json!({"recipients": ["ann", "bob"], "data": {"n": 1}})).await;
    server.put("/v1/users/ann", json!({"plan": "free"})).await;
    server.put("/v1/users/bob", json!({"plan": "pro"})).await;
    server.settle().await;
    told.push("Order 1".to_owned());
    assert_eq!(items(&server, "ann").await, told);
    server.trigger("order", json!({"recipients": ["ann"], "data": {"n": 2}})).await;
    server.settle().await;
    told.extend(["Order 2", "Ordered 2"].map(str::to_owned));
    assert_eq!(items(&server, "ann").await, told);
    server.put("/v1/users/ann", json!({"plan": "pro"})).await;
    server.settle().await;
    told.push("Pro".to_owned());
    let members = json!({"members": [{"user": {"id": "ann"}}]});
    assert_eq!(server.post("/v1/audiences/vips/members?create_audience=true", members.clone()).await.status, 204);
    server.settle().await;
    told.push("In".to_owned());
    assert_eq!(items(&server, "ann").await, told);
    let (delete, path) = (reqwest::Method::DELETE, "/v1/audiences/vips/members");
    let gone = server.send(delete, path, SECRET, &[], Some(members.to_string())).await.unwrap();
    assert_eq!(gone.status, 204, "{gone:?}");
    server.settle().await;
    told.push("Out".to_owned());
    assert_eq!(items(&server, "ann").await, told);
}

#[tokio::test]
async fn a_later_step_asks_whether_the_event_came_and_what_it_told() {
    let mut until = until_seen("ask");
    until["settings"]["on_timeout"] = json!("continue");
    let mut reminder = email("Reminder");
    reminder["conditions"] = json!([{"variable": "refs.step_1.matched", "operator": "equal_to", "argument": "false"}]);
    let mut thanks = email("Thanks");
    thanks["conditions"] = json!([
        {"variable": "refs.step_1.signal_variables.event_type", "operator": "equal_to", "argument": "message.seen"},
    ]);
    let server = Setup::new().workflow("ask", &[in_app("Asked"), until, reminder, thanks]).start().await;
    let person = |name: &str| json!({"id": name, "email": format!("{name}@x.test")});
    server.trigger("ask", json!({"recipients": [person("ann"), person("bob")]})).await;
    server.settle().await;
    see(&server, "ann").await;
    server.advance("1d1m").await;
    let mails = server.mailbox().await;
    let mut sent: Vec<(&str, &str)> =
        mails.iter().map(|mail| (mail["to"].as_str().unwrap(), mail["subject"].as_str().unwrap())).collect();
    sent.sort_unstable();
    assert_eq!(sent, [("ann@x.test", "Thanks"), ("bob@x.test", "Reminder")]);

    let (code, told, stderr) = command(&server, &["explain", "ask", "--to", &person("cat").to_string()]).await;
    assert_eq!(code, 0, "{stderr}");
    for expected in
        ["waits for message.seen of ask, until ", "has not come in time", "step_2  message: email to cat@x.test"]
    {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
}

#[tokio::test]
async fn a_wait_that_can_never_be_met_is_found_when_the_workflow_is_validated() {
    let mut early = until_seen("ask");
    early["settings"]["match_conditions"][0]["conditions"][0]["argument"] = json!("step_2");
    let setup = Setup::new().workflow("ask", &[in_app("Asked"), early, in_app("Thanks")]);
    setup.command();
    let (code, stdout, stderr) = run(belfry(&setup.path(""), &["workflow", "validate"])).await;
    assert_eq!(code, 1, "{stderr}");
    let expected = "ask/workflow.json steps[1].settings.match_conditions[0].conditions: \"step_2\" waits for a step that comes later";
    assert!(stdout.contains(expected), "{stdout}");
}

#[tokio::test]
async fn a_wait_is_imported_as_knock_writes_it() {
    let setup = Setup::new().workflow("ask", &[in_app("Asked"), until_seen("ask"), in_app("Thanks")]);
    let from = setup.path("pulled");
    std::fs::create_dir(&from).unwrap();
    std::fs::rename(setup.path("workflows").join("ask"), from.join("ask")).unwrap();
    setup.command();
    let arguments = ["import", "knock", from.to_str().unwrap(), "--check"];
    let (code, said, stderr) = run(belfry(&setup.path(""), &arguments)).await;
    assert_eq!(code, 0, "{said}{stderr}");
    assert!(said.contains("taken        workflows/ask: 3 steps") && !said.contains("unsupported"), "{said}");
}
