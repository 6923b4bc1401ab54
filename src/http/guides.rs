//! In-app guides, of which this server has none: clients find an empty list, and what they say of guides is taken.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::State;
use super::auth::{Right, authenticate};
use super::error::ApiError;
use super::whose::Whose;
use super::wire::{Properties, Status, feed};

/// List guides: there are none.
#[utoipa::path(get, path = "/v1/users/{id}/guides/{channel}", responses((status = 200, body = feed::Guides)))]
pub async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    authenticate(&request, &state)?.require(&path.0, Right::GuideRead, &state)?;
    Ok(HttpResponse::Ok().json(json!({
        "entries": [],
        "guide_groups": [],
        "guide_group_display_logs": {},
        "ineligible_guides": [],
    })))
}

/// Mark a guide.
///
/// A client may know a guide from another server.
#[utoipa::path(
    put, path = "/v1/users/{id}/guides/messages/{status}",
    request_body = Properties,
    responses((status = 200, body = Status)),
)]
pub async fn mark(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<Whose>,
) -> Result<HttpResponse, ApiError> {
    authenticate(&request, &state)?.require(&path.id, Right::GuideWrite, &state)?;
    Ok(HttpResponse::Ok().json(json!({"status": "ok"})))
}
