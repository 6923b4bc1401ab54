//! A long outage: much is due when the server comes back. It begins at once, in an order, and holds nobody else up.

use std::time::Duration;

use belfry::base::clock::{Stopwatch, sleep};
use serde_json::json;

use crate::server::{Setup, delay, email, in_app};
use crate::smtp::SmtpServer;

const DUE: usize = 900;
/// Runs at work at once.
const ACTIVE: i64 = 50;
/// A start, and whoever asks while the rest is worked off, waits no longer than this, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(3);

pub async fn what_became_due_in_an_outage_begins_at_once_and_holds_nobody_up() {
    let smtp = SmtpServer::start();
    let setup = Setup::new().smtp(&smtp).set("engine.max_active_runs", ACTIVE).set("log.level", "warn");
    let setup = setup.workflow("soon", &[delay("seconds", 2), email("Soon"), in_app("Soon")]);
    let mut server = setup.workflow("now", &[in_app("Now")]).start().await;
    let everyone: Vec<String> = (0..DUE).map(|number| format!("u{number}@x.test")).collect();
    server.trigger("soon", json!({"recipients": everyone})).await;
    server.kill_9().await;
    let down = Stopwatch::start();
    // An outage has to last.
    sleep(Duration::from_secs(2)).await;
    assert_eq!(smtp.mails(), []);
    server.restart().await;
    let up = Stopwatch::start();
    smtp.wait_for(|mails| !mails.is_empty()).await;
    let first = up.elapsed();
    let (mut slowest, mut asked, mut most_live) = (Duration::ZERO, 0, 0);
    while smtp.mails().len() < DUE {
        let watch = Stopwatch::start();
        server.trigger("now", json!({"recipients": ["reader"]})).await;
        slowest = slowest.max(watch.elapsed());
        asked += 1;
        most_live = most_live.max(server.metric("belfry_runs_live", "").await);
    }
    let done = up.elapsed();
    server.settle().await;
    assert_eq!(server.feed("reader").await["meta"]["total_count"], asked);
    let mut got: Vec<String> = smtp.mails().into_iter().map(|mail| mail.to).collect();
    got.sort();
    got.dedup();
    assert_eq!((smtp.mails().len(), got.len()), (DUE, DUE));
    println!(
        "{DUE} runs were due after {:.1} s: the first was sent {first:.0?} after the start, the last {done:.0?}; of {asked} \
         triggers meanwhile the slowest took {slowest:.0?}; at most {most_live} runs were live",
        down.elapsed().as_secs_f64() - done.as_secs_f64(),
    );
    assert!(first < PATIENCE, "the first came {first:?} after the start");
    assert!(slowest < PATIENCE, "a trigger took {slowest:?}");
    assert!(most_live <= ACTIVE as u64, "{most_live} runs were at work at once");
}
