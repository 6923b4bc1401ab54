//! What waits for what until when: pending runs with what their trigger and their workflow say of them.

use crate::base::clock::Timestamp;
use serde_json::Value;

use crate::base::ids::RunId;
use crate::model::batch::{Closed, State};
use crate::model::recipient::RecipientRef;
use crate::model::run::{Phase, Run};
use crate::model::step_file::ARMS;
use crate::model::trigger::Trigger;
use crate::store::{Reader, StoreError};

/// Runs that one page looks at: about 50 ms of reading. A filter that fits few of them gets short pages, and the cursor
/// goes on from where the look ended.
const LOOKED_AT: usize = 10_000;

/// Which runs; what is `None` fits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub workflow: Option<String>,
    pub recipient: Option<RecipientRef>,
    pub tenant: Option<String>,
}

impl Filter {
    /// Of the run alone: its trigger need not be read for one that does not fit.
    fn fits_run(&self, run: &Run) -> bool {
        self.recipient.as_ref().is_none_or(|recipient| *recipient == run.recipient)
    }

    fn fits_trigger(&self, trigger: &Trigger) -> bool {
        self.workflow.as_ref().is_none_or(|key| *key == trigger.workflow)
            && self.tenant.as_ref().is_none_or(|tenant| Some(tenant) == trigger.tenant.as_ref())
    }
}

/// A pending run and what it waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingRun {
    pub run: Run,
    pub workflow: String,
    pub tenant: Option<String>,
    pub cancellation_key: Option<String>,
    pub inserted_at: Timestamp,
    /// The step that it waits at; `None`: it waits for nothing but its turn.
    pub waits_at: Option<String>,
    /// The event that it waits for there, if it waits for one.
    pub waits_for: Option<String>,
    /// The step that is executed then; `None`: the run ends.
    pub next: Option<String>,
}

/// Some pending runs, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    pub runs: Vec<PendingRun>,
    /// Where the next page begins; `None`: there is none.
    pub after: Option<RunId>,
}

/// Up to `size` pending runs that fit `filter`, from behind `after` on.
pub fn page(reader: &Reader, filter: &Filter, after: Option<RunId>, size: usize) -> Result<Page, StoreError> {
    let (mut page, mut looked_at, mut last) = (Page::default(), 0, None);
    // The runs of one trigger lie beside each other.
    let mut shared: Option<Shared> = None;
    let mut failed = None;
    reader.each_run_after(after, |run| {
        if page.runs.len() >= size || looked_at >= LOOKED_AT {
            page.after = last;
            return false;
        }
        looked_at += 1;
        last = Some(run.id);
        if !filter.fits_run(&run) {
            return true;
        }
        if shared.as_ref().is_none_or(|shared| shared.trigger.id != run.trigger || shared.moved || run.revision > 0) {
            match Shared::load(reader, &run) {
                Ok(found) => shared = found,
                Err(error) => failed = Some(error),
            }
        }
        if let Some(shared) = shared.as_ref().filter(|shared| filter.fits_trigger(&shared.trigger)) {
            match shared.describe(reader, run) {
                Ok(described) => page.runs.push(described),
                Err(error) => failed = Some(error),
            }
        }
        failed.is_none()
    })?;
    failed.map_or(Ok(page), Err)
}

/// What is known of one pending run; `None`: it is not pending.
pub fn describe(reader: &Reader, id: RunId) -> Result<Option<PendingRun>, StoreError> {
    let Some(run) = reader.run(id)? else { return Ok(None) };
    Shared::load(reader, &run)?.map(|shared| shared.describe(reader, run)).transpose()
}

/// What the runs of a trigger share.
struct Shared {
    trigger: Trigger,
    /// The names of the workflow's steps in the order of their numbers, and of what follows each, as its document has
    /// them: it need not fit today's configuration.
    steps: Vec<(String, Option<String>)>,
    /// Behind its batch the run goes on with another version of the workflow.
    moved: bool,
}

impl Shared {
    fn load(reader: &Reader, run: &Run) -> Result<Option<Self>, StoreError> {
        let Some(trigger) = reader.trigger(run.trigger)? else { return Ok(None) };
        let batch = reader.last_batch(run.id)?.map(|(_, batch)| batch.state);
        let version = match batch {
            Some(State::Closed(Closed { version: Some(version), .. })) => version,
            _ => trigger.version,
        };
        let document = reader.version(version)?.map(|version| version.document).unwrap_or_default();
        let mut steps = Vec::new();
        number(&document["steps"], None, &mut steps);
        Ok(Some(Self { moved: version != trigger.version, trigger, steps }))
    }

    fn describe(&self, reader: &Reader, run: Run) -> Result<PendingRun, StoreError> {
        let (name, behind) = self.steps.get(usize::from(run.phase.step())).cloned().unzip();
        let (waits_at, next) = match run.phase {
            Phase::Ready { .. } => (None, name),
            Phase::Matched { .. } => (None, behind.flatten()),
            Phase::Waiting { .. } | Phase::Batching { .. } | Phase::Fetching { .. } | Phase::Awaiting { .. } => {
                (name, behind.flatten())
            }
        };
        let wait = match run.phase {
            Phase::Awaiting { .. } => reader.wait(run.id)?,
            _ => None,
        };
        Ok(PendingRun {
            workflow: self.trigger.workflow.clone(),
            tenant: self.trigger.tenant.clone(),
            cancellation_key: self.trigger.cancellation_key.clone(),
            inserted_at: self.trigger.inserted_at,
            waits_at,
            waits_for: wait.map(|wait| wait.awaited.to_string()),
            next,
            run,
        })
    }
}

/// Numbers the steps through as they are when a workflow is read: those of an arm stand behind its step.
fn number(steps: &Value, behind: Option<&str>, numbered: &mut Vec<(String, Option<String>)>) {
    let name = |step: &'_ Value| step["ref"].as_str().unwrap_or_default().to_owned();
    let steps = steps.as_array().map_or(&[][..], Vec::as_slice);
    for (index, step) in steps.iter().enumerate() {
        let next = steps.get(index + 1).map(name).or_else(|| behind.map(str::to_owned));
        numbered.push((name(step), next.clone()));
        for arm in ARMS.iter().filter_map(|key| step[key].as_array()).flatten() {
            let behind = next.as_deref().filter(|_| arm["terminates"] != true);
            number(&arm["steps"], behind, numbered);
        }
    }
}
