//! Mail servers that refuse, fail, hang or are not there.

use serde_json::json;

use crate::server::{Setup, invite};
use crate::smtp::{Answer, Smtp};

#[tokio::test]
async fn a_trigger_is_taken_while_the_mail_server_is_down_and_the_mail_comes_when_it_is_up() {
    let (smtp, listener) = Smtp::down();
    let mut setup = Setup::new(smtp.port);
    setup.more = "[delivery]\nconnect_timeout = '200ms'\ntimeout = '400ms'".into();
    let server = setup.start();
    server.trigger("account-invite", invite(&["dr@grant.test"], "a")).await;
    server.advance("1s").await;
    smtp.serve(listener);
    server.advance("5m").await;
    assert_eq!(smtp.wait("dr@grant.test", 1).len(), 1);
}

#[tokio::test]
async fn a_4xx_is_tried_eight_times_within_half_an_hour_and_then_no_more() {
    let smtp = Smtp::start();
    smtp.script([Answer::Later; 20]);
    let server = Setup::new(smtp.port).start();
    server.trigger("welcome-to-knock", json!({"recipients": ["dr@grant.test"]})).await;
    smtp.wait_attempts(1);
    server.advance("10s").await;
    assert_eq!(smtp.attempts(), 1);
    server.advance("36m").await;
    assert_eq!(smtp.attempts(), 8);
    server.advance("7d").await;
    assert_eq!((smtp.attempts(), smtp.mails().len()), (8, 0));
}

#[tokio::test]
async fn a_mail_that_was_put_off_arrives_with_its_first_bytes() {
    let smtp = Smtp::start();
    smtp.script([Answer::Later, Answer::AcceptAndDrop]);
    let server = Setup::new(smtp.port).start();
    server.trigger("account-invite", invite(&["dr@grant.test"], "a")).await;
    smtp.wait_attempts(1);
    server.advance("10m").await;
    let mails = smtp.to("dr@grant.test");
    assert_eq!(mails.len(), 2, "the dropped one is in doubt, so it is sent again");
    assert_eq!(mails[0], mails[1]);
}

#[tokio::test]
async fn a_5xx_ends_that_message_and_no_other() {
    let smtp = Smtp::start();
    smtp.script([Answer::Never]);
    let server = Setup::new(smtp.port).start();
    server.trigger("welcome-to-knock", json!({"recipients": ["gone@x.test"]})).await;
    smtp.wait_attempts(1);
    server.trigger("welcome-to-knock", json!({"recipients": ["here@x.test"]})).await;
    smtp.wait("here@x.test", 1);
    server.advance("1d").await;
    assert_eq!((smtp.attempts(), smtp.to("gone@x.test").len()), (2, 0));
    assert_eq!(server.feed("gone@x.test").await["meta"]["total_count"], 1);
    assert!(server.process.log().contains("550"), "what the server said is kept");
}

#[tokio::test]
async fn a_cancel_also_stops_a_mail_that_waits_for_its_next_attempt() {
    let smtp = Smtp::start();
    smtp.script([Answer::Later]);
    let server = Setup::new(smtp.port).start();
    server.trigger("account-invite", invite(&["dr@grant.test"], "a")).await;
    smtp.wait_attempts(1);
    server.settle().await;
    server.cancel("account-invite", json!({"cancellation_key": "a"})).await;
    server.advance("7d").await;
    assert_eq!((smtp.attempts(), smtp.mails().len()), (1, 0));
}

#[tokio::test]
async fn a_server_that_never_answers_costs_one_timeout_and_nobody_else() {
    let smtp = Smtp::start();
    smtp.script([Answer::Hang]);
    let mut setup = Setup::new(smtp.port);
    setup.more = "[delivery]\ntimeout = '1s'".into();
    let server = setup.start();
    server.trigger("welcome-to-knock", json!({"recipients": ["slow@x.test"]})).await;
    smtp.wait("slow@x.test", 1);
    server.trigger("welcome-to-knock", json!({"recipients": ["quick@x.test"]})).await;
    smtp.wait("quick@x.test", 1);
    server.advance("10m").await;
    let mails = smtp.wait("slow@x.test", 2);
    assert_eq!(mails[0].message_id(), mails[1].message_id());
}

#[tokio::test]
async fn names_and_data_with_line_ends_add_no_header() {
    let smtp = Smtp::start();
    let server = Setup::new(smtp.port).start();
    let body = json!({
        "actor": {"id": "x", "name": "Mallory\r\nBcc: all@x.test\r\n\r\nbody"},
        "recipients": [{"id": "u", "email": "dr@grant.test", "name": "A\nB"}],
        "data": {"inviteToken": "a\r\n.\r\nMAIL FROM:<evil@x.test>"},
    });
    server.trigger("account-invite", body).await;
    let mails = smtp.wait("dr@grant.test", 1);
    let head = mails[0].bytes.split("\r\n\r\n").next().unwrap();
    let mut names: Vec<&str> = head
        .split("\r\n")
        .filter(|line| !line.starts_with([' ', '\t']))
        .map(|line| line.split_once(':').unwrap().0)
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["Auto-Submitted", "Content-Type", "Date", "From", "MIME-Version", "Message-ID", "Subject", "To"]
    );
    assert_eq!(smtp.mails().len(), 1);
}
