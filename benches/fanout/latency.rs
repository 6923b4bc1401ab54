//! How long a trigger takes to reach its reader.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use belfry::base::clock::{Stopwatch, sleep};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::listener::{Heard, Kind};
use crate::server::read_answer;
use crate::socket::Socket;
use crate::{PATIENCE, belfry};

/// Connections over which triggers come on schedule, also while one commit takes 100 ms.
const SENDERS: usize = 256;
/// Users with a socket each.
const USERS: usize = 1_000;

/// What one user's socket is waiting for.
#[derive(Default)]
struct Awaited {
    /// When each trigger that was not heard of was to be sent, the oldest first.
    due: VecDeque<Duration>,
    /// Items that the last frame counted.
    heard: usize,
    /// From due to heard.
    took: Vec<Duration>,
}

impl Awaited {
    /// A frame counts all items, so that one may answer several triggers. Says how many.
    fn hear(&mut self, total: usize, now: Duration) -> usize {
        let answered = total.saturating_sub(self.heard).min(self.due.len());
        self.heard = self.heard.max(total);
        self.took.extend(self.due.drain(..answered).map(|due| now.saturating_sub(due)));
        answered
    }
}

type Readers = Arc<Vec<Mutex<Awaited>>>;

/// From the time that a trigger has on the schedule to its frame at the user's socket, whatever kept it from being sent.
pub async fn measure(rate: usize, seconds: usize) -> Result<()> {
    let (_dir, server) = belfry()?;
    let (users, triggers) = (USERS.min(rate), rate * seconds);
    let readers: Readers = Arc::new((0..users).map(|_| Mutex::default()).collect());
    let heard = Arc::new(Heard::default());
    heard.wanted.store(triggers, Ordering::Relaxed);
    let sockets = Kind::Belfry.listeners(server.address, users, |number| format!("user-{number}")).await?;
    let before = server.processor_micros()?;
    let watch = Stopwatch::start();
    let mut tasks = JoinSet::new();
    for socket in sockets {
        tasks.spawn(read(socket, Arc::clone(&readers), Arc::clone(&heard), watch));
    }
    let next = Arc::new(AtomicUsize::new(0));
    let schedule = Schedule { rate, triggers, watch };
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS.min(triggers) {
        senders.spawn(send(server.address, schedule, Arc::clone(&next), Arc::clone(&readers)));
    }
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    let sent_in = watch.elapsed();
    if timeout(PATIENCE, heard.all.notified()).await.is_err() {
        bail!("{} of {triggers} triggers were heard of", heard.count.load(Ordering::Relaxed));
    }
    let mut took: Vec<Duration> = readers.iter().flat_map(|reader| lock(reader).took.clone()).collect();
    took.sort();
    let at = |share: f64| took.get((took.len() as f64 * share) as usize).or(took.last()).map_or(0.0, millis);
    println!(
        "{triggers} triggers in {:.1} s to {users} users: heard of after {:.1} ms (p50), {:.1} ms (p99), {:.1} ms (max)",
        sent_in.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    let commit = async |quantile| server.metric(&format!("belfry_commit_seconds{{quantile=\"{quantile}\"}}")).await;
    let (middle, tail) = (commit("0.5").await? * 1_000.0, commit("0.99").await? * 1_000.0);
    let micros = (server.processor_micros()? - before) / triggers as f64;
    println!("  a trigger costs the server {micros:.0} us of processor time until it is heard of");
    println!("  a commit, fsync included, takes {middle:.1} ms (p50), {tail:.1} ms (p99)");
    Ok(())
}

fn millis(span: &Duration) -> f64 {
    span.as_secs_f64() * 1_000.0
}

fn lock(reader: &Mutex<Awaited>) -> MutexGuard<'_, Awaited> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Copy)]
struct Schedule {
    rate: usize,
    triggers: usize,
    watch: Stopwatch,
}

/// One connection: takes the next trigger of the schedule, waits for its time, sends it and waits for the answer.
async fn send(address: SocketAddr, schedule: Schedule, next: Arc<AtomicUsize>, readers: Readers) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 4_096];
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= schedule.triggers {
            return Ok(());
        }
        let due = Duration::from_secs_f64(number as f64 / schedule.rate as f64);
        sleep(due.saturating_sub(schedule.watch.elapsed())).await;
        let user = number % readers.len();
        lock(&readers[user]).due.push_back(due);
        stream.write_all(Kind::Belfry.request(&format!("user-{user}")).as_bytes()).await?;
        read_answer(&mut stream, &mut buffer).await?;
    }
}

/// Whose frame it is says its topic.
async fn read(mut socket: Socket, readers: Readers, heard: Arc<Heard>, watch: Stopwatch) -> Result<()> {
    loop {
        let hear = |text: &[u8]| {
            let (user, total) = (number_after(text, ":user-"), number_after(text, "\"total_count\":"));
            let reader = user.and_then(|user| readers.get(user)).zip(total);
            let answered = reader.map_or(0, |(reader, total)| lock(reader).hear(total, watch.elapsed()));
            (0..answered).for_each(|_| heard.one());
        };
        socket.hear(hear).await?;
    }
}

fn number_after(text: &[u8], part: &str) -> Option<usize> {
    let (_, rest) = std::str::from_utf8(text).ok()?.split_once(part)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
