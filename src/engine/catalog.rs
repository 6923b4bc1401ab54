//! The workflows that can run: the current one of each key, and the versions that older runs still follow.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};

use super::shelf::Shelf;
use crate::base::ids::VersionId;
use crate::model::channel::ChannelType;
use crate::model::data_schema::DataSchema;
use crate::model::fault::Fault;
use crate::model::library::Library;
use crate::model::notice::Remark;
use crate::model::workflow::{Engine as TemplateEngine, Workflow};
use crate::model::workflow_file::{self, WorkflowFiles};
use crate::store::op::{PublishVersion, StoredVersion};
use crate::store::{Store, StoreError};
use crate::template::{Compiled, Parts, Phrases, untranslated};

/// A workflow that is ready to run: validated, its templates parsed.
pub struct Published {
    pub workflow: Workflow,
    pub templates: Compiled,
    pub version: VersionId,
    /// The layouts and partials that the workflow names.
    library: Library,
    /// What a trigger's data must fit.
    pub schema: Option<DataSchema>,
}

/// A workflow directory that passed, and what is told of it.
pub struct Checked {
    pub published: Published,
    pub remarks: Vec<Remark>,
}

/// All published workflows.
pub struct Catalog {
    current: RwLock<BTreeMap<String, Arc<Published>>>,
    versions: RwLock<HashMap<VersionId, Arc<Published>>>,
    /// Those that were switched off or on, which counts for more than what their files say.
    switches: RwLock<BTreeMap<String, bool>>,
    channels: BTreeMap<String, ChannelType>,
    engine: TemplateEngine,
    shelf: RwLock<Arc<Shelf>>,
}

/// Why the version that a run follows cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the workflow as it was when the run started is not stored")]
    Missing,
    #[error("the workflow as it was when the run started no longer fits the configuration: {0}")]
    Invalid(String),
}

impl Catalog {
    /// An empty catalog for these channels. It knows no layout but the one that is built in.
    pub fn new(channels: BTreeMap<String, ChannelType>, engine: TemplateEngine) -> Self {
        Self {
            current: RwLock::default(),
            versions: RwLock::default(),
            switches: RwLock::default(),
            channels,
            engine,
            shelf: RwLock::default(),
        }
    }

    /// Takes the layouts and partials that workflows can name from now on; answers every fault in their templates.
    pub fn furnish(&mut self, library: Library) -> Vec<Fault> {
        let (shelf, faults) = Shelf::of(library, &self.shelf());
        self.shelve(shelf, &BTreeMap::new());
        faults
    }

    /// What workflows share now.
    pub fn shelf(&self) -> Arc<Shelf> {
        Arc::clone(&read(&self.shelf))
    }

    /// Takes another shelf, with which those of `next` were checked. All runs say what it translates from then on, whenever
    /// they started; the layouts and partials of each are those of its version.
    pub fn shelve(&self, shelf: Shelf, next: &BTreeMap<String, Arc<Published>>) {
        *write(&self.shelf) = Arc::new(shelf);
        // The others are compiled again when they are asked for.
        let next = next.values().map(|published| (published.version, Arc::clone(published)));
        *write(&self.versions) = next.collect();
    }

    /// What templates and pages can say in other languages.
    pub fn phrases(&self) -> Arc<Phrases> {
        Arc::clone(&self.shelf().phrases)
    }

    /// Validates a workflow directory, templates included; answers every fault.
    pub fn check(&self, files: &WorkflowFiles) -> Result<Checked, Vec<Fault>> {
        self.check_with(&self.shelf(), files)
    }

    /// The same, as if `shelf` were what workflows share.
    pub fn check_with(&self, shelf: &Shelf, files: &WorkflowFiles) -> Result<Checked, Vec<Fault>> {
        let (workflow, mut remarks) = workflow_file::parse(files, &self.channels, self.engine)?;
        remarks.extend(untranslated(&workflow, &shelf.phrases).into_iter().map(Remark::from));
        let library = shelf.library.named_in(&workflow.source);
        let published = compile(workflow, library, &shelf.parts, &shelf.phrases)?;
        match published.templates.foreseen() {
            [] => Ok(Checked { published, remarks }),
            foreseen => Err(foreseen.to_vec()),
        }
    }

    /// Makes `published` the current version of its key, once its document is durable for the runs that will follow it.
    pub async fn publish(&self, store: &Store, published: Published) -> Result<(), StoreError> {
        let published = self.keep(store, published).await?;
        write(&self.current).insert(published.workflow.key.clone(), published);
        Ok(())
    }

    /// Makes `published` durable, for the runs that will follow it. It is not the current one yet.
    pub async fn keep(&self, store: &Store, published: Published) -> Result<Arc<Published>, StoreError> {
        let version = published.version;
        if store.read()?.published(&published.workflow.key)? != Some(version) {
            let Published { workflow, library, .. } = &published;
            let stored = StoredVersion {
                key: workflow.key.clone(),
                document: workflow.source.clone(),
                engine: Some(workflow.settings.engine),
                library: library.clone(),
            };
            store.publish_version(PublishVersion { version, stored }).await?;
        }
        let published = Arc::new(published);
        write(&self.versions).insert(version, Arc::clone(&published));
        Ok(published)
    }

    /// The version of `key` that was published last, by this process or one before it.
    pub fn published_last(&self, store: &Store, key: &str) -> Result<Option<Arc<Published>>, VersionError> {
        let Some(version) = store.read()?.published(key)? else { return Ok(None) };
        self.version(store, version).map(Some)
    }

    /// Makes these the current ones, all at once; answers the keys of those that are not any more.
    pub fn replace(&self, next: BTreeMap<String, Arc<Published>>) -> Vec<String> {
        let mut current = write(&self.current);
        let before = std::mem::replace(&mut *current, next);
        before.into_keys().filter(|key| !current.contains_key(key)).collect()
    }

    /// Reads which workflows were switched off or on.
    pub fn load_switches(&self, store: &Store) -> Result<(), StoreError> {
        *write(&self.switches) = store.read()?.switches()?;
        Ok(())
    }

    /// Switches the workflow `key` off or on, whatever its file says.
    pub async fn switch(&self, store: &Store, key: &str, active: bool) -> Result<(), StoreError> {
        store.switch_workflow(key, active).await?;
        write(&self.switches).insert(key.to_owned(), active);
        Ok(())
    }

    /// Whether the workflow `key` takes triggers, and its runs go on.
    pub fn is_active(&self, key: &str) -> bool {
        let switched = read(&self.switches).get(key).copied();
        let in_file = || self.current(key).is_none_or(|published| published.workflow.source["active"] != false);
        switched.unwrap_or_else(in_file)
    }

    /// The current version of `key`.
    pub fn current(&self, key: &str) -> Option<Arc<Published>> {
        read(&self.current).get(key).cloned()
    }

    /// The keys of all current workflows.
    pub fn keys(&self) -> Vec<String> {
        read(&self.current).keys().cloned().collect()
    }

    /// The version that a run follows, compiled once.
    pub fn version(&self, store: &Store, id: VersionId) -> Result<Arc<Published>, VersionError> {
        if let Some(found) = read(&self.versions).get(&id) {
            return Ok(Arc::clone(found));
        }
        let stored = store.read()?.version(id)?.ok_or(VersionError::Missing)?;
        let engine = stored.engine.unwrap_or(self.engine);
        let parsed = workflow_file::parse_source(&stored.key, stored.document, &self.channels, engine);
        let (parts, _) = Parts::new(&stored.library);
        let shelf = self.shelf();
        let compiled = parsed.and_then(|(workflow, _)| compile(workflow, stored.library, &parts, &shelf.phrases));
        let published = compiled.map_err(|faults| {
            VersionError::Invalid(faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; "))
        })?;
        let published = Arc::new(Published { version: id, ..published });
        let mut versions = write(&self.versions);
        // What was compiled with a shelf that is another by now would stay behind.
        if Arc::ptr_eq(&shelf, &self.shelf()) {
            versions.insert(id, Arc::clone(&published));
        }
        Ok(published)
    }
}

fn compile(
    workflow: Workflow,
    library: Library,
    parts: &Parts,
    phrases: &Arc<Phrases>,
) -> Result<Published, Vec<Fault>> {
    let templates = Compiled::new(&workflow, parts)?.speaking(Arc::clone(phrases));
    let version = version_of(&workflow, &library);
    let schema = schema_of(&workflow).map_err(|fault| vec![fault])?;
    Ok(Published { workflow, templates, version, library, schema })
}

fn schema_of(workflow: &Workflow) -> Result<Option<DataSchema>, Fault> {
    const FIELD: &str = "trigger_data_json_schema";
    let schema = workflow.source.get(FIELD).filter(|schema| !schema.is_null());
    schema.map(DataSchema::new).transpose().map_err(|problem| {
        let (file, path) = workflow.place(FIELD);
        let fix = "Write a schema whose references lead into itself, or remove it.".to_owned();
        Fault { file, path, problem: format!("is no JSON Schema: {problem}"), fix }
    })
}

/// The key is part of the content: two workflows with equal documents are two versions. So are layouts, partials and the
/// language of templates: runs keep those that they started with.
fn version_of(workflow: &Workflow, library: &Library) -> VersionId {
    let shared = if library.is_empty() { String::new() } else { format!("\n{}", serde_json::json!(library)) };
    let language = if workflow.settings.engine == TemplateEngine::Liquid { "\nliquid" } else { "" };
    VersionId::of(format!("{}\n{}{shared}{language}", workflow.key, workflow.source).as_bytes())
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::store::Settings;

    fn document(body: &str) -> Value {
        let template = json!({"markdown_body": body});
        let step = json!({"ref": "feed", "type": "channel", "channel_key": "feed", "template": template});
        json!({"name": "W", "settings": {"template_engine": "liquid"}, "steps": [step]})
    }

    #[tokio::test]
    async fn a_stored_version_goes_on_with_what_is_a_fault_when_it_is_published_now() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Settings::default()).unwrap();
        let catalog =
            Catalog::new(BTreeMap::from([("feed".to_owned(), ChannelType::InAppFeed)]), TemplateEngine::Liquid);
        let document = document("{% if odd %}{{ n | divided_by: 0 }}{% endif %}x");
        let files = BTreeMap::from([("workflow.json".to_owned(), document.to_string())]);
        let faults = catalog.check(&WorkflowFiles { key: "w".to_owned(), files }).err().unwrap();
        assert!(faults.len() == 1 && faults[0].problem.contains("cannot divide by zero"), "{faults:?}");

        let version = VersionId::from([1; 16]);
        let stored = StoredVersion { key: "w".to_owned(), document, engine: None, library: Library::default() };
        store.publish_version(PublishVersion { version, stored }).await.unwrap();
        let published = catalog.version(&store, version).unwrap();
        assert_eq!(published.templates.in_app("feed", json!({})).unwrap().len(), 1);
    }
}
