//! What emails with tracking ask of this server: the picture that is fetched when one is opened, and the way to its links.
//! Nobody is led anywhere but where a message of ours pointed: the target stands in the signed token.

use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value};

use super::State;
use super::error::ApiError;
use super::hosted::{links, no_such_link};
use super::messages::mark;
use crate::base::ids::MessageId;
use crate::model::engagement::Action;
use crate::model::tracking::is_person;
use crate::store::StoreError;

/// A transparent pixel as PNG.
const PICTURE: [u8; 68] = [
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x04, 0x00, 0x00, 0x00, 0xb5, 0x1c, 0x0c, 0x02, 0x00, 0x00, 0x00, 0x0b, 0x49,
    0x44, 0x41, 0x54, 0x78, 0xda, 0x63, 0x60, 0x60, 0x00, 0x00, 0x00, 0x03, 0x00, 0x01, 0x2b, 0x09, 0x4d, 0x84, 0x00,
    0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];

/// Events of one message that are kept: whoever has a link could fill the disk with more.
const MOST_EVENTS: u32 = 500;

/// What a URL holds that a header does not.
const NOT_IN_HEADERS: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>');

/// `GET /t/o/{token}`: the picture, and a `read` of the message.
pub async fn opened(
    state: web::Data<State>,
    request: HttpRequest,
    token: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let Some(message) = links(&state).opened(&token) else {
        return Ok(HttpResponse::NotFound().insert_header((header::CACHE_CONTROL, "no-store")).finish());
    };
    if counts(&request) {
        note(state, message, Action::Read, None);
    }
    Ok(HttpResponse::Ok()
        .content_type("image/png")
        .insert_header((header::CACHE_CONTROL, "no-store, private"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(PICTURE.as_slice()))
}

/// `GET /t/c/{token}`: leads to the link's target, also when the message is long gone, and notes a `link_clicked`.
pub async fn clicked(
    state: web::Data<State>,
    request: HttpRequest,
    token: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let Some((message, target)) = links(&state).clicked(&token) else { return no_such_link(&state) };
    let location = utf8_percent_encode(&target, NOT_IN_HEADERS).to_string();
    let Ok(location) = HeaderValue::from_str(&location) else { return no_such_link(&state) };
    if counts(&request) {
        note(state, message, Action::LinkClicked, Some(Map::from_iter([("url".to_owned(), Value::from(target))])));
    }
    Ok(HttpResponse::build(StatusCode::FOUND)
        .insert_header((header::LOCATION, location))
        .insert_header((header::CACHE_CONTROL, "no-store, private"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header(("x-robots-tag", "noindex"))
        .finish())
}

/// Whether a person did it: not a `HEAD`, nor what was fetched in case somebody will look, nor a scanner.
fn counts(request: &HttpRequest) -> bool {
    let says = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let ahead =
        ["purpose", "sec-purpose", "x-moz"].iter().any(|name| says(name).is_some_and(|it| it.contains("prefetch")));
    request.method() == Method::GET && !ahead && is_person(says("user-agent"))
}

/// Notes it behind the answer: nobody waits for a disk on the way to a link.
fn note(state: web::Data<State>, message: MessageId, action: Action, data: Option<Map<String, Value>>) {
    let work = state.intake.engine.deps.work.begin();
    actix_web::rt::spawn(async move {
        if let Err(error) = try_note(&state, message, action, data).await {
            tracing::warn!(message_id = %message, action = action.as_str(), %error, "what a reader did is not noted");
        }
        drop(work);
    });
}

async fn try_note(
    state: &State,
    message: MessageId,
    action: Action,
    data: Option<Map<String, Value>>,
) -> Result<(), StoreError> {
    let reader = state.intake.engine.store.read()?;
    let Some(message) = reader.message(message)? else { return Ok(()) };
    if reader.engagement(&message)?.actions < MOST_EVENTS {
        mark(state, &[message], action, data).await?;
    }
    Ok(())
}
