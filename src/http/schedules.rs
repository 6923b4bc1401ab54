//! Schedules: workflows that are triggered later, and again and again.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::Value;

use super::State;
use super::auth::require_secret;
use super::body;
use super::bulk;
use super::error::{ApiError, require_valid};
use super::feeds::blocking;
use super::whose::Whose;
use super::wire::{self, BulkOperation, page, schedule};
use crate::base::ids::ScheduleId;
use crate::base::mail::tell;
use crate::engine::scheduler::LookAgain;
use crate::engine::trigger::TriggerError;
use crate::model::page::{Page, PageRequest};
use crate::model::profile::Profile;
use crate::model::query::Query;
use crate::model::recipient::RecipientRef;
use crate::model::schedule::Schedule;
use crate::model::schedule_request::{CreateRequest, NewSchedule, UpdateRequest, schedule_ids};
use crate::model::trigger::{FieldError, check_workflow_key};
use crate::store::op::{ChangeSchedules, Identify, ScheduleChange};
use crate::store::{Reader, StoreError};

/// Create schedules.
///
/// One schedule for each recipient.
#[utoipa::path(
    post, path = "/v1/schedules",
    request_body = schedule::CreateSchedulesRequest,
    responses((status = 200, body = Vec<schedule::Schedule>), (status = 404, body = wire::Error)),
)]
pub async fn create(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let (body, bytes) = body::json(payload, state.max_body_bytes).await?;
    let CreateRequest { schedules, people } = CreateRequest::from_json(&body).map_err(ApiError::invalid)?;
    if let Some(unknown) = schedules.iter().find(|schedule| !is_published(&state, schedule)) {
        let (key, keys) = (unknown.workflow.clone(), state.intake.engine.catalog.keys());
        return Err(TriggerError::UnknownWorkflow { key, keys }.into());
    }
    let made = ScheduleChange::Make(numbered(&state, schedules));
    change(&state, made, people, bytes).await
}

/// Create many schedules.
///
/// Each of its own workflow.
#[utoipa::path(
    post, path = "/v1/schedules/bulk/create",
    request_body = schedule::BulkCreateSchedulesRequest,
    responses((status = 200, body = BulkOperation)),
)]
pub async fn bulk_create(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let started_at = state.now();
    let (body, bytes) = body::json(payload, state.max_body_bytes).await?;
    let (read, mut errors) = (CreateRequest::from_bulk_json(&body), unknown_workflows(&state, &body));
    let CreateRequest { schedules, people } = read.unwrap_or_else(|faults| {
        errors.extend(faults);
        CreateRequest::default()
    });
    require_valid(errors)?;
    let store = &state.intake.engine.store;
    if !people.is_empty() {
        store.identify(Identify { people, at: started_at, bytes }).await?;
    }
    let rows = schedules.len() as u64;
    store.make_schedules(numbered(&state, schedules), started_at, &state.intake.engine.zone).await?;
    tell(&state.scheduler, LookAgain);
    bulk::complete(&state, &request, "schedules.create", rows, started_at).await
}

/// Update schedules.
///
/// What is said is changed in all of them.
#[utoipa::path(
    put, path = "/v1/schedules",
    request_body = schedule::UpdateSchedulesRequest,
    responses((status = 200, body = Vec<schedule::Schedule>)),
)]
pub async fn update(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let (body, bytes) = body::json(payload, state.max_body_bytes).await?;
    let UpdateRequest { ids, change: plan, people } = UpdateRequest::from_json(&body).map_err(ApiError::invalid)?;
    let updated = ScheduleChange::Update(ids, plan);
    change(&state, updated, people, bytes).await
}

/// Delete schedules.
///
/// Answers what was deleted.
#[utoipa::path(
    delete, path = "/v1/schedules",
    request_body = schedule::DeleteSchedulesRequest,
    responses((status = 200, body = Vec<schedule::Schedule>)),
)]
pub async fn delete(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let (body, bytes) = body::json(payload, state.max_body_bytes).await?;
    let mut errors = Vec::new();
    let ids = schedule_ids(&body, &mut errors);
    require_valid(errors)?;
    let deleted = ScheduleChange::Delete(ids);
    change(&state, deleted, Vec::new(), bytes).await
}

fn is_published(state: &State, schedule: &NewSchedule) -> bool {
    state.intake.engine.catalog.current(&schedule.workflow).is_some()
}

/// The entries of a bulk call whose workflow is not there, also where others are wrong in another way.
fn unknown_workflows(state: &State, body: &Value) -> Vec<FieldError> {
    let entries = body.get("schedules").and_then(Value::as_array).into_iter().flatten().enumerate();
    let keys = entries.filter_map(|(index, entry)| Some((index, entry.get("workflow")?.as_str()?)));
    keys.filter(|(_, key)| check_workflow_key(key).is_ok() && state.intake.engine.catalog.current(key).is_none())
        .map(|(index, key)| {
            let message = format!("is `{key}`, which no workflow has for its key");
            FieldError::new(format!("schedules[{index}].workflow"), message)
        })
        .collect()
}

fn numbered(state: &State, schedules: Vec<NewSchedule>) -> Vec<(ScheduleId, NewSchedule)> {
    let (ids, now) = (&state.intake.engine.deps.ids, state.now());
    schedules.into_iter().map(|schedule| (ScheduleId(ids.next(now)), schedule)).collect()
}

async fn change(
    state: &web::Data<State>,
    change: ScheduleChange,
    people: Vec<(RecipientRef, Profile)>,
    bytes: usize,
) -> Result<HttpResponse, ApiError> {
    let zone = state.intake.engine.zone.clone();
    let change = ChangeSchedules { change, people, at: state.now(), zone, bytes };
    let changed = state.intake.engine.store.change_schedules(change).await?;
    tell(&state.scheduler, LookAgain);
    let answer = blocking(state, move |state| {
        let reader = state.intake.engine.store.read()?;
        changed.iter().map(|schedule| schedule_json(&reader, schedule)).collect::<Result<Vec<_>, StoreError>>()
    });
    Ok(HttpResponse::Ok().json(answer.await?))
}

fn schedule_json(reader: &Reader, schedule: &Schedule) -> Result<Value, StoreError> {
    let person = |reference| reader.known_or_stub(reference, schedule.inserted_at);
    let actor = schedule.plan.actor.as_ref().map(person).transpose()?;
    Ok(schedule.to_json(&person(&schedule.recipient)?, actor.as_ref()))
}

/// List a workflow's schedules.
///
/// Newest first, also of some recipients alone.
#[utoipa::path(
    get, path = "/v1/schedules",
    params(page::Paging, schedule::ScheduleFilter),
    responses((status = 200, body = page::Entries<schedule::Schedule>)),
)]
pub async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let (asked, filter) = read(Query::new(&query), true)?;
    answer(&state, asked, move |reader, asked| {
        let covers = |schedule: &Schedule| filter.covers(schedule);
        match filter.recipients.as_slice() {
            [] => reader.schedules_by(filter.workflow.as_deref().unwrap_or_default(), asked, covers),
            recipients => reader.schedules_among(recipients, asked, covers),
        }
    })
    .await
}

/// List a recipient's schedules.
#[utoipa::path(
    get, path = "/schedules",
    params(page::Paging, schedule::OwnScheduleFilter),
    responses((status = 200, body = page::Entries<schedule::Schedule>)),
)]
pub async fn list_of(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let recipient = whose.recipient()?;
    let (asked, filter) = read(Query::new(&query), false)?;
    answer(&state, asked, move |reader, asked| {
        reader.schedules_of(&recipient, asked, |schedule| filter.covers(schedule))
    })
    .await
}

async fn answer(
    state: &web::Data<State>,
    asked: PageRequest,
    page: impl FnOnce(&Reader, &PageRequest) -> Result<Page<Schedule>, StoreError> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let answer = blocking(state, move |state| {
        let reader = state.intake.engine.store.read()?;
        page(&reader, &asked)?.to_json(&asked, |schedule| schedule_json(&reader, schedule))
    });
    Ok(HttpResponse::Ok().json(answer.await?))
}

/// Which schedules; `None` and an empty list ask for all.
struct Filter {
    workflow: Option<String>,
    tenant: Option<String>,
    recipients: Vec<RecipientRef>,
}

impl Filter {
    fn covers(&self, schedule: &Schedule) -> bool {
        self.workflow.as_ref().is_none_or(|workflow| schedule.workflow == *workflow)
            && self.tenant.as_ref().is_none_or(|tenant| schedule.plan.tenant.as_ref() == Some(tenant))
            && (self.recipients.is_empty() || self.recipients.contains(&schedule.recipient))
    }
}

fn read(query: Query<'_>, of_workflow: bool) -> Result<(PageRequest, Filter), ApiError> {
    let mut errors = Vec::new();
    let asked = PageRequest::from_query(query, &mut errors);
    let text = |name| query.text(name).map(str::to_owned);
    let mut recipients = Vec::new();
    for (index, value) in query.objects("recipients").iter().enumerate() {
        match RecipientRef::from_json(value) {
            Ok(recipient) => recipients.push(recipient),
            Err(message) => errors.push(FieldError::new(format!("recipients[{index}]"), message)),
        }
    }
    let filter = Filter { workflow: text("workflow"), tenant: text("tenant"), recipients };
    if of_workflow && filter.workflow.is_none() {
        errors.push(FieldError::new("workflow", "is required: the key of the workflow whose schedules are listed"));
    }
    require_valid(errors)?;
    Ok((asked, filter))
}
