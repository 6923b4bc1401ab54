//! The suppression list: who gets no mail, how an address comes onto it, and how it leaves.

use serde_json::{Value, json};

use crate::server::{SECRET, Setup, TestServer, belfry, email, run};
use crate::smtp::{Answer, SmtpServer, Step};

/// Sends a note; answers its message.
async fn note(server: &TestServer, to: &str) -> Value {
    let run = server.trigger("note", json!({"recipients": [to]})).await;
    server.settle().await;
    server.get(&format!("/v1/messages?workflow_run_id={run}")).await.json()["items"][0].clone()
}

async fn logs(server: &TestServer, message: &Value) -> String {
    server.get(&format!("/v1/messages/{}/delivery_logs", message["id"].as_str().unwrap())).await.text
}

#[tokio::test]
async fn an_address_that_is_not_there_is_listed_and_gets_nothing_until_it_is_taken_off() {
    let smtp = SmtpServer::scripted(|step| match step {
        Step::Rcpt("Gone@x.test") => Answer::Reply("550 5.1.1 no such mailbox"),
        Step::Rcpt("policy@x.test") => Answer::Reply("550 5.7.1 we do not like you"),
        _ => Answer::Accept,
    });
    let mut server = Setup::new().smtp(&smtp).start().await;
    assert_eq!(note(&server, "Gone@x.test").await["status"], "bounced");
    assert_eq!(note(&server, "policy@x.test").await["status"], "undelivered");
    let list = server.get("/admin/suppressions").await.json();
    assert_eq!(list["entries"].as_array().unwrap().len(), 1, "policy is about us, not about the address: {list}");
    assert_eq!(
        (&list["entries"][0]["address"], &list["entries"][0]["reason"]),
        (&json!("gone@x.test"), &json!("bounced"))
    );
    assert!(list["entries"][0]["note"].as_str().unwrap().contains("no such mailbox"), "{list}");

    // Also over a kill, and however the address is written.
    server.kill_9().await;
    server.restart().await;
    smtp.script(|_| Answer::Accept);
    let message = note(&server, "GONE@x.test").await;
    assert_eq!(message["status"], "undelivered");
    let logs = logs(&server, &message).await;
    assert!(logs.contains("gone@x.test is on the suppression list since a mail to it bounced"), "{logs}");
    assert_eq!(smtp.offered().len(), 0);

    let url = server.url.clone();
    let command = |arguments: &[&str]| {
        let mut all = vec!["suppressions"];
        all.extend(arguments);
        all.extend(["--url", &url, "--api-key", SECRET]);
        run(belfry(&server.setup.path(""), &all))
    };
    let (code, listed, _) = command(&["list"]).await;
    assert!(code == 0 && listed.starts_with("gone@x.test  bounced ") && listed.lines().count() == 1, "{listed}");
    assert_eq!(command(&["remove", "Gone@x.test"]).await.0, 0);
    assert_eq!(note(&server, "Gone@x.test").await["status"], "sent");
    assert_eq!(smtp.mails().len(), 1);
    let (code, _, complaint) = command(&["remove", "Gone@x.test"]).await;
    assert!(code == 1 && complaint.contains("is not on the suppression list"), "{complaint}");
}

#[tokio::test]
async fn a_message_that_waits_for_its_retry_is_not_sent_to_an_address_that_was_listed_meanwhile() {
    let smtp = SmtpServer::scripted(|step| match step {
        Step::Message(_) => Answer::Reply("451 later"),
        _ => Answer::Accept,
    });
    let mut server = Setup::new().smtp(&smtp).start().await;
    let message = note(&server, "ann@x.test").await;
    assert_eq!(message["status"], "delivery_attempted");
    let reply = server.post("/admin/suppressions", json!({"address": "Ann <ANN@x.test>", "note": "by phone"})).await;
    assert_eq!(reply.json()["address"], "ann@x.test", "{reply:?}");
    smtp.script(|_| Answer::Accept);
    server.advance("1h").await;
    assert_eq!(smtp.mails(), []);
    assert!(logs(&server, &message).await.contains("by phone"));
    server.post("/admin/suppressions", json!({"address": "nobody"})).await.assert_error(422, "invalid_params");

    // The command works on a folder at rest too.
    server.process.signal("-TERM").await;
    server.process.exit().await;
    let folder = server.setup.path("data");
    let arguments = ["suppressions", "add", "bob@x.test", "--data-dir", folder.to_str().unwrap()];
    let (code, said, _) = run(belfry(&server.setup.path(""), &arguments)).await;
    assert!(code == 0 && said.starts_with("bob@x.test  listed "), "{said}");
    server.restart().await;
    assert_eq!(note(&server, "bob@x.test").await["status"], "undelivered");
}

#[tokio::test]
async fn a_server_without_smtputf8_is_not_asked_to_take_such_an_address_and_the_log_says_so() {
    let smtp = SmtpServer::start();
    let server = Setup::new().smtp(&smtp).start().await;
    let message = note(&server, "jürgen@x.test").await;
    assert_eq!(message["status"], "undelivered");
    assert!(logs(&server, &message).await.contains("SMTPUTF8"));
    assert_eq!(note(&server, "ann@bücher.test").await["status"], "sent", "a domain has a form in ASCII");
    assert_eq!(smtp.mails()[0].to, "ann@xn--bcher-kva.test");
}

#[tokio::test]
async fn a_listed_address_gets_no_copy_and_the_log_says_so() {
    let smtp = SmtpServer::start();
    let mut copied = email("Copied");
    copied["channel_overrides"] =
        json!({"cc_address": "Bob <BOB@x.test>, carl@x.test", "bcc_address": "dora@x.test, emil@x.test"});
    let server = Setup::new().smtp(&smtp).workflow("copied", &[copied]).start().await;
    for address in ["bob@x.test", "dora@x.test"] {
        assert_eq!(server.post("/admin/suppressions", json!({ "address": address })).await.status, 200);
    }
    let run = server.trigger("copied", json!({"recipients": ["ann@x.test"]})).await;
    server.settle().await;
    let message = server.get(&format!("/v1/messages?workflow_run_id={run}")).await.json()["items"][0].clone();
    assert_eq!(message["status"], "sent");
    let mail = smtp.mails().pop().unwrap();
    assert_eq!([mail.header("To"), mail.header("Cc")], ["ann@x.test", "carl@x.test"]);
    let asked = ["ann", "bob", "carl", "dora", "emil"].map(|name| smtp.attempts(&format!("{name}@x.test")));
    assert_eq!(asked, [1, 0, 1, 0, 1]);
    let logs = logs(&server, &message).await;
    for listed in ["bob@x.test", "dora@x.test"] {
        assert!(logs.contains(&format!("left out: {listed} is on the suppression list")), "{logs}");
    }
}

#[tokio::test]
async fn a_copy_that_the_server_refuses_does_not_lose_the_mail_and_is_listed_where_it_is_gone() {
    let script = |last: &'static str| {
        move |step: Step<'_>| match step {
            Step::Rcpt("gone@x.test") => Answer::Reply("550 5.1.1 no such mailbox"),
            Step::Rcpt("hidden@x.test") => Answer::Reply("550 5.1.10 takes no mail"),
            Step::Rcpt("policy@x.test") => Answer::Reply("550 5.7.1 we do not like you"),
            Step::Message(_) => Answer::Reply(last),
            _ => Answer::Accept,
        }
    };
    let smtp = SmtpServer::scripted(script("451 later"));
    let mut copied = email("Copied");
    copied["channel_overrides"] = json!({
        "cc_address": "Gone Bob <gone@x.test>, policy@x.test, carl@x.test", "bcc_address": "hidden@x.test, emil@x.test",
    });
    let server = Setup::new().smtp(&smtp).workflow("copied", &[copied]).start().await;
    let run = server.trigger("copied", json!({"recipients": ["ann@x.test"]})).await;
    server.settle().await;
    let message =
        || async { server.get(&format!("/v1/messages?workflow_run_id={run}")).await.json()["items"][0].clone() };
    assert_eq!(message().await["status"], "delivery_attempted", "what the message itself was answered counts");
    let list = server.get("/admin/suppressions").await.json();
    let listed: Vec<_> =
        list["entries"].as_array().unwrap().iter().map(|one| (&one["address"], &one["reason"])).collect();
    let bounced = json!("bounced");
    assert_eq!(listed, [(&json!("gone@x.test"), &bounced), (&json!("hidden@x.test"), &bounced)], "policy is about us");

    smtp.script(|step| match step {
        Step::Rcpt("policy@x.test") => Answer::Reply("550 5.7.1 we do not like you"),
        _ => Answer::Accept,
    });
    server.advance("1m").await;
    assert_eq!(message().await["status"], "sent");
    assert_eq!(smtp.mails().len(), 1);
    let asked =
        ["ann", "gone", "policy", "carl", "hidden", "emil"].map(|name| smtp.attempts(&format!("{name}@x.test")));
    assert_eq!(asked, [2, 1, 2, 2, 1, 2], "who is listed is not asked again");
    let logs = logs(&server, &message().await).await;
    for said in [
        "left out: gone@x.test: permanent error (550): 5.1.1 no such mailbox",
        "left out: hidden@x.test: permanent error (550): 5.1.10 takes no mail",
        "left out: policy@x.test: permanent error (550): 5.7.1 we do not like you",
        "left out: gone@x.test is on the suppression list since a mail to it bounced",
    ] {
        assert!(logs.contains(said), "{said}: {logs}");
    }
}
