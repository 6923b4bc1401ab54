//! Who calls. Secret keys may do everything; public keys what a browser needs, and with a user token only for that
//! user and as its grants say (`knock-api.md` sections 1.2 to 1.5).

use actix_web::HttpRequest;
use actix_web::http::{StatusCode, header};

use super::State;
use super::error::ApiError;
pub use super::grants::Right;
use super::key_ring::KeyKind;
use super::user_token::UserToken;
use crate::base::clock::Timestamp;
use crate::model::access::Access;
use crate::model::message::Message;
use crate::model::recipient::RecipientRef;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A backend, by its secret key.
    Backend,
    /// A browser by its public key alone, which enhanced security never lets in.
    Browser,
    /// A browser by its public key and the token of its user.
    User(UserToken),
}

impl Subject {
    /// What of `user`'s the caller may use `right` on; an error when it is nothing.
    pub fn require(&self, user: &str, right: Right, state: &State) -> Result<Access, ApiError> {
        match self {
            Self::User(token) if token.user != user => {
                Err(forbidden("authorization", "the user token is another user's"))
            }
            _ => Ok(self.reach(right, state)?.access),
        }
    }

    /// An error unless the caller may use `right` on a user's, an object's or a tenant's. A token reaches objects and
    /// tenants only where a grant names them.
    pub fn require_of(&self, recipient: &RecipientRef, right: Right, state: &State) -> Result<(), ApiError> {
        match self {
            _ if recipient.is_user() => self.require(&recipient.id, right, state).map(drop),
            Self::User(token) if !token.grants.reach(recipient, right) => {
                Err(forbidden("authorization", format!("no grant gives `{}` on `{recipient}`", right.name())))
            }
            Self::User(_) => self.unexpired(state),
            Self::Backend | Self::Browser => Ok(()),
        }
    }

    /// A socket outlives the moment at which its token was checked.
    fn unexpired(&self, state: &State) -> Result<(), ApiError> {
        match self {
            Self::User(token) if token.expires_at <= state.now() => {
                Err(ApiError::unauthorized("invalid_user_token", "the user token has expired; sign a new one"))
            }
            _ => Ok(()),
        }
    }

    /// Whose items the caller may use `right` on, where a call does not name a user.
    pub fn reach(&self, right: Right, state: &State) -> Result<Reach, ApiError> {
        let Self::User(token) = self else { return Ok(Reach::EVERYTHING) };
        self.unexpired(state)?;
        let access = token.grants.access(right).ok_or_else(|| {
            forbidden("authorization", format!("the user token's grants do not include `{}`", right.name()))
        })?;
        Ok(Reach { user: Some(token.user.clone()), access })
    }

    /// When the caller is no longer who it is now.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match self {
            Self::Backend | Self::Browser => None,
            Self::User(token) => Some(token.expires_at),
        }
    }
}

/// How far a right reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Only the items of this user; `None`: of everybody.
    pub user: Option<String>,
    pub access: Access,
}

impl Reach {
    /// Everybody's items: what a key reaches that came without a token.
    pub const EVERYTHING: Self = Self { user: None, access: Access::Everything };

    /// Whether it reaches `message`. A caller is told of one that it does not reach as of one that does not exist.
    pub fn covers(&self, message: &Message) -> bool {
        let whose = self.user.as_ref().is_none_or(|user| message.recipient == RecipientRef::user(user.as_str()));
        whose && self.access.covers(message.tenant.as_deref())
    }
}

pub(super) fn forbidden(code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, code, message)
}

/// Who sent `request`.
pub fn authenticate(request: &HttpRequest, state: &State) -> Result<Subject, ApiError> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else {
        return connect(None, None, state);
    };
    // A header that is no bearer's is a key that nobody has.
    let key = value.to_str().ok().and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    // What is no text is a token that nobody has, not the absence of one.
    let token = request.headers().get("x-knock-user-token").map(|token| token.to_str().unwrap_or("?"));
    connect(Some(key.unwrap_or_default()), token, state)
}

/// Who has this key and token; a socket has them in its query. An empty token is none. A secret key needs no token and
/// none is looked at; beside a public key a token is checked also where none is needed, since whoever sends one relies
/// on it.
pub fn connect(api_key: Option<&str>, user_token: Option<&str>, state: &State) -> Result<Subject, ApiError> {
    let Some(key) = api_key else {
        return Err(ApiError::unauthorized(
            "authentication_required",
            "send an API key in the header `Authorization: Bearer <key>`",
        ));
    };
    let kind = state.keys.kind(key).ok_or_else(|| {
        // Knock's code for a key that is not known.
        ApiError::unauthorized(
            "api_key_missing",
            "the API key is not one of this server's: it is revoked, or neither in [auth] nor made by `belfry keys create` \
             or the first start",
        )
    })?;
    match (kind, user_token.filter(|token| !token.is_empty()), &state.user_tokens) {
        (KeyKind::Secret, _, _) => Ok(Subject::Backend),
        (KeyKind::Public, Some(token), Some(verifier)) => match verifier.verify(token, state.now()) {
            Ok(token) => Ok(Subject::User(token)),
            Err(error) => Err(ApiError::unauthorized("invalid_user_token", error.to_string())),
        },
        (KeyKind::Public, Some(_), None) => Err(ApiError::unauthorized(
            "missing_jwt_signing_key",
            "this server has no key to check user tokens with; `belfry keys generate-signing-key` makes a pair for \
             auth.signing_public_key and your backend",
        )),
        (KeyKind::Public, None, _) if state.enhanced_security => Err(ApiError::unauthorized(
            "missing_user_token",
            "enhanced security is on: a public key needs a user token in the header `X-Knock-User-Token`. Your backend \
             signs one, or `belfry keys sign-user`; auth.enhanced_security = false does without",
        )),
        (KeyKind::Public, None, _) => Ok(Subject::Browser),
    }
}

/// Lets only backends through.
pub fn require_secret(request: &HttpRequest, state: &State) -> Result<(), ApiError> {
    match authenticate(request, state)? {
        Subject::Backend => Ok(()),
        Subject::Browser | Subject::User(_) => Err(forbidden(
            "incorrect_token_type",
            "this call needs a secret key (sk_...); a public key reaches only what a browser needs",
        )),
    }
}
