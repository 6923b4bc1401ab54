//! Emails as bytes.

use std::time::{Duration, SystemTime};

use lettre::address::Envelope;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment as LettreAttachment, Body, Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};

use super::Mail;
use super::dkim::Signers;
use super::header::{encoded, feedback_id, list_unsubscribe, name, one_line};
use crate::base::clock::Timestamp;
use crate::base::config::Sender;
use crate::base::deps::panic_text;
use crate::model::attachment::Attachment;
use crate::model::message::Addressing;

/// A mail ready for the wire.
pub struct Composed {
    /// From whom it is, and to whom it goes, its recipient first.
    pub envelope: Envelope,
    /// The whole message, with CRLF line ends.
    pub bytes: Vec<u8>,
    /// What else is to be known of it.
    pub notes: Vec<String>,
    /// Of the address that it is from.
    domain: String,
    at: Timestamp,
}

impl Composed {
    /// The same with the signatures that count for whom it is from.
    pub fn signed(mut self, signers: &Signers) -> Result<Self, ComposeError> {
        let Some(chosen) = signers.of(&self.domain) else {
            self.notes.push(format!("not signed: the channel has no DKIM key for mail from {}", self.domain));
            return Ok(self);
        };
        let signatures = chosen.into_iter().map(|signer| signer.sign(&self.bytes, self.at).ok_or(ComposeError::Sign));
        let mut bytes = signatures.collect::<Result<Vec<_>, _>>()?.concat();
        bytes.append(&mut self.bytes);
        self.bytes = bytes;
        Ok(self)
    }
}

/// Why a mail cannot be composed; trying again would not help.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    #[error("`{0}` is not an email address")]
    Address(String),
    #[error("the message cannot be built: {0}")]
    Build(String),
    #[error("the message cannot be signed with the key of the channel's dkim_private_key")]
    Sign,
}

/// Builds the message. The same mail always gives the same bytes: `Message-ID`, `Date` and the boundary are fixed.
pub fn compose(from: &Sender, mail: &Mail) -> Result<Composed, ComposeError> {
    let build = || {
        let Addressing { to: others, cc, bcc, reply_to, headers, .. } = &*mail.content.addressing;
        let sender = sender(from, &mail.content.addressing)?;
        // What a person gave as their address is one, and nothing is looked for in it.
        let first = if others.is_empty() { Mailbox::new(None, address(&mail.to)?) } else { mailbox(&mail.to)? };
        let domain = sender.email.domain().to_owned();
        let micros = u64::try_from(mail.at.as_micros()).unwrap_or(0);
        // Told rather than read from the headers again: lettre does not read all that it writes.
        let (from, mut recipients) = (sender.email.clone(), vec![first.email.clone()]);
        let mut message = Message::builder()
            .from(sender)
            .to(first)
            .raw_header(text_header(HeaderName::new_from_ascii_str("Subject"), &mail.content.subject))
            .date(SystemTime::UNIX_EPOCH + Duration::from_micros(micros))
            .message_id(Some(format!("<{}@{domain}>", mail.message)))
            // RFC 3834: out-of-office replies are not sent to machines that say so.
            .raw_header(plain_header("Auto-Submitted", "auto-generated".to_owned()))
            .raw_header(plain_header("Feedback-ID", feedback_id(mail, &domain)));
        for (name, value) in list_unsubscribe(mail).into_iter().flatten() {
            message = message.raw_header(plain_header(name, value));
        }
        let mut recipient = |address: &String| {
            let mailbox = mailbox(address)?;
            recipients.push(mailbox.email.clone());
            Ok(mailbox)
        };
        // The first of them is whom the mail goes to.
        for address in others.iter().skip(1) {
            message = message.to(recipient(address)?);
        }
        for address in cc {
            message = message.cc(recipient(address)?);
        }
        for address in bcc {
            recipient(address)?;
        }
        for address in reply_to {
            message = message.reply_to(mailbox(address)?);
        }
        for (name, value) in headers {
            let wrong = || ComposeError::Build(format!("`{}` is no name of a header", one_line(name)));
            let name = HeaderName::new_from_ascii(name.clone()).map_err(|_| wrong())?;
            message = message.raw_header(text_header(name, value));
        }
        let failed = |error: lettre::error::Error| ComposeError::Build(error.to_string());
        let envelope = Envelope::new(Some(from), recipients).map_err(failed)?;
        let message = message.envelope(envelope.clone()).multipart(parts(mail)?).map_err(failed)?;
        Ok(Composed { envelope, bytes: message.formatted(), notes: Vec::new(), domain, at: mail.at })
    };
    // lettre has panicked on header text before; such a mail is undeliverable, and nothing else may suffer from it.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(build))
        .unwrap_or_else(|panic| Err(ComposeError::Build(panic_text(panic.as_ref()))))
}

/// The text and the HTML, with what the HTML shows, and then what is attached to both.
fn parts(mail: &Mail) -> Result<MultiPart, ComposeError> {
    let boundary = |name: &str| format!("belfry-{name}{}", mail.message.0.simple());
    let (shown, listed): (Vec<_>, Vec<_>) = mail.attachments.iter().partition(|file| file.inline);
    let text = SinglePart::plain(in_lines(&mail.content.text));
    let html = SinglePart::html(in_lines(&mail.content.html));
    let alternative = MultiPart::alternative().boundary(boundary("")).singlepart(text);
    let alternative = if shown.is_empty() {
        alternative.singlepart(html)
    } else {
        let mut related = MultiPart::related().boundary(boundary("related-")).singlepart(html);
        for file in shown {
            related = related.singlepart(part(file)?);
        }
        alternative.multipart(related)
    };
    if listed.is_empty() {
        return Ok(alternative);
    }
    let mut mixed = MultiPart::mixed().boundary(boundary("mixed-")).multipart(alternative);
    for file in listed {
        mixed = mixed.singlepart(part(file)?);
    }
    Ok(mixed)
}

/// With every end of a line as one that lettre turns into CRLF, and without other control characters. Lettre leaves both
/// as they are: where a server takes a bare CR for an end, a body could end its message and begin another, and many servers
/// refuse a mail with a NUL.
fn in_lines(text: &str) -> String {
    let is_unsendable = |letter: char| letter.is_ascii_control() && !matches!(letter, '\n' | '\t');
    text.replace("\r\n", "\n").replace('\r', "\n").replace(is_unsendable, "")
}

fn part(file: &Attachment) -> Result<SinglePart, ComposeError> {
    let wrong = || ComposeError::Build("an attachment has an impossible content type".to_owned());
    let kind = ContentType::parse(&one_line(&file.content_type)).map_err(|_| wrong())?;
    let name = one_line(&file.name);
    let part = match (&file.content_id, file.inline) {
        (Some(id), true) => LettreAttachment::new_inline_with_name(one_line(id), name),
        (None, true) => LettreAttachment::new_inline(name),
        (_, false) => LettreAttachment::new(name),
    };
    // Left to itself lettre sends ASCII as it is, with every bare CR and LF in it: not the same file any more when it
    // arrives, and one that could end its message and begin another.
    let content =
        Body::new_with_encoding(file.content.clone(), ContentTransferEncoding::Base64).map_err(|_| wrong())?;
    Ok(part.body(content, kind))
}

/// A header of text.
fn text_header(name: HeaderName, text: &str) -> HeaderValue {
    let line = one_line(text);
    match encoded(&line) {
        Some(encoded) => HeaderValue::dangerous_new_pre_encoded(name, line, encoded),
        None => HeaderValue::new(name, line),
    }
}

/// Who the mail is from: what the step says, else the channel.
fn sender(from: &Sender, addressing: &Addressing) -> Result<Mailbox, ComposeError> {
    let channel = || Ok(Mailbox::new(from.name.as_deref().map(name), address(&from.address)?));
    let mut sender = addressing.from_address.as_deref().map_or_else(channel, mailbox)?;
    if let Some(own) = &addressing.from_name {
        sender.name = Some(name(own));
    }
    sender.name = sender.name.filter(|name| !name.is_empty());
    Ok(sender)
}

/// The domain of what a step may say that its mail is from, as it is signed. None where no mail could be from it.
pub fn sender_domain(text: &str) -> Option<String> {
    mailbox(text).ok().map(|sender| sender.email.domain().to_owned())
}

/// Reads `a@b.c` or `Name <a@b.c>`: one address.
fn mailbox(text: &str) -> Result<Mailbox, ComposeError> {
    let line = one_line(text);
    let Some((named, rest)) = line.strip_suffix('>').and_then(|line| line.rsplit_once('<')) else {
        return Ok(Mailbox::new(None, address(&line)?));
    };
    let named = name(named.trim().trim_matches('"'));
    Ok(Mailbox::new((!named.is_empty()).then_some(named), address(rest.trim())?))
}

/// A header whose value is visible ASCII of our own making: encoded, a link would be none.
fn plain_header(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.clone(), value)
}

/// Reads an address. A domain of any script has a form in ASCII, which every server takes; what is before the `@` has none.
fn address(text: &str) -> Result<Address, ComposeError> {
    let wrong = || ComposeError::Address(one_line(text));
    let (local, domain) = text.rsplit_once('@').ok_or_else(wrong)?;
    let domain =
        if domain.is_ascii() { domain.to_owned() } else { idna::domain_to_ascii(domain).map_err(|_| wrong())? };
    Address::new(local, domain).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::MessageId;
    use crate::model::message::EmailContent;
    use proptest::prelude::*;

    fn mail(to: &str, subject: &str) -> Mail {
        Mail {
            message: MessageId::from([7; 16]),
            to: to.into(),
            content: EmailContent {
                subject: subject.into(),
                html: "<p>Hi ü</p>\n.\n".into(),
                text: "Hi ü\n.\n".into(),
                ..EmailContent::default()
            },
            attachments: Vec::new(),
            workflow: "w".into(),
            step_ref: "email_1".into(),
            at: Timestamp::from_millis(1_700_000_000_000),
        }
    }

    fn sender(name: &str) -> Sender {
        Sender { name: Some(name.into()), address: "no-reply@acme.test".into() }
    }

    #[test]
    fn every_attempt_sends_the_same_bytes() {
        let [first, second] = [0; 2].map(|_| compose(&sender("Acme, Inc."), &mail("u@x.test", "Hi")).unwrap().bytes);
        assert_eq!(first, second);
        let text = String::from_utf8(first).unwrap();
        assert!(text.contains("Message-ID: <07070707-0707-0707-0707-070707070707@acme.test>"), "{text}");
        assert!(text.contains("Date: Tue, 14 Nov 2023 22:13:20 +0000"), "{text}");
    }

    #[test]
    fn an_impossible_address_is_final_and_named() {
        let error = compose(&sender("Acme"), &mail("not an address", "Hi")).err().unwrap();
        assert_eq!(error, ComposeError::Address("not an address".into()));
    }

    #[test]
    fn commercial_mail_says_how_one_click_ends_it_and_every_mail_what_it_was() {
        let head = |mail: &Mail| {
            let text = String::from_utf8(compose(&sender("Acme"), mail).unwrap().bytes).unwrap();
            text.split("\r\n\r\n").next().unwrap().to_owned()
        };
        let mut mail = mail("u@x.test", "Hi");
        assert!(!head(&mail).contains("List-Unsubscribe"));
        assert!(head(&mail).contains("\r\nFeedback-ID: w:email_1:transactional:belfry-"), "{}", head(&mail));
        mail.content.unsubscribe = Some(format!("https://b.test/unsubscribe/{}", "x".repeat(300)));
        let found = head(&mail);
        assert!(found.contains(&format!("\r\nList-Unsubscribe: <https://b.test/unsubscribe/{}>\r\n", "x".repeat(300))));
        assert!(found.contains("\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click"), "{found}");
        assert!(found.contains(":commercial:belfry-"), "{found}");
    }

    #[test]
    fn a_domain_of_any_script_goes_out_in_ascii_and_what_is_before_it_as_it_is() {
        let from = Sender { name: None, address: "post@bücher.test".into() };
        let composed = compose(&from, &mail("jürgen@bücher.test", "Hi")).unwrap();
        let text = String::from_utf8(composed.bytes).unwrap();
        assert!(text.contains("To: jürgen@xn--bcher-kva.test\r\n"), "{text}");
        assert!(text.contains("@xn--bcher-kva.test>\r\n"), "{text}");
        assert_eq!(composed.envelope.from().unwrap().to_string(), "post@xn--bcher-kva.test");
    }

    proptest! {
        #[test]
        fn nothing_of_a_mail_adds_a_header_or_a_panic(
            name in "[a-z\\r\\n\\x00-\\x1f\u{2028}:<>\", é]{0,40}", subject in "[a-z\\r\\n\\x00-\\x1f\u{2029}: é]{0,80}",
            to in "([a-z\\r\\n\\x00\"<>, é]{0,9}@)?[a-z\\r\\n\\x00<>,:. é]{0,9}", step in "[a-z\\r\\n:é]{0,9}",
            link in "[a-z\\r\\n<>:é ]{0,9}",
        ) {
            let subject = format!("{subject}\r\nBcc: evil@x.test");
            let mut mail = mail(&to, &subject);
            mail.step_ref = step;
            mail.content.unsubscribe = Some(link);
            let Ok(composed) = compose(&sender(&format!("{name}\r\nX-Evil: 1")), &mail) else {
                let elsewhere = Mail { to: "u@x.test".into(), ..mail };
                prop_assert!(compose(&sender("Acme"), &elsewhere).is_ok(), "only the address can be at fault");
                return Ok(());
            };
            let text = String::from_utf8(composed.bytes).unwrap();
            let head = text.split("\r\n\r\n").next().unwrap();
            let names: Vec<&str> = head
                .split("\r\n")
                .filter(|line| !line.starts_with([' ', '\t']))
                .filter_map(|line| line.split_once(':').map(|(name, _)| name))
                .collect();
            for name in &names {
                prop_assert!(
                    [
                        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Feedback-ID",
                        "List-Unsubscribe", "List-Unsubscribe-Post", "MIME-Version", "Content-Type",
                    ]
                    .contains(name),
                    "{name} in {head}"
                );
            }
        }
    }
}
