//! Whose data a path names: `/v1/users/{id}/...` or `/v1/objects/{collection}/{id}/...`, and what follows.

use serde::Deserialize;

use super::error::ApiError;
use crate::model::recipient::{RecipientRef, USERS, check_id};
use crate::model::trigger::FieldError;

/// The parts of such a path.
#[derive(Debug, Deserialize)]
pub struct Whose {
    #[serde(default = "users")]
    collection: String,
    pub id: String,
    /// The id of a preference set.
    #[serde(default)]
    pub set: String,
    /// A section of the set, and a key in it.
    #[serde(default)]
    pub section: String,
    #[serde(default)]
    pub key: String,
    #[serde(default)]
    pub channel: String,
}

fn users() -> String {
    USERS.into()
}

impl Whose {
    /// The recipient that the path names.
    pub fn recipient(&self) -> Result<RecipientRef, ApiError> {
        let checks = [("collection", "a collection", &self.collection), ("id", "an id", &self.id)];
        let errors = checks.into_iter().filter_map(|(field, what, text)| {
            check_id(what, text).err().map(|message| FieldError::new(field, message))
        });
        match errors.collect::<Vec<_>>() {
            errors if errors.is_empty() => {
                Ok(RecipientRef { collection: self.collection.clone(), id: self.id.clone() })
            }
            errors => Err(ApiError::invalid(errors)),
        }
    }
}
