//! API keys. Secret keys may do everything, public keys what a browser needs (`knock-api.md` section 1.4).

use actix_web::HttpRequest;
use actix_web::http::{StatusCode, header};
use subtle::{Choice, ConstantTimeEq};

use super::State;
use super::error::ApiError;

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

/// Whom a key makes its bearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearer {
    /// A backend.
    Secret,
    /// A browser.
    Public,
}

impl Keys {
    /// Whose key it is. Every known key is compared in full, so that time tells nothing.
    fn bearer(&self, key: &str) -> Option<Bearer> {
        let hash = hash(key);
        let among =
            |keys: &[KeyHash]| keys.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(&hash)).into();
        let (secret, public): (bool, bool) = (among(&self.secret), among(&self.public));
        if secret { Some(Bearer::Secret) } else { public.then_some(Bearer::Public) }
    }
}

/// Whose key `request` carries.
pub fn authenticate(request: &HttpRequest, state: &State) -> Result<Bearer, ApiError> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else {
        return Err(ApiError::unauthorized(
            "authentication_required",
            "send an API key in the header `Authorization: Bearer <key>`",
        ));
    };
    let key = value.to_str().ok().and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let bearer = key.and_then(|key| state.keys.bearer(key)).ok_or_else(|| {
        // Knock's code for a key that is not known.
        ApiError::unauthorized(
            "api_key_missing",
            "the API key is not one of this server's; it stands in auth.secret_keys, or was shown at the first start",
        )
    })?;
    if bearer == Bearer::Public && state.enhanced_security {
        return Err(ApiError::unauthorized(
            "missing_user_token",
            "enhanced security is on, and this version of Belfry does not check user tokens yet: a public key alone \
             is refused",
        ));
    }
    Ok(bearer)
}

/// Lets only backends through.
pub fn require_secret(request: &HttpRequest, state: &State) -> Result<(), ApiError> {
    match authenticate(request, state)? {
        Bearer::Secret => Ok(()),
        Bearer::Public => Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "incorrect_token_type",
            "this call needs a secret key (sk_...); a public key reaches only what a browser needs",
        )),
    }
}
