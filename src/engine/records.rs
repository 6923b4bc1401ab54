//! What is stored, as templates look it up.

use std::cell::OnceCell;

use serde_json::{Value, json};

use crate::base::clock::Timestamp;
use crate::model::page::{From, PageRequest};
use crate::model::recipient::{Recipient, RecipientRef};
use crate::model::subscription::Subscription;
use crate::store::{Reader, Store, StoreError};
use crate::template::records::{Records, SUBSCRIPTIONS};

/// The store as it is when the first is looked up: most templates look up nothing.
pub struct Stored {
    store: Store,
    reader: OnceCell<Reader>,
    now: Timestamp,
}

impl Stored {
    pub fn new(store: &Store, now: Timestamp) -> Self {
        Self { store: store.clone(), reader: OnceCell::new(), now }
    }

    fn reader(&self) -> Result<&Reader, StoreError> {
        if let Some(reader) = self.reader.get() {
            return Ok(reader);
        }
        let reader = self.store.read()?;
        Ok(self.reader.get_or_init(|| reader))
    }

    fn subscribed(&self, reference: &RecipientRef) -> Result<Vec<Value>, StoreError> {
        let reader = self.reader()?;
        let request = PageRequest { from: From::Start, size: SUBSCRIPTIONS };
        let page = reader.subscribed_to(reference, &request)?;
        let told = |one: Subscription| {
            let object = reader.known_or_stub(&one.object, self.now)?.to_scope();
            Ok(json!({"object": object, "properties": one.properties.unwrap_or_default()}))
        };
        page.entries.into_iter().map(told).collect()
    }
}

impl Records for Stored {
    fn recipient(&self, reference: &RecipientRef) -> Result<Option<Value>, String> {
        let found = self.reader().and_then(|reader| reader.recipient(reference));
        Ok(found.map_err(|error| error.to_string())?.as_ref().map(Recipient::to_scope))
    }

    fn subscriptions(&self, reference: &RecipientRef) -> Result<Vec<Value>, String> {
        self.subscribed(reference).map_err(|error| error.to_string())
    }
}
