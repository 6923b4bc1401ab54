//! The whole server in a seeded world: real actors, real store, a disk that loses what was not synced, a provider with
//! moods, three-day delays under a paused clock, and a model that knows what may come of it. In `faults`: the store alone
//! on a disk of which every operation fails in turn. The flaws below are planted, and each must be noticed.
//!
//! `BELFRY_SIM_SEED=123 cargo test --test sim` plays one seed and shows its trace; `BELFRY_SIM_SEEDS=20000` plays more, and
//! `BELFRY_SIM_SEEDS=500..20000` only those.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod audience;
mod cast;
mod check;
mod client;
mod disk;
mod faults;
#[path = "../figures/mod.rs"]
mod figures;
mod ledger;
mod op_script;
mod panics;
mod provider;
mod rng;
mod script;
mod seeds;
mod snapshot;
mod subscribers;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use figures::row;
use world::{Flaw, Outcome, play};

/// Plays a world on the calling thread; a panic of the world itself is one more violation.
fn outcome(seed: u64, flaw: Option<Flaw>) -> Outcome {
    panics::hide_staged_panics();
    std::panic::catch_unwind(|| play(seed, flaw)).unwrap_or_else(|panic| {
        let text = belfry::base::deps::panic_text(panic.as_ref());
        Outcome { violations: vec![format!("the world panicked: {text}")], trace: Vec::new() }
    })
}

/// What must have come up somewhere in a full run, by a word of the trace: a fault that never happens proves nothing.
const SIGHTS: [&str; 33] = [
    " answer c",
    " cancelled [",
    " send ",
    "crash Kill",
    "crash PowerCut",
    "stopped inside a commit",
    "stopped while it opened",
    "stopped when asked",
    "did not stop in time",
    "marked",
    "marked in bulk",
    "the client went away",
    "Replayed",
    "Mismatch",
    "step -",
    "advanced",
    "spreads on",
    "cancel while it spreads",
    "panic stumbles",
    "panic dies",
    " Panicked",
    "in flight",
    "spite",
    "again after it was accepted",
    "again after a crash",
    " Transient",
    " Permanent",
    "Undelivered",
    "NotSent",
    " Batched(",
    "Cancelled",
    "Failed(\"its actor panicked 3 times\")",
    "cannot divide by zero",
];

/// What came of many worlds.
#[derive(Default)]
struct Played {
    failed: BTreeMap<u64, Vec<String>>,
    seen: BTreeMap<&'static str, u64>,
}

/// Plays `seeds` on two threads.
fn play_all(seeds: &[u64]) -> Played {
    let next = AtomicU64::new(0);
    let played = Mutex::new(Played::default());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::SeqCst) as usize) {
                    let Outcome { violations, trace } = outcome(*seed, None);
                    let mut played = played.lock().unwrap();
                    for sight in SIGHTS {
                        let seen = trace.iter().filter(|line| line.contains(sight)).count() as u64;
                        *played.seen.entry(sight).or_default() += seen;
                    }
                    if !violations.is_empty() {
                        played.failed.insert(*seed, violations);
                    }
                }
            });
        }
    });
    played.into_inner().unwrap()
}

fn assert_kept(seeds: &[u64]) -> Played {
    let played = play_all(seeds);
    let shown: Vec<String> = played
        .failed
        .iter()
        .take(10)
        .map(|(seed, wrong)| {
            format!("BELFRY_SIM_SEED={seed} cargo test --test sim\n  {}", wrong[..wrong.len().min(3)].join("\n  "))
        })
        .collect();
    let (failed, all) = (played.failed.len(), seeds.len());
    assert!(played.failed.is_empty(), "{failed} of {all} seeds failed. Replay:\n{}", shown.join("\n"));
    played
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text}")))
}

#[test]
fn five_hundred_seeds_keep_every_promise() {
    if let Some(seed) = number("BELFRY_SIM_SEED") {
        let Outcome { violations, trace } = outcome(seed, None);
        println!("{:#?}\n{}", script::Script::of(seed), trace.join("\n"));
        assert_eq!(violations, Vec::<String>::new());
        return;
    }
    let seeds = seeds();
    let played = assert_kept(&seeds);
    println!("{} worlds met {:#?}", seeds.len(), played.seen);
    let missed: Vec<_> = played.seen.iter().filter(|(_, times)| **times == 0).collect();
    assert!(seeds.len() < 500 || missed.is_empty(), "never met: {missed:?}");
    let seen = |sight| played.seen[sight] as usize;
    let rows = [
        row("a world in which a promise is broken", seeds.len()),
        row("a trigger that was answered: lost, or done in part", seen(" answer c")),
        row("a cancel that was answered: a step after it", seen(" cancelled [")),
        row("an attempt to send an email: early, or with other bytes, or after a cancel", seen(" send ")),
        row("a kill: something lost", seen("crash Kill")),
        row("a power cut: something lost", seen("crash PowerCut")),
    ];
    figures::publish("worlds", &format!("BELFRY_SIM_SEEDS={} cargo test --test sim", seeds.len()), &rows, "");
}

/// The seeds to play: so many, or a range of them.
fn seeds() -> Vec<u64> {
    let text = std::env::var("BELFRY_SIM_SEEDS").unwrap_or_else(|_| "500".into());
    let (from, to) = text.split_once("..").unwrap_or(("0", &text));
    let number =
        |text: &str| text.parse().unwrap_or_else(|_| panic!("BELFRY_SIM_SEEDS must be 500 or 500..1000, not {text}"));
    (number(from)..number(to)).collect()
}

#[test]
fn seeds_that_once_failed_keep_every_promise() {
    assert_kept(&seeds::REGRESSIONS.iter().map(|(seed, _)| *seed).collect::<Vec<_>>());
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    // In the last two several runs are woken at one instant, which once happened in an order of chance.
    for seed in (0..20).chain([112, 258]) {
        let [first, second] = [0; 2].map(|_| outcome(seed, None).trace);
        let differ = first.iter().zip(&second).find(|(one, other)| one != other);
        assert_eq!(differ, None, "seed {seed}");
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}

/// The first world in which the flaw is found must find it by a promise that the flaw breaks.
fn assert_caught(flaw: Flaw, promises: &[&str]) {
    assert_caught_from(0, flaw, promises);
}

fn assert_caught_from(first: u64, flaw: Flaw, promises: &[&str]) {
    for seed in first..first + 60 {
        let violations = outcome(seed, Some(flaw)).violations;
        if violations.iter().any(|wrong| promises.iter().any(|promise| wrong.starts_with(promise))) {
            println!("world {seed} noticed {flaw:?}");
            return;
        }
    }
    panic!("nobody noticed {flaw:?} in 60 worlds");
}

#[test]
fn a_disk_that_does_not_sync_is_noticed() {
    assert_caught(Flaw::DeafDisk, &["P1", "P2"]);
    assert!(faults::notices(Flaw::DeafDisk));
}

#[test]
fn an_answer_before_the_commit_is_noticed() {
    assert_caught(Flaw::AnsweredEarly, &["P1"]);
    assert!(faults::notices(Flaw::AnsweredEarly));
}

#[test]
fn a_cancel_that_is_answered_and_not_written_is_noticed() {
    assert_caught(Flaw::CancelForgotten, &["P7"]);
}

#[test]
fn a_cancel_that_takes_a_later_trigger_is_noticed() {
    // Few worlds use a key again so soon after its cancel.
    assert_caught_from(250, Flaw::CancelLingers, &["P7"]);
}

#[test]
fn a_step_that_ignores_a_cancel_is_noticed() {
    assert_caught(Flaw::CancelIgnored, &["P7"]);
}

#[test]
fn a_timer_that_fires_late_after_a_restart_is_noticed() {
    assert_caught(Flaw::SlowStart, &["P8"]);
}

#[test]
fn more_attempts_at_once_than_the_limit_are_noticed() {
    assert_caught(Flaw::Stampede, &["P5"]);
}

#[test]
fn a_timer_that_fires_early_is_noticed() {
    assert_caught(Flaw::HastyClock, &["P8"]);
}

#[test]
fn an_email_that_never_arrived_is_noticed() {
    assert_caught(Flaw::AcceptedInSilence, &["P2"]);
}

#[test]
fn an_email_that_is_sent_twice_is_noticed() {
    assert_caught(Flaw::SentTwice, &["P5"]);
}

#[test]
fn an_email_that_changes_between_attempts_is_noticed() {
    assert_caught(Flaw::RenderedAgain, &["P4"]);
}

#[test]
fn a_lost_feed_item_is_noticed() {
    assert_caught(Flaw::FeedRowLost, &["P6"]);
}

#[test]
fn a_mark_that_is_answered_and_not_written_is_noticed() {
    assert_caught(Flaw::MarkForgotten, &["P1"]);
}

#[test]
fn a_fan_out_that_a_crash_ends_is_noticed() {
    assert_caught(Flaw::FanOutLost, &["P3"]);
}

#[test]
fn an_item_that_is_not_announced_is_noticed() {
    assert_caught(Flaw::DeafHub, &["P6"]);
}
