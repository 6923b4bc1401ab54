//! Tenants: the same records as the objects of the collection `$tenants`, in their own form.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::State;
use super::auth::require_secret;
use super::body;
use super::error::ApiError;
use super::feeds::blocking;
use super::page::page_request;
use super::recipients;
use super::wire::{BulkOperation, page, recipient};
use crate::model::entries::{MAX_BULK, described, ids};
use crate::model::page::Page;
use crate::model::preferences::DEFAULT_SET;
use crate::model::query::Query;
use crate::model::recipient::{Recipient, RecipientRef, TENANTS, check_id};
use crate::model::trigger::FieldError;

/// List tenants.
///
/// By id.
#[utoipa::path(
    get, path = "/v1/tenants",
    params(page::Paging, recipient::TenantFilter),
    responses((status = 200, body = page::Entries<recipient::Tenant>)),
)]
pub async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let asked = page_request(&query)?;
    let page = blocking(&state, move |state| {
        let query = Query::new(&query);
        let (id, name) = (query.text("tenant_id"), query.text("name"));
        let reader = state.intake.engine.store.read()?;
        // Looked up, however many others there are.
        let page = match (id, name) {
            (Some(id), name) => {
                let has_name = |tenant: &Recipient| {
                    name.is_none_or(|name| tenant.properties.get("name").and_then(Value::as_str) == Some(name))
                };
                let found = reader.recipient(&RecipientRef::tenant(id))?.filter(has_name);
                let rows = found.map(|tenant| (tenant.reference.key(), tenant)).into_iter().collect();
                Page::of(asked.select(rows), &asked)
            }
            (None, Some(name)) => reader.tenants_named(name, &asked)?,
            (None, None) => reader.recipients(TENANTS, &asked)?,
        };
        page.to_json(&asked, |tenant| Ok::<_, ApiError>(tenant_json(state, tenant, false)))
    });
    Ok(HttpResponse::Ok().json(page.await?))
}

/// Get a tenant.
#[utoipa::path(
    get, path = "/v1/tenants/{id}",
    params(recipient::TenantView),
    responses((status = 200, body = recipient::Tenant)),
)]
pub async fn get(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let found = state.intake.engine.store.read()?.recipient(&RecipientRef::tenant(id.as_str()))?;
    let found = found.ok_or_else(|| {
        let message = format!("no tenant has the id `{id}`; PUT to /v1/tenants/{id} sets one");
        ApiError::missing("resource_missing", message)
    })?;
    Ok(HttpResponse::Ok().json(tenant_json(&state, &found, is_resolved(&query))))
}

/// Set a tenant.
///
/// Creates the tenant, or merges the properties in. So do its preferences, unless they say that they replace.
#[utoipa::path(
    put, path = "/v1/tenants/{id}",
    params(recipient::TenantView),
    request_body = recipient::TenantRequest,
    responses((status = 200, body = recipient::Tenant)),
)]
pub async fn set(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let set = recipients::identify(&state, tenant(&id)?, payload, |_| Ok(())).await?;
    Ok(HttpResponse::Ok().json(tenant_json(&state, &set, is_resolved(&query))))
}

/// Delete a tenant.
///
/// Deleting again changes nothing.
#[utoipa::path(delete, path = "/v1/tenants/{id}", responses((status = 204)))]
pub async fn delete(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    recipients::delete(&state, vec![tenant(&id)?]).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Set many tenants.
#[utoipa::path(
    post, path = "/v1/tenants/bulk/set",
    request_body = recipient::BulkSetTenantsRequest,
    responses((status = 200, body = BulkOperation)),
)]
pub async fn bulk_set(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let (body, bytes) = body::json(payload, state.max_body_bytes).await?;
    let mut errors = Vec::new();
    let tenants = described(&body, "tenants", MAX_BULK, TENANTS, &mut errors);
    recipients::identify_all(&state, &request, "tenants.set", tenants, errors, bytes).await
}

/// Delete many tenants.
///
/// The ids stand in the query, where clients put them, or in the body.
#[utoipa::path(
    post, path = "/v1/tenants/bulk/delete",
    params(recipient::TenantIds),
    responses((status = 200, body = BulkOperation)),
)]
pub async fn bulk_delete(
    state: web::Data<State>,
    request: HttpRequest,
    query: web::Query<Vec<(String, String)>>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let started_at = state.now();
    let (mut body, _) = body::json(payload, state.max_body_bytes).await?;
    let named: Vec<&str> = Query::new(&query).list("tenant_ids").collect();
    if !named.is_empty() {
        body = json!({"tenant_ids": named});
    }
    let mut errors = Vec::new();
    let tenants: Vec<_> =
        ids(&body, "tenant_ids", MAX_BULK, &mut errors).into_iter().map(RecipientRef::tenant).collect();
    recipients::delete_all(&state, &request, "tenants.delete", tenants, errors, started_at).await
}

/// The wire form: properties lie flat. Resolved, its preferences lie over the environment's.
fn tenant_json(state: &State, tenant: &Recipient, resolved: bool) -> Value {
    let mut map = tenant.properties.clone();
    let mut settings = map.remove("settings").filter(Value::is_object).unwrap_or_else(|| json!({}));
    if resolved {
        let own = tenant.set_for_users().unwrap_or_default();
        settings["preference_set"] = state.intake.engine.preferences.clone().under(&own).to_json(DEFAULT_SET);
    }
    for part in ["branding", "preference_set"] {
        if settings.get(part).is_none() {
            settings[part] = Value::Null;
        }
    }
    map.insert("__typename".into(), json!("Tenant"));
    map.insert("id".into(), json!(tenant.reference.id));
    map.insert("settings".into(), settings);
    Value::Object(map)
}

fn is_resolved(query: &[(String, String)]) -> bool {
    Query::new(query).text("resolve_full_preference_settings") == Some("true")
}

fn tenant(id: &str) -> Result<RecipientRef, ApiError> {
    check_id("a tenant id", id).map_err(|message| ApiError::invalid(vec![FieldError::new("id", message)]))?;
    Ok(RecipientRef::tenant(id))
}
