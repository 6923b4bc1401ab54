//! The attempts to send a message, as Knock tells of them.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use uuid::Uuid;

use super::State;
use super::auth::{Reach, require_secret};
use super::error::ApiError;
use super::messages::find;
use super::page::page_request;
use super::wire::{message, page};
use crate::engine::Channel;
use crate::model::message::{Attempt, Content, Message};
use crate::model::page::{Page, cursor};
use crate::store::StoreError;

/// There is one environment, and it has no id of its own.
const ENVIRONMENT: Uuid = Uuid::nil();

/// List the attempts to send a message.
///
/// Newest first. An item of a feed is delivered by nobody and has none.
#[utoipa::path(
    get, path = "/v1/messages/{id}/delivery_logs",
    params(page::Paging),
    responses((status = 200, body = page::Items<message::MessageDeliveryLog>)),
)]
pub async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let message = find(&state, &id, &Reach::EVERYTHING)?;
    let asked = page_request(&query)?;
    let engine = &state.intake.engine;
    let channel = engine.channels.iter().find(|channel| channel.id == message.channel);
    let attempts = engine.store.read()?.attempts(message.id)?;
    let rows = attempts.iter().rev().map(|attempt| {
        let key = attempt.number.to_be_bytes().to_vec();
        let json = log_json(&message, attempt, channel, &cursor(&key));
        (key, json)
    });
    let page = Page::within(rows.collect(), &asked);
    let page = page.to_json_named("items", &asked, |row| Ok::<_, StoreError>(row.clone()))?;
    Ok(HttpResponse::Ok().json(page))
}

/// An attempt in the terms of HTTP, which is all that the API's form has: to hand a mail over is to post it.
fn log_json(message: &Message, attempt: &Attempt, channel: Option<&Channel>, cursor: &str) -> Value {
    let body = match &message.content {
        Content::Email { to, email } => json!({"to": to, "subject": email.subject, "notes": attempt.notes}),
        Content::InApp { .. } => Value::Null,
    };
    json!({
        "__typename": "MessageDeliveryLog",
        "__cursor": cursor,
        "id": format!("{}-{}", message.id, attempt.number),
        "environment_id": ENVIRONMENT,
        "service_name": channel.map(|channel| channel.provider),
        "request": {"method": "POST", "host": "", "path": "", "query": null, "headers": {}, "body": body},
        "response": {"status": reply_code(&attempt.reply), "headers": {}, "body": attempt.reply},
        "inserted_at": attempt.at,
    })
}

/// The code that a server's reply begins with; 0: no server spoke, or it gave none.
fn reply_code(reply: &str) -> u16 {
    let digits = reply.get(..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_that_begins_with_a_code_tells_it() {
        let replies = ["250 2.0.0 Ok", "451", "timed out", "45", "", "ü25", "4511"];
        assert_eq!(replies.map(reply_code), [250, 451, 0, 0, 0, 0, 451]);
    }
}
