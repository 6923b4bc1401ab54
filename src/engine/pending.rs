//! What waits for what until when: pending runs with what their trigger and their workflow say of them.

use std::sync::Arc;

use super::catalog::{Catalog, Published};
use crate::base::clock::Timestamp;
use crate::base::ids::RunId;
use crate::model::recipient::RecipientRef;
use crate::model::run::{Phase, Run};
use crate::model::trigger::Trigger;
use crate::store::{Store, StoreError};

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
    /// The delay that it waits at; `None`: it waits for nothing but its turn.
    pub waits_at: Option<String>,
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
pub fn page(
    store: &Store,
    catalog: &Catalog,
    filter: &Filter,
    after: Option<RunId>,
    size: usize,
) -> Result<Page, StoreError> {
    let reader = store.read()?;
    let (mut runs, mut looked_at, mut last) = (Vec::new(), 0, None);
    let mut more = false;
    // The runs of one trigger lie beside each other.
    let mut shared: Option<Trigger> = None;
    let mut failed = None;
    reader.each_run_after(after, |run| {
        if runs.len() >= size || looked_at >= LOOKED_AT {
            more = true;
            return false;
        }
        looked_at += 1;
        last = Some(run.id);
        if !filter.fits_run(&run) {
            return true;
        }
        if shared.as_ref().is_none_or(|trigger| trigger.id != run.trigger) {
            match reader.trigger(run.trigger) {
                Ok(found) => shared = found,
                Err(error) => failed = Some(error),
            }
        }
        if let Some(trigger) = shared.as_ref().filter(|trigger| filter.fits_trigger(trigger)) {
            // A version that does not fit the configuration any more has no steps to name.
            let published = catalog.version(store, trigger.version).ok();
            runs.push(described(run, trigger, published.as_deref()));
        }
        failed.is_none()
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(Page { runs, after: last.filter(|_| more) }),
    }
}

/// What is known of one pending run; `None` when it has none.
pub fn describe(store: &Store, catalog: &Catalog, id: RunId) -> Result<Option<PendingRun>, StoreError> {
    let reader = store.read()?;
    let Some(run) = reader.run(id)? else { return Ok(None) };
    let Some(trigger) = reader.trigger(run.trigger)? else { return Ok(None) };
    let published: Option<Arc<Published>> = catalog.version(store, trigger.version).ok();
    Ok(Some(described(run, &trigger, published.as_deref())))
}

fn described(run: Run, trigger: &Trigger, published: Option<&Published>) -> PendingRun {
    let step = |index: u16| Some(published?.workflow.steps.get(usize::from(index))?.reference.clone());
    let (waits_at, next) = match run.phase {
        Phase::Ready { step: index } => (None, step(index)),
        Phase::Waiting { step: index, .. } => (step(index), step(index.saturating_add(1))),
    };
    PendingRun {
        workflow: trigger.workflow.clone(),
        tenant: trigger.tenant.clone(),
        cancellation_key: trigger.cancellation_key.clone(),
        inserted_at: trigger.inserted_at,
        waits_at,
        next,
        run,
    }
}
