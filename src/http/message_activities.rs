//! What a message tells of: the trigger that it came of, or those of its batch.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::State;
use super::auth::{Reach, require_secret};
use super::error::{ApiError, require_valid};
use super::feeds::blocking;
use super::messages::find;
use super::wire::{message, page};
use crate::model::batch::Activity;
use crate::model::message::Message;
use crate::model::page::{PageRequest, cursor};
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
    require_valid(errors)?;
    let answer = blocking(&state, move |state| {
        let reader = state.intake.engine.store.read()?;
        let page = reader.activities_page(&message, &asked, |cursor, activity| {
            let is_wanted = wanted.matches(&TriggerData::of(&activity.data));
            is_wanted.then(|| activity_json(&reader, &message, cursor, activity)).transpose()
        })?;
        page.to_json_named("items", &asked, |row| Ok::<_, StoreError>(row.clone()))
    });
    Ok(HttpResponse::Ok().json(answer.await?))
}

fn activity_json(reader: &Reader, message: &Message, at: &[u8], activity: Activity) -> Result<Value, StoreError> {
    let person = |reference| Ok::<_, StoreError>(reader.known_or_stub(reference, activity.at)?.to_json());
    Ok(json!({
        "__typename": "Activity",
        "__cursor": cursor(at),
        "id": activity.id,
        "actor": activity.actor.as_ref().map(person).transpose()?,
        "recipient": person(&message.recipient)?,
        "data": activity.data,
        "inserted_at": activity.at,
        "updated_at": activity.at,
    }))
}
