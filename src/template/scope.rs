//! What a template can name.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::base::clock::Timestamp;
use crate::base::ids::{MessageId, VersionId};
use crate::model::batch::{Activities, Activity};
use crate::model::recipient::RecipientRef;
use crate::model::workflow::Workflow;

/// All that one message's templates can name.
pub struct Scope<'a> {
    /// A flat object with an `id`.
    pub recipient: &'a Value,
    pub actor: Option<&'a Value>,
    pub tenant: Option<&'a Value>,
    /// What the message tells of, with its data.
    pub activities: &'a Activities,
    /// Everybody who acted in it, as a flat object with an `id`.
    pub actors: &'a BTreeMap<RecipientRef, Value>,
    /// What the operator configured for all templates.
    pub vars: &'a Map<String, Value>,
    pub workflow: &'a Workflow,
    pub version: VersionId,
    pub cancellation_key: Option<&'a str>,
    pub message: MessageId,
    pub at: Timestamp,
}

impl Scope<'_> {
    /// The object that templates are rendered with. Each key of the data can also be named without `data.`, unless one
    /// of the names below is the same: data can never stand in for the recipient or the workflow.
    pub fn to_value(&self) -> Value {
        let Activities { shown, total, total_actors, data, .. } = self.activities;
        let mut scope = data.clone();
        let at = self.at.to_string();
        let actors: Vec<_> = self.activities.actors().into_iter().map(|actor| self.actors.get(actor)).collect();
        let settings = self.workflow.settings;
        let reserved = [
            ("recipient", self.recipient.clone()),
            ("actor", json!(self.actor)),
            ("tenant", json!(self.tenant)),
            ("data", json!(data)),
            ("vars", json!(self.vars)),
            (
                "workflow",
                json!({
                    "id": self.version.to_string(),
                    "key": self.workflow.key,
                    "name": self.workflow.name,
                    "categories": self.workflow.categories,
                    "commercial": settings.is_commercial,
                    "override_preferences": settings.override_preferences,
                    "cancellation_key": self.cancellation_key,
                }),
            ),
            ("current_message", json!({ "id": self.message.to_string(), "inserted_at": at, "updated_at": at })),
            ("timestamp", json!(at)),
            ("activities", shown.iter().map(|activity| self.activity(activity)).collect()),
            ("total_activities", json!(total)),
            ("total_actors", json!(total_actors)),
            ("actors", json!(actors)),
        ];
        for (name, value) in reserved {
            scope.insert(name.to_owned(), value);
        }
        Value::Object(scope)
    }

    /// An activity; its data too can be named without `data.`.
    fn activity(&self, activity: &Activity) -> Value {
        let mut value = activity.data.clone();
        let at = activity.at.to_string();
        let reserved = [
            ("id", json!(activity.id)),
            ("actor", json!(activity.actor.as_ref().and_then(|actor| self.actors.get(actor)))),
            ("recipient", self.recipient.clone()),
            ("data", json!(activity.data)),
            ("inserted_at", json!(at)),
            ("updated_at", json!(at)),
        ];
        value.extend(reserved.map(|(name, value)| (name.to_owned(), value)));
        Value::Object(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::TriggerId;
    use crate::model::condition::Conditions;
    use crate::model::workflow::{Frequency, Settings};

    #[test]
    fn data_is_spread_but_never_over_a_reserved_name() {
        let workflow = Workflow {
            key: "invite".into(),
            name: "Invite".into(),
            categories: vec!["team".into()],
            settings: Settings::default(),
            steps: Vec::new(),
            frequency: Frequency::default(),
            conditions: Conditions::default(),
            source: Value::Null,
            files: Default::default(),
        };
        let recipient = json!({"id": "u1"});
        let actor = json!({"id": "u2", "name": "Ann"});
        let data = json!({"project": "Apollo", "recipient": "forged", "vars": {"secret": 1}});
        let ann = RecipientRef::user("u2");
        let activities = Activities::of_one(Activity {
            id: TriggerId::from([3; 16]),
            actor: Some(ann.clone()),
            data: data.as_object().unwrap().clone(),
            at: Timestamp::from_micros(1_769_879_579_000_000),
        });
        let scope = Scope {
            recipient: &recipient,
            actor: Some(&actor),
            tenant: None,
            activities: &activities,
            actors: &BTreeMap::from([(ann, actor.clone())]),
            vars: &Map::new(),
            workflow: &workflow,
            version: VersionId::from([1; 16]),
            cancellation_key: Some("invite-1"),
            message: MessageId::from([2; 16]),
            at: Timestamp::from_micros(1_769_879_579_958_652),
        };
        let at = "2026-01-31T17:12:59.958652Z";
        assert_eq!(
            scope.to_value(),
            json!({
                "project": "Apollo",
                "recipient": recipient,
                "actor": actor,
                "actors": [actor],
                "total_actors": 1,
                "tenant": null,
                "data": data,
                "vars": {},
                "workflow": {
                    "id": "01010101-0101-0101-0101-010101010101",
                    "key": "invite",
                    "name": "Invite",
                    "categories": ["team"],
                    "commercial": false,
                    "override_preferences": false,
                    "cancellation_key": "invite-1",
                },
                "current_message": {
                    "id": "02020202-0202-0202-0202-020202020202",
                    "inserted_at": at,
                    "updated_at": at,
                },
                "timestamp": at,
                "activities": [{
                    "id": "03030303-0303-0303-0303-030303030303",
                    "actor": actor,
                    "recipient": recipient,
                    "data": data,
                    "project": "Apollo",
                    "vars": {"secret": 1},
                    "inserted_at": "2026-01-31T17:12:59.000000Z",
                    "updated_at": "2026-01-31T17:12:59.000000Z",
                }],
                "total_activities": 1,
            })
        );
    }
}
