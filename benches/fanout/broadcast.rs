//! One broadcast to many sessions of one user, beside the same of socket.io.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use belfry::base::clock::{Stopwatch, sleep};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::figures::Spread;
use crate::listener::{EVENT, Heard, Kind};
use crate::node::node;
use crate::server::{Server, read_answer};
use crate::socket::{Socket, contains};
use crate::{PATIENCE, belfry};

/// Belfry lets 100 ms pass between two pushes of a feed, which no broadcast is to wait for.
const BETWEEN_BROADCASTS: Duration = Duration::from_millis(150);

/// Figures of one round.
struct Round {
    per_second: f64,
    /// Processor time of the server for a message, in microseconds.
    micros: f64,
}

/// One broadcast to many sessions of one user, against socket.io.
pub async fn measure(sockets: usize, rounds: usize, broadcasts: usize) -> Result<()> {
    let (_dir, ours) = belfry()?;
    let other = node("fanout/socketio", "server.js").and_then(|node| Server::start(node).context("node is missing"));
    if let Err(why) = &other {
        println!("The comparison with socket.io is left out: {why:#}");
    }
    let (mut figures, mut others) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let user = format!("crowd-{round}");
        figures.push(one_round(Kind::Belfry, &ours, sockets, broadcasts, &user).await?);
        if let Ok(other) = &other {
            others.push(one_round(Kind::SocketIo, other, sockets, broadcasts, &user).await?);
        }
    }
    let spread = |rounds: &[Round], pick: fn(&Round) -> f64| Spread::of(rounds.iter().map(pick).collect());
    for (name, rounds) in [("belfry", &figures), ("socket.io", &others)] {
        let (rate, micros) = (spread(rounds, |round| round.per_second), spread(rounds, |round| round.micros));
        if !rounds.is_empty() {
            println!(
                "{name:<10} {:>9.0} messages a second ({})   {:>6.2} us of processor time each ({})",
                rate.middle,
                rate.range(),
                micros.middle,
                micros.range()
            );
        }
    }
    let over =
        |pick: fn(&Round, &Round) -> f64| Spread::of(figures.iter().zip(&others).map(|(a, b)| pick(a, b)).collect());
    if !others.is_empty() {
        let rate = over(|ours, other| ours.per_second / other.per_second);
        let micros = over(|ours, other| other.micros / ours.micros);
        println!(
            "ratio      {:>9.2} ({})   processor {:>6.2} ({})",
            rate.middle,
            rate.range(),
            micros.middle,
            micros.range()
        );
    }
    Ok(())
}

async fn one_round(kind: Kind, server: &Server, sockets: usize, broadcasts: usize, user: &str) -> Result<Round> {
    let heard = Arc::new(Heard::default());
    let mut crowd = JoinSet::new();
    for socket in kind.listeners(server.address, sockets, |_| user.to_owned()).await? {
        crowd.spawn(listen(socket, Arc::clone(&heard)));
    }
    let request = kind.request(user);
    let mut stream = TcpStream::connect(server.address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 4_096];
    let (mut seconds, mut before) = (0.0, 0.0);
    for number in 0..=broadcasts {
        sleep(BETWEEN_BROADCASTS).await;
        if number == 1 {
            before = server.processor_micros()?;
        }
        heard.count.store(0, Ordering::Relaxed);
        heard.wanted.store(sockets, Ordering::Relaxed);
        let watch = Stopwatch::start();
        stream.write_all(request.as_bytes()).await?;
        let answered = timeout(PATIENCE, async {
            tokio::join!(read_answer(&mut stream, &mut buffer), heard.all.notified()).0.map(|_| ())
        });
        if answered.await.is_err() {
            let why = crowd.try_join_next().map(|ended| format!("{ended:?}")).unwrap_or_default();
            bail!("{} of {sockets} sockets heard the broadcast {why}", heard.count.load(Ordering::Relaxed));
        }
        // The first opens files, fills caches and wakes threads.
        if number > 0 {
            seconds += watch.elapsed().as_secs_f64();
        }
    }
    let micros = server.processor_micros()? - before;
    drop(crowd);
    until_gone(server).await?;
    let messages = (sockets * broadcasts) as f64;
    Ok(Round { per_second: messages / seconds, micros: micros / messages })
}

async fn listen(mut socket: Socket, heard: Arc<Heard>) -> Result<()> {
    loop {
        let mut ping = false;
        socket
            .hear(|text| match text {
                b"2" => ping = true,
                text if contains(text, EVENT) => heard.one(),
                _ => {}
            })
            .await?;
        if ping {
            socket.say("3").await?;
        }
    }
}

/// Until the server has closed its ends of the sockets.
async fn until_gone(server: &Server) -> Result<()> {
    let watch = Stopwatch::start();
    while std::fs::read_dir(format!("/proc/{}/fd", server.process.id()))?.count() > 100 {
        ensure!(watch.elapsed() < PATIENCE, "the server keeps sockets whose clients are gone");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
