//! The pages for recipients, which whoever holds a signed link may see. They work without scripts, load nothing from
//! elsewhere, and no other page can show them inside itself.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::State;
use super::error::ApiError;
use crate::model::link::{CLICK, Links, OPEN, PREFERENCES, UNSUBSCRIBE};
use crate::model::recipient::{Recipient, RecipientRef};
use crate::store::StoreError;
use crate::template::page::{Page, STYLE};

/// Nothing but the style, and forms that come back here.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The largest form, in bytes: 500 switches with long names.
pub const MAX_FORM: usize = 512 * 1024;

/// Whether a path is one of these pages, or of what messages ask for.
pub fn is_hosted(path: &str) -> bool {
    [UNSUBSCRIBE, PREFERENCES, OPEN, CLICK, "/hosted/"].iter().any(|way| path.starts_with(way))
}

/// `GET /hosted/style.css`.
pub async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(STYLE)
}

/// A page. Its address is a right: it is told to no other site, and kept by no cache.
pub fn answer(status: StatusCode, page: Page, data: &Value) -> Result<HttpResponse, ApiError> {
    let html = page.render(data).map_err(|error| {
        tracing::error!(%error, "a page for recipients cannot be rendered");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the page cannot be shown")
    })?;
    Ok(HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header(("x-robots-tag", "noindex"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(html))
}

/// What is said to whoever comes with a link that is none of ours, whatever is wrong with it.
pub fn no_such_link() -> Result<HttpResponse, ApiError> {
    let text = "It may have been cut when it was copied. Follow it again from the message that it stands in.";
    answer(StatusCode::NOT_FOUND, Page::Notice, &json!({"title": "This link does not work", "text": text}))
}

/// What all pages show of who sends, and to whom.
pub fn of_whom(state: &State, recipient: &RecipientRef) -> Result<(Option<Recipient>, Value), StoreError> {
    let known = state.intake.engine.store.read()?.recipient(recipient)?;
    let shown = json!({
        "sender": state.intake.engine.vars.get("app_name").and_then(Value::as_str),
        "email": known.as_ref().and_then(Recipient::email),
    });
    Ok((known, shown))
}

/// The links of this server.
pub fn links(state: &web::Data<State>) -> &Links {
    &state.intake.engine.links
}
