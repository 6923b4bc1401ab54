//! `kill -9` at the worst moment: nothing accepted is lost, nothing cancelled is sent, nothing comes early.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::Method;
use serde_json::json;

use crate::server::{SECRET, Setup, TestServer};
use crate::smtp::{Answer, SmtpServer, Step};

const ROUNDS: usize = 20;
const CONCURRENCY: usize = 4;

/// What the client knows of its triggers.
#[derive(Default)]
struct Ledger {
    accepted: BTreeSet<String>,
    /// Sent to the server, and never answered.
    in_doubt: BTreeSet<String>,
    cancelled: BTreeSet<String>,
}

/// Random numbers, from a seed that failures print.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).unwrap();
        let seed = u64::from_le_bytes(bytes) | 1;
        eprintln!("seed {seed}");
        Self(seed)
    }

    fn up_to(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most as u64) as usize + 1
    }
}

#[tokio::test]
async fn a_kill_right_after_the_answer_loses_nothing_and_repeats_little() {
    let smtp = SmtpServer::scripted(|_| Answer::AcceptAfter(Duration::from_millis(3)));
    let setup = Setup::new().smtp(&smtp).set("delivery.concurrency", CONCURRENCY as i64);
    let mut server = setup.start().await;
    let (mut dice, mut ledger) = (Dice::new(), Ledger::default());
    for round in 0..ROUNDS {
        trigger_and_kill(&mut server, round, &mut dice, &mut ledger).await;
        server.restart().await;
    }
    server.advance("2d").await;

    let mut sent: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for mail in smtp.mails() {
        sent.entry(mail.to.clone()).or_default().push(mail);
    }
    let lost: Vec<_> = ledger.accepted.difference(&ledger.cancelled).filter(|to| !sent.contains_key(*to)).collect();
    assert!(lost.is_empty(), "accepted and never sent: {lost:?}");
    let against: Vec<_> = ledger.cancelled.iter().filter(|to| sent.contains_key(*to)).collect();
    assert!(against.is_empty(), "sent after an acknowledged cancel: {against:?}");
    let unknown: Vec<_> =
        sent.keys().filter(|to| !ledger.accepted.contains(*to) && !ledger.in_doubt.contains(*to)).collect();
    assert!(unknown.is_empty(), "sent and never triggered: {unknown:?}");
    for copies in sent.values() {
        assert!(copies.windows(2).all(|pair| pair[0] == pair[1]), "a repeat differs from the first: {copies:?}");
    }
    let repeats: usize = sent.values().map(|copies| copies.len() - 1).sum();
    assert!(repeats <= CONCURRENCY * ROUNDS, "{repeats} repeats in {ROUNDS} kills");
    for to in ledger.accepted.iter().filter(|to| to.starts_with("now")) {
        assert_eq!(server.feed(to).await["meta"]["total_count"], 1, "the feed of {to}");
    }
    assert!(ledger.accepted.len() > 2 * ROUNDS, "too little was tried: {}", ledger.accepted.len());
}

/// Sends some triggers at once, cancels some of what is accepted, and kills the server at the n-th answer.
async fn trigger_and_kill(server: &mut TestServer, round: usize, dice: &mut Dice, ledger: &mut Ledger) {
    let count = 3 + dice.up_to(20);
    let last = dice.up_to(count);
    let mut calls = FuturesUnordered::new();
    for number in 0..count {
        let (workflow, kind) = if number % 3 == 2 { ("later", "later") } else { ("both", "now") };
        let to = format!("{kind}-{round}-{number}@x.test");
        ledger.in_doubt.insert(to.clone());
        let server = &*server;
        calls.push(async move {
            let body = json!({"recipients": [to], "cancellation_key": to, "data": {"n": number}});
            let path = format!("/v1/workflows/{workflow}/trigger");
            let reply = server.send(Method::POST, &path, SECRET, &[], Some(body.to_string())).await;
            let accepted = reply.is_ok_and(|reply| reply.status == 200);
            let cancelled = accepted && workflow == "later" && number % 2 == 0 && {
                let body = json!({"cancellation_key": to}).to_string();
                let reply = server.send(Method::POST, "/v1/workflows/later/cancel", SECRET, &[], Some(body)).await;
                reply.is_ok_and(|reply| reply.header("x-cancel-outcome") == Some("cancelled=1, in_flight=0"))
            };
            (to, accepted, cancelled)
        });
    }
    for _ in 0..last {
        let (to, accepted, cancelled) = calls.next().await.unwrap();
        assert!(accepted, "{to} was refused");
        ledger.in_doubt.remove(&to);
        ledger.cancelled.extend(Some(to.clone()).filter(|_| cancelled));
        ledger.accepted.insert(to);
    }
    server.process.signal("-KILL").await;
    // Those answered before the kill was felt.
    while let Some((to, accepted, cancelled)) = calls.next().await {
        if accepted && ledger.in_doubt.remove(&to) {
            ledger.cancelled.extend(Some(to.clone()).filter(|_| cancelled));
            // A cancel that was not answered is in doubt, and so is whether the mail comes.
            if to.starts_with("later") && !cancelled {
                ledger.in_doubt.insert(to);
            } else {
                ledger.accepted.insert(to);
            }
        }
    }
    drop(calls);
    assert_eq!(server.process.exit().await.code(), None);
}

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
