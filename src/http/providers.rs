//! Slack and Microsoft Teams as Knock's kits ask for them. This server is connected to neither, which the kits know by
//! the very words of the error (`knock-api.md` section 6.4).

use actix_web::{HttpRequest, HttpResponse, web};

use super::State;
use super::auth::{authenticate, forbidden};
use super::error::ApiError;
use super::wire::Error;

/// Ask a Slack workspace: none is connected, which would need a token.
/// What is asked of Slack, which would need a token.
#[utoipa::path(get, path = "/v1/providers/slack/{channel}/auth_check", responses((status = 403, body = Error)))]
pub async fn slack(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    authenticate(&request, &state)?;
    Err(forbidden("authorization", "Access token not set."))
}

/// Ask Microsoft Teams: no tenant of theirs is connected.
/// What is asked of Microsoft Teams, which would need a tenant of theirs.
#[utoipa::path(get, path = "/v1/providers/ms-teams/{channel}/auth_check", responses((status = 403, body = Error)))]
pub async fn ms_teams(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    authenticate(&request, &state)?;
    Err(forbidden("authorization", "Microsoft Teams tenant ID not set."))
}

/// Disconnect.
///
/// Nothing is connected after it either. The kits test for this text, not for an object.
#[utoipa::path(
    put, path = "/v1/providers/slack/{channel}/revoke_access",
    responses((status = 200, body = String, content_type = "application/json")),
)]
pub async fn revoke(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    authenticate(&request, &state)?;
    Ok(HttpResponse::Ok().json("ok"))
}
