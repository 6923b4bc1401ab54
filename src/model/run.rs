//! A run: one workflow for one recipient, and where it stands.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::audience::AudienceChange;
use super::condition::Judged;
use super::consent::Setting;
use super::flow::Flow;
use super::recipient::RecipientRef;
use super::trigger::CancelHash;
use crate::base::clock::Timestamp;
use crate::base::ids::{MessageId, RunId, TriggerId};

/// A run that has not ended. What all runs of a trigger share stands in the trigger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub id: RunId,
    pub trigger: TriggerId,
    #[serde(default)]
    pub flow: Flow,
    pub recipient: RecipientRef,
    /// Laid over the trigger's data for this recipient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Map<String, Value>>,
    /// The object by whose subscription the recipient was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<RecipientRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<CancelHash>,
    /// Counts the run's writes. A write that names another revision than the stored one is stale and changes nothing.
    pub revision: u32,
    pub phase: Phase,
    /// What happened when the run was accepted: a delay that comes first begins then. It is kept here, since a record of
    /// its own would cost every trigger a second insert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<RunEvent>,
}

/// Where a pending run stands. `step` is an index into the workflow's steps, those of branches included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// The step is to be executed now.
    Ready { step: u16 },
    /// The delay at the step ends at `due`; the step after it comes next.
    Waiting { step: u16, due: Timestamp },
    /// It opened a batch at the step, and goes on for all that join until `due`, which may be put off.
    Batching { step: u16, due: Timestamp },
    /// The fetch at the step was tried so often, and is tried again at `retry_at`; `None`: the last attempt was under way.
    Fetching { step: u16, attempts: u8, retry_at: Option<Timestamp> },
    /// What the step waits for has not come, and it waits until `due`.
    Awaiting { step: u16, due: Timestamp },
    /// What the step waited for has come.
    Matched { step: u16 },
}

impl Phase {
    /// Where the run stands.
    pub fn step(&self) -> u16 {
        match self {
            Self::Ready { step }
            | Self::Waiting { step, .. }
            | Self::Batching { step, .. }
            | Self::Fetching { step, .. }
            | Self::Awaiting { step, .. }
            | Self::Matched { step } => *step,
        }
    }

    /// When the run goes on; `None`: now.
    pub fn due(&self) -> Option<Timestamp> {
        match self {
            Self::Ready { .. } | Self::Matched { .. } => None,
            Self::Waiting { due, .. } | Self::Batching { due, .. } | Self::Awaiting { due, .. } => Some(*due),
            Self::Fetching { retry_at, .. } => *retry_at,
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// All steps were executed or skipped.
    Finished,
    /// A cancel call took it.
    Cancelled,
    /// A step could not be executed; the text says why.
    Failed(String),
    /// Its recipient was deleted.
    RecipientDeleted,
    /// Something of the workflow ended it before its last step.
    Halted(Halt),
    /// It became an item of a batch, for which this run goes on.
    Batched(RunId),
}

impl Outcome {
    /// Whether the run counts as cancelled: by a call, or by a wait of its own.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled | Self::Halted(Halt::WaitMatched | Halt::WaitExpired))
    }

    /// Whether it is over as it was to be: what became part of a batch goes on there.
    pub fn is_completed(&self) -> bool {
        !self.is_cancelled() && !matches!(self, Self::Batched(_))
    }
}

/// What of a workflow ends a run early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Halt {
    /// The conditions of the trigger did not hold.
    Conditions,
    /// It took a branch that terminates.
    Branch,
    /// The recipient had one before, and the workflow runs once.
    Frequency,
    /// A throttle let enough others pass.
    Throttle,
    /// All items of the batch for which it waited were cancelled.
    EmptyBatch,
    /// Its workflow was switched off.
    Inactive,
    /// The event that it waited for came, and ends it.
    WaitMatched,
    /// The event that it waited for did not come in time.
    WaitExpired,
}

/// A run that has ended, as history keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndedRun {
    pub run: Run,
    pub outcome: Outcome,
    pub ended_at: Timestamp,
}

/// A run, wherever it stands.
#[derive(Clone, Debug, PartialEq)]
pub enum KnownRun {
    Pending(Run),
    Ended(EndedRun),
}

impl KnownRun {
    /// The run, as it is or last was.
    pub fn run(&self) -> &Run {
        match self {
            Self::Pending(run) | Self::Ended(EndedRun { run, .. }) => run,
        }
    }

    /// How it ended; `None`: it has not.
    pub fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Pending(_) => None,
            Self::Ended(ended) => Some(&ended.outcome),
        }
    }

    /// Its status on the wire, which has none for a failure: that shows in the run's errors.
    pub fn status(&self) -> RunStatus {
        match self {
            Self::Ended(ended) if ended.outcome.is_cancelled() => RunStatus::Cancelled,
            Self::Ended(_) => RunStatus::Completed,
            Self::Pending(run) if run.phase.due().is_some() => RunStatus::Paused,
            Self::Pending(run) if run.revision == 0 => RunStatus::Queued,
            Self::Pending(_) => RunStatus::Processing,
        }
    }
}

/// Where a run stands, in the five words of the API (`knock-engine.md` section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// It has not begun.
    Queued,
    Processing,
    /// It waits.
    Paused,
    Completed,
    Cancelled,
}

/// Something that happened to a run, for the question why there was or was not a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEvent {
    pub kind: RunEventKind,
    /// Empty when the event is not a step's.
    pub step_ref: String,
    /// The message that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
    pub at: Timestamp,
}

impl RunEvent {
    /// What happened to the run as a whole.
    pub fn of_run(kind: RunEventKind, at: Timestamp) -> Self {
        Self { kind, step_ref: String::new(), message: None, at }
    }

    /// What happened at a step.
    pub fn of_step(kind: RunEventKind, step_ref: impl Into<String>, at: Timestamp) -> Self {
        Self { kind, step_ref: step_ref.into(), message: None, at }
    }
}

/// A branch that was looked at, and what came of its conditions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchJudged {
    pub name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Judged>,
}

/// What happened. How each kind is told is said in `run_trace.rs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunEventKind {
    /// A message was made and handed to its channel.
    MessageEnqueued,
    /// The step did nothing; the text says why.
    StepSkipped(String),
    /// The run waits until then.
    DelayStarted(Timestamp),
    /// The step failed; the text says why.
    StepErrored(String),
    /// A cancel call ended the run.
    Cancelled,
    /// Which preferences were looked at before a message was made or left out, in order.
    PreferencesEvaluated(Vec<Setting>),
    /// The conditions of a step, or of the trigger when it is no step's, were judged.
    ConditionsEvaluated { hold: bool, conditions: Vec<Judged> },
    /// A throttle let the run pass or not; `passed` is how many it has let pass until then, this one included.
    Throttled { passes: bool, passed: u32, limit: u32, until: Timestamp },
    /// A branch was taken: the last of those that were looked at.
    BranchTaken(Vec<BranchJudged>),
    /// It opened a batch of this key, which others join until then. It waits for them, or goes on before them.
    BatchOpened { key: String, until: Timestamp },
    /// It became one of `items` of a batch of this key that `into` opened, and which ends then.
    BatchJoined { key: String, into: RunId, items: u32, until: Timestamp },
    /// The batch that it opened is closed, and it goes on for these items, of so many actors.
    BatchClosed { items: u32, actors: u32 },
    /// A cancel call took its own item out of the batch that it opened.
    BatchItemCancelled,
    /// The message waits for a send window, which opens then.
    MessageHeld { until: Timestamp },
    /// The run was drawn into a cohort by `key`.
    CohortDrawn { name: String, key: String },
    /// What later steps find was changed: the run's data, or the properties of `of`. `change` is JSON, cut.
    Updated { of: Option<RecipientRef>, change: String },
    /// The recipient joined or left an audience, or was so already.
    AudienceChanged { key: String, change: AudienceChange },
    /// The step triggered another workflow.
    Triggered { workflow: String, trigger: TriggerId },
    /// A request is made; its URL is told without its query.
    FetchStarted { attempt: u8, method: String, url: String },
    /// The answer was laid over the run's data.
    Fetched { status: u16 },
    /// An attempt failed, and the next one is made then.
    FetchFailed { why: String, retry_at: Timestamp },
    /// The run waits for this until then.
    WaitRegistered { what: String, until: Timestamp },
    /// It has come; `event` is what it told, without what is large.
    WaitMatched { what: String, event: Value, conditions: Vec<Judged> },
    /// It has not come in time.
    WaitExpired { what: String },
}
