//! Idempotency keys of triggers (`knock-api.md` section 1.9).

use actix_web::HttpRequest;
use serde_json::Value;

use super::access_log::request_id;
use super::error::ApiError;
use crate::store::op::Idempotency;

/// The longest key, in characters.
const MAX_KEY: usize = 255;

/// What `request` says of being the same as an earlier one; `None` without an `Idempotency-Key`. Headers are not part
/// of the request: a retry may carry others.
pub fn of(request: &HttpRequest, body: &Value) -> Result<Option<Idempotency>, ApiError> {
    let Some(header) = request.headers().get("idempotency-key") else { return Ok(None) };
    let key = header.to_str().map_err(|_| ApiError::bad_request("the Idempotency-Key must be visible ASCII"))?;
    if key.is_empty() {
        return Ok(None);
    }
    if key.chars().count() > MAX_KEY {
        let message = format!("the Idempotency-Key has {} characters; at most {MAX_KEY} are allowed", key.len());
        return Err(ApiError::bad_request(message));
    }
    // Objects keep their keys sorted, so equal bodies have equal text however they were written.
    let fingerprint = digest(&[request.method().as_str(), request.path(), request.query_string(), &body.to_string()]);
    Ok(Some(Idempotency {
        key: digest(&[request.method().as_str(), request.path(), key]),
        fingerprint,
        request_id: request_id(request),
    }))
}

/// A hash of several texts that no other texts share: each is preceded by its length.
fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("belfry idempotency v1");
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    *hasher.finalize().as_bytes()
}
