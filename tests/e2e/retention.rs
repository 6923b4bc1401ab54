//! What is over is kept as long as the configuration says, and the file does not grow for ever.

use std::fs;
use std::time::Duration;

use belfry::base::clock::sleep;
use serde_json::json;

use crate::server::{DEADLINE, Setup, TestServer};

/// Waits until `count` records of a kind were trimmed.
async fn wait_for_trimmed(server: &TestServer, kind: &str, count: u64) {
    let trimmed = async {
        while server.metric("belfry_trimmed_total", kind).await < count {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, trimmed).await.unwrap_or_else(|_| panic!("{count} {kind} were never trimmed"));
}

fn short() -> Setup {
    ["runs", "messages", "captured_mail", "bulk_operations"]
        .into_iter()
        .fold(Setup::new(), |setup, kind| setup.set(&format!("retention.{kind}"), "1h"))
}

#[tokio::test]
async fn many_short_runs_leave_a_file_that_stops_growing_and_exact_feeds() {
    const PEOPLE: u64 = 100;
    const ROUNDS: u64 = 20;
    let server = short().start().await;
    let everyone: Vec<String> = (0..PEOPLE).map(|n| format!("u{n}@x.test")).collect();
    let file = server.setup.path("data/belfry.redb");
    let mut sizes = Vec::new();
    for round in 1..=ROUNDS {
        server.trigger("both", json!({"recipients": everyone, "data": {"text": "x".repeat(2_000)}})).await;
        server.settle().await;
        assert_eq!(server.feed("u7@x.test").await["meta"]["total_count"], 1, "the last round's item is gone");
        server.advance("90m").await;
        wait_for_trimmed(&server, "messages", 2 * PEOPLE * round).await;
        wait_for_trimmed(&server, "runs", PEOPLE * round).await;
        wait_for_trimmed(&server, "captured_mail", PEOPLE * round).await;
        sizes.push(fs::metadata(&file).unwrap().len());
    }
    let (first, second) = sizes.split_at(sizes.len() / 2);
    assert!(second.iter().min() < first.iter().max(), "it grows: {sizes:?}");
    assert_eq!(server.feed("u7@x.test").await["meta"]["total_count"], 0);
    assert!(server.mailbox().await.is_empty());
    // Those of the last rounds may still be needed.
    wait_for_trimmed(&server, "triggers", ROUNDS - 2).await;
}

#[tokio::test]
async fn a_run_that_waits_is_not_touched_however_long_and_goes_on_with_its_data() {
    let mut server = short().start().await;
    server.trigger("reminder", json!({"recipients": ["u@x.test"], "data": {"n": 7}})).await;
    server.settle().await;
    server.trigger("note", json!({"recipients": ["other@x.test"]})).await;
    server.advance("2d").await;
    wait_for_trimmed(&server, "messages", 2).await;
    server.kill_9().await;
    server.restart().await;
    server.advance("3d1m").await;
    assert!(server.mailbox().await.iter().any(|mail| mail["subject"] == "Second 7"));
}

#[tokio::test]
async fn runs_are_kept_no_shorter_than_messages() {
    let setup = Setup::new().set("retention.runs", "1d").set("retention.messages", "2d");
    let (code, _, stderr) = crate::server::run(setup.command()).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("retention.runs: shorter than retention.messages"), "{stderr}");
}
