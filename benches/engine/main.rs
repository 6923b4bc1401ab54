//! What the steps of a run cost, and batches: many events on one key, many batches that are open, one that closes.
//!
//!   steps     runs of 11 steps beside runs of one: transitions a second, each of which is written and synced
//!   one key   10,000 events that join one batch, beside as many that a throttle ends: both are a trigger and one write
//!   keys      10,000 events that join 1,000 open batches, beside the same
//!   memory    20,000 open batches, beside as many runs that a delay holds
//!   close     how long after its time a batch of 10,000 is an item of its reader's feed, beside a batch of 10
//!
//! Both of a pair run in one process of the server and alternate in rounds, so that a noisy machine troubles both alike:
//! read the ratios. The recipients of all but the last are objects, which have no feed: a step that would make an item is
//! left out, and what is measured is the engine alone.
//!
//! Last measured on two quiet cores:
//!
//!   steps     22,400 a second, 0.99 (0.90 to 1.19) of runs of one; 38 us of a processor for each of the 11
//!   one key   23,700 a second, 0.89 (0.82 to 1.10) of what a throttle ends
//!   keys      18,400 a second, 1.04 (0.98 to 1.07)
//!   memory    1,575 bytes an open batch, 957 a run in a delay, the cache of the store, which fills meanwhile, included
//!   close     5.2 ms after its time with 10,000 items, 4.9 ms with 10
//!
//! `BENCH_ROUNDS`, `BENCH_CLIENTS` and `BENCH_EVENTS` choose, `BENCH_QUICK=1` (or `cargo test`) makes a smoke run.

#[path = "../figures/mod.rs"]
mod figures;
#[path = "../pending/load.rs"]
mod load;
#[path = "../request/mod.rs"]
mod request;
#[path = "../resident/mod.rs"]
mod resident;
#[path = "../server/mod.rs"]
mod server;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use belfry::base::clock::{Stopwatch, Timestamp, sleep};
use serde_json::{Value, json};

use figures::{Spread, is_quick, setting};
use load::send;
use request::{HOLE, Request};
use resident::resident_bytes;
use server::{Server, publish};

/// The longest that anything waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the metrics, which take the server's time too.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
/// Waited before memory is looked at: what the load itself took is given back.
const SETTLED: Duration = Duration::from_secs(2);
/// Steps that let everything pass, and the one behind them.
const STEPS: usize = 10;
const FEED: &str = "6f1c2a94-3d7b-4e58-9a06-c41be8d3f715";

struct Bench {
    server: Server,
    clients: usize,
    /// Batches and delays that are open.
    parked: usize,
}

fn main() -> Result<()> {
    let quick = is_quick();
    let size = |name, usual, smoke| setting(name, if quick { smoke } else { usual });
    let (clients, rounds) = (size("BENCH_CLIENTS", 64, 4), size("BENCH_ROUNDS", 5, 1));
    let events = size("BENCH_EVENTS", 10_000, 100);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let mut bench = Bench { server: start(dir.path(), if quick { 2 } else { 20 })?, clients, parked: 0 };
        println!("{:<34} {:>10} {:>10} {:>7}  {:<14}", "", "a second", "beside", "ratio", "spread");
        bench.steps(events / 5, rounds).await?;
        bench.joins("events that join one batch", events, 1, rounds).await?;
        bench.joins("events that join 1,000 batches", events, events.min(1_000), rounds).await?;
        bench.closes(events).await?;
        for (name, workflow) in [("an open batch", "batch"), ("a run in a delay", "delay")] {
            let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
            let bench = Bench { server: start(dir.path(), 20)?, clients, parked: 0 };
            println!("{name} takes {:.0} bytes of memory", bench.memory(workflow, 2 * events).await?);
        }
        Ok(())
    })
}

/// Belfry with its data under `dir`; `soon` closes after so many seconds.
fn start(dir: &Path, soon: usize) -> Result<Server> {
    let span = |unit: &str, value: usize| json!({"unit": unit, "value": value});
    let step = |number: usize, kind: &str, settings: Value| json!({"ref": format!("{kind}_{number}"), "type": kind, "settings": settings});
    let throttle = |number, limit: usize| {
        step(number, "throttle", json!({"throttle_window": span("days", 31), "throttle_limit": limit}))
    };
    publish(dir, "steps", (0..STEPS).map(|number| throttle(number, 1_000_000)).collect())?;
    publish(dir, "step", Vec::new())?;
    publish(dir, "held", vec![throttle(1, 1)])?;
    publish(dir, "delay", vec![step(1, "delay", json!({"delay_for": span("days", 3)}))])?;
    publish(dir, "soon", vec![step(1, "batch", json!({"batch_window": span("seconds", soon)}))])?;
    Server::belfry(dir, "batch", vec![step(1, "batch", json!({"batch_window": span("days", 3)}))])
}

/// A trigger for one recipient.
fn trigger(workflow: &str, recipient: Value) -> Request {
    let body = json!({"recipients": [recipient], "data": {"text": "x".repeat(200)}});
    Request::post(&format!("/v1/workflows/{workflow}/trigger"), &body)
}

/// An object by what its id begins with; others for each number.
fn thing(id: &str) -> Value {
    json!({"collection": "things", "id": format!("{id}-{HOLE}")})
}

impl Bench {
    /// Seconds until all these events were taken and all their runs rest, `more` of them in a batch or delay.
    async fn run(
        &mut self,
        workflow: &str,
        recipient: Value,
        numbers: impl Iterator<Item = usize>,
        more: usize,
    ) -> Result<f64> {
        let watch = Stopwatch::start();
        send(self.server.address, self.clients, &trigger(workflow, recipient), numbers, None).await?;
        self.parked += more;
        // A run is parked, ready and live in this order, so that none is missed.
        let parked = self.parked;
        until(&self.server, "belfry_runs_parked", |runs| runs == parked).await?;
        until(&self.server, "belfry_runs_ready", |runs| runs == 0).await?;
        until(&self.server, "belfry_runs_live", |runs| runs == 0).await?;
        Ok(watch.elapsed().as_secs_f64())
    }

    async fn steps(&mut self, runs: usize, rounds: usize) -> Result<()> {
        let (mut many, mut one, mut micros) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=rounds {
            let before = self.server.processor_micros()?;
            let long = self.run("steps", thing(&format!("m{round}")), 0..runs, 0).await?;
            let worked = self.server.processor_micros()? - before;
            let short = self.run("step", thing(&format!("o{round}")), 0..runs, 0).await?;
            // The first round fills caches and grows the file.
            if round > 0 {
                many.push((runs * (STEPS + 1)) as f64 / long);
                one.push(runs as f64 / short);
                micros.push(worked / (runs * (STEPS + 1)) as f64);
            }
        }
        report("steps of runs of 11; of one", many, one);
        println!(
            "  each of the 11 takes {:.0} us of a processor, a part of its trigger included",
            Spread::of(micros).middle
        );
        Ok(())
    }

    /// `events` that join `keys` batches, beside as many that are held back by throttles of as many keys.
    async fn joins(&mut self, name: &str, events: usize, keys: usize, rounds: usize) -> Result<()> {
        let (mut joined, mut held) = (Vec::new(), Vec::new());
        let numbers = || (0..events).map(|number| number % keys);
        for round in 0..=rounds {
            let to = thing(&format!("{keys}k{round}"));
            let times =
                [self.run("batch", to.clone(), numbers(), keys).await?, self.run("held", to, numbers(), 0).await?];
            if round > 0 {
                joined.push(events as f64 / times[0]);
                held.push(events as f64 / times[1]);
            }
        }
        report(name, joined, held);
        Ok(())
    }

    async fn closes(&mut self, events: usize) -> Result<()> {
        let mut late = Vec::new();
        for (user, count) in [("large", events), ("small", 10)] {
            send(self.server.address, self.clients, &trigger("soon", json!(user)), 0..count, None).await?;
            late.push(self.lateness(user, count).await?);
        }
        println!("a batch of {events} is told {:.1} ms after its time, one of 10 {:.1} ms", late[0], late[1]);
        Ok(())
    }

    /// How many milliseconds after its time a batch of `soon` became an item.
    async fn lateness(&self, user: &str, count: usize) -> Result<f64> {
        let watch = Stopwatch::start();
        loop {
            let feed: Value = serde_json::from_str(&self.server.get(&format!("/v1/users/{user}/feeds/{FEED}")).await?)?;
            if let Some(item) = feed["entries"].get(0) {
                if item["total_activities"] != count {
                    bail!("the item tells of {} and not of {count}: the window is too short", item["total_activities"]);
                }
                let at = |value: &Value| -> Result<Timestamp> {
                    Ok(Timestamp::from_jiff(value.as_str().context("no time")?.parse()?))
                };
                let passed = at(&item["inserted_at"])?.since(at(&item["activities"][0]["inserted_at"])?);
                let whole = passed.as_secs_f64();
                return Ok((whole - whole.floor()) * 1_000.0);
            }
            if watch.elapsed() > PATIENCE {
                bail!("the batch of {user} does not close");
            }
            sleep(BETWEEN_LOOKS).await;
        }
    }

    async fn memory(mut self, workflow: &str, runs: usize) -> Result<f64> {
        self.run("step", thing("warm"), 0..runs / 2, 0).await?;
        sleep(SETTLED).await;
        let before = resident_bytes(self.server.process.id())?;
        self.run(workflow, thing("open"), 0..runs, runs).await?;
        sleep(SETTLED).await;
        let after = resident_bytes(self.server.process.id())?;
        Ok(after.saturating_sub(before) as f64 / runs as f64)
    }
}

fn report(name: &str, ours: Vec<f64>, beside: Vec<f64>) {
    let ratio = Spread::of(ours.iter().zip(&beside).map(|(ours, beside)| ours / beside).collect());
    let (ours, beside) = (Spread::of(ours).middle, Spread::of(beside).middle);
    println!("{name:<34} {ours:>10.0} {beside:>10.0} {:>7.2}  {}", ratio.middle, ratio.range());
}

/// Until one of the server's metrics is as it should be.
async fn until(server: &Server, name: &str, fits: impl Fn(usize) -> bool) -> Result<()> {
    let watch = Stopwatch::start();
    loop {
        let value = server.metric(name).await? as usize;
        if fits(value) {
            return Ok(());
        }
        if watch.elapsed() > PATIENCE {
            bail!("{name} stays {value}");
        }
        sleep(BETWEEN_LOOKS).await;
    }
}
