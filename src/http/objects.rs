//! Objects, one at a time and in bulk.

use actix_web::{HttpRequest, HttpResponse, web};

use super::State;
use super::auth::require_secret;
use super::body;
use super::error::ApiError;
use super::recipients;
use super::whose::Whose;
use super::wire::{BulkOperation, page, recipient};
use crate::model::entries::{MAX_BULK, described, ids};
use crate::model::recipient::{RecipientRef, check_id};
use crate::model::trigger::FieldError;

/// List objects.
///
/// By id.
#[utoipa::path(
    get, path = "/v1/objects/{collection}",
    params(page::Paging, page::Including),
    responses((status = 200, body = page::Entries<recipient::StoredObject>)),
)]
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

/// Get an object.
#[utoipa::path(get, path = "/v1/objects/{collection}/{id}", responses((status = 200, body = recipient::StoredObject)))]
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

/// Set an object.
///
/// Creates the object, or merges the properties in.
#[utoipa::path(
    put, path = "/v1/objects/{collection}/{id}",
    request_body = recipient::IdentifyRequest,
    responses((status = 200, body = recipient::StoredObject)),
)]
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

/// Delete an object.
///
/// With its subscriptions. Deleting again changes nothing.
#[utoipa::path(delete, path = "/v1/objects/{collection}/{id}", responses((status = 204)))]
pub async fn delete(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    recipients::delete(&state, vec![whose.recipient()?]).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Set many objects.
#[utoipa::path(
    post, path = "/v1/objects/{collection}/bulk/set",
    request_body = recipient::BulkSetObjectsRequest,
    responses((status = 200, body = BulkOperation)),
)]
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

/// Delete many objects.
#[utoipa::path(
    post, path = "/v1/objects/{collection}/bulk/delete",
    request_body = recipient::BulkDeleteObjectsRequest,
    responses((status = 200, body = BulkOperation)),
)]
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
