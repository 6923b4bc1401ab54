//! Running it: probes, metrics, and ends that lose nothing.

use std::process::Stdio;
use std::time::Duration;

use belfry::base::clock::Stopwatch;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::server::{SECRET, Setup};
use crate::smtp::{Answer, SmtpServer, Step};

#[tokio::test]
async fn probes_and_metrics_answer_without_a_key_and_name_nobody() {
    let server = Setup::new().start().await;
    server.trigger("both", json!({"recipients": ["dr@grant.test"], "data": {"n": 1}})).await;
    server.settle().await;
    server.get("/v1/users/dr@grant.test").await;
    for (path, status) in [("/healthz", "ok"), ("/readyz", "ready")] {
        let reply = server.http.get(format!("{}{path}", server.url)).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.json::<serde_json::Value>().await.unwrap(), json!({"status": status}));
    }
    assert_eq!(server.metric("belfry_triggers_total", "").await, 1);
    assert_eq!(server.metric("belfry_attempts_total", "accepted").await, 1);
    let metrics = server.get("/metrics").await;
    assert!(metrics.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    assert!(metrics.text.contains("/v1/users/{id}"), "routes are labelled by their pattern:\n{}", metrics.text);
    assert!(!metrics.text.contains("grant"), "recipients are no label:\n{}", metrics.text);
}

#[tokio::test]
async fn dev_endpoints_are_not_there_unless_they_are_switched_on() {
    let server = Setup::new().set("server.dev", false).start().await;
    server.trigger("note", json!({"recipients": ["a@x.test"]})).await;
    for path in ["/dev/mailbox", "/dev/mailbox/x", "/dev/clock"] {
        let body = server.get(path).await.assert_error(404, "resource_missing");
        assert!(body["message"].as_str().unwrap().contains("server.dev = true"), "{body}");
    }
    server.post("/dev/clock/advance", json!({"by": "3d"})).await.assert_error(404, "resource_missing");
}

#[tokio::test]
async fn a_request_that_is_under_way_ends_and_what_it_started_is_done_at_the_next_start() {
    let smtp = SmtpServer::start();
    let mut server = Setup::new().smtp(&smtp).start().await;
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let body = json!({"recipients": ["late@x.test"]}).to_string();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /v1/workflows/note/trigger HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {SECRET}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 512];
    let count = stream.read(&mut answer).await.unwrap();
    assert!(answer[..count].starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&answer[..count]));

    // The handler has the request. The server refuses others from now on, and waits for the rest of this one.
    server.process.signal("-TERM").await;
    while TcpStream::connect(&address).await.is_ok() {}
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(server.process.exit().await.code(), Some(0));
    server.restart().await;
    smtp.wait_for(|mails| mails.len() == 1).await;
}

#[tokio::test]
async fn a_server_to_which_nobody_listens_any_more_goes_on() {
    let setup = Setup::new();
    let mut server = setup.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Its first words find nobody; the log tells where it listens, and is read no further.
    drop(server.stdout.take());
    let mut log = BufReader::new(server.stderr.take().unwrap()).lines();
    let url = loop {
        let line = log.next_line().await.unwrap().expect("it ended");
        if let Some((_, url)) = line.split_once("url=\"") {
            break url.split_once('"').unwrap().0.to_owned();
        }
    };
    drop(log);
    let http = reqwest::Client::new();
    for _ in 0..3 {
        let call = http.post(format!("{url}/v1/workflows/note/trigger")).bearer_auth(SECRET);
        let answer = call.json(&json!({"recipients": ["a@x.test"]})).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    let kill = Command::new("kill").args(["-TERM", &server.id().unwrap().to_string()]).status().await;
    assert!(kill.unwrap().success());
    assert_eq!(server.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end() {
    let mut server = Setup::new().start().await;
    // The client keeps this connection open; another one never says anything.
    server.get("/healthz").await;
    let _silent = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap();
    let watch = Stopwatch::start();
    server.process.signal("-TERM").await;
    assert_eq!(server.process.exit().await.code(), Some(0));
    assert!(watch.elapsed() < Duration::from_secs(8), "it took {:?}", watch.elapsed());
}

fn silent_after_data(step: Step<'_>) -> Answer {
    match step {
        Step::Message(_) => Answer::Silence,
        _ => Answer::Accept,
    }
}

#[tokio::test]
async fn a_silent_mail_server_does_not_hold_up_the_end_and_gets_its_mail_later() {
    let smtp = SmtpServer::scripted(silent_after_data);
    let mut server = Setup::new().smtp(&smtp).set("delivery.concurrency", 2).start().await;
    let everyone: Vec<String> = (0..5).map(|n| format!("u{n}@x.test")).collect();
    server.trigger("note", json!({"recipients": everyone})).await;
    smtp.wait_for_offers(2).await;
    let watch = Stopwatch::start();
    server.process.signal("-TERM").await;
    assert_eq!(server.process.exit().await.code(), Some(0), "{}", server.process.stderr());
    assert!(watch.elapsed() < Duration::from_secs(20), "it took {:?}", watch.elapsed());
    smtp.script(|_| Answer::Accept);
    server.restart().await;
    let mails = smtp.wait_for(|mails| mails.len() == 5).await;
    let again = smtp.offered().into_iter().take(2);
    assert!(again.into_iter().all(|first| mails.contains(&first)), "a repeat differs");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_loses_nothing() {
    let smtp = SmtpServer::scripted(silent_after_data);
    let mut server = Setup::new().smtp(&smtp).start().await;
    server.trigger("note", json!({"recipients": ["a@x.test"]})).await;
    smtp.wait_for_offers(1).await;
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    server.process.signal("-TERM").await;
    while TcpStream::connect(&address).await.is_ok() {}
    assert!(server.process.is_running(), "it waits for the send");
    let watch = Stopwatch::start();
    server.process.signal("-TERM").await;
    assert_eq!(server.process.exit().await.code(), Some(0), "{}", server.process.stderr());
    assert!(watch.elapsed() < Duration::from_secs(3), "it took {:?}", watch.elapsed());
    smtp.script(|_| Answer::Accept);
    server.restart().await;
    smtp.wait_for(|mails| mails.len() == 1).await;
}

#[tokio::test]
async fn an_end_in_the_middle_of_much_work_loses_nothing_and_repeats_nothing() {
    let smtp = SmtpServer::scripted(|_| Answer::AcceptAfter(Duration::from_millis(5)));
    let mut server = Setup::new().smtp(&smtp).start().await;
    let everyone: Vec<String> = (0..300).map(|n| format!("u{n}@x.test")).collect();
    server.trigger("both", json!({"recipients": everyone})).await;
    smtp.wait_for(|mails| mails.len() >= 20).await;
    server.process.signal("-TERM").await;
    assert_eq!(server.process.exit().await.code(), Some(0));
    server.restart().await;
    server.settle().await;
    let mut got: Vec<String> = smtp.mails().into_iter().map(|mail| mail.to).collect();
    got.sort();
    got.dedup();
    assert_eq!((smtp.mails().len(), got.len()), (300, 300));
    for user in everyone.iter().step_by(17) {
        assert_eq!(server.feed(user).await["meta"]["total_count"], 1);
    }
}
