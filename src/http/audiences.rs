//! Audiences: who is in them.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::State;
use super::auth::require_secret;
use super::body;
use super::error::{ApiError, require_valid};
use super::feeds::blocking;
use super::page::page_request;
use super::wire::{audience, page};
use crate::model::audience::{AudienceChange, MembersRequest};
use crate::model::query::{Query, choice};
use crate::model::recipient::check_id;
use crate::model::trigger::FieldError;
use crate::store::StoreError;
use crate::store::op::ChangeAudience;

/// List an audience's members.
///
/// By user id.
#[utoipa::path(
    get, path = "/v1/audiences/{key}/members",
    params(page::Paging),
    responses((status = 200, body = page::Entries<audience::AudienceMember>)),
)]
pub async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    key: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let asked = page_request(&query)?;
    require_known(&state, &key)?;
    let answer = blocking(&state, move |state| {
        let reader = state.intake.engine.store.read()?;
        reader.members(&key, &asked)?.to_json(&asked, |member| {
            Ok::<_, StoreError>(json!({
                "__typename": "AudienceMember",
                "user_id": member.user.id,
                "user": reader.known_or_stub(&member.user, member.added_at)?.to_json(),
                "tenant": member.tenant,
                "added_at": member.added_at,
            }))
        })
    });
    Ok(HttpResponse::Ok().json(answer.await?))
}

/// Add members to an audience.
#[utoipa::path(
    post, path = "/v1/audiences/{key}/members",
    params(audience::CreateAudience),
    request_body = audience::MembersRequest,
    responses((status = 204)),
)]
pub async fn add(
    state: web::Data<State>,
    request: HttpRequest,
    key: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    check_id("an audience's key", &key).map_err(|message| ApiError::invalid(vec![FieldError::new("key", message)]))?;
    let mut errors = Vec::new();
    let create = choice(Query::new(&query), "create_audience", &[("true", true), ("false", false)], &mut errors);
    require_valid(errors)?;
    if create != Some(true) {
        require_known(&state, &key)?;
    }
    change(&state, &key, AudienceChange::Add, payload).await
}

/// Take members out of an audience.
#[utoipa::path(
    delete, path = "/v1/audiences/{key}/members",
    request_body = audience::MembersRequest,
    responses((status = 204)),
)]
pub async fn remove(
    state: web::Data<State>,
    request: HttpRequest,
    key: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    require_known(&state, &key)?;
    change(&state, &key, AudienceChange::Remove, payload).await
}

async fn change(
    state: &State,
    key: &str,
    change: AudienceChange,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let (body, _) = body::json(payload, state.max_body_bytes).await?;
    let MembersRequest { members, people } = MembersRequest::from_json(&body).map_err(ApiError::invalid)?;
    // Who is taken out is not described.
    let people = if change == AudienceChange::Add { people } else { Vec::new() };
    let change = ChangeAudience { key: key.to_owned(), change, members, people, at: state.now() };
    state.intake.engine.store.change_audience(change).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn require_known(state: &State, key: &str) -> Result<(), ApiError> {
    if state.intake.engine.store.read()?.has_audience(key)? {
        return Ok(());
    }
    let message = format!("no audience has the key `{key}`; POST members to it with ?create_audience=true makes one");
    Err(ApiError::missing("resource_missing", message))
}
