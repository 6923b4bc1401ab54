//! Unsubscribing from commercial messages by a signed link: one click for mail programs (RFC 8058), and a page that asks for
//! people. Opening the link changes nothing, since scanners open all links of a mail.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::State;
use super::error::ApiError;
use super::hosted::{answer, links, no_such_link, of_whom};
use super::recipients;
use crate::model::preference_center;
use crate::model::preferences::DEFAULT_SET;
use crate::model::profile::Profile;
use crate::model::recipient::RecipientRef;
use crate::template::page::Page;

/// `GET /unsubscribe/{token}`: asks.
pub async fn ask(state: web::Data<State>, token: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let Some(recipient) = links(&state).unsubscriber(&token) else { return no_such_link() };
    let (_, shown) = of_whom(&state, &recipient)?;
    answer(StatusCode::OK, Page::Unsubscribe, &page(&state, &recipient, shown, "Unsubscribe?"))
}

/// `POST /unsubscribe/{token}`: unsubscribes at once, and again as often as it comes. The token is all the right that it
/// needs: no cookie, no key, no redirect.
pub async fn unsubscribe(state: web::Data<State>, token: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let Some(recipient) = links(&state).unsubscriber(&token) else { return no_such_link() };
    let (known, shown) = of_whom(&state, &recipient)?;
    // Who was deleted is not made again by an old mail.
    if known.is_some() || state.intake.engine.store.read()?.deleted(&recipient)?.is_none() {
        let profile = Profile::preference(DEFAULT_SET, preference_center::unsubscribe());
        recipients::store(&state, recipient.clone(), profile, 0).await?;
        metrics::counter!("belfry_unsubscribes_total").increment(1);
    }
    let mut page = page(&state, &recipient, shown, "You are unsubscribed");
    page["text"] = "You will get no more news and offers. What concerns your account still comes.".into();
    answer(StatusCode::OK, Page::Notice, &page)
}

fn page(state: &web::Data<State>, recipient: &RecipientRef, mut shown: Value, title: &str) -> Value {
    shown["title"] = title.into();
    shown["link"] = json!(recipient.is_user().then(|| links(state).preferences(recipient)));
    shown
}
