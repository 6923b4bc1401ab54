//! SMTP servers as they are: down, slow, full, silent, wrong.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::server::{SECRET, Setup, TestServer};
use crate::smtp::{Answer, SmtpServer, Step};

/// Longer than the first pause can be, and shorter than the first two together.
const FIRST_RETRY: &str = "17s";

async fn server(smtp: &SmtpServer) -> TestServer {
    Setup::new().smtp(smtp).start().await
}

async fn note(server: &TestServer, to: &str) {
    server.trigger("note", json!({"recipients": [to], "cancellation_key": to, "data": {"n": 1}})).await;
    server.settle().await;
}

/// Answers each message with `answer` until it was asked `times` times, then accepts.
fn at_first(times: usize, answer: fn() -> Answer) -> impl FnMut(Step<'_>) -> Answer + Send {
    let mut asked = 0;
    move |step| match step {
        Step::Message(_) => {
            asked += 1;
            if asked <= times { answer() } else { Answer::Accept }
        }
        _ => Answer::Accept,
    }
}

#[tokio::test]
async fn mail_that_found_the_server_down_arrives_once_it_is_up() {
    let mut smtp = SmtpServer::down();
    let server = server(&smtp).await;
    note(&server, "a@x.test").await;
    note(&server, "b@x.test").await;
    assert_eq!(server.get("/readyz").await.status, 200, "triggers do not depend on it");
    smtp.up();
    server.advance("1m").await;
    assert_eq!(smtp.mails().len(), 2);
    smtp.stop().await;
    note(&server, "c@x.test").await;
    smtp.up();
    server.advance("1m").await;
    assert_eq!(smtp.mails().len(), 3);
}

#[tokio::test]
async fn mail_that_waits_for_its_retry_survives_a_kill_with_its_place_in_the_schedule() {
    let mut smtp = SmtpServer::down();
    let mut server = server(&smtp).await;
    note(&server, "a@x.test").await;
    server.kill_9().await;
    smtp.up();
    server.restart().await;
    server.advance("1m").await;
    assert_eq!(smtp.mails().len(), 1);
}

#[tokio::test]
async fn a_4xx_is_tried_again_after_pauses_that_double_and_given_up_after_eight_attempts() {
    let smtp = SmtpServer::scripted(|step| match step {
        Step::Message(_) => Answer::Reply("451 try later"),
        _ => Answer::Accept,
    });
    let server = server(&smtp).await;
    note(&server, "a@x.test").await;
    assert_eq!(smtp.offered().len(), 1);
    // Each pause is 14, 28, 56 seconds and so on, give or take a fifth; it is walked through in twentieths.
    for attempts in 2..=8 {
        let pause = 14_000 << (attempts - 2);
        let mut steps = 0;
        while smtp.offered().len() < attempts {
            server.advance(&format!("{}ms", pause / 20)).await;
            steps += 1;
        }
        assert!((15..=25).contains(&steps), "attempt {attempts} came after {steps} twentieths of {pause} ms");
    }
    server.advance("10d").await;
    assert_eq!(smtp.offered().len(), 8, "there is no ninth");
    assert_eq!(smtp.mails(), []);
    assert_eq!(server.metric("belfry_attempts_total", "undelivered").await, 1);
    assert_eq!(server.metric("belfry_attempts_total", "retry").await, 7);
    assert!(server.process.stderr().contains("(451): try later"), "the log says why");
}

#[tokio::test]
async fn a_server_that_greylists_gets_the_mail_in_the_end() {
    let smtp = SmtpServer::scripted(at_first(3, || Answer::Reply("450 greylisted")));
    let server = server(&smtp).await;
    note(&server, "a@x.test").await;
    server.advance("5m").await;
    assert_eq!(smtp.offered().len(), 4);
    assert_eq!(smtp.mails().len(), 1);
    assert!(smtp.offered().windows(2).all(|pair| pair[0] == pair[1]), "an attempt differs from the first");
}

#[tokio::test]
async fn a_5xx_ends_the_message_at_once_and_no_other() {
    let smtp = SmtpServer::scripted(|step| match step {
        Step::Rcpt("gone@x.test") => Answer::Reply("550 no such user"),
        Step::Message(mail) if mail.to == "spam@x.test" => Answer::Reply("554 not this"),
        _ => Answer::Accept,
    });
    let server = server(&smtp).await;
    let everyone = ["a@x.test", "gone@x.test", "b@x.test", "spam@x.test", "c@x.test"];
    server.trigger("note", json!({"recipients": everyone})).await;
    server.advance("2h").await;
    assert_eq!(everyone.map(|to| smtp.attempts(to)), [1; 5]);
    let mut got: Vec<String> = smtp.mails().into_iter().map(|mail| mail.to).collect();
    got.sort();
    assert_eq!(got, ["a@x.test", "b@x.test", "c@x.test"]);
    assert_eq!(server.metric("belfry_attempts_total", "undelivered").await, 2);
}

#[tokio::test]
async fn a_recipient_with_an_impossible_address_harms_nobody_else() {
    let smtp = SmtpServer::start();
    let server = server(&smtp).await;
    let impossible =
        ["", "not an address", "a@b@c", "x@y\r\nRCPT TO:<evil@x.test>", "<a@x.test>", "@x.test", "ü@x.test"];
    for (number, address) in impossible.iter().enumerate() {
        let recipients = json!([{"id": format!("u{number}"), "email": address}, format!("ok{number}@x.test")]);
        server.trigger("note", json!({"recipients": recipients})).await;
    }
    server.advance("2h").await;
    let mut got: Vec<String> = smtp.mails().into_iter().map(|mail| mail.to).collect();
    got.sort();
    let expected: Vec<String> = (0..impossible.len()).map(|number| format!("ok{number}@x.test")).collect();
    assert_eq!(got, expected);
    assert_eq!(smtp.attempts("evil@x.test"), 0);
}

#[tokio::test]
async fn a_421_at_any_point_is_tried_again() {
    let mut asked = 0;
    let smtp = SmtpServer::scripted(move |step| {
        let turn = match step {
            Step::Greeting => 0,
            Step::Rcpt(_) => 1,
            Step::Message(_) => 2,
        };
        if turn == asked {
            asked += 1;
            return Answer::Reply("421 closing");
        }
        Answer::Accept
    });
    let server = server(&smtp).await;
    note(&server, "a@x.test").await;
    server.advance("10m").await;
    assert_eq!(smtp.mails().len(), 1);
    assert_eq!(server.metric("belfry_attempts_total", "retry").await, 3);
}

#[tokio::test]
async fn a_server_that_takes_the_mail_and_never_says_so_gets_the_same_mail_again() {
    for answer in [|| Answer::AcceptInSilence, || Answer::AcceptAndHangUp] {
        let smtp = SmtpServer::scripted(at_first(1, answer));
        let server = Setup::new().smtp(&smtp).set("delivery.timeout", "500ms").start().await;
        note(&server, "a@x.test").await;
        assert_eq!(smtp.mails().len(), 1);
        server.advance(FIRST_RETRY).await;
        let mails = smtp.mails();
        assert_eq!(mails.len(), 2);
        assert_eq!(mails[0].message_id(), mails[1].message_id());
        assert_eq!(mails[0], mails[1], "a repeat has the same bytes");
        server.advance("1d").await;
        assert_eq!(smtp.mails().len(), 2);
    }
}

#[tokio::test]
async fn a_late_answer_is_not_taken_for_the_answer_to_the_next_mail() {
    let smtp = SmtpServer::scripted(|step| match step {
        Step::Message(mail) if mail.to == "late@x.test" => Answer::AcceptAfter(Duration::from_millis(600)),
        Step::Message(_) => Answer::Reply("554 not this"),
        _ => Answer::Accept,
    });
    let server = Setup::new().smtp(&smtp).set("delivery.timeout", "300ms").start().await;
    note(&server, "late@x.test").await;
    smtp.wait_for(|mails| mails.len() == 1).await;
    note(&server, "next@x.test").await;
    assert_eq!(smtp.attempts("next@x.test"), 1);
    assert_eq!(server.metric("belfry_attempts_total", "accepted").await, 0, "nobody accepted the second mail");
}

#[tokio::test]
async fn a_connection_that_the_server_dropped_meanwhile_costs_no_attempt() {
    let mut smtp = SmtpServer::start();
    let server = server(&smtp).await;
    for to in ["a@x.test", "b@x.test", "c@x.test"] {
        note(&server, to).await;
        smtp.stop().await;
        smtp.up();
    }
    assert_eq!(smtp.mails().len(), 3);
    assert_eq!(server.metric("belfry_attempts_total", "retry").await, 0);
}

#[tokio::test]
async fn a_server_that_connects_and_says_nothing_is_given_up_in_time() {
    let smtp = SmtpServer::scripted(|_| Answer::Silence);
    let server = Setup::new()
        .smtp(&smtp)
        .set("delivery.connect_timeout", "300ms")
        .set("delivery.timeout", "500ms")
        .start()
        .await;
    note(&server, "a@x.test").await;
    smtp.script(|_| Answer::Accept);
    server.advance(FIRST_RETRY).await;
    assert_eq!(smtp.mails().len(), 1);
}

#[tokio::test]
async fn a_server_behind_a_wall_that_drops_packets_is_given_up_in_time_and_holds_up_nobody() {
    let mut smtp = SmtpServer::black_hole().await;
    let limits = Setup::new().set("delivery.connect_timeout", "300ms").set("delivery.concurrency", 2);
    let server = limits.smtp(&smtp).start().await;
    let everyone: Vec<String> = (0..6).map(|n| format!("u{n}@x.test")).collect();
    server.trigger("both", json!({"recipients": everyone})).await;
    // Two at a time, each until its own limit: settled when all six were given up.
    server.settle().await;
    assert_eq!(server.metric("belfry_attempts_total", "retry").await, 6);
    for user in &everyone {
        assert_eq!(server.feed(user).await["meta"]["total_count"], 1, "their items came");
    }
    smtp.stop().await;
    smtp.up();
    server.advance("1m").await;
    assert_eq!(smtp.mails().len(), 6);
}

#[tokio::test]
async fn a_storm_of_4xx_comes_back_spread_out_and_each_mail_arrives_once() {
    let smtp = SmtpServer::scripted(|step| match step {
        Step::Message(_) => Answer::Reply("451 too busy"),
        _ => Answer::Accept,
    });
    let server = server(&smtp).await;
    let everyone: Vec<String> = (0..150).map(|n| format!("u{n}@x.test")).collect();
    server.trigger("both", json!({"recipients": everyone})).await;
    server.settle().await;
    assert_eq!((smtp.offered().len(), smtp.mails().len()), (150, 0));
    smtp.script(|_| Answer::Accept);
    // The first retries lie within a fifth of 14 seconds on either side.
    let mut came = Vec::new();
    while came.iter().sum::<usize>() < 150 && came.len() < 60 {
        server.advance("500ms").await;
        came.push(smtp.mails().len() - came.iter().sum::<usize>());
    }
    let spread = came.iter().filter(|count| **count > 0).count();
    assert!(spread >= 6 && came.iter().all(|count| *count < 75), "so many came in each half second: {came:?}");
    let mut got: Vec<String> = smtp.mails().into_iter().map(|mail| mail.to).collect();
    got.sort();
    got.dedup();
    assert_eq!((smtp.mails().len(), got.len()), (150, 150));
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let smtp = SmtpServer::scripted(|_| Answer::AcceptAfter(Duration::from_millis(300)));
    let server = server(&smtp).await;
    let everyone: Vec<String> = (0..20).map(|n| format!("u{n}@x.test")).collect();
    server.trigger("note", json!({"recipients": everyone})).await;
    server.advance("2h").await;
    assert_eq!(smtp.mails().len(), 20, "each arrived once");
}

#[tokio::test]
async fn a_silent_mail_server_keeps_no_trigger_and_no_feed_waiting() {
    let smtp = SmtpServer::scripted(|step| match step {
        Step::Message(_) => Answer::Silence,
        _ => Answer::Accept,
    });
    let server = Setup::new().smtp(&smtp).set("delivery.concurrency", 1).start().await;
    for _ in 0..5 {
        server.trigger("both", json!({"recipients": ["a@x.test"]})).await;
    }
    smtp.wait_for_offers(1).await;
    let mut total = 0;
    // Feed items come through the same runs; each look is a round trip.
    while total < 5 {
        total = server.feed("a@x.test").await["meta"]["total_count"].as_u64().unwrap();
    }
    assert_eq!(smtp.offered().len(), 1, "one attempt at a time");
}

#[tokio::test]
async fn a_cancel_stops_the_retries_that_are_queued() {
    let smtp = SmtpServer::scripted(|_| Answer::Reply("451 later"));
    let server = server(&smtp).await;
    server.trigger("reminder", json!({"recipients": ["a@x.test"], "cancellation_key": "k"})).await;
    server.settle().await;
    assert_eq!(server.cancel("reminder", json!({"cancellation_key": "k"})).await, "cancelled=1, in_flight=0");
    smtp.script(|_| Answer::Accept);
    server.advance("4d").await;
    assert_eq!(smtp.mails(), []);
}

#[tokio::test]
async fn a_cancel_says_how_many_sends_are_on_the_wire_and_stops_their_retries() {
    let smtp = SmtpServer::scripted(at_first(1, || Answer::Silence));
    let server = Setup::new().smtp(&smtp).set("delivery.timeout", "2s").start().await;
    server.trigger("reminder", json!({"recipients": ["a@x.test"], "cancellation_key": "k"})).await;
    smtp.wait_for_offers(1).await;
    assert_eq!(server.cancel("reminder", json!({"cancellation_key": "k"})).await, "cancelled=1, in_flight=1");
    server.advance("4d").await;
    assert_eq!(smtp.offered().len(), 1);
}

#[tokio::test]
async fn whatever_a_template_writes_arrives_as_one_message_with_that_text() {
    let smtp = SmtpServer::start();
    let server = server(&smtp).await;
    let texts = [
        "above\n.\nbelow".to_owned(),
        "above\r\n.\r\nMAIL FROM:<evil@x.test>\r\nRCPT TO:<evil@x.test>\r\nDATA\r\nbelow".to_owned(),
        ".\n..\n...".to_owned(),
        format!("long {} end", "x".repeat(10_000)),
        "bare\rreturn".to_owned(),
        "ümläut 🎉 \u{2028} and = signs =20".to_owned(),
    ];
    for text in &texts {
        server.trigger("note", json!({"recipients": ["a@x.test"], "data": {"text": text}})).await;
        server.settle().await;
    }
    let mails = smtp.mails();
    assert_eq!(mails.len(), texts.len());
    let same_lines = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n");
    for (mail, text) in mails.iter().zip(&texts) {
        let (body, text) = (same_lines(&mail.body()), same_lines(text));
        assert!(body.contains(&text), "{body:?} lacks {:?}", &text[..text.len().min(60)]);
    }
    assert_eq!(smtp.attempts("evil@x.test"), 0);
}

#[tokio::test]
async fn the_login_is_used_when_there_is_one() {
    let smtp = SmtpServer::start();
    let setup = Setup::new().smtp(&smtp).set_email("username", "u").set_email("password", "hunter2-smtp");
    let server = setup.start().await;
    note(&server, "a@x.test").await;
    assert_eq!((smtp.mails().len(), smtp.logins()), (1, 1));
    assert!(!server.process.stderr().contains("hunter2-smtp"));
}

#[tokio::test]
async fn tls_is_never_traded_for_plain_text() {
    // The server offers no STARTTLS: nothing may be said to it, least of all the password.
    let smtp = SmtpServer::start();
    let setup = Setup::new().smtp(&smtp).set_email("tls", "starttls");
    let server = setup.set_email("username", "u").set_email("password", "hunter2").start().await;
    note(&server, "a@x.test").await;
    server.advance("2h").await;
    assert_eq!((smtp.offered().len(), smtp.logins(), smtp.attempts("a@x.test")), (0, 0, 0));
    let reply = server.send(Method::GET, "/healthz", SECRET, &[], None).await.unwrap();
    assert_eq!(reply.status, 200);
}
