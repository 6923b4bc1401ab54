//! The pages for recipients, which whoever holds a signed link may see. They work without scripts, load nothing from
//! elsewhere, and no other page can show them inside itself.

use actix_web::http::{StatusCode, Uri, header};
use actix_web::{HttpResponse, web};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::State;
use super::error::ApiError;
use crate::model::link::{CLICK, Holder, Links, OPEN, PREFERENCES, UNSUBSCRIBE};
use crate::model::recipient::{Recipient, RecipientRef};
use crate::store::StoreError;
use crate::template::branding::{is_web_address, merged};
use crate::template::page::{Page, STYLE, style_of};
use crate::template::words::Words;

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

/// Who reads a page, and how it speaks to them.
pub struct Reader {
    pub known: Option<Recipient>,
    pub words: Words,
    brand: Map<String, Value>,
    sender: Option<String>,
}

impl Reader {
    /// Whoever holds a link; `None`: one that is none of ours.
    pub fn of(state: &State, holder: Option<&Holder>) -> Result<Self, StoreError> {
        let engine = &state.intake.engine;
        let store = engine.store.read()?;
        let known = holder.map(|holder| store.recipient(&holder.recipient)).transpose()?.flatten();
        let tenant = holder.and_then(|holder| holder.tenant.as_deref());
        let tenant = tenant.map(|id| store.recipient(&RecipientRef::tenant(id))).transpose()?.flatten();
        let scope = tenant.as_ref().map(Recipient::to_scope).unwrap_or_default();
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let sender = text(scope.get("name")).or_else(|| text(engine.vars.get("app_name")));
        let account = engine.vars.get("branding").and_then(Value::as_object);
        let brand = merged([account, scope.pointer("/settings/branding").and_then(Value::as_object)]);
        let locale = known.as_ref().and_then(|known| text(known.to_scope().get("locale")));
        let email = known.as_ref().and_then(Recipient::email);
        let says = json!({"sender": sender, "email": email, "vars": engine.vars, "tenant": scope});
        let tenant = tenant.map(|tenant| tenant.reference.id);
        let words = Words::new(engine.catalog.phrases(), tenant, locale.as_deref(), says);
        Ok(Self { known, words, brand, sender })
    }

    /// The page about `topic`, which the words for it are under; `more` is what else it shows. Its address is a right: it
    /// is told to no other site, and kept by no cache.
    pub fn answer(&self, status: StatusCode, page: Page, topic: &str, more: Value) -> Result<HttpResponse, ApiError> {
        let say = |what: &str| self.words.say(&format!("{topic}.{what}"));
        let title = format!("{topic}.title");
        let style = style_of(&self.brand);
        let (logo, origins) = self.logos();
        let url = self.words.find("footer.url").filter(|url| is_web_address(url));
        let mut shown = json!({
            "lang": self.words.language(&title),
            "rtl": self.words.is_right_to_left(&title),
            "style": style,
            "logo": logo.0,
            "dark_logo": logo.1,
            "sender": self.sender,
            "email": self.known.as_ref().and_then(Recipient::email),
            "title": say("title"),
            "text": say("text"),
            "words": {"save": say("save"), "saved": say("saved"), "empty": say("empty"), "button": say("button")},
            "footer": {"text": self.words.find("footer.text"), "url": url},
        });
        if let (Value::Object(shown), Value::Object(more)) = (&mut shown, more) {
            shown.extend(more);
        }
        let html = page.render(&shown).map_err(|error| {
            tracing::error!(%error, "a page for recipients cannot be rendered");
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the page cannot be shown")
        })?;
        Ok(HttpResponse::build(status)
            .content_type("text/html; charset=utf-8")
            .insert_header((header::CONTENT_SECURITY_POLICY, policy(&style, &origins)))
            .insert_header((header::X_FRAME_OPTIONS, "DENY"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((header::REFERRER_POLICY, "no-referrer"))
            .insert_header(("x-robots-tag", "noindex"))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(html))
    }

    /// What the brand is, as clients read it.
    pub fn branding(&self) -> Value {
        let names = ["logo_url", "icon_url", "primary_color", "primary_color_contrast"];
        names.iter().map(|name| ((*name).to_owned(), self.brand.get(*name).cloned().unwrap_or_default())).collect()
    }

    /// Who sends, as far as readers are told.
    pub fn sender(&self) -> Option<&str> {
        self.sender.as_deref()
    }

    /// The logo, that for dark screens, and the origins of both.
    fn logos(&self) -> ((Option<&str>, Option<&str>), Vec<String>) {
        let logo = |name: &str| self.brand.get(name).and_then(Value::as_str).filter(|url| origin(url).is_some());
        let logos = (logo("logo_url"), logo("dark_logo_url"));
        (logos, [logos.0, logos.1].into_iter().flatten().filter_map(origin).collect())
    }
}

/// Scheme, host and port of a URL, as a policy names them.
fn origin(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    let origin = format!("{}://{}", url.scheme_str()?, url.authority()?);
    origin.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/.-[]".contains(&byte)).then_some(origin)
}

/// Nothing but the style, the brand's colours and logos, and forms that come back here.
fn policy(style: &str, origins: &[String]) -> String {
    let brand = if style.is_empty() {
        String::new()
    } else {
        format!(" 'sha256-{}'", STANDARD.encode(digest::digest(&digest::SHA256, style.as_bytes())))
    };
    let images = if origins.is_empty() { "'none'".to_owned() } else { origins.join(" ") };
    format!(
        "default-src 'none'; style-src 'self'{brand}; img-src {images}; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    )
}

/// What is said to whoever comes with a link that is none of ours, whatever is wrong with it.
pub fn no_such_link(state: &State) -> Result<HttpResponse, ApiError> {
    Reader::of(state, None)?.answer(StatusCode::NOT_FOUND, Page::Notice, "missing", Value::Null)
}

/// The links of this server.
pub fn links(state: &web::Data<State>) -> &Links {
    &state.intake.engine.links
}
