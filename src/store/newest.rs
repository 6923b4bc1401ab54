//! Lists of what has time-ordered ids, newest first.

use std::ops::Bound;
use std::time::Duration;

use super::codec::decode;
use super::read::Order;
use super::tables::{TableId, owned_prefix};
use super::{Reader, StoreError};
use crate::base::clock::Timestamp;
use crate::base::ids::MessageId;
use crate::model::message::Message;
use crate::model::page::{From, Page, PageRequest};
use crate::model::recipient::RecipientRef;

/// Records that a page looks at once it holds one: about 50 ms. What it did not find by then is on the next page.
const LOOKED_AT: usize = if cfg!(test) { 5 } else { 10_000 };
/// Records that a page looks at while it holds none, about 3 s of one reader: clients take an empty page for the end.
const LOOKED_AT_IN_VAIN: usize = 500_000;

impl Reader {
    /// A page of everybody's messages, or of one recipient's, whose ids were made within `made`, as `keep` shapes those
    /// that it keeps.
    pub fn messages_page<T>(
        &self,
        of: Option<&RecipientRef>,
        made: (Timestamp, Timestamp),
        request: &PageRequest,
        mut keep: impl FnMut(Message) -> Result<Option<T>, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let (table, prefix) = of.map_or((TableId::Messages, Vec::new()), |of| (TableId::MessagesOf, owned_prefix(of)));
        self.newest_page(table, &prefix, made, request, |id, value| {
            let message = match of {
                None => Some(decode(value)?),
                // Gone, or another recipient's by now: a deletion or a merge is under way.
                Some(of) => self.get(TableId::Messages, id)?.filter(|message: &Message| message.recipient == *of),
            };
            Ok(message.map(&mut keep).transpose()?.flatten())
        })
    }

    /// A page of what lies under `prefix` by time-ordered ids that were made within `made`. It costs what it looks at,
    /// however much there is; it may be short and still have a next one.
    pub(super) fn newest_page<T>(
        &self,
        table: TableId,
        prefix: &[u8],
        made: (Timestamp, Timestamp),
        request: &PageRequest,
        mut keep: impl FnMut(&[u8], &[u8]) -> Result<Option<T>, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let key = |id: &[u8]| [prefix, id].concat();
        let first = key(MessageId::least(made.0).as_bytes());
        let end = key(MessageId::least(made.1.plus(Duration::from_millis(1))).as_bytes());
        let (first, end, order) = match &request.from {
            From::Start => (Bound::Included(first), end, Order::NewestFirst),
            From::After(cursor) => (Bound::Included(first), end.min(key(cursor)), Order::NewestFirst),
            From::Before(cursor) => (Bound::Excluded(first.max(key(cursor))), end, Order::OldestFirst),
        };
        let (mut rows, mut looked_at, mut stopped_at) = (Vec::new(), 0, None);
        let span = (first.as_ref().map(Vec::as_slice), Bound::Excluded(end.as_slice()));
        self.walk_within(table, span, order, |key, value| {
            let id = key.get(prefix.len()..).unwrap_or_default();
            if let Some(row) = keep(id, value)? {
                rows.push((id.to_vec(), row));
            }
            looked_at += 1;
            let enough = if rows.is_empty() { LOOKED_AT_IN_VAIN } else { LOOKED_AT };
            let stops = looked_at >= enough && rows.len() <= request.size;
            stopped_at = stops.then(|| id.to_vec());
            Ok(!stops && rows.len() <= request.size)
        })?;
        let mut page = Page::of(rows, request);
        if stopped_at.is_some() {
            match order {
                Order::NewestFirst => page.after = stopped_at,
                Order::OldestFirst => page.before = stopped_at,
            }
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Bench, START};
    use super::*;
    use crate::store::op::NewMessage;

    const EVER: (Timestamp, Timestamp) = (Timestamp::from_millis(0), Timestamp::MAX);

    /// The ids that `request` leads to, page by page in its direction.
    fn walk(reader: &Reader, of: Option<&RecipientRef>, mut from: From, wanted: impl Fn(u8) -> bool) -> Vec<u8> {
        let backwards = matches!(from, From::Before(_));
        let mut found = Vec::new();
        loop {
            let request = PageRequest { from, size: 3 };
            let number = |message: Message| Ok(Some(message.id.as_bytes()[0]).filter(|number| wanted(*number)));
            let page = reader.messages_page(of, EVER, &request, number).unwrap();
            assert!(page.entries.len() <= 3);
            let next = if backwards { page.before } else { page.after };
            found.extend(if backwards { page.entries.into_iter().rev().collect() } else { page.entries });
            match next {
                Some(next) => from = if backwards { From::Before(next) } else { From::After(next) },
                None => return found,
            }
        }
    }

    #[tokio::test]
    async fn pages_that_stop_looking_lead_on_to_every_message_that_is_wanted() {
        let bench = Bench::new();
        for number in 1..=30 {
            bench.publish(number, if number % 2 == 0 { "even" } else { "odd" }, NewMessage::Keep).await;
        }
        let reader = bench.store.read().unwrap();
        let newest: Vec<u8> = (1..=30).rev().collect();
        let of = |wanted: fn(&u8) -> bool| newest.iter().copied().filter(wanted).collect::<Vec<_>>();
        assert_eq!(walk(&reader, None, From::Start, |_| true), newest);
        assert_eq!(walk(&reader, None, From::Start, |number| number % 4 == 0), of(|number| number % 4 == 0));
        assert_eq!(walk(&reader, None, From::Start, |number| number == 1), [1]);
        let even = RecipientRef::user("even");
        assert_eq!(walk(&reader, Some(&even), From::Start, |_| true), of(|number| number % 2 == 0));
        let oldest = From::Before(vec![0; 16]);
        assert_eq!(walk(&reader, None, oldest, |number| number % 4 == 0), (1..=7).map(|n| n * 4).collect::<Vec<_>>());
        let late = (START, Timestamp::from_millis(0));
        let none = reader.messages_page(None, late, &PageRequest { from: From::Start, size: 3 }, |_| Ok(Some(())));
        assert_eq!(none.unwrap().entries.len(), 0);
    }
}
