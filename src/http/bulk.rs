//! Changing many messages of a channel at once, and what became of it.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::Value;

use super::State;
use super::auth::{Right, Subject, authenticate, require_secret};
use super::body;
use super::error::ApiError;
use super::feeds::{blocking, feed_channel};
use super::wire::{self, message};
use crate::base::clock::Timestamp;
use crate::base::ids::BulkOperationId;
use crate::base::mail::tell;
use crate::feed::bulk::{self, BulkFilter};
use crate::feed::hub::FeedMarked;
use crate::model::bulk_operation::BulkOperation;
use crate::model::engagement::Action;
use crate::model::recipient::kind;
use crate::model::trigger::FieldError;
use crate::store::op::Change;

/// The changes by name; the browser's client archives by the second one.
pub(super) const CHANGES: [(&str, Change); 10] = [
    ("seen", Change::Take(Action::Seen)),
    ("unseen", Change::Take(Action::Unseen)),
    ("read", Change::Take(Action::Read)),
    ("unread", Change::Take(Action::Unread)),
    ("archived", Change::Take(Action::Archived)),
    ("archive", Change::Take(Action::Archived)),
    ("unarchived", Change::Take(Action::Unarchived)),
    ("unarchive", Change::Take(Action::Unarchived)),
    ("interacted", Change::Take(Action::Interacted)),
    ("delete", Change::Delete),
];

/// Mark all messages of a channel.
///
/// Answered when all is written, since clients read their feed right after it, and ask again as long as anything is
/// left.
#[utoipa::path(
    post, path = "/v1/channels/{channel}/messages/bulk/{action}",
    request_body = message::BulkMarkRequest,
    responses((status = 200, body = wire::BulkOperation)),
)]
pub async fn mark(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let subject = authenticate(&request, &state)?;
    let (channel, action) = path.into_inner();
    let channel = feed_channel(&state, &channel)?;
    let change = change(&action)?;
    let (body, _) = body::json(payload, state.max_body_bytes).await?;
    let Value::Object(body) = body else {
        let message = format!("the body must be a JSON object of filters, not {}", kind(&body));
        return Err(ApiError::invalid(vec![FieldError::new("", message)]));
    };
    let mut filter = BulkFilter::from_json(&body).map_err(ApiError::invalid)?;
    limit(&mut filter, &subject, &state)?;
    let engine = &state.intake.engine;
    let started_at = state.now();
    let items =
        blocking(&state, move |state| bulk::select(&state.intake.engine.store.read()?, channel, &filter, change));
    let items = items.await?;
    let users: Vec<_> = items.iter().map(|(user, _)| user.clone()).collect();
    let rows = bulk::change(&engine.store, channel, items, change, started_at).await?;
    for user in users {
        tell(&state.hub, FeedMarked { user, channel });
    }
    complete(&state, &request, &format!("messages.{action}"), rows, started_at).await
}

/// Answers a bulk call that is done, and keeps what it came to.
pub async fn complete(
    state: &State,
    request: &HttpRequest,
    name: &str,
    rows: u64,
    started_at: Timestamp,
) -> Result<HttpResponse, ApiError> {
    let engine = &state.intake.engine;
    let completed_at = state.now();
    let id = BulkOperationId(engine.deps.ids.next(completed_at));
    let operation = BulkOperation { id, name: name.to_owned(), rows, started_at, completed_at };
    engine.store.keep_bulk_operation(operation.clone()).await?;
    tracing::info!(name, rows, "bulk operation");
    Ok(HttpResponse::Ok().json(operation.to_json(&origin(request))))
}

/// Get what became of a bulk call.
#[utoipa::path(get, path = "/v1/bulk_operations/{id}", responses((status = 200, body = wire::BulkOperation)))]
pub async fn get(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let reader = state.intake.engine.store.read()?;
    let operation = id.parse().ok().map(|id: BulkOperationId| reader.bulk_operation(id)).transpose()?.flatten();
    let operation = operation.ok_or_else(|| {
        let message = format!("no bulk operation has the id `{id}`; only the last ones are kept");
        ApiError::missing("resource_missing", message)
    })?;
    Ok(HttpResponse::Ok().json(operation.to_json(&origin(&request))))
}

/// Only a backend may change what is everybody's, and a user only what is that user's.
fn limit(filter: &mut BulkFilter, subject: &Subject, state: &State) -> Result<(), ApiError> {
    if *subject == Subject::Backend {
        return Ok(());
    }
    let Some(recipients) = &filter.recipients else {
        let message = "is required with a public key: whose messages, such as [\"ada\"]";
        return Err(ApiError::invalid(vec![FieldError::new("user_ids", message)]));
    };
    let access = subject.reach(Right::FeedWrite, state)?.access;
    for recipient in recipients {
        subject.require(&recipient.id, Right::FeedWrite, state)?;
    }
    filter.limit(access);
    Ok(())
}

fn change(action: &str) -> Result<Change, ApiError> {
    let found = CHANGES.iter().find(|(name, _)| *name == action);
    found.map(|(_, change)| *change).ok_or_else(|| {
        let known = CHANGES.map(|(name, _)| name).join(", ");
        ApiError::invalid(vec![FieldError::new("action", format!("is `{action}`, which is none of {known}"))])
    })
}

/// Where the client reached this server.
fn origin(request: &HttpRequest) -> String {
    let connection = request.connection_info();
    format!("{}://{}", connection.scheme(), connection.host())
}
