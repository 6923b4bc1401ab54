//! Belfry beside BullMQ: the same calls, in rounds that alternate.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use belfry::base::clock::{Stopwatch, sleep};
use serde_json::{Value, json};

use crate::Sizes;
use crate::bullmq::BullMq;
use crate::call::{Call, REMINDER, SOON, belfry, things, until_ended, until_parked, users};
use crate::figures::Spread;
use crate::load::send;
use crate::request::{HOLE, Request};
use crate::resident::resident_bytes;
use crate::server::Server;

/// Recipients of a trigger for many.
const MANY: usize = 100;
/// Recipients of a trigger whose runs come due together: the most that a trigger may have.
const MOST: usize = 1_000;
/// Where numbers come in what BullMQ's process calls by itself.
const ITS_HOLE: &str = "@@@@@@@@@@@@";

/// How much each does in a round.
#[derive(Clone, Copy)]
pub struct Amounts {
    /// Triggers for one recipient, which are then cancelled.
    pub singles: usize,
    /// Triggers for many.
    pub bulks: usize,
    /// Thousands of runs that come due together.
    pub thousands: usize,
    /// How long these wait.
    pub soon: Duration,
}

#[derive(Clone, Copy, PartialEq)]
enum Contender {
    Belfry,
    /// BullMQ behind HTTP.
    Behind,
    /// BullMQ, called by the process that it runs in.
    Direct,
}

const CONTENDERS: [Contender; 3] = [Contender::Belfry, Contender::Behind, Contender::Direct];

#[derive(Clone, Copy)]
struct Figure {
    per_second: f64,
    /// Processor time of each, in microseconds.
    micros: f64,
}

impl Figure {
    fn of(count: usize, seconds: f64, micros: f64) -> Self {
        Self { per_second: count as f64 / seconds, micros: micros / count as f64 }
    }
}

/// What one contender did in one round.
struct Turn {
    singles: Figure,
    cancels: Figure,
    bulks: Figure,
    /// Runs that had nothing to do when they came due.
    fired: Option<Figure>,
    /// Runs that put an item into a feed.
    items: Option<Figure>,
}

/// A figure of Belfry's, and the figure of the others that it is compared with.
struct Row {
    name: &'static str,
    ours: fn(&Turn) -> Option<Figure>,
    theirs: fn(&Turn) -> Option<Figure>,
    aim: &'static str,
}

const ROWS: [Row; 5] = [
    Row { name: "triggers for one", ours: |turn| Some(turn.singles), theirs: |turn| Some(turn.singles), aim: "1.2" },
    Row { name: "runs, 100 a trigger", ours: |turn| Some(turn.bulks), theirs: |turn| Some(turn.bulks), aim: "8" },
    Row { name: "cancels of one", ours: |turn| Some(turn.cancels), theirs: |turn| Some(turn.cancels), aim: "" },
    Row { name: "fired, no-op", ours: |turn| turn.fired, theirs: |turn| turn.fired, aim: "2.5" },
    Row { name: "fired, an item each", ours: |turn| turn.items, theirs: |turn| turn.fired, aim: "" },
];

pub async fn measure(sizes: &Sizes, rounds: usize, amounts: Amounts, jobs: usize) -> Result<()> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let bullmq = BullMq::start(&dir.path().join("redis"), amounts.soon).await;
    if let Err(why) = &bullmq {
        tell!("The comparison with BullMQ is left out: {why:#}");
    }
    let server = belfry(dir.path(), amounts.soon)?;
    let mut game = Game { sizes, amounts, server, bullmq: bullmq.ok(), parked: 0, used: 0 };
    let mut turns = Vec::new();
    for round in 0..=rounds {
        let mut turn = [None, None, None];
        // Whoever comes second finds the disk as the first left it: they take turns.
        for index in (0..3).map(|place| (place + round) % 3) {
            if game.bullmq.is_some() || CONTENDERS[index] == Contender::Belfry {
                turn[index] = Some(game.turn(CONTENDERS[index]).await?);
            }
        }
        // The first round opens files, fills caches and wakes threads.
        if round > 0 {
            turns.push(turn);
        }
    }
    tell!(
        "{:<20} {:>8} {:>5}  {:>8} {:>5} {:>6} {:<15}  {:>8} {:>5} {:>6} {:<15} aim",
        "a second",
        "belfry",
        "us",
        "behind",
        "us",
        "ratio",
        "spread",
        "direct",
        "us",
        "ratio",
        "spread"
    );
    for row in &ROWS {
        print(row, &turns);
    }
    if game.bullmq.is_some() {
        let each = game.bytes_a_job(jobs).await?;
        tell!("a delayed job takes {each:.0} bytes of Redis's resident memory, measured with {jobs}");
    }
    Ok(())
}

fn print(row: &Row, turns: &[[Option<Turn>; 3]]) {
    let middle = |figures: &[Figure], pick: fn(&Figure) -> f64| Spread::of(figures.iter().map(pick).collect()).middle;
    let of = |index: usize, pick: fn(&Turn) -> Option<Figure>| -> Vec<Figure> {
        turns.iter().filter_map(|turn| pick(turn[index].as_ref()?)).collect()
    };
    let ours = of(0, row.ours);
    let mut line =
        format!("{:<20} {:>8.0} {:>5.0}", row.name, middle(&ours, |it| it.per_second), middle(&ours, |it| it.micros));
    for index in [1, 2] {
        let theirs = of(index, row.theirs);
        if theirs.is_empty() {
            line += &format!("  {:>8} {:>5} {:>6} {:<15}", "", "", "", "");
            continue;
        }
        let ratio = Spread::of(ours.iter().zip(&theirs).map(|(a, b)| a.per_second / b.per_second).collect());
        line += &format!(
            "  {:>8.0} {:>5.0} {:>6.2} {:<15}",
            middle(&theirs, |it| it.per_second),
            middle(&theirs, |it| it.micros),
            ratio.middle,
            ratio.range()
        );
    }
    tell!("{line} {}", row.aim);
}

/// The servers, and what was done to them.
struct Game<'a> {
    sizes: &'a Sizes,
    amounts: Amounts,
    server: Server,
    bullmq: Option<BullMq>,
    /// Runs that sleep in Belfry.
    parked: usize,
    /// Numbers that were used: a job whose id is known is not added again.
    used: usize,
}

impl Game<'_> {
    async fn turn(&mut self, contender: Contender) -> Result<Turn> {
        let Amounts { singles, bulks, .. } = self.amounts;
        let (single, bulk) = (self.trigger(REMINDER, users(1)), self.trigger(REMINDER, users(MANY)));
        let (keys, others) = (self.numbers(singles), self.numbers(bulks));
        Ok(Turn {
            singles: self.calls(contender, &single, keys.clone(), 1).await?,
            cancels: self.calls(contender, &Call::cancel(REMINDER), keys, 1).await?,
            bulks: self.calls(contender, &bulk, others, MANY).await?,
            fired: match contender {
                Contender::Belfry => Some(self.fire(things(MOST)).await?),
                Contender::Behind => None,
                Contender::Direct => Some(self.work().await?),
            },
            items: match contender {
                Contender::Belfry => Some(self.fire(users(MOST)).await?),
                _ => None,
            },
        })
    }

    fn trigger(&self, workflow: &'static str, recipients: Vec<Value>) -> Call {
        Call::trigger(workflow, recipients, self.sizes.data)
    }

    fn numbers(&mut self, count: usize) -> Range<usize> {
        self.used += count;
        self.used - count..self.used
    }

    fn bullmq(&self) -> Result<&BullMq> {
        self.bullmq.as_ref().context("BullMQ was not started")
    }

    /// Makes `call` with each of `numbers`, of which each is about so many `runs`.
    async fn calls(&mut self, contender: Contender, call: &Call, numbers: Range<usize>, runs: usize) -> Result<Figure> {
        let (clients, count) = (self.sizes.clients, numbers.len() * runs);
        if contender == Contender::Belfry {
            let before = self.server.processor_micros()?;
            let watch = Stopwatch::start();
            send(self.server.address, clients, &call.request(), numbers, None).await?;
            self.parked = if call.name == "cancel" { self.parked - count } else { self.parked + count };
            // What was put off past the answers counts.
            until_parked(&self.server, self.parked).await?;
            let seconds = watch.elapsed().as_secs_f64();
            return Ok(Figure::of(count, seconds, self.server.processor_micros()? - before));
        }
        let before = self.bullmq()?.processor_micros()?;
        let seconds = if contender == Contender::Behind {
            send(self.bullmq()?.front.address, clients, &call.request(), numbers, None).await?.as_secs_f64()
        } else {
            self.direct(call, numbers).await?
        };
        Ok(Figure::of(count, seconds, self.bullmq()?.processor_micros()? - before))
    }

    /// How many seconds it took BullMQ's process to make the calls by itself.
    async fn direct(&self, call: &Call, numbers: Range<usize>) -> Result<f64> {
        let order = json!({
            "call": call.name,
            "workflow": call.workflow,
            "body": call.body.to_string().replace(HOLE, ITS_HOLE),
            "hole": ITS_HOLE,
            "clients": self.sizes.clients,
            "numbers": [numbers.start, numbers.end],
        });
        seconds(&self.bullmq()?.front.ask(Request::post("/direct", &order).number(0)).await?)
    }

    /// Belfry's runs that come due while `soon` is over: from then until all have ended.
    async fn fire(&mut self, recipients: Vec<Value>) -> Result<Figure> {
        let Amounts { thousands, soon, .. } = self.amounts;
        let (call, numbers) = (self.trigger(SOON, recipients), self.numbers(thousands));
        let watch = Stopwatch::start();
        let took = send(self.server.address, self.sizes.clients, &call.request(), numbers, None).await?;
        ensure!(took < soon, "the first were due before the last were there");
        sleep(soon.saturating_sub(watch.elapsed())).await;
        let before = self.server.processor_micros()?;
        until_ended(&self.server, self.parked).await?;
        let seconds = (watch.elapsed() - soon).as_secs_f64();
        Ok(Figure::of(thousands * MOST, seconds, self.server.processor_micros()? - before))
    }

    /// BullMQ's: the worker begins when all are due.
    async fn work(&mut self) -> Result<Figure> {
        let Amounts { thousands, soon, .. } = self.amounts;
        let (call, numbers) = (self.trigger(SOON, users(MOST)), self.numbers(thousands));
        self.direct(&call, numbers).await?;
        sleep(soon).await;
        let bullmq = self.bullmq()?;
        let before = bullmq.processor_micros()?;
        let seconds = seconds(&bullmq.worker.get(&format!("/work?jobs={}", thousands * MOST)).await?)?;
        Ok(Figure::of(thousands * MOST, seconds, bullmq.processor_micros()? - before))
    }

    async fn bytes_a_job(&mut self, jobs: usize) -> Result<f64> {
        let redis = self.bullmq()?.redis.process.id();
        let before = resident_bytes(redis)?;
        let (call, numbers) = (self.trigger(REMINDER, users(MANY)), self.numbers(jobs / MANY));
        self.direct(&call, numbers).await?;
        Ok(resident_bytes(redis)?.saturating_sub(before) as f64 / jobs as f64)
    }
}

fn seconds(answer: &str) -> Result<f64> {
    let answer: Value = serde_json::from_str(answer)?;
    answer["seconds"].as_f64().with_context(|| format!("no seconds in {answer}"))
}
