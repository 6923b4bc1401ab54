//! How late runs are that come due one after the other at a fixed rate.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use belfry::base::clock::{Stopwatch, sleep};
use serde_json::{Value, json};

use crate::Sizes;
use crate::bullmq::BullMq;
use crate::call::{Call, SOON, belfry, until_ended};
use crate::load::send;
use crate::request::HOLE;
use crate::server::Server;

/// A page of a feed: all items of a user.
const PAGE: usize = 50;

pub async fn measure(sizes: &Sizes, rate: usize, span: Duration) -> Result<()> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let runs = rate * span.as_secs() as usize;
    let users = runs.div_ceil(PAGE);
    // The first is due when the last has been triggered.
    let server = belfry(dir.path(), span)?;
    let request = Call::trigger(SOON, vec![json!(format!("user-{HOLE}"))], sizes.data).request();
    let watch = Stopwatch::start();
    send(server.address, sizes.clients, &request, (0..runs).map(|number| number % users), Some(rate)).await?;
    sleep(span.saturating_sub(watch.elapsed())).await;
    let before = server.processor_micros()?;
    until_ended(&server, 0).await?;
    let micros = (server.processor_micros()? - before) / runs as f64;
    let mut late = Vec::with_capacity(runs);
    for user in 0..users {
        late.extend(lateness(&server, user, span).await?);
    }
    ensure!(late.len() == runs, "{} runs of {runs} have put an item into a feed", late.len());
    report("belfry", rate, late);
    tell!("  a run that comes due costs {micros:.0} us of processor time");

    match BullMq::start(&dir.path().join("redis"), span).await {
        Err(why) => tell!("The comparison with BullMQ is left out: {why:#}"),
        Ok(bullmq) => {
            let work = format!("/work?jobs={runs}");
            let sent = send(bullmq.front.address, sizes.clients, &request, 0..runs, Some(rate));
            let (sent, worked) = tokio::join!(sent, bullmq.worker.get(&work));
            sent?;
            let worked: Value = serde_json::from_str(&worked?)?;
            let late = worked["late"].as_array().context("no lateness")?;
            report("bullmq", rate, late.iter().filter_map(Value::as_f64).collect());
        }
    }
    Ok(())
}

/// How many milliseconds after they were due the items of a user came, negative if before.
async fn lateness(server: &Server, user: usize, span: Duration) -> Result<Vec<f64>> {
    let path = format!("/v1/users/user-{user:012}/feeds/in-app?page_size={PAGE}");
    let page: Value = serde_json::from_str(&server.get(&path).await?)?;
    let entries = page["entries"].as_array().context("a feed without entries")?;
    let instant = |value: &Value| -> Result<f64> {
        let text = value.as_str().context("no instant")?;
        Ok(text.parse::<jiff::Timestamp>()?.as_microsecond() as f64 / 1_000.0)
    };
    let late = |item: &Value| {
        let triggered = instant(&item["activities"][0]["inserted_at"])?;
        Ok(instant(&item["inserted_at"])? - triggered - span.as_secs_f64() * 1_000.0)
    };
    entries.iter().map(late).collect()
}

fn report(name: &str, rate: usize, mut late: Vec<f64>) {
    late.sort_by(f64::total_cmp);
    let at = |share: f64| late.get((late.len() as f64 * share) as usize).or(late.last()).copied().unwrap_or(f64::NAN);
    tell!(
        "{name:<8} {} runs that come due at {rate} a second: {:.1} ms late (p50), {:.1} ms (p99; aim: 250), {:.1} ms \
         (max); the earliest {:.1} ms",
        late.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        at(0.0)
    );
}
