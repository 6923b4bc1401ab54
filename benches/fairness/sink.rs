//! A mail server that takes its time and remembers when it took which mail.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use belfry::base::clock::{Stopwatch, sleep};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What whose mails are timed are called.
const QUIET: &str = "<quiet-";

#[derive(Default)]
struct Taken {
    count: usize,
    /// Each a number and since when it is there.
    quiet: Vec<(usize, Stopwatch)>,
}

/// The server; it listens as long as the runtime lives.
pub struct Sink {
    pub port: u16,
    taken: Arc<Mutex<Taken>>,
}

impl Sink {
    /// One that takes so long for each mail.
    pub async fn start(answer: Duration) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let sink = Self { port: listener.local_addr()?.port(), taken: Arc::default() };
        let taken = Arc::clone(&sink.taken);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(session(stream, Arc::clone(&taken), answer));
            }
        });
        Ok(sink)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn forget(&self) {
        *self.taken() = Taken::default();
    }

    /// How many mails came.
    pub fn count(&self) -> usize {
        self.taken().count
    }

    pub fn quiet(&self) -> Vec<(usize, Stopwatch)> {
        self.taken().quiet.clone()
    }
}

/// One connection; an error is a client that has gone.
async fn session(mut stream: TcpStream, taken: Arc<Mutex<Taken>>, answer: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    writer.write_all(b"220 sink.test ESMTP\r\n").await?;
    let mut line = String::new();
    let mut quiet = None;
    loop {
        line.clear();
        if reader.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let reply: &[u8] = match line.get(..4).unwrap_or_default() {
            "EHLO" => b"250-sink.test\r\n250 8BITMIME\r\n",
            "RCPT" => {
                let number = line.split_once(QUIET).and_then(|(_, rest)| rest.split('@').next());
                quiet = number.and_then(|number| number.parse().ok());
                b"250 ok\r\n"
            }
            "DATA" => {
                writer.write_all(b"354 go ahead\r\n").await?;
                while line != ".\r\n" {
                    line.clear();
                    reader.read_line(&mut line).await?;
                }
                let there = Stopwatch::start();
                {
                    let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
                    taken.count += 1;
                    taken.quiet.extend(quiet.map(|number| (number, there)));
                }
                sleep(answer).await;
                b"250 accepted\r\n"
            }
            "QUIT" => return writer.write_all(b"221 bye\r\n").await,
            _ => b"250 ok\r\n",
        };
        writer.write_all(reply).await?;
    }
}
