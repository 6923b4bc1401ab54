//! Pages of lists that are sorted by key. A cursor is a key, so that it survives whatever happens to its row.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::query::Query;
use super::trigger::FieldError;

/// The largest page, and the default.
pub const MAX_PAGE: usize = 50;

/// Which page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    pub from: From,
    pub size: usize,
}

/// From where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    Start,
    /// Behind the row with this key.
    After(Vec<u8>),
    /// Next to the row with this key, and before it.
    Before(Vec<u8>),
}

/// A page, and the keys of the rows that its neighbours lie next to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub entries: Vec<T>,
    pub after: Option<Vec<u8>>,
    pub before: Option<Vec<u8>>,
}

impl PageRequest {
    /// Reads `after`, `before` and `page_size` of a query.
    pub fn from_query(query: Query<'_>, errors: &mut Vec<FieldError>) -> Self {
        let size = page_size(query, errors);
        let mut key = |name: &str| {
            let text = query.text(name)?;
            let key = self::key(text);
            if key.is_none() {
                errors.push(FieldError::new(name, format!("`{text}` is not a cursor; use one of `page_info`")));
            }
            key
        };
        let from = match (key("before"), key("after")) {
            (Some(before), _) => From::Before(before),
            (None, Some(after)) => From::After(after),
            (None, None) => From::Start,
        };
        Self { from, size }
    }
}

impl PageRequest {
    /// What a table would answer that held `rows`, sorted by key: those from where this says on, nearest first, one more
    /// than the page holds.
    pub fn select<T>(&self, rows: Vec<(Vec<u8>, T)>) -> Vec<(Vec<u8>, T)> {
        let most = self.size + 1;
        match &self.from {
            From::Start => rows.into_iter().take(most).collect(),
            From::After(key) => rows.into_iter().filter(|(row, _)| row > key).take(most).collect(),
            From::Before(key) => rows.into_iter().rev().filter(|(row, _)| row < key).take(most).collect(),
        }
    }
}

impl<T> Page<T> {
    /// The page of `rows`, which were read from where `request` says, nearest first, one more than it holds if there is
    /// one. A page that a cursor led to can always be left again on the side that it came from.
    pub fn of(mut rows: Vec<(Vec<u8>, T)>, request: &PageRequest) -> Self {
        let more = rows.len() > request.size;
        rows.truncate(request.size);
        let backwards = matches!(request.from, From::Before(_));
        if backwards {
            rows.reverse();
        }
        let (first, last) = (rows.first().map(|(key, _)| key.clone()), rows.last().map(|(key, _)| key.clone()));
        let (before, after) = match request.from {
            From::Start => (None, last.filter(|_| more)),
            From::After(_) => (first, last.filter(|_| more)),
            From::Before(_) => (first.filter(|_| more), last),
        };
        Self { entries: rows.into_iter().map(|(_, row)| row).collect(), after, before }
    }

    /// The page of `all`, which are few and in order, each with its key.
    pub fn within(all: Vec<(Vec<u8>, T)>, request: &PageRequest) -> Self {
        let rows = match &request.from {
            From::Start => all,
            From::After(cursor) => all.into_iter().skip_while(|(key, _)| key != cursor).skip(1).collect(),
            From::Before(cursor) => {
                let mut rows: Vec<_> = all.into_iter().take_while(|(key, _)| key != cursor).collect();
                rows.reverse();
                rows
            }
        };
        Self::of(rows, request)
    }

    /// The page of those of `ids` that `keep` shapes, newest first. It looks at as few of them as it can.
    pub fn newest_among<E>(
        mut ids: Vec<[u8; 16]>,
        request: &PageRequest,
        mut keep: impl FnMut([u8; 16]) -> Result<Option<T>, E>,
    ) -> Result<Self, E> {
        let is_behind = |id: &[u8; 16]| match &request.from {
            From::Start => true,
            From::After(cursor) => id.as_slice() < cursor.as_slice(),
            From::Before(cursor) => id.as_slice() > cursor.as_slice(),
        };
        ids.retain(is_behind);
        ids.sort_unstable();
        ids.dedup();
        if !matches!(request.from, From::Before(_)) {
            ids.reverse();
        }
        let mut rows = Vec::new();
        for id in ids {
            rows.extend(keep(id)?.map(|row| (id.to_vec(), row)));
            if rows.len() > request.size {
                break;
            }
        }
        Ok(Self::of(rows, request))
    }

    /// The wire form, with the entries as `json` says.
    pub fn to_json<E>(&self, request: &PageRequest, json: impl FnMut(&T) -> Result<Value, E>) -> Result<Value, E> {
        self.to_json_named("entries", request, json)
    }

    /// The same where the API calls the entries by another name.
    pub fn to_json_named<E>(
        &self,
        name: &str,
        request: &PageRequest,
        json: impl FnMut(&T) -> Result<Value, E>,
    ) -> Result<Value, E> {
        let entries = self.entries.iter().map(json).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({
            name: entries,
            "page_info": {
                "__typename": "PageInfo",
                "after": self.after.as_deref().map(cursor),
                "before": self.before.as_deref().map(cursor),
                "page_size": request.size,
            },
        }))
    }
}

/// The cursor of the row with this key.
pub fn cursor(key: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// The key of the row that a cursor is of.
pub fn key(cursor: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(cursor.trim_end_matches('=')).ok()
}

/// How many entries a page has.
pub fn page_size(query: Query<'_>, errors: &mut Vec<FieldError>) -> usize {
    let Some(text) = query.text("page_size") else { return MAX_PAGE };
    match text.parse::<i64>() {
        Ok(size) => usize::try_from(size.clamp(1, MAX_PAGE as i64)).unwrap_or(MAX_PAGE),
        Err(_) => {
            errors.push(FieldError::new("page_size", format!("is `{text}`; must be a number from 1 to {MAX_PAGE}")));
            MAX_PAGE
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn read(table: &BTreeSet<Vec<u8>>, request: &PageRequest) -> Page<Vec<u8>> {
        let rows = table.iter().map(|key| (key.clone(), key.clone())).collect();
        Page::of(request.select(rows), request)
    }

    #[test]
    fn a_query_says_where_and_how_much() {
        let ask = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let mut errors = Vec::new();
            let request = PageRequest::from_query(Query::new(&pairs), &mut errors);
            (request, errors.into_iter().map(|error| error.field).collect::<Vec<_>>())
        };
        assert_eq!(ask(&[]).0, PageRequest { from: From::Start, size: 50 });
        assert_eq!(
            ask(&[("page_size", "0"), ("after", "YQ==")]).0,
            PageRequest { from: From::After(b"a".into()), size: 1 }
        );
        assert_eq!(ask(&[("page_size", "51"), ("before", "YQ")]).0.from, From::Before(b"a".into()));
        assert_eq!(ask(&[("page_size", "x"), ("before", "*"), ("after", "ü")]).1, ["page_size", "before", "after"]);
    }

    proptest! {
        #[test]
        fn pages_of_a_list_in_memory_are_those_of_a_table(
            rows in prop::collection::btree_set(prop::collection::vec(any::<u8>(), 1..4), 0..20), size in 1usize..9,
            at in 0usize..20, backwards: bool
        ) {
            let all: Vec<_> = rows.iter().map(|key| (key.clone(), key.clone())).collect();
            let from = match all.get(at) {
                None => From::Start,
                Some((key, _)) if backwards => From::Before(key.clone()),
                Some((key, _)) => From::After(key.clone()),
            };
            let request = PageRequest { from, size };
            prop_assert_eq!(Page::within(all, &request), read(&rows, &request));
        }

        #[test]
        fn pages_show_each_row_once_forwards_and_backwards(
            rows in prop::collection::btree_set(prop::collection::vec(any::<u8>(), 1..4), 0..40), size in 1usize..9
        ) {
            let (mut forwards, mut from, mut last) = (Vec::new(), From::Start, None);
            loop {
                let page = read(&rows, &PageRequest { from, size });
                forwards.extend(page.entries.clone());
                last = page.entries.first().cloned().or(last);
                let Some(after) = page.after else { break };
                from = From::After(after);
            }
            prop_assert_eq!(&forwards, &rows.iter().cloned().collect::<Vec<_>>());
            let mut backwards: Vec<Vec<u8>> = rows.iter().filter(|row| Some(*row) >= last.as_ref()).cloned().collect();
            let mut from = last;
            while let Some(key) = from {
                let page = read(&rows, &PageRequest { from: From::Before(key), size });
                backwards.splice(0..0, page.entries.clone());
                from = page.before;
            }
            prop_assert_eq!(backwards, forwards);
        }
    }
}
