//! Users.

use actix_web::{HttpRequest, HttpResponse, web};

use super::State;
use super::auth::{Right, authenticate};
use super::body;
use super::error::ApiError;
use crate::model::recipient::{RecipientRef, check_id, kind};
use crate::model::trigger::{FieldError, check_properties};
use crate::store::op::Identify;

/// `GET /v1/users/{id}`.
pub async fn get(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    authenticate(&request, &state)?.require(&id, Right::UserRead, &state)?;
    let user = state.intake.engine.store.read()?.recipient(&RecipientRef::user(id.as_str()))?;
    let user = user.ok_or_else(|| {
        ApiError::missing("resource_missing", format!("no user has the id `{id}`; PUT to this path identifies one"))
    })?;
    Ok(HttpResponse::Ok().json(user.to_json()))
}

/// `PUT /v1/users/{id}`: creates the user, or merges the properties in.
pub async fn identify(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    authenticate(&request, &state)?.require(&id, Right::UserWrite, &state)?;
    let (body, _) = body::json(payload, state.max_body_bytes).await?;
    check_id("a user id", &id).map_err(|message| ApiError::invalid(vec![FieldError::new("id", message)]))?;
    let serde_json::Value::Object(properties) = body else {
        let message = format!("the body must be a JSON object of properties, not {}", kind(&body));
        return Err(ApiError::invalid(vec![FieldError::new("", message)]));
    };
    let mut errors = Vec::new();
    check_properties("", &properties, &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    let engine = &state.intake.engine;
    let at = state.now();
    let identify = Identify { recipient: RecipientRef::user(id.into_inner()), properties, at };
    Ok(HttpResponse::Ok().json(engine.store.identify(identify).await?.to_json()))
}
