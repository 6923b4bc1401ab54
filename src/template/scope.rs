//! What a template can name.

use serde_json::{Map, Value, json};

use crate::base::clock::Timestamp;
use crate::base::ids::{MessageId, VersionId};
use crate::model::workflow::Workflow;

/// All that one message's templates can name.
pub struct Scope<'a> {
    /// A flat object with an `id`.
    pub recipient: &'a Value,
    pub actor: Option<&'a Value>,
    pub tenant: Option<&'a Value>,
    /// The trigger's data.
    pub data: &'a Map<String, Value>,
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
        let mut scope = self.data.clone();
        let at = self.at.to_string();
        let actors: Vec<&Value> = self.actor.into_iter().collect();
        let settings = self.workflow.settings;
        let reserved = [
            ("recipient", self.recipient.clone()),
            ("actor", json!(self.actor)),
            ("tenant", json!(self.tenant)),
            ("data", json!(self.data)),
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
            (
                "activities",
                json!([{
                    "actor": self.actor,
                    "recipient": self.recipient,
                    "data": self.data,
                    "inserted_at": at,
                    "updated_at": at,
                }]),
            ),
            ("total_activities", json!(1)),
            ("total_actors", json!(actors.len())),
            ("actors", json!(actors)),
        ];
        for (name, value) in reserved {
            scope.insert(name.to_owned(), value);
        }
        Value::Object(scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        };
        let recipient = json!({"id": "u1"});
        let actor = json!({"id": "u2", "name": "Ann"});
        let data = json!({"project": "Apollo", "recipient": "forged", "vars": {"secret": 1}});
        let scope = Scope {
            recipient: &recipient,
            actor: Some(&actor),
            tenant: None,
            data: data.as_object().unwrap(),
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
                "activities": [
                    {"actor": actor, "recipient": recipient, "data": data, "inserted_at": at, "updated_at": at}
                ],
                "total_activities": 1,
            })
        );
    }
}
