//! Values on disk: a version byte, then MessagePack with named fields, so that fields can be added and an old binary
//! can say that a value is too new instead of misreading it. As a record of a table a value is sealed: before it stands
//! a checksum of the table, its key and itself, so that damage is told of and never read as something else.

use serde::{Deserialize, Serialize};

use super::StoreError;

const VERSION: u8 = 1;
/// Begins a sealed value. Files of before there were seals have bare ones too.
const SEALED: u8 = 2;
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
            rmp_serde::from_slice(body).map_err(|error| StoreError::damaged(format!("it cannot be read: {error}")))
        }
        Some((version, _)) => Err(StoreError::damaged(format!(
            "it has format {version}, this version of Belfry reads up to {SEALED}: it was written by a newer one"
        ))),
        None => Err(StoreError::damaged("it is empty")),
    }
}

/// The record of the stored form `bytes` at `key` in `table`.
pub fn seal(table: &str, key: &[u8], bytes: &[u8]) -> Vec<u8> {
    [&[SEALED], checksum(table, key, bytes).as_slice(), bytes].concat()
}

/// The stored form that `record`, which lies at `key` in `table`, was made of.
pub fn unseal<'a>(table: &str, key: &[u8], record: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let Some(sealed) = record.strip_prefix(&[SEALED]) else { return Ok(record) };
    match sealed.split_first_chunk() {
        Some((seal, bytes)) if *seal == checksum(table, key, bytes) => Ok(bytes),
        _ => Err(StoreError::damaged("its checksum does not fit: the disk does not hold what was written")),
    }
}

fn checksum(table: &str, key: &[u8], bytes: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(table.as_bytes());
    hasher.update(key);
    hasher.update(bytes);
    hasher.finalize().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_record_is_read_as_what_was_written_at_its_place_or_not_at_all(
            key in prop::collection::vec(any::<u8>(), 1..40),
            text in ".{0,60}",
            flip in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let bytes = encode(&text).unwrap();
            let record = seal("runs", &key, &bytes);
            prop_assert_eq!(unseal("runs", &key, &record), Ok(bytes.as_slice()));
            let flipped = |bytes: &[u8]| {
                let mut bytes = bytes.to_vec();
                let at = flip.index(bytes.len());
                bytes[at] ^= 1 << bit;
                bytes
            };
            let read = |table, key: &[u8], record: &[u8]| unseal(table, key, record).and_then(decode::<String>);
            prop_assert!(read("runs", &key, &flipped(&record)).is_err());
            prop_assert!(read("runs", &flipped(&key), &record).is_err());
            prop_assert!(read("messages", &key, &record).is_err());
        }
    }

    #[test]
    fn what_was_written_before_there_were_seals_is_read() {
        let bytes = encode(&7u32).unwrap();
        assert_eq!(unseal("runs", b"key", &bytes).and_then(decode::<u32>), Ok(7));
    }
}
