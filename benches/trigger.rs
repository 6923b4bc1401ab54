//! Durable triggers a second through HTTP, against the same HTTP server over a bare log.
//!
//! Ours is the release binary. Its workflow begins with a delay of three days, so that what is measured is accepting a
//! trigger, admitting its run and parking it. The other server is this program, started again with `--raw-log`: actix-web
//! with as many workers, the same parsing and validation of the body, the same records encoded by the handler, and one
//! writer thread that appends all that is queued with one write and one fdatasync before it answers. It has no keys,
//! tables, runs, metrics or request ids: no server that keeps a log can do less.
//!
//! Clients are connections that each send a request, wait for its answer, and send the next, all on one thread of this
//! process. The servers alternate in rounds, so that a noisy machine troubles both alike: read the ratios.
//!
//! Last measured on two quiet cores, ratio (least to greatest of 7 rounds) and microseconds of processor time, ours and raw:
//!
//!      1 client    0.56 (0.52 to 0.61)    231 and 108
//!     16 clients   0.50 (0.36 to 0.54)     49 and 24
//!     64 clients   0.61 (0.52 to 0.67)     29 and 17
//!    256 clients   0.58 (0.56 to 0.68)     26 and 15
//!
//! The aim, 0.60 at 64 clients, is met there, and not by much: 0.61 again in 15 rounds, 0.57 to 0.70 in eight runs of the day. Machines of the kind differ: on a
//! slower one it was 0.49 to 0.55, with 65 and 35 microseconds. Of ours the writer takes 37 %, two fifths of that in
//! the sync; the kernel's sends take 14 %, parsing and encoding, which the other server has too, about 20 %.
//!
//! In place: records are encoded by the caller, not by the writer; the triggers of a commit are one value, so that they are
//! one insert, and runs are inserted in the order of their ids; a run that begins with a delay is parked by the commit
//! that accepts it, and that delay's event is kept in its record; the writer hands the runs of a commit to the registry
//! in one message, before it answers; work is counted without waking anybody; random bits come 32 ids at a time; routes
//! are matched once, by the faster of the router's two engines; the histograms of routes are kept by each thread; the
//! writer yields once before it takes a group, so that those come along whom it kept from their processor.
//!
//! Tried and left out: to yield until nobody comes along any more (0.53 and 0.52, where once gave 0.59 and 0.56, in short
//! rounds); one message a thread with all answers of a commit, instead of a wake-up for each answer (17 system
//! calls less in each commit, 0.56 and 0.58: no difference that can be told from noise); zeros written a megabyte ahead
//! into the growing file, so that a sync need not bring blocks that were given out just then to the disk (0.65 beside 0.63
//! in turn, 0.58 beside 0.55 with one client: too little for a storage of our own under redb); link-time optimisation (both
//! servers become faster alike: 0.59 and 0.56, without it 0.55 and 0.59 in turn).
//!
//! `BENCH_ROUNDS`, `BENCH_MILLIS` (the length of a round) and `BENCH_CLIENTS` (`16,64`) choose, `BENCH_QUICK=1` (or
//! `cargo test`) makes a smoke run.

mod figures;
mod request;
mod server;

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, error, web};
use anyhow::{Context, Result, bail};
use belfry::base::clock::{Clock, Stopwatch, sleep};
use belfry::base::ids::{Entropy, IdSource, RunId, TriggerId, VersionId};
use belfry::http::body;
use belfry::model::flow::Flow;
use belfry::model::run::{Phase, Run};
use belfry::model::trigger::{CancelHash, Trigger, TriggerRequest};
use belfry::store::codec::encode;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use figures::{Spread, is_quick, setting};
use request::{HOLE, Request};
use server::{Server, read_answer};

// The same as the server's, so that the raw log has no worse one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WORKFLOW: &str = "reminder";
const RAW_LOG: &str = "--raw-log";
const CLIENTS: [usize; 4] = [1, 16, 64, 256];

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(RAW_LOG) {
        let path = args.next().context("the log's path is missing")?;
        return actix_web::rt::System::new().block_on(raw_server(Path::new(&path).to_owned()));
    }
    let quick = is_quick();
    let rounds = setting("BENCH_ROUNDS", if quick { 1 } else { 7 });
    let span = Duration::from_millis(setting("BENCH_MILLIS", if quick { 100 } else { 1_000 }) as u64);
    let clients = clients()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!(
        "{:>7} {:>11} {:>11} {:>6}  {:<13} {:>6}  {:<13} {:>8} {:>8}",
        "clients", "ours req/s", "raw req/s", "ratio", "spread", "parked", "spread", "ours us", "raw us"
    );
    for clients in clients {
        let row = runtime.block_on(compare(clients, span, rounds))?;
        println!(
            "{clients:>7} {:>11.0} {:>11.0} {:>6.2}  {:<13} {:>6.2}  {:<13} {:>8.1} {:>8.1}",
            row.ours,
            row.raw,
            row.ratio.middle,
            row.ratio.range(),
            row.parked.middle,
            row.parked.range(),
            row.micros,
            row.raw_micros
        );
    }
    println!();
    println!(
        "ratio: answered requests a second, ours / raw, the median of {rounds} rounds that alternate; spread: the least"
    );
    println!(
        "and the greatest of them. parked: the same, but our round ends only when every run it started is parked,"
    );
    println!(
        "so that work put off past the answer counts. us: microseconds of processor time that a request costs the"
    );
    println!("server, which a noisy machine changes least. The aim: a ratio of at least 0.60 at 64 clients.");
    Ok(())
}

struct Row {
    ours: f64,
    raw: f64,
    ratio: Spread,
    parked: Spread,
    /// Processor time of a request, in microseconds.
    micros: f64,
    raw_micros: f64,
}

/// Fresh servers for each row: how large a file has grown is not to be measured.
async fn compare(clients: usize, span: Duration, rounds: usize) -> Result<Row> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let delay = json!({"ref": "delay_1", "type": "delay", "settings": {"delay_for": {"unit": "days", "value": 3}}});
    let ours = Server::belfry(dir.path(), WORKFLOW, vec![delay])?;
    let mut raw_log = Command::new(std::env::current_exe()?);
    raw_log.arg(RAW_LOG).arg(dir.path().join("raw.log"));
    let raw = Server::start(raw_log)?;
    let mut load = Load { clients, span, sent: 0, parked: 0, raw: 0 };
    let (mut figures, mut raws) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        // Whoever goes second finds the disk as the first left it: they take turns.
        let (one, other) = if round % 2 == 0 {
            (load.ours(&ours).await?, load.raw(&raw).await?)
        } else {
            let other = load.raw(&raw).await?;
            (load.ours(&ours).await?, other)
        };
        // The first round opens files, fills caches and wakes threads.
        if round > 0 {
            figures.push(one);
            raws.push(other);
        }
    }
    let over =
        |pick: fn(&(f64, f64)) -> f64| figures.iter().map(pick).zip(&raws).map(|(ours, raw)| ours / raw).collect();
    Ok(Row {
        ratio: Spread::of(over(|round| round.0)),
        parked: Spread::of(over(|round| round.1)),
        ours: Spread::of(figures.iter().map(|round| round.0).collect()).middle,
        raw: Spread::of(raws.clone()).middle,
        micros: ours.processor_micros()? / load.parked as f64,
        raw_micros: raw.processor_micros()? / load.raw as f64,
    })
}

/// The load generator.
struct Load {
    clients: usize,
    span: Duration,
    /// Requests that were made, for ids that do not repeat.
    sent: usize,
    /// Runs that our server holds.
    parked: usize,
    /// Requests that the other has answered.
    raw: usize,
}

impl Load {
    /// Requests a second: answered, and answered with all runs parked.
    async fn ours(&mut self, server: &Server) -> Result<(f64, f64)> {
        let (answered, watch) = self.round(server.address).await?;
        let seconds = watch.elapsed().as_secs_f64();
        self.parked += answered;
        loop {
            let parked = server.metric("belfry_runs_parked").await? as usize;
            if parked >= self.parked {
                break;
            }
            if watch.elapsed() > self.span + Duration::from_secs(30) {
                bail!("{parked} runs of {} were parked in time", self.parked);
            }
            sleep(Duration::from_millis(1)).await;
        }
        Ok((answered as f64 / seconds, answered as f64 / watch.elapsed().as_secs_f64()))
    }

    async fn raw(&mut self, server: &Server) -> Result<f64> {
        let (answered, watch) = self.round(server.address).await?;
        self.raw += answered;
        Ok(answered as f64 / watch.elapsed().as_secs_f64())
    }

    /// How many requests were answered, and the time since the first was sent.
    async fn round(&mut self, address: SocketAddr) -> Result<(usize, Stopwatch)> {
        let mut connections = Vec::new();
        for _ in 0..self.clients {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            connections.push(stream);
        }
        let (watch, span) = (Stopwatch::start(), self.span);
        let tasks: Vec<_> = connections
            .into_iter()
            .enumerate()
            // No client comes near a million requests in a round.
            .map(|(index, stream)| tokio::spawn(client(stream, self.sent + index * 1_000_000, watch, span)))
            .collect();
        let mut answered = 0;
        for task in tasks {
            answered += task.await??;
        }
        self.sent += self.clients * 1_000_000;
        Ok((answered, watch))
    }
}

/// One client: requests one after the other until `span` is over; answers how many were answered with 200.
async fn client(mut stream: TcpStream, first: usize, watch: Stopwatch, span: Duration) -> Result<usize> {
    let mut request = request();
    let mut buffer = vec![0; 4_096];
    let mut answered = 0;
    while watch.elapsed() < span {
        stream.write_all(request.number(first + answered)).await?;
        read_answer(&mut stream, &mut buffer).await?;
        answered += 1;
    }
    Ok(answered)
}

/// A trigger with about 1 KiB of data.
fn request() -> Request {
    let data: serde_json::Map<_, _> = (0..16).map(|n| (format!("field_{n:02}"), json!("x".repeat(50)))).collect();
    let body = json!({
        "recipients": [format!("user-{HOLE}")],
        "cancellation_key": format!("key-{HOLE}"),
        "data": data,
    });
    Request::post(&format!("/v1/workflows/{WORKFLOW}/trigger"), &body)
}

/// What the raw server's handlers share.
struct RawLog {
    queue: Sender<Append>,
    ids: IdSource,
    clock: Clock,
}

struct Append {
    bytes: Vec<u8>,
    done: oneshot::Sender<()>,
}

async fn raw_server(path: std::path::PathBuf) -> Result<()> {
    let (queue, appends) = channel();
    std::thread::spawn(move || {
        if let Err(error) = append_groups(&path, &appends) {
            eprintln!("the log failed: {error:#}");
            std::process::exit(1);
        }
    });
    let log = web::Data::new(RawLog { queue, ids: IdSource::new(Entropy::Os), clock: Clock::system() });
    let server = HttpServer::new(move || {
        App::new().app_data(log.clone()).route("/v1/workflows/{key}/trigger", web::post().to(raw_trigger))
    });
    let server = server.bind("127.0.0.1:0")?;
    let address = server.addrs().first().copied().context("no address")?;
    println!("listens on http://{address}");
    Ok(server.run().await?)
}

async fn raw_trigger(
    log: web::Data<RawLog>,
    key: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, actix_web::Error> {
    let (body, _) = body::json(payload, 10 << 20).await?;
    let request =
        TriggerRequest::from_json(&body).map_err(|errors| error::ErrorUnprocessableEntity(format!("{errors:?}")))?;
    let (id, bytes) = records(&log, &key, request).map_err(error::ErrorInternalServerError)?;
    let (done, answer) = oneshot::channel();
    log.queue.send(Append { bytes, done }).map_err(error::ErrorInternalServerError)?;
    answer.await.map_err(error::ErrorInternalServerError)?;
    Ok(HttpResponse::Ok().json(json!({"workflow_run_id": id})))
}

/// The records that ours keeps of `request`, one after the other.
fn records(log: &RawLog, key: &str, request: TriggerRequest) -> Result<(TriggerId, Vec<u8>)> {
    let now = log.clock.now();
    let id = TriggerId(log.ids.next(now));
    let cancel = request.cancellation_key.as_deref().map(|text| CancelHash::of(key, text));
    let trigger = Trigger {
        id,
        workflow: key.to_owned(),
        version: VersionId::from([0; 16]),
        data: request.data,
        actor: None,
        tenant: None,
        cancellation_key: request.cancellation_key,
        settings: request.settings,
        schedule: None,
        parent: None,
        inserted_at: now,
    };
    let mut bytes = encode(&trigger)?;
    for recipient in request.recipients {
        let run = Run {
            id: RunId(log.ids.next(now)),
            trigger: id,
            flow: Flow::default(),
            recipient: recipient.reference,
            data: recipient.data,
            via: None,
            cancel,
            revision: 0,
            phase: Phase::Ready { step: 0 },
            begun: None,
        };
        bytes.extend(encode(&run)?);
    }
    Ok((id, bytes))
}

/// Group commit as the store does it: all that is queued up to the same bounds, one write, one fdatasync, all answered.
fn append_groups(path: &Path, appends: &Receiver<Append>) -> Result<()> {
    const GROUP: usize = 1_024;
    const GROUP_BYTES: usize = 16 << 20;
    let mut log = OpenOptions::new().create_new(true).append(true).open(path)?;
    while let Ok(first) = appends.recv() {
        let mut bytes = first.bytes;
        let mut waiting = vec![first.done];
        while waiting.len() < GROUP
            && bytes.len() < GROUP_BYTES
            && let Ok(next) = appends.try_recv()
        {
            bytes.extend(next.bytes);
            waiting.push(next.done);
        }
        log.write_all(&bytes)?;
        log.sync_data()?;
        for done in waiting {
            let _ = done.send(());
        }
    }
    Ok(())
}

fn clients() -> Result<Vec<usize>> {
    match std::env::var("BENCH_CLIENTS") {
        Ok(list) => list.split(',').map(|one| Ok(one.trim().parse()?)).collect(),
        Err(_) => Ok(CLIENTS.to_vec()),
    }
}
