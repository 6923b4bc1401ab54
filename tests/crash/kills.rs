//! The server is killed and started again under load, at moments that hurt: at the n-th answer, at the n-th email, at
//! any. Then every request is accounted for.

use std::time::Duration;

use belfry::base::clock::sleep;
use tokio::sync::watch;

use crate::figures::{Row, publish, row};
use crate::ledger::{DELAY, End, Fate, How, Ledger, Mark};
use crate::load::Load;
use crate::server::{Setup, TestServer, delay, email, in_app};

/// The default.
const CONCURRENCY: usize = 16;

pub async fn every_request_is_accounted_for(rounds: usize) {
    let load = Load::new(CONCURRENCY);
    let steps = [in_app("Item"), email("First"), delay("seconds", 1), email("Second")];
    let setup = Setup::new().smtp(&load.smtp).set("delivery.concurrency", CONCURRENCY as i64).set("log.level", "warn");
    let mut server = setup.workflow("chain", &steps).start().await;
    for _ in 0..rounds {
        let how = match load.below(10) {
            0..8 => How::Killed,
            8 => How::Asked,
            _ => How::AskedTwice,
        };
        let stop = watch::Sender::new(false);
        let end = async {
            moment(&load).await;
            let at = load.now();
            signal(&server, how).await;
            stop.send_replace(true);
            at
        };
        let ((), at) = tokio::join!(load.run(&server, &stop), end);
        let code = server.process.exit().await.code();
        assert_eq!(code, if how == How::Killed { None } else { Some(0) }, "{}", server.process.stderr());
        server.restart().await;
        load.ledger().ends.push(End { how, at, up: load.now() });
    }
    // And a while without an end, for how late things come when nothing waits from before.
    load.come_to_rest(&server).await;
    let stop = watch::Sender::new(false);
    let calm = async {
        sleep(2 * DELAY).await;
        stop.send_replace(true)
    };
    tokio::join!(load.run(&server, &stop), calm);
    load.come_to_rest(&server).await;
    load.read_feeds(&server).await;
    let ledger = load.ledger();
    let faults = ledger.faults();
    assert!(
        faults.is_empty(),
        "{} faults in {rounds} ends:\n{}",
        faults.len(),
        faults[..faults.len().min(10)].join("\n")
    );
    assert!(ledger.calls.iter().filter(|call| call.is_accepted()).count() > 5 * rounds, "too little was tried");
    let command = format!("cargo test --test crash -- --rounds {rounds}");
    publish("kills", &command, &count(&ledger), &measured(&ledger));
}

/// Waits for the moment at which the process is to end.
async fn moment(load: &Load) {
    let patience = Duration::from_millis(2_500);
    let many = 1 + load.below(400) as usize;
    match load.below(3) {
        0 => sleep(Duration::from_millis(load.below(2_500))).await,
        1 => {
            let mut answered = load.answered.subscribe();
            let goal = *answered.borrow_and_update() + many;
            drop(tokio::time::timeout(patience, answered.wait_for(|count| *count >= goal)).await);
        }
        _ => {
            let goal = load.smtp.mails().len() + many;
            drop(tokio::time::timeout(patience, load.smtp.wait_for(|mails| mails.len() >= goal)).await);
        }
    }
}

async fn signal(server: &TestServer, how: How) {
    match how {
        How::Killed => server.process.signal("-KILL").await,
        How::Asked => server.process.signal("-TERM").await,
        How::AskedTwice => {
            server.process.signal("-TERM").await;
            server.process.signal("-INT").await;
        }
    }
}

/// What was tried.
fn count(ledger: &Ledger) -> Vec<Row> {
    let accepted = ledger.calls.iter().filter(|call| call.is_accepted());
    let taken = ledger.calls.iter().filter_map(|call| call.cancel_answer()).filter(|(_, taken, _)| *taken);
    let seconds = ledger.arrivals.iter().filter(|one| one.subject == "Second");
    vec![
        row("an end of the server, after which it does not come back", ledger.ends.len()),
        row("a trigger that was accepted: lost, or done in part", accepted.count()),
        row("a cancel that was answered in time: an email after it", taken.count()),
        row("an item of a feed: twice, lost, or other counts", ledger.feeds.values().map(Vec::len).sum()),
        row("a mark that was answered: lost", ledger.calls.iter().filter(|call| call.mark == Mark::Answered).count()),
        row("an email that follows a delay: early", seconds.count()),
        row("an email: repeated without a crash, or with other bytes", ledger.arrivals.len()),
    ]
}

/// What was measured meanwhile.
fn measured(ledger: &Ledger) -> String {
    let ends = |how| ledger.ends.iter().filter(|end| end.how == how).count();
    let in_doubt = ledger.calls.iter().filter(|call| call.fate == Fate::InDoubt).count();
    let late = ledger.lateness();
    let at = |share: usize| late.get(late.len() * share / 100).map_or(0, Duration::as_millis);
    format!(
        "The server was killed with `kill -9` {} times, ended by SIGTERM {} times and by two signals {} times. {in_doubt} \
         requests were never answered; each was done for all of its recipients or for none. {} emails were repeated; {} might \
         have been. While no end came between, {} emails that follow a delay came at most {} ms (p50) and {} ms (p99) late, \
         counted from before their trigger was sent, in a build without optimisation, with the clients and the mail server on \
         the same cores.",
        ends(How::Killed),
        ends(How::Asked),
        ends(How::AskedTwice),
        ledger.repeats(),
        (ends(How::Killed) + ends(How::AskedTwice)) * CONCURRENCY,
        late.len(),
        at(50),
        at(99),
    )
}
