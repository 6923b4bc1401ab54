//! Steps that change what later steps find: the run's data, or properties of a recipient.

use serde_json::{Map, Value};

use super::audience::AudienceChange;
use super::json_reader::{Reader, shown, shown_text};
use super::recipient::{RecipientRef, TENANTS, USERS, check_id};
use super::settings::Settings;
use super::step_file;
use crate::base::nearest::quoted_list;

/// The setting that says what is changed.
pub const DATA: &str = "data";
/// The setting that says which properties are changed.
pub const PROPERTIES: &str = "update_properties";
/// The setting that names whose they are.
pub const GID: &str = "recipient_gid";

/// The setting that names an audience.
pub const AUDIENCE_KEY: &str = "audience_key";

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The run's data: its top level is merged, not what lies in it.
    Data,
    /// The run's recipient, who is a user.
    User,
    /// The run's tenant.
    Tenant,
    /// Whom the gid names.
    Named(Kind),
    /// Who is in an audience: the run's recipient, who is a user.
    Audience(AudienceChange),
}

/// Whom a gid may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    User,
    Object,
    Tenant,
}

impl Kind {
    /// Whom `text` names, as `gid://Object/{collection}/{id}`; the error says what is wrong with it.
    pub fn find(self, text: &str) -> Result<RecipientRef, String> {
        let named = RecipientRef::from_gid(text.trim())?;
        let fits = match self {
            Self::User => named.collection == USERS,
            Self::Tenant => named.collection == TENANTS,
            Self::Object => named.collection != USERS && named.collection != TENANTS,
        };
        if fits { Ok(named) } else { Err(format!("{} names no {}", shown_text(text.trim()), self.as_str())) }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Object => "object",
            Self::Tenant => "tenant",
        }
    }

    fn form(self) -> &'static str {
        match self {
            Self::User => "Write it as gid://Object/$users/{id}.",
            Self::Object => "Write it as gid://Object/{collection}/{id}.",
            Self::Tenant => "Write it as gid://Object/$tenants/{id}.",
        }
    }
}

/// A change, as the file says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    pub target: Target,
    pub settings: Settings,
}

/// The `update_data` step at `step`. None after a fault.
pub fn read_update_data(step: &Reader<'_>) -> Option<Update> {
    let settings = read_settings(step, &[DATA])?;
    Some(Update { target: Target::Data, settings: Settings::default().with(DATA, read_change(&settings.field(DATA))?) })
}

/// The `update_user`, `update_object` or `update_tenant` step at `step`. None after a fault.
pub fn read_update(step: &Reader<'_>, kind: Kind) -> Option<Update> {
    let settings = read_settings(step, &["recipient_mode", GID, PROPERTIES])?;
    let target = read_target(&settings, kind);
    let properties = read_change(&settings.field(PROPERTIES));
    let (target, gid) = target?;
    let read = Settings::default().with(PROPERTIES, properties?);
    Some(Update { target, settings: gid.into_iter().fold(read, |read, gid| read.with(GID, gid.clone())) })
}

/// The `update_audience` step at `step`. None after a fault.
pub fn read_update_audience(step: &Reader<'_>) -> Option<Update> {
    let settings = read_settings(step, &[AUDIENCE_KEY, "action"])?;
    let key = settings.field(AUDIENCE_KEY);
    let text = key.required_text("Name an audience.");
    let action = settings.field("action");
    let change = match action.required_text("Write \"add\" or \"remove\".")? {
        "add" => AudienceChange::Add,
        "remove" => AudienceChange::Remove,
        other => {
            action.fault(format!("{} is neither of the two", shown_text(other)), "Write \"add\" or \"remove\".");
            return None;
        }
    };
    let text = text?;
    if !is_template(text)
        && let Err(problem) = check_id("an audience's key", text)
    {
        key.fault(problem, "Write the key of a static audience.");
        return None;
    }
    Some(Update { target: Target::Audience(change), settings: Settings::default().with(AUDIENCE_KEY, text.into()) })
}

fn read_settings<'a>(step: &Reader<'a>, keys: &[&'static str]) -> Option<Reader<'a>> {
    step_file::read_settings(step, &format!("Write an object with {}.", quoted_list(keys)), keys)
}

fn read_target<'a>(settings: &Reader<'a>, kind: Kind) -> Option<(Target, Option<&'a Value>)> {
    let mode = settings.field("recipient_mode");
    let gid = settings.field(GID);
    if kind != Kind::Object {
        match mode.required_text("Write \"current\" or \"reference\".")? {
            "current" => return Some((if kind == Kind::User { Target::User } else { Target::Tenant }, None)),
            "reference" => {}
            other => {
                mode.fault(format!("{} is no mode", shown_text(other)), "Write \"current\" or \"reference\".");
                return None;
            }
        }
    }
    let text = gid.required_text(kind.form())?;
    if !is_template(text)
        && let Err(problem) = kind.find(text)
    {
        gid.fault(problem, kind.form());
        return None;
    }
    Some((Target::Named(kind), gid.value()))
}

/// A template whose text is a JSON object, or the object itself, whose texts are templates.
fn read_change(field: &Reader<'_>) -> Option<Value> {
    const FIX: &str = r#"Write an object, as in {"plan": "{{ data.plan }}"}, or a template that makes one."#;
    let Some(value) = field.value() else {
        field.missing(FIX);
        return None;
    };
    let fits = match value {
        Value::Object(_) => true,
        Value::String(text) if is_template(text) => true,
        Value::String(text) => serde_json::from_str::<Map<String, Value>>(text).is_ok(),
        _ => false,
    };
    if !fits {
        field.fault(format!("{} is not a JSON object", shown(value)), FIX);
        return None;
    }
    Some(value.clone())
}

fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::workflow::StepKind;
    use super::super::workflow_sample::*;
    use super::*;

    fn step(kind: &str, settings: Value) -> Value {
        with("/steps/1", json!({"ref": "update_1", "type": kind, "settings": settings}))
    }

    fn target(kind: &str, settings: Value) -> Target {
        match &workflow(&step(kind, settings)).steps[1].kind {
            StepKind::Update(update) => update.target,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_update_says_whose_properties_it_changes() {
        let change = json!({"plan": "{{plan}}"});
        let named = |gid: &str| json!({"recipient_mode": "reference", "recipient_gid": gid, "update_properties": "{}"});
        let current = json!({"recipient_mode": "current", "update_properties": change});
        for (kind, settings, expected) in [
            ("update_data", json!({"data": change}), Target::Data),
            ("update_data", json!({"data": "{{json data.inner}}"}), Target::Data),
            ("update_user", current.clone(), Target::User),
            ("update_tenant", current, Target::Tenant),
            ("update_user", named("gid://Object/$users/ada"), Target::Named(Kind::User)),
            ("update_user", named("gid://Object/$users/{{actor.id}}"), Target::Named(Kind::User)),
            ("update_tenant", named("gid://Object/$tenants/acme"), Target::Named(Kind::Tenant)),
            ("update_object", named("gid://Object/projects/p1"), Target::Named(Kind::Object)),
            (
                "update_audience",
                json!({"audience_key": "{{plan}}", "action": "add"}),
                Target::Audience(AudienceChange::Add),
            ),
            (
                "update_audience",
                json!({"audience_key": "vip", "action": "remove"}),
                Target::Audience(AudienceChange::Remove),
            ),
        ] {
            assert_eq!(target(kind, settings.clone()), expected, "{settings}");
        }
    }

    #[test]
    fn an_update_that_can_never_be_made_is_found() {
        for (kind, settings, problem) in [
            ("update_data", json!(null), "settings: is null, but required. Write an object with \"data\"."),
            ("update_data", json!({"data": 7}), "settings.data: 7 is not a JSON object"),
            ("update_data", json!({"data": "[1]"}), "settings.data: \"[1]\" is not a JSON object"),
            ("update_data", json!({}), "settings.data: is missing"),
            ("update_user", json!({"update_properties": {}}), "settings.recipient_mode: is missing"),
            ("update_user", json!({"recipient_mode": "me", "update_properties": {}}), "\"me\" is no mode"),
            (
                "update_user",
                json!({"recipient_mode": "reference", "update_properties": {}}),
                "settings.recipient_gid: is missing. Write it as gid://Object/$users/{id}.",
            ),
            (
                "update_user",
                json!({"recipient_mode": "reference", "recipient_gid": "ada", "update_properties": {}}),
                "\"ada\" is no gid",
            ),
            (
                "update_object",
                json!({"recipient_gid": "gid://Object/$users/ada", "update_properties": {}}),
                "\"gid://Object/$users/ada\" names no object",
            ),
        ] {
            let text = fault(&step(kind, settings));
            assert!(text.contains(problem), "{text}");
        }
    }
}
