//! What steps do, and what holds them back.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::server::{Setup, belfry, delay, email, in_app, run};

fn conditional(mut step: Value, variable: &str, operator: &str, argument: &str) -> Value {
    step["conditions"] = json!({"all": [{"variable": variable, "operator": operator, "argument": argument}]});
    step
}

fn subjects(mails: &[Value]) -> Vec<String> {
    let of = |mail: &Value| format!("{} {}", mail["to"].as_str().unwrap(), mail["subject"].as_str().unwrap());
    let mut subjects: Vec<String> = mails.iter().map(of).collect();
    subjects.sort();
    subjects
}

#[tokio::test]
async fn an_email_follows_an_item_that_its_reader_has_not_seen() {
    let late = conditional(email("Missed"), "refs.step_0.engagement_status", "not_contains", "$message.seen");
    let mut server = Setup::new().workflow("escalate", &[in_app("Look"), delay("hours", 1), late]).start().await;
    server.trigger("escalate", json!({"recipients": ["eager@x.test", "idle@x.test"]})).await;
    server.settle().await;
    let item = server.feed("eager@x.test").await["entries"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(server.put(&format!("/v1/messages/{item}/seen"), json!({})).await.status, 200);
    server.kill_9().await;
    server.restart().await;
    server.advance("2h").await;
    assert_eq!(subjects(&server.mailbox().await), ["idle@x.test Missed"]);
}

#[tokio::test]
async fn a_step_is_left_out_and_a_run_does_not_begin_when_conditions_do_not_hold() {
    let steps = [
        conditional(email("Pro"), "recipient.plan", "equal_to", "pro"),
        conditional(delay("days", 1), "data.slow", "equal_to", "true"),
        email("All"),
    ];
    let named = steps.iter().enumerate().map(|(number, step)| {
        let mut step = step.clone();
        step["ref"] = json!(format!("step_{number}"));
        step
    });
    let document = json!({
        "name": "Plans", "steps": named.collect::<Vec<_>>(),
        "conditions": {"any": [{"variable": "recipient.id", "operator": "not_equal_to", "argument": "actor.id"}]},
    });
    let server = Setup::new().workflow_text("plans", &document.to_string()).start().await;
    let pro = json!({"id": "pro@x.test", "plan": "pro"});
    let body = |slow: bool| json!({"recipients": [pro, "me@x.test", "you@x.test"], "actor": {"id": "me@x.test"}, "data": {"slow": slow}});
    server.trigger("plans", body(false)).await;
    server.settle().await;
    assert_eq!(subjects(&server.mailbox().await), ["pro@x.test All", "pro@x.test Pro", "you@x.test All"]);
    server.trigger("plans", body(true)).await;
    server.settle().await;
    assert_eq!(server.mailbox().await.len(), 4, "the slow ones wait");
    server.advance("1d").await;
    assert_eq!(server.mailbox().await.len(), 6);
}

#[tokio::test]
async fn conditions_that_can_never_be_judged_are_found_before_they_run() {
    let steps = [conditional(email("Hi"), "refs.step_7.status", "less_than", "$message.seen")];
    let setup = Setup::new().workflow("wrong", &steps);
    let (code, said, _) = run(belfry(&setup.path("."), &["workflow", "validate", "workflows"])).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("steps[0].conditions: `refs.step_7.status` asks a step that there is not"), "{said}");
}

#[tokio::test]
async fn a_run_takes_one_branch_and_goes_on_behind_it_also_after_a_crash() {
    let step = |reference: &str, mut step: Value| {
        step["ref"] = json!(reference);
        step
    };
    let condition = json!({"all": [{"variable": "recipient.plan", "operator": "equal_to", "argument": "pro"}]});
    let document = json!({"name": "Ways", "steps": [
        {"ref": "branch_1", "type": "branch", "branches": [
            {"name": "Pro", "conditions": condition, "steps": [step("delay_1", delay("hours", 1)), step("email_1", email("Pro"))]},
            {"name": "Gone", "conditions": {"all": [{"variable": "recipient.gone", "operator": "exists"}]}, "terminates": true},
            {"name": "Default", "steps": [step("email_2", email("Plain"))]},
        ]},
        step("email_3", email("All")),
    ]});
    let mut server = Setup::new().workflow_text("ways", &document.to_string()).start().await;
    let people = json!([{"id": "pro@x.test", "plan": "pro"}, {"id": "gone@x.test", "gone": true}, "me@x.test"]);
    server.trigger("ways", json!({"recipients": people})).await;
    server.settle().await;
    assert_eq!(subjects(&server.mailbox().await), ["me@x.test All", "me@x.test Plain"]);
    let pending = server.get("/admin/runs").await.json();
    assert_eq!(
        (&pending["entries"][0]["waits_at"], &pending["entries"][0]["next_step"]),
        (&json!("delay_1"), &json!("email_1"))
    );
    server.kill_9().await;
    server.restart().await;
    server.advance("2h").await;
    assert_eq!(
        subjects(&server.mailbox().await),
        ["me@x.test All", "me@x.test Plain", "pro@x.test All", "pro@x.test Pro"]
    );
}

#[tokio::test]
async fn a_delay_waits_until_the_time_that_the_data_names() {
    let until = |offset: Value| json!({"type": "delay", "settings": {"delay_until_field_path": "meeting.at", "delay_for": offset}});
    let an_hour_before = until(json!({"unit": "hours", "value": -1}));
    let server = Setup::new().workflow("meeting", &[an_hour_before, email("Soon {{n}}")]).start().await;
    let now: Value = server.get("/dev/clock").await.json();
    let at = |hours: i64| {
        let now: jiff::Timestamp = now["now"].as_str().unwrap().parse().unwrap();
        (now + jiff::SignedDuration::from_hours(hours)).to_string()
    };
    for (n, value) in
        [json!(at(24)), json!({"unit": "days", "value": 2}), json!(at(-3)), json!("soon")].iter().enumerate()
    {
        server
            .trigger("meeting", json!({"recipients": ["a@x.test"], "data": {"n": n, "meeting": {"at": value}}}))
            .await;
    }
    server.settle().await;
    assert_eq!(subjects(&server.mailbox().await), ["a@x.test Soon 2", "a@x.test Soon 3"], "what is past is left out");
    server.advance("22h50m").await;
    assert_eq!(server.mailbox().await.len(), 2);
    server.advance("20m").await;
    assert_eq!(server.mailbox().await.len(), 3);
    server.advance("1d").await;
    assert_eq!(server.mailbox().await.len(), 4);
}

#[tokio::test]
async fn a_throttle_lets_as_many_pass_as_it_says_also_over_a_crash() {
    let throttle = json!({
        "type": "throttle",
        "settings": {"throttle_window": {"unit": "hours", "value": 1}, "throttle_limit": 2, "throttle_key": "page"},
    });
    let mut server = Setup::new().workflow("comment", &[throttle, email("On {{page}}")]).start().await;
    let on = |page: u8| json!({"recipients": ["a@x.test", "b@x.test"], "data": {"page": page}});
    for page in [1, 1, 1, 2] {
        server.trigger("comment", on(page)).await;
    }
    server.settle().await;
    assert_eq!(server.mailbox().await.len(), 6);
    server.kill_9().await;
    server.restart().await;
    server.trigger("comment", on(1)).await;
    server.settle().await;
    assert_eq!(server.mailbox().await.len(), 6);
    server.advance("61m").await;
    server.trigger("comment", on(1)).await;
    server.settle().await;
    assert_eq!(server.mailbox().await.len(), 8);
}

#[tokio::test]
async fn a_workflow_that_runs_once_runs_once_for_each_recipient_also_when_triggers_come_at_once() {
    let mut step = email("Welcome");
    step["ref"] = json!("email_1");
    let document = |frequency: &str| json!({"name": "w", "trigger_frequency": frequency, "steps": [step]}).to_string();
    let setup = Setup::new().workflow_text("once", &document("once_per_recipient"));
    let server = setup.workflow_text("tenant", &document("once_per_recipient_per_tenant")).start().await;
    let body = json!({"recipients": ["a@x.test", "b@x.test"]});
    join_all((0..5).map(|_| server.trigger("once", body.clone()))).await;
    server.settle().await;
    assert_eq!(subjects(&server.mailbox().await), ["a@x.test Welcome", "b@x.test Welcome"]);
    for tenant in [json!("red"), json!("blue"), json!(null), json!("red"), json!(null)] {
        server.trigger("tenant", json!({"recipients": ["a@x.test"], "tenant": tenant})).await;
    }
    server.settle().await;
    assert_eq!(server.mailbox().await.len(), 5);
}
