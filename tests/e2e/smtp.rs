//! A mail server that keeps what it accepts, and misbehaves on request.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the server does with one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Accept,
    /// A 4xx reply to RCPT.
    Later,
    /// A 5xx reply to RCPT.
    Never,
    /// Takes the message, and drops the connection before its 250.
    AcceptAndDrop,
    /// Takes the message, and says nothing more.
    Hang,
}

/// An accepted message, kept before the server's 250.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    pub to: String,
    pub bytes: String,
}

impl Mail {
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.bytes.split("\r\n\r\n").next()?;
        head.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub fn message_id(&self) -> String {
        self.header("Message-ID").unwrap_or_default().to_owned()
    }

    /// The whole text with soft line breaks of quoted-printable undone.
    pub fn text(&self) -> String {
        self.bytes.replace("=\r\n", "").replace("=3D", "=")
    }
}

#[derive(Default)]
struct Ledger {
    mails: Vec<Mail>,
    attempts: usize,
    script: VecDeque<Answer>,
}

#[derive(Clone)]
pub struct Smtp {
    pub port: u16,
    ledger: Arc<(Mutex<Ledger>, Condvar)>,
}

impl Smtp {
    /// A server on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { port: listener.local_addr().unwrap().port(), ledger: Arc::default() };
        server.serve(listener);
        server
    }

    /// A port on which nothing listens until `come_up`.
    pub fn down() -> (Self, TcpListener) {
        // Bound without an accept loop: the port stays ours, and connections are not answered.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        (Self { port: listener.local_addr().unwrap().port(), ledger: Arc::default() }, listener)
    }

    pub fn serve(&self, listener: TcpListener) {
        let ledger = Arc::clone(&self.ledger);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let ledger = Arc::clone(&ledger);
                std::thread::spawn(move || drop(converse(stream, &ledger)));
            }
        });
    }

    /// What is done with the next messages, one each; after them all are accepted.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.ledger.0.lock().unwrap().script.extend(answers);
    }

    pub fn mails(&self) -> Vec<Mail> {
        self.ledger.0.lock().unwrap().mails.clone()
    }

    pub fn to(&self, address: &str) -> Vec<Mail> {
        self.mails().into_iter().filter(|mail| mail.to == address).collect()
    }

    /// How many messages were begun, refused ones included.
    pub fn attempts(&self) -> usize {
        self.ledger.0.lock().unwrap().attempts
    }

    /// Waits until there are `count` mails for `address`.
    pub fn wait(&self, address: &str, count: usize) -> Vec<Mail> {
        self.wait_until(|ledger| ledger.mails.iter().filter(|mail| mail.to == address).count() >= count);
        self.to(address)
    }

    pub fn wait_attempts(&self, count: usize) {
        self.wait_until(|ledger| ledger.attempts >= count);
    }

    fn wait_until(&self, enough: impl Fn(&Ledger) -> bool) {
        let (ledger, changed) = &*self.ledger;
        let waited = changed.wait_timeout_while(ledger.lock().unwrap(), PATIENCE, |ledger| !enough(ledger)).unwrap();
        assert!(!waited.1.timed_out(), "waited in vain; there are {:#?}", waited.0.mails);
    }
}

fn converse(stream: TcpStream, ledger: &(Mutex<Ledger>, Condvar)) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    stream.write_all(b"220 test ESMTP\r\n")?;
    let mut answer = Answer::Accept;
    let mut to = String::new();
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let reply: &[u8] = match verb.as_str() {
            "EHLO" => b"250-test\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
            "RCPT" => {
                to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                {
                    let mut ledger = ledger.0.lock().unwrap();
                    answer = ledger.script.pop_front().unwrap_or(Answer::Accept);
                    ledger.attempts += 1;
                }
                ledger.1.notify_all();
                match answer {
                    Answer::Later => b"451 4.7.1 greylisted, come back\r\n",
                    Answer::Never => b"550 5.1.1 no such user\r\n",
                    _ => b"250 ok\r\n",
                }
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n")?;
                let bytes = read_data(&mut lines)?;
                ledger.0.lock().unwrap().mails.push(Mail { to: to.clone(), bytes });
                ledger.1.notify_all();
                match answer {
                    Answer::AcceptAndDrop => return Ok(()),
                    Answer::Hang => {
                        while lines.read_line(&mut line)? > 0 {}
                        return Ok(());
                    }
                    _ => b"250 2.0.0 queued\r\n",
                }
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n")?;
                return Ok(());
            }
            _ => b"250 ok\r\n",
        };
        stream.write_all(reply)?;
    }
}

fn read_data(lines: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut bytes = String::new();
    let mut line = String::new();
    loop {
        line.clear();
        lines.read_line(&mut line)?;
        match line.as_str() {
            ".\r\n" | "" => return Ok(bytes),
            stuffed if stuffed.starts_with('.') => bytes.push_str(&stuffed[1..]),
            plain => bytes.push_str(plain),
        }
    }
}
