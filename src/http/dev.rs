//! The developer's endpoints: captured mail, the clock, and triggers without a key. Served only with `server.dev`, and
//! to no web page of another origin: whatever site the developer visits could reach them otherwise.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::State;
use super::advance;
use super::body;
use super::cors::{is_own_host, own_page};
use super::error::ApiError;
use super::workflows;
use crate::base::ids::MessageId;
use crate::model::duration::parse_span;
use crate::model::recipient::kind;
use crate::model::trigger::FieldError;
use crate::store::op::Op;

/// Around every route of the developer's: lets through what comes from this server's own pages, or from no page.
pub async fn own_pages(
    state: web::Data<State>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse, Error> {
    let refused = if !state.dev {
        let message = "the dev endpoints are off; `belfry dev` has them on, and so has server.dev = true";
        ApiError::missing("resource_missing", message)
    } else if let Some(host) = request.headers().get(header::HOST).filter(|host| !is_own_host(host, state.public_url()))
    {
        let host = String::from_utf8_lossy(host.as_bytes());
        let message = format!(
            "the dev endpoints are not served under the name `{}`, which may be somebody else's page; call them by address, or set \
             server.public_url to the name",
            host.escape_debug()
        );
        ApiError::new(StatusCode::FORBIDDEN, "host_not_allowed", message)
    } else if !own_page(request.headers()) {
        let message = "the dev endpoints serve no web page of another origin; open /demo on this server instead";
        ApiError::new(StatusCode::FORBIDDEN, "origin_not_allowed", message)
    } else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    Ok(request.error_response(refused))
}

/// `GET /dev/mailbox`: captured mail, oldest first.
pub async fn mailbox(state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    let entries = state.intake.engine.store.read()?.mailbox()?;
    Ok(HttpResponse::Ok().json(json!({"entries": entries})))
}

/// `DELETE /dev/mailbox`: forgets captured mail.
pub async fn clear_mailbox(state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    state.intake.engine.store.submit(Op::ClearMailbox).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `GET /dev/mailbox/{id}`: the HTML of one captured mail, for a browser.
pub async fn mail(state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let reader = state.intake.engine.store.read()?;
    let mail = id.parse().ok().map(|id: MessageId| reader.captured(id)).transpose()?.flatten();
    let mail = mail.ok_or_else(|| {
        ApiError::missing("resource_missing", "no captured mail has this id; GET /dev/mailbox lists them")
    })?;
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        // A mail shows what a template made of data: nothing in it may run.
        .insert_header((
            "content-security-policy",
            "sandbox allow-popups; default-src 'none'; img-src *; style-src 'unsafe-inline'",
        ))
        .body(mail.html))
}

/// `GET /dev/clock`.
pub async fn clock(state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(json!({"now": state.now()})))
}

/// `POST /dev/clock/advance {"by": "3d"}`: answered when everything due by then has fired and settled.
pub async fn advance(state: web::Data<State>, payload: web::Payload) -> Result<HttpResponse, ApiError> {
    let (body, _) = body::json(payload, state.max_body_bytes).await?;
    let by = match body.get("by") {
        Some(Value::String(text)) => parse_span(text),
        None => Err("is required: how far, such as \"3d\", \"12h\" or \"1d1m\"".into()),
        Some(other) => Err(format!("must be a string such as \"3d\", not {}", kind(other))),
    };
    let by = by.map_err(|message| ApiError::invalid(vec![FieldError::new("by", message)]))?;
    let (engine, registry) = (&state.intake.engine, &state.intake.registry);
    let now = advance::advance(&engine.deps, registry, &state.courier, Some(&state.scheduler), by).await;
    let now = now.map_err(|gone| ApiError::unavailable(gone.to_string()))?;
    Ok(HttpResponse::Ok().json(json!({"now": now})))
}

/// `POST /dev/trigger/{workflow}`: a trigger as the API takes it, from the demo page, which has no secret key.
pub async fn trigger(
    state: web::Data<State>,
    request: HttpRequest,
    key: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    workflows::accept(&state, &request, &key, payload).await
}
