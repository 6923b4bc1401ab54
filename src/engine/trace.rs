//! The trace of a run: what surrounds it, what happened to it step by step, and what became of its messages. Read from
//! what the run wrote as it went; nothing is written for it.

use serde_json::{Map, Value};

use crate::base::clock::Timestamp;
use crate::base::ids::{RunId, VersionId};
use crate::model::batch::State;
use crate::model::message::{Attempt, Message};
use crate::model::page::{Page, PageRequest};
use crate::model::run::{KnownRun, Phase, Run, RunEvent, RunEventKind};
use crate::model::run_filter::RunFilter;
use crate::model::step_file::ARMS;
use crate::model::trigger::Trigger;
use crate::store::newest::Which;
use crate::store::{Reader, StoreError};

/// Keys of a step that are no settings.
const TOLD_APART: [&str; 4] = ["ref", "type", "name", "template"];

/// What the version of a workflow says of a step, which is its input.
#[derive(Clone, Debug, PartialEq)]
pub struct StepOutline {
    pub reference: String,
    /// Its `type`: `channel`, `delay`.
    pub kind: String,
    pub name: Option<String>,
    /// Its keys but for its template, its arms, and what stands in the other fields here.
    pub settings: Map<String, Value>,
}

/// All that is known of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub run: KnownRun,
    pub trigger: Trigger,
    /// The version that the run follows: that of its trigger, unless it went on with a later one behind its batch.
    pub version: VersionId,
    /// The steps of that version, those of arms behind theirs.
    pub steps: Vec<StepOutline>,
    /// In order.
    pub events: Vec<RunEvent>,
    pub messages: Vec<TracedMessage>,
}

/// A message and what was tried to send it.
#[derive(Clone, Debug, PartialEq)]
pub struct TracedMessage {
    pub message: Message,
    pub attempts: Vec<Attempt>,
}

/// A run as lists show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    pub run: KnownRun,
    pub trigger: Trigger,
    pub error_count: usize,
    /// When something happened to it last.
    pub updated_at: Timestamp,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    NotReached,
    /// The run stands here.
    Waiting,
    Executed,
    Skipped,
    Failed,
}

impl Summary {
    fn of(run: KnownRun, trigger: Trigger, events: &[RunEvent]) -> Self {
        let error_count = events.iter().filter(|event| event.kind.is_error()).count();
        let made_at = run.run().id.made_at();
        let last = match &run {
            KnownRun::Ended(ended) => Some(ended.ended_at),
            KnownRun::Pending(_) => events.last().map(|event| event.at),
        };
        Self { run, trigger, error_count, updated_at: last.unwrap_or(made_at).max(made_at) }
    }
}

impl Trace {
    /// The trace of the run `id`; `None`: nothing is known of it, or not any more.
    pub fn load(reader: &Reader, id: RunId) -> Result<Option<Self>, StoreError> {
        let Some(run) = reader.known_run(id)? else { return Ok(None) };
        let Some(trigger) = reader.trigger(run.run().trigger)? else { return Ok(None) };
        let batch = reader.last_batch(id)?.map(|(_, batch)| batch.state);
        let moved = match batch {
            Some(State::Closed(closed)) => closed.version,
            _ => None,
        };
        let version = moved.unwrap_or(trigger.version);
        let document = reader.version(version)?.map(|version| version.document).unwrap_or_default();
        let events = reader.run_events(id)?;
        let mut messages = Vec::new();
        for id in events.iter().filter_map(|event| event.message) {
            if let Some(message) = reader.message(id)? {
                messages.push(TracedMessage { message, attempts: reader.attempts(id)? });
            }
        }
        Ok(Some(Self { run, trigger, version, steps: outline(&document), events, messages }))
    }

    /// The same as lists show it.
    pub fn summary(&self) -> Summary {
        Summary::of(self.run.clone(), self.trigger.clone(), &self.events)
    }

    /// The data that the run was given: its trigger's, and what the trigger said to this recipient alone.
    pub fn data(&self) -> Map<String, Value> {
        let mut data = self.trigger.data.clone();
        data.extend(self.run.run().data.clone().unwrap_or_default());
        data
    }

    /// The step at which the run stands, if it has not ended.
    pub fn stands_at(&self) -> Option<&StepOutline> {
        let KnownRun::Pending(run) = &self.run else { return None };
        self.steps.get(usize::from(run.phase.step()))
    }

    /// The event that the run waits for, if it does.
    pub fn waits_for(&self) -> Option<&str> {
        let KnownRun::Pending(Run { phase: Phase::Awaiting { .. }, .. }) = &self.run else { return None };
        self.events.iter().rev().find_map(|event| match &event.kind {
            RunEventKind::WaitRegistered { what, .. } => Some(what.as_str()),
            _ => None,
        })
    }

    /// What became of the step `reference`.
    pub fn state(&self, reference: &str) -> StepState {
        let of_step = || self.events.iter().filter(|event| event.step_ref == reference).map(|event| &event.kind);
        if of_step().any(|kind| matches!(kind, RunEventKind::StepSkipped(_))) {
            StepState::Skipped
        } else if of_step().next_back().is_some_and(RunEventKind::is_error) {
            StepState::Failed
        } else if self.stands_at().is_some_and(|step| step.reference == reference) {
            StepState::Waiting
        } else if of_step().next().is_some() {
            StepState::Executed
        } else {
            StepState::NotReached
        }
    }
}

/// A page of runs that `filter` asks for, newest first.
pub fn page(reader: &Reader, filter: &RunFilter, request: &PageRequest) -> Result<Page<Summary>, StoreError> {
    // The runs of one trigger lie beside each other.
    let mut shared: Option<Trigger> = None;
    let which = Which {
        made: filter.made(reader.widest_gap()?),
        of: filter.recipient.as_ref(),
        trigger: filter.trigger,
        has_ended: filter.has_ended(),
    };
    reader.runs_page(&which, request, |known| {
        if !filter.covers_run(&known) {
            return Ok(None);
        }
        let id = known.run().trigger;
        if shared.as_ref().is_none_or(|shared| shared.id != id) {
            shared = reader.trigger(id)?;
        }
        let Some(trigger) = shared.as_ref().filter(|trigger| filter.covers_trigger(trigger)) else { return Ok(None) };
        let events = reader.run_events(known.run().id)?;
        let summary = Summary::of(known, trigger.clone(), &events);
        Ok(Some(summary).filter(|one| filter.has_errors.is_none_or(|wanted| wanted == (one.error_count > 0))))
    })
}

/// The steps of a workflow's document, numbered as they are when it is read: those of an arm behind its step.
pub fn outline(document: &Value) -> Vec<StepOutline> {
    let mut steps = Vec::new();
    number(&document["steps"], &mut steps);
    steps
}

fn number(steps: &Value, numbered: &mut Vec<StepOutline>) {
    for step in steps.as_array().map_or(&[][..], Vec::as_slice) {
        let text = |key: &str| step[key].as_str().map(str::to_owned);
        let mut settings = step.as_object().cloned().unwrap_or_default();
        settings.retain(|key, _| !TOLD_APART.contains(&key.as_str()) && !ARMS.contains(&key.as_str()));
        numbered.push(StepOutline {
            reference: text("ref").unwrap_or_default(),
            kind: text("type").unwrap_or_default(),
            name: text("name"),
            settings,
        });
        for arm in ARMS.iter().filter_map(|key| step[key].as_array()).flatten() {
            number(&arm["steps"], numbered);
        }
    }
}
