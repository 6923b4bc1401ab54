//! Clients that send requests: each is one connection, and sends its next request when its last is answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use belfry::base::clock::{Stopwatch, sleep};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::request::Request;
use crate::server::read_answer;

/// What all clients share.
#[derive(Clone)]
struct Load {
    numbers: Arc<[usize]>,
    next: Arc<AtomicUsize>,
    /// How many become due in a second; all at once if none.
    rate: Option<usize>,
    watch: Stopwatch,
}

/// Sends `request` once for each of `numbers`, at no more than `rate` a second if there is one. Answers the time that it
/// took.
pub async fn send(
    address: SocketAddr,
    clients: usize,
    request: &Request,
    numbers: impl Iterator<Item = usize>,
    rate: Option<usize>,
) -> Result<Duration> {
    let mut streams = Vec::with_capacity(clients);
    for _ in 0..clients {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let load = Load { numbers: numbers.collect(), next: Arc::default(), rate, watch: Stopwatch::start() };
    let mut tasks = JoinSet::new();
    for stream in streams {
        tasks.spawn(client(stream, request.clone(), load.clone()));
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(load.watch.elapsed())
}

async fn client(mut stream: TcpStream, mut request: Request, load: Load) -> Result<()> {
    let mut buffer = vec![0; 4_096];
    loop {
        let index = load.next.fetch_add(1, Ordering::Relaxed);
        let Some(number) = load.numbers.get(index) else { return Ok(()) };
        if let Some(rate) = load.rate {
            let due = Duration::from_secs_f64(index as f64 / rate as f64);
            sleep(due.saturating_sub(load.watch.elapsed())).await;
        }
        stream.write_all(request.number(*number)).await?;
        read_answer(&mut stream, &mut buffer).await?;
    }
}
