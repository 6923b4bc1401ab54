//! The people of a scene: as they are stored, with what a dry run says of them besides.

use crate::base::clock::Timestamp;
use crate::model::consent::{Preferences, Sets};
use crate::model::preferences::{DEFAULT_SET, PreferenceSet};
use crate::model::profile::Profile;
use crate::model::recipient::{Recipient, RecipientRef};
use crate::store::{Reader, StoreError};

/// Who is who at `now`.
#[derive(Clone, Copy)]
pub struct Cast<'a> {
    pub reader: &'a Reader,
    /// What is said of people and is not stored; a run that is none of a dry run has nothing here.
    pub said: &'a [(RecipientRef, Profile)],
    pub now: Timestamp,
}

impl Cast<'_> {
    fn said_of<'a>(&'a self, reference: &'a RecipientRef) -> impl Iterator<Item = &'a Profile> {
        self.said.iter().filter(move |(of, _)| of == reference).map(|(_, profile)| profile)
    }

    /// A user, object or tenant.
    pub fn recipient(&self, reference: &RecipientRef) -> Result<Recipient, StoreError> {
        let mut recipient = self.reader.known_or_stub(reference, self.now)?;
        for profile in self.said_of(reference) {
            recipient.merge(&profile.properties, self.now);
            if let Some(write) = &profile.for_users {
                let set = write.apply(recipient.set_for_users());
                recipient.keep_set_for_users(set);
            }
        }
        Ok(recipient)
    }

    /// What the recipient prefers, for a tenant if there is one.
    pub fn preferences(
        &self,
        recipient: &RecipientRef,
        tenant: Option<&Recipient>,
        environment: &PreferenceSet,
    ) -> Result<Preferences, StoreError> {
        let set = |id: &str| {
            let mut set = self.reader.preference_set(recipient, id)?;
            for (_, write) in
                self.said_of(recipient).flat_map(|profile| &profile.preferences).filter(|(of, _)| of == id)
            {
                set = write.apply(set);
            }
            Ok::<_, StoreError>(set)
        };
        Ok(Preferences::new(Sets {
            environment: environment.clone(),
            tenant: tenant.and_then(Recipient::set_for_users),
            recipient_tenant: tenant.map(|tenant| set(&tenant.reference.id)).transpose()?.flatten(),
            recipient_default: set(DEFAULT_SET)?,
        }))
    }
}
