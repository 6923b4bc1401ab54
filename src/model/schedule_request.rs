//! What clients send to make and change schedules.

use serde_json::{Map, Value};

use super::entries::{MAX_BULK, described, entries, ids};
use super::profile::Profile;
use super::recipient::{RecipientRef, TENANTS, USERS, kind};
use super::repeat::Repeat;
use super::schedule::{Plan, PlanChange};
use super::span::instant;
use super::trigger::{FieldError, NamedRecipient, check_workflow_key};
use crate::base::clock::Timestamp;
use crate::base::ids::ScheduleId;

/// The most recipients of one call that makes schedules, and the most schedules of one that changes them.
const MAX_SCHEDULES: usize = 100;
/// Rules of one schedule: each costs up to a millisecond whenever the next occurrence is looked for.
const MAX_REPEATS: usize = 20;

/// Schedules that are to be made: each for one recipient.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSchedule {
    pub workflow: String,
    pub recipient: RecipientRef,
    pub plan: Plan,
}

/// A call that makes schedules, and what it says of the people in them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CreateRequest {
    pub schedules: Vec<NewSchedule>,
    pub people: Vec<(RecipientRef, Profile)>,
}

impl CreateRequest {
    /// Reads the body of `POST /v1/schedules`: one plan for several recipients.
    pub fn from_json(body: &Value) -> Result<Self, Vec<FieldError>> {
        let (mut request, mut errors) = (Self::default(), Vec::new());
        let recipients = described(body, "recipients", MAX_SCHEDULES, USERS, &mut errors);
        if recipients.is_empty() && errors.is_empty() {
            errors.push(FieldError::new("recipients", "must name at least one recipient"));
        }
        request.read("", body, recipients, &mut errors);
        if errors.is_empty() { Ok(request) } else { Err(errors) }
    }

    /// Reads the body of `POST /v1/schedules/bulk/create`: a list of plans, each for one recipient.
    pub fn from_bulk_json(body: &Value) -> Result<Self, Vec<FieldError>> {
        let (mut request, mut errors) = (Self::default(), Vec::new());
        for (index, entry) in entries(body, "schedules", MAX_BULK, &mut errors).iter().enumerate() {
            let field = format!("schedules[{index}].");
            let recipient = entry.get("recipient").unwrap_or(&Value::Null);
            let recipient = NamedRecipient::from_json(&format!("{field}recipient"), recipient, USERS, &mut errors);
            request.read(&field, entry, recipient.into_iter().collect(), &mut errors);
        }
        if errors.is_empty() { Ok(request) } else { Err(errors) }
    }

    /// Takes in what stands at `field` for `recipients`.
    fn read(&mut self, field: &str, body: &Value, recipients: Vec<NamedRecipient>, errors: &mut Vec<FieldError>) {
        let workflow = match body.get("workflow") {
            Some(Value::String(key)) => check_workflow_key(key).map(|()| key.clone()),
            _ => Err("is required: a workflow's key".into()),
        };
        let workflow = workflow.unwrap_or_else(|message| {
            errors.push(FieldError::new(format!("{field}workflow"), message));
            String::new()
        });
        let (mut plan, change) = (Plan::default(), change(field, body, &mut self.people, errors));
        change.apply(&mut plan);
        if plan.repeats.is_empty() && plan.scheduled_at.is_none() {
            let message =
                "is required: rules such as [{\"frequency\": \"daily\", \"hours\": 9}]; or `scheduled_at`, for once";
            errors.push(FieldError::new(format!("{field}repeats"), message));
        }
        for recipient in recipients {
            let NamedRecipient { reference, inline, data } = recipient;
            let mut plan = plan.clone();
            if let Some(data) = data {
                plan.data.get_or_insert_default().extend(data);
            }
            self.people.extend(inline.map(|profile| (reference.clone(), profile)));
            self.schedules.push(NewSchedule { workflow: workflow.clone(), recipient: reference, plan });
        }
    }
}

/// A call that changes schedules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateRequest {
    pub ids: Vec<ScheduleId>,
    pub change: PlanChange,
    pub people: Vec<(RecipientRef, Profile)>,
}

impl UpdateRequest {
    /// Reads the body of `PUT /v1/schedules`.
    pub fn from_json(body: &Value) -> Result<Self, Vec<FieldError>> {
        let (mut people, mut errors) = (Vec::new(), Vec::new());
        let ids = schedule_ids(body, &mut errors);
        let change = change("", body, &mut people, &mut errors);
        if errors.is_empty() { Ok(Self { ids, change, people }) } else { Err(errors) }
    }
}

/// The list `schedule_ids` of a body. What is no id of ours names no schedule.
pub fn schedule_ids(body: &Value, errors: &mut Vec<FieldError>) -> Vec<ScheduleId> {
    ids(body, "schedule_ids", MAX_SCHEDULES, errors).iter().filter_map(|id| id.parse().ok()).collect()
}

/// What is said at `field`; who is described inline is added to `people`.
fn change(
    field: &str,
    body: &Value,
    people: &mut Vec<(RecipientRef, Profile)>,
    errors: &mut Vec<FieldError>,
) -> PlanChange {
    let at = |key: &str| format!("{field}{key}");
    let mut person = |key: &str, collection: &str, errors: &mut Vec<FieldError>| {
        let value = body.get(key)?;
        if value.is_null() {
            return Some(None);
        }
        let named = NamedRecipient::from_json(&at(key), value, collection, errors)?;
        people.extend(named.inline.map(|profile| (named.reference.clone(), profile)));
        Some(Some(named.reference))
    };
    let actor = person("actor", USERS, errors);
    let tenant = person("tenant", TENANTS, errors);
    PlanChange {
        repeats: body.get("repeats").map(|value| repeats(&at("repeats"), value, errors)),
        scheduled_at: body.get("scheduled_at").map(|value| time(&at("scheduled_at"), value, errors)),
        ending_at: body.get("ending_at").map(|value| time(&at("ending_at"), value, errors)),
        data: body.get("data").map(|value| data(&at("data"), value, errors)),
        tenant: tenant.map(|tenant| tenant.map(|tenant| tenant.id)),
        actor,
    }
}

fn repeats(field: &str, value: &Value, errors: &mut Vec<FieldError>) -> Vec<Repeat> {
    let list = match value {
        Value::Null => return Vec::new(),
        Value::Array(list) if list.len() <= MAX_REPEATS => list,
        Value::Array(list) => {
            let message = format!("has {} rules; at most {MAX_REPEATS} are allowed", list.len());
            errors.push(FieldError::new(field, message));
            return Vec::new();
        }
        other => {
            errors.push(FieldError::new(field, format!("must be an array of rules, not {}", kind(other))));
            return Vec::new();
        }
    };
    let rule = |(index, value)| Repeat::from_json(&format!("{field}[{index}]"), value, errors);
    list.iter().enumerate().filter_map(rule).collect()
}

fn time(field: &str, value: &Value, errors: &mut Vec<FieldError>) -> Option<Timestamp> {
    match value {
        Value::Null => None,
        Value::String(text) => instant(field, text, errors),
        other => {
            errors.push(FieldError::new(
                field,
                format!("must be an instant such as 2026-01-31T17:12:59Z, not {}", kind(other)),
            ));
            None
        }
    }
}

fn data(field: &str, value: &Value, errors: &mut Vec<FieldError>) -> Option<Map<String, Value>> {
    match value {
        Value::Null => None,
        Value::Object(map) => Some(map.clone()),
        other => {
            errors.push(FieldError::new(field, format!("must be an object, not {}", kind(other))));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn fields<T: std::fmt::Debug>(read: Result<T, Vec<FieldError>>) -> Vec<String> {
        read.unwrap_err().into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn every_fault_is_named_also_in_bulk() {
        assert_eq!(fields(CreateRequest::from_json(&json!({}))), ["recipients", "workflow", "repeats"]);
        let body = json!({"workflow": "w", "recipients": ["u", 7], "repeats": [{"frequency": "x"}], "scheduled_at": "soon",
            "ending_at": 5, "data": [], "actor": {"name": "x"}});
        let expected =
            ["recipients[1]", "actor", "repeats[0].frequency", "scheduled_at", "ending_at", "data", "repeats"];
        assert_eq!(fields(CreateRequest::from_json(&body)), expected);
        let many = json!({"workflow": "w", "recipients": vec!["u"; 101], "repeats": [{"frequency": "daily"}]});
        assert_eq!(fields(CreateRequest::from_json(&many)), ["recipients"]);
        let bulk = json!({"schedules": [{"workflow": "w", "recipient": "u", "scheduled_at": "2026-03-06T15:00:00Z"},
            {"workflow": "w"}]});
        assert_eq!(fields(CreateRequest::from_bulk_json(&bulk)), ["schedules[1].recipient", "schedules[1].repeats"]);
        assert_eq!(fields(UpdateRequest::from_json(&json!({"tenant": 1}))), ["schedule_ids", "tenant"]);
    }

    #[test]
    fn what_is_not_said_stays_and_null_removes() {
        let mut plan = Plan { tenant: Some("acme".into()), data: Some(Map::new()), ..Plan::default() };
        let body = json!({"schedule_ids": [], "tenant": null, "actor": {"id": "ada", "name": "Ada"}});
        let update = UpdateRequest::from_json(&body).unwrap();
        update.change.apply(&mut plan);
        assert_eq!((plan.tenant, plan.data), (None, Some(Map::new())));
        assert_eq!((plan.actor, update.people.len()), (Some(RecipientRef::user("ada")), 1));
    }

    proptest! {
        #[test]
        fn no_body_makes_reading_panic(text in ".{0,40}", number: i64) {
            let value = json!({"recipients": [text], "recipient": number, "workflow": text, "repeats": [{"frequency": text,
                "days": [text], "interval": number, "hours": number}], "scheduled_at": text, "schedule_ids": [text]});
            let _ = CreateRequest::from_json(&value);
            let _ = CreateRequest::from_bulk_json(&json!({"schedules": [value]}));
            let _ = UpdateRequest::from_json(&value);
        }
    }
}
