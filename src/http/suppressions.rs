//! The suppression list: addresses that get no mail.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::State;
use super::auth::require_secret;
use super::body;
use super::error::ApiError;
use super::page::page_request;
use super::wire::{operator, page};
use crate::model::recipient::kind;
use crate::model::suppression::Suppression;
use crate::model::trigger::FieldError;
use crate::store::StoreError;
use crate::store::op::Op;

/// List suppressed addresses.
#[utoipa::path(
    get, path = "/admin/suppressions",
    params(page::Paging),
    responses((status = 200, body = page::Entries<operator::Suppression>)),
)]
pub async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let asked = page_request(&query)?;
    let listed = state.intake.engine.store.read()?.suppressions(&asked)?;
    let json = listed.to_json(&asked, |suppression| Ok::<_, StoreError>(json!(suppression)))?;
    Ok(HttpResponse::Ok().json(json))
}

/// Suppress an address.
///
/// No attempt to send to it begins once this is answered. An address that is listed stays as it is.
#[utoipa::path(
    post, path = "/admin/suppressions",
    request_body = operator::SuppressionRequest,
    responses((status = 200, body = operator::Suppression)),
)]
pub async fn add(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let (body, _) = body::json(payload, state.max_body_bytes).await?;
    let wrong = |field: &str, message: String| ApiError::invalid(vec![FieldError::new(field, message)]);
    let text = |field: &str| match &body[field] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        other => Err(wrong(field, format!("must be a string, not {}", kind(other)))),
    };
    let address = text("address")?.ok_or_else(|| wrong("address", "is required: an email address".into()))?;
    let suppression = Suppression::manual(&address, text("note")?, state.now());
    let suppression = suppression.map_err(|message| wrong("address", message))?;
    let (store, address) = (&state.intake.engine.store, suppression.address.clone());
    store.try_submit(Op::Suppress(suppression)).await?;
    Ok(HttpResponse::Ok().json(store.read()?.suppression(&address)?))
}

/// Send to an address again.
#[utoipa::path(delete, path = "/admin/suppressions/{address}", responses((status = 200, body = operator::Suppression)))]
pub async fn remove(
    state: web::Data<State>,
    request: HttpRequest,
    address: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let store = &state.intake.engine.store;
    let listed = store.read()?.suppression(&address)?.ok_or_else(|| {
        let message = format!("`{}` is not on the suppression list", address.as_str());
        ApiError::missing("resource_missing", message)
    })?;
    store.try_submit(Op::Unsuppress(listed.address.clone())).await?;
    Ok(HttpResponse::Ok().json(listed))
}
