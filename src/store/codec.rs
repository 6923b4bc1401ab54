//! Values on disk: a version byte, then MessagePack with named fields, so that fields can be added and an old binary
//! can say that a value is too new instead of misreading it.

use serde::{Deserialize, Serialize};

use super::StoreError;

const VERSION: u8 = 1;
/// Most records but triggers and messages fit.
const SMALL: usize = 256;

/// The stored form of `value`.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    encode_sized(value, 0)
}

/// The stored form of `value`, which takes about `bytes` more than a small one.
pub fn encode_sized<T: Serialize>(value: &T, bytes: usize) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::with_capacity(SMALL + bytes);
    bytes.push(VERSION);
    rmp_serde::encode::write_named(&mut bytes, value).map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(bytes)
}

/// The value of the stored form `bytes`.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, StoreError> {
    match bytes.split_first() {
        Some((&VERSION, body)) => {
            rmp_serde::from_slice(body).map_err(|error| StoreError::Failed(format!("a record cannot be read: {error}")))
        }
        Some((version, _)) => Err(StoreError::Failed(format!(
            "a record has format {version}, this version of Belfry reads {VERSION}: it was written by a newer one"
        ))),
        None => Err(StoreError::Failed("a record is empty".into())),
    }
}
