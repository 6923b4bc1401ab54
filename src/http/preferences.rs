//! Preference sets of users and objects.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

use super::State;
use super::auth::{Right, authenticate, require_secret};
use super::body;
use super::error::{ApiError, require_valid};
use super::recipients;
use super::whose::Whose;
use super::wire::{BulkOperation, preference};
use crate::engine::cast::Cast;
use crate::model::access::Access;
use crate::model::entries::{MAX_BULK, ids};
use crate::model::preferences::{DEFAULT_SET, Persistence, PreferenceWrite, SECTIONS};
use crate::model::profile::Profile;
use crate::model::query::Query;
use crate::model::recipient::{Recipient, RecipientRef, check_id};
use crate::model::trigger::{FieldError, NamedRecipient};
use crate::store::{Reader, StoreError};

/// List preference sets.
///
/// Every set that is stored, and the default one.
#[utoipa::path(get, path = "/preferences", responses((status = 200, body = Vec<preference::PreferenceSet>)))]
pub async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
) -> Result<HttpResponse, ApiError> {
    let (recipient, access) = permit(&request, &state, &whose, Right::PreferencesRead)?;
    let reader = state.intake.engine.store.read()?;
    let sets = all(&state, &reader, &recipient)?;
    let sets = sets.into_iter().filter(|(id, _)| access.covers(tenant_of(id)));
    Ok(HttpResponse::Ok().json(sets.map(|(_, set)| set).collect::<Vec<_>>()))
}

/// Get a preference set as it takes effect.
///
/// With what the tenant and the environment say. One that nobody set is theirs alone.
#[utoipa::path(
    get, path = "/preferences/{set}",
    params(preference::TenantView),
    responses((status = 200, body = preference::PreferenceSet)),
)]
pub async fn get(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    let (recipient, access) = permit(&request, &state, &whose, Right::PreferencesRead)?;
    let id = set_id(&whose)?;
    let tenant = tenant_of(id).or_else(|| Query::new(&query).text("tenant"));
    require_tenant(&access, tenant)?;
    let reader = state.intake.engine.store.read()?;
    Ok(HttpResponse::Ok().json(effective(&state, &reader, &recipient, tenant, id)?))
}

/// Set a preference set.
///
/// Replaces the set, unless it says that it merges.
#[utoipa::path(
    put, path = "/preferences/{set}",
    request_body = preference::PreferenceSetRequest,
    responses((status = 200, body = preference::PreferenceSet)),
)]
pub async fn put(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    write(&state, &request, &whose, payload, |body, errors| {
        PreferenceWrite::from_json("", body, Persistence::Replace, errors)
    })
    .await
}

/// Replace a section of a preference set.
#[utoipa::path(
    put, path = "/preferences/{set}/{section}",
    request_body = preference::SectionRequest,
    responses((status = 200, body = preference::PreferenceSet)),
)]
pub async fn put_section(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let section = section(&whose)?;
    write(&state, &request, &whose, payload, |body, errors| PreferenceWrite::section(section, body, errors)).await
}

/// Replace one setting of a preference set.
#[utoipa::path(
    put, path = "/preferences/{set}/{section}/{key}",
    request_body = preference::SettingRequest,
    responses((status = 200, body = preference::PreferenceSet)),
)]
pub async fn put_setting(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let section = section(&whose)?;
    write(&state, &request, &whose, payload, |body, errors| PreferenceWrite::setting(section, &whose.key, body, errors))
        .await
}

/// Unset a preference set.
#[utoipa::path(delete, path = "/preferences/{set}", responses((status = 204)))]
pub async fn unset(
    state: web::Data<State>,
    request: HttpRequest,
    whose: web::Path<Whose>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let (recipient, id) = (whose.recipient()?, set_id(&whose)?);
    // Nobody is made by what takes away.
    if state.intake.engine.store.read()?.preference_set(&recipient, id)?.is_some() {
        recipients::store(&state, recipient, Profile::preference(id, PreferenceWrite::Unset), 0).await?;
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Replace a preference set of many users.
#[utoipa::path(
    post, path = "/v1/users/bulk/preferences",
    request_body = preference::BulkPreferencesRequest,
    responses((status = 200, body = BulkOperation)),
)]
pub async fn bulk_set(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let (body, bytes) = body::json(payload, state.max_body_bytes).await?;
    let mut errors = Vec::new();
    let users = ids(&body, "user_ids", MAX_BULK, &mut errors);
    let set = body.get("preferences").unwrap_or(&Value::Null);
    let write = PreferenceWrite::from_json("preferences", set, Persistence::Replace, &mut errors);
    let id = match set.get("id") {
        None | Some(Value::Null) => DEFAULT_SET,
        Some(id) => id.as_str().unwrap_or_default(),
    };
    if let Err(message) = check_id("the id of a preference set", id) {
        errors.push(FieldError::new("preferences.id", message));
    }
    let users = users.into_iter().map(|user| NamedRecipient {
        reference: RecipientRef::user(user),
        inline: Some(Profile::preference(id, write.clone())),
        data: None,
    });
    // Each user gets what the request says once.
    let bytes = bytes.saturating_mul(users.len());
    recipients::identify_all(&state, &request, "users.set_preferences", users.collect(), errors, bytes).await
}

async fn write(
    state: &State,
    request: &HttpRequest,
    whose: &Whose,
    payload: web::Payload,
    read: impl FnOnce(&Value, &mut Vec<FieldError>) -> PreferenceWrite,
) -> Result<HttpResponse, ApiError> {
    let (recipient, access) = permit(request, state, whose, Right::PreferencesWrite)?;
    let id = set_id(whose)?;
    require_tenant(&access, tenant_of(id))?;
    let (body, bytes) = body::json(payload, state.max_body_bytes).await?;
    let mut errors = Vec::new();
    let write = read(&body, &mut errors);
    require_valid(errors)?;
    recipients::store(state, recipient.clone(), Profile::preference(id, write), bytes).await?;
    let reader = state.intake.engine.store.read()?;
    Ok(HttpResponse::Ok().json(effective(state, &reader, &recipient, tenant_of(id), id)?))
}

/// All sets of a recipient as they take effect, by their ids.
fn all(state: &State, reader: &Reader, recipient: &RecipientRef) -> Result<Vec<(String, Value)>, StoreError> {
    let mut ids = reader.preference_ids(recipient)?;
    ids.retain(|id| id != DEFAULT_SET);
    ids.insert(0, DEFAULT_SET.to_owned());
    ids.into_iter()
        .map(|id| {
            let set = effective(state, reader, recipient, tenant_of(&id), &id)?;
            Ok((id, set))
        })
        .collect()
}

/// All sets of a recipient in one object, as lists include them.
pub fn included(state: &State, reader: &Reader, recipient: &RecipientRef) -> Result<Value, StoreError> {
    Ok(Value::Object(all(state, reader, recipient)?.into_iter().collect::<Map<_, _>>()))
}

/// The set `id` of `recipient`, as it takes effect for `tenant`.
fn effective(
    state: &State,
    reader: &Reader,
    recipient: &RecipientRef,
    tenant: Option<&str>,
    id: &str,
) -> Result<Value, StoreError> {
    let cast = Cast { reader, said: &[], now: state.now() };
    let tenant = tenant.map(|tenant| cast.recipient(&RecipientRef::tenant(tenant))).transpose()?;
    let preferences = cast.preferences(recipient, tenant.as_ref(), &state.intake.engine.preferences)?;
    Ok(preferences.merged().to_json(id))
}

/// The tenant that a set is for.
pub fn tenant_of(id: &str) -> Option<&str> {
    (id != DEFAULT_SET).then_some(id)
}

fn permit(
    request: &HttpRequest,
    state: &State,
    whose: &Whose,
    right: Right,
) -> Result<(RecipientRef, Access), ApiError> {
    let recipient = whose.recipient()?;
    if recipient.is_user() {
        let access = authenticate(request, state)?.require(&recipient.id, right, state)?;
        return Ok((recipient, access));
    }
    require_secret(request, state)?;
    Ok((recipient, Access::Everything))
}

/// An error unless `access` reaches the sets of `tenant`, or those for no tenant.
pub fn require_tenant(access: &Access, tenant: Option<&str>) -> Result<(), ApiError> {
    if access.covers(tenant) {
        return Ok(());
    }
    Err(super::auth::forbidden("authorization", "the user token's grants do not reach the preferences of this tenant"))
}

fn set_id(whose: &Whose) -> Result<&str, ApiError> {
    let checked = check_id("the id of a preference set", &whose.set);
    checked.map_err(|message| ApiError::invalid(vec![FieldError::new("preference_set", message)]))?;
    Ok(&whose.set)
}

fn section(whose: &Whose) -> Result<&'static str, ApiError> {
    SECTIONS.into_iter().find(|known| *known == whose.section).ok_or_else(|| {
        let message = format!("a preference set has no `{}`; it has {}", whose.section, SECTIONS.join(", "));
        ApiError::missing("resource_missing", message)
    })
}

/// What a list is asked to show beside its entries.
pub fn wants_preferences(query: &[(String, String)]) -> bool {
    Query::new(query).list("include").any(|name| name == "preferences")
}

/// An entry of a list with its preferences, if they are asked for.
pub fn with_preferences(
    state: &State,
    reader: &Reader,
    recipient: &Recipient,
    wanted: bool,
) -> Result<Value, StoreError> {
    let mut entry = recipient.to_json();
    if wanted {
        entry["preferences"] = json!(included(state, reader, &recipient.reference)?);
    }
    Ok(entry)
}
