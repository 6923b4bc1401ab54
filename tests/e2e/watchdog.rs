//! What is late is named in the log and counted in the metrics.

use std::time::Duration;

use belfry::base::clock::sleep;
use serde_json::json;

use crate::server::{DEADLINE, Setup, TestServer, delay, email};
use crate::smtp::{Answer, SmtpServer, Step};

/// Waits until the sample `name`, with its labels, is as `wanted` says; answers it.
async fn wait_for(server: &TestServer, name: &str, wanted: impl Fn(f64) -> bool) -> f64 {
    let look = async {
        loop {
            let metrics = server.get("/metrics").await.text;
            let sample = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            if let Some(found) = sample.map(|sample| sample.parse().unwrap()).filter(|found| wanted(*found)) {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, look).await.unwrap_or_else(|_| panic!("{name} never got there"))
}

/// The log's lines that say `text`.
fn said(server: &TestServer, text: &str) -> Vec<String> {
    server.process.stderr().lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_message_behind_a_provider_that_hangs_is_named_once_and_counted_until_it_goes() {
    let smtp = SmtpServer::scripted(|step| match step {
        Step::Message(_) => Answer::Silence,
        _ => Answer::Accept,
    });
    let setup = Setup::new().smtp(&smtp).set("delivery.concurrency", 1).set("delivery.timeout", "6s");
    let server = setup.set("engine.overdue_warning", "300ms").start().await;
    server.trigger("note", json!({"recipients": ["first@x.test"]})).await;
    smtp.wait_for_offers(1).await;
    server.trigger("note", json!({"recipients": ["second@x.test"]})).await;
    wait_for(&server, "belfry_mail_overdue{channel=\"email\"}", |count| count == 1.0).await;
    assert_eq!(server.metric("belfry_mail_queued", "email").await, 1);
    assert_eq!(server.metric("belfry_mail_in_flight", "email").await, 1);
    assert_eq!(server.metric("belfry_outbox_messages", "").await, 2);
    // The attempt times out; meanwhile there were more looks.
    smtp.script(|_| Answer::Accept);
    wait_for(&server, "belfry_mail_overdue{channel=\"email\"}", |count| count == 0.0).await;
    let lines = said(&server, "a message is overdue");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("workflow=\"note\"") && lines[0].contains("step=\"step_0\""), "{lines:#?}");
    assert!(lines[0].contains("run=") && lines[0].contains("since="), "{lines:#?}");
    assert!(said(&server, "a run is overdue").is_empty());
    smtp.wait_for(|mails| mails.iter().any(|mail| mail.to == "second@x.test")).await;
}

#[tokio::test]
async fn runs_that_wait_for_their_turn_are_named_and_counted_until_they_have_it() {
    let setup = Setup::new().workflow("soon", &[delay("seconds", 1), email("Soon")]);
    let server = setup.set("engine.max_active_runs", 1).set("engine.overdue_warning", "300ms").start().await;
    let everyone: Vec<String> = (0..600).map(|n| format!("u{n}@x.test")).collect();
    server.trigger("soon", json!({"recipients": everyone})).await;
    let overdue = wait_for(&server, "belfry_runs_overdue", |count| count > 20.0).await;
    let lines = said(&server, "a run is overdue");
    assert!(!lines.is_empty() && lines.len() < 600, "{overdue} are overdue, and {} are named", lines.len());
    assert!(lines[0].contains("workflow=\"soon\"") && lines[0].contains("step=\"step_1\""), "{}", lines[0]);
    assert!(lines[0].contains("since=") && lines[0].contains("engine.max_active_runs"), "{}", lines[0]);
    let mut named: Vec<&str> = lines.iter().map(|line| line.split("run=").nth(1).unwrap()).collect();
    named.sort();
    named.dedup();
    assert_eq!(named.len(), lines.len(), "each is named once");
    wait_for(&server, "belfry_runs_overdue", |count| count == 0.0).await;
    server.settle().await;
    assert_eq!(server.mailbox().await.len(), 600);
}

#[tokio::test]
async fn what_is_on_time_is_not_named_and_the_age_of_what_waits_is_known() {
    let server = Setup::new().set("engine.overdue_warning", "500ms").start().await;
    server.trigger("reminder", json!({"recipients": ["a@x.test"]})).await;
    server.advance("2d").await;
    let age = wait_for(&server, "belfry_runs_oldest_pending_seconds", |age| age > 86_400.0).await;
    assert!((172_800.0..172_900.0).contains(&age), "{age}");
    server.advance("2d").await;
    assert_eq!(server.mailbox().await.len(), 2);
    let metrics = server.get("/metrics").await.text;
    for name in ["belfry_commit_seconds{quantile=\"0.5\"}", "belfry_commit_seconds{quantile=\"0.99\"}"] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
    assert_eq!(said(&server, "is overdue"), [] as [String; 0]);
}

#[tokio::test]
async fn runs_that_wait_are_counted_after_a_restart_before_anything_else_happens() {
    let mut server = Setup::new().start().await;
    server.trigger("later", json!({"recipients": ["a@x.test"]})).await;
    // The count comes from an actor that starts beside what listens: it used to lose that race now and then.
    for _ in 0..5 {
        server.kill_9().await;
        server.restart().await;
        wait_for(&server, "belfry_runs_parked", |count| count == 1.0).await;
    }
}
