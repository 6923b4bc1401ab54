//! SMTP. With `email.rs`, all that knows lettre.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands;
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::Response;
use tokio::net::{TcpStream, lookup_host};

use super::dkim::Signers;
use super::email::{Composed, compose};
use super::{EmailProvider, Mail, RefusedCopy, Sent};
use crate::base::clock::Stopwatch;
use crate::base::config::{Sender, SmtpSettings, Tls};
use crate::model::message::AttemptResult;

/// A connection that nobody used for this long is not used again: servers and firewalls forget it.
const LONGEST_IDLE: Duration = Duration::from_secs(60);

/// An SMTP server, and the connections to it that wait for their next mail.
pub struct Smtp {
    from: Sender,
    signers: Signers,
    host: String,
    port: u16,
    encryption: Encryption,
    login: Option<Credentials>,
    limits: Limits,
    idle: Mutex<Vec<Idle>>,
}

enum Encryption {
    None,
    Starttls(TlsParameters),
    Tls(TlsParameters),
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Stopwatch,
}

/// The timeouts of SMTP.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of one connect, and of asking whether an idle connection still works.
    pub connect_timeout: Duration,
    /// Of one attempt as a whole.
    pub timeout: Duration,
}

impl Smtp {
    /// A provider for `settings`. Nothing is connected yet: a server that is down is found by the first attempt.
    pub fn new(settings: &SmtpSettings, signers: Signers, limits: Limits) -> Result<Self, String> {
        let parameters = || TlsParameters::new(settings.host.clone()).map_err(|error| error.to_string());
        let login = settings.credentials.as_ref();
        Ok(Self {
            from: settings.email.from.clone(),
            signers,
            host: settings.host.clone(),
            port: settings.port,
            encryption: match settings.tls {
                Tls::None => Encryption::None,
                Tls::Starttls => Encryption::Starttls(parameters()?),
                Tls::Tls => Encryption::Tls(parameters()?),
            },
            login: login.map(|login| Credentials::new(login.username.clone(), login.password.expose().to_owned())),
            limits,
            idle: Mutex::default(),
        })
    }

    async fn attempt(&self, mail: &Mail) -> Sent {
        let composed = compose(&self.from, mail).and_then(|mail| mail.signed(&self.signers));
        let composed = match composed {
            Ok(composed) => composed,
            Err(error) => return Sent::new(AttemptResult::Permanent, error.to_string()),
        };
        let mut refused = Vec::new();
        let sent = match tokio::time::timeout(self.limits.timeout, self.hand_over(&composed, &mut refused)).await {
            Ok(Ok(response)) => {
                let words: Vec<&str> = response.message().collect();
                Sent::new(AttemptResult::Accepted, format!("{} {}", response.code(), words.join(" ")))
            }
            Ok(Err(failure)) => Sent::new(failure.result, failure.said),
            // After DATA the server may have accepted it: the next attempt has the same Message-ID.
            Err(_) => Sent::new(AttemptResult::Transient, format!("no answer within {:?}", self.limits.timeout)),
        };
        Sent { notes: composed.notes, refused, ..sent }
    }

    async fn hand_over(&self, composed: &Composed, refused: &mut Vec<RefusedCopy>) -> Result<Response, Failure> {
        let mut connection = self.connection().await?;
        let sent = transact(&mut connection, composed, refused).await;
        if sent.is_err() {
            connection.abort().await;
        }
        // Not reached when time runs out: on a connection whose last answer is still to come, the next mail would take
        // it for its own. lettre's pool keeps such connections, so it is not used.
        if !connection.has_broken() {
            self.idle().push(Idle { connection, since: Stopwatch::start() });
        }
        sent
    }

    /// An idle connection that still works, or a new one. There are never more than attempts at once.
    async fn connection(&self) -> Result<AsyncSmtpConnection, Failure> {
        while let Some(mut idle) = self.take_idle() {
            let works = tokio::time::timeout(self.limits.connect_timeout, idle.connection.test_connected());
            if works.await == Ok(true) {
                return Ok(idle.connection);
            }
        }
        self.connect().await
    }

    fn take_idle(&self) -> Option<Idle> {
        let mut idle = self.idle();
        idle.retain(|idle| idle.since.elapsed() < LONGEST_IDLE);
        idle.pop()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether the server lets us in: connects, logs in, and takes leave. Nothing is sent.
    pub async fn try_login(&self) -> Result<(), String> {
        let enter = async {
            let mut connection = self.connect().await.map_err(|failure| failure.said)?;
            let works = connection.test_connected().await;
            connection.abort().await;
            works.then_some(()).ok_or_else(|| "it did not answer NOOP".to_owned())
        };
        let no_answer = |_| Err(format!("no answer within {:?}", self.limits.timeout));
        tokio::time::timeout(self.limits.timeout, enter).await.unwrap_or_else(no_answer)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Failure> {
        let hello = ClientId::default();
        let mut connection = match &self.encryption {
            // lettre opens this one itself, and keeps its socket to itself.
            Encryption::Tls(parameters) => {
                let (server, timeout) = ((self.host.as_str(), self.port), Some(self.limits.connect_timeout));
                AsyncSmtpConnection::connect_tokio1(server, timeout, &hello, Some(parameters.clone()), None).await?
            }
            Encryption::None | Encryption::Starttls(_) => {
                AsyncSmtpConnection::connect_with_transport(Box::new(self.socket().await?), &hello).await?
            }
        };
        if let Encryption::Starttls(parameters) = &self.encryption {
            connection.starttls(parameters.clone(), &hello).await?;
        }
        if let Some(login) = &self.login {
            connection.auth(DEFAULT_MECHANISMS, login).await?;
        }
        Ok(connection)
    }

    /// A socket to the first of the server's addresses that answers. It sends what it has at once: the end of a mail comes
    /// in a write of its own, which would wait for the server to acknowledge the mail, and servers put that off by 40 ms.
    async fn socket(&self) -> io::Result<TcpStream> {
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in lookup_host((self.host.as_str(), self.port)).await? {
            match tokio::time::timeout(self.limits.connect_timeout, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => failed = error,
                Err(_) => failed = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failed)
    }
}

/// Why a mail was not handed over.
struct Failure {
    result: AttemptResult,
    said: String,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self { result: AttemptResult::Transient, said: format!("Connection error: {error}") }
    }
}

impl From<SmtpError> for Failure {
    fn from(error: SmtpError) -> Self {
        Self { result: result_of(&error), said: said(&error) }
    }
}

/// Hands one mail over on a connection that works. Without its recipient there is no mail; without one of those that get a
/// copy there is, and who is refused for good goes into `refused`.
async fn transact(
    connection: &mut AsyncSmtpConnection,
    composed: &Composed,
    refused: &mut Vec<RefusedCopy>,
) -> Result<Response, Failure> {
    let Composed { envelope, bytes, .. } = composed;
    let knows = |extension| connection.server_info().supports_feature(extension);
    let mut parameters = Vec::new();
    let strange =
        envelope.from().into_iter().chain(envelope.to()).find(|address| !AsRef::<str>::as_ref(*address).is_ascii());
    match strange {
        Some(address) if !knows(Extension::SmtpUtfEight) => {
            let said = format!(
                "the mail server does not take addresses such as `{address}` (SMTPUTF8); before the @ it takes ASCII only"
            );
            return Err(Failure { result: AttemptResult::Permanent, said });
        }
        Some(_) => parameters.push(MailParameter::SmtpUtfEight),
        None => {}
    }
    // Only addresses are not ASCII in what is composed, and what takes those has to take 8 bits.
    if !bytes.is_ascii() && knows(Extension::EightBitMime) {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    connection.command(commands::Mail::new(envelope.from().cloned(), parameters)).await?;
    for (place, recipient) in envelope.to().iter().enumerate() {
        let heard = connection.command(commands::Rcpt::new(recipient.clone(), Vec::new())).await;
        let Err(error) = heard else { continue };
        let (is_gone, is_final, failure) = (says_no_such_address(&error), error.is_permanent(), Failure::from(error));
        if place > 0 && is_final {
            refused.push(RefusedCopy { address: recipient.to_string(), said: failure.said, is_gone });
        } else {
            return Err(if is_gone { Failure { result: AttemptResult::Bounced, ..failure } } else { failure });
        }
    }
    connection.command(commands::Data).await?;
    Ok(connection.message(bytes).await?)
}

/// Whether a refusal of an address is about that address and for good: the codes of RFC 3463 for a mailbox or domain that
/// is not there or moved away, and of RFC 7505 for one that takes no mail. Others are about the sender, or policy.
fn says_no_such_address(error: &SmtpError) -> bool {
    let reply = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let code = reply.split_whitespace().next().unwrap_or_default();
    error.is_permanent() && ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"].contains(&code)
}

impl EmailProvider for Smtp {
    fn send<'a>(&'a self, mail: &'a Mail) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        Box::pin(self.attempt(mail))
    }
}

/// Only a 5xx reply is final (RFC 5321, section 4.2.1); whatever else went wrong may be cured.
fn result_of(error: &SmtpError) -> AttemptResult {
    if error.is_permanent() { AttemptResult::Permanent } else { AttemptResult::Transient }
}

/// The error with its causes: lettre's own text names only the kind.
fn said(error: &SmtpError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
