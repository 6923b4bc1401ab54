//! The preference center as a page, by a signed link that never expires: a person sees and changes what the `default` set
//! says, and nothing else.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, web};
use serde_json::json;

use super::State;
use super::error::ApiError;
use super::hosted::{Reader, links, no_such_link};
use super::recipients;
use crate::engine::cast::Cast;
use crate::model::preference_center::{self, Row};
use crate::model::preferences::DEFAULT_SET;
use crate::model::profile::Profile;
use crate::model::recipient::RecipientRef;
use crate::store::StoreError;
use crate::template::page::Page;
use crate::template::words::Words;

/// `GET /p/{token}`; `?saved` after a form was.
pub async fn show(
    state: web::Data<State>,
    token: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    let Some((user, reader)) = opened(&state, &token)? else { return no_such_link(&state) };
    let rows = rows(&state, &user, &reader.words)?;
    let saved = query.iter().any(|(name, _)| name == "saved");
    reader.answer(StatusCode::OK, Page::Preferences, "preferences", json!({"rows": rows, "saved": saved}))
}

/// `POST /p/{token}`: writes what was touched, and shows the page anew, so that a reload sends nothing twice.
pub async fn save(
    state: web::Data<State>,
    token: web::Path<String>,
    form: web::Form<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    let Some((user, reader)) = opened(&state, &token)? else { return no_such_link(&state) };
    if let Some(write) = preference_center::write(&rows(&state, &user, &reader.words)?, &form) {
        recipients::store(&state, user, Profile::preference(DEFAULT_SET, write), 0).await?;
    }
    // Relative to the page, which may lie under a path of the public URL.
    Ok(HttpResponse::SeeOther().insert_header((header::LOCATION, format!("{token}?saved"))).finish())
}

/// Whose page the link opens, and how they read it. None for a link that is not ours, and when they were deleted.
fn opened(state: &web::Data<State>, token: &str) -> Result<Option<(RecipientRef, Reader)>, ApiError> {
    let Some(holder) = links(state).preferrer(token) else { return Ok(None) };
    let reader = Reader::of(state, Some(&holder))?;
    let is_deleted = reader.known.is_none() && state.intake.engine.store.read()?.deleted(&holder.recipient)?.is_some();
    Ok((!is_deleted).then_some((holder.recipient, reader)))
}

/// What `user` can choose, as it stands.
pub fn rows(state: &State, user: &RecipientRef, words: &Words) -> Result<Vec<Row>, StoreError> {
    let engine = &state.intake.engine;
    let cast = Cast { reader: &engine.store.read()?, said: &[], now: state.now() };
    let preferences = cast.preferences(user, None, &engine.preferences)?;
    let published: Vec<_> = engine.catalog.keys().iter().filter_map(|key| engine.catalog.current(key)).collect();
    let workflows = published.iter().map(|published| &published.workflow);
    Ok(preference_center::rows(workflows, preferences.merged(), &|key| words.find(key)))
}
