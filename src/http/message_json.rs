//! A message on the wire (`knock-api.md` section 2.6.3).

use serde_json::{Value, json};

use crate::engine::Channel;
use crate::model::engagement::Engagement;
use crate::model::message::{Content, Message, Status};
use crate::model::recipient::RecipientRef;
use crate::store::{Reader, StoreError};

/// The wire form of `message`, with what was done with it.
pub fn message_json(
    reader: &Reader,
    channels: &[Channel],
    message: &Message,
    done: &Engagement,
) -> Result<Value, StoreError> {
    let told = reader.told(message)?;
    let actors = told.as_ref().map(|told| told.activities.actors()).unwrap_or_default();
    let actors: Vec<Value> = actors.into_iter().map(RecipientRef::to_json).collect();
    let snapshot = match &message.content {
        Content::Email { to, .. } => json!({"email": to}),
        Content::InApp { .. } => Value::Null,
    };
    let scheduled_at = match message.status {
        Status::Queued => reader.held_until(message)?,
        _ => None,
    };
    Ok(json!({
        "__typename": "Message",
        "id": message.id,
        "channel_id": message.channel,
        "channel": channels.iter().find(|channel| channel.id == message.channel).map(channel_json),
        "recipient": message.recipient.to_json(),
        "recipient_snapshot": snapshot,
        "actors": actors,
        "workflow": message.workflow,
        "source": {
            "__typename": "NotificationSource",
            "key": message.workflow,
            "version_id": told.as_ref().map(|told| told.version),
            "categories": message.categories,
            "step_ref": message.step_ref,
            "type": "workflow",
            "workflow_run_id": message.trigger,
            "workflow_recipient_run_id": message.run,
        },
        "tenant": message.tenant,
        "status": message.status,
        "engagement_statuses": done.statuses().collect::<Vec<_>>(),
        "data": told.map(|told| told.activities.data),
        "metadata": null,
        "scheduled_at": scheduled_at,
        "seen_at": done.seen_at,
        "read_at": done.read_at,
        "interacted_at": done.interacted_at,
        "clicked_at": done.link_clicked_at,
        "link_clicked_at": done.link_clicked_at,
        "archived_at": done.archived_at,
        "inserted_at": message.inserted_at,
        "updated_at": done.updated_at.max(Some(message.updated_at)),
    }))
}

/// A channel of the configuration has a key for its name, and no dates.
fn channel_json(channel: &Channel) -> Value {
    json!({
        "id": channel.id,
        "key": channel.key,
        "name": channel.key,
        "type": channel.kind,
        "provider": channel.provider,
        "created_at": null,
        "updated_at": null,
    })
}
