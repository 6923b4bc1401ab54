//! What runs that wait cost, how soon a server that was killed is ready again, and how fast some of them are cancelled.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use belfry::base::clock::{Stopwatch, sleep};
use belfry::store::Settings;

use crate::call::{Call, REMINDER, THREE_DAYS, belfry, until, until_parked, users};
use crate::figures::Spread;
use crate::load::send;
use crate::resident::resident_bytes;
use crate::server::Server;
use crate::{Sizes, megabytes};

/// Waited before memory is looked at: what the load itself took is given back.
const SETTLED: Duration = Duration::from_secs(2);
/// How long a server that is about to be killed is under load.
const UNDER_LOAD: Duration = Duration::from_millis(200);

pub async fn measure(sizes: &Sizes, runs: usize, recipients: usize, kills: usize, cancels: usize) -> Result<()> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut server = belfry(dir.path(), THREE_DAYS)?;
    let empty = resident(&server)?;
    let triggers = runs / recipients;
    let runs = triggers * recipients;
    let request = Call::trigger(REMINDER, users(recipients), sizes.data).request();
    let took = send(server.address, sizes.clients, &request, 0..triggers, None).await?;
    until_parked(&server, runs).await?;
    tell!(
        "{runs} runs of {triggers} triggers in {:.1} s: {:.0} runs a second",
        took.as_secs_f64(),
        runs as f64 / took.as_secs_f64()
    );
    sleep(SETTLED).await;
    report_memory("parked", resident(&server)?, empty, runs);
    let file = folder_bytes(&dir.path().join("data"))?;
    tell!("  {:.0} MB on disk, {:.0} bytes a run", megabytes(file), file as f64 / runs as f64);

    let keys = cancels.min(triggers);
    let cancel = Call::cancel(REMINDER).request();
    let took = send(server.address, sizes.clients, &cancel, (0..keys).map(|key| key * (triggers / keys)), None).await?;
    until_parked(&server, runs - keys * recipients).await?;
    tell!("  {keys} keys all over them cancelled: {:.0} a second", keys as f64 / took.as_secs_f64());

    let (mut times, mut found) = (Vec::new(), 0);
    for kill in 1..=kills {
        let (address, clients, request) = (server.address, sizes.clients, request.clone());
        let more = kill * triggers..kill * triggers + 1_000_000;
        let load = tokio::spawn(async move { send(address, clients, &request, more, None).await });
        sleep(UNDER_LOAD).await;
        let accepted = server.metric("belfry_runs_parked").await? as usize;
        drop(server);
        ensure!(load.await?.is_err(), "the server was killed under no load");
        let watch = Stopwatch::start();
        server = belfry(dir.path(), THREE_DAYS)?;
        server.get("/readyz").await?;
        times.push(watch.elapsed().as_secs_f64());
        found = until(&server, "belfry_runs_parked", |parked| parked >= accepted).await?;
    }
    let times = Spread::of(times);
    tell!("  ready {:.2} s ({}) after a SIGKILL under load (aim: 2)", times.middle, times.range());
    report_memory("found again", resident(&server)?, empty, found);
    Ok(())
}

fn report_memory(what: &str, resident: u64, empty: u64, runs: usize) {
    let grown = resident.saturating_sub(empty);
    let each = |bytes: u64| bytes as f64 / runs as f64;
    tell!(
        "  {what}: {:.0} bytes of resident memory a run (aim: 160), of which the store's cache may be {:.0}; the process \
         takes {:.0} MB (aim: 300), {:.0} without runs",
        each(grown),
        each(grown.min(Settings::default().cache_bytes as u64)),
        megabytes(resident),
        megabytes(empty)
    );
}

fn resident(server: &Server) -> Result<u64> {
    resident_bytes(server.process.id())
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
