//! What is left after `kill -9` and SIGTERM.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::server::{SECRET, Setup, invite};
use crate::smtp::{Answer, Smtp};

#[tokio::test]
async fn a_reminder_survives_a_crash_and_comes_when_it_is_due() {
    let smtp = Smtp::start();
    let mut server = Setup::new(smtp.port).start();
    server.trigger("account-invite", invite(&["dr@grant.test"], "a")).await;
    let mails = smtp.wait("dr@grant.test", 1);
    assert!(mails[0].text().contains("https://app.example/invite/token-a"), "{}", mails[0].bytes);
    server.settle().await;
    server.crash_and_restart();
    server.advance("2d23h59m").await;
    assert_eq!(smtp.to("dr@grant.test").len(), 1);
    server.advance("1m").await;
    let mails = smtp.wait("dr@grant.test", 2);
    assert!(mails[1].text().contains("token-a") && mails[1].header("Subject").unwrap().contains("Reminder"));
    server.advance("30d").await;
    assert_eq!(smtp.to("dr@grant.test").len(), 2);
}

#[tokio::test]
async fn a_cancel_that_was_answered_holds_over_a_crash_and_for_those_it_names() {
    let smtp = Smtp::start();
    let mut server = Setup::new(smtp.port).start();
    server.trigger("account-invite", invite(&["a@x.test", "b@x.test"], "two")).await;
    server.trigger("account-invite", invite(&["c@x.test"], "one")).await;
    server.settle().await;
    let named = json!({"cancellation_key": "two", "recipients": ["b@x.test"]});
    assert_eq!(server.cancel("account-invite", named).await, "cancelled=1, in_flight=0");
    assert_eq!(server.cancel("account-invite", json!({"cancellation_key": "one"})).await, "cancelled=1, in_flight=0");
    server.crash_and_restart();
    // A later trigger with the same key is not touched by the earlier cancel.
    server.trigger("account-invite", invite(&["d@x.test"], "one")).await;
    server.advance("3d1h").await;
    let counts = ["a", "b", "c", "d"].map(|name| smtp.to(&format!("{name}@x.test")).len());
    assert_eq!(counts, [2, 1, 1, 2]);
}

#[tokio::test]
async fn nothing_that_was_answered_is_lost_over_many_crashes() {
    const CONCURRENCY: usize = 16;
    let smtp = Smtp::start();
    let mut server = Setup::new(smtp.port).start();
    let rounds = 8;
    for round in 0..rounds {
        let triggers = (0..30).map(|number| {
            let body = json!({"recipients": [format!("r{round}-{number}@x.test")]});
            server.trigger("welcome-to-knock", body)
        });
        futures_util::future::join_all(triggers).await;
        server.crash_and_restart();
    }
    for round in 0..rounds {
        for number in 0..30 {
            let user = format!("r{round}-{number}@x.test");
            smtp.wait(&user, 1);
            let page = server.feed_of(&user, 1).await;
            assert_eq!(page["meta"]["total_count"], 1, "in-app is exactly once");
        }
    }
    server.advance("1h").await;
    let mut ids: BTreeMap<String, usize> = BTreeMap::new();
    for mail in smtp.mails() {
        *ids.entry(mail.message_id()).or_default() += 1;
    }
    assert_eq!(ids.len(), rounds * 30, "one message for each trigger, whatever was repeated");
    let repeated: usize = ids.values().map(|count| count - 1).sum();
    assert!(repeated <= rounds * CONCURRENCY, "{repeated} repeats in {rounds} crashes");
}

#[tokio::test]
async fn a_crash_between_the_servers_acceptance_and_ours_repeats_the_same_bytes_once() {
    let smtp = Smtp::start();
    smtp.script([Answer::Hang]);
    let mut server = Setup::new(smtp.port).start();
    server.trigger("account-invite", invite(&["dr@grant.test"], "a")).await;
    smtp.wait("dr@grant.test", 1);
    server.crash_and_restart();
    let mails = smtp.wait("dr@grant.test", 2);
    assert_eq!(mails[0], mails[1]);
    server.advance("1h").await;
    assert_eq!(smtp.to("dr@grant.test").len(), 2);
}

#[tokio::test]
async fn a_term_signal_ends_the_server_soon_and_the_next_one_goes_on() {
    let smtp = Smtp::start();
    let mut server = Setup::new(smtp.port).start();
    server.trigger("account-invite", invite(&["dr@grant.test"], "a")).await;
    smtp.wait("dr@grant.test", 1);
    server.process.terminate();
    assert!(server.process.wait().success(), "{}", server.process.log());
    assert!(!server.process.log().contains("panicked"), "{}", server.process.log());
    server.crash_and_restart();
    server.advance("3d").await;
    smtp.wait("dr@grant.test", 2);
}

#[tokio::test]
async fn a_second_term_signal_ends_a_server_that_waits_for_a_hanging_mail() {
    let smtp = Smtp::start();
    smtp.script([Answer::Hang]);
    let mut server = Setup::new(smtp.port).start();
    server.trigger("account-invite", invite(&["dr@grant.test"], "a")).await;
    smtp.wait("dr@grant.test", 1);
    server.process.terminate();
    server.process.wait_for("shutting down");
    server.process.terminate();
    assert!(server.process.wait().success());
    assert!(server.process.log().contains("a second signal"), "{}", server.process.log());
    server.crash_and_restart();
    smtp.wait("dr@grant.test", 2);
}

#[tokio::test]
async fn an_idempotency_key_gives_one_run_also_at_once_and_over_a_crash() {
    let smtp = Smtp::start();
    let mut server = Setup::new(smtp.port).start();
    let http = reqwest::Client::new();
    let send = |url: String, body: Value| {
        let request = http.post(format!("{url}/v1/workflows/welcome-to-knock/trigger")).bearer_auth(SECRET);
        request.header("idempotency-key", "once").json(&body).send()
    };
    let body = json!({"recipients": ["dr@grant.test"], "data": {"a": 1, "b": 2}});
    let all = futures_util::future::join_all((0..20).map(|_| send(server.process.url.clone(), body.clone()))).await;
    let mut ids = std::collections::BTreeSet::new();
    let mut replayed = 0;
    for response in all {
        let response = response.unwrap();
        if let Some(value) = response.headers().get("idempotent-replayed") {
            assert_eq!(value, "true");
            let original = response.headers()["original-x-request-id"].clone();
            assert_ne!(original, response.headers()["x-request-id"]);
            replayed += 1;
        }
        ids.insert(response.json::<Value>().await.unwrap()["workflow_run_id"].to_string());
    }
    assert_eq!((ids.len(), replayed), (1, 19));
    server.crash_and_restart();
    let again = send(server.process.url.clone(), body).await.unwrap();
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    let other = send(server.process.url.clone(), json!({"recipients": ["dr@malcolm.test"]})).await.unwrap();
    assert_eq!(other.status(), 400);
    assert!(other.json::<Value>().await.unwrap()["error"].is_string());
    smtp.wait("dr@grant.test", 1);
    server.advance("1h").await;
    assert_eq!(server.feed("dr@grant.test").await["meta"]["total_count"], 1);
    assert!(smtp.to("dr@malcolm.test").is_empty());
}
