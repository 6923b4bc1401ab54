//! What is asked of a server, and the workflows that it is asked to run.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use belfry::base::clock::{Stopwatch, sleep};
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::request::{HOLE, Request};
use crate::server::{Server, publish};

/// Waits for three days, and then puts an item into a feed.
pub const REMINDER: &str = "reminder";
/// The same, but waits for as long as a part of the bench says.
pub const SOON: &str = "soon";
/// Between two looks at the metrics, which take the server's time too.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
pub const THREE_DAYS: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// A call of the API.
pub struct Call {
    pub workflow: &'static str,
    /// `trigger` or `cancel`.
    pub name: &'static str,
    pub body: Value,
}

impl Call {
    pub fn request(&self) -> Request {
        Request::post(&format!("/v1/workflows/{}/{}", self.workflow, self.name), &self.body)
    }

    /// A trigger with about `bytes` of data.
    pub fn trigger(workflow: &'static str, recipients: Vec<Value>, bytes: usize) -> Self {
        let data = json!({"text": "x".repeat(bytes)});
        let body = json!({"recipients": recipients, "cancellation_key": format!("key-{HOLE}"), "data": data});
        Self { workflow, name: "trigger", body }
    }

    pub fn cancel(workflow: &'static str) -> Self {
        Self { workflow, name: "cancel", body: json!({"cancellation_key": format!("key-{HOLE}")}) }
    }
}

/// So many users, others for each number.
pub fn users(count: usize) -> Vec<Value> {
    (0..count).map(|index| json!(format!("user-{HOLE}-{index}"))).collect()
}

/// So many objects: they have no feed, so that their runs end without having done anything.
pub fn things(count: usize) -> Vec<Value> {
    (0..count).map(|index| json!({"collection": "things", "id": format!("thing-{HOLE}-{index}")})).collect()
}

/// Belfry with its data under `dir`, whose `SOON` waits for `soon`.
pub fn belfry(dir: &Path, soon: Duration) -> Result<Server> {
    let delay = |span: Duration| {
        vec![json!({
            "ref": "delay_1",
            "type": "delay",
            "settings": {"delay_for": {"unit": "seconds", "value": span.as_secs()}},
        })]
    };
    publish(dir, SOON, delay(soon))?;
    Server::belfry(dir, REMINDER, delay(THREE_DAYS))
}

/// Until so many runs sleep.
pub async fn until_parked(server: &Server, runs: usize) -> Result<()> {
    until(server, "belfry_runs_parked", |parked| parked == runs).await.map(|_| ())
}

/// Until no run but `parked` of them is pending. A run is parked, ready and live in this order, so that none is missed.
pub async fn until_ended(server: &Server, parked: usize) -> Result<()> {
    until_parked(server, parked).await?;
    until(server, "belfry_runs_ready", |runs| runs == 0).await?;
    until(server, "belfry_runs_live", |runs| runs == 0).await.map(|_| ())
}

/// Until one of the server's metrics is as it should be. Answers the metric.
pub async fn until(server: &Server, name: &str, fits: impl Fn(usize) -> bool) -> Result<usize> {
    let watch = Stopwatch::start();
    loop {
        let value = server.metric(name).await? as usize;
        if fits(value) {
            return Ok(value);
        }
        if watch.elapsed() > PATIENCE {
            bail!("{name} stays {value}");
        }
        sleep(BETWEEN_LOOKS).await;
    }
}
