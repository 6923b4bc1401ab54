//! A dry run: what a trigger would do, decided by the same `plan` over what is stored, with nothing stored or sent. Time
//! passes at once; every message counts as sent, unless its address is on the suppression list, and nobody does anything
//! with it, so that no awaited event comes; the answers to requests are empty.

use serde_json::{Map, Value};

use super::Engine;
use super::cast::Cast;
use super::catalog::Published;
use super::fetch::Answer;
use super::plan::{self, Effect, Event};
use super::scene::{Scene, SceneError};
use super::trace::{Trace, TracedMessage, outline};
use super::trigger::{Begun, TriggerError, admissible, begun, identified, nestable};
use crate::base::clock::Timestamp;
use crate::base::ids::TriggerId;
use crate::model::awaited;
use crate::model::engagement::Engagement;
use crate::model::message::{Attempt, Content, Status};
use crate::model::message_status;
use crate::model::profile::Profile;
use crate::model::recipient::RecipientRef;
use crate::model::run::{EndedRun, KnownRun, Outcome, Run, RunEvent, RunEventKind};
use crate::model::trigger::{Trigger, TriggerRequest};
use crate::store::op::{NewMessage, Next};
use crate::store::{Reader, StoreError};

/// The most writes of a dry run: more than the steps of a workflow, each of which takes at most a few.
const MAX_MOVES: usize = 1_000;

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    #[error(transparent)]
    Trigger(#[from] TriggerError),
    #[error(transparent)]
    Scene(#[from] SceneError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What `request` would do if it triggered the workflow `key` now: the trace of one run for each recipient that it
/// names. Reads and renders, which may take a while.
pub fn explain(engine: &Engine, key: &str, request: TriggerRequest) -> Result<Vec<Trace>, ExplainError> {
    let published = admissible(engine, key, &request)?;
    let now = engine.deps.clock.now();
    let said = identified(&request);
    let Begun { trigger, runs, .. } = begun(engine, &published, request, now);
    let reader = engine.store.read()?;
    let plays = runs.into_iter().map(|run| {
        let said = said.clone();
        Play { engine, reader: &reader, said, trigger: &trigger, published: &published, now }.play(run)
    });
    plays.collect()
}

struct Play<'a> {
    engine: &'a Engine,
    reader: &'a Reader,
    /// What the request and the run's steps say of people, which is not stored.
    said: Vec<(RecipientRef, Profile)>,
    trigger: &'a Trigger,
    published: &'a Published,
    now: Timestamp,
}

impl Play<'_> {
    fn play(mut self, mut run: Run) -> Result<Trace, ExplainError> {
        let mut events: Vec<RunEvent> = run.begun.iter().cloned().collect();
        let mut messages: Vec<TracedMessage> = Vec::new();
        let mut event = Event::Enter;
        for _ in 0..MAX_MOVES {
            let scene = self.scene(&run, &messages, &events)?;
            let plan = plan::next(&run, event, &scene.env(self.engine, self.now));
            event = Event::Enter;
            if let Some(mut write) = plan.write {
                if let Some(nested) = &plan.trigger {
                    match nestable(self.engine, &nested.workflow, &nested.request) {
                        Ok(_) => {
                            self.said.extend(identified(&nested.request));
                            let told = self.triggered(&nested.workflow, &nested.step_ref);
                            let of_step = |event: &&RunEvent| event.step_ref == nested.step_ref;
                            let place = write.events.iter().take_while(of_step).count();
                            write.events.insert(place, told);
                        }
                        Err(TriggerError::Store(error)) => return Err(error.into()),
                        Err(error) => {
                            event = Event::NotTriggered { step: run.phase.step(), why: error.of_a_step() };
                            continue;
                        }
                    }
                }
                let (actors, told) = (u32::from(self.trigger.actor.is_some()), &mut write.events);
                let diverted = match &write.gate {
                    Some(gate) => self.reader.diverted(gate, &run.recipient, actors, self.now, told)?,
                    None => None,
                };
                events.extend(write.events.into_iter().map(unasked));
                run.revision += 1;
                if diverted.is_none() {
                    if let Some(message) = write.message {
                        messages.push(self.handed_over(message)?);
                    }
                    self.said.extend(write.changes.people);
                    run.data.get_or_insert_default().extend(write.changes.data);
                }
                match diverted.unwrap_or(write.to) {
                    Next::Phase(phase) => run.phase = phase,
                    Next::End(outcome) => return Ok(self.trace(run, outcome, events, messages)),
                }
            }
            for effect in plan.then {
                match effect {
                    Effect::Sleep(due) => self.now = self.now.max(due),
                    Effect::Render(draft) => {
                        event = Event::Rendered { draft, content: scene.render(self.engine, draft) }
                    }
                    Effect::Prepare { step } => {
                        event = Event::Prepared { step, settings: scene.prepare(self.engine, step, self.now) };
                    }
                    Effect::Fetch { step, .. } => {
                        event = Event::Fetched { step, answer: Ok(Answer { status: 204, body: Vec::new() }) };
                    }
                    Effect::Deliver { .. } | Effect::Publish { .. } | Effect::Continue | Effect::Stop => {}
                }
            }
        }
        let why = format!("it does not come to its end in {MAX_MOVES} moves");
        Ok(self.trace(run, Outcome::Failed(why), events, messages))
    }

    /// The message, with the attempt that its channel would not make if its address is on the suppression list.
    fn handed_over(&self, message: NewMessage) -> Result<TracedMessage, StoreError> {
        let mut message = message.into_message();
        let suppression = match (message.status, &message.content) {
            (Status::Queued, Content::Email { to, .. }) => self.reader.suppression(to)?,
            _ => None,
        };
        let attempts: Vec<Attempt> = suppression.iter().map(|why| Attempt::suppressed(1, self.now, why)).collect();
        if suppression.is_some() {
            message.status = Status::Undelivered;
        }
        Ok(TracedMessage { message, attempts })
    }

    fn triggered(&self, workflow: &str, step_ref: &str) -> RunEvent {
        let kind = RunEventKind::Triggered { workflow: workflow.to_owned(), trigger: TriggerId::from([0; 16]) };
        RunEvent::of_step(kind, step_ref, self.now)
    }

    fn scene(&self, run: &Run, messages: &[TracedMessage], events: &[RunEvent]) -> Result<Scene, SceneError> {
        let cast = Cast { reader: self.reader, said: &self.said, now: self.now };
        let refs = messages.iter().map(|TracedMessage { message, .. }| {
            let status = match (message.status, &message.content) {
                (Status::Queued, Content::Email { .. }) => Status::Sent,
                (Status::Queued, Content::InApp { .. }) => Status::Delivered,
                (status, _) => status,
            };
            (message.step_ref.clone(), message_status::facts(status, &Engagement::default()))
        });
        let waits = events.iter().filter_map(|event| Some((event.step_ref.clone(), awaited::facts(&event.kind)?)));
        let refs: Map<String, Value> = refs.chain(waits).collect();
        Scene::set(self.engine, cast, run, self.trigger.clone(), || Ok(refs))
    }

    fn trace(self, run: Run, outcome: Outcome, events: Vec<RunEvent>, messages: Vec<TracedMessage>) -> Trace {
        Trace {
            run: KnownRun::Ended(EndedRun { run, outcome, ended_at: self.now }),
            trigger: self.trigger.clone(),
            version: self.trigger.version,
            steps: outline(&self.published.workflow.source),
            events,
            messages,
        }
    }
}

/// An answer to a request that was not made is none.
fn unasked(event: RunEvent) -> RunEvent {
    match event.kind {
        RunEventKind::Fetched { .. } => {
            let why = "a dry run makes no request; the answer counts as empty".to_owned();
            RunEvent { kind: RunEventKind::StepSkipped(why), ..event }
        }
        _ => event,
    }
}
