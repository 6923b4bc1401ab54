//! Unsubscribing from commercial messages by a signed link: one click for mail programs (RFC 8058), and a page that asks for
//! people. Opening the link changes nothing, since scanners open all links of a mail; and it leads to nothing else, since
//! mail providers have it too.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde_json::Value;

use super::State;
use super::error::ApiError;
use super::hosted::{Reader, links, no_such_link};
use super::recipients;
use crate::model::preference_center;
use crate::model::preferences::DEFAULT_SET;
use crate::model::profile::Profile;
use crate::template::page::Page;

/// `GET /unsubscribe/{token}`: asks.
pub async fn ask(state: web::Data<State>, token: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let Some(holder) = links(&state).unsubscriber(&token) else { return no_such_link(&state) };
    Reader::of(&state, Some(&holder))?.answer(StatusCode::OK, Page::Unsubscribe, "unsubscribe", Value::Null)
}

/// `POST /unsubscribe/{token}`: unsubscribes at once, and again as often as it comes. The token is all the right that it
/// needs: no cookie, no key, no redirect.
pub async fn unsubscribe(state: web::Data<State>, token: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let Some(holder) = links(&state).unsubscriber(&token) else { return no_such_link(&state) };
    let reader = Reader::of(&state, Some(&holder))?;
    // Who was deleted is not made again by an old mail.
    if reader.known.is_some() || state.intake.engine.store.read()?.deleted(&holder.recipient)?.is_none() {
        let profile = Profile::preference(DEFAULT_SET, preference_center::unsubscribe());
        recipients::store(&state, holder.recipient, profile, 0).await?;
        metrics::counter!("belfry_unsubscribes_total").increment(1);
    }
    reader.answer(StatusCode::OK, Page::Notice, "unsubscribed", Value::Null)
}
