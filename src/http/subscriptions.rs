//! Subscriptions to objects, from both of their ends.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

use super::State;
use super::auth::require_secret;
use super::body;
use super::bulk;
use super::error::{ApiError, require_valid};
use super::feeds::blocking;
use super::objects::check_collection;
use super::page::page_request;
use super::preferences::{wants_preferences, with_preferences};
use super::whose::Whose;
use super::wire::{BulkOperation, page, subscription};
use crate::model::entries::{MAX_BULK, entries, recipients, references};
use crate::model::page::{Page, PageRequest};
use crate::model::query::Query;
use crate::model::recipient::{RecipientRef, USERS, check_id, kind};
use crate::model::subscription::{MAX_SUBSCRIBERS, Subscription};
use crate::model::trigger::{FieldError, NamedRecipient};
use crate::store::op::{Subscribe, Unsubscribe, Wanted};
use crate::store::{Reader, StoreError};

/// Subscriptions of one write: 8 ms of the writer.
const PORTION: usize = 250;

/// List a user's subscriptions.
///
/// What the user subscribes to.
#[utoipa::path(
    get, path = "/v1/users/{id}/subscriptions",
    params(page::Paging, page::Including),
    responses((status = 200, body = page::Entries<subscription::Subscription>)),
)]
pub async fn of_user(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    page(&state, whose.recipient()?, true, query.into_inner()).await
}

/// List an object's subscriptions.
///
/// Who subscribes to the object, or with `mode=recipient` what the object subscribes to.
#[utoipa::path(
    get, path = "/v1/objects/{collection}/{id}/subscriptions",
    params(page::Paging, page::Including, subscription::ObjectSubscriptions),
    responses((status = 200, body = page::Entries<subscription::Subscription>)),
)]
pub async fn of_object(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let as_recipient = match Query::new(&query).text("mode") {
        None | Some("object") => false,
        Some("recipient") => true,
        Some(other) => {
            let message = format!("is `{other}`, which is none of object, recipient");
            return Err(ApiError::invalid(vec![FieldError::new("mode", message)]));
        }
    };
    page(&state, whose.recipient()?, as_recipient, query.into_inner()).await
}

/// A page of the subscriptions of `one`, which is their recipient or their object. Of those others that the query names,
/// if it names any.
async fn page(
    state: &web::Data<State>,
    one: RecipientRef,
    as_recipient: bool,
    query: Vec<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let asked = page_request(&query)?;
    let name = if as_recipient { "objects" } else { "recipients" };
    let mut named = Vec::new();
    for value in Query::new(&query).objects(name) {
        let wrong = |message| ApiError::invalid(vec![FieldError::new(name, message)]);
        named.push(RecipientRef::from_json(&value).map_err(wrong)?);
    }
    let page = blocking(state, move |state| {
        let reader = state.intake.engine.store.read()?;
        let found = match (named.is_empty(), as_recipient) {
            (true, true) => reader.subscribed_to(&one, &asked)?,
            (true, false) => reader.subscriptions_of(&one, &asked)?,
            (false, _) => among(&reader, &one, as_recipient, named, &asked)?,
        };
        let wanted = wants_preferences(&query);
        found.to_json(&asked, |subscription| subscription_json(state, &reader, subscription, wanted))
    });
    Ok(HttpResponse::Ok().json(page.await?))
}

/// A page of the subscriptions between `one` and those that are named: each is looked up, however many others there are.
fn among(
    reader: &Reader,
    one: &RecipientRef,
    as_recipient: bool,
    mut named: Vec<RecipientRef>,
    asked: &PageRequest,
) -> Result<Page<Subscription>, StoreError> {
    named.sort();
    named.dedup();
    let mut found = Vec::new();
    for other in named {
        let (object, recipient) = if as_recipient { (&other, one) } else { (one, &other) };
        if let Some(subscription) = reader.subscription(object, recipient)? {
            found.push((other.key(), subscription));
        }
    }
    Ok(Page::of(asked.select(found), asked))
}

/// Subscribe to an object.
///
/// Whoever is subscribed already gets the properties.
#[utoipa::path(
    post, path = "/v1/objects/{collection}/{id}/subscriptions",
    request_body = subscription::SubscribeRequest,
    responses((status = 200, body = Vec<subscription::Subscription>)),
)]
pub async fn add(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let object = whose.recipient()?;
    let (body, bytes) = body::json(payload, state.max_body_bytes).await?;
    let mut errors = Vec::new();
    let wanted = Asked::read("", &body, object, &mut errors);
    require_valid(errors)?;
    let subscribe = subscribe(vec![wanted], bytes, &state);
    answer(&state, state.intake.engine.store.subscribe(subscribe).await?)
}

/// Unsubscribe from an object.
///
/// Answers those that there were.
#[utoipa::path(
    delete, path = "/v1/objects/{collection}/{id}/subscriptions",
    request_body = subscription::UnsubscribeRequest,
    responses((status = 200, body = Vec<subscription::Subscription>)),
)]
pub async fn delete(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let object = whose.recipient()?;
    let (body, _) = body::json(payload, state.max_body_bytes).await?;
    let mut errors = Vec::new();
    let recipients = references(&body, "recipients", MAX_SUBSCRIBERS, &mut errors);
    require_valid(errors)?;
    let pairs = recipients.into_iter().map(|recipient| (object.clone(), recipient)).collect();
    answer(&state, state.intake.engine.store.unsubscribe(Unsubscribe { pairs }).await?)
}

/// Subscribe to many objects.
#[utoipa::path(
    post, path = "/v1/objects/{collection}/bulk/subscriptions/add",
    request_body = subscription::BulkSubscribeRequest,
    responses((status = 200, body = BulkOperation)),
)]
pub async fn bulk_add(
    state: web::Data<State>,
    request: HttpRequest,
    collection: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    check_collection(&collection)?;
    let started_at = state.now();
    let (body, bytes) = body::json(payload, state.max_body_bytes).await?;
    let mut errors = Vec::new();
    let mut wanted = Vec::new();
    for (field, entry, object) in objects(&body, &collection, &mut errors) {
        wanted.push(Asked::read(&field, entry, object, &mut errors));
    }
    require_valid(errors)?;
    let all = subscribe(wanted, bytes, &state);
    let (rows, portions) = (all.wanted.len() as u64, all.wanted.len().div_ceil(PORTION).max(1));
    let store = &state.intake.engine.store;
    // Those given inline first: they must not be told before they are known.
    store.identify_all(all.people, all.at, bytes).await?;
    for wanted in all.wanted.chunks(PORTION) {
        let (people, bytes) = (Vec::new(), bytes / portions);
        store.subscribe(Subscribe { wanted: wanted.to_vec(), people, at: all.at, bytes }).await?;
    }
    bulk::complete(&state, &request, "objects.add_subscriptions", rows, started_at).await
}

/// Unsubscribe from many objects.
#[utoipa::path(
    post, path = "/v1/objects/{collection}/bulk/subscriptions/delete",
    request_body = subscription::BulkUnsubscribeRequest,
    responses((status = 200, body = BulkOperation)),
)]
pub async fn bulk_delete(
    state: web::Data<State>,
    request: HttpRequest,
    collection: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    check_collection(&collection)?;
    let started_at = state.now();
    let (body, _) = body::json(payload, state.max_body_bytes).await?;
    let mut errors = Vec::new();
    let mut pairs = Vec::new();
    for (field, entry, object) in objects(&body, &collection, &mut errors) {
        let mut own = Vec::new();
        let recipients = references(entry, "recipients", MAX_SUBSCRIBERS, &mut own);
        errors.extend(own.into_iter().map(|error| error.within(&field)));
        pairs.extend(recipients.into_iter().map(|recipient| (object.clone(), recipient)));
    }
    require_valid(errors)?;
    let rows = pairs.len() as u64;
    for pairs in pairs.chunks(PORTION) {
        state.intake.engine.store.unsubscribe(Unsubscribe { pairs: pairs.to_vec() }).await?;
    }
    bulk::complete(&state, &request, "objects.delete_subscriptions", rows, started_at).await
}

/// The entries of a bulk call, each with its place and the object that it is about.
fn objects<'a>(
    body: &'a Value,
    collection: &str,
    errors: &mut Vec<FieldError>,
) -> Vec<(String, &'a Value, RecipientRef)> {
    let mut found = Vec::new();
    for (index, entry) in entries(body, "subscriptions", MAX_BULK, errors).iter().enumerate() {
        let field = format!("subscriptions[{index}]");
        let id = entry.get("id").and_then(Value::as_str).unwrap_or_default();
        match check_id("the id of an object", id) {
            Ok(()) => found.push((field, entry, RecipientRef { collection: collection.into(), id: id.into() })),
            Err(message) => errors.push(FieldError::new(format!("{field}.id"), message)),
        }
    }
    found
}

/// Who is to be subscribed to an object.
struct Asked {
    object: RecipientRef,
    recipients: Vec<NamedRecipient>,
    properties: Option<Map<String, Value>>,
}

impl Asked {
    fn read(field: &str, body: &Value, object: RecipientRef, errors: &mut Vec<FieldError>) -> Self {
        let mut own = Vec::new();
        let recipients = recipients(body, "recipients", MAX_SUBSCRIBERS, USERS, &mut own);
        let properties = match body.get("properties") {
            None | Some(Value::Null) => None,
            Some(Value::Object(properties)) => Some(properties.clone()),
            Some(other) => {
                own.push(FieldError::new("properties", format!("must be an object, not {}", kind(other))));
                None
            }
        };
        errors.extend(own.into_iter().map(|error| error.within(field)));
        Self { object, recipients, properties }
    }
}

fn subscribe(asked: Vec<Asked>, bytes: usize, state: &State) -> Subscribe {
    let (mut wanted, mut people) = (Vec::new(), Vec::new());
    for Asked { object, recipients, properties } in asked {
        for NamedRecipient { reference, inline, .. } in recipients {
            let (object, recipient, properties) = (object.clone(), reference.clone(), properties.clone());
            wanted.push(Wanted { object, recipient, properties });
            people.extend(inline.map(|profile| (reference, profile)));
        }
    }
    Subscribe { wanted, people, at: state.now(), bytes }
}

fn answer(state: &State, subscriptions: Vec<Subscription>) -> Result<HttpResponse, ApiError> {
    let reader = state.intake.engine.store.read()?;
    let all = subscriptions.iter().map(|subscription| subscription_json(state, &reader, subscription, false));
    Ok(HttpResponse::Ok().json(all.collect::<Result<Vec<_>, _>>()?))
}

/// The wire form; with the recipient's preferences if they are wanted.
fn subscription_json(
    state: &State,
    reader: &Reader,
    subscription: &Subscription,
    preferences: bool,
) -> Result<Value, StoreError> {
    let known = |reference| reader.known_or_stub(reference, subscription.inserted_at);
    Ok(json!({
        "__typename": "Subscription",
        "object": known(&subscription.object)?.to_json(),
        "recipient": with_preferences(state, reader, &known(&subscription.recipient)?, preferences)?,
        "properties": subscription.properties,
        "inserted_at": subscription.inserted_at,
        "updated_at": subscription.updated_at,
    }))
}
