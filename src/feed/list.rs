//! A page of a user's feed with its counts, in the shape of `knock-api.md` section 3.3.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::cursor;
use crate::base::clock::Timestamp;
use crate::base::ids::ChannelId;
use crate::model::feed::FeedEntry;
use crate::model::message::{Content, Message};
use crate::model::recipient::{Recipient, RecipientRef};
use crate::model::trigger::FieldError;
use crate::store::{Reader, StoreError};

/// The largest page, and the default.
pub const MAX_PAGE: usize = 50;

/// Which items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedQuery {
    pub status: StatusFilter,
    pub archived: ArchivedFilter,
    pub tenant: Option<String>,
    pub has_tenant: Option<bool>,
    pub source: Option<String>,
    pub compact: bool,
    pub page: Page,
    pub page_size: usize,
}

/// By engagement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFilter {
    All,
    Unread,
    Read,
    Unseen,
    Seen,
}

/// By archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchivedFilter {
    Exclude,
    Include,
    Only,
}

/// From where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    Newest,
    /// Items older than the cursor's.
    After(Timestamp),
    /// Items newer than the cursor's, those next to it.
    Before(Timestamp),
}

impl FeedQuery {
    /// Reads a query string's pairs. Empty values count as absent and unknown names are ignored, since clients send
    /// options of their own.
    pub fn from_pairs(pairs: &[(String, String)]) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let find = |name: &str| pairs.iter().find(|(key, value)| key == name && !value.is_empty());
        let text = |name: &str| find(name).map(|(_, value)| value.as_str());
        let status = match text("status") {
            None | Some("all") => StatusFilter::All,
            Some("unread") => StatusFilter::Unread,
            Some("read") => StatusFilter::Read,
            Some("unseen") => StatusFilter::Unseen,
            Some("seen") => StatusFilter::Seen,
            Some(other) => {
                let message = format!("`{other}` is not a status; use all, unread, read, unseen or seen");
                errors.push(FieldError::new("status", message));
                StatusFilter::All
            }
        };
        let archived = match text("archived") {
            None | Some("exclude") => ArchivedFilter::Exclude,
            Some("include") => ArchivedFilter::Include,
            Some("only") => ArchivedFilter::Only,
            Some(other) => {
                errors.push(FieldError::new("archived", format!("`{other}` is none of exclude, include and only")));
                ArchivedFilter::Exclude
            }
        };
        let has_tenant = match text("has_tenant") {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(other) => {
                errors.push(FieldError::new("has_tenant", format!("`{other}` is neither true nor false")));
                None
            }
        };
        let page_size = match text("page_size").map(str::parse::<i64>) {
            None => MAX_PAGE,
            Some(Ok(size)) => usize::try_from(size.clamp(1, MAX_PAGE as i64)).unwrap_or(MAX_PAGE),
            Some(Err(_)) => {
                errors.push(FieldError::new("page_size", "must be a number from 1 to 50"));
                MAX_PAGE
            }
        };
        let mut at = |name: &str| {
            let text = text(name)?;
            let at = cursor::decode(text);
            if at.is_none() {
                let message = format!("`{text}` is not a cursor; use `page_info` or an item's `__cursor`");
                errors.push(FieldError::new(name, message));
            }
            at
        };
        let page = match (at("before"), at("after")) {
            (Some(before), _) => Page::Before(before),
            (None, Some(after)) => Page::After(after),
            (None, None) => Page::Newest,
        };
        let owned = |name: &str| text(name).map(str::to_owned);
        let query = Self {
            status,
            archived,
            tenant: owned("tenant"),
            has_tenant,
            source: owned("source"),
            compact: text("mode") == Some("compact"),
            page,
            page_size,
        };
        if errors.is_empty() { Ok(query) } else { Err(errors) }
    }

    /// Whether the item belongs to what is counted: everything but the status and the page.
    fn in_scope(&self, entry: &FeedEntry) -> bool {
        let archived = match self.archived {
            ArchivedFilter::Exclude => entry.archived_at.is_none(),
            ArchivedFilter::Include => true,
            ArchivedFilter::Only => entry.archived_at.is_some(),
        };
        // A tenant's feed also shows what belongs to no tenant, unless `has_tenant` says otherwise.
        let tenant = match (&self.tenant, &entry.tenant) {
            (Some(wanted), Some(tenant)) => wanted == tenant,
            (Some(_) | None, _) => true,
        };
        archived
            && tenant
            && self.has_tenant.is_none_or(|wanted| wanted == entry.tenant.is_some())
            && self.source.as_ref().is_none_or(|source| *source == entry.workflow)
    }

    fn has_status(&self, entry: &FeedEntry) -> bool {
        match self.status {
            StatusFilter::All => true,
            StatusFilter::Unread => entry.read_at.is_none(),
            StatusFilter::Read => entry.read_at.is_some(),
            StatusFilter::Unseen => entry.seen_at.is_none(),
            StatusFilter::Seen => entry.seen_at.is_some(),
        }
    }

    /// Whether the stored counts answer the query without looking at the items.
    fn counts_are_stored(&self) -> bool {
        self.archived == ArchivedFilter::Exclude
            && self.tenant.is_none()
            && self.has_tenant.is_none()
            && self.source.is_none()
            && matches!(self.status, StatusFilter::All | StatusFilter::Unread | StatusFilter::Unseen)
    }
}

#[derive(Default)]
struct Selected {
    /// Newest first.
    entries: VecDeque<FeedEntry>,
    older: bool,
    newer: bool,
    total: u64,
    unread: u64,
    unseen: u64,
}

/// One page of the feed of `user` on `channel`. An unknown user has an empty feed.
pub fn list(reader: &Reader, channel: ChannelId, user: &RecipientRef, query: &FeedQuery) -> Result<Value, StoreError> {
    let selected = select(reader, channel, user, query)?;
    let mut entries = Vec::with_capacity(selected.entries.len());
    for entry in &selected.entries {
        // The row and its message are one commit; an item whose message is missing would be a damaged file.
        if let Some(message) = reader.message(entry.message)? {
            entries.push(item(reader, entry, message, query.compact)?);
        }
    }
    let cursor_of = |entry: Option<&FeedEntry>| entry.map(|entry| cursor::encode(entry.inserted_at));
    let after = selected.older.then(|| cursor_of(selected.entries.back())).flatten();
    let before = selected.newer.then(|| cursor_of(selected.entries.front())).flatten();
    Ok(json!({
        "entries": entries,
        "meta": {
            "__typename": "FeedMetadata",
            "total_count": selected.total,
            "unread_count": selected.unread,
            "unseen_count": selected.unseen,
        },
        "page_info": {
            "__typename": "PageInfo",
            "after": after,
            "before": before,
            "page_size": query.page_size,
            "total_count": selected.total,
        },
        "vars": {},
    }))
}

fn select(reader: &Reader, channel: ChannelId, user: &RecipientRef, query: &FeedQuery) -> Result<Selected, StoreError> {
    let mut found = Selected::default();
    let stored = query.counts_are_stored();
    if stored {
        let counts = reader.feed_counts(channel, user)?;
        (found.unread, found.unseen) = (counts.unread, counts.unseen);
        found.total = match query.status {
            StatusFilter::Unread => counts.unread,
            StatusFilter::Unseen => counts.unseen,
            _ => counts.total,
        };
    }
    reader.each_feed_entry(channel, user, |entry| {
        if !query.in_scope(&entry) {
            return true;
        }
        let matches = query.has_status(&entry);
        if !stored {
            found.unread += u64::from(entry.read_at.is_none());
            found.unseen += u64::from(entry.seen_at.is_none());
            found.total += u64::from(matches);
        }
        if matches {
            found.take(entry, query);
        }
        // With counts at hand the walk ends at the first item past the page.
        !(stored && found.older)
    })?;
    // A page that a cursor led to can always be left again on the side that it came from.
    let any = !found.entries.is_empty();
    found.older |= any && matches!(query.page, Page::Before(_));
    found.newer |= any && matches!(query.page, Page::After(_));
    Ok(found)
}

impl Selected {
    fn take(&mut self, entry: FeedEntry, query: &FeedQuery) {
        match query.page {
            Page::After(cursor) if entry.inserted_at >= cursor => self.newer = true,
            Page::Before(cursor) if entry.inserted_at <= cursor => self.older = true,
            // The page next to the cursor are the last of the newer ones.
            Page::Before(_) => {
                self.entries.push_back(entry);
                if self.entries.len() > query.page_size {
                    self.entries.pop_front();
                    self.newer = true;
                }
            }
            Page::Newest | Page::After(_) if self.entries.len() < query.page_size => self.entries.push_back(entry),
            Page::Newest | Page::After(_) => self.older = true,
        }
    }
}

fn item(reader: &Reader, entry: &FeedEntry, message: Message, compact: bool) -> Result<Value, StoreError> {
    let trigger = reader.trigger(message.trigger)?;
    let person = |reference: &RecipientRef| -> Result<Value, StoreError> {
        let known = reader.recipient(reference)?;
        Ok(known.unwrap_or_else(|| Recipient::stub(reference.clone(), message.inserted_at)).to_json())
    };
    let actor = trigger.as_ref().and_then(|trigger| trigger.actor.as_ref()).map(person).transpose()?;
    let mut data = trigger.as_ref().map(|trigger| trigger.data.clone()).unwrap_or_default();
    if compact {
        data.retain(|_, value| !value.is_array() && !value.is_object());
    }
    let Content::InApp { blocks } = &message.content else { return Ok(Value::Null) };
    let actors: Vec<&Value> = actor.iter().collect();
    let mut item = json!({
        "__typename": "FeedItem",
        "__cursor": cursor::encode(entry.inserted_at),
        "id": message.id,
        "actors": actors,
        "blocks": blocks,
        "data": data,
        "source": {
            "__typename": "NotificationSource",
            "key": message.workflow,
            "version_id": trigger.as_ref().map(|trigger| trigger.version),
            "categories": message.categories,
        },
        "tenant": entry.tenant,
        "total_actors": actors.len(),
        "seen_at": entry.seen_at,
        "read_at": entry.read_at,
        "interacted_at": null,
        "link_clicked_at": null,
        "clicked_at": null,
        "archived_at": entry.archived_at,
        "inserted_at": entry.inserted_at,
        "updated_at": message.updated_at,
    });
    if !compact {
        item["total_activities"] = json!(1);
        item["activities"] = json!([{
            "__typename": "Activity",
            "id": message.trigger,
            "actor": actor,
            "recipient": person(&message.recipient)?,
            "data": data,
            "inserted_at": trigger.map(|trigger| trigger.inserted_at),
            "updated_at": message.updated_at,
        }]);
    }
    Ok(item)
}
