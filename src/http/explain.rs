//! What a trigger would do, for whoever asks before it does it.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::State;
use super::auth::require_secret;
use super::body;
use super::error::ApiError;
use super::feeds::blocking;
use super::message_content::content_json;
use super::run_json::trace_json;
use super::wire::{run, workflow};
use crate::engine::explain::{ExplainError, explain};
use crate::engine::trace::Trace;
use crate::engine::{Channel, fan_out};
use crate::model::trigger::{TriggerRequest, check_workflow_key};

/// Explain a trigger.
///
/// The run that each recipient would have, with the content of its messages, in the form in which a run is told. Nothing is
/// stored or sent: all is decided as it would be now, time passes at once, and every message counts as sent, but for those to
/// addresses on the suppression list, which are `undelivered` with the reason in `attempts`; nobody opens one.
#[utoipa::path(
    post, path = "/admin/workflows/{key}/explain",
    request_body = workflow::TriggerRequest,
    responses((status = 200, body = run::Explained)),
)]
pub async fn post(
    state: web::Data<State>,
    request: HttpRequest,
    key: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let (body, _) = body::json(payload, state.max_body_bytes).await?;
    check_workflow_key(&key).map_err(|message| ApiError::missing("workflow_missing", message))?;
    let asked = TriggerRequest::from_json(&body).map_err(ApiError::invalid)?;
    let answer = blocking(&state, move |state| {
        let engine = &state.intake.engine;
        let named = asked.recipients.iter().map(|recipient| recipient.reference.clone()).collect::<Vec<_>>();
        let spreads = fan_out::spreading(&engine.store, named.iter())?;
        let runs = explain(engine, &key, asked)?;
        Ok::<_, ExplainError>(json!({
            "runs": runs.iter().map(|run| run_json(run, &engine.channels)).collect::<Vec<_>>(),
            "spreads_to_subscribers_of": spreads.iter().map(|object| object.to_json()).collect::<Vec<_>>(),
        }))
    });
    Ok(HttpResponse::Ok().json(answer.await?))
}

/// The trace of a run that there is not: it has no ids.
fn run_json(trace: &Trace, channels: &[Channel]) -> Value {
    let mut told = trace_json(trace);
    told["id"] = Value::Null;
    told["workflow_run_id"] = Value::Null;
    for (message, traced) in told["messages"].as_array_mut().into_iter().flatten().zip(&trace.messages) {
        message["content"] = content_json(&traced.message, channels)["data"].take();
    }
    told
}
