//! Runs that wait: what they cost, and how fast they begin, come due and are cancelled, beside the same of BullMQ on Redis.
//!
//!   parked     a million runs, each of a trigger of its own with a cancellation key: resident memory and bytes on disk;
//!              cancels of keys all over them; how soon the server is ready again after it was killed under load
//!   rounds     triggers for one recipient at 64 clients, their cancels, triggers for 100, and 20,000 runs that come due
//!              together; the same of BullMQ. They alternate in rounds, so that a noisy machine troubles all alike: read
//!              the ratios
//!   late       runs that come due at 1,000 a second: how long after their time the step that follows begins
//!
//! BullMQ answers when Redis has synced its log (`appendfsync always`). It is measured twice: `behind` a process in Node
//! that takes the same calls over HTTP, as a backend's other processes would use it, and `direct`, called by the process
//! that measures, which no network can be faster than. It is spared what it can be: Redis takes no snapshots and never
//! rewrites its log, it is reached through a Unix socket, jobs leave nothing behind, the worker begins when all are due
//! and does nothing. Belfry's runs keep their history and either find that their recipient has no feed (no-op), or put
//! an item into one, exactly once.
//!
//! What it came to last stands in `docs/reliability.md`, from two quiet cores: every aim is met. Before that:
//!
//!   memory     of a parked run 240 bytes, with two B-trees of the standard library and a store's cache of 64 MiB; 162 when
//!              found again, while what is parked was collected before its set was built
//!   ready      after 2.56 s, before the recovered indexes were built at once
//!   items      a fired item cost 250 us of processor time, of which rendering took 40 %, when each rendering made its
//!              helpers anew; BullMQ's job, which does nothing, is still about as fast as an item that is stored
//!
//! `BENCH_PARTS` (`parked,late`), `BENCH_RUNS`, `BENCH_RECIPIENTS` (of each trigger that parks them), `BENCH_CLIENTS`,
//! `BENCH_DATA` (bytes of a trigger), `BENCH_ROUNDS`, `BENCH_RATE` and `BENCH_SECONDS` choose, `BENCH_QUICK=1` (or
//! `cargo test`) makes a smoke run, which installs nothing. `BELFRY_FIGURES=1` puts what it prints into
//! `docs/reliability.md`.

#[path = "../figures/mod.rs"]
mod figures;
#[path = "../node/mod.rs"]
mod node;
#[allow(dead_code, clippy::unwrap_used)]
#[path = "../../tests/figures/mod.rs"]
mod page;
#[path = "../request/mod.rs"]
mod request;
#[path = "../resident/mod.rs"]
mod resident;
#[path = "../server/mod.rs"]
mod server;

/// Prints a line, which the page has too.
macro_rules! tell {
    ($($text:tt)*) => {{
        let line = format!($($text)*);
        println!("{line}");
        let mut told = crate::TOLD.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        told.push_str(&line);
        told.push('\n');
    }};
}

mod bullmq;
mod call;
mod late;
mod load;
mod parked;
mod rounds;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

use figures::{is_quick, setting};

/// The longest that anything waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// All lines so far.
static TOLD: Mutex<String> = Mutex::new(String::new());

/// What all parts share.
struct Sizes {
    clients: usize,
    /// Bytes of data of a trigger.
    data: usize,
}

fn main() -> Result<()> {
    let quick = is_quick();
    let size = |name, usual, smoke| setting(name, if quick { smoke } else { usual });
    let sizes = Sizes { clients: size("BENCH_CLIENTS", 64, 4), data: size("BENCH_DATA", 200, 200) };
    let parts = std::env::var("BENCH_PARTS").unwrap_or_else(|_| "parked,rounds,late".into());
    let has = |part: &str| parts.split(',').any(|one| one.trim() == part);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if has("parked") {
        let (runs, recipients) = (size("BENCH_RUNS", 1_000_000, 200), size("BENCH_RECIPIENTS", 1, 1));
        let (kills, cancels) = if quick { (1, 20) } else { (5, 20_000) };
        runtime.block_on(parked::measure(&sizes, runs, recipients, kills, cancels))?;
    }
    if has("rounds") {
        let (singles, bulks, thousands, seconds) = if quick { (100, 5, 1, 1) } else { (8_000, 200, 20, 3) };
        let amounts = rounds::Amounts { singles, bulks, thousands, soon: Duration::from_secs(seconds) };
        let jobs = if quick { 500 } else { 100_000 };
        runtime.block_on(rounds::measure(&sizes, size("BENCH_ROUNDS", 5, 1), amounts, jobs))?;
    }
    if has("late") {
        let (rate, seconds) = (size("BENCH_RATE", 1_000, 100), size("BENCH_SECONDS", 10, 1));
        runtime.block_on(late::measure(&sizes, rate, Duration::from_secs(seconds as u64)))?;
    }
    let told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let command = format!("`BENCH_PARTS={parts} cargo bench --bench pending`, on {cores} cores:");
    page::put("pending", &format!("{command}\n\n```text\n{told}```\n"));
    Ok(())
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1_000_000.0
}
