//! Runs as Knock's API has them, and why each did what it did.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::State;
use super::auth::require_secret;
use super::error::{ApiError, require_valid};
use super::feeds::blocking;
use super::run_json::{summary_json, trace_json};
use super::wire::{page, run};
use crate::base::ids::RunId;
use crate::engine::trace::{self, Trace};
use crate::model::page::{PageRequest, cursor};
use crate::model::query::Query;
use crate::model::run_filter::RunFilter;
use crate::store::StoreError;

/// List runs.
///
/// Newest first. A page may have fewer entries than asked for, and is the last one when it has no `after`.
#[utoipa::path(
    get, path = "/v1/workflow_recipient_runs",
    params(page::Paging, run::RunListFilter),
    responses((status = 200, body = page::Items<run::Run>)),
)]
pub async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let (query, mut errors) = (Query::new(&query), Vec::new());
    let filter = RunFilter::from_query(query, &mut errors);
    let asked = PageRequest::from_query(query, &mut errors);
    require_valid(errors)?;
    let answer = blocking(&state, move |state| {
        let page = trace::page(&state.intake.engine.store.read()?, &filter, &asked)?;
        page.to_json_named("items", &asked, |summary| {
            let mut row = summary_json(summary);
            row["__cursor"] = json!(cursor(summary.run.run().id.as_bytes()));
            Ok::<_, StoreError>(row)
        })
    });
    Ok(HttpResponse::Ok().json(answer.await?))
}

/// Get a run.
///
/// With what happened to it, and why: Knock's form, and our trace in further fields.
#[utoipa::path(
    get, path = "/v1/workflow_recipient_runs/{id}",
    responses((status = 200, body = run::RunDetail)),
)]
pub async fn get(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let id: Option<RunId> = id.parse().ok();
    let found = blocking(&state, move |state| {
        let reader = state.intake.engine.store.read()?;
        Ok::<_, StoreError>(id.map(|id| Trace::load(&reader, id)).transpose()?.flatten())
    });
    let trace = found.await?.ok_or_else(|| {
        let message = "no run for a recipient has this id, or none any more; GET /v1/workflow_recipient_runs lists them, \
                       those of one trigger with workflow_run_id=..";
        ApiError::missing("resource_missing", message)
    })?;
    Ok(HttpResponse::Ok().json(trace_json(&trace)))
}
