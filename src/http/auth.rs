//! API keys. Secret keys may do everything, public keys what a browser needs (`knock-api.md` section 1.4).

use std::collections::BTreeSet;

use actix_web::HttpRequest;
use actix_web::http::{StatusCode, header};
use subtle::{Choice, ConstantTimeEq};

use super::State;
use super::error::ApiError;
use crate::base::clock::Timestamp;

/// A key's hash: what is stored and compared, never the key.
pub type KeyHash = [u8; 32];

/// The hash of a key.
pub fn hash(key: &str) -> KeyHash {
    blake3::derive_key("belfry api key v1", key.as_bytes())
}

/// The keys that are accepted.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    pub secret: Vec<KeyHash>,
    pub public: Vec<KeyHash>,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A backend, by its secret key.
    Backend,
    /// A browser, by its public key.
    Browser,
}

/// What a caller wants to do on behalf of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    UserRead,
    UserWrite,
    FeedRead,
    FeedWrite,
}

/// Which of a user's items a right reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// All of them.
    Everything,
    /// Those of these tenants, and those without a tenant if `tenantless`.
    Tenants { tenants: BTreeSet<String>, tenantless: bool },
}

impl Subject {
    /// What of `user`'s the caller may use `right` on; an error when it is nothing.
    pub fn require(&self, _user: &str, _right: Right, _state: &State) -> Result<Access, ApiError> {
        match self {
            Self::Backend | Self::Browser => Ok(Access::Everything),
        }
    }

    /// When the caller is no longer who it is now.
    pub fn expires_at(&self) -> Option<Timestamp> {
        None
    }
}

impl Keys {
    /// Whose key it is. Every known key is compared in full, so that time tells nothing.
    fn subject(&self, key: &str) -> Option<Subject> {
        let hash = hash(key);
        let among =
            |keys: &[KeyHash]| keys.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(&hash)).into();
        let (secret, public): (bool, bool) = (among(&self.secret), among(&self.public));
        if secret { Some(Subject::Backend) } else { public.then_some(Subject::Browser) }
    }
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
    let token = request.headers().get("x-knock-user-token").and_then(|token| token.to_str().ok());
    connect(Some(key.unwrap_or_default()), token, state)
}

/// Who has this key and token; a socket has them in its query.
pub fn connect(api_key: Option<&str>, _user_token: Option<&str>, state: &State) -> Result<Subject, ApiError> {
    let Some(key) = api_key else {
        return Err(ApiError::unauthorized(
            "authentication_required",
            "send an API key in the header `Authorization: Bearer <key>`",
        ));
    };
    let subject = state.keys.subject(key).ok_or_else(|| {
        // Knock's code for a key that is not known.
        ApiError::unauthorized(
            "api_key_missing",
            "the API key is not one of this server's; it stands in auth.secret_keys, or was shown at the first start",
        )
    })?;
    if subject == Subject::Browser && state.enhanced_security {
        return Err(ApiError::unauthorized(
            "missing_user_token",
            "enhanced security is on, and this version of Belfry does not check user tokens yet: a public key alone \
             is refused",
        ));
    }
    Ok(subject)
}

/// Lets only backends through.
pub fn require_secret(request: &HttpRequest, state: &State) -> Result<(), ApiError> {
    match authenticate(request, state)? {
        Subject::Backend => Ok(()),
        Subject::Browser => Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "incorrect_token_type",
            "this call needs a secret key (sk_...); a public key reaches only what a browser needs",
        )),
    }
}
