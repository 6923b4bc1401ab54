//! In-app feeds.

use actix_web::{HttpRequest, HttpResponse, web};

use super::State;
use super::auth::authenticate;
use super::error::ApiError;
use crate::base::ids::ChannelId;
use crate::feed::list;
use crate::feed::query::FeedQuery;
use crate::model::channel::ChannelType;
use crate::model::recipient::RecipientRef;

/// `GET /v1/users/{id}/feeds/{channel}`.
pub async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    authenticate(&request, &state)?;
    let (user, channel) = path.into_inner();
    let channel = feed_channel(&state, &channel)?;
    let query = FeedQuery::from_pairs(&query).map_err(ApiError::invalid)?;
    let store = state.intake.engine.store.clone();
    let page = web::block(move || list::list(&store.read()?, channel, &RecipientRef::user(user), &query));
    let page = page.await.map_err(|_| ApiError::unavailable("the server is shutting down"))??;
    Ok(HttpResponse::Ok().json(page))
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
