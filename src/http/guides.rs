//! In-app guides, of which this server has none: clients find an empty list, and what they say of guides is taken.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::State;
use super::auth::{Right, authenticate};
use super::error::ApiError;
use super::whose::Whose;

/// `GET /v1/users/{id}/guides/{channel}`.
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

/// `PUT /v1/users/{id}/guides/messages/{status}` and its kin: a client may know a guide from another server.
pub async fn mark(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<Whose>,
) -> Result<HttpResponse, ApiError> {
    authenticate(&request, &state)?.require(&path.id, Right::GuideWrite, &state)?;
    Ok(HttpResponse::Ok().json(json!({"status": "ok"})))
}
