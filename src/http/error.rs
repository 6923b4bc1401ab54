//! Errors as Knock's SDKs read them (`knock-api.md` sections 1.6 and 1.7).

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde_json::json;

use crate::engine::explain::ExplainError;
use crate::engine::scene::SceneError;
use crate::engine::trigger::TriggerError;
use crate::feed::bulk::BulkError;
use crate::model::trigger::FieldError;
use crate::store::{Refused, StoreError};

/// Seconds after which an overloaded server is worth another try.
const RETRY_AFTER_SECONDS: &str = "1";

/// An error answer: a status, a code for programs, a sentence with the way out for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    pub errors: Vec<FieldError>,
}

impl ApiError {
    /// An error without fields.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), errors: Vec::new() }
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// 401.
    pub fn unauthorized(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, message)
    }

    /// 404.
    pub fn missing(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// 422, naming what is wrong with each field.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let message = match errors.as_slice() {
            [one] if one.field.is_empty() => one.message.clone(),
            [one] => format!("`{}` {}", one.field, one.message),
            several => format!("{} fields are wrong; see `errors`", several.len()),
        };
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, code: "invalid_params", message, errors }
    }

    /// 503 with Retry-After: nothing was taken, and the same request may be sent again.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
    }

    fn kind(&self) -> &'static str {
        match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "authentication_error",
            status if status.is_server_error() => "api_error",
            _ => "invalid_request_error",
        }
    }
}

/// 422 unless nothing is wrong.
pub fn require_valid(errors: Vec<FieldError>) -> Result<(), ApiError> {
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(errors)) }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.code, self.message)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut body = json!({
            "code": self.code,
            "message": self.message,
            "status": self.status.as_u16(),
            "type": self.kind(),
            // Always an array: the oldest SDK walks it unasked.
            "errors": self.errors,
        });
        if self.code == IDEMPOTENCY_MISMATCH {
            body["error"] = json!(self.message);
        }
        let mut response = HttpResponse::build(self.status);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        response.json(body)
    }
}

/// The code of an idempotency key that came with two requests.
pub const IDEMPOTENCY_MISMATCH: &str = "idempotency_key_reused";

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(Refused::IdempotencyMismatch) => Self::new(
                StatusCode::BAD_REQUEST,
                IDEMPOTENCY_MISMATCH,
                "this Idempotency-Key came with another request within the last 24 hours; use a new key",
            ),
            StoreError::Overloaded | StoreError::Closed => Self::unavailable(error.to_string()),
            StoreError::Failed(why) => {
                tracing::error!(error = why, "a request failed in the store");
                Self::unavailable("the server's storage has failed; nothing is acknowledged until it runs again")
            }
            StoreError::Damaged { .. } => {
                tracing::error!(%error, "a request needs what is damaged; `belfry doctor` reads the whole data file");
                let message = "what is stored for this is damaged; the server's log says where";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error", message)
            }
            StoreError::Refused(refused @ Refused::TooLarge(_)) => {
                Self::invalid(vec![FieldError::new("", refused.to_string())])
            }
            StoreError::Refused(Refused::Unknown) => {
                Self::missing("resource_missing", "one of the two users was deleted meanwhile")
            }
            StoreError::Refused(refused) => {
                tracing::error!(error = %refused, "a request was refused by the store");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error", refused.to_string())
            }
        }
    }
}

impl From<BulkError> for ApiError {
    fn from(error: BulkError) -> Self {
        match error {
            BulkError::TooMany => Self::invalid(vec![FieldError::new("", error.to_string())]),
            BulkError::Store(error) => error.into(),
        }
    }
}

impl From<TriggerError> for ApiError {
    fn from(error: TriggerError) -> Self {
        match error {
            TriggerError::UnknownWorkflow { .. } => Self::missing("workflow_missing", error.to_string()),
            TriggerError::UnknownActor(_) => {
                Self { code: "actor_missing", ..Self::invalid(vec![FieldError::new("actor", error.to_string())]) }
            }
            TriggerError::Inactive(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "workflow_inactive", error.to_string())
            }
            TriggerError::InvalidData(faults) => Self::invalid(faults),
            TriggerError::Store(error) => error.into(),
        }
    }
}

impl From<ExplainError> for ApiError {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::Trigger(error) => error.into(),
            ExplainError::Store(error) | ExplainError::Scene(SceneError::Store(error)) => error.into(),
            ExplainError::Scene(error) => Self::invalid(vec![FieldError::new("", error.to_string())]),
        }
    }
}

/// What no route takes.
pub async fn no_route(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let message = format!("there is no {} {}; the API's paths begin with /v1/", request.method(), request.path());
    Err(ApiError::missing("resource_missing", message))
}
