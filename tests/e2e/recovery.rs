//! What a `kill -9` must not change, one thing at a time; `tests/crash` kills at random under load.

use serde_json::json;

use crate::server::Setup;
use crate::smtp::{Answer, SmtpServer, Step};

#[tokio::test]
async fn a_waiting_run_keeps_its_due_time_over_kills() {
    let smtp = SmtpServer::start();
    let mut server = Setup::new().smtp(&smtp).start().await;
    server.trigger("reminder", json!({"recipients": ["u@x.test"], "data": {"n": 1}})).await;
    server.settle().await;
    for _ in 0..2 {
        server.kill_9().await;
        server.restart().await;
        server.advance("2d23h58m").await;
        assert_eq!(smtp.mails().len(), 1, "it came early");
    }
    // The clock of this process stands two minutes before the end of the delay, less what the test took.
    server.advance("3m").await;
    assert_eq!(smtp.mails().iter().map(|mail| mail.subject()).collect::<Vec<_>>(), ["First 1", "Second 1"]);
}

#[tokio::test]
async fn a_run_that_became_due_while_the_server_was_dead_goes_on_at_the_next_start() {
    let smtp = SmtpServer::start();
    let mut server = Setup::new().smtp(&smtp).workflow("soon", &soon()).start().await;
    server.trigger("soon", json!({"recipients": ["u@x.test"]})).await;
    server.kill_9().await;
    assert_eq!(smtp.mails(), []);
    server.restart().await;
    // No hand moves the clock: the run's own timer brings it back.
    smtp.wait_for(|mails| mails.len() == 1).await;
}

fn soon() -> [serde_json::Value; 2] {
    [crate::server::delay("seconds", 2), crate::server::email("Soon")]
}

#[tokio::test]
async fn an_acknowledged_cancel_holds_over_a_kill() {
    let smtp = SmtpServer::start();
    let mut server = Setup::new().smtp(&smtp).start().await;
    for n in 0..3 {
        let key = format!("k{n}");
        server.trigger("later", json!({"recipients": [format!("u{n}@x.test")], "cancellation_key": key})).await;
    }
    assert_eq!(server.cancel("later", json!({"cancellation_key": "k0"})).await, "cancelled=1, in_flight=0");
    server.kill_9().await;
    server.restart().await;
    // A run that was recovered can be cancelled like any other.
    assert_eq!(server.cancel("later", json!({"cancellation_key": "k1"})).await, "cancelled=1, in_flight=0");
    server.kill_9().await;
    server.restart().await;
    server.advance("2d").await;
    let got: Vec<String> = smtp.mails().into_iter().map(|mail| mail.to).collect();
    assert_eq!(got, ["u2@x.test"]);
}

#[tokio::test]
async fn a_mail_whose_answer_was_lost_in_a_kill_comes_again_as_the_same_mail() {
    let smtp = SmtpServer::scripted(|step| match step {
        Step::Message(_) => Answer::AcceptInSilence,
        _ => Answer::Accept,
    });
    let mut server = Setup::new().smtp(&smtp).start().await;
    server.trigger("note", json!({"recipients": ["u@x.test"], "data": {"n": 7, "text": "as it was"}})).await;
    smtp.wait_for(|mails| mails.len() == 1).await;
    // What the recipient is called now must not change what was already sent once.
    server.put("/v1/users/u@x.test", json!({"name": "New Name"})).await;
    server.kill_9().await;
    smtp.script(|_| Answer::Accept);
    server.restart().await;
    let mails = smtp.wait_for(|mails| mails.len() == 2).await;
    assert_eq!(mails[0], mails[1]);
}

#[tokio::test]
async fn runs_keep_to_the_workflow_they_were_triggered_with_over_a_restart() {
    let smtp = SmtpServer::start();
    let mut server = Setup::new().smtp(&smtp).start().await;
    server.trigger("later", json!({"recipients": ["old@x.test"]})).await;
    server.kill_9().await;
    server.setup = server.setup.workflow("later", &[crate::server::email("Changed")]);
    server.restart().await;
    server.trigger("later", json!({"recipients": ["new@x.test"]})).await;
    server.advance("1d1m").await;
    let mut got: Vec<String> = smtp.mails().iter().map(|mail| format!("{} {}", mail.to, mail.subject())).collect();
    got.sort();
    assert_eq!(got, ["new@x.test Changed", "old@x.test Later"]);
}
