//! BullMQ on Redis: a Redis that syncs each write before it answers, a process that takes Belfry's calls, and a worker.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use belfry::base::clock::{Stopwatch, sleep};
use serde_json::json;

use crate::PATIENCE;
use crate::call::{REMINDER, SOON, THREE_DAYS};
use crate::figures::is_quick;
use crate::node::node;
use crate::server::{Server, processor_micros};

/// Jobs that the worker has at once. With 20 it ends fewer in a second, with 500 no more that can be told from noise.
const CONCURRENCY: usize = 100;

/// Installs Redis without starting it as a service.
const INSTALL: &str = "root=; [ \"$(id -u)\" = 0 ] || root='sudo -n'; $root apt-get update && \
    $root env RUNLEVEL=1 apt-get install --yes --no-install-recommends redis-server";

/// All three processes.
pub struct BullMq {
    pub redis: Redis,
    pub front: Server,
    pub worker: Server,
}

impl BullMq {
    /// With Redis's files under `dir`.
    pub async fn start(dir: &Path, soon: Duration) -> Result<Self> {
        // Packages first: nothing is started if they are missing.
        let (mut front, mut worker) = (node("pending/bullmq", "server.js")?, node("pending/bullmq", "worker.js")?);
        let redis = Redis::start(dir).await?;
        let delays = json!({REMINDER: THREE_DAYS.as_millis() as u64, SOON: soon.as_millis() as u64});
        front.arg(&redis.socket).arg(delays.to_string());
        worker.arg(&redis.socket).arg(CONCURRENCY.to_string());
        Ok(Self { redis, front: Server::start(front)?, worker: Server::start(worker)? })
    }

    /// Processor time of the three.
    pub fn processor_micros(&self) -> Result<f64> {
        let redis = processor_micros(self.redis.process.id())?;
        Ok(redis + self.front.processor_micros()? + self.worker.processor_micros()?)
    }
}

/// Ends with its owner.
pub struct Redis {
    pub process: Child,
    socket: PathBuf,
}

impl Redis {
    async fn start(dir: &Path) -> Result<Self> {
        install()?;
        std::fs::create_dir(dir)?;
        let socket = dir.join("socket");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--unixsocket"]).arg(&socket).arg("--dir").arg(dir);
        // No snapshots, and the log is never rewritten while something is measured.
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"]);
        command.args(["--save", ""]).stdout(Stdio::null());
        let mut redis = Self { process: command.spawn()?, socket };
        let watch = Stopwatch::start();
        while UnixStream::connect(&redis.socket).is_err() {
            ensure!(redis.process.try_wait()?.is_none(), "Redis ended at once");
            ensure!(watch.elapsed() < PATIENCE, "Redis does not listen");
            sleep(Duration::from_millis(10)).await;
        }
        Ok(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn install() -> Result<()> {
    let is_there = || Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_ok();
    if is_there() {
        return Ok(());
    }
    ensure!(!is_quick(), "Redis is missing, and a test run installs nothing; `cargo bench` does");
    let installed = Command::new("sh").args(["-c", INSTALL]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ensure!(
        installed.context("sh is missing")?.success() && is_there(),
        "Redis is missing, and apt could not install it without a password; Debian's package is redis-server"
    );
    Ok(())
}
