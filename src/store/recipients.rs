//! Recipients as the API reads and writes them: one op a call where that bounds it, portions where it does not.

use futures_util::future::try_join_all;

use super::op::{
    Admission, Done, Identify, MergeUsers, Op, Place, Remove, RemovePortion, Spread, Subscribe, Unsubscribe,
};
use super::removal::Removal;
use super::tables::{TableId, named, owned, owned_prefix};
use super::writer::unexpected;
use super::{Reader, Store, StoreError};
use crate::base::clock::Timestamp;
use crate::base::ids::{ChannelId, TriggerId};
use crate::model::channel_data::ChannelData;
use crate::model::page::{From, Page, PageRequest};
use crate::model::preferences::PreferenceSet;
use crate::model::profile::Profile;
use crate::model::recipient::{Recipient, RecipientRef};
use crate::model::subscription::{FanOut, Subscription};

/// Recipients of one write: 5 ms of the writer.
const PORTION: usize = 250;

impl Store {
    /// Creates or merges recipients: those of one call in one commit.
    pub async fn identify(&self, identify: Identify) -> Result<Vec<Recipient>, StoreError> {
        match self.try_submit(Op::Identify(identify)).await? {
            Done::Identified(recipients) => Ok(recipients),
            other => Err(unexpected(&other)),
        }
    }

    /// Creates or merges many. When the process ends in between, the first of them are stored.
    pub async fn identify_all(
        &self,
        people: Vec<(RecipientRef, Profile)>,
        at: Timestamp,
        bytes: usize,
    ) -> Result<(), StoreError> {
        let share = bytes / people.len().div_ceil(PORTION).max(1);
        for people in people.chunks(PORTION) {
            self.submit(Op::Identify(Identify { people: people.to_vec(), at, bytes: share })).await?;
        }
        Ok(())
    }

    /// Deletes recipients with all that belongs to them.
    pub async fn remove(&self, recipients: Vec<RecipientRef>, at: Timestamp) -> Result<(), StoreError> {
        for recipients in recipients.chunks(PORTION) {
            self.submit(Op::Remove(Remove { recipients: recipients.to_vec(), at })).await?;
        }
        // Together, so that one commit serves many.
        for recipients in recipients.chunks(PORTION) {
            try_join_all(recipients.iter().map(|recipient| self.finish_removal(recipient.clone()))).await?;
        }
        Ok(())
    }

    /// Merges the user `from` into the user `into`.
    pub async fn merge_users(
        &self,
        into: RecipientRef,
        from: RecipientRef,
        at: Timestamp,
    ) -> Result<Recipient, StoreError> {
        let merged = match self.submit(Op::MergeUsers(MergeUsers { into, from: from.clone(), at })).await? {
            Done::Identified(mut merged) => merged.pop(),
            other => return Err(unexpected(&other)),
        };
        self.finish_removal(from).await?;
        merged.ok_or_else(|| StoreError::Failed("a merge answered with nobody".into()))
    }

    /// Subscribes recipients to objects: those of one call in one commit.
    pub async fn subscribe(&self, subscribe: Subscribe) -> Result<Vec<Subscription>, StoreError> {
        self.subscriptions(Op::Subscribe(subscribe)).await
    }

    /// Ends subscriptions; answers those that there were.
    pub async fn unsubscribe(&self, unsubscribe: Unsubscribe) -> Result<Vec<Subscription>, StoreError> {
        self.subscriptions(Op::Unsubscribe(unsubscribe)).await
    }

    async fn subscriptions(&self, op: Op) -> Result<Vec<Subscription>, StoreError> {
        match self.submit(op).await? {
            Done::Subscriptions(subscriptions) => Ok(subscriptions),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes runs for a portion of subscribers, which are then admitted; answers how far the fan-out has come.
    pub async fn spread(&self, spread: Spread, admission: Admission) -> Result<FanOut, StoreError> {
        match self.submit_admitting(Op::Spread(Box::new(spread)), admission).await? {
            Done::Spread(_, fan_out) => Ok(fan_out),
            other => Err(unexpected(&other)),
        }
    }

    /// Clears a portion of what a fan-out left that has reached everybody; answers whether that was all.
    pub async fn clear_fan_out(&self, trigger: TriggerId) -> Result<bool, StoreError> {
        match self.submit(Op::ClearFanOut(trigger)).await? {
            Done::Cleared(is_clear) => Ok(is_clear),
            other => Err(unexpected(&other)),
        }
    }

    /// Goes on with the removals that the last process left.
    pub async fn finish_removals(&self) -> Result<(), StoreError> {
        let left = self.read()?.removals()?;
        for removal in left {
            self.finish_removal(removal.recipient).await?;
        }
        Ok(())
    }

    async fn finish_removal(&self, recipient: RecipientRef) -> Result<(), StoreError> {
        let mut next = Some(Place::default());
        while let Some(from) = next {
            let portion = RemovePortion { recipient: recipient.clone(), from };
            next = match self.submit(Op::RemovePortion(portion)).await? {
                Done::Portion(next) => next,
                other => return Err(unexpected(&other)),
            };
        }
        Ok(())
    }
}

impl Reader {
    /// A page of a collection, by id.
    pub fn recipients(&self, collection: &str, request: &PageRequest) -> Result<Page<Recipient>, StoreError> {
        let prefix = [collection.as_bytes(), &[0]].concat();
        self.page(TableId::Recipients, &prefix, request, |_, recipient| Ok(Some(recipient)))
    }

    /// A page of the tenants that are called `name`, by id.
    pub fn tenants_named(&self, name: &str, request: &PageRequest) -> Result<Page<Recipient>, StoreError> {
        self.page(TableId::TenantNames, &named(name), request, |id, ()| {
            self.recipient(&RecipientRef::tenant(String::from_utf8_lossy(id)))
        })
    }

    /// That `recipient` subscribes to `object`.
    pub fn subscription(
        &self,
        object: &RecipientRef,
        recipient: &RecipientRef,
    ) -> Result<Option<Subscription>, StoreError> {
        self.get(TableId::Subscriptions, &owned(object, &recipient.key()))
    }

    /// A page of who subscribes to `object`.
    pub fn subscriptions_of(
        &self,
        object: &RecipientRef,
        request: &PageRequest,
    ) -> Result<Page<Subscription>, StoreError> {
        self.page(TableId::Subscriptions, &owned_prefix(object), request, |_, subscription| Ok(Some(subscription)))
    }

    /// A page of what `recipient` subscribes to.
    pub fn subscribed_to(
        &self,
        recipient: &RecipientRef,
        request: &PageRequest,
    ) -> Result<Page<Subscription>, StoreError> {
        self.page(TableId::SubscribedTo, &owned_prefix(recipient), request, |object, ()| {
            match RecipientRef::from_key(object) {
                Some(object) => self.subscription(&object, recipient),
                None => Ok(None),
            }
        })
    }

    /// The first `most` subscribers of `object` behind the key `after`.
    pub fn subscribers(
        &self,
        object: &RecipientRef,
        after: Option<&[u8]>,
        most: usize,
    ) -> Result<Vec<RecipientRef>, StoreError> {
        let from = after.map_or(From::Start, |after| From::After(after.to_vec()));
        let request = PageRequest { from, size: most };
        let page = self.page(TableId::Subscriptions, &owned_prefix(object), &request, |key, _: Subscription| {
            Ok(RecipientRef::from_key(key))
        });
        Ok(page?.entries)
    }

    /// A trigger that is spreading.
    pub fn fan_out(&self, trigger: TriggerId) -> Result<Option<FanOut>, StoreError> {
        self.get(TableId::FanOuts, trigger.as_bytes())
    }

    /// All triggers that are spreading.
    pub fn fan_outs(&self) -> Result<Vec<FanOut>, StoreError> {
        self.all(TableId::FanOuts, &[])
    }

    /// A recipient as it is known, or of whom only the name is.
    pub fn known_or_stub(&self, reference: &RecipientRef, now: Timestamp) -> Result<Recipient, StoreError> {
        Ok(self.recipient(reference)?.unwrap_or_else(|| Recipient::stub(reference.clone(), now)))
    }

    /// When a recipient was deleted last.
    pub fn deleted(&self, recipient: &RecipientRef) -> Result<Option<Timestamp>, StoreError> {
        self.get(TableId::Deleted, &recipient.key())
    }

    /// A preference set as it is stored.
    pub fn preference_set(&self, of: &RecipientRef, id: &str) -> Result<Option<PreferenceSet>, StoreError> {
        self.get(TableId::Preferences, &owned(of, id.as_bytes()))
    }

    /// The ids of all stored preference sets.
    pub fn preference_ids(&self, of: &RecipientRef) -> Result<Vec<String>, StoreError> {
        let mut ids = Vec::new();
        self.each_key(TableId::Preferences, &owned_prefix(of), |id| {
            ids.push(String::from_utf8_lossy(id).into_owned());
        })?;
        Ok(ids)
    }

    /// A recipient's data for a channel.
    pub fn channel_data(&self, of: &RecipientRef, channel: ChannelId) -> Result<Option<ChannelData>, StoreError> {
        self.get(TableId::ChannelData, &owned(of, channel.as_bytes()))
    }

    fn removals(&self) -> Result<Vec<Removal>, StoreError> {
        self.all(TableId::Removals, &[])
    }
}
