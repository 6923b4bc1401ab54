//! The hosted preference center over the API: its link, and what it holds in the form that clients read.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::State;
use super::auth::{Right, authenticate, require_secret};
use super::error::ApiError;
use super::hosted::Reader;
use super::preference_page::rows;
use super::wire::recipient;
use crate::model::link::Holder;
use crate::model::preference_center::Row;
use crate::model::recipient::{Recipient, RecipientRef, check_id};
use crate::model::trigger::FieldError;

/// Get the preference center.
///
/// What a user can choose, as the page shows it that `signed_url` leads to.
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
    let holder = Holder::new(RecipientRef::user(id.as_str()));
    let reader = Reader::of(&state, Some(&holder))?;
    let rows = rows(&state, &holder.recipient, &reader.words)?.iter().map(Row::config).collect::<Vec<_>>();
    Ok(HttpResponse::Ok().json(json!({
        "enabled": true,
        "account_name": reader.sender(),
        "user_email": reader.known.as_ref().and_then(Recipient::email),
        "knock_branding_required": false,
        "branding": reader.branding(),
        "config": {
            "title": reader.words.say("preferences.title"),
            "body": reader.words.say("preferences.text"),
            "show_account_name": reader.sender().is_some(),
            "rows": rows,
        },
    })))
}

/// Get a link to the preference center.
///
/// The page on which the user manages preferences; the link never expires.
#[utoipa::path(
    post, path = "/v1/users/{id}/preference_center/signed_url",
    responses((status = 200, body = recipient::PreferenceLink)),
)]
pub async fn signed_url(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    check_id("a user id", &id).map_err(|message| ApiError::invalid(vec![FieldError::new("id", message)]))?;
    let (user, links) = (Holder::new(RecipientRef::user(id.as_str())), &state.intake.engine.links);
    Ok(HttpResponse::Ok().json(json!({"token": links.preferences_token(&user), "url": links.preferences(&user)})))
}
