//! The live feed under load. The server is the release binary in a process of its own, its clients are sockets of this
//! one, all on one thread; ours are told apart by nothing but what they say first from those of socket.io.
//!
//!   idle       sockets of as many users, each joined to its feed as Knock's client joins: resident memory for each
//!   broadcast  that many sessions of one user, one trigger, until the last has its frame; and the same of socket.io's
//!              clients in one room with one emit. The servers alternate in rounds: read the ratios
//!   latency    triggers at a fixed rate, each to one of 1,000 users: from its time on the schedule to its frame
//!
//! Last measured on 2 quiet cores:
//!
//!   idle       8.8 KB a socket. With actix-http's dispatcher around it 15.0; that and the allocator's huge pages 22.9,
//!              the system's allocator 15.6, of which a join 3.1
//!   broadcast  98,000 messages a second, socket.io 56,300: ratio 1.75 (1.70 to 1.82); processor time of a message
//!              13.1 us, socket.io 22.3: ratio 1.69 (1.51 to 1.86)
//!   latency    at 1,000 triggers a second 2.4 ms (p50), 3.7 ms (p99), 28 ms (max); a commit takes 0.5 ms (p50) of it; a
//!              trigger costs 741 us of processor time until it is heard of
//!
//! The aim of 12.4 KB is met, a ratio of 5 is not. Of a message's processor time about 63 % is the kernel's `send`, which
//! socket.io pays as well: were there nothing else, the ratio would be about 2.8. The rest is spread thinly: no function
//! takes 2 %. Profiles with and without actix-http's dispatcher do not differ in this; the figures of broadcast and latency
//! are from before sockets left it.
//!
//! In place: a connection leaves actix-http's dispatcher when it becomes a socket, since that keeps two buffers of 8 KiB
//! whose size cannot be set, of each of which a page or more stays resident; a session's topics and a user's feeds are
//! vectors of one (a map's first node took a kilobyte); a listener's subscription is shared, not copied, with each push;
//! one map of frames for each push.
//!
//! `BENCH_PARTS` (`idle,latency`), `BENCH_SOCKETS`, `BENCH_ROUNDS`, `BENCH_BROADCASTS` (of a round), `BENCH_RATE` and
//! `BENCH_SECONDS` choose, `BENCH_QUICK=1` (or `cargo test`) makes a smoke run.

#[path = "../figures/mod.rs"]
mod figures;
#[path = "../node/mod.rs"]
mod node;
#[path = "../resident/mod.rs"]
mod resident;
#[path = "../server/mod.rs"]
mod server;

mod broadcast;
mod idle;
mod latency;
mod listener;
mod socket;

use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use figures::{is_quick, setting};
use server::Server;

/// The longest that anything waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let quick = is_quick();
    let sockets = setting("BENCH_SOCKETS", if quick { 100 } else { 10_000 });
    allow_files(sockets)?;
    let parts = std::env::var("BENCH_PARTS").unwrap_or_else(|_| "idle,broadcast,latency".into());
    let has = |part: &str| parts.split(',').any(|one| one.trim() == part);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if has("idle") {
        runtime.block_on(idle::measure(sockets))?;
    }
    if has("broadcast") {
        let rounds = setting("BENCH_ROUNDS", if quick { 1 } else { 5 });
        let broadcasts = setting("BENCH_BROADCASTS", if quick { 2 } else { 10 });
        runtime.block_on(broadcast::measure(sockets, rounds, broadcasts))?;
    }
    if has("latency") {
        let rate = setting("BENCH_RATE", if quick { 100 } else { 1_000 });
        let seconds = setting("BENCH_SECONDS", if quick { 1 } else { 10 });
        runtime.block_on(latency::measure(rate, seconds))?;
    }
    Ok(())
}

/// As many open files as the system lets this process have, which a server that it starts inherits.
fn allow_files(sockets: usize) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let needed = sockets as u64 + 1_000;
    let room = limit.maximum.is_none_or(|most| most >= needed);
    ensure!(
        room,
        "{sockets} sockets need a limit of {needed} open files: raise it with `ulimit -Hn`, or set BENCH_SOCKETS"
    );
    Ok(())
}

/// A server whose one workflow puts an item into the feed. Its folder comes first, so that the server ends before it.
fn belfry() -> Result<(tempfile::TempDir, Server)> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let server = Server::belfry(dir.path(), listener::WORKFLOW, Vec::new())?;
    Ok((dir, server))
}
