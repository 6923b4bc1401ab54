//! What a client asks of a feed: which items, and which page of them.

use std::ops::{Bound, RangeBounds};

use super::cursor;
use crate::base::clock::Timestamp;
use crate::model::access::Access;
use crate::model::engagement::{STATUSES, StatusFilter};
use crate::model::feed::{FeedEntry, Parts};
use crate::model::page::page_size;
use crate::model::query::{Query, choice};
use crate::model::span::{self, Span};
use crate::model::trigger::FieldError;
use crate::model::trigger_data::TriggerDataFilter;

/// How deep a field may lie that is left out of an answer.
const EXCLUDE_LEVELS: usize = 3;

/// Which items.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedFilter {
    pub status: StatusFilter,
    pub archived: ArchivedFilter,
    /// Any of them, and what belongs to no tenant; none: all items.
    pub tenants: Vec<String>,
    /// Only what belongs to a tenant, or only what does not.
    pub has_tenant: Option<bool>,
    /// Any of these workflows; none: all items.
    pub workflows: Vec<String>,
    /// Any of them; none: all items.
    pub workflow_categories: Vec<String>,
    pub trigger_data: TriggerDataFilter,
    pub inserted_at: Span,
    /// What the caller may see at all.
    pub access: Access,
}

/// How many of them a feed can be asked for: the first.
const FEED_STATUSES: usize = 5;

/// By archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchivedFilter {
    Exclude,
    Include,
    Only,
}

/// `archived` on the wire.
pub const ARCHIVED: [(&str, ArchivedFilter); 3] =
    [("exclude", ArchivedFilter::Exclude), ("include", ArchivedFilter::Include), ("only", ArchivedFilter::Only)];

/// `has_tenant` on the wire.
pub const HAS_TENANT: [(&str, bool); 2] = [("true", true), ("false", false)];

impl FeedFilter {
    /// Reads the pairs of a query string, or of a socket's join in the same form. Unknown names are ignored, since
    /// clients send options of their own.
    pub fn from_pairs(pairs: &[(String, String)]) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let filter = Self::read(Query::new(pairs), &mut errors);
        if errors.is_empty() { Ok(filter) } else { Err(errors) }
    }

    fn read(query: Query<'_>, errors: &mut Vec<FieldError>) -> Self {
        Self {
            status: choice(query, "status", &STATUSES[..FEED_STATUSES], errors).unwrap_or(StatusFilter::All),
            archived: choice(query, "archived", &ARCHIVED, errors).unwrap_or(ArchivedFilter::Exclude),
            tenants: query.text("tenant").map(str::to_owned).into_iter().collect(),
            has_tenant: choice(query, "has_tenant", &HAS_TENANT, errors),
            workflows: query.text("source").map(str::to_owned).into_iter().collect(),
            workflow_categories: query.list("workflow_categories").map(str::to_owned).collect(),
            trigger_data: TriggerDataFilter::read(query, errors),
            inserted_at: span::inserted_at(query, errors),
            access: Access::Everything,
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
        archived
            && self.covers_kind(entry.kind())
            && self.inserted_at.contains(&entry.inserted_at)
            && self.trigger_data.matches(&entry.data)
    }

    /// Whether items of this kind are in scope, but for what differs among them.
    pub fn covers_kind(&self, (workflow, tenant, categories): Parts<'_>) -> bool {
        // A tenant's feed also shows what belongs to no tenant, unless `has_tenant` says otherwise.
        tenant.is_none_or(|tenant| among(&self.tenants, tenant))
            && self.access.covers(tenant)
            && self.has_tenant.is_none_or(|wanted| wanted == tenant.is_some())
            && among(&self.workflows, workflow)
            && (self.workflow_categories.is_empty()
                || self.workflow_categories.iter().any(|category| categories.contains(category)))
    }

    /// Whether all items of one kind that are archived, or are not, are in scope or none are.
    pub fn is_by_kind(&self) -> bool {
        self.trigger_data.is_empty() && self.inserted_at == (Bound::Unbounded, Bound::Unbounded)
    }

    fn has_status(&self, entry: &FeedEntry) -> bool {
        self.status.covers(&entry.engagement)
    }

    /// Whether everything that is not archived is in scope: then the stored counts are its counts.
    pub fn is_whole_feed(&self) -> bool {
        self.archived == ArchivedFilter::Exclude
            && self.tenants.is_empty()
            && self.has_tenant.is_none()
            && self.workflows.is_empty()
            && self.workflow_categories.is_empty()
            && self.access == Access::Everything
            && self.is_by_kind()
    }
}

/// Whether `one` is among `wanted`, or nothing is wanted in particular.
fn among(wanted: &[String], one: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| wanted == one)
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
        let page_size = page_size(query, &mut errors);
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
        let exclude: Vec<String> = exclude.filter(|path| !path.is_empty()).collect();
        if let Some(deep) = exclude.iter().find(|path| path.split('.').count() > EXCLUDE_LEVELS) {
            errors.push(FieldError::new("exclude", format!("`{deep}` has more than {EXCLUDE_LEVELS} levels")));
        }
        let query = Self { filter, compact, exclude, page, page_size };
        if errors.is_empty() { Ok(query) } else { Err(errors) }
    }
}
