//! What runs wait for, and what an event tells of itself when it comes (`knock-engine.md` section 3.6). An event is some
//! recipient's, and only that recipient's runs wait for it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::condition::{Conditions, Facts, Judged};
use super::engagement::{Action, Engagement};
use super::message::{Message, Status};
use super::recipient::{Recipient, RecipientRef};
use super::run::{Run, RunEventKind};
use super::trigger::Trigger;
use crate::base::clock::Timestamp;
use crate::base::ids::ChannelId;

/// A part of an event beyond so many bytes of JSON is not kept with the run that it matched: conditions have seen it.
const MAX_KEPT_BYTES: usize = 64 << 10;

/// The properties that have a meaning of their own.
const TRAITS: [&str; 7] = ["name", "email", "phone_number", "avatar", "locale", "timezone", "created_at"];

/// Which event is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Awaited {
    /// Of a message that a run of `workflow` made.
    Message {
        event: MessageHappening,
        workflow: String,
    },
    /// Of a run of `workflow`.
    Workflow {
        event: RunHappening,
        workflow: String,
    },
    Audience {
        event: Crossing,
        audience: String,
    },
    /// The properties, preferences or channel data became others.
    RecipientUpdated,
}

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageHappening {
    Created,
    Became(Status),
    Did(Action),
}

impl MessageHappening {
    /// Those that can be waited for.
    pub const ALL: [(&'static str, Self); 16] = [
        ("created", Self::Created),
        ("queued", Self::Became(Status::Queued)),
        ("sent", Self::Became(Status::Sent)),
        ("not_sent", Self::Became(Status::NotSent)),
        ("delivered", Self::Became(Status::Delivered)),
        ("delivery_attempted", Self::Became(Status::DeliveryAttempted)),
        ("undelivered", Self::Became(Status::Undelivered)),
        ("bounced", Self::Became(Status::Bounced)),
        ("read", Self::Did(Action::Read)),
        ("unread", Self::Did(Action::Unread)),
        ("seen", Self::Did(Action::Seen)),
        ("unseen", Self::Did(Action::Unseen)),
        ("archived", Self::Did(Action::Archived)),
        ("unarchived", Self::Did(Action::Unarchived)),
        ("interacted", Self::Did(Action::Interacted)),
        ("link_clicked", Self::Did(Action::LinkClicked)),
    ];

    /// Its name in a workflow file. `uninteracted`, which is not waited for, has none.
    pub fn name(self) -> &'static str {
        name_of(&Self::ALL, &self)
    }

    /// Whether it has happened to a message that stands so. What undoes something never counts as having happened: every
    /// new message is unseen.
    pub fn has_happened(self, status: Status, done: &Engagement) -> bool {
        match self {
            Self::Created | Self::Became(Status::Queued) => true,
            Self::Became(Status::Sent) => matches!(status, Status::Sent | Status::Delivered),
            Self::Became(wanted) => status == wanted,
            Self::Did(Action::Unseen | Action::Unread | Action::Unarchived | Action::Uninteracted) => false,
            Self::Did(action) => done.has_taken(action),
        }
    }
}

/// What happens to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunHappening {
    /// It was accepted.
    Started,
    /// It ended, and was not cancelled.
    Completed,
}

impl RunHappening {
    /// Each by its name in a workflow file.
    pub const ALL: [(&'static str, Self); 2] = [("started", Self::Started), ("completed", Self::Completed)];

    /// What the topics of all workflows begin with.
    pub fn topics(self) -> &'static str {
        match self {
            Self::Started => "workflow\0started\0",
            Self::Completed => "workflow\0completed\0",
        }
    }
}

/// What happens to a member of an audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Crossing {
    Enter,
    Exit,
}

impl Crossing {
    /// Each by its name in a workflow file.
    pub const ALL: [(&'static str, Self); 2] = [("enter", Self::Enter), ("exit", Self::Exit)];
}

fn name_of<T: PartialEq>(all: &[(&'static str, T)], wanted: &T) -> &'static str {
    all.iter().find(|(_, one)| one == wanted).map_or("", |(name, _)| *name)
}

impl Awaited {
    /// The same text for the same event, and no text is the beginning of another one. No key holds a NUL.
    pub fn topic(&self) -> String {
        match self {
            Self::Message { event, workflow } => format!("message\0{}\0{workflow}\0", event.name()),
            Self::Workflow { event, workflow } => format!("{}{workflow}\0", event.topics()),
            Self::Audience { event, audience } => {
                format!("audience\0{}\0{audience}\0", name_of(&Crossing::ALL, event))
            }
            Self::RecipientUpdated => "recipient\0updated\0".to_owned(),
        }
    }

    /// What an event of this kind tells: the paths that conditions can ask for under `event.` begin with these.
    pub fn fields(&self) -> &'static [&'static str] {
        match self {
            Self::Message { .. } => &[
                "message_id",
                "event_type",
                "channel_id",
                "channel_type",
                "channel_provider",
                "tenant_id",
                "exec_mode",
                "step_ref",
                "recipient",
                "inserted_at",
                "source",
                "data",
            ],
            Self::Workflow { .. } => &[
                "workflow_key",
                "workflow_run_id",
                "recipient",
                "status",
                "tenant_id",
                "notify_data",
                "exec_mode",
                "inserted_at",
            ],
            Self::Audience { .. } => &["audience_id", "recipient", "transition", "tenant_id", "happened_at"],
            Self::RecipientUpdated => {
                &["recipient", "event_type", "timestamp", "properties", "preferences", "knock_traits"]
            }
        }
    }
}

impl fmt::Display for Awaited {
    /// `message.seen of digest`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { event, workflow } => write!(f, "message.{} of {workflow}", event.name()),
            Self::Workflow { event, workflow } => {
                write!(f, "workflow.{} of {workflow}", name_of(&RunHappening::ALL, event))
            }
            Self::Audience { event, audience } => {
                write!(f, "audience.{} of {audience}", name_of(&Crossing::ALL, event))
            }
            Self::RecipientUpdated => f.write_str("recipient.updated"),
        }
    }
}

/// What a run waits for, as it lies on disk while it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    pub step_ref: String,
    pub awaited: Awaited,
    /// What they compare an event with was found when the wait began.
    pub conditions: Conditions,
    /// The audiences that the recipient was in then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// By whom the messages of each channel are sent, which a message does not say. Only where messages are waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<(ChannelId, String)>,
}

impl Wait {
    /// The event as this wait sees it, if it is the one, and what came of each condition.
    pub fn judge(&self, event: &Value, at: Timestamp) -> Option<(Value, Vec<Judged>)> {
        let mut scope = json!({"event": event});
        let provider = |channel: &Value| {
            self.providers.iter().find(|(id, _)| channel == &json!(id)).map(|(_, provider)| provider.as_str())
        };
        if let Some(channel) = event.get("channel_id") {
            scope["event"]["channel_provider"] = json!(provider(channel));
        }
        let facts = Facts { scope: &scope, now: at, audiences: &self.audiences };
        let (holds, judged) = self.conditions.judge(&facts);
        holds.then(|| (kept(scope["event"].take()), judged))
    }
}

/// What later steps find of the wait that this tells of; `None`: it tells of none that is over.
pub fn facts(told: &RunEventKind) -> Option<Value> {
    match told {
        RunEventKind::WaitMatched { event, .. } => Some(json!({"matched": true, "signal_variables": event})),
        RunEventKind::WaitExpired { .. } => Some(json!({"matched": false, "signal_variables": {}})),
        _ => None,
    }
}

fn kept(mut event: Value) -> Value {
    if let Value::Object(parts) = &mut event {
        parts.retain(|_, part| !part.is_object() || part.to_string().len() <= MAX_KEPT_BYTES);
    }
    event
}

fn mode(sandbox: bool) -> &'static str {
    if sandbox { "sandbox" } else { "live" }
}

/// What a message's event tells; `data` is what a reader's client said of it.
pub fn message_event(
    message: &Message,
    event: MessageHappening,
    data: Option<&Map<String, Value>>,
    sandbox: bool,
    at: Timestamp,
) -> Value {
    json!({
        "message_id": message.id,
        "event_type": format!("message.{}", event.name()),
        "channel_id": message.channel,
        "channel_type": message.content.channel_type().as_str(),
        "tenant_id": message.tenant,
        "exec_mode": mode(sandbox),
        "step_ref": message.step_ref,
        "recipient": message.recipient.to_json(),
        "inserted_at": at,
        "source": {"type": "workflow", "key": message.workflow},
        "data": data,
    })
}

/// What a run's event tells.
pub fn run_event(run: &Run, trigger: &Trigger, event: RunHappening, at: Timestamp) -> Value {
    let mut data = trigger.data.clone();
    data.extend(run.data.clone().unwrap_or_default());
    json!({
        "workflow_key": trigger.workflow,
        "workflow_run_id": run.trigger,
        "recipient": run.recipient.to_json(),
        "status": name_of(&RunHappening::ALL, &event),
        "tenant_id": trigger.tenant,
        "notify_data": data,
        "exec_mode": mode(trigger.settings.sandbox_mode),
        "inserted_at": at,
    })
}

/// What it tells that somebody entered or left an audience.
pub fn audience_event(
    audience: &str,
    user: &RecipientRef,
    tenant: Option<&str>,
    crossing: Crossing,
    at: Timestamp,
) -> Value {
    json!({
        "audience_id": audience,
        "recipient": user.to_json(),
        "transition": name_of(&Crossing::ALL, &crossing),
        "tenant_id": tenant,
        "happened_at": at,
    })
}

/// What it tells that a recipient became another one. Channel data is not told: it holds tokens.
pub fn recipient_event(recipient: &Recipient, preferences: Map<String, Value>, at: Timestamp) -> Value {
    let traits = |(name, _): &(&String, &Value)| TRAITS.contains(&name.as_str());
    let traits: Map<String, Value> =
        recipient.properties.iter().filter(traits).map(|(name, value)| (name.clone(), value.clone())).collect();
    json!({
        "recipient": recipient.reference.to_json(),
        "event_type": "recipient.updated",
        "timestamp": at,
        "properties": recipient.properties,
        "preferences": preferences,
        "knock_traits": traits,
    })
}
