//! Spans of time as queries write them.

use std::ops::Bound;

use super::query::Query;
use super::trigger::FieldError;
use crate::base::clock::Timestamp;

/// When items were inserted.
pub type Span = (Bound<Timestamp>, Bound<Timestamp>);

/// `inserted_at.gt`, `gte`, `lt` and `lte`, of which any may be absent.
pub fn inserted_at(query: Query<'_>, errors: &mut Vec<FieldError>) -> Span {
    let [gt, gte, lt, lte] = ["gt", "gte", "lt", "lte"].map(|side| {
        let text = query.field("inserted_at", side)?;
        instant(&format!("inserted_at.{side}"), text, errors)
    });
    span(gt, gte, lt, lte)
}

/// The instant at `field`.
pub fn instant(field: &str, text: &str, errors: &mut Vec<FieldError>) -> Option<Timestamp> {
    let at = text.parse().map(Timestamp::from_jiff);
    if at.is_err() {
        errors.push(FieldError::new(field, format!("`{text}` is no instant; write it as 2026-01-31T17:12:59Z")));
    }
    at.ok()
}

/// What lies within all bounds; of two on one side the narrower counts.
pub fn span(gt: Option<Timestamp>, gte: Option<Timestamp>, lt: Option<Timestamp>, lte: Option<Timestamp>) -> Span {
    let lower = match (gt, gte) {
        (Some(gt), gte) if gte.is_none_or(|gte| gte <= gt) => Bound::Excluded(gt),
        (_, Some(gte)) => Bound::Included(gte),
        _ => Bound::Unbounded,
    };
    let upper = match (lt, lte) {
        (Some(lt), lte) if lte.is_none_or(|lte| lte >= lt) => Bound::Excluded(lt),
        (_, Some(lte)) => Bound::Included(lte),
        _ => Bound::Unbounded,
    };
    (lower, upper)
}
