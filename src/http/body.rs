//! Request bodies: bounded, and JSON with errors that say where.

use actix_web::http::StatusCode;
use actix_web::web::Payload;
use futures_util::StreamExt;
use serde_json::Value;

use super::error::ApiError;

/// A JSON body and its size. A missing body is an empty object: many calls need none.
pub async fn json(payload: Payload, max_bytes: usize) -> Result<(Value, usize), ApiError> {
    let bytes = read(payload, max_bytes).await?;
    if bytes.is_empty() {
        return Ok((Value::Object(serde_json::Map::new()), 0));
    }
    let value = serde_json::from_slice(&bytes)
        .map_err(|error| ApiError::bad_request(format!("the body is not valid JSON: {error}")))?;
    Ok((value, bytes.len()))
}

async fn read(mut payload: Payload, max_bytes: usize) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| ApiError::bad_request(format!("the body could not be read: {error}")))?;
        if bytes.len() + chunk.len() > max_bytes {
            return Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                format!("the body is larger than {max_bytes} bytes, which http.max_body_bytes allows"),
            ));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
