//! DKIM: signatures by which receivers know that a mail is its domain's own (RFC 6376, relaxed/relaxed; Ed25519 as in
//! RFC 8463). Pure: the same mail always gets the same signature.

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::base::clock::Timestamp;
use crate::base::config::is_aligned;

/// What is signed if it is there.
const SIGNED: [&str; 15] = [
    "From",
    "To",
    "Cc",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "In-Reply-To",
    "References",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Feedback-ID",
];

/// What is signed once more than it is there: who adds another one breaks the signature.
const SEALED: [&str; 7] = ["From", "To", "Cc", "Reply-To", "Subject", "Date", "Message-ID"];

/// The shortest RSA key that receivers take (RFC 8301 says 2048, and never less than 1024 bits), in bits.
const SHORTEST_RSA: usize = 1_024;

/// Characters of a line of the signature, and of a string in a DNS record.
const LINE: usize = 72;
const RECORD_STRING: usize = 255;

/// The keys of a channel.
#[derive(Default)]
pub struct Signers(Vec<Signer>);

impl Signers {
    /// Signs with these.
    pub fn new(signers: Vec<Signer>) -> Self {
        Self(signers)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Signer> {
        self.0.iter()
    }

    /// Those that sign mail from `domain`, so that DMARC counts their signatures: all of that very domain, or else all of
    /// one that is above or below it. `None`: there are keys, but none for it.
    pub fn of(&self, domain: &str) -> Option<Vec<&Signer>> {
        let exact = self.iter().find(|signer| signer.domain.eq_ignore_ascii_case(domain));
        let best = exact.or_else(|| self.iter().find(|signer| is_aligned(&signer.domain, domain)));
        match best {
            Some(best) => Some(self.iter().filter(|signer| signer.domain.eq_ignore_ascii_case(&best.domain)).collect()),
            None => self.0.is_empty().then(Vec::new),
        }
    }
}

/// Signs for one domain with one key.
pub struct Signer {
    domain: String,
    selector: String,
    key: Key,
}

enum Key {
    Rsa(Box<rsa::KeyPair>),
    Ed25519(Ed25519KeyPair),
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("is not a private key in PEM form; `openssl genrsa 2048` makes one")]
    NotPem,
    #[error("is neither an RSA nor an Ed25519 private key, or it is encrypted; `openssl genrsa 2048` makes one")]
    NotAKey,
    #[error("is an RSA key of {0} bits, which receivers ignore; `openssl genrsa 2048` makes one")]
    TooShort(usize),
}

impl Signer {
    /// Signs for `domain` with the private key in `pem`, whose public half is published under `selector`.
    pub fn new(domain: impl Into<String>, selector: impl Into<String>, pem: &str) -> Result<Self, KeyError> {
        let pem = pem::parse(pem).map_err(|_| KeyError::NotPem)?;
        let rsa = match pem.tag() {
            "RSA PRIVATE KEY" => rsa::KeyPair::from_der(pem.contents()),
            _ => rsa::KeyPair::from_pkcs8(pem.contents()),
        };
        let key = match rsa {
            Ok(key) if key.public_modulus_len() * 8 < SHORTEST_RSA => {
                return Err(KeyError::TooShort(key.public_modulus_len() * 8));
            }
            Ok(key) => Key::Rsa(Box::new(key)),
            // What openssl writes lacks the public half, which is made of the private one.
            Err(_) => {
                Key::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(pem.contents()).map_err(|_| KeyError::NotAKey)?)
            }
        };
        Ok(Self { domain: domain.into(), selector: selector.into(), key })
    }

    /// The TXT record that receivers look for: its name, and its strings in quotes as zone files write them.
    pub fn record(&self) -> (String, String) {
        let (kind, public) = match &self.key {
            Key::Rsa(key) => {
                let der: Option<PublicKeyX509Der<'_>> = key.public_key().as_der().ok();
                ("rsa", der.map(|der| STANDARD.encode(der.as_ref())).unwrap_or_default())
            }
            Key::Ed25519(key) => ("ed25519", STANDARD.encode(key.public_key().as_ref())),
        };
        let text = format!("v=DKIM1; k={kind}; p={public}");
        let strings: Vec<String> = pieces(&text, RECORD_STRING).map(|piece| format!("\"{piece}\"")).collect();
        (format!("{}._domainkey.{}", self.selector, self.domain), strings.join(" "))
    }

    /// The header that signs `message`, with its CRLF: it goes before all others. `None` if the key cannot sign.
    pub fn sign(&self, message: &[u8], at: Timestamp) -> Option<Vec<u8>> {
        let (head, body) = split(message);
        let fields = fields(head);
        let mut left: Vec<&[u8]> = fields.clone();
        let (mut names, mut signed) = (Vec::new(), Vec::new());
        for name in SIGNED {
            // The last of a name first, as receivers look for them.
            while let Some(place) = left.iter().rposition(|field| is_named(field, name)) {
                signed.extend(relaxed_field(left.remove(place)));
                names.push(name);
            }
            if SEALED.contains(&name) {
                names.push(name);
            }
        }
        let algorithm = match &self.key {
            Key::Rsa(_) => "rsa-sha256",
            Key::Ed25519(_) => "ed25519-sha256",
        };
        let body_hash = STANDARD.encode(digest::digest(&digest::SHA256, &relaxed_body(body)));
        let mut header = format!(
            "DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed; d={};\r\n s={}; t={};\r\n h={};\r\n bh={body_hash};\r\n b=",
            self.domain,
            self.selector,
            at.as_millis() / 1_000,
            names.join(":\r\n "),
        );
        let own = relaxed_field(header.as_bytes());
        signed.extend(own.strip_suffix(b"\r\n").unwrap_or(&own));
        let signature = STANDARD.encode(self.key.sign(&signed)?);
        let lines: Vec<&str> = pieces(&signature, LINE).collect();
        header.push_str(&lines.join("\r\n "));
        header.push_str("\r\n");
        Some(header.into_bytes())
    }
}

impl Key {
    fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).ok()?;
                Some(signature)
            }
            // RFC 8463: the hash is what is signed, not the text.
            Self::Ed25519(key) => Some(key.sign(digest::digest(&digest::SHA256, text).as_ref()).as_ref().to_vec()),
        }
    }
}

fn pieces(text: &str, length: usize) -> impl Iterator<Item = &str> {
    // Base64 and ASCII of our own: every byte is a character.
    text.as_bytes().chunks(length).map(|piece| std::str::from_utf8(piece).unwrap_or_default())
}

/// The header fields, and the body.
fn split(message: &[u8]) -> (&[u8], &[u8]) {
    match message.windows(4).position(|window| window == b"\r\n\r\n") {
        Some(end) => (&message[..end + 2], &message[end + 4..]),
        None => (message, &[]),
    }
}

/// Each field with the lines that it is folded over.
fn fields(head: &[u8]) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    let mut begin = 0;
    for at in 0..head.len() {
        let ends = head[..=at].ends_with(b"\r\n") && !matches!(head.get(at + 1), Some(b' ' | b'\t'));
        if ends {
            fields.push(&head[begin..=at]);
            begin = at + 1;
        }
    }
    fields
}

fn is_named(field: &[u8], name: &str) -> bool {
    let end = field.iter().position(|byte| *byte == b':').unwrap_or(0);
    field[..end].trim_ascii_end().eq_ignore_ascii_case(name.as_bytes())
}

/// RFC 6376, section 3.4.2: the name in lower case, and white space of any length and over any lines as one space.
fn relaxed_field(field: &[u8]) -> Vec<u8> {
    let end = field.iter().position(|byte| *byte == b':').unwrap_or(0);
    let mut relaxed = field[..end].trim_ascii_end().to_ascii_lowercase();
    relaxed.push(b':');
    let value: Vec<u8> = field[end..].iter().skip(1).copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    relaxed.extend(one_spaced(&value).trim_ascii());
    relaxed.extend(b"\r\n");
    relaxed
}

/// RFC 6376, section 3.4.4: no white space at the ends of lines, otherwise one space each, and no empty lines at the end.
fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let mut relaxed = Vec::with_capacity(body.len());
    let mut empty = 0;
    for line in body.split(|byte| *byte == b'\n') {
        let line = one_spaced(line.strip_suffix(b"\r").unwrap_or(line));
        let line = line.strip_suffix(b" ").unwrap_or(&line);
        if line.is_empty() {
            empty += 1;
            continue;
        }
        relaxed.extend(b"\r\n".repeat(empty));
        empty = 0;
        relaxed.extend(line);
        relaxed.extend(b"\r\n");
    }
    relaxed
}

fn one_spaced(text: &[u8]) -> Vec<u8> {
    let mut spaced: Vec<u8> = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b' ' | b'\t' if spaced.last() == Some(&b' ') => {}
            b' ' | b'\t' => spaced.push(b' '),
            byte => spaced.push(*byte),
        }
    }
    spaced
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::Pkcs8V1Der;
    use aws_lc_rs::rsa::KeySize;
    use pem::Pem;

    /// The private key of RFC 8463, appendix A.2, in the form that `openssl genpkey` writes.
    fn of_rfc_8463() -> String {
        let seed = STANDARD.decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=").unwrap();
        let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        pem::encode(&Pem::new("PRIVATE KEY", [head.as_slice(), &seed].concat()))
    }

    #[test]
    fn the_text_that_is_signed_is_that_of_the_examples_of_rfc_6376() {
        let message = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n";
        let (head, body) = split(message);
        let relaxed: Vec<u8> = fields(head).into_iter().flat_map(relaxed_field).collect();
        assert_eq!(String::from_utf8(relaxed).unwrap(), "a:X\r\nb:Y Z\r\n");
        assert_eq!(String::from_utf8(relaxed_body(body)).unwrap(), " C\r\nD E\r\n");
        assert_eq!(relaxed_body(b"\r\n\r\n"), b"");
    }

    #[test]
    fn the_record_of_a_key_is_what_rfc_8463_publishes_for_it() {
        let signer = Signer::new("football.example.com", "brisbane", &of_rfc_8463()).unwrap();
        let (name, text) = signer.record();
        assert_eq!(name, "brisbane._domainkey.football.example.com");
        assert_eq!(text, "\"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"");
    }

    #[test]
    fn the_very_domain_signs_before_one_above_it_and_no_other_does() {
        let signers = ["acme.test", "news.acme.test", "b.test", "News.acme.test"];
        let signers = Signers::new(signers.map(|domain| Signer::new(domain, "s", &of_rfc_8463()).unwrap()).into());
        let signing = |domain: &str| {
            let chosen = signers.of(domain)?;
            Some(chosen.iter().map(|signer| signer.domain.as_str()).collect::<Vec<_>>())
        };
        assert_eq!(signing("news.acme.test").unwrap(), ["news.acme.test", "News.acme.test"]);
        assert_eq!(signing("shop.acme.test").unwrap(), ["acme.test"]);
        assert_eq!(signing("evilb.test"), None);
        assert_eq!(Signers::default().of("a.test").map(|chosen| chosen.len()), Some(0));
    }

    #[test]
    fn a_key_of_either_kind_is_read_and_what_is_none_is_named() {
        let pair = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let signer = Signer::new("a.test", "s", &pem::encode(&Pem::new("PRIVATE KEY", der.as_ref()))).unwrap();
        let (_, text) = signer.record();
        assert!(text.starts_with("\"v=DKIM1; k=rsa; p=MII") && text.contains("\" \""), "{text}");
        let message = b"From: a@a.test\r\nTo: b@b.test\r\n\r\nHi\r\n";
        let at = Timestamp::from_millis(1_700_000_000_000);
        let signed = signer.sign(message, at).unwrap();
        assert_eq!(signer.sign(message, at).unwrap(), signed, "each attempt sends the same");
        let text = String::from_utf8(signed).unwrap();
        assert!(text.contains("h=From:\r\n From:\r\n To:\r\n To:\r\n Cc:\r\n Reply-To:"), "{text}");
        assert!(text.lines().all(|line| line.len() < 998));
        assert_eq!(Signer::new("a.test", "s", "no key").err(), Some(KeyError::NotPem));
        let other = pem::encode(&Pem::new("CERTIFICATE", b"x".as_slice()));
        assert_eq!(Signer::new("a.test", "s", &other).err(), Some(KeyError::NotAKey));
    }
}
