//! Knock's hosted preference center, which this server does not have: it says so in the form that clients read.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::State;
use super::auth::{Right, authenticate, require_secret};
use super::error::ApiError;
use super::wire::{Error, recipient};
use crate::model::recipient::RecipientRef;
use crate::model::trigger::FieldError;

/// Get the preference center: there is none.
#[utoipa::path(
    get, path = "/v1/users/{id}/preference_center/config",
    responses((status = 200, body = recipient::PreferenceCenter)),
)]

pub async fn config(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    authenticate(&request, &state)?.require(&id, Right::PreferencesRead, &state)?;
    let user = state.intake.engine.store.read()?.known_or_stub(&RecipientRef::user(id.as_str()), state.now())?;
    Ok(HttpResponse::Ok().json(json!({
        "enabled": false,
        "account_name": null,
        "user_email": user.email(),
        "knock_branding_required": false,
        "branding": {"logo_url": null, "icon_url": null, "primary_color": null, "primary_color_contrast": null},
        "config": {"title": "", "body": "", "show_account_name": false, "rows": []},
    })))
}

/// Get a link to the preference center: there is none.
#[utoipa::path(post, path = "/v1/users/{id}/preference_center/signed_url", responses((status = 422, body = Error)))]
pub async fn signed_url(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let message = "this server has no preference center; build your own over /v1/users/{id}/preferences";
    Err(ApiError::invalid(vec![FieldError::new("", message)]))
}
