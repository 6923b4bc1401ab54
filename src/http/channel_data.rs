//! Channel data of users and objects.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::Value;

use super::State;
use super::auth::{Right, authenticate, require_secret};
use super::body;
use super::error::ApiError;
use super::recipients;
use super::whose::Whose;
use super::wire::recipient;
use crate::base::ids::ChannelId;
use crate::model::channel_data::ChannelData;
use crate::model::profile::Profile;
use crate::model::recipient::RecipientRef;
use crate::model::trigger::FieldError;

/// Get channel data.
///
/// 404 when there is none, which clients look for.
#[utoipa::path(get, path = "/channel_data/{channel}", responses((status = 200, body = recipient::ChannelData)))]
pub async fn get(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
) -> Result<HttpResponse, ApiError> {
    let (recipient, channel) = permit(&request, &state, &whose, Right::ChannelDataRead)?;
    let data = state.intake.engine.store.read()?.channel_data(&recipient, channel)?;
    let data = data.ok_or_else(|| {
        let message = format!("`{recipient}` has no data for channel {channel}; PUT to this path sets it");
        ApiError::missing("resource_missing", message)
    })?;
    Ok(HttpResponse::Ok().json(data.to_json(channel)))
}

/// Set channel data.
///
/// Replaces what is there.
#[utoipa::path(
    put, path = "/channel_data/{channel}",
    request_body = recipient::ChannelDataRequest,
    responses((status = 200, body = recipient::ChannelData)),
)]
pub async fn set(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let (recipient, channel) = permit(&request, &state, &whose, Right::ChannelDataWrite)?;
    let (body, bytes) = body::json(payload, state.max_body_bytes).await?;
    let mut errors = Vec::new();
    let data = ChannelData::from_json("data", body.get("data").unwrap_or(&Value::Null), &mut errors);
    let Some(data) = data else { return Err(ApiError::invalid(errors)) };
    let answer = data.to_json(channel);
    recipients::store(&state, recipient, Profile::channel(channel, Some(data)), bytes).await?;
    Ok(HttpResponse::Ok().json(answer))
}

/// Unset channel data.
///
/// A browser can unset only what is a user's.
#[utoipa::path(delete, path = "/channel_data/{channel}", responses((status = 204)))]
pub async fn unset(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
) -> Result<HttpResponse, ApiError> {
    let (recipient, channel) = permit(&request, &state, &whose, Right::ChannelDataWrite)?;
    if !recipient.is_user() {
        require_secret(&request, &state)?;
    }
    if state.intake.engine.store.read()?.channel_data(&recipient, channel)?.is_some() {
        recipients::store(&state, recipient, Profile::channel(channel, None), 0).await?;
    }
    Ok(HttpResponse::NoContent().finish())
}

fn permit(
    request: &HttpRequest,
    state: &State,
    whose: &Whose,
    right: Right,
) -> Result<(RecipientRef, ChannelId), ApiError> {
    let recipient = whose.recipient()?;
    authenticate(request, state)?.require_of(&recipient, right, state)?;
    let channel = whose.channel.parse().map_err(|_| {
        let message = format!("is `{}`, which is no channel's id: that is a UUID", whose.channel);
        ApiError { code: "channel_invalid", ..ApiError::invalid(vec![FieldError::new("channel_id", message)]) }
    })?;
    Ok((recipient, channel))
}
