//! Audiences: users who are in a group that conditions ask for, each for one tenant or for none.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entries::{MAX_BULK, entries};
use super::profile::Profile;
use super::recipient::{RecipientRef, USERS, check_id, kind};
use super::trigger::{FieldError, NamedRecipient};
use crate::base::clock::Timestamp;

/// What becomes of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudienceChange {
    Add,
    Remove,
}

/// A user in an audience. The same user may be in it for several tenants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    pub user: RecipientRef,
    pub tenant: Option<String>,
    pub added_at: Timestamp,
}

/// Members as a call names them, and what it says of the users.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MembersRequest {
    pub members: Vec<(RecipientRef, Option<String>)>,
    pub people: Vec<(RecipientRef, Profile)>,
}

impl MembersRequest {
    /// Reads a body `{"members": [{"user": {"id", ...}, "tenant"}]}`.
    pub fn from_json(body: &Value) -> Result<Self, Vec<FieldError>> {
        let (mut request, mut errors) = (Self::default(), Vec::new());
        for (index, entry) in entries(body, "members", MAX_BULK, &mut errors).iter().enumerate() {
            let at = |key: &str| format!("members[{index}].{key}");
            let user = entry.get("user").unwrap_or(&Value::Null);
            let user = NamedRecipient::from_json(&at("user"), user, USERS, &mut errors);
            let tenant = match entry.get("tenant") {
                None | Some(Value::Null) => Ok(None),
                Some(Value::String(id)) => check_id("a tenant's id", id).map(|()| Some(id.clone())),
                Some(other) => Err(format!("must be a tenant's id, not {}", kind(other))),
            };
            let tenant = tenant.unwrap_or_else(|message| {
                errors.push(FieldError::new(at("tenant"), message));
                None
            });
            let Some(NamedRecipient { reference, inline, .. }) = user else { continue };
            if !reference.is_user() {
                errors.push(FieldError::new(at("user"), "must be a user; objects are in no audience"));
                continue;
            }
            request.people.extend(inline.map(|profile| (reference.clone(), profile)));
            request.members.push((reference, tenant));
        }
        if errors.is_empty() { Ok(request) } else { Err(errors) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_fault_of_a_member_is_named() {
        let body = json!({"members": [{"user": {"id": "ok", "name": "Ok"}, "tenant": "acme"}, {}, {"user": {"id": "a/b"}},
            {"user": {"id": "u"}, "tenant": ""}, {"user": {"id": "u"}, "tenant": 7},
            {"user": {"collection": "teams", "id": "t"}}]});
        let fields: Vec<_> =
            MembersRequest::from_json(&body).unwrap_err().into_iter().map(|error| error.field).collect();
        let expected =
            ["members[1].user", "members[2].user", "members[3].tenant", "members[4].tenant", "members[5].user"];
        assert_eq!(fields, expected);
        let one = json!({"members": [{"user": "u"}]});
        assert_eq!(MembersRequest::from_json(&one).unwrap().members, [(RecipientRef::user("u"), None)]);
    }
}
