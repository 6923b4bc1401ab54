//! Lists of messages, newest first.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::State;
use super::auth::require_secret;
use super::error::{ApiError, require_valid};
use super::feeds::blocking;
use super::message_json::message_json;
use super::whose::Whose;
use super::wire::{message, page};
use crate::base::ids::MessageId;
use crate::model::message::Message;
use crate::model::message_filter::MessageFilter;
use crate::model::page::{Page, PageRequest, cursor};
use crate::model::query::Query;
use crate::model::recipient::RecipientRef;
use crate::model::trigger_data::TriggerData;
use crate::store::{Reader, StoreError};

/// List messages.
#[utoipa::path(
    get, path = "/v1/messages",
    params(page::Paging, message::MessageFilter, page::ByTriggerData),
    responses((status = 200, body = page::Items<message::Message>)),
)]
pub async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    answer(&state, None, &query).await
}

/// List a recipient's messages.
#[utoipa::path(
    get, path = "/messages",
    params(page::Paging, message::MessageFilter, page::ByTriggerData),
    responses((status = 200, body = page::Items<message::Message>)),
)]
pub async fn list_of(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    answer(&state, Some(whose.recipient()?), &query).await
}

async fn answer(
    state: &web::Data<State>,
    of: Option<RecipientRef>,
    query: &[(String, String)],
) -> Result<HttpResponse, ApiError> {
    let (query, mut errors) = (Query::new(query), Vec::new());
    let filter = MessageFilter::from_query(query, &mut errors);
    let asked = PageRequest::from_query(query, &mut errors);
    require_valid(errors)?;
    let page = blocking(state, move |state| {
        let reader = state.intake.engine.store.read()?;
        let page = page(state, &reader, of.as_ref(), &filter, &asked)?;
        page.to_json_named("items", &asked, |message| Ok::<_, StoreError>(message.clone()))
    });
    Ok(HttpResponse::Ok().json(page.await?))
}

/// A page of messages as they are on the wire.
fn page(
    state: &State,
    reader: &Reader,
    of: Option<&RecipientRef>,
    filter: &MessageFilter,
    asked: &PageRequest,
) -> Result<Page<Value>, StoreError> {
    let Some(ids) = named(reader, filter)? else {
        return reader.messages_page(of, filter.made(), asked, |message| row(state, reader, filter, &message));
    };
    Page::newest_among(ids, asked, |id| {
        let message = reader.message(MessageId::from(id))?;
        let message = message.filter(|message| of.is_none_or(|of| message.recipient == *of));
        Ok(message.map(|message| row(state, reader, filter, &message)).transpose()?.flatten())
    })
}

/// All messages that may be asked for, if the filter says which: they are looked up, however many others there are.
fn named(reader: &Reader, filter: &MessageFilter) -> Result<Option<Vec<[u8; 16]>>, StoreError> {
    let ids = match (filter.ids(), filter.run, filter.trigger) {
        (Some(ids), _, _) => ids.to_vec(),
        (None, Some(run), _) => reader.messages_of_run(run)?,
        (None, None, Some(trigger)) => reader.messages_of_trigger(trigger)?,
        (None, None, None) => return Ok(None),
    };
    Ok(Some(ids.iter().map(|id| *id.as_bytes()).collect()))
}

/// The message on the wire, if it is asked for.
fn row(state: &State, reader: &Reader, filter: &MessageFilter, message: &Message) -> Result<Option<Value>, StoreError> {
    if !filter.covers(message) {
        return Ok(None);
    }
    let done = reader.engagement(message)?;
    if !filter.covers_engagement(&done) {
        return Ok(None);
    }
    if !filter.data.is_empty() {
        let data = reader.told(message)?.map(|told| TriggerData::of(&told.activities.data)).unwrap_or_default();
        if !filter.data.matches(&data) {
            return Ok(None);
        }
    }
    let mut row = message_json(reader, &state.intake.engine.channels, message, &done)?;
    row["__cursor"] = json!(cursor(message.id.as_bytes()));
    Ok(Some(row))
}
