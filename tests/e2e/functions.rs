//! What function steps do, beyond waiting and choosing by conditions.

use std::collections::{BTreeSet, VecDeque};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{Setup, delay, email, in_app};

/// A step of a workflow file with a `ref`.
fn named(reference: &str, mut step: Value) -> Value {
    step["ref"] = json!(reference);
    step
}

/// Whom the mails with this subject went to.
fn readers(mails: &[Value], subject: &str) -> BTreeSet<String> {
    let of = mails.iter().filter(|mail| mail["subject"] == subject);
    of.map(|mail| mail["to"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_experiment_draws_each_recipient_alike_in_every_run_and_goes_on_also_after_a_crash() {
    let document = json!({"name": "Experiment", "steps": [
        {"ref": "experiment_1", "type": "random_cohort", "cohort_branches": [
            {"name": "Long", "percentage": 50, "steps": [named("delay_1", delay("hours", 1)), named("email_1", email("Long {{n}}"))]},
            {"name": "Gone", "percentage": "10", "steps": [], "terminates": true},
            {"name": "Short", "percentage": 40, "steps": [named("email_2", email("Short {{n}}"))]},
        ]},
        named("email_3", email("All {{n}}")),
    ]});
    let mut server = Setup::new().workflow_text("split", &document.to_string()).start().await;
    let people: Vec<String> = (0..60).map(|n| format!("user-{n}@x.test")).collect();
    server.trigger("split", json!({"recipients": people, "data": {"n": 1}})).await;
    server.settle().await;
    server.kill_9().await;
    server.restart().await;
    server.trigger("split", json!({"recipients": people, "data": {"n": 2}})).await;
    server.advance("2h").await;
    let mails = server.mailbox().await;
    let [long, short, all] = ["Long 1", "Short 1", "All 1"].map(|subject| readers(&mails, subject));
    assert!(long.len() > 15 && short.len() > 10 && all.len() < 60, "{} {} {}", long.len(), short.len(), all.len());
    assert!(long.is_disjoint(&short));
    assert_eq!(&long | &short, all, "who is drawn into the cohort that terminates gets nothing");
    assert_eq!([long, short, all], ["Long 2", "Short 2", "All 2"].map(|subject| readers(&mails, subject)));
}

#[tokio::test]
async fn an_experiment_can_draw_by_tenant() {
    let document = json!({"name": "By tenant", "steps": [
        {"ref": "experiment_1", "type": "random_cohort", "cohort_key": "tenant.id", "cohort_branches": [
            {"name": "A", "percentage": 50, "steps": [named("email_1", email("A"))]},
            {"name": "B", "percentage": 50, "steps": [named("email_2", email("B"))]},
        ]},
    ]});
    let server = Setup::new().workflow_text("split", &document.to_string()).start().await;
    for tenant in 0..12 {
        let people: Vec<String> = (0..4).map(|n| format!("{n}@t{tenant}.test")).collect();
        server.trigger("split", json!({"recipients": people, "tenant": format!("t{tenant}")})).await;
    }
    server.settle().await;
    let mails = server.mailbox().await;
    let (a, b) = (readers(&mails, "A"), readers(&mails, "B"));
    let tenants = |readers: &BTreeSet<String>| -> BTreeSet<String> {
        readers.iter().map(|reader| reader.split_once('@').unwrap().1.to_owned()).collect()
    };
    assert_eq!((a.len() + b.len(), tenants(&a).len() + tenants(&b).len()), (48, 12));
    assert!(!a.is_empty() && !b.is_empty());
}

#[tokio::test]
async fn what_a_step_updates_is_what_later_steps_and_later_runs_find() {
    let document = json!({"name": "Upgrade", "steps": [
        {"ref": "update_1", "type": "update_data", "settings": {"data": {"plan": {"name": "{{upcase wanted}}"}}}},
        {"ref": "update_2", "type": "update_user", "settings": {
            "recipient_mode": "current", "update_properties": "{\"plan\": {{{json data.plan}}}}",
        }},
        {"ref": "update_3", "type": "update_object", "settings": {
            "recipient_gid": "gid://Object/projects/{{project}}", "update_properties": {"last_plan": "{{plan.name}}"},
        }},
        named("delay_1", delay("hours", 1)),
        {"ref": "update_4", "type": "update_tenant", "settings": {
            "recipient_mode": "current", "update_properties": {"plans": {"{{x}}": "{{recipient.plan.name}}"}},
        }},
        named("email_1", email("{{plan.name}} {{recipient.plan.name}} {{recipient.plan.since}} {{tenant.plans.old}}")),
    ]});
    let mut server = Setup::new().workflow_text("upgrade", &document.to_string()).start().await;
    server.put("/v1/users/a@x.test", json!({"plan": {"name": "FREE", "since": 1990}})).await;
    server.put("/v1/tenants/acme", json!({"plans": {"old": "kept"}})).await;
    let data = json!({"wanted": "pro", "project": "p1"});
    server.trigger("upgrade", json!({"recipients": ["a@x.test"], "tenant": "acme", "data": data})).await;
    server.settle().await;
    server.kill_9().await;
    server.restart().await;
    server.advance("2h").await;
    let mails = server.mailbox().await;
    assert_eq!(mails[0]["subject"], "PRO PRO 1990 kept");
    let user = server.get("/v1/users/a@x.test").await.json();
    assert_eq!(user["plan"], json!({"name": "PRO", "since": 1990}));
    assert_eq!(server.get("/v1/objects/projects/p1").await.json()["properties"]["last_plan"], "PRO");
}

#[tokio::test]
async fn a_step_puts_its_recipient_into_an_audience_and_another_takes_it_out() {
    let audience = |action: &str| json!({"type": "update_audience", "settings": {"audience_key": "{{plan}}-users", "action": action}});
    let asking = |mut step: Value, operator: &str| {
        step["conditions"] = json!([{"variable": "recipient", "operator": operator, "argument": "pro-users"}]);
        step
    };
    let [within, without] = ["is_audience_member", "is_not_audience_member"];
    let server = Setup::new()
        .workflow("join", &[asking(email("Before"), without), audience("add"), asking(email("Within"), within)])
        .workflow("leave", &[audience("remove"), asking(email("Without"), without)])
        .start()
        .await;
    let body = json!({"recipients": ["a@x.test"], "data": {"plan": "pro"}});
    for workflow in ["join", "join", "leave"] {
        server.trigger(workflow, body.clone()).await;
        server.settle().await;
        let members = server.get("/v1/audiences/pro-users/members").await.json();
        let count = usize::from(workflow == "join");
        assert_eq!(members["entries"].as_array().unwrap().len(), count, "{members}");
    }
    let mails = server.mailbox().await;
    let subjects: Vec<&Value> = mails.iter().map(|mail| &mail["subject"]).collect();
    assert_eq!(subjects, ["Before", "Within", "Within", "Without"]);
}

#[tokio::test]
async fn a_step_triggers_another_workflow_which_its_parents_cancel_does_not_end() {
    let document = json!({"name": "Parent", "steps": [
        {"ref": "trigger_1", "type": "trigger_workflow", "settings": {
            "workflow_key": "{{child}}", "recipients": ["{{recipient.id}}", "boss@x.test"], "data": {"n": "{{upcase n}}"},
        }},
        {"ref": "trigger_2", "type": "trigger_workflow", "settings": {"workflow_key": "there-is-none"}},
        named("delay_1", delay("days", 1)),
        named("email_1", email("Parent {{n}}")),
    ]});
    let mut server = Setup::new().workflow_text("parent", &document.to_string()).start().await;
    let body = json!({"recipients": ["a@x.test"], "data": {"child": "later", "n": "x"}, "cancellation_key": "k"});
    server.trigger("parent", body.clone()).await;
    server.settle().await;
    assert_eq!(server.cancel("parent", json!({"cancellation_key": "k"})).await, "cancelled=1, in_flight=0");
    server.kill_9().await;
    server.restart().await;
    server.trigger("parent", body).await;
    server.advance("25h").await;
    let mut said: Vec<String> = server
        .mailbox()
        .await
        .iter()
        .map(|mail| format!("{} {}", mail["to"].as_str().unwrap(), mail["subject"].as_str().unwrap()))
        .collect();
    said.sort();
    assert_eq!(
        said,
        ["a@x.test Later X", "a@x.test Later X", "a@x.test Parent x", "boss@x.test Later X", "boss@x.test Later X"]
    );
}

#[tokio::test]
async fn a_workflow_that_triggers_itself_comes_to_an_end() {
    let trigger = json!({"type": "trigger_workflow", "settings": {"workflow_key": "loop"}});
    let server = Setup::new().workflow("loop", &[email("Again"), trigger]).start().await;
    server.trigger("loop", json!({"recipients": ["a@x.test"]})).await;
    server.settle().await;
    assert_eq!(server.mailbox().await.len(), 6, "the first, and five that steps triggered");
}

/// Answers each request to it with the next of `replies`, the last of them again and again; sends what it was asked.
async fn http_server(replies: Vec<String>) -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, requests) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut replies = VecDeque::from(replies);
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // A client may open a connection that it does not need.
            let Some(request) = read_request(&mut stream).await else { continue };
            let reply = if replies.len() > 1 { replies.pop_front().unwrap() } else { replies[0].clone() };
            let _ = asked.send(request);
            // A client that has read enough hangs up.
            let _ = stream.write_all(reply.as_bytes()).await;
        }
    });
    (port, requests)
}

/// A request with its whole body, which may come in a packet of its own; `None`: it broke off.
async fn read_request(stream: &mut tokio::net::TcpStream) -> Option<String> {
    let mut request = String::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.unwrap();
        if count == 0 {
            return None;
        }
        request.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
        if let Some((head, body)) = request.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(request);
            }
        }
    }
}

fn reply(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn fetch(port: u16, more: Value) -> Value {
    let mut settings = json!({"method": "get", "url": format!("http://127.0.0.1:{port}/{{{{path}}}}")});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"type": "http_fetch", "settings": settings})
}

#[tokio::test]
async fn a_fetch_is_tried_again_and_what_it_brings_is_what_later_steps_find() {
    let (port, mut requests) = http_server(vec![reply(503, "{}"), reply(200, r#"{"plan": "pro"}"#)]).await;
    let more = json!({
        "method": "post", "body": {"file": "{{attachments.content}}", "who": "{{recipient.id}}"}, "response_path": "found.it",
        "headers": [{"key": "x-key", "value": "{{vars.app_url}}"}], "query_params": {"q": "{{path}} &"},
    });
    let mut server = Setup::new()
        .set("fetch.allow_private_addresses", true)
        .workflow("ask", &[fetch(port, more), email("{{found.it.plan}}")])
        .start()
        .await;
    let file = json!({"name": "a.txt", "content_type": "text/plain", "content": "SGk="});
    let data = json!({"path": "p", "attachments": file});
    server.trigger("ask", json!({"recipients": ["a@x.test"], "data": data})).await;
    server.settle().await;
    let request = requests.recv().await.unwrap();
    assert!(request.starts_with("POST /p?q=p+%26 HTTP/1.1\r\n"), "{request}");
    assert!(
        request.contains("x-key: https://app.example") && request.ends_with(r#"{"file":"SGk=","who":"a@x.test"}"#),
        "{request}"
    );
    let pending = server.get("/admin/runs").await.json();
    assert_eq!(
        (&pending["entries"][0]["waits_at"], &pending["entries"][0]["next_step"]),
        (&json!("step_0"), &json!("step_1"))
    );
    server.kill_9().await;
    server.restart().await;
    assert!(requests.try_recv().is_err(), "it is not tried again before its time");
    server.advance("31s").await;
    assert_eq!(server.mailbox().await[0]["subject"], "pro");
}

#[tokio::test]
async fn a_fetch_that_fails_for_good_ends_its_run_or_is_left_out_as_its_step_says() {
    let long = format!("{{\"x\": \"{}\"}}", "y".repeat(2_000));
    let replies =
        vec![reply(200, "<!doctype html>"), reply(404, "{}"), reply(200, &long), reply(302, ""), reply(200, "[1]")];
    let (port, mut requests) = http_server([replies.clone(), replies].concat()).await;
    let server = Setup::new()
        .set("fetch.allow_private_addresses", true)
        .set("fetch.max_response_bytes", 1_000)
        .workflow("halts", &[fetch(port, json!({})), email("Halts")])
        .workflow("goes-on", &[fetch(port, json!({"on_error": "continue"})), email("Goes on")])
        .start()
        .await;
    for workflow in ["halts", "goes-on"] {
        for _ in 0..5 {
            server.trigger(workflow, json!({"recipients": ["a@x.test"]})).await;
            server.settle().await;
            requests.recv().await.unwrap();
        }
    }
    let subjects: Vec<Value> = server.mailbox().await.iter().map(|mail| mail["subject"].clone()).collect();
    assert_eq!(subjects, vec![json!("Goes on"); 5]);
    assert!(requests.try_recv().is_err(), "none of them is tried again");
}

#[tokio::test]
async fn a_fetch_does_not_reach_private_addresses_by_number_or_by_name() {
    let (port, mut requests) = http_server(vec![reply(200, "{}")]).await;
    let to = |host: &str| {
        let settings = json!({"method": "get", "url": format!("http://{host}:{port}/"), "on_error": "continue"});
        json!({"type": "http_fetch", "settings": settings})
    };
    let steps =
        [to("127.0.0.1"), to("localhost"), to("[::1]"), to("[::ffff:127.0.0.1]"), to("2130706433"), email("End")];
    let server = Setup::new().workflow("probe", &steps).start().await;
    server.trigger("probe", json!({"recipients": ["a@x.test"]})).await;
    server.settle().await;
    assert_eq!(server.mailbox().await.len(), 1);
    assert!(requests.try_recv().is_err(), "a request came to the loopback address");
}

#[tokio::test]
async fn a_message_waits_for_its_window_while_its_run_goes_on_also_over_a_crash() {
    let mut server = Setup::new();
    let days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let now = belfry::base::clock::Clock::system().now().to_jiff();
    let now = jiff::tz::TimeZone::UTC.to_datetime(now);
    let open = days[(now.weekday().to_monday_zero_offset() as usize + 2) % 7];
    let windows: Vec<Value> =
        days.iter().map(|day| json!({"day": day, "type": if *day == open { "send" } else { "do_not_send" }})).collect();
    let held = |mut step: Value| {
        step["send_windows"] = json!(windows);
        step
    };
    server = server.workflow("held", &[held(email("Held")), held(in_app("Held {{n}}")), email("At once")]);
    let mut server = server.start().await;
    server.trigger("held", json!({"recipients": ["a@x.test"], "data": {"n": 7}})).await;
    server.settle().await;
    let subjects = |mails: Vec<Value>| mails.iter().map(|mail| mail["subject"].clone()).collect::<Vec<_>>();
    assert_eq!(subjects(server.mailbox().await), ["At once"]);
    server.kill_9().await;
    server.restart().await;
    server.settle().await;
    assert_eq!(server.mailbox().await.len(), 1);
    assert_eq!(server.feed("a@x.test").await["meta"]["total_count"], 0);
    let messages = server.get("/v1/messages").await.json();
    let mut shown: Vec<_> = messages["items"].as_array().unwrap().iter().collect();
    shown.sort_by_key(|message| message["status"].as_str().unwrap().to_owned());
    for held in &shown[..2] {
        assert_eq!((&held["status"], held["scheduled_at"].is_string()), (&json!("queued"), true), "{messages}");
    }
    assert_eq!((&shown[2]["status"], &shown[2]["scheduled_at"]), (&json!("sent"), &Value::Null));
    server.advance("3d").await;
    assert_eq!(server.mailbox().await.len(), 2);
    let feed = server.feed("a@x.test").await;
    assert_eq!((&feed["meta"]["unseen_count"], &feed["entries"][0]["data"]["n"]), (&json!(1), &json!(7)), "{feed}");
    let opened = feed["entries"][0]["inserted_at"].as_str().unwrap();
    assert!(opened >= shown[0]["scheduled_at"].as_str().unwrap(), "it lies in the feed where it came: {opened}");
}
