//! Applies what calls say of recipients.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::encode;
use super::tables::{TableId, Tables, owned, owned_prefix, tenant_name_key};
use super::{Refused, StoreError, waits};
use crate::base::clock::Timestamp;
use crate::model::channel_data::ChannelData;
use crate::model::preferences::PreferenceSet;
use crate::model::profile::{Profile, json_size};
use crate::model::recipient::{MAX_PROPERTIES_BYTES, Recipient, RecipientRef};

/// A record as it is stored is nearly never less than a quarter of its JSON: only a larger one is measured.
const SURELY_SMALL: usize = MAX_PROPERTIES_BYTES / 4;

/// Recipients as they will be, and all writes that make them so: `None` removes.
pub struct Merged {
    pub recipients: Vec<Recipient>,
    at: Timestamp,
    writes: Vec<(TableId, Vec<u8>, Option<Vec<u8>>)>,
}

/// What becomes of `people`, each once in the order in which they are first named. Nothing is written yet: this may
/// refuse.
pub fn merged(
    tables: &mut Tables<'_>,
    people: &[(RecipientRef, Profile)],
    now: Timestamp,
) -> Result<Merged, StoreError> {
    let (mut places, mut recipients) = (BTreeMap::new(), Vec::<Recipient>::with_capacity(people.len()));
    let (mut sets, mut writes) = (BTreeMap::new(), Vec::with_capacity(people.len()));
    for (reference, profile) in people {
        let place = match places.get(reference) {
            Some(place) => *place,
            None => {
                let known = tables.get(TableId::Recipients, &reference.key())?;
                let known = known.unwrap_or_else(|| Recipient::stub(reference.clone(), now));
                writes.extend(tenant_name_key(&known).map(|key| (TableId::TenantNames, key, None)));
                recipients.push(known);
                places.insert(reference, recipients.len() - 1);
                recipients.len() - 1
            }
        };
        recipients[place].merge(&profile.properties, now);
        if let Some(write) = &profile.for_users {
            let set = recipients[place].set_for_users();
            recipients[place].keep_set_for_users(write.apply(set));
        }
        for (id, write) in &profile.preferences {
            let key = owned(reference, id.as_bytes());
            let stored = match sets.remove(&key) {
                Some(earlier) => earlier,
                None => tables.get::<PreferenceSet>(TableId::Preferences, &key)?,
            };
            sets.insert(key, write.apply(stored));
        }
        for (channel, data) in &profile.channel_data {
            let record = data.as_ref().map(encode).transpose()?;
            writes.push((TableId::ChannelData, owned(reference, channel.as_bytes()), record));
        }
    }
    for recipient in &recipients {
        writes.push((TableId::Recipients, recipient.reference.key(), Some(encoded(recipient)?)));
        if let Some(key) = tenant_name_key(recipient) {
            writes.push((TableId::TenantNames, key, Some(encode(&())?)));
        }
    }
    for (key, set) in sets {
        let record = set.map(|set| bounded(&set, || set.size())).transpose()?;
        writes.push((TableId::Preferences, key, record));
    }
    Ok(Merged { recipients, at: now, writes })
}

/// The record of `recipient`; refused when it has grown too large.
pub fn encoded(recipient: &Recipient) -> Result<Vec<u8>, StoreError> {
    bounded(recipient, || json_size(&recipient.properties))
}

fn bounded<T: Serialize>(value: &T, size: impl FnOnce() -> usize) -> Result<Vec<u8>, StoreError> {
    let record = encode(value)?;
    if record.len() > SURELY_SMALL {
        let bytes = size();
        if bytes > MAX_PROPERTIES_BYTES {
            return Err(Refused::TooLarge(bytes).into());
        }
    }
    Ok(record)
}

/// Writes them. Those who become others are told to whoever waits for that.
pub fn keep(tables: &mut Tables<'_>, merged: Merged) -> Result<Vec<Recipient>, StoreError> {
    let mut watched = Vec::new();
    for recipient in &merged.recipients {
        if waits::is_watched(tables, &recipient.reference)? {
            watched.push((recipient, known(tables, &recipient.reference)?));
        }
    }
    for (table, key, record) in merged.writes {
        match record {
            Some(record) => tables.put_encoded(table, &key, &record)?,
            None => tables.remove(table, &key)?,
        }
    }
    for (recipient, before) in watched {
        if known(tables, &recipient.reference)? != before {
            waits::recipient_updated(tables, recipient, merged.at)?;
        }
    }
    Ok(merged.recipients)
}

type Known = (Option<Recipient>, Vec<(Vec<u8>, PreferenceSet)>, Vec<(Vec<u8>, ChannelData)>);

/// All that is known of a recipient, but for when that was said.
fn known(tables: &mut Tables<'_>, reference: &RecipientRef) -> Result<Known, StoreError> {
    let recipient: Option<Recipient> = tables.get(TableId::Recipients, &reference.key())?;
    let prefix = owned_prefix(reference);
    Ok((
        recipient.map(|recipient| Recipient { updated_at: Timestamp::default(), ..recipient }),
        tables.with_prefix(TableId::Preferences, &prefix)?,
        tables.with_prefix(TableId::ChannelData, &prefix)?,
    ))
}

/// Removes what belongs to a recipient and is little.
pub fn forget(tables: &mut Tables<'_>, recipient: &RecipientRef) -> Result<(), StoreError> {
    if recipient.is_tenant()
        && let Some(known) = tables.get::<Recipient>(TableId::Recipients, &recipient.key())?
        && let Some(key) = tenant_name_key(&known)
    {
        tables.remove(TableId::TenantNames, &key)?;
    }
    tables.remove(TableId::Recipients, &recipient.key())?;
    for table in [TableId::Preferences, TableId::ChannelData, TableId::Begun, TableId::OpenBatches] {
        tables.remove_with_prefix(table, &owned_prefix(recipient))?;
    }
    Ok(())
}

/// Gives `heir` the preference sets and channel data that it lacks, and what it has begun by this: neither of the two
/// begins it again.
pub fn bequeath(tables: &mut Tables<'_>, from: &RecipientRef, heir: &RecipientRef) -> Result<(), StoreError> {
    bequeath_table::<PreferenceSet>(tables, TableId::Preferences, from, heir)?;
    bequeath_table::<ChannelData>(tables, TableId::ChannelData, from, heir)?;
    bequeath_table::<()>(tables, TableId::Begun, from, heir)
}

fn bequeath_table<T: Serialize + DeserializeOwned>(
    tables: &mut Tables<'_>,
    table: TableId,
    from: &RecipientRef,
    heir: &RecipientRef,
) -> Result<(), StoreError> {
    let prefix = owned_prefix(from);
    for (key, value) in tables.with_prefix::<T>(table, &prefix)? {
        let key = owned(heir, &key[prefix.len()..]);
        if tables.get::<T>(table, &key)?.is_none() {
            tables.put(table, &key, &value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::check::check;
    use super::super::op::Identify;
    use super::super::tests::{Bench, START};
    use super::*;
    use crate::model::page::{From, PageRequest};

    async fn identify(bench: &Bench, id: &str, properties: serde_json::Value) {
        let profile = Profile { properties: properties.as_object().unwrap().clone(), ..Profile::default() };
        let identify = Identify { people: vec![(RecipientRef::tenant(id), profile)], at: START, bytes: 0 };
        bench.store.identify(identify).await.unwrap();
    }

    fn named(bench: &Bench, name: &str) -> Vec<String> {
        let request = PageRequest { from: From::Start, size: 9 };
        let page = bench.store.read().unwrap().tenants_named(name, &request).unwrap();
        page.entries.into_iter().map(|tenant| tenant.reference.id).collect()
    }

    #[tokio::test]
    async fn tenants_are_found_by_the_names_that_they_have_now() {
        let bench = Bench::new();
        for (id, name) in [("a", json!("Acme")), ("b", json!("Acme")), ("c", json!("Acm")), ("d", json!(7))] {
            identify(&bench, id, json!({"name": name})).await;
        }
        identify(&bench, "b", json!({"plan": "pro"})).await;
        assert_eq!(named(&bench, "Acme"), ["a", "b"]);
        identify(&bench, "b", json!({"name": "Bolt"})).await;
        identify(&bench, "c", json!({"name": null})).await;
        bench.store.remove(vec![RecipientRef::tenant("a")], START).await.unwrap();
        assert_eq!((named(&bench, "Acme"), named(&bench, "Acm")), (vec![], vec![]));
        assert_eq!(named(&bench, "Bolt"), ["b"]);
        check(&bench.store.read().unwrap()).unwrap();
    }
}
