//! The RSA key pair of user tokens: made, kept in files, and signed with on the command line. A server needs only the
//! public half; the private one belongs to the backend.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pem::Pem;
use serde_json::Value;

/// The variable in which Knock's SDKs look for the private key, as PEM or as that in base64.
pub const VARIABLE: &str = "KNOCK_SIGNING_KEY";

/// The files of a pair.
pub struct Files {
    /// PKCS#8 PEM, for the backend.
    pub private: PathBuf,
    /// The same as an environment file.
    pub environment: PathBuf,
    /// For `auth.signing_public_key`.
    pub public: PathBuf,
}

impl Files {
    /// Their places in `dir`.
    pub fn of(dir: &Path) -> Self {
        Self {
            private: dir.join("signing-key.pem"),
            environment: dir.join("signing-key.env"),
            public: dir.join("signing-key.public.pem"),
        }
    }
}

/// Makes a pair in `dir`. Files that are there are never overwritten: tokens that were signed with them would die.
pub fn create(dir: &Path) -> Result<Files> {
    let files = Files::of(dir);
    for path in [&files.private, &files.environment, &files.public] {
        ensure!(!path.exists(), "{} exists already and is left as it is; choose another folder", path.display());
    }
    let pair = KeyPair::generate(KeySize::Rsa2048).context("no RSA key could be made")?;
    let private: Pkcs8V1Der<'_> = pair.as_der().context("the RSA key could not be written")?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().context("the RSA key could not be written")?;
    let private = pem::encode_config(&Pem::new("PRIVATE KEY", private.as_ref()), LINES);
    let public = pem::encode_config(&Pem::new("PUBLIC KEY", public.as_ref()), LINES);
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    // The public half last: where it is, all are.
    write(&files.private, 0o600, &private)?;
    write(&files.environment, 0o600, &format!("{VARIABLE}={}\n", STANDARD.encode(&private)))?;
    write(&files.public, 0o644, &public)?;
    Ok(files)
}

const LINES: pem::EncodeConfig = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);

fn write(path: &Path, mode: u32, text: &str) -> Result<()> {
    let file = OpenOptions::new().create_new(true).write(true).mode(mode).open(path);
    let mut file = file.with_context(|| format!("{} cannot be written", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))
}

/// The public half of a developer's pair in its data folder, made when there is none.
pub fn of_developer(data_dir: &Path) -> Result<PathBuf> {
    let files = Files::of(data_dir);
    if files.public.exists() {
        return Ok(files.public);
    }
    // A start that was cut short left the private half alone; nothing was signed with it yet.
    for path in [&files.private, &files.environment] {
        if path.exists() {
            fs::remove_file(path).with_context(|| format!("{} cannot be removed", path.display()))?;
        }
    }
    Ok(create(data_dir)?.public)
}

/// Signs `claims` with a private key: PEM, or that in base64.
pub fn sign(key: &str, claims: &Value) -> Result<String> {
    let decoded = STANDARD.decode(key.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pem = decoded.as_deref().unwrap_or(key);
    if pem.contains("PUBLIC KEY") {
        bail!("the signing key is a public key; tokens are signed with the private half");
    }
    let key =
        EncodingKey::from_rsa_pem(pem.as_bytes()).context("the signing key is not the PEM of an RSA private key")?;
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims, &key).context("the token could not be signed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::http::user_token::Verifier;
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_a_made_pair_signs_is_taken_and_its_private_files_are_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("keys");
        let files = create(&dir).unwrap();
        for private in [&files.private, &files.environment] {
            assert_eq!(fs::metadata(private).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let verifier = Verifier::new(&fs::read_to_string(&files.public).unwrap()).unwrap();
        let pem = fs::read_to_string(&files.private).unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        let environment = fs::read_to_string(&files.environment).unwrap();
        let line = environment.strip_prefix("KNOCK_SIGNING_KEY=").unwrap();
        assert!(line.starts_with("LS0tLS1CRUdJTi") && line.trim().lines().count() == 1);
        for key in [pem.as_str(), line] {
            let token = sign(key, &json!({"sub": "ada", "exp": 2_000_000_000})).unwrap();
            assert_eq!(verifier.verify(&token, Timestamp::from_millis(1)).unwrap().user, "ada");
        }
        assert!(create(&dir).err().unwrap().to_string().contains("exists already"));
        assert_eq!(of_developer(&dir).unwrap(), files.public);
        assert_eq!(fs::read_to_string(&files.private).unwrap(), pem, "it is left as it was");
        fs::remove_file(&files.public).unwrap();
        of_developer(&dir).unwrap();
        assert_ne!(fs::read_to_string(&files.private).unwrap(), pem, "half a pair is made anew");
        let public = fs::read_to_string(&files.public).unwrap();
        assert!(sign(&public, &json!({})).unwrap_err().to_string().contains("private half"));
        assert!(sign("hunter2", &json!({})).is_err());
    }
}
