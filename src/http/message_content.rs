//! What messages say (`knock-api.md` section 2.6.3).

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::State;
use super::auth::{Reach, require_secret};
use super::error::{ApiError, require_valid};
use super::messages::find;
use super::wire::message;
use crate::engine::Channel;
use crate::model::message::{Addressing, Content, Message};
use crate::model::message_filter::message_ids;
use crate::model::query::Query;
use crate::model::trigger::FieldError;

/// Get a message's content.
#[utoipa::path(get, path = "/v1/messages/{id}/content", responses((status = 200, body = message::MessageContent)))]
pub async fn get(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let message = find(&state, &id, &Reach::EVERYTHING)?;
    Ok(HttpResponse::Ok().json(content_json(&message, &state.intake.engine.channels)))
}

/// Get the content of many messages.
///
/// In the order of the ids; those that no message has are left out.
#[utoipa::path(
    get, path = "/v1/messages/batch/content",
    params(message::MessageIds),
    responses((status = 200, body = Vec<message::MessageContent>)),
)]
pub async fn batch(
    state: web::Data<State>,
    request: HttpRequest,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let (query, mut errors) = (Query::new(&query), Vec::new());
    let ids = message_ids(query, &mut errors);
    if query.list("message_ids").next().is_none() {
        errors.push(FieldError::new("message_ids", "is required: message_ids[]=<id>, up to 50 times"));
    }
    require_valid(errors)?;
    let reader = state.intake.engine.store.read()?;
    let messages = ids.into_iter().map(|id| reader.message(id)).collect::<Result<Vec<_>, _>>()?;
    let contents = messages.iter().flatten().map(|message| content_json(message, &state.intake.engine.channels));
    Ok(HttpResponse::Ok().json(contents.collect::<Vec<_>>()))
}

/// What a message says on the wire.
pub(super) fn content_json(message: &Message, channels: &[Channel]) -> Value {
    let data = match &message.content {
        Content::Email { to, email } => json!({
            "__typename": "MessageEmailContent",
            "from": sender(&email.addressing, message, channels),
            "to": to,
            "cc": listed(&email.addressing.cc),
            "bcc": listed(&email.addressing.bcc),
            "reply_to": listed(&email.addressing.reply_to),
            "subject_line": email.subject,
            "html_body": email.html,
            "text_body": email.text,
        }),
        Content::InApp { blocks } => json!({"__typename": "MessageInAppFeedContent", "blocks": blocks}),
    };
    json!({
        "__typename": "MessageContent",
        "message_id": message.id,
        "data": data,
        "inserted_at": message.inserted_at,
    })
}

/// Who the mail is from: of the channel as it is configured now, where the step does not say otherwise.
fn sender(addressing: &Addressing, message: &Message, channels: &[Channel]) -> String {
    let channel = channels.iter().find(|channel| channel.id == message.channel);
    let from = addressing.from_address.as_deref().or_else(|| channel?.from.as_deref()).unwrap_or_default();
    let address = from.rsplit_once('<').map_or(from, |(_, address)| address.trim_end_matches('>'));
    addressing.from_name.as_ref().map_or_else(|| from.to_owned(), |name| format!("{name} <{address}>"))
}

fn listed(addresses: &[String]) -> Option<String> {
    (!addresses.is_empty()).then(|| addresses.join(", "))
}
