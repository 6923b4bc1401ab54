//! Users, one at a time and in bulk.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::Value;

use super::State;
use super::auth::{Right, authenticate, require_secret};
use super::body;
use super::error::ApiError;
use super::preferences::{require_tenant, tenant_of};
use super::recipients;
use super::wire::{BulkOperation, page, recipient};
use crate::model::entries::{MAX_BULK, described, ids};
use crate::model::profile::Profile;
use crate::model::recipient::{RecipientRef, USERS, check_id};
use crate::model::trigger::FieldError;

/// List users.
///
/// By id.
#[utoipa::path(
    get, path = "/v1/users",
    params(page::Paging, page::Including),
    responses((status = 200, body = page::Entries<recipient::User>)),
)]
pub async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    recipients::list(&state, USERS.into(), &query).await
}

/// Get a user.
#[utoipa::path(get, path = "/v1/users/{id}", responses((status = 200, body = recipient::User)))]
pub async fn get(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    authenticate(&request, &state)?.require(&id, Right::UserRead, &state)?;
    let user = state.intake.engine.store.read()?.recipient(&RecipientRef::user(id.as_str()))?;
    Ok(HttpResponse::Ok().json(user.ok_or_else(|| unknown(&id))?.to_json()))
}

fn unknown(id: &str) -> ApiError {
    ApiError::missing("resource_missing", format!("no user has the id `{id}`; PUT to /v1/users/{id} identifies one"))
}

/// Identify a user.
///
/// Creates the user, or merges the properties in.
#[utoipa::path(
    put, path = "/v1/users/{id}",
    request_body = recipient::IdentifyRequest,
    responses((status = 200, body = recipient::User)),
)]
pub async fn identify(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let subject = authenticate(&request, &state)?;
    subject.require(&id, Right::UserWrite, &state)?;
    // What has rights of its own needs them here too.
    let permit = |profile: &Profile| {
        if !profile.preferences.is_empty() {
            let access = subject.require(&id, Right::PreferencesWrite, &state)?;
            profile.preferences.iter().try_for_each(|(set, _)| require_tenant(&access, tenant_of(set)))?;
        }
        if !profile.channel_data.is_empty() {
            subject.require(&id, Right::ChannelDataWrite, &state)?;
        }
        Ok(())
    };
    let identified = recipients::identify(&state, user(&id)?, payload, permit).await?;
    Ok(HttpResponse::Ok().json(identified.to_json()))
}

/// Delete a user.
///
/// With all that is the user's. Deleting again changes nothing.
#[utoipa::path(delete, path = "/v1/users/{id}", responses((status = 204)))]
pub async fn delete(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    recipients::delete(&state, vec![user(&id)?]).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Merge two users.
///
/// What the other user has and this one lacks becomes this one's: properties, preference sets, channel data, subscriptions,
/// schedules, memberships of audiences, and the messages of the last 30 days. Then the other is deleted.
#[utoipa::path(
    post, path = "/v1/users/{id}/merge",
    request_body = recipient::MergeRequest,
    responses((status = 200, body = recipient::User)),
)]
pub async fn merge(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let into = user(&id)?;
    let (body, _) = body::json(payload, state.max_body_bytes).await?;
    let wrong = |message: String| ApiError::invalid(vec![FieldError::new("from_user_id", message)]);
    let from = match body.get("from_user_id") {
        Some(Value::String(from)) if *from == into.id => return Err(wrong("is the same user".into())),
        Some(Value::String(from)) => RecipientRef::user(from.as_str()),
        _ => return Err(wrong("is required: the id of the user that is merged and deleted".into())),
    };
    for user in [&into, &from] {
        state.intake.engine.store.read()?.recipient(user)?.ok_or_else(|| unknown(&user.id))?;
    }
    let merged = recipients::merge_users(&state, into, from).await?;
    Ok(HttpResponse::Ok().json(merged.to_json()))
}

/// Identify many users.
#[utoipa::path(
    post, path = "/v1/users/bulk/identify",
    request_body = recipient::BulkIdentifyRequest,
    responses((status = 200, body = BulkOperation)),
)]
pub async fn bulk_identify(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let (body, bytes) = body::json(payload, state.max_body_bytes).await?;
    let mut errors = Vec::new();
    let users = described(&body, "users", MAX_BULK, USERS, &mut errors);
    recipients::identify_all(&state, &request, "users.identify", users, errors, bytes).await
}

/// Delete many users.
#[utoipa::path(
    post, path = "/v1/users/bulk/delete",
    request_body = recipient::BulkDeleteUsersRequest,
    responses((status = 200, body = BulkOperation)),
)]
pub async fn bulk_delete(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let started_at = state.now();
    let (body, _) = body::json(payload, state.max_body_bytes).await?;
    let mut errors = Vec::new();
    let users: Vec<_> = ids(&body, "user_ids", MAX_BULK, &mut errors).into_iter().map(RecipientRef::user).collect();
    recipients::delete_all(&state, &request, "users.delete", users, errors, started_at).await
}

fn user(id: &str) -> Result<RecipientRef, ApiError> {
    check_id("a user id", id).map_err(|message| ApiError::invalid(vec![FieldError::new("id", message)]))?;
    Ok(RecipientRef::user(id))
}
