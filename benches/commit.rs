//! What a durable write costs through the store, against the least that any store could pay.
//!
//! A wave is that many triggers of one run and about 1 KiB of data, handed to the store at once; it is over when all are
//! answered. Raw is the same records encoded beforehand, appended to a file with one write and one fdatasync a wave.
//! Both alternate in one run on one filesystem, so that a noisy machine troubles both alike: read the ratios.
//!
//! Last measured on 2 quiet cores, ratio (least to greatest of 9 rounds):
//!
//!          1 op     0.64 (0.57 to 0.74)
//!         10 ops    0.36 (0.33 to 0.38)
//!        100 ops    0.15 (0.14 to 0.18)
//!      1,000 ops    0.08 (0.07 to 0.09)
//!     10,000 ops    0.16 (0.13 to 0.21): 13 MB a wave; the raw rate itself falls to less than half here
//!
//! There is no aim: a file of bytes cannot be searched. A raw write with its fdatasync took about 0.2 ms, so that large
//! waves compare processors, not disks: an op of a wave of 1,000 takes about 15 microseconds. A slower disk makes every
//! ratio of small waves look better.
//!
//! `BENCH_ROUNDS` sets how often they alternate, `BENCH_QUICK=1` (or `cargo test`) makes a smoke run.

mod figures;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use belfry::base::clock::{Stopwatch, Timestamp};
use belfry::base::ids::{Entropy, IdSource, RunId, TriggerId, VersionId};
use belfry::model::flow::Flow;
use belfry::model::recipient::RecipientRef;
use belfry::model::run::{Phase, Run};
use belfry::model::trigger::{CancelHash, Trigger, TriggerSettings};
use belfry::store::codec::encode;
use belfry::store::op::{Accept, Op};
use belfry::store::{Settings, Store};
use serde_json::{Map, Value};

use figures::{Spread, is_quick, setting};

/// Ops a wave, and waves a round: enough that a round lasts some tenths of a second.
const SIZES: [(usize, usize); 5] = [(1, 100), (10, 60), (100, 30), (1_000, 8), (10_000, 1)];

fn main() -> Result<()> {
    let quick = is_quick();
    let rounds = setting("BENCH_ROUNDS", if quick { 1 } else { 9 });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{:>8} {:>12} {:>12} {:>7}  {:<14}", "ops/wave", "ours ops/s", "raw ops/s", "ratio", "spread");
    for (size, waves) in SIZES {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let row = runtime.block_on(compare(dir.path(), size, if quick { 1 } else { waves }, rounds))?;
        println!("{size:>8} {:>12.0} {:>12.0} {:>7.2}  {}", row.ours, row.raw, row.ratio.middle, row.ratio.range());
    }
    println!();
    println!(
        "ratio: ours / raw, the median of {rounds} rounds that alternate; spread: the least and the greatest of them."
    );
    println!("ops/s are medians too, and say more about this machine's disk than about the store.");
    Ok(())
}

struct Row {
    ours: f64,
    raw: f64,
    ratio: Spread,
}

async fn compare(dir: &Path, size: usize, waves: usize, rounds: usize) -> Result<Row> {
    let store = Store::open(dir, Settings::default())?;
    let mut log = OpenOptions::new().create_new(true).append(true).open(dir.join("raw.log"))?;
    let ids = IdSource::new(Entropy::Seeded(size as u64));
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let ops: Vec<Vec<Accept>> = (0..waves).map(|_| (0..size).map(|_| accept(&ids)).collect()).collect();
        let bytes = ops.iter().map(|wave| records(wave)).collect::<Result<Vec<_>>>()?;
        let each = (size * waves) as f64;
        // Whoever goes second finds the disk as the first left it: they take turns.
        let (one, other) = if round % 2 == 0 {
            let one = store_waves(&store, ops).await?;
            (one, raw_waves(&mut log, &bytes)?)
        } else {
            let other = raw_waves(&mut log, &bytes)?;
            (store_waves(&store, ops).await?, other)
        };
        // The first round fills caches and grows the files.
        if round > 0 {
            ours.push(each / one);
            raw.push(each / other);
        }
    }
    store.close();
    let ratios = ours.iter().zip(&raw).map(|(ours, raw)| ours / raw).collect();
    Ok(Row { ours: Spread::of(ours).middle, raw: Spread::of(raw).middle, ratio: Spread::of(ratios) })
}

/// Seconds for `waves` through the store. `submit` is what `Store::accept` does, but waits when the queue is full, which
/// the largest wave fills.
async fn store_waves(store: &Store, waves: Vec<Vec<Accept>>) -> Result<f64> {
    let watch = Stopwatch::start();
    for wave in waves {
        let writes = wave.into_iter().map(async |accept| store.submit(Op::Accept(Box::new(accept.prepare()?))).await);
        futures_util::future::try_join_all(writes).await?;
    }
    Ok(watch.elapsed().as_secs_f64())
}

/// Seconds for the same bytes through a bare file.
fn raw_waves(log: &mut File, waves: &[Vec<u8>]) -> Result<f64> {
    let watch = Stopwatch::start();
    for wave in waves {
        log.write_all(wave)?;
        log.sync_data().context("fdatasync")?;
    }
    Ok(watch.elapsed().as_secs_f64())
}

/// What the store keeps of `wave`, without its keys.
fn records(wave: &[Accept]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for accept in wave {
        bytes.extend(encode(&accept.trigger)?);
        for run in &accept.runs {
            bytes.extend(encode(run)?);
        }
    }
    Ok(bytes)
}

/// A trigger of one run with about 1 KiB of data.
fn accept(ids: &IdSource) -> Accept {
    let now = Timestamp::from_millis(1_790_000_000_000);
    let id = TriggerId(ids.next(now));
    let cancellation_key = format!("invite-{id}");
    let run = Run {
        id: RunId(ids.next(now)),
        trigger: id,
        flow: Flow::default(),
        recipient: RecipientRef::user("dr@grant.test"),
        data: None,
        via: None,
        cancel: Some(CancelHash::of("account-invite", &cancellation_key)),
        revision: 0,
        phase: Phase::Ready { step: 0 },
        begun: None,
    };
    let trigger = Trigger {
        id,
        workflow: "account-invite".into(),
        version: VersionId::of(b"bench"),
        data: data(),
        actor: None,
        tenant: None,
        cancellation_key: Some(cancellation_key),
        settings: TriggerSettings::default(),
        schedule: None,
        parent: None,
        inserted_at: now,
    };
    Accept { trigger, runs: vec![run], identify: Vec::new(), idempotency: None, fan_out: None, bytes: 1_024 }
}

fn data() -> Map<String, Value> {
    (0..16).map(|n| (format!("field_{n:02}"), Value::from("x".repeat(50)))).collect()
}
