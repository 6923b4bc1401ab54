//! What one step of a run is played before: its trigger, its workflow, the people in it as they are now.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::Engine;
use super::cast::Cast;
use super::catalog::{Published, VersionError};
use super::plan::{Draft, Env};
use super::records::Stored;
use crate::base::clock::Timestamp;
use crate::base::ids::{MessageId, VersionId};
use crate::model::attachment;
use crate::model::awaited;
use crate::model::batch::{Activities, Activity, Batch, State};
use crate::model::batch_step::Follows;
use crate::model::condition::{Conditions, Facts, REFS, STANDING_SCOPES};
use crate::model::consent::Preferences;
use crate::model::link::Holder;
use crate::model::message::{Block, Content};
use crate::model::message_status;
use crate::model::preferences::DEFAULT_SET;
use crate::model::recipient::{Recipient, RecipientRef};
use crate::model::run::{Phase, Run};
use crate::model::schedule::Schedule;
use crate::model::subscription::Subscription;
use crate::model::tracking::Tracking;
use crate::model::trigger::Trigger;
use crate::model::workflow::{ChannelStep, Step, StepKind, Template, Workflow};
use crate::store::removal::is_before;
use crate::store::{Reader, StoreError};
use crate::template::records;
use crate::template::scope::Scope;
use crate::template::tracking::track;

/// Everything that a step of `run` may look at, loaded afresh for each step: a property that was set during a delay
/// counts.
pub struct Scene {
    pub trigger: Trigger,
    pub published: Arc<Published>,
    /// What the run tells of, and in which batch that lies.
    activities: Activities,
    batch: Option<u32>,
    /// Where in the workflow the run goes on behind its batch, if it leaves the version that it was triggered with.
    moved: Option<(VersionId, u16)>,
    /// Everybody who acted, by the activities that are shown.
    actors: BTreeMap<RecipientRef, Value>,
    pub recipient: Recipient,
    /// The recipient was deleted since the run was triggered.
    deleted: bool,
    /// By which the recipient was reached, and its object.
    subscription: Option<(Subscription, Recipient)>,
    actor: Option<Recipient>,
    tenant: Option<Recipient>,
    /// What triggered the run, if no call did.
    schedule: Option<Schedule>,
    zone: TimeZone,
    vars: Map<String, Value>,
    /// Where one click ends such messages.
    unsubscribe: Option<String>,
    preferences: Preferences,
    /// The audiences that the recipient is in for the run's tenant; read only for conditions.
    audiences: Vec<String>,
    /// What conditions are judged by; `null` when there are none.
    facts: Value,
    /// What those of preferences are judged by, where that is another: behind a batch they see its first activity alone
    /// (`knock-engine.md` section 3.3).
    first_facts: Option<Value>,
}

/// Why a run's surroundings cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SceneError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Version(#[from] VersionError),
    #[error("the trigger of the run is not stored")]
    NoTrigger,
}

impl Scene {
    /// Loads what surrounds `run` at `now`.
    pub fn load(engine: &Engine, run: &Run, now: Timestamp) -> Result<Self, SceneError> {
        let reader = engine.store.read()?;
        let trigger = reader.trigger(run.trigger)?.ok_or(SceneError::NoTrigger)?;
        let cast = Cast { reader: &reader, said: &[], now };
        Self::set(engine, cast, run, trigger, || refs(&reader, run))
    }

    /// Sets what surrounds `run`, which `trigger` made, among the people of `cast`; `refs` is asked only for conditions.
    pub fn set(
        engine: &Engine,
        cast: Cast<'_>,
        run: &Run,
        trigger: Trigger,
        refs: impl FnOnce() -> Result<Map<String, Value>, StoreError>,
    ) -> Result<Self, SceneError> {
        let (reader, now) = (cast.reader, cast.now);
        let Ground { published, activities, batch, moved } = Ground::of(engine, reader, run, &trigger)?;
        let recipient = cast.recipient(&run.recipient)?;
        let deleted = reader.deleted(&run.recipient)?.is_some_and(|at| is_before(run.trigger, at));
        let subscription = match &run.via {
            Some(object) => reader.subscription(object, &run.recipient)?,
            None => None,
        };
        let with_object = |one: Subscription| {
            let object = cast.recipient(&one.object)?;
            Ok::<_, StoreError>((one, object))
        };
        let subscription = subscription.map(with_object).transpose()?;
        let actor = activities.actor.as_ref().map(|actor| cast.recipient(actor)).transpose()?;
        let known = |actor: &RecipientRef| Ok::<_, StoreError>((actor.clone(), cast.recipient(actor)?.to_scope()));
        let actors = activities.actors().into_iter().map(known).collect::<Result<_, _>>()?;
        let tenant = trigger.tenant.as_ref().map(|id| cast.recipient(&RecipientRef::tenant(id)));
        let tenant = tenant.transpose()?;
        let preferences = cast.preferences(&run.recipient, tenant.as_ref(), &engine.preferences)?;
        let schedule = trigger.schedule.map(|id| reader.schedule(id)).transpose()?.flatten();
        let is_commercial = published.workflow.settings.is_commercial;
        let holder = Holder { recipient: run.recipient.clone(), tenant: trigger.tenant.clone() };
        let vars = engine.links.vars(&engine.vars, &holder, is_commercial);
        let unsubscribe = is_commercial.then(|| engine.links.unsubscribe(&holder));
        let zone = recipient.own_zone().or_else(|| tenant.as_ref()?.own_zone());
        let zone = zone.unwrap_or_else(|| engine.zone.clone());
        let (audiences, facts) = (Vec::new(), Value::Null);
        let mut scene = Self {
            trigger,
            published,
            activities,
            batch,
            moved,
            actors,
            recipient,
            deleted,
            subscription,
            actor,
            tenant,
            schedule,
            zone,
            vars,
            unsubscribe,
            preferences,
            audiences,
            facts,
            first_facts: None,
        };
        let workflow = &scene.published.workflow;
        let looks_up = workflow.steps.iter().any(|step| step.kind.looks_up());
        if looks_up || scene.preferences.have_conditions() || !workflow.conditions().all(Conditions::is_empty) {
            let ask_steps = workflow.conditions().any(|one| !one.paths_in(REFS).is_empty());
            let refs = if ask_steps { refs()? } else { Map::new() };
            scene.facts = scene.facts(refs, now);
            if scene.batch.is_some() && scene.preferences.have_conditions() {
                let mut data = scene.activities.first.clone();
                data.extend(run.data.clone().unwrap_or_default());
                let mut facts = scene.facts.clone();
                facts["data"] = data.into();
                scene.first_facts = Some(facts);
            }
            scene.audiences = reader.audiences_of(&run.recipient, scene.trigger.tenant.as_deref())?;
        }
        Ok(scene)
    }

    /// The surroundings as `plan` takes them.
    pub fn env<'a>(&'a self, engine: &'a Engine, now: Timestamp) -> Env<'a> {
        Env {
            now,
            trigger: &self.trigger,
            workflow: &self.published.workflow,
            version: self.published.version,
            data: &self.activities.data,
            recipient: &self.recipient,
            zone: &self.zone,
            active: engine.catalog.is_active(&self.trigger.workflow),
            deleted: self.deleted,
            batch: self.batch,
            moved: self.moved,
            preferences: &self.preferences,
            facts: Facts { scope: &self.facts, now, audiences: &self.audiences },
            preference_facts: Facts {
                scope: self.first_facts.as_ref().unwrap_or(&self.facts),
                now,
                audiences: &self.audiences,
            },
            channels: &engine.channels,
        }
    }

    /// What templates of the message can name.
    fn scope(&self, message: MessageId, at: Timestamp) -> Value {
        let mut recipient = self.recipient.to_scope();
        let set = self.trigger.tenant.as_deref().unwrap_or(DEFAULT_SET);
        recipient["preferences"] = self.preferences.merged().to_json(set);
        if let Some((subscription, object)) = &self.subscription {
            let mut properties = subscription.properties.clone().unwrap_or_default();
            properties.insert("object".into(), object.to_scope());
            recipient["subscription"] = properties.into();
        }
        if let Some(schedule) = &self.schedule {
            recipient["schedule"] = json!({
                "id": schedule.id,
                "last_occurrence_at": schedule.last_at,
                "next_occurrence_at": schedule.next_at,
            });
        }
        let actor = self.actor.as_ref().map(Recipient::to_scope);
        let tenant = self.tenant.as_ref().map(Recipient::to_scope);
        Scope {
            recipient: &recipient,
            actor: actor.as_ref(),
            tenant: tenant.as_ref(),
            activities: &self.activities,
            actors: &self.actors,
            vars: &self.vars,
            workflow: &self.published.workflow,
            version: self.published.version,
            cancellation_key: self.trigger.cancellation_key.as_deref(),
            message,
            at,
        }
        .to_value()
    }

    /// What conditions can name; there is no message yet.
    fn facts(&self, refs: Map<String, Value>, now: Timestamp) -> Value {
        let mut scope = self.scope(MessageId::from([0; 16]), now);
        if let Value::Object(map) = &mut scope {
            // Data lies beside the scopes too, and must not stand in for one.
            map.retain(|name, _| STANDING_SCOPES.contains(&name.as_str()));
            let Activities { total, total_actors, .. } = self.activities;
            map.insert("run".into(), json!({"total_activities": total, "total_actors": total_actors}));
            map.insert(REFS.into(), Value::Object(refs));
        }
        scope
    }

    /// Renders the settings of a step. May take milliseconds; the error is for people.
    pub fn prepare(&self, engine: &Engine, step: u16, at: Timestamp) -> Result<Map<String, Value>, String> {
        let _found = records::open(Stored::new(&engine.store, at));
        let workflow = &self.published.workflow;
        let step = workflow.steps.get(usize::from(step)).ok_or("the step is gone")?;
        let mut scope = self.scope(MessageId::from([0; 16]), at);
        self.put_contents_back(&mut scope);
        self.published.templates.settings(&step.reference, &scope).map_err(|error| error.to_string())
    }

    /// Steps that hand data on, to a service or another workflow, hand on what is attached whole.
    fn put_contents_back(&self, scope: &mut Value) {
        for key in attachment_keys(&self.published.workflow) {
            let Some(whole) = self.trigger.data.get(&key) else { continue };
            let seen = attachment::without_content(whole);
            let places = [format!("/data/{key}"), format!("/{key}")];
            for place in places {
                if let Some(value) = scope.pointer_mut(&place).filter(|value| **value == seen) {
                    *value = whole.clone();
                }
            }
        }
    }

    /// Renders the content of `draft`; none of an email to nobody. May take milliseconds; the error is for people.
    pub fn render(&self, engine: &Engine, draft: Draft) -> Result<Option<Content>, String> {
        let _found = records::open(Stored::new(&engine.store, draft.at));
        let workflow = &self.published.workflow;
        let step = workflow.steps.get(usize::from(draft.step)).ok_or("the step is gone")?;
        let StepKind::Channel(channel) = &step.kind else { return Err("the step has no content".into()) };
        let scope = self.scope(draft.id, draft.at);
        let templates = &self.published.templates;
        let known = engine.channels.iter().find(|known| known.key == channel.channel_key);
        let tracking = known.map(|known| known.tracking).unwrap_or_default().under(channel.tracking);
        match &channel.template {
            Template::Email(_) => {
                let addressing = known.map(|known| Arc::clone(&known.addressing)).unwrap_or_default();
                let email = templates.email_on(&addressing, &step.reference, scope);
                let mut email = email.map_err(|error| error.to_string())?;
                let own = || self.recipient.email().map(str::to_owned);
                let to = email.addressing.to.first().cloned().or_else(own);
                let Some(to) = to else { return Ok(None) };
                if let Some(files) = email.attachment_key.as_ref().and_then(|key| self.trigger.data.get(key)) {
                    attachment::read(files)
                        .map_err(|problem| format!("the attachments of {}: {problem}", step.reference))?;
                }
                email.html = track(email.html, draft.id, &engine.links, tracking);
                email.unsubscribe.clone_from(&self.unsubscribe);
                Ok(Some(Content::Email { to, email }))
            }
            Template::InAppFeed(_) => {
                let mut blocks = templates.in_app(&step.reference, scope).map_err(|error| error.to_string())?;
                for block in &mut blocks {
                    // An item is opened where it is read, which its reader's client tells.
                    if let Block::Markdown { rendered, .. } = block {
                        let tracking = Tracking { opens: false, ..tracking };
                        *rendered = track(std::mem::take(rendered), draft.id, &engine.links, tracking);
                    }
                }
                Ok(Some(Content::InApp { blocks }))
            }
        }
    }
}

/// Where in the data the attachments of a workflow's emails lie.
fn attachment_keys(workflow: &Workflow) -> Vec<String> {
    let emails = workflow.steps.iter().filter_map(|step| match &step.kind {
        StepKind::Channel(ChannelStep { template: Template::Email(email), .. }) => Some(email),
        _ => None,
    });
    emails.map(|email| email.attachment_key.clone()).collect()
}

/// What a run stands on: its workflow, and what it tells of.
struct Ground {
    published: Arc<Published>,
    activities: Activities,
    batch: Option<u32>,
    moved: Option<(VersionId, u16)>,
}

impl Ground {
    fn of(engine: &Engine, reader: &Reader, run: &Run, trigger: &Trigger) -> Result<Self, SceneError> {
        let published = engine.catalog.version(&engine.store, trigger.version)?;
        let keys = attachment_keys(&published.workflow);
        let light = |data: &Map<String, Value>| attachment::without_contents(data, &keys);
        let alone = || {
            let mut data = light(&trigger.data);
            data.extend(run.data.as_ref().map(light).unwrap_or_default());
            Activities::of_one(Activity { id: trigger.id, actor: trigger.actor.clone(), data, at: trigger.inserted_at })
        };
        let batches = published.workflow.steps.iter().any(|step| matches!(step.kind, StepKind::Batch(_)));
        let batch = if batches { reader.last_batch(run.id)? } else { None };
        let (published, activities, number) = match &batch {
            Some((id, batch @ Batch { state: State::Closed(closed), .. })) => {
                let published = match closed.version {
                    Some(version) => engine.catalog.version(&engine.store, version)?,
                    None => published,
                };
                let mut activities = reader.activities(*id, batch, closed)?;
                // What steps behind the batch added.
                activities.data.extend(run.data.clone().unwrap_or_default());
                activities.data = light(&activities.data);
                activities.shown.iter_mut().for_each(|activity| activity.data = light(&activity.data));
                (published, activities, Some(id.number))
            }
            _ => (published, alone(), None),
        };
        let (published, moved) = match moved(engine, run, &published) {
            Some((latest, step)) => (Arc::clone(&latest), Some((latest.version, step))),
            None => (published, None),
        };
        Ok(Self { published, activities, batch: number, moved })
    }
}

/// The current version of the workflow, and the batch step there at which `run` waits, if it goes on with it.
fn moved(engine: &Engine, run: &Run, published: &Published) -> Option<(Arc<Published>, u16)> {
    let Phase::Batching { step, .. } = run.phase else { return None };
    let follows_latest = |step: &Step| matches!(&step.kind, StepKind::Batch(batch) if batch.follows == Follows::Latest);
    let here = published.workflow.steps.get(usize::from(step)).filter(|step| follows_latest(step))?;
    let latest = engine.catalog.current(&published.workflow.key)?;
    let same = |step: &Step| step.reference == here.reference && follows_latest(step);
    let there = latest.workflow.steps.iter().position(same)?;
    let there = u16::try_from(there).ok()?;
    (latest.version != published.version).then_some((latest, there))
}

/// What became of the messages of the run's steps, and of its waits, by their `ref`.
fn refs(reader: &Reader, run: &Run) -> Result<Map<String, Value>, StoreError> {
    let mut refs = Map::new();
    for event in reader.run_events(run.id)? {
        if let Some(facts) = awaited::facts(&event.kind) {
            refs.insert(event.step_ref, facts);
            continue;
        }
        let Some(message) = event.message.map(|id| reader.message(id)).transpose()?.flatten() else { continue };
        let engagement = reader.engagement(&message)?;
        refs.insert(event.step_ref, message_status::facts(message.status, &engagement));
    }
    Ok(refs)
}
