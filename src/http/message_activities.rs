//! What a message tells of: the trigger that it came of.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::State;
use super::auth::{Reach, require_secret};
use super::error::ApiError;
use super::feeds::blocking;
use super::messages::find;
use super::wire::{message, page};
use crate::model::message::Message;
use crate::model::page::{Page, PageRequest, cursor};
use crate::model::query::Query;
use crate::model::trigger_data::{TriggerData, TriggerDataFilter};
use crate::store::{Reader, StoreError};

/// List a message's activities.
#[utoipa::path(
    get, path = "/v1/messages/{id}/activities",
    params(page::Paging, page::ByTriggerData),
    responses((status = 200, body = page::Items<message::Activity>)),
)]

pub async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let message = find(&state, &id, &Reach::EVERYTHING)?;
    let (query, mut errors) = (Query::new(&query), Vec::new());
    let wanted = TriggerDataFilter::read(query, &mut errors);
    let asked = PageRequest::from_query(query, &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    let answer = blocking(&state, move |state| {
        let rows = activities(&state.intake.engine.store.read()?, &message, &wanted)?;
        Page::within(rows, &asked).to_json_named("items", &asked, |row| Ok::<_, StoreError>(row.clone()))
    });
    Ok(HttpResponse::Ok().json(answer.await?))
}

/// Those that hold the data that is wanted, each under its key.
fn activities(
    reader: &Reader,
    message: &Message,
    wanted: &TriggerDataFilter,
) -> Result<Vec<(Vec<u8>, Value)>, StoreError> {
    let trigger = reader.trigger_of(message)?.filter(|trigger| wanted.matches(&TriggerData::of(&trigger.data)));
    let Some(trigger) = trigger else { return Ok(Vec::new()) };
    let person = |reference| Ok::<_, StoreError>(reader.known_or_stub(reference, trigger.inserted_at)?.to_json());
    let actor = trigger.actor.as_ref().map(person).transpose()?;
    let key = trigger.id.as_bytes().to_vec();
    let activity = json!({
        "__typename": "Activity",
        "__cursor": cursor(&key),
        "id": trigger.id,
        "actor": actor,
        "recipient": person(&message.recipient)?,
        "data": trigger.data,
        "inserted_at": trigger.inserted_at,
        "updated_at": trigger.inserted_at,
    });
    Ok(vec![(key, activity)])
}
