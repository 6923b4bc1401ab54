//! An SMTP server that speaks the protocol, records what it accepts before it says so, and misbehaves on demand.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use belfry::base::clock::sleep;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::server::DEADLINE;

/// A message as it came over the wire, dots unstuffed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    pub from: String,
    pub to: String,
    pub bytes: Vec<u8>,
}

impl Mail {
    /// The headers with their names, unfolded, in order.
    pub fn headers(&self) -> Vec<(String, String)> {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        let head = text.split("\r\n\r\n").next().unwrap_or_default();
        head.replace("\r\n ", " ")
            .replace("\r\n\t", " ")
            .split("\r\n")
            .map(|line| line.split_once(':').unwrap_or_else(|| panic!("not a header: {line:?}")))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect()
    }

    /// The value of a header that occurs once.
    pub fn header(&self, name: &str) -> String {
        let found: Vec<String> =
            self.headers().into_iter().filter(|(known, _)| known == name).map(|(_, value)| value).collect();
        assert_eq!(found.len(), 1, "{name} occurs {} times", found.len());
        found[0].clone()
    }

    pub fn subject(&self) -> String {
        self.header("Subject")
    }

    pub fn message_id(&self) -> String {
        self.header("Message-ID")
    }

    /// Everything after the headers, quoted-printable undone.
    pub fn body(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body).replace("=\r\n", "");
        let mut decoded = Vec::new();
        let mut rest = body.as_bytes();
        while let Some((&first, after)) = rest.split_first() {
            let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
            match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| first == b'=') {
                Some(byte) => {
                    decoded.push(byte);
                    rest = &after[2..];
                }
                None => {
                    decoded.push(first);
                    rest = after;
                }
            }
        }
        String::from_utf8_lossy(&decoded).into_owned()
    }
}

/// Where in a session the script is asked.
pub enum Step<'a> {
    Greeting,
    Rcpt(&'a str),
    /// The whole message has come, and the client waits for the answer.
    Message(&'a Mail),
}

/// What the server does then.
pub enum Answer {
    Accept,
    /// Accepts after a while.
    AcceptAfter(Duration),
    /// Says this line, and takes nothing.
    Reply(&'static str),
    /// Says nothing more, and takes nothing.
    Silence,
    /// Takes the message and says nothing more.
    AcceptInSilence,
    /// Takes the message and drops the connection before it says so.
    AcceptAndHangUp,
}

type Script = Box<dyn FnMut(Step<'_>) -> Answer + Send>;

struct Shared {
    script: Mutex<Script>,
    seen: watch::Sender<Seen>,
}

#[derive(Default)]
struct Seen {
    accepted: Vec<Mail>,
    /// Also those that were refused.
    offered: Vec<Mail>,
    /// RCPT commands by address.
    recipients: BTreeMap<String, usize>,
    logins: usize,
}

/// The server. It listens until it is dropped or stopped, and keeps its port while it is down.
pub struct SmtpServer {
    pub port: u16,
    shared: Arc<Shared>,
    serving: Serving,
}

enum Serving {
    Up(JoinHandle<()>),
    Down(TcpSocket),
    /// Its queue of connections is full, and nobody takes one out.
    Full {
        _listener: TcpListener,
        _queued: Vec<TcpStream>,
    },
}

impl SmtpServer {
    /// A server that accepts everything.
    pub fn start() -> Self {
        let mut server = Self::down();
        server.up();
        server
    }

    /// A server that follows `script`.
    pub fn scripted(script: impl FnMut(Step<'_>) -> Answer + Send + 'static) -> Self {
        let server = Self::start();
        server.script(script);
        server
    }

    /// A server that refuses connections until it is `up`.
    pub fn down() -> Self {
        let socket = bind(0);
        let port = socket.local_addr().unwrap().port();
        let shared = Shared { script: Mutex::new(Box::new(|_| Answer::Accept)), seen: watch::Sender::default() };
        Self { port, shared: Arc::new(shared), serving: Serving::Down(socket) }
    }

    /// Begins to listen.
    pub fn up(&mut self) {
        let socket = match std::mem::replace(&mut self.serving, Serving::Up(tokio::spawn(async {}))) {
            Serving::Down(socket) => socket,
            Serving::Up(_) | Serving::Full { .. } => panic!("it listens already"),
        };
        let listener = socket.listen(1_024).unwrap();
        self.serving = Serving::Up(tokio::spawn(serve(listener, Arc::clone(&self.shared))));
    }

    /// A server that neither takes nor refuses a connection, as behind a wall that drops packets.
    pub async fn black_hole() -> Self {
        let mut server = Self::down();
        let socket = match std::mem::replace(&mut server.serving, Serving::Up(tokio::spawn(async {}))) {
            Serving::Down(socket) => socket,
            Serving::Up(_) | Serving::Full { .. } => panic!("it is down"),
        };
        let listener = socket.listen(1).unwrap();
        let mut queued = Vec::new();
        let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, server.port));
        while let Ok(stream) = tokio::time::timeout(Duration::from_millis(300), connect()).await {
            queued.push(stream.unwrap());
        }
        server.serving = Serving::Full { _listener: listener, _queued: queued };
        server
    }

    /// Drops all connections, and refuses new ones.
    pub async fn stop(&mut self) {
        if let Serving::Up(task) = &mut self.serving {
            task.abort();
            let _ = task.await;
        }
        // What still listens goes before the port is taken again.
        self.serving = Serving::Up(tokio::spawn(async {}));
        self.serving = Serving::Down(bind(self.port));
    }

    /// Follows `script` from now on.
    pub fn script(&self, script: impl FnMut(Step<'_>) -> Answer + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// What was accepted so far.
    pub fn mails(&self) -> Vec<Mail> {
        self.shared.seen.borrow().accepted.clone()
    }

    /// What was offered so far, accepted or not.
    pub fn offered(&self) -> Vec<Mail> {
        self.shared.seen.borrow().offered.clone()
    }

    /// How often `to` was named as a recipient.
    pub fn attempts(&self, to: &str) -> usize {
        self.shared.seen.borrow().recipients.get(to).copied().unwrap_or_default()
    }

    /// How often somebody logged in.
    pub fn logins(&self) -> usize {
        self.shared.seen.borrow().logins
    }

    /// Waits until the accepted mails are as `done` wants them.
    pub async fn wait_for(&self, done: impl Fn(&[Mail]) -> bool) -> Vec<Mail> {
        self.wait(|seen| done(&seen.accepted)).await;
        self.mails()
    }

    /// Waits until so many messages have been offered, accepted or not.
    pub async fn wait_for_offers(&self, count: usize) {
        self.wait(|seen| seen.offered.len() >= count).await;
    }

    async fn wait(&self, done: impl Fn(&Seen) -> bool) {
        let mut seen = self.shared.seen.subscribe();
        if tokio::time::timeout(DEADLINE, seen.wait_for(|seen| done(seen))).await.is_err() {
            let seen = self.shared.seen.borrow();
            let subjects: Vec<String> =
                seen.accepted.iter().map(|mail| format!("{} {}", mail.to, mail.subject())).collect();
            panic!("waited in vain; {} were offered, and accepted {subjects:#?}", seen.offered.len());
        }
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        if let Serving::Up(task) = &self.serving {
            task.abort();
        }
    }
}

/// A socket that has the port and refuses connections until it listens.
fn bind(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).unwrap();
    socket
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and the sessions with it.
    let mut sessions = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            sessions.spawn(session(stream, Arc::clone(&shared)));
        }
        while sessions.try_join_next().is_some() {}
    }
}

/// One connection; an error is a client that has gone.
async fn session(mut stream: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    let ask = |step: Step<'_>| (shared.script.lock().unwrap())(step);
    match ask(Step::Greeting) {
        Answer::Reply(line) => return writer.write_all(format!("{line}\r\n").as_bytes()).await,
        Answer::Silence => return drain(&mut reader).await,
        _ => writer.write_all(b"220 sink.test ESMTP\r\n").await?,
    }
    let (mut from, mut to) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => "250-sink.test\r\n250-8BITMIME\r\n250 AUTH PLAIN",
            "AUTH" => {
                shared.seen.send_modify(|seen| seen.logins += 1);
                "235 welcome"
            }
            "MAIL" => {
                from = address(&line);
                "250 ok"
            }
            "RCPT" => {
                to = address(&line);
                shared.seen.send_modify(|seen| *seen.recipients.entry(to.clone()).or_default() += 1);
                match ask(Step::Rcpt(&to)) {
                    Answer::Reply(line) => line,
                    Answer::Silence => return drain(&mut reader).await,
                    _ => "250 ok",
                }
            }
            "DATA" => {
                writer.write_all(b"354 go ahead\r\n").await?;
                let mail = Mail { from: from.clone(), to: to.clone(), bytes: read_message(&mut reader).await? };
                let answer = ask(Step::Message(&mail));
                if let Answer::AcceptAfter(pause) = answer {
                    sleep(pause).await;
                }
                let refused = matches!(answer, Answer::Reply(_) | Answer::Silence);
                shared.seen.send_modify(|seen| {
                    seen.offered.push(mail.clone());
                    seen.accepted.extend(Some(mail).filter(|_| !refused));
                });
                match answer {
                    Answer::Accept | Answer::AcceptAfter(_) => "250 accepted",
                    Answer::Reply(line) => line,
                    Answer::Silence | Answer::AcceptInSilence => return drain(&mut reader).await,
                    Answer::AcceptAndHangUp => return Ok(()),
                }
            }
            "RSET" | "NOOP" => "250 ok",
            "QUIT" => return writer.write_all(b"221 bye\r\n").await,
            _ => "500 what?",
        };
        writer.write_all(format!("{reply}\r\n").as_bytes()).await?;
        if reply.starts_with("421") {
            return Ok(());
        }
    }
}

/// Up to the line with a dot alone, which only CRLF ends.
async fn read_message(reader: &mut (impl AsyncBufReadExt + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        assert!(line.ends_with(b"\r\n"), "a line ends without CR: {:?}", String::from_utf8_lossy(&line));
        assert!(line.len() <= 1_000, "a line has {} bytes; SMTP allows 1000", line.len());
        if line == b".\r\n" {
            return Ok(bytes);
        }
        bytes.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}

/// Reads until the client gives up.
async fn drain(reader: &mut (impl AsyncBufReadExt + Unpin)) -> std::io::Result<()> {
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await? > 0 {
        line.clear();
    }
    Ok(())
}

fn address(line: &str) -> String {
    let inside = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map(|(address, _)| address.to_owned()).unwrap_or_default()
}
