//! Objects, one at a time and in bulk.

use actix_web::{HttpRequest, HttpResponse, web};

use super::State;
use super::auth::require_secret;
use super::body;
use super::error::ApiError;
use super::recipients;
use super::whose::Whose;
use crate::model::entries::{MAX_BULK, described, ids};
use crate::model::recipient::{RecipientRef, check_id};
use crate::model::trigger::FieldError;

/// `GET /v1/objects/{collection}`, by id.
pub async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    collection: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    check_collection(&collection)?;
    recipients::list(&state, collection.into_inner(), &query).await
}

/// `GET /v1/objects/{collection}/{id}`.
pub async fn get(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let object = whose.recipient()?;
    let found = state.intake.engine.store.read()?.recipient(&object)?;
    let found = found.ok_or_else(|| {
        let message = format!("there is no object `{object}`; PUT to this path sets one");
        ApiError::missing("resource_missing", message)
    })?;
    Ok(HttpResponse::Ok().json(found.to_json()))
}

/// `PUT /v1/objects/{collection}/{id}`: creates the object, or merges the properties in.
pub async fn set(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let set = recipients::identify(&state, whose.recipient()?, payload, |_| Ok(())).await?;
    Ok(HttpResponse::Ok().json(set.to_json()))
}

/// `DELETE /v1/objects/{collection}/{id}`: with its subscriptions. Deleting again changes nothing.
pub async fn delete(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    recipients::delete(&state, vec![whose.recipient()?]).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /v1/objects/{collection}/bulk/set {"objects": [...]}`.
pub async fn bulk_set(
    state: web::Data<State>,
    request: HttpRequest,
    collection: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    check_collection(&collection)?;
    let (body, bytes) = body::json(payload, state.max_body_bytes).await?;
    let mut errors = Vec::new();
    let objects = described(&body, "objects", MAX_BULK, &collection, &mut errors);
    recipients::identify_all(&state, &request, "objects.set", objects, errors, bytes).await
}

/// `POST /v1/objects/{collection}/bulk/delete {"object_ids": [...]}`.
pub async fn bulk_delete(
    state: web::Data<State>,
    request: HttpRequest,
    collection: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    check_collection(&collection)?;
    let started_at = state.now();
    let (body, _) = body::json(payload, state.max_body_bytes).await?;
    let mut errors = Vec::new();
    let object = |id| RecipientRef { collection: collection.clone(), id };
    let objects = ids(&body, "object_ids", MAX_BULK, &mut errors).into_iter().map(object).collect();
    recipients::delete_all(&state, &request, "objects.delete", objects, errors, started_at).await
}

/// Whether a path names a collection.
pub fn check_collection(collection: &str) -> Result<(), ApiError> {
    let checked = check_id("a collection", collection);
    checked.map_err(|message| ApiError::invalid(vec![FieldError::new("collection", message)]))
}
