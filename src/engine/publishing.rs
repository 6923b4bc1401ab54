//! Publishing what lies in the directory of workflows: all that is valid becomes current at once, and what is faulty
//! stays as it was. Runs go on with the version with which they began.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Engine;
use super::catalog::{Catalog, Checked, Published};
use crate::base::deps::Panicked;
use crate::base::ids::VersionId;
use crate::model::fault::Fault;
use crate::model::workflow_file::WorkflowFiles;
use crate::store::{Store, StoreError};

/// The directory of workflows as it is now: what could be read, and what is wrong with the rest.
pub type Directory = Box<dyn Fn() -> (Vec<WorkflowFiles>, Vec<Fault>) + Send + Sync>;

/// What a publishing did.
#[derive(Debug, Default)]
pub struct Publication {
    /// What became current, by key.
    pub published: Vec<(String, VersionId)>,
    /// What was current already.
    pub unchanged: Vec<String>,
    /// What has gone from the directory: it takes no triggers any more.
    pub removed: Vec<String>,
    pub faults: Vec<Fault>,
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the workflows could not be read: it {0}")]
    Panicked(#[from] Panicked),
}

/// Reads the directory again and publishes it. One at a time.
pub async fn reload(engine: &Arc<Engine>) -> Result<Publication, PublishError> {
    let _turn = engine.reloading.lock().await;
    let reader = Arc::clone(engine);
    let read = move || {
        let (found, unread) = (reader.directory)();
        (check_all(&reader.catalog, &found), unread)
    };
    let (checked, unread) = engine.deps.offload.run(read).await?;
    let publication = publish(&engine.catalog, &engine.store, checked, unread).await?;
    publication.log();
    Ok(publication)
}

/// A workflow directory by its key, and what came of checking it.
type CheckedDirectory = (String, Result<Checked, Vec<Fault>>);

/// Checks all. May take milliseconds a workflow.
pub fn check_all(catalog: &Catalog, found: &[WorkflowFiles]) -> Vec<CheckedDirectory> {
    found.iter().map(|files| (files.key.clone(), catalog.check(files))).collect()
}

/// Makes what was checked current, all at once, when it is durable. What is faulty, or could not be read, stays as it
/// was: at the start as it was published last.
pub async fn publish(
    catalog: &Catalog,
    store: &Store,
    checked: Vec<CheckedDirectory>,
    unread: Vec<Fault>,
) -> Result<Publication, StoreError> {
    let mut done = Publication::default();
    let mut next: BTreeMap<String, Arc<Published>> = BTreeMap::new();
    let keeps = |key: &str| catalog.current(key).map(Ok).or_else(|| catalog.published_last(store, key).transpose());
    for (key, checked) in checked {
        let checked = match checked {
            Ok(checked) => checked,
            Err(faults) => {
                done.faults.extend(faults);
                match keeps(&key) {
                    Some(Ok(kept)) => {
                        tracing::error!(workflow = key, "it is faulty: its last good version stays in force");
                        next.insert(key, kept);
                    }
                    Some(Err(why)) => {
                        tracing::error!(workflow = key, %why, "it is faulty, and so is its last good version")
                    }
                    None => tracing::error!(workflow = key, "it is faulty and not published"),
                }
                continue;
            }
        };
        for notice in &checked.notices {
            tracing::warn!(workflow = key, "{notice}");
        }
        let version = checked.published.version;
        let is_known = catalog.current(&key).is_some_and(|current| current.version == version);
        next.insert(key.clone(), catalog.keep(store, checked.published).await?);
        if is_known { done.unchanged.push(key) } else { done.published.push((key, version)) }
    }
    // A directory that cannot be read as a whole says nothing of what was in it.
    let lost = if next.is_empty() && !unread.is_empty() { catalog.keys() } else { Vec::new() };
    let unreadable = lost.into_iter().chain(unread.iter().map(|fault| fault.file.clone()));
    next.extend(unreadable.filter_map(|key| Some((key.clone(), catalog.current(&key)?))));
    done.faults.extend(unread);
    done.removed = catalog.replace(next);
    Ok(done)
}

impl Publication {
    /// Tells the log.
    pub fn log(&self) {
        for fault in &self.faults {
            tracing::error!("{fault}");
        }
        for (key, version) in &self.published {
            tracing::info!(workflow = key, %version, "published");
        }
        for key in &self.removed {
            tracing::warn!(workflow = key, "its directory has gone: it takes no triggers any more");
        }
    }
}
