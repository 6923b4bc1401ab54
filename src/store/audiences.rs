//! Audiences: who is in them, by audience and by user.

use super::op::{ChangeAudience, Done, Op};
use super::tables::{TableId, Tables, owned, owned_prefix};
use super::{Reader, Store, StoreError, waits};
use crate::base::clock::Timestamp;
use crate::model::audience::{AudienceChange, Member};
use crate::model::awaited::Crossing;
use crate::model::page::{Page, PageRequest};
use crate::model::recipient::RecipientRef;

/// Members of one write: 5 ms of the writer.
const PORTION: usize = 250;

impl Store {
    /// Adds or removes members. When the process ends in between, the first of them are.
    pub async fn change_audience(&self, change: ChangeAudience) -> Result<(), StoreError> {
        let ChangeAudience { key, change, members, people, at } = change;
        // The people first: a member is somebody.
        self.identify_all(people, at, 0).await?;
        for members in members.chunks(PORTION) {
            let members = members.to_vec();
            let portion = ChangeAudience { key: key.clone(), change, members, people: Vec::new(), at };
            self.submit(Op::ChangeAudience(portion)).await?;
        }
        Ok(())
    }
}

/// The prefix of an audience's members; no key holds a NUL.
fn in_audience(key: &str) -> Vec<u8> {
    [key.as_bytes(), &[0]].concat()
}

fn member_key(key: &str, user: &RecipientRef, tenant: Option<&str>) -> Vec<u8> {
    [in_audience(key), owned(user, tenant.unwrap_or_default().as_bytes())].concat()
}

/// Under its user: the audience, NUL, the tenant if there is one.
fn audience_of(key: &str, user: &RecipientRef, tenant: Option<&str>) -> Vec<u8> {
    owned(user, &[in_audience(key).as_slice(), tenant.unwrap_or_default().as_bytes()].concat())
}

/// Applies a change. Who is in the audience already stays as it is.
pub fn change(tables: &mut Tables<'_>, change: &ChangeAudience) -> Result<Done, StoreError> {
    let ChangeAudience { key, members, at, .. } = change;
    if change.change == AudienceChange::Add {
        tables.put(TableId::Audiences, key.as_bytes(), at)?;
    }
    for (user, tenant) in members {
        match change.change {
            AudienceChange::Remove => {
                let (tenant, place) = (tenant.as_deref(), member_key(key, user, tenant.as_deref()));
                if tables.get::<Member>(TableId::Members, &place)?.is_some() {
                    tables.remove(TableId::Members, &place)?;
                    tables.remove(TableId::AudiencesOf, &audience_of(key, user, tenant))?;
                    waits::audience_crossed(tables, key, user, tenant, Crossing::Exit, *at)?;
                }
            }
            AudienceChange::Add => {
                if add(tables, key, Member { user: user.clone(), tenant: tenant.clone(), added_at: *at })? {
                    waits::audience_crossed(tables, key, user, tenant.as_deref(), Crossing::Enter, *at)?;
                }
            }
        }
    }
    Ok(Done::Written)
}

/// Takes a user out of all audiences, which are few, and puts an heir in.
pub fn leave(tables: &mut Tables<'_>, user: &RecipientRef, heir: Option<&RecipientRef>) -> Result<(), StoreError> {
    let prefix = owned_prefix(user);
    for (place, ()) in tables.with_prefix::<()>(TableId::AudiencesOf, &prefix)? {
        tables.remove(TableId::AudiencesOf, &place)?;
        let Some((key, tenant)) = parts(&place[prefix.len()..]) else { continue };
        let own = member_key(&key, user, Some(&tenant));
        let member: Option<Member> = tables.get(TableId::Members, &own)?;
        tables.remove(TableId::Members, &own)?;
        if let (Some(member), Some(heir)) = (member, heir) {
            add(tables, &key, Member { user: heir.clone(), ..member })?;
        }
    }
    Ok(())
}

/// Puts a member in who is not in the audience yet; answers whether that is so.
fn add(tables: &mut Tables<'_>, key: &str, member: Member) -> Result<bool, StoreError> {
    let tenant = member.tenant.as_deref();
    let place = member_key(key, &member.user, tenant);
    let is_new = tables.get::<Member>(TableId::Members, &place)?.is_none();
    if is_new {
        tables.put(TableId::Members, &place, &member)?;
        tables.put(TableId::AudiencesOf, &audience_of(key, &member.user, tenant), &())?;
    }
    Ok(is_new)
}

/// The audience's key and the tenant, which is empty when there is none.
fn parts(place: &[u8]) -> Option<(String, String)> {
    let (key, tenant) = std::str::from_utf8(place).ok()?.split_once('\0')?;
    Some((key.to_owned(), tenant.to_owned()))
}

impl Reader {
    /// Whether somebody has made the audience.
    pub fn has_audience(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.get::<Timestamp>(TableId::Audiences, key.as_bytes())?.is_some())
    }

    /// A page of an audience's members, by their ids.
    pub fn members(&self, key: &str, request: &PageRequest) -> Result<Page<Member>, StoreError> {
        self.page(TableId::Members, &in_audience(key), request, |_, member| Ok(Some(member)))
    }

    /// The audiences that a user is in for `tenant`, or for none.
    pub fn audiences_of(&self, user: &RecipientRef, tenant: Option<&str>) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        self.each_key(TableId::AudiencesOf, &owned_prefix(user), |place| {
            found.extend(parts(place).filter(|(_, of)| of == tenant.unwrap_or_default()).map(|(key, _)| key));
        })?;
        Ok(found)
    }
}
