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

/// A body that is too large is counted up to this many times the limit, and not kept: its sender is told how large it is.
const COUNTED: usize = 4;

async fn read(mut payload: Payload, max_bytes: usize) -> Result<Vec<u8>, ApiError> {
    let (mut bytes, mut sent) = (Vec::new(), 0);
    while let Some(chunk) = payload.next().await
        && sent <= COUNTED * max_bytes
    {
        let chunk = chunk.map_err(|error| ApiError::bad_request(format!("the body could not be read: {error}")))?;
        sent += chunk.len();
        if sent > max_bytes {
            bytes = Vec::new();
        } else {
            bytes.extend_from_slice(&chunk);
        }
    }
    if sent <= max_bytes {
        return Ok(bytes);
    }
    let least = if sent > COUNTED * max_bytes { "at least " } else { "" };
    let message = format!("the body has {least}{sent} bytes; http.max_body_bytes allows at most {max_bytes}");
    Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message))
}
