//! What happens after a trigger: runs, their delays, their end. `plan` decides and is pure; the run actor and the
//! registry act. It may name the floors from `base` to `store`. It hands messages on as `Deliver` and does not know who
//! sends them, nor that there is HTTP.

pub mod cast;
pub mod catalog;
mod dense_set;
pub mod explain;
pub mod fan_out;
pub mod fetch;
pub mod pending;
pub mod places;
pub mod plan;
pub mod publishing;
mod records;
pub mod registry;
pub mod run;
pub mod scene;
pub mod scheduler;
pub mod shelf;
pub mod trace;
pub mod trigger;

use std::sync::Arc;
use std::time::Duration;

use actix::Recipient as Destination;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::base::clock::Timestamp;
use crate::base::config::ProviderName;
use crate::base::deps::Deps;
use crate::base::ids::{ChannelId, MessageId, RunId};
use crate::base::work::WorkGuard;
use crate::model::channel::ChannelType;
use crate::model::flow::Flow;
use crate::model::link::Links;
use crate::model::preferences::PreferenceSet;
use crate::model::recipient::RecipientRef;
use crate::model::tracking::Tracking;
use crate::store::Store;
use crate::template::ChannelAddressing;
use catalog::Catalog;
use fetch::Fetcher;
use publishing::Directory;

/// What the engine's actors and entry points share; behind an `Arc`.
pub struct Engine {
    pub deps: Arc<Deps>,
    pub store: Store,
    pub catalog: Catalog,
    pub channels: Vec<Channel>,
    /// Variables of the configuration, for templates.
    pub vars: Map<String, Value>,
    /// Of what its messages link to on this server.
    pub links: Links,
    /// What everybody prefers who did not say otherwise.
    pub preferences: PreferenceSet,
    /// A run that will sleep longer than this is parked: it has no actor until it is due.
    pub park_after: Duration,
    /// An occurrence of a schedule that is later than this triggers nothing.
    pub missed_after: Duration,
    /// Run actors that may be at work at once. A live one takes about 1.2 KB; what waits for a place is an id.
    pub max_active: usize,
    /// Subscribers that one commit of a fan-out reaches.
    pub spread_at_once: usize,
    pub deliver: Destination<Deliver>,
    pub publish: Destination<Publish>,
    /// The time zone of recipients who have none, and whose tenant has none.
    pub zone: TimeZone,
    /// Where workflows are read from, and whose turn it is.
    pub directory: Directory,
    pub reloading: tokio::sync::Mutex<()>,
    /// Makes the requests of fetch steps.
    pub fetcher: Arc<dyn Fetcher>,
}

/// A channel as steps refer to it.
#[derive(Clone, Debug)]
pub struct Channel {
    pub key: String,
    pub id: ChannelId,
    pub kind: ChannelType,
    pub provider: ProviderName,
    /// Who its emails are from.
    pub from: Option<String>,
    /// Who else gets them, and what headers they have.
    pub addressing: Arc<ChannelAddressing>,
    /// What is told of the readers of its messages.
    pub tracking: Tracking,
}

/// A message lies in the outbox: send it. A hint; what is lost of it is found in the outbox.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct Deliver {
    pub run: RunId,
    pub message: MessageId,
    pub channel: ChannelId,
    pub flow: Flow,
    /// `None`: now.
    pub not_before: Option<Timestamp>,
    pub work: WorkGuard,
}

/// An item was put into a feed: tell who watches it. A hint, sent once it is on disk; who misses it reads the item with
/// the next one.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct Publish {
    pub channel: ChannelId,
    pub user: RecipientRef,
}
