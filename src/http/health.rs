//! For whoever watches the process.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::State;
use super::auth::require_secret;
use super::error::ApiError;
use super::wire::Status;

/// The process runs and its disk works.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = Status)))]
pub async fn alive(state: web::Data<State>) -> HttpResponse {
    match state.intake.engine.store.failure() {
        None => HttpResponse::Ok().json(json!({"status": "ok"})),
        Some(_) => HttpResponse::build(StatusCode::SERVICE_UNAVAILABLE).json(json!({"status": "storage failed"})),
    }
}

/// New work is taken.
///
/// The socket is opened after recovery, so a server that answers has recovered.
#[utoipa::path(get, path = "/readyz", responses((status = 200, body = Status)))]
pub async fn ready(state: web::Data<State>) -> HttpResponse {
    if state.is_accepting() {
        HttpResponse::Ok().json(json!({"status": "ready"}))
    } else {
        HttpResponse::build(StatusCode::SERVICE_UNAVAILABLE).json(json!({"status": "shutting down"}))
    }
}

/// Get metrics in Prometheus' text form.
///
/// From this machine, or with a secret key.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn metrics(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    if !request.peer_addr().is_some_and(|peer| peer.ip().is_loopback()) {
        require_secret(&request, &state)?;
    }
    metrics::gauge!("belfry_writes_queued").set(state.intake.engine.store.queued() as f64);
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(state.metrics.render()))
}
