//! Trigger and cancel.

use std::sync::LazyLock;

use actix_web::{HttpRequest, HttpResponse, web};
use metrics::Counter;
use serde_json::{Value, json};

use super::State;
use super::access_log::request_id;
use super::auth::require_secret;
use super::body;
use super::error::ApiError;
use super::idempotency;
use super::wire::{self, workflow};
use crate::engine::trigger::Triggered;
use crate::model::trigger::{CancelRequest, FieldError, TriggerRequest, check_workflow_key};
use crate::store::apply::remembered;
use crate::store::op::{Idempotency, Idempotent};
use crate::store::{Refused, StoreError};

static TRIGGERS: LazyLock<Counter> = LazyLock::new(|| metrics::counter!("belfry_triggers_total"));

/// Trigger a workflow.
///
/// Answered once the trigger is on disk.
#[utoipa::path(
    post, path = "/v1/workflows/{key}/trigger",
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255, description = "The same key with the same body within 24 hours is the same trigger.")),
    request_body = workflow::TriggerRequest,
    responses((status = 200, body = workflow::Triggered)),
)]
pub async fn trigger(
    state: web::Data<State>,
    request: HttpRequest,
    key: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    accept(&state, &request, &key, payload).await
}

/// Takes the trigger of a caller who may trigger.
pub(super) async fn accept(
    state: &State,
    request: &HttpRequest,
    key: &str,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_accepting(state)?;
    let (body, bytes) = body::json(payload, state.max_body_bytes).await?;
    let idempotency = idempotency::of(request, &body)?;
    if let Some(known) = answered_before(state, idempotency.as_ref())? {
        return Ok(replay(&known));
    }
    let triggered = start(state, request, key, &body, idempotency, bytes).await?;
    Ok(match triggered {
        Triggered::New(id) => HttpResponse::Ok().json(json!({"workflow_run_id": id})),
        Triggered::Replayed(known) => replay(&known),
    })
}

/// Triggers what `body` says.
async fn start(
    state: &State,
    request: &HttpRequest,
    key: &str,
    body: &Value,
    idempotency: Option<Idempotency>,
    bytes: usize,
) -> Result<Triggered, ApiError> {
    check_workflow_key(key).map_err(|message| ApiError::missing("workflow_missing", message))?;
    let trigger = TriggerRequest::from_json(body).map_err(ApiError::invalid)?;
    let recipients = trigger.recipients.len();
    let triggered = state.intake.trigger(key, trigger, idempotency, bytes).await?;
    if let Triggered::New(id) = triggered {
        tracing::info!(request = request_id(request), workflow = key, trigger = %id, recipients, "triggered");
        TRIGGERS.increment(1);
    }
    Ok(triggered)
}

/// Trigger a workflow, as the first API did.
///
/// Without idempotency.
#[utoipa::path(
    post, path = "/v1/notify",
    request_body = workflow::NotifyRequest,
    responses((status = 200, body = workflow::Notified), (status = 404, body = wire::Error)),
)]
pub async fn notify(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    require_accepting(&state)?;
    let (body, bytes) = body::json(payload, state.max_body_bytes).await?;
    match start(&state, &request, name(&body)?, &body, None, bytes).await? {
        Triggered::New(id) | Triggered::Replayed(Idempotent { trigger: id, .. }) => {
            Ok(HttpResponse::Ok().json(json!({"result_id": id})))
        }
    }
}

/// Cancel runs, as the first API did.
#[utoipa::path(
    post, path = "/v1/notify/cancel",
    request_body = workflow::NotifyCancelRequest,
    responses((status = 204)),
)]
pub async fn notify_cancel(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let (body, _) = body::json(payload, state.max_body_bytes).await?;
    end(&state, &request, name(&body)?, &body).await
}

/// The workflow that a body names.
fn name(body: &Value) -> Result<&str, ApiError> {
    body.get("name")
        .and_then(Value::as_str)
        .ok_or_else(|| ApiError::invalid(vec![FieldError::new("name", "is required: the key of the workflow")]))
}

/// The answer that a retry of an earlier request gets, looked up before anything is validated: what made the first one
/// valid may have changed since.
fn answered_before(state: &State, idempotency: Option<&Idempotency>) -> Result<Option<Idempotent>, ApiError> {
    let Some(idempotency) = idempotency else { return Ok(None) };
    let known = state.intake.engine.store.read()?.idempotent(&idempotency.key)?;
    match known.filter(|known| remembered(known, state.now())) {
        Some(known) if known.fingerprint != idempotency.fingerprint => {
            Err(StoreError::Refused(Refused::IdempotencyMismatch).into())
        }
        known => Ok(known),
    }
}

fn replay(known: &Idempotent) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("idempotent-replayed", "true"))
        .insert_header(("original-x-request-id", known.request_id.as_str()))
        .json(json!({"workflow_run_id": known.trigger}))
}

/// Cancel runs of a workflow.
///
/// Answered once no later step of the runs can start. 204 also when there was nothing to cancel; `x-cancel-outcome`
/// says how many runs ended, and how many of their sends were on the wire.
#[utoipa::path(
    post, path = "/v1/workflows/{key}/cancel",
    request_body = workflow::CancelRequest,
    responses((status = 204)),
)]
pub async fn cancel(
    state: web::Data<State>,
    request: HttpRequest,
    key: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let (body, _) = body::json(payload, state.max_body_bytes).await?;
    end(&state, &request, &key, &body).await
}

/// Cancels what `body` says.
async fn end(state: &State, request: &HttpRequest, key: &str, body: &Value) -> Result<HttpResponse, ApiError> {
    check_workflow_key(key).map_err(|message| ApiError::invalid(vec![FieldError::new("workflow", message)]))?;
    let cancel = CancelRequest::from_json(body).map_err(ApiError::invalid)?;
    let cancelled = state.intake.cancel(key, cancel).await?;
    let in_flight: u32 = cancelled.iter().map(|run| run.in_flight).sum();
    tracing::info!(request = request_id(request), workflow = key, runs = cancelled.len(), in_flight, "cancelled");
    metrics::counter!("belfry_cancelled_runs_total").increment(cancelled.len() as u64);
    let outcome = format!("cancelled={}, in_flight={in_flight}", cancelled.len());
    Ok(HttpResponse::NoContent().insert_header(("x-cancel-outcome", outcome)).finish())
}

fn require_accepting(state: &State) -> Result<(), ApiError> {
    if state.is_accepting() { Ok(()) } else { Err(ApiError::unavailable("the server is shutting down; try again")) }
}
