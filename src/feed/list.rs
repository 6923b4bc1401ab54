//! A page of a user's feed with its counts, in the shape of `knock-api.md` section 3.3.

use std::ops::Bound;

use serde_json::{Map, Value, json};

use super::counts::counts;
use super::cursor;
use super::query::{FeedQuery, Page};
use crate::base::ids::ChannelId;
use crate::model::batch::{Activities, Activity};
use crate::model::feed::FeedEntry;
use crate::model::message::{Content, Message};
use crate::model::recipient::RecipientRef;
use crate::store::read::Order;
use crate::store::{Reader, StoreError};

#[derive(Default)]
struct Selected {
    /// Newest first.
    entries: Vec<FeedEntry>,
    older: bool,
    newer: bool,
}

/// One page of the feed of `user` on `channel`, beside the public variables. An unknown user has an empty feed.
pub fn list(
    reader: &Reader,
    channel: ChannelId,
    user: &RecipientRef,
    query: &FeedQuery,
    vars: &Map<String, Value>,
) -> Result<Value, StoreError> {
    let counts = counts(reader, channel, user, &query.filter)?;
    let selected = select(reader, channel, user, query, counts.total)?;
    let mut entries = Vec::with_capacity(selected.entries.len());
    for entry in &selected.entries {
        // The row and its message are one commit; an item whose message is missing would be a damaged file.
        if let Some(message) = reader.message(entry.message)? {
            entries.push(item(reader, entry, message, query.compact)?);
        }
    }
    let cursor_of = |entry: Option<&FeedEntry>| entry.map(|entry| cursor::encode(entry.inserted_at));
    let after = selected.older.then(|| cursor_of(selected.entries.last())).flatten();
    let before = selected.newer.then(|| cursor_of(selected.entries.first())).flatten();
    let mut meta = counts.to_json();
    meta["__typename"] = json!("FeedMetadata");
    let mut page = json!({
        "entries": entries,
        "meta": meta,
        "page_info": {
            "__typename": "PageInfo",
            "after": after,
            "before": before,
            "page_size": query.page_size,
            "total_count": counts.total,
        },
        "vars": vars,
    });
    for path in &query.exclude {
        exclude(&mut page, path);
    }
    Ok(page)
}

/// Leaves out the field at `path`, in each element where it leads through a list.
fn exclude(value: &mut Value, path: &str) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(|element| exclude(element, path)),
        Value::Object(map) => match path.split_once('.') {
            Some((key, rest)) => {
                if let Some(inner) = map.get_mut(key) {
                    exclude(inner, rest);
                }
            }
            None => drop(map.remove(path)),
        },
        _ => {}
    }
}

/// Walks from the cursor to the first item past the page, or to the last one of the `total` that there are.
fn select(
    reader: &Reader,
    channel: ChannelId,
    user: &RecipientRef,
    query: &FeedQuery,
    total: u64,
) -> Result<Selected, StoreError> {
    if total == 0 {
        return Ok(Selected::default());
    }
    let (oldest, newest) = query.filter.inserted_at;
    let (span, order) = match query.page {
        Page::Newest => ((oldest, newest), Order::NewestFirst),
        Page::After(cursor) => ((oldest, Bound::Excluded(cursor)), Order::NewestFirst),
        // The page next to the cursor.
        Page::Before(cursor) => ((Bound::Excluded(cursor), newest), Order::OldestFirst),
    };
    let (mut entries, mut more) = (Vec::new(), false);
    reader.each_feed_entry(channel, user, span, order, |entry| {
        if query.filter.shows(&entry) {
            more = entries.len() == query.page_size;
            if !more {
                entries.push(entry);
            }
        }
        !more && (entries.len() as u64) < total
    })?;
    // A page that a cursor led to can always be left again on the side that it came from.
    let any = !entries.is_empty();
    Ok(match query.page {
        Page::Newest => Selected { entries, older: more, newer: false },
        Page::After(_) => Selected { entries, older: more, newer: any },
        Page::Before(_) => {
            entries.reverse();
            Selected { entries, older: any, newer: more }
        }
    })
}

fn item(reader: &Reader, entry: &FeedEntry, message: Message, compact: bool) -> Result<Value, StoreError> {
    let told = reader.told(&message)?;
    let version = told.as_ref().map(|told| told.version);
    let activities = told.map_or_else(
        || {
            let (id, at) = (message.trigger, message.inserted_at);
            Activities::of_one(Activity { id, actor: None, data: Map::new(), at })
        },
        |told| told.activities,
    );
    let person = |reference| Ok::<_, StoreError>(reader.known_or_stub(reference, message.inserted_at)?.to_json());
    let mut data = activities.data.clone();
    let mut actors = activities.actors();
    if compact {
        data.retain(|_, value| !value.is_array() && !value.is_object());
        actors.truncate(1);
    }
    let done = &entry.engagement;
    let updated_at = done.updated_at.max(Some(message.updated_at));
    let Content::InApp { blocks } = &message.content else { return Ok(Value::Null) };
    let actors = actors.into_iter().map(person).collect::<Result<Vec<_>, _>>()?;
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
            "version_id": version,
            "categories": message.categories,
        },
        "tenant": entry.tenant,
        "total_actors": activities.total_actors,
        "seen_at": done.seen_at,
        "read_at": done.read_at,
        "interacted_at": done.interacted_at,
        "link_clicked_at": done.link_clicked_at,
        "clicked_at": done.link_clicked_at,
        "archived_at": done.archived_at,
        "inserted_at": entry.inserted_at,
        "updated_at": updated_at,
    });
    if !compact {
        item["total_activities"] = json!(activities.total);
        let recipient = person(&message.recipient)?;
        let mut shown = Vec::with_capacity(activities.shown.len());
        for activity in &activities.shown {
            shown.push(json!({
                "__typename": "Activity",
                "id": activity.id,
                "actor": activity.actor.as_ref().map(person).transpose()?,
                "recipient": recipient,
                "data": activity.data,
                "inserted_at": activity.at,
                "updated_at": updated_at,
            }));
        }
        item["activities"] = json!(shown);
    }
    Ok(item)
}
