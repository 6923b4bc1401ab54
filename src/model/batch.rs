//! A batch: runs of one recipient that came to a batch step and go on as one of them (`knock-engine.md` section 3.2).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::batch_step::Order;
use super::recipient::RecipientRef;
use super::trigger::CancelHash;
use crate::base::clock::Timestamp;
use crate::base::ids::{RunId, TriggerId, VersionId};

/// Which batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BatchId {
    /// The run that waits for its end, and goes on for all.
    pub run: RunId,
    /// The revision that this run had when it came to the step: it may come to several.
    pub number: u32,
}

/// What is known of a batch beside its items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Its place among those that are open: its recipient, and a hash of all else that its items share.
    #[serde(with = "serde_bytes")]
    pub key: Vec<u8>,
    pub opened_at: Timestamp,
    pub closes_at: Timestamp,
    /// Its end can be put off until then; `None`: not at all.
    pub latest: Option<Timestamp>,
    /// How many items it ever had, which is the number of the next one.
    pub added: u32,
    /// How many it has: those that were cancelled are none.
    pub items: u32,
    /// How many different actors these have.
    pub actors: u32,
    pub state: State,
}

/// Whether runs can still join.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum State {
    Open,
    Closed(Closed),
    /// Its run ended while it was open: nobody goes on.
    Dropped,
}

/// How a closed batch is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    pub order: Order,
    /// The most activities that are shown.
    pub rendered: u32,
    /// The version of the workflow that the run goes on with, where it is not that of its trigger.
    pub version: Option<VersionId>,
}

/// A run that became part of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    pub run: RunId,
    pub trigger: TriggerId,
    /// Laid over the trigger's data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<RecipientRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<CancelHash>,
    pub added_at: Timestamp,
}

/// What runs came to: the one trigger of a run, or those of its batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Activities {
    /// In the order in which they came, as many as are rendered.
    pub shown: Vec<Activity>,
    pub total: u32,
    pub total_actors: u32,
    /// That of all that are shown and of the last one, laid over each other: later values win.
    pub data: Map<String, Value>,
    /// That of the first one, by which preferences are judged.
    pub first: Map<String, Value>,
    /// Of the first one.
    pub actor: Option<RecipientRef>,
}

/// A trigger as one recipient sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    pub id: TriggerId,
    pub actor: Option<RecipientRef>,
    pub data: Map<String, Value>,
    pub at: Timestamp,
}

impl Activities {
    /// Those of a run that was not batched.
    pub fn of_one(activity: Activity) -> Self {
        let (data, actor) = (activity.data.clone(), activity.actor.clone());
        let first = data.clone();
        Self { total: 1, total_actors: u32::from(actor.is_some()), shown: vec![activity], data, first, actor }
    }

    /// The different actors of those that are shown, in order.
    pub fn actors(&self) -> Vec<&RecipientRef> {
        let mut actors: Vec<&RecipientRef> = Vec::new();
        for actor in self.shown.iter().filter_map(|activity| activity.actor.as_ref()) {
            if !actors.contains(&actor) {
                actors.push(actor);
            }
        }
        actors
    }
}
