//! One tenant's load, or one workflow's, is not the wait of the others.

use std::time::Duration;

use serde_json::json;

use crate::server::{Setup, email};
use crate::smtp::{Answer, SmtpServer, Step};

#[tokio::test]
async fn who_sends_one_message_does_not_wait_for_the_hundred_of_another() {
    let smtp = SmtpServer::scripted(|_| Answer::AcceptAfter(Duration::from_millis(5)));
    let server = Setup::new().smtp(&smtp).set("delivery.concurrency", 1).set("engine.max_active_runs", 2).start().await;
    let everyone: Vec<String> = (0..100).map(|n| format!("u{n}@x.test")).collect();
    server.trigger("note", json!({"recipients": everyone, "tenant": "loud"})).await;
    server.trigger("note", json!({"recipients": ["tenant@x.test"], "tenant": "quiet"})).await;
    server.trigger("both", json!({"recipients": ["workflow@x.test"]})).await;
    for quiet in ["tenant@x.test", "workflow@x.test"] {
        let mails = smtp.wait_for(|mails| mails.iter().any(|mail| mail.to == quiet)).await;
        let place = mails.iter().position(|mail| mail.to == quiet);
        assert!(place < Some(50), "{quiet} was number {place:?}");
    }
    smtp.wait_for(|mails| mails.len() == 102).await;
}

#[tokio::test]
async fn a_provider_that_hangs_has_as_many_as_its_channel_may_and_no_other_channel_waits() {
    let stuck = SmtpServer::scripted(|step| match step {
        Step::Message(_) => Answer::Silence,
        _ => Answer::Accept,
    });
    let well = SmtpServer::start();
    let mut step = email("Stuck");
    step["channel_key"] = json!("stuck");
    let setup = Setup::new().smtp(&well).email_channel("stuck", &stuck).workflow("stuck", &[step]);
    let server = setup.set("delivery.concurrency", 3).set("engine.max_active_runs", 2).start().await;
    let everyone: Vec<String> = (0..40).map(|n| format!("u{n}@x.test")).collect();
    server.trigger("stuck", json!({"recipients": everyone})).await;
    stuck.wait_for_offers(3).await;
    server.trigger("note", json!({"recipients": everyone})).await;
    well.wait_for(|mails| mails.len() == 40).await;
    assert_eq!(stuck.offered().len(), 3, "as many as a channel may have on the wire");
}
