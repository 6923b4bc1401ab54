//! `/demo`: a page with two users' feeds, live, for whoever looks at Belfry for the first time. It is a client of the
//! API as any browser is, with a public key; what needs more goes through the developer's endpoints, under whose rules
//! it is served.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use rust_embed::RustEmbed;
use serde_json::{Value, json};

use super::State;
use super::error::ApiError;
use super::pages;
use crate::model::channel::ChannelType;
use crate::model::workflow::{StepKind, Workflow};

/// The page and what it loads.
#[derive(RustEmbed)]
#[folder = "templates/demo/"]
struct Files;

/// `GET /demo`.
pub async fn page() -> Result<HttpResponse, ApiError> {
    pages::serve::<Files>("/demo", "index.html")
}

/// `GET /demo/{file}`: what the page loads.
pub async fn file(name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    pages::serve::<Files>("/demo", &name)
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
        StepKind::Batch(batch) => {
            json!({"type": "batch", "for": batch.window.fixed().map_or("until then".to_owned(), |fixed| fixed.to_string())})
        }
        StepKind::Throttle(_) => json!({"type": "throttle"}),
        StepKind::Branch(_) => json!({"type": "branch"}),
        StepKind::RandomCohort(_) => json!({"type": "random_cohort"}),
        StepKind::Fetch(_) => json!({"type": "http_fetch"}),
        StepKind::Update(_) => json!({"type": "update"}),
        StepKind::TriggerWorkflow(_) => json!({"type": "trigger_workflow"}),
        StepKind::WaitForEvent(wait) => json!({"type": "wait_for_event", "for": wait.expires_after.to_string()}),
    });
    json!({
        "key": workflow.key,
        "name": workflow.name,
        "description": workflow.source.get("description"),
        "steps": steps.collect::<Vec<_>>(),
    })
}
