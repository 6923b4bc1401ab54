//! Keys are made, listed and revoked on a running server: the command line's way to a data folder that is in use.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::State;
use super::auth::require_secret;
use super::body;
use super::error::ApiError;
use super::key_ring::{KeyError, KeyKind};
use super::wire::operator;
use crate::model::recipient::kind;
use crate::model::trigger::FieldError;

/// List keys.
#[utoipa::path(get, path = "/admin/keys", responses((status = 200, body = operator::Keys)))]
pub async fn list(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    Ok(HttpResponse::Ok().json(json!({"entries": state.keys.list()})))
}

/// Make a key.
///
/// The only answer that ever has the key.
#[utoipa::path(
    post, path = "/admin/keys",
    request_body = operator::KeyRequest,
    responses((status = 201, body = operator::NewKey)),
)]
pub async fn create(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let (body, _) = body::json(payload, state.max_body_bytes).await?;
    let of_kind = match body["kind"].as_str() {
        Some("secret") => KeyKind::Secret,
        Some("public") => KeyKind::Public,
        _ => return Err(ApiError::invalid(vec![FieldError::new("kind", "must be `secret` or `public`")])),
    };
    let name = match &body["name"] {
        Value::Null => None,
        Value::String(name) => Some(name.clone()),
        other => return Err(ApiError::invalid(vec![FieldError::new("name", format!("is {}", kind(other)))])),
    };
    let new = state.keys.create(&state.intake.engine.store, of_kind, name, state.now()).await?;
    tracing::info!(key = new.info.id, kind = ?of_kind, "key made");
    Ok(HttpResponse::Created().insert_header(("cache-control", "no-store")).json(new))
}

/// Revoke a key.
///
/// By its id or its last four characters. Nobody gets in with it once this is answered.
#[utoipa::path(delete, path = "/admin/keys/{id}", responses((status = 200, body = operator::Key)))]
pub async fn revoke(
    state: web::Data<State>,
    request: HttpRequest,
    which: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let ended = state.keys.revoke(&state.intake.engine.store, &which).await?;
    tracing::info!(key = ended.id, kind = ?ended.kind, "key revoked");
    Ok(HttpResponse::Ok().json(ended))
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        let message = error.to_string();
        match error {
            KeyError::Unknown(_) => Self::missing("resource_missing", message),
            KeyError::Name(_) => Self::invalid(vec![FieldError::new("name", message)]),
            KeyError::Ambiguous(..) | KeyError::Configured | KeyError::Full => {
                Self::invalid(vec![FieldError::new("", message)])
            }
            KeyError::NoEntropy => Self::unavailable(message),
            KeyError::Store(error) => error.into(),
        }
    }
}
