//! In-app feeds.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::State;
use super::auth::{Right, authenticate};
use super::error::ApiError;
use super::wire::{feed, page};
use crate::base::ids::ChannelId;
use crate::feed::list;
use crate::feed::query::FeedQuery;
use crate::model::channel::ChannelType;
use crate::model::recipient::{RecipientRef, check_id};
use crate::model::trigger::FieldError;

/// List a feed.
#[utoipa::path(
    get, path = "/v1/users/{id}/feeds/{channel}",
    params(page::Paging, feed::FeedFilter, page::ByTriggerData),
    responses((status = 200, body = feed::Feed)),
)]
pub async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    let subject = authenticate(&request, &state)?;
    let (user, channel) = path.into_inner();
    let access = subject.require(&user, Right::FeedRead, &state)?;
    check_id("a user id", &user).map_err(|message| ApiError::invalid(vec![FieldError::new("user_id", message)]))?;
    let channel = feed_channel(&state, &channel)?;
    let mut query = FeedQuery::from_pairs(&query).map_err(ApiError::invalid)?;
    query.filter.access = access;
    let page = blocking(&state, move |state| {
        let engine = &state.intake.engine;
        list::list(&engine.store.read()?, channel, &RecipientRef::user(user), &query, &engine.vars)
    });
    Ok(HttpResponse::Ok().json(page.await?))
}

/// Get a feed's settings.
#[utoipa::path(
    get, path = "/v1/users/{id}/feeds/{channel}/settings",
    responses((status = 200, body = feed::FeedSettings)),
)]
pub async fn settings(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    authenticate(&request, &state)?.require(&path.0, Right::FeedRead, &state)?;
    feed_channel(&state, &path.1)?;
    Ok(HttpResponse::Ok().json(json!({"features": {"branding_required": false}})))
}

/// Runs `read` where it may block: it looks at many records.
pub async fn blocking<T, E>(
    state: &web::Data<State>,
    read: impl FnOnce(&State) -> Result<T, E> + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    let state = state.clone();
    let done = web::block(move || read(&state)).await;
    done.map_err(|_| ApiError::unavailable("the server is shutting down"))?.map_err(E::into)
}

/// The feed channel with the id `text`; its key is taken too.
pub fn feed_channel(state: &State, text: &str) -> Result<ChannelId, ApiError> {
    let id = text.parse::<ChannelId>().ok();
    let feeds = || state.intake.engine.channels.iter().filter(|channel| channel.kind == ChannelType::InAppFeed);
    feeds().find(|channel| Some(channel.id) == id || channel.key == text).map(|channel| channel.id).ok_or_else(|| {
        let known: Vec<String> = feeds().map(|channel| format!("{} ({})", channel.id, channel.key)).collect();
        let known = if known.is_empty() { "none is configured".into() } else { known.join(", ") };
        ApiError::missing("channel_invalid", format!("no in-app feed channel has the id `{text}`; known: {known}"))
    })
}
