//! What a client asks of a feed: which items, and which page of them.

use std::ops::{Bound, RangeBounds};

use super::cursor;
use crate::base::clock::Timestamp;
use crate::model::feed::FeedEntry;
use crate::model::query::Query;
use crate::model::trigger::FieldError;
use crate::model::trigger_data::TriggerDataFilter;

/// The largest page, and the default.
pub const MAX_PAGE: usize = 50;

/// Which items.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedFilter {
    pub status: StatusFilter,
    pub archived: ArchivedFilter,
    pub tenant: Option<String>,
    pub has_tenant: Option<bool>,
    /// The key of a workflow.
    pub source: Option<String>,
    /// Any of them; none: all items.
    pub workflow_categories: Vec<String>,
    pub trigger_data: TriggerDataFilter,
    pub inserted_at: Span,
}

/// When items were inserted.
pub type Span = (Bound<Timestamp>, Bound<Timestamp>);

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

impl FeedFilter {
    /// Reads the pairs of a query string, or of a socket's join in the same form. Unknown names are ignored, since
    /// clients send options of their own.
    pub fn from_pairs(pairs: &[(String, String)]) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let filter = Self::read(Query::new(pairs), &mut errors);
        if errors.is_empty() { Ok(filter) } else { Err(errors) }
    }

    fn read(query: Query<'_>, errors: &mut Vec<FieldError>) -> Self {
        let statuses = [
            ("all", StatusFilter::All),
            ("unread", StatusFilter::Unread),
            ("read", StatusFilter::Read),
            ("unseen", StatusFilter::Unseen),
            ("seen", StatusFilter::Seen),
        ];
        let trigger_data = TriggerDataFilter::from_query(&query).unwrap_or_else(|message| {
            errors.push(FieldError::new("trigger_data", message));
            TriggerDataFilter::default()
        });
        Self {
            status: choice(query, "status", &statuses, errors).unwrap_or(StatusFilter::All),
            archived: choice(query, "archived", &ARCHIVED, errors).unwrap_or(ArchivedFilter::Exclude),
            tenant: query.text("tenant").map(str::to_owned),
            has_tenant: choice(query, "has_tenant", &[("true", true), ("false", false)], errors),
            source: query.text("source").map(str::to_owned),
            workflow_categories: query.list("workflow_categories").map(str::to_owned).collect(),
            trigger_data,
            inserted_at: span(query, errors),
        }
    }

    /// Whether an item appears in this feed.
    pub fn shows(&self, entry: &FeedEntry) -> bool {
        self.has_status(entry) && self.in_scope(entry)
    }

    /// Whether the item belongs to what is counted: everything but the status.
    pub fn in_scope(&self, entry: &FeedEntry) -> bool {
        let archived = match self.archived {
            ArchivedFilter::Exclude => entry.engagement.archived_at.is_none(),
            ArchivedFilter::Include => true,
            ArchivedFilter::Only => entry.engagement.archived_at.is_some(),
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
            && (self.workflow_categories.is_empty()
                || self.workflow_categories.iter().any(|category| entry.categories.contains(category)))
            && self.inserted_at.contains(&entry.inserted_at)
            && self.trigger_data.matches(&entry.data)
    }

    fn has_status(&self, entry: &FeedEntry) -> bool {
        match self.status {
            StatusFilter::All => true,
            StatusFilter::Unread => entry.engagement.read_at.is_none(),
            StatusFilter::Read => entry.engagement.read_at.is_some(),
            StatusFilter::Unseen => entry.engagement.seen_at.is_none(),
            StatusFilter::Seen => entry.engagement.seen_at.is_some(),
        }
    }

    /// Whether everything that is not archived is in scope: then the stored counts are its counts.
    pub fn is_whole_feed(&self) -> bool {
        self.archived == ArchivedFilter::Exclude
            && self.tenant.is_none()
            && self.has_tenant.is_none()
            && self.source.is_none()
            && self.workflow_categories.is_empty()
            && self.trigger_data.is_empty()
            && self.inserted_at == (Bound::Unbounded, Bound::Unbounded)
    }
}

/// `archived` on the wire.
pub const ARCHIVED: [(&str, ArchivedFilter); 3] =
    [("exclude", ArchivedFilter::Exclude), ("include", ArchivedFilter::Include), ("only", ArchivedFilter::Only)];

/// The value of `name` among `known`; `None` when it is absent, or wrong.
fn choice<T: Copy>(query: Query<'_>, name: &str, known: &[(&str, T)], errors: &mut Vec<FieldError>) -> Option<T> {
    let text = query.text(name)?;
    let found = known.iter().find(|(key, _)| *key == text).map(|(_, value)| *value);
    if found.is_none() {
        let known: Vec<&str> = known.iter().map(|(key, _)| *key).collect();
        errors.push(FieldError::new(name, format!("is `{text}`, which is none of {}", known.join(", "))));
    }
    found
}

/// The bounds of `inserted_at`; of two on one side the narrower counts.
fn span(query: Query<'_>, errors: &mut Vec<FieldError>) -> Span {
    let mut at = |side: &str| {
        let text = query.field("inserted_at", side)?;
        let at = text.parse().map(Timestamp::from_jiff);
        at.map_err(|_| {
            let message = format!("`{text}` is not an instant; write it as 2026-01-31T17:12:59Z");
            errors.push(FieldError::new(format!("inserted_at.{side}"), message));
        })
        .ok()
    };
    let lower = match (at("gt"), at("gte")) {
        (Some(gt), gte) if gte.is_none_or(|gte| gte <= gt) => Bound::Excluded(gt),
        (_, Some(gte)) => Bound::Included(gte),
        _ => Bound::Unbounded,
    };
    let upper = match (at("lt"), at("lte")) {
        (Some(lt), lte) if lte.is_none_or(|lte| lte >= lt) => Bound::Excluded(lt),
        (_, Some(lte)) => Bound::Included(lte),
        _ => Bound::Unbounded,
    };
    (lower, upper)
}

/// A page of a feed.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedQuery {
    pub filter: FeedFilter,
    /// Without activities and nested data.
    pub compact: bool,
    /// Fields that are left out: `entries.data`.
    pub exclude: Vec<String>,
    pub page: Page,
    pub page_size: usize,
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
    /// Reads a query string's pairs.
    pub fn from_pairs(pairs: &[(String, String)]) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let query = Query::new(pairs);
        let filter = FeedFilter::read(query, &mut errors);
        let modes = [("rich", false), ("compact", true)];
        let compact = choice(query, "mode", &modes, &mut errors).unwrap_or_default();
        let page_size = match query.text("page_size").map(str::parse::<i64>) {
            None => MAX_PAGE,
            Some(Ok(size)) => usize::try_from(size.clamp(1, MAX_PAGE as i64)).unwrap_or(MAX_PAGE),
            Some(Err(_)) => {
                errors.push(FieldError::new("page_size", "must be a number from 1 to 50"));
                MAX_PAGE
            }
        };
        let mut at = |name: &str| {
            let text = query.text(name)?;
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
        let exclude = query.list("exclude").flat_map(|paths| paths.split(',')).map(|path| path.trim().to_owned());
        let query = Self { filter, compact, exclude: exclude.collect(), page, page_size };
        if errors.is_empty() { Ok(query) } else { Err(errors) }
    }
}
