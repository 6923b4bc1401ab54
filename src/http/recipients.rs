//! What users, objects and tenants have in common over HTTP.

use std::future::Future;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::Value;

use super::State;
use super::body;
use super::bulk;
use super::error::{ApiError, require_valid};
use super::feeds::blocking;
use super::page::page_request;
use super::preferences::{wants_preferences, with_preferences};
use crate::base::clock::Timestamp;
use crate::base::mail::tell;
use crate::feed::hub::FeedMarked;
use crate::model::channel::ChannelType;
use crate::model::profile::Profile;
use crate::model::recipient::{Recipient, RecipientRef, kind};
use crate::model::trigger::{FieldError, NamedRecipient};
use crate::store::StoreError;
use crate::store::op::Identify;

/// A page of a collection, by id.
pub async fn list(
    state: &web::Data<State>,
    collection: String,
    query: &[(String, String)],
) -> Result<HttpResponse, ApiError> {
    let (asked, wanted) = (page_request(query)?, wants_preferences(query));
    let page = blocking(state, move |state| {
        let reader = state.intake.engine.store.read()?;
        let page = reader.recipients(&collection, &asked)?;
        page.to_json(&asked, |recipient| with_preferences(state, &reader, recipient, wanted))
    });
    Ok(HttpResponse::Ok().json(page.await?))
}

/// Creates `recipient`, or merges the body in, if what it says is permitted.
pub async fn identify(
    state: &State,
    recipient: RecipientRef,
    payload: web::Payload,
    permit: impl FnOnce(&Profile) -> Result<(), ApiError>,
) -> Result<Recipient, ApiError> {
    let (body, bytes) = body::json(payload, state.max_body_bytes).await?;
    let Value::Object(said) = body else {
        let message = format!("the body must be a JSON object of properties, not {}", kind(&body));
        return Err(ApiError::invalid(vec![FieldError::new("", message)]));
    };
    let mut errors = Vec::new();
    let profile = Profile::from_json("", &said, &recipient, &mut errors);
    require_valid(errors)?;
    permit(&profile)?;
    store(state, recipient, profile, bytes).await
}

/// Stores what is said of one recipient, who is created if there is none.
pub async fn store(
    state: &State,
    recipient: RecipientRef,
    profile: Profile,
    bytes: usize,
) -> Result<Recipient, ApiError> {
    let identify = Identify { people: vec![(recipient, profile)], at: state.now(), bytes };
    let identified = state.intake.engine.store.identify(identify).await?.pop();
    identified.ok_or_else(|| StoreError::Failed("an identify answered with nobody".into()).into())
}

/// Creates or merges many, unless something is wrong with any of them.
pub async fn identify_all(
    state: &State,
    request: &HttpRequest,
    name: &str,
    people: Vec<NamedRecipient>,
    errors: Vec<FieldError>,
    bytes: usize,
) -> Result<HttpResponse, ApiError> {
    require_valid(errors)?;
    let started_at = state.now();
    let rows = people.len() as u64;
    let people = people.into_iter().map(|one| (one.reference, one.inline.unwrap_or_default())).collect();
    state.intake.engine.store.identify_all(people, started_at, bytes).await?;
    bulk::complete(state, request, name, rows, started_at).await
}

/// Deletes recipients with all that is theirs.
pub async fn delete(state: &State, recipients: Vec<RecipientRef>) -> Result<(), ApiError> {
    let (store, at) = (state.intake.engine.store.clone(), state.now());
    let gone = recipients.clone();
    to_its_end(async move { store.remove(gone, at).await }).await?;
    refresh_feeds(state, &recipients);
    Ok(())
}

/// Deletes many, unless something is wrong with any of them.
pub async fn delete_all(
    state: &State,
    request: &HttpRequest,
    name: &str,
    recipients: Vec<RecipientRef>,
    errors: Vec<FieldError>,
    started_at: Timestamp,
) -> Result<HttpResponse, ApiError> {
    require_valid(errors)?;
    let rows = recipients.len() as u64;
    delete(state, recipients).await?;
    bulk::complete(state, request, name, rows, started_at).await
}

/// Merges one user into another.
pub async fn merge_users(state: &State, into: RecipientRef, from: RecipientRef) -> Result<Recipient, ApiError> {
    let (store, at) = (state.intake.engine.store.clone(), state.now());
    let both = [into.clone(), from.clone()];
    let merged = to_its_end(async move { store.merge_users(into, from, at).await }).await?;
    refresh_feeds(state, &both);
    Ok(merged)
}

/// Runs what takes several writes to its end, also when the client goes away in between.
async fn to_its_end<T: 'static>(writes: impl Future<Output = Result<T, StoreError>> + 'static) -> Result<T, ApiError> {
    let done = actix_web::rt::spawn(writes).await;
    Ok(done.map_err(|_| ApiError::unavailable("the server is shutting down"))??)
}

/// Those who watch the users' feeds read them again.
fn refresh_feeds(state: &State, recipients: &[RecipientRef]) {
    for user in recipients.iter().filter(|recipient| recipient.is_user()) {
        for channel in state.intake.engine.channels.iter().filter(|channel| channel.kind == ChannelType::InAppFeed) {
            tell(&state.hub, FeedMarked { user: user.clone(), channel: channel.id });
        }
    }
}
