//! Messages, and what readers do with them: one at a time and in batches.

use std::collections::{BTreeSet, HashSet};

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value};

use super::State;
use super::auth::{Reach, Right, authenticate};
use super::body;
use super::error::{ApiError, require_valid};
use super::feeds::blocking;
use super::message_json::message_json;
use super::wire::message;
use crate::base::ids::MessageId;
use crate::base::mail::tell;
use crate::feed::hub::FeedMarked;
use crate::model::engagement::Action;
use crate::model::message::Message;
use crate::model::recipient::kind;
use crate::model::trigger::FieldError;
use crate::store::StoreError;
use crate::store::op::{Mark, Marked};

/// The most messages of one batch.
const MAX_BATCH: usize = 50;
/// The most pairs that a client may say of an interaction, and their size as JSON: a link, and some words.
const MAX_METADATA: usize = 5;
const MAX_METADATA_BYTES: usize = 8 * 1024;

/// Get a message.
#[utoipa::path(get, path = "/v1/messages/{id}", responses((status = 200, body = message::Message)))]
pub async fn get(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let reach = authenticate(&request, &state)?.reach(Right::FeedRead, &state)?;
    let message = find(&state, &id, &reach)?;
    let json = blocking(&state, move |state| {
        let engine = &state.intake.engine;
        let reader = engine.store.read()?;
        message_json(&reader, &engine.channels, &message, &reader.engagement(&message)?)
    });
    Ok(HttpResponse::Ok().json(json.await?))
}

/// Mark a message.
#[utoipa::path(
    put, path = "/v1/messages/{id}/{status}",
    request_body = Option<message::InteractionRequest>,
    responses((status = 200, body = message::Message)),
)]
pub async fn set(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let action = action(&path.1, &[Action::Seen, Action::Read, Action::Archived, Action::Interacted])?;
    mark_one(&state, &request, &path.0, action, payload).await
}

/// Take a mark back.
///
/// Also by the name of what undoes it.
#[utoipa::path(delete, path = "/v1/messages/{id}/{status}", responses((status = 200, body = message::Message)))]
pub async fn clear(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let undone = [Action::Unseen, Action::Unread, Action::Unarchived, Action::Uninteracted];
    let name = if path.1.starts_with("un") { path.1.clone() } else { format!("un{}", path.1) };
    mark_one(&state, &request, &path.0, action(&name, &undone)?, payload).await
}

/// Mark many messages.
///
/// Ids that no message has, or one that the caller may not mark, are left out of the answer.
#[utoipa::path(
    post, path = "/v1/messages/batch/{status}",
    request_body = message::BatchRequest,
    responses((status = 200, body = Vec<message::Message>)),
)]
pub async fn batch(
    state: web::Data<State>,
    request: HttpRequest,
    status: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let reach = authenticate(&request, &state)?.reach(Right::FeedWrite, &state)?;
    let action = action(&status, &Action::OF_CLIENTS)?;
    let (body, _) = body::json(payload, state.max_body_bytes).await?;
    let mut errors = Vec::new();
    let ids = message_ids(&body, &mut errors);
    let data = metadata(&body, action, &mut errors);
    require_valid(errors)?;
    let reader = state.intake.engine.store.read()?;
    let messages = ids.into_iter().map(|id| reader.message(id)).collect::<Result<Vec<_>, _>>()?;
    let messages: Vec<Message> = messages.into_iter().flatten().filter(|message| reach.covers(message)).collect();
    let marked = mark(&state, &messages, action, data).await?;
    let answer = blocking(&state, move |state| answer(state, &marked));
    Ok(HttpResponse::Ok().json(answer.await?))
}

async fn mark_one(
    state: &web::Data<State>,
    request: &HttpRequest,
    id: &str,
    action: Action,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let reach = authenticate(request, state)?.reach(Right::FeedWrite, state)?;
    let mut errors = Vec::new();
    let data = match action {
        Action::Interacted => metadata(&body::json(payload, state.max_body_bytes).await?.0, action, &mut errors),
        _ => None,
    };
    require_valid(errors)?;
    let message = find(state, id, &reach)?;
    let marked = mark(state, &[message], action, data).await?;
    let mut answer = blocking(state, move |state| answer(state, &marked)).await?;
    Ok(HttpResponse::Ok().json(answer.pop().ok_or_else(|| unknown(id))?))
}

/// The message with the id `text`, if it is the caller's to know.
pub fn find(state: &State, text: &str, reach: &Reach) -> Result<Message, ApiError> {
    let reader = state.intake.engine.store.read()?;
    let message = text.parse().ok().map(|id: MessageId| reader.message(id)).transpose()?.flatten();
    message.filter(|message| reach.covers(message)).ok_or_else(|| unknown(text))
}

fn unknown(id: &str) -> ApiError {
    ApiError::missing("resource_missing", format!("no message has the id `{id}`; a feed item's `id` is its message's"))
}

/// Takes `action` on `messages`, which the caller may mark.
pub async fn mark(
    state: &State,
    messages: &[Message],
    action: Action,
    data: Option<Map<String, Value>>,
) -> Result<Vec<Marked>, StoreError> {
    let messages = messages.iter().map(|message| message.id).collect();
    let marked = state.intake.engine.store.mark(Mark { messages, action, data, at: state.now() }).await?;
    let feeds: BTreeSet<_> =
        marked.iter().map(|one| &one.message).map(|message| (message.recipient.clone(), message.channel)).collect();
    for (user, channel) in feeds {
        tell(&state.hub, FeedMarked { user, channel });
    }
    metrics::counter!("belfry_marks_total", "action" => action.as_str()).increment(marked.len() as u64);
    Ok(marked)
}

fn answer(state: &State, marked: &[Marked]) -> Result<Vec<Value>, ApiError> {
    let engine = &state.intake.engine;
    let reader = engine.store.read()?;
    let json = |one: &Marked| message_json(&reader, &engine.channels, &one.message, &one.engagement);
    Ok(marked.iter().map(json).collect::<Result<_, _>>()?)
}

/// The action called `name`, if it is one of `known`.
fn action(name: &str, known: &[Action]) -> Result<Action, ApiError> {
    known.iter().copied().find(|action| action.as_str() == name).ok_or_else(|| {
        let known: Vec<&str> = known.iter().map(|action| action.as_str()).collect();
        let message = format!("a message's status cannot be `{name}`; known: {}", known.join(", "));
        ApiError::missing("resource_missing", message)
    })
}

/// The ids of a batch, each once. What is no id of ours names no message.
fn message_ids(body: &Value, errors: &mut Vec<FieldError>) -> Vec<MessageId> {
    let list = match body.get("message_ids") {
        Some(Value::Array(list)) if list.len() <= MAX_BATCH => list,
        Some(Value::Array(list)) => {
            let message = format!("has {} ids; at most {MAX_BATCH} are allowed, so send several batches", list.len());
            errors.push(FieldError::new("message_ids", message));
            return Vec::new();
        }
        Some(other) => {
            errors.push(FieldError::new("message_ids", format!("must be an array of ids, not {}", kind(other))));
            return Vec::new();
        }
        None => {
            errors.push(FieldError::new("message_ids", "is required: an array of up to 50 ids"));
            return Vec::new();
        }
    };
    let (mut ids, mut seen) = (Vec::new(), HashSet::new());
    for (index, value) in list.iter().enumerate() {
        match value.as_str() {
            Some(text) => ids.extend(text.parse().ok().filter(|id: &MessageId| seen.insert(*id))),
            None => {
                let message = format!("must be a string, not {}", kind(value));
                errors.push(FieldError::new(format!("message_ids[{index}]"), message));
            }
        }
    }
    ids
}

/// What the client says of an interaction.
fn metadata(body: &Value, action: Action, errors: &mut Vec<FieldError>) -> Option<Map<String, Value>> {
    let value = body.get("metadata").filter(|value| action == Action::Interacted && !value.is_null())?;
    let wrong = match value {
        Value::Object(map) if map.len() > MAX_METADATA => {
            format!("has {} pairs; at most {MAX_METADATA} are allowed", map.len())
        }
        Value::Object(map) => match map.iter().find(|(_, value)| value.is_array() || value.is_object()) {
            Some((key, value)) => format!("must be flat: `{key}` is {}", kind(value)),
            None if value.to_string().len() > MAX_METADATA_BYTES => {
                format!("takes more than {MAX_METADATA_BYTES} bytes as JSON")
            }
            None => return Some(map.clone()),
        },
        other => format!("must be an object, not {}", kind(other)),
    };
    errors.push(FieldError::new("metadata", wrong));
    None
}
