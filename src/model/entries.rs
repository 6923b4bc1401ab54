//! Lists in request bodies: bounded, and with every fault named by its place.

use serde_json::Value;

use super::recipient::{RecipientRef, check_id, kind};
use super::trigger::{FieldError, NamedRecipient};

/// The most users, objects, tenants or preference sets of one bulk call.
pub const MAX_BULK: usize = 1_000;

/// The list `name` of a body; empty, with the fault told, when there is none.
pub fn entries<'a>(body: &'a Value, name: &str, most: usize, errors: &mut Vec<FieldError>) -> &'a [Value] {
    match body.get(name) {
        Some(Value::Array(list)) if list.len() > most => {
            let message = format!("has {} entries; at most {most} are allowed, so send several calls", list.len());
            errors.push(FieldError::new(name, message));
        }
        Some(Value::Array(list)) => return list,
        None | Some(Value::Null) => {
            errors.push(FieldError::new(name, format!("is required: an array of up to {most}")))
        }
        Some(other) => errors.push(FieldError::new(name, format!("must be an array, not {}", kind(other)))),
    }
    &[]
}

/// The ids in the list `name`.
pub fn ids(body: &Value, name: &str, most: usize, errors: &mut Vec<FieldError>) -> Vec<String> {
    let mut found = Vec::new();
    for (index, value) in entries(body, name, most, errors).iter().enumerate() {
        let checked = match value {
            Value::String(id) => check_id("an id", id).map(|()| found.push(id.clone())),
            other => Err(format!("must be a string, not {}", kind(other))),
        };
        if let Err(message) = checked {
            errors.push(FieldError::new(format!("{name}[{index}]"), message));
        }
    }
    found
}

/// The recipients of `collection` that the list `name` describes.
pub fn described(
    body: &Value,
    name: &str,
    most: usize,
    collection: &str,
    errors: &mut Vec<FieldError>,
) -> Vec<NamedRecipient> {
    let mut found = Vec::new();
    for (index, value) in entries(body, name, most, errors).iter().enumerate() {
        let field = format!("{name}[{index}]");
        match NamedRecipient::from_json(&field, value, collection, errors) {
            Some(one) if one.reference.collection != collection => {
                errors.push(FieldError::new(
                    format!("{field}.collection"),
                    format!("must be `{collection}`, or left out"),
                ));
            }
            one => found.extend(one),
        }
    }
    found
}

/// The recipients of any collection that the list `name` describes; a bare id is one of `collection`.
pub fn recipients(
    body: &Value,
    name: &str,
    most: usize,
    collection: &str,
    errors: &mut Vec<FieldError>,
) -> Vec<NamedRecipient> {
    let list = entries(body, name, most, errors).iter().enumerate();
    list.filter_map(|(index, value)| NamedRecipient::from_json(&format!("{name}[{index}]"), value, collection, errors))
        .collect()
}

/// The recipients that the list `name` refers to.
pub fn references(body: &Value, name: &str, most: usize, errors: &mut Vec<FieldError>) -> Vec<RecipientRef> {
    let mut found = Vec::new();
    for (index, value) in entries(body, name, most, errors).iter().enumerate() {
        match RecipientRef::from_json(value) {
            Ok(reference) => found.push(reference),
            Err(message) => errors.push(FieldError::new(format!("{name}[{index}]"), message)),
        }
    }
    found
}
