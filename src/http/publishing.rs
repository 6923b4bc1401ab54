//! Workflows, for whoever operates the server: the directory is read again, one workflow is switched off or on.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::State;
use super::auth::require_secret;
use super::error::ApiError;
use super::wire::operator;
use crate::engine::publishing::{self, Publication, PublishError};
use crate::model::query::Query;
use crate::model::trigger::{FieldError, check_workflow_key};

/// Publish the directories of workflows, layouts, partials and translations again.
///
/// All that is valid becomes current at once, for triggers from now on; what is faulty, or names a layout or partial that
/// is, stays as it was. Runs go on with the version with which they began, its layouts and partials included;
/// translations count for all runs at once, unless one is faulty.
#[utoipa::path(
    post, path = "/admin/workflows/reload",
    responses((status = 200, body = operator::Publication)),
)]

pub async fn reload(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let publication = publishing::reload(&state.intake.engine).await.map_err(|error| match error {
        PublishError::Store(error) => error.into(),
        PublishError::Panicked(_) => ApiError::unavailable(error.to_string()),
    })?;
    Ok(HttpResponse::Ok().json(publication_json(&publication)))
}

fn publication_json(publication: &Publication) -> Value {
    let published = publication.published.iter().map(|(key, version)| json!({"key": key, "version": version}));
    let faults = publication
        .faults
        .iter()
        .map(|fault| json!({"file": fault.file, "path": fault.path, "problem": fault.problem, "fix": fault.fix}));
    json!({
        "published": published.collect::<Vec<_>>(),
        "unchanged": publication.unchanged,
        "removed": publication.removed,
        "faults": faults.collect::<Vec<_>>(),
    })
}

/// Switch a workflow on or off.
///
/// One that is off takes no triggers, and its runs end with their next step. This counts from now on, whatever
/// `active` says in the workflow's file.
#[utoipa::path(
    put, path = "/v1/workflows/{key}/activate",
    params(operator::Activation),
    responses((status = 200, body = operator::SwitchedWorkflow)),
)]

pub async fn activate(
    state: web::Data<State>,
    request: HttpRequest,
    key: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    check_workflow_key(&key).map_err(|message| ApiError::missing("workflow_missing", message))?;
    let active = match Query::new(&query).text("status") {
        Some("true") => true,
        Some("false") => false,
        _ => return Err(ApiError::invalid(vec![FieldError::new("status", "is required: `true` or `false`")])),
    };
    let engine = &state.intake.engine;
    let Some(published) = engine.catalog.current(&key) else {
        let message = format!("no workflow has the key `{}`", *key);
        return Err(ApiError::missing("workflow_missing", message));
    };
    engine.catalog.switch(&engine.store, &key, active).await?;
    tracing::info!(workflow = *key, active, "switched");
    let mut workflow = published.workflow.source.clone();
    workflow["key"] = json!(*key);
    workflow["active"] = json!(active);
    workflow["valid"] = json!(true);
    workflow["sha"] = json!(published.version);
    Ok(HttpResponse::Ok().json(json!({ "workflow": workflow })))
}
