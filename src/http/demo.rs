//! `/demo`: a page with two users' feeds, live, for whoever looks at Belfry for the first time. It is a client of the
//! API as any browser is, with a public key; what needs more goes through the developer's endpoints, under whose rules
//! it is served.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use rust_embed::RustEmbed;
use serde_json::{Value, json};

use super::State;
use super::error::ApiError;
use crate::model::channel::ChannelType;
use crate::model::workflow::{StepKind, Workflow};

/// The page and what it loads.
#[derive(RustEmbed)]
#[folder = "templates/demo/"]
struct Files;

/// Nothing from elsewhere, and nothing inline: what a feed item shows was made of data. `ws:` is for browsers to whom a
/// socket of the same host is not `'self'`.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws:; object-src 'none'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// `GET /demo`.
pub async fn page() -> Result<HttpResponse, ApiError> {
    serve("index.html")
}

/// `GET /demo/{file}`: what the page loads.
pub async fn file(name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    serve(&name)
}

/// `GET /demo/config.json`: what the page has to know of this server.
pub async fn config(state: web::Data<State>) -> HttpResponse {
    let engine = &state.intake.engine;
    let feed = engine.channels.iter().find(|channel| channel.kind == ChannelType::InAppFeed);
    let published = engine.catalog.keys().into_iter().filter_map(|key| engine.catalog.current(&key));
    let workflows: Vec<Value> = published.map(|published| outline(&published.workflow)).collect();
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(json!({
        "public_key": state.demo_key,
        "enhanced_security": state.enhanced_security,
        "channel": feed.map(|channel| channel.id),
        "workflows": workflows,
    }))
}

/// A workflow in a few words.
fn outline(workflow: &Workflow) -> Value {
    let steps = workflow.steps.iter().map(|step| match &step.kind {
        StepKind::Channel(channel) => json!({"type": channel.template.channel_type().as_str()}),
        StepKind::Mute(kind) => json!({"type": kind.as_str()}),
        StepKind::Delay(moment) => {
            json!({"type": "delay", "for": moment.fixed().map_or("until then".to_owned(), |fixed| fixed.to_string())})
        }
        StepKind::Throttle(_) => json!({"type": "throttle"}),
        StepKind::Branch(_) => json!({"type": "branch"}),
    });
    json!({
        "key": workflow.key,
        "name": workflow.name,
        "description": workflow.source.get("description"),
        "steps": steps.collect::<Vec<_>>(),
    })
}

fn serve(name: &str) -> Result<HttpResponse, ApiError> {
    let kind = match name.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let file = Files::get(name).ok_or_else(|| {
        ApiError::missing("resource_missing", format!("the demo has no file `{name}`; the page itself is /demo"))
    })?;
    Ok(HttpResponse::Ok()
        .content_type(kind)
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        // Another version of the binary may be started on the same port.
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(file.data))
}
