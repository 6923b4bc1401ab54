//! Runs, for whoever operates the server: what waits for what until when.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::State;
use super::auth::require_secret;
use super::error::ApiError;
use super::feeds::blocking;
use super::wire::{operator, page};
use crate::base::clock::Timestamp;
use crate::base::ids::RunId;
use crate::engine::pending::{self, Filter, Page, PendingRun};
use crate::model::page::page_size;
use crate::model::query::Query;
use crate::model::recipient::RecipientRef;
use crate::model::trigger::FieldError;

/// List pending runs.
///
/// Runs that have not ended, oldest first. A page may have fewer entries than asked for, and is the last one when it
/// has no `after`.
#[utoipa::path(
    get, path = "/admin/runs",
    params(page::Paging, operator::RunFilter),
    responses((status = 200, body = page::Entries<operator::PendingRun>)),
)]
pub async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let (filter, after, size) = read(Query::new(&query)).map_err(ApiError::invalid)?;
    let answer = blocking(&state, move |state| {
        let page = pending::page(&state.intake.engine.store.read()?, &filter, after, size)?;
        Ok::<_, ApiError>(page_json(&page, size, state.now()))
    });
    Ok(HttpResponse::Ok().json(answer.await?))
}

fn read(query: Query<'_>) -> Result<(Filter, Option<RunId>, usize), Vec<FieldError>> {
    let mut errors = Vec::new();
    let after = query.text("after").and_then(|text| {
        let message = || format!("`{text}` is not a cursor; use `page_info.after`");
        text.parse().map_err(|_| errors.push(FieldError::new("after", message()))).ok()
    });
    let size = page_size(query, &mut errors);
    let filter = Filter {
        workflow: query.text("workflow").map(str::to_owned),
        recipient: query.text("recipient").map(RecipientRef::from_text),
        tenant: query.text("tenant").map(str::to_owned),
    };
    if errors.is_empty() { Ok((filter, after, size)) } else { Err(errors) }
}

/// A page on the wire, as of `now`.
pub fn page_json(page: &Page, size: usize, now: Timestamp) -> Value {
    json!({
        "entries": page.runs.iter().map(|run| run_json(run, now)).collect::<Vec<_>>(),
        "page_info": {"__typename": "PageInfo", "after": page.after, "before": null, "page_size": size},
    })
}

fn run_json(pending: &PendingRun, now: Timestamp) -> Value {
    let run = &pending.run;
    let due = run.phase.due();
    json!({
        "id": run.id,
        "workflow_run_id": run.trigger,
        "workflow": pending.workflow,
        "recipient": run.recipient.to_json(),
        "tenant": pending.tenant,
        "cancellation_key": pending.cancellation_key,
        "waits_at": pending.waits_at,
        "waits_for": pending.waits_for,
        "next_step": pending.next,
        "due_at": due,
        // Below zero: overdue.
        "seconds_left": due.map(|due| (due.as_micros() - now.as_micros()).div_euclid(1_000_000)),
        "inserted_at": pending.inserted_at,
    })
}
