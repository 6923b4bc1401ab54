//! Slack and Microsoft Teams as Knock's kits ask for them. This server is connected to neither, which the kits know by
//! the very words of the error (`knock-api.md` section 6.4).

use actix_web::{HttpRequest, HttpResponse, web};

use super::State;
use super::auth::{authenticate, forbidden};
use super::error::ApiError;

/// What is asked of Slack, which would need a token.
pub async fn slack(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    authenticate(&request, &state)?;
    Err(forbidden("authorization", "Access token not set."))
}

/// What is asked of Microsoft Teams, which would need a tenant of theirs.
pub async fn ms_teams(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    authenticate(&request, &state)?;
    Err(forbidden("authorization", "Microsoft Teams tenant ID not set."))
}

/// `PUT .../revoke_access`: nothing is connected after it either. The kits test for this text, not for an object.
pub async fn revoke(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    authenticate(&request, &state)?;
    Ok(HttpResponse::Ok().json("ok"))
}
