//! What an update changes: the run's data, or what is stored of a recipient.

use serde_json::{Map, Value};

use super::function::{Unfit, object, text};
use super::{Env, Run};
use crate::model::audience::AudienceChange;
use crate::model::profile::{Profile, json_size};
use crate::model::recipient::{RecipientRef, check_id};
use crate::model::run::RunEventKind;
use crate::model::update_step::{AUDIENCE_KEY, DATA, GID, PROPERTIES, Target, Update};
use crate::store::op::{ChangeAudience, Changes};

/// The most that steps may add to a run's data, as bytes of JSON: it is written with each step of the run.
const MAX_DATA_BYTES: usize = 1 << 20;
/// The most bytes of a change that are told.
const MAX_TOLD_BYTES: usize = 2_048;

/// What `update` changes by its rendered settings, and what is told of it.
pub fn decide(
    update: &Update,
    settings: &Map<String, Value>,
    run: &Run,
    env: &Env<'_>,
) -> Result<(Changes, RunEventKind), Unfit> {
    let (recipient, name) = match update.target {
        Target::Data => (None, DATA),
        Target::User if env.recipient.reference.is_user() => (Some(env.recipient.reference.clone()), PROPERTIES),
        Target::User => return Err(Unfit::Skipped("the recipient is an object, not a user".into())),
        Target::Tenant => match &env.trigger.tenant {
            Some(id) => (Some(RecipientRef::tenant(id)), PROPERTIES),
            None => return Err(Unfit::Skipped("the run has no tenant".into())),
        },
        Target::Audience(change) => return audience(change, settings, env),
        Target::Named(kind) => {
            let gid = text(settings, GID).unwrap_or_default();
            let named = kind.find(gid).map_err(|why| Unfit::Failed(format!("`{GID}`: {why}")))?;
            (Some(named), PROPERTIES)
        }
    };
    let change = object(settings, name)?;
    let told = RunEventKind::Updated { of: recipient.clone(), change: tell(&change) };
    let changes = match recipient {
        None => Changes { data: merged_data(run, change)?, ..Changes::default() },
        Some(reference) => {
            let profile = profile(&change, &reference)?;
            Changes { people: vec![(reference, profile)], ..Changes::default() }
        }
    };
    Ok((changes, told))
}

/// The recipient joins or leaves an audience, for the run's tenant. One that nobody has made is made by it.
fn audience(
    change: AudienceChange,
    settings: &Map<String, Value>,
    env: &Env<'_>,
) -> Result<(Changes, RunEventKind), Unfit> {
    let user = &env.recipient.reference;
    if !user.is_user() {
        return Err(Unfit::Skipped("the recipient is an object, which is in no audience".into()));
    }
    let key = text(settings, AUDIENCE_KEY).unwrap_or_default().to_owned();
    check_id("an audience's key", &key).map_err(|why| Unfit::Failed(format!("`{AUDIENCE_KEY}`: {why}")))?;
    let told = RunEventKind::AudienceChanged { key: key.clone(), change };
    let members = vec![(user.clone(), env.trigger.tenant.clone())];
    let change = ChangeAudience { key, change, members, people: Vec::new(), at: env.now };
    Ok((Changes { audience: Some(Box::new(change)), ..Changes::default() }, told))
}

/// What is laid over the run's data, if both together are not too much.
pub fn merged_data(run: &Run, change: Map<String, Value>) -> Result<Map<String, Value>, Unfit> {
    let bytes = json_size(&change).saturating_add(run.data.as_ref().map_or(0, json_size));
    if bytes > MAX_DATA_BYTES {
        let why = format!("the run's own data would take {bytes} bytes as JSON; at most {MAX_DATA_BYTES} are allowed");
        return Err(Unfit::Failed(why));
    }
    Ok(change)
}

fn profile(change: &Map<String, Value>, of: &RecipientRef) -> Result<Profile, Unfit> {
    if change.contains_key("channel_data") {
        return Err(Unfit::Failed(format!("`{PROPERTIES}.channel_data`: a workflow cannot change channel data")));
    }
    let mut faults = Vec::new();
    let profile = Profile::from_json(PROPERTIES, change, of, &mut faults);
    match faults.first() {
        None => Ok(profile),
        Some(fault) => Err(Unfit::Failed(format!("`{}` {}", fault.field, fault.message))),
    }
}

fn tell(change: &Map<String, Value>) -> String {
    let mut text = Value::Object(change.clone()).to_string();
    if text.len() > MAX_TOLD_BYTES {
        let end = (0..=MAX_TOLD_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
    text
}
