//! User tokens: JSON web tokens that a backend signs for one user (`knock-api.md` section 1.3). RS256 and nothing else;
//! the key is the configured one, whatever a token's header says of keys.

use std::time::Duration;

use aws_lc_rs::rsa::PublicKey;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

use super::grants::{Claim, Grants};
use crate::base::clock::Timestamp;

/// How far the clocks of the signing backend and this server may differ.
const LEEWAY: Duration = Duration::from_secs(30);

/// A token of 1 KiB holds some ten grants, one of this size about a hundred; it comes with every request.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The shortest RSA key that is safe, in bytes of its modulus.
const MIN_MODULUS_BYTES: usize = 256;

/// The bearer of a token that was found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserToken {
    pub user: String,
    /// From then on it is no longer accepted: `exp`, and the leeway for it.
    pub expires_at: Timestamp,
    pub grants: Grants,
}

/// Why a token was refused. What it says never quotes the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the user token has {0} bytes; at most {MAX_TOKEN_BYTES} are allowed")]
    TooLarge(usize),
    #[error(
        "the user token is not a signed JSON web token with the claims `sub` (a user id) and `exp` (seconds since 1970)"
    )]
    Malformed,
    #[error("the user token must be signed with RS256")]
    Algorithm,
    #[error("the user token has critical extensions (`crit`), which this server does not know")]
    Critical,
    #[error("the user token's signature is not that of the private half of auth.signing_public_key")]
    Signature,
    #[error("the user token expired at {expired}; this server's clock says {now}. Sign a new one")]
    Expired { expired: Timestamp, now: Timestamp },
    #[error("the user token is valid from {from} on; this server's clock says {now}")]
    NotYet { from: Timestamp, now: Timestamp },
}

/// Why a text is no key to check tokens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("it holds a private key, which belongs to your backend alone; name the file with the public half")]
    Private,
    #[error("it is not the PEM of an RSA public key, which begins with `-----BEGIN PUBLIC KEY-----`")]
    NotRsa,
    #[error("its RSA key is shorter than 2048 bits")]
    Short,
}

/// Checks tokens.
pub struct Verifier {
    key: DecodingKey,
    validation: Validation,
}

/// Each claim at most once: a repeated one is an error.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    nbf: Option<f64>,
    grants: Option<Claim>,
    explicit_grants: Option<bool>,
}

impl Verifier {
    /// With the public key of a PEM file.
    pub fn new(pem: &str) -> Result<Self, KeyError> {
        let block = pem::parse(pem).map_err(|_| KeyError::NotRsa)?;
        if block.tag().contains("PRIVATE") {
            return Err(KeyError::Private);
        }
        let key = PublicKey::from_der(block.contents()).map_err(|_| KeyError::NotRsa)?;
        if key.modulus_len() < MIN_MODULUS_BYTES {
            return Err(KeyError::Short);
        }
        let mut validation = Validation::new(Algorithm::RS256);
        // `verify` looks at the times itself, by this server's clock, and no audience is agreed upon.
        (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
        validation.required_spec_claims.clear();
        Ok(Self { key: DecodingKey::from_rsa_der(key.as_ref()), validation })
    }

    /// Whose token it is at `now`.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<UserToken, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLarge(token.len()));
        }
        let decoded = decode::<Claims>(token, &self.key, &self.validation).map_err(|error| {
            use jsonwebtoken::errors::ErrorKind;
            match error.kind() {
                ErrorKind::InvalidAlgorithm => TokenError::Algorithm,
                ErrorKind::InvalidSignature => TokenError::Signature,
                _ => TokenError::Malformed,
            }
        })?;
        if decoded.header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        let claims = decoded.claims;
        if claims.sub.is_empty() {
            return Err(TokenError::Malformed);
        }
        let expired = instant(claims.exp);
        let expires_at = expired.plus(LEEWAY);
        if expires_at <= now {
            return Err(TokenError::Expired { expired, now });
        }
        if let Some(from) = claims.nbf.map(instant).filter(|from| from.minus(LEEWAY) > now) {
            return Err(TokenError::NotYet { from, now });
        }
        let explicit = claims.explicit_grants.unwrap_or(false);
        let grants = Grants::new(&claims.sub, explicit, claims.grants.unwrap_or_default());
        Ok(UserToken { user: claims.sub, expires_at, grants })
    }
}

/// The instant of a claim in seconds, which may have a fraction; what is too far away is the end of time.
fn instant(seconds: f64) -> Timestamp {
    // A cast saturates.
    Timestamp::from_micros((seconds * 1e6) as i64).min(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::grants::Right;
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::KeyPair as _;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{EncodingKey, crypto};
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::sync::LazyLock;

    const NOW: i64 = 1_800_000_000;

    struct Signer {
        private: EncodingKey,
        public_pem: String,
        private_pem: String,
    }

    fn signer() -> Signer {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let private_pem = pem::encode(&pem::Pem::new("PRIVATE KEY", private.as_ref()));
        Signer {
            private: EncodingKey::from_rsa_pem(private_pem.as_bytes()).unwrap(),
            public_pem: pem::encode(&pem::Pem::new("PUBLIC KEY", public.as_ref())),
            private_pem,
        }
    }

    static OURS: LazyLock<Signer> = LazyLock::new(signer);
    static OTHER: LazyLock<Signer> = LazyLock::new(signer);
    static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| Verifier::new(&OURS.public_pem).unwrap());

    /// A token of these texts, whatever they are.
    fn signed(header: &str, claims: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        format!("{message}.{}", crypto::sign(message.as_bytes(), key, algorithm).unwrap())
    }

    fn rs256(header: &Value, claims: &str) -> String {
        signed(&header.to_string(), claims, &OURS.private, Algorithm::RS256)
    }

    fn token(claims: Value) -> String {
        rs256(&json!({"alg": "RS256", "typ": "JWT"}), &claims.to_string())
    }

    fn verify(token: &str) -> Result<UserToken, TokenError> {
        VERIFIER.verify(token, Timestamp::from_millis(NOW * 1_000))
    }

    #[test]
    fn a_good_token_is_its_users_until_it_expires() {
        let good =
            verify(&token(json!({"sub": "ada", "iat": NOW, "exp": NOW + 3_600, "aud": "x", "jti": "y"}))).unwrap();
        assert_eq!(good.user, "ada");
        assert_eq!(good.expires_at, Timestamp::from_millis((NOW + 3_600 + 30) * 1_000));
        assert!(good.grants.access(Right::UserWrite).is_some());
        assert!(verify(&token(json!({"sub": "ada", "exp": NOW - 29}))).is_ok(), "within the leeway");
        assert!(verify(&token(json!({"sub": "ada", "exp": 1e18, "nbf": NOW + 30}))).is_ok());
        assert!(verify(&token(json!({"sub": "ada", "exp": NOW as f64 + 0.5, "grants": null}))).is_ok());
        let explicit = json!({"sub": "ada", "exp": NOW + 1, "explicit_grants": true});
        assert!(verify(&token(explicit)).unwrap().grants.access(Right::UserRead).is_none());
    }

    #[test]
    fn a_token_outside_its_time_says_so() {
        let told = verify(&token(json!({"sub": "ada", "exp": NOW - 30}))).unwrap_err().to_string();
        assert!(told.contains("expired at 2027-01-15T07:59:30"), "{told}");
        assert!(matches!(verify(&token(json!({"sub": "ada", "exp": -1e300}))), Err(TokenError::Expired { .. })));
        let early = json!({"sub": "ada", "exp": NOW + 100, "nbf": NOW + 31});
        assert!(matches!(verify(&token(early)), Err(TokenError::NotYet { .. })));
    }

    #[test]
    fn claims_that_are_missing_doubled_or_of_the_wrong_kind_are_refused() {
        for claims in [
            json!({"exp": NOW + 60}),
            json!({"sub": "ada"}),
            json!({"sub": "", "exp": NOW + 60}),
            json!({"sub": 7, "exp": NOW + 60}),
            json!({"sub": ["ada"], "exp": NOW + 60}),
            json!({"sub": null, "exp": NOW + 60}),
            json!({"sub": "ada", "exp": "never"}),
            json!({"sub": "ada", "exp": null}),
            json!({"sub": "ada", "exp": NOW + 60, "nbf": "now"}),
            json!({"sub": "ada", "exp": NOW + 60, "grants": ["user/read"]}),
            json!({"sub": "ada", "exp": NOW + 60, "grants": {"/v1/users/ada": ["user/read"]}}),
            json!({"sub": "ada", "exp": NOW + 60, "explicit_grants": "yes"}),
            json!(["ada"]),
        ] {
            assert_eq!(verify(&token(claims.clone())), Err(TokenError::Malformed), "{claims}");
        }
        for claims in [
            format!(r#"{{"sub": "ada", "sub": "bob", "exp": {}}}"#, NOW + 60),
            format!(r#"{{"sub": "ada", "exp": {}, "exp": 99999999999}}"#, NOW - 60),
            format!(r#"{{"sub": "ada", "exp": {}, "explicit_grants": true, "explicit_grants": false}}"#, NOW + 60),
            "{".to_owned(),
        ] {
            assert_eq!(verify(&rs256(&json!({"alg": "RS256"}), &claims)), Err(TokenError::Malformed), "{claims}");
        }
    }

    #[test]
    fn every_other_algorithm_and_key_is_refused() {
        let claims = json!({"sub": "ada", "exp": NOW + 60}).to_string();
        let with = |algorithm: Algorithm, key: &EncodingKey| {
            signed(&json!({"alg": algorithm}).to_string(), &claims, key, algorithm)
        };
        assert!(verify(&with(Algorithm::RS256, &OURS.private)).is_ok(), "the control");
        for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512] {
            assert_eq!(verify(&with(algorithm, &OURS.private)), Err(TokenError::Algorithm), "{algorithm:?}");
        }
        for secret in [OURS.public_pem.as_bytes(), OURS.public_pem.trim().as_bytes(), b""] {
            let forged = with(Algorithm::HS256, &EncodingKey::from_secret(secret));
            assert_eq!(verify(&forged), Err(TokenError::Algorithm));
        }
        // What it says and what it is differ.
        let disguised = signed(r#"{"alg":"RS256"}"#, &claims, &OURS.private, Algorithm::RS512);
        assert_eq!(verify(&disguised), Err(TokenError::Signature));
        assert_eq!(verify(&with(Algorithm::RS256, &OTHER.private)), Err(TokenError::Signature));
        for alg in ["none", "None", "NONE", "", "rs256", "RS256 "] {
            let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg}).to_string());
            let body = URL_SAFE_NO_PAD.encode(&claims);
            for token in [format!("{header}.{body}."), format!("{header}.{body}")] {
                assert_eq!(verify(&token), Err(TokenError::Malformed), "{alg}");
            }
            assert_eq!(verify(&rs256(&json!({"alg": alg}), &claims)), Err(TokenError::Malformed), "{alg}");
        }
    }

    #[test]
    fn what_a_header_says_of_keys_counts_for_nothing_and_critical_extensions_are_refused() {
        let claims = json!({"sub": "ada", "exp": NOW + 60}).to_string();
        for said in [
            json!({"kid": "../../dev/null"}),
            json!({"kid": "' OR 1=1 --"}),
            json!({"jku": "https://evil.test/keys", "x5u": "https://evil.test/cert"}),
            json!({"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}),
        ] {
            let mut header = said.clone();
            header["alg"] = json!("RS256");
            assert!(verify(&rs256(&header, &claims)).is_ok(), "{header}");
            let foreign = signed(&header.to_string(), &claims, &OTHER.private, Algorithm::RS256);
            assert_eq!(verify(&foreign), Err(TokenError::Signature), "{header}");
        }
        for crit in [json!(["b64"]), json!([])] {
            let header = json!({"alg": "RS256", "crit": crit, "b64": true});
            assert_eq!(verify(&rs256(&header, &claims)), Err(TokenError::Critical));
        }
        let doubled = signed(r#"{"alg":"none","alg":"RS256"}"#, &claims, &OURS.private, Algorithm::RS256);
        assert_eq!(verify(&doubled), Err(TokenError::Malformed));
    }

    #[test]
    fn a_token_of_any_size_is_refused_cheaply() {
        let claims = json!({"sub": "ada", "exp": NOW + 60, "pad": "x".repeat(MAX_TOKEN_BYTES)});
        assert!(matches!(verify(&token(claims)), Err(TokenError::TooLarge(_))));
        assert_eq!(verify(&"x".repeat(1 << 20)), Err(TokenError::TooLarge(1 << 20)));
    }

    #[test]
    fn only_the_pem_of_an_rsa_public_key_is_a_key() {
        let told = |text: &str| Verifier::new(text).err();
        assert_eq!(told(&OURS.private_pem), Some(KeyError::Private));
        assert_eq!(told(""), Some(KeyError::NotRsa));
        assert_eq!(told("hunter2"), Some(KeyError::NotRsa));
        assert_eq!(told(&pem::encode(&pem::Pem::new("PUBLIC KEY", [1, 2, 3]))), Some(KeyError::NotRsa));
        let windows = OURS.public_pem.replace('\n', "\r\n");
        assert_eq!(told(&windows), None);
    }

    proptest! {
        #[test]
        fn no_text_and_no_changed_token_is_taken(text in ".{0,80}", at in 0usize..400, bit in 0u8..7) {
            prop_assert!(verify(&text).is_err());
            let mut bytes = token(json!({"sub": "ada", "exp": NOW + 60})).into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(changed) = String::from_utf8(bytes) {
                prop_assert!(verify(&changed).is_err(), "byte {at}");
            }
        }
    }
}
