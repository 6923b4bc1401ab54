//! Applies what calls say of recipients.

use std::collections::BTreeMap;

use super::codec::encode;
use super::tables::{TableId, Tables};
use super::{Refused, StoreError};
use crate::base::clock::Timestamp;
use crate::model::profile::{Profile, json_size};
use crate::model::recipient::{MAX_PROPERTIES_BYTES, Recipient, RecipientRef};

/// A record as it is stored is nearly never less than a quarter of its JSON: only a larger one is measured.
const SURELY_SMALL: usize = MAX_PROPERTIES_BYTES / 4;

/// Recipients as they will be, each with its record.
pub type Merged = Vec<(Recipient, Vec<u8>)>;

/// What becomes of `people`, in their order, each once. Nothing is written yet: this may refuse.
pub fn merged(
    tables: &mut Tables<'_>,
    people: &[(RecipientRef, Profile)],
    now: Timestamp,
) -> Result<Merged, StoreError> {
    let (mut places, mut merged) = (BTreeMap::new(), Vec::<Recipient>::with_capacity(people.len()));
    for (reference, profile) in people {
        let place = match places.get(reference) {
            Some(place) => *place,
            None => {
                let known = tables.get(TableId::Recipients, &reference.key())?;
                merged.push(known.unwrap_or_else(|| Recipient::stub(reference.clone(), now)));
                places.insert(reference, merged.len() - 1);
                merged.len() - 1
            }
        };
        merged[place].merge(&profile.properties, now);
    }
    let records = merged.into_iter().map(|recipient| {
        let record = encoded(&recipient)?;
        Ok((recipient, record))
    });
    records.collect()
}

/// The record of `recipient`; refused when it has grown too large.
pub fn encoded(recipient: &Recipient) -> Result<Vec<u8>, StoreError> {
    let record = encode(recipient)?;
    if record.len() > SURELY_SMALL {
        let bytes = json_size(&recipient.properties);
        if bytes > MAX_PROPERTIES_BYTES {
            return Err(Refused::TooLarge(bytes).into());
        }
    }
    Ok(record)
}

/// Writes them.
pub fn keep(tables: &mut Tables<'_>, merged: Merged) -> Result<Vec<Recipient>, StoreError> {
    let kept = merged.into_iter().map(|(recipient, record)| {
        tables.put_encoded(TableId::Recipients, &recipient.reference.key(), &record)?;
        Ok(recipient)
    });
    kept.collect()
}
