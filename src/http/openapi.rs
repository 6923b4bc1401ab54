//! The description of the API: what stands at the handlers, and what is alike for all of them.

use std::sync::LazyLock;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use rust_embed::RustEmbed;
use serde_json::{Value, json};
use utoipa::OpenApi;

use super::error::ApiError;
use super::pages;
use super::wire;
use super::{
    audiences, backup, bulk, channel_data, explain, feeds, guides, health, integrations, keys, message_activities,
    message_content, message_delivery_logs, message_events, message_list, messages, objects, preference_center,
    preferences, providers, publishing, recipient_runs, runs, schedules, subscriptions, suppressions, tenants, users,
    workflows,
};
use crate::model::engagement::Action;
use crate::model::preferences::SECTIONS;

/// What users and objects have alike, under the path of one of them.
#[derive(OpenApi)]
#[openapi(paths(
    preferences::list,
    preferences::get,
    preferences::put,
    preferences::put_section,
    preferences::put_setting,
    preferences::unset,
    channel_data::get,
    channel_data::set,
    channel_data::unset,
    message_list::list_of,
    schedules::list_of,
))]
struct Owned;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Belfry",
        description = "Notification infrastructure in one binary. It speaks the public API of Knock, so that Knock's SDKs \
                       and components work when their host is changed.",
        license(name = "MIT OR Apache-2.0"),
    ),
    nest((path = "/v1/users/{id}", api = Owned), (path = "/v1/objects/{collection}/{id}", api = Owned)),
    components(schemas(wire::Error)),
    paths(
        audiences::add,
        audiences::list,
        audiences::remove,
        backup::stream,
        bulk::get,
        bulk::mark,
        explain::post,
        feeds::list,
        feeds::settings,
        guides::list,
        guides::mark,
        health::alive,
        health::metrics,
        health::ready,
        integrations::refuse,
        keys::create,
        keys::list,
        keys::revoke,
        message_activities::list,
        message_content::batch,
        message_content::get,
        message_delivery_logs::list,
        message_events::list,
        message_list::list,
        messages::batch,
        messages::clear,
        messages::get,
        messages::set,
        objects::bulk_delete,
        objects::bulk_set,
        objects::delete,
        objects::get,
        objects::list,
        objects::set,
        preference_center::config,
        preference_center::signed_url,
        preferences::bulk_set,
        providers::ms_teams,
        providers::revoke,
        providers::slack,
        publishing::activate,
        publishing::reload,
        recipient_runs::get,
        recipient_runs::list,
        runs::list,
        schedules::bulk_create,
        schedules::create,
        schedules::delete,
        schedules::list,
        schedules::update,
        subscriptions::add,
        subscriptions::bulk_add,
        subscriptions::bulk_delete,
        subscriptions::delete,
        subscriptions::of_object,
        subscriptions::of_user,
        suppressions::add,
        suppressions::list,
        suppressions::remove,
        tenants::bulk_delete,
        tenants::bulk_set,
        tenants::delete,
        tenants::get,
        tenants::list,
        tenants::set,
        users::bulk_delete,
        users::bulk_identify,
        users::delete,
        users::get,
        users::identify,
        users::list,
        users::merge,
        workflows::cancel,
        workflows::notify,
        workflows::notify_cancel,
        workflows::trigger,
    ),
)]
struct Api;

/// Routes that share a handler with the one that its annotation names.
const SHARED: [(&str, &str, &str, &str); 9] = {
    const GUIDE: &str = "/v1/users/{id}/guides/messages/{status}";
    const SLACK: &str = "/v1/providers/slack/{channel}/auth_check";
    const TEAMS: &str = "/v1/providers/ms-teams/{channel}/auth_check";
    const REVOKE: &str = "/v1/providers/slack/{channel}/revoke_access";
    const SYNC: &str = "/v1/integrations/census/custom-destination";
    [
        ("put", "/v1/users/{id}/guides/messages/{message}/{status}", "put", GUIDE),
        ("delete", "/v1/users/{id}/guides/messages/archived", "put", GUIDE),
        ("put", "/v1/users/{id}/guides/engagements/reset", "put", GUIDE),
        ("get", "/v1/providers/slack/{channel}/channels", "get", SLACK),
        ("get", "/v1/providers/ms-teams/{channel}/teams", "get", TEAMS),
        ("get", "/v1/providers/ms-teams/{channel}/channels", "get", TEAMS),
        ("get", REVOKE, "put", REVOKE),
        ("put", "/v1/providers/ms-teams/{channel}/revoke_access", "put", REVOKE),
        ("post", "/v1/integrations/hightouch/embedded-destination", "post", SYNC),
    ]
};

/// What asks for no key.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// `GET /v1/openapi` and `GET /v1/openapi.json`, which need no key: nothing in it is this server's own.
pub async fn json() -> HttpResponse {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());
    HttpResponse::Ok().content_type("application/json").body(DOCUMENT.as_str())
}

/// A page to read it, and what it loads.
#[derive(RustEmbed)]
#[folder = "templates/docs/"]
struct Files;

/// `GET /docs`.
pub async fn page() -> Result<HttpResponse, ApiError> {
    pages::serve::<Files>("/docs", "index.html")
}

/// `GET /docs/{file}`: what the page loads.
pub async fn file(name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    pages::serve::<Files>("/docs", &name)
}

/// The description of all operations, as OpenAPI 3.1 has it.
pub fn document() -> Value {
    let mut document = json!(Api::openapi());
    for (method, path, shared_method, shared_path) in SHARED {
        document["paths"][path][method] = document["paths"][shared_path][shared_method].clone();
    }
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            complete(path, method, operation);
        }
    }
    for (_, schema) in document["components"]["schemas"].as_object_mut().into_iter().flatten() {
        say_all(schema);
    }
    document["components"]["securitySchemes"]["key"] = json!({
        "type": "http",
        "scheme": "bearer",
        "description": "A secret key (sk_) for backends, or a public one (pk_) for what browsers need.",
    });
    document["security"] = json!([{"key": []}]);
    document
}

/// Adds what follows from the path: its names, its group, a name for the operation, and how it can fail.
fn complete(path: &str, method: &str, operation: &mut Value) {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let mut parameters: Vec<Value> = segments.iter().filter_map(|segment| path_parameter(segment)).collect();
    let named = !parameters.is_empty();
    let queried = operation["parameters"].is_array();
    parameters.extend(operation["parameters"].as_array().into_iter().flatten().cloned());
    operation["parameters"] = json!(parameters);
    let group = if path.starts_with("/v1/") { segments[1] } else { "operation" };
    operation["tags"] = json!([group]);
    let words: Vec<_> = segments.iter().map(|segment| segment.trim_matches(['{', '}']).replace('-', "_")).collect();
    operation["operationId"] = json!(format!("{method}_{}", words.join("_")));
    let mut failures = vec![503];
    if OPEN.contains(&path) {
        operation["security"] = json!([]);
    } else {
        failures.extend([401, 403]);
    }
    if operation["requestBody"].is_object() {
        failures.extend([400, 413, 422]);
    }
    if queried || named {
        failures.push(422);
    }
    if named {
        failures.push(404);
    }
    for status in failures {
        let answer = &mut operation["responses"][status.to_string()];
        if answer.is_null() {
            *answer = json!({"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}});
        }
    }
    for (status, answer) in operation["responses"].as_object_mut().into_iter().flatten() {
        let code = StatusCode::from_bytes(status.as_bytes()).ok();
        answer["description"] = json!(code.and_then(|code| code.canonical_reason()));
    }
}

/// The parameter that a segment of a path stands for.
fn path_parameter(segment: &str) -> Option<Value> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    let (description, values) = match name {
        "channel" => ("The channel's id.", Vec::new()),
        "set" => ("`default`, or a tenant's id.", Vec::new()),
        "section" => ("A section of the set.", SECTIONS.to_vec()),
        "collection" => ("The objects' collection.", Vec::new()),
        "key" => ("The key of the workflow, the audience or the setting.", Vec::new()),
        "status" => ("The mark.", Action::ALL.map(Action::as_str).to_vec()),
        "action" => ("What is done with them.", bulk::CHANGES.map(|(name, _)| name).to_vec()),
        _ => ("The id, percent-encoded.", Vec::new()),
    };
    let schema = match values.as_slice() {
        [] => json!({"$ref": "#/components/schemas/Id"}),
        values => json!({"type": "string", "enum": values}),
    };
    Some(json!({"name": name, "in": "path", "required": true, "description": description, "schema": schema}))
}

/// What the server tells of a thing it tells whole: `null`, not absent.
fn say_all(schema: &mut Value) {
    if let Some(properties) = schema["properties"].as_object().filter(|fields| fields.contains_key("__typename")) {
        schema["required"] = properties.keys().cloned().collect();
    }
}
