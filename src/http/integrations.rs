//! Census and Hightouch, which would push data by JSON-RPC: every call is told that nothing was taken.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::State;
use super::auth::require_secret;
use super::body;
use super::error::ApiError;
use super::wire::Properties;

/// Push a sync: none is taken.
#[utoipa::path(
    post, path = "/v1/integrations/census/custom-destination",
    request_body = Properties,
    responses((status = 200, body = Properties)),
)]
pub async fn refuse(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let (body, _) = body::json(payload, state.max_body_bytes).await?;
    Ok(HttpResponse::Ok().json(json!({
        "jsonrpc": "2.0",
        "id": body.get("id").unwrap_or(&Value::Null),
        "result": {"success": false, "error_message": "this server takes no data from syncs; use POST /v1/users/bulk/identify"},
    })))
}
