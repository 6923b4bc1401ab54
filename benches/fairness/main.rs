//! Whether who sends little waits for who sends much: emails of a quiet tenant, from the trigger until a mail server has
//! them, alone and beside ten times as many of another tenant, or of another workflow; one by one, or as one trigger for
//! many each second. Through the real binary and real sockets. All take turns in rounds, so that a noisy machine troubles
//! all alike: read the ratios.
//!
//! `BENCH_RATE` (quiet triggers a second), `BENCH_SECONDS` (of each turn), `BENCH_ROUNDS` and `BENCH_ANSWER` (milliseconds
//! that the mail server takes for a mail) choose; without `--bench` (`cargo test`) it is a smoke run. `BELFRY_FIGURES=1`
//! puts the figures into `docs/reliability.md`.

// Shared with other benches, which use more of it.
#[allow(dead_code)]
#[path = "../figures/mod.rs"]
mod figures;
#[path = "../pending/load.rs"]
mod load;
#[allow(dead_code, clippy::unwrap_used)]
#[path = "../../tests/figures/mod.rs"]
mod page;
#[path = "../request/mod.rs"]
mod request;
#[allow(dead_code)]
#[path = "../server/mod.rs"]
mod server;

mod sink;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use belfry::base::clock::{Stopwatch, sleep};
use serde_json::{Value, json};

use figures::{Spread, is_quick, setting};
use load::send;
use request::{HOLE, Request};
use server::Server;
use sink::Sink;

/// How much more the loud one sends.
const TIMES: usize = 10;
/// Connections of each.
const CLIENTS: usize = 8;
/// The longest that mails may take after the last trigger.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who sends beside the quiet one.
struct Loud {
    name: &'static str,
    workflow: &'static str,
    tenant: Option<&'static str>,
    /// One trigger a second for all that become due in it.
    at_once: bool,
}

const LOUD: [Loud; 4] = [
    Loud { name: "beside another tenant", workflow: "notice", tenant: Some("loud"), at_once: false },
    Loud { name: "beside another workflow", workflow: "digest", tenant: Some("quiet"), at_once: false },
    Loud {
        name: "beside another tenant, one trigger a second for all",
        workflow: "notice",
        tenant: Some("loud"),
        at_once: true,
    },
    Loud {
        name: "beside another workflow, one trigger a second for all",
        workflow: "digest",
        tenant: Some("quiet"),
        at_once: true,
    },
];

#[derive(Clone, Copy)]
struct Sizes {
    rate: usize,
    seconds: usize,
}

fn main() -> Result<()> {
    let size = |name, usual, smoke| setting(name, if is_quick() { smoke } else { usual });
    let sizes = Sizes { rate: size("BENCH_RATE", 20, 10), seconds: size("BENCH_SECONDS", 10, 1) };
    let (rounds, answer) = (size("BENCH_ROUNDS", 6, 1), size("BENCH_ANSWER", 5, 5));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(sizes, rounds, Duration::from_millis(answer as u64)))
}

async fn measure(sizes: Sizes, rounds: usize, answer: Duration) -> Result<()> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let sink = Sink::start(answer).await?;
    let server = serve(dir.path(), sink.port)?;
    let mut alone = Vec::new();
    let mut beside = LOUD.map(|_| Vec::new());
    // The first round opens connections and fills caches.
    for round in 0..=rounds {
        let turn = turn(&server, &sink, sizes, round, None).await?;
        alone.extend((round > 0).then_some(turn));
        for (loud, turns) in LOUD.iter().zip(&mut beside) {
            let turn = self::turn(&server, &sink, sizes, round, Some(loud)).await?;
            turns.extend((round > 0).then_some(turn));
        }
    }
    let text = table(sizes, rounds, answer, &alone, &beside);
    println!("{text}");
    page::put("fairness", &text);
    Ok(())
}

/// The figures as the page has them.
fn table(sizes: Sizes, rounds: usize, answer: Duration, alone: &[Vec<f64>], beside: &[Vec<Vec<f64>>; 4]) -> String {
    let Sizes { rate, seconds } = sizes;
    let mut text = format!(
        "`cargo bench --bench fairness`, on {} cores: {rate} quiet triggers a second, {TIMES} times as many beside them, \
         {rounds} rounds of {seconds} s, a mail server that takes {} ms for a mail:\n\n\
         | Milliseconds from the trigger to the mail server | p50 | p99 | p99, times alone (aim: below 2) | by rounds |\n\
         |---|---:|---:|---:|---|\n",
        std::thread::available_parallelism().map_or(1, usize::from),
        answer.as_millis()
    );
    let whole = Lateness::of(alone.iter().flatten().copied());
    text += &format!("| alone | {:.1} | {:.1} | | |\n", whole.p50, whole.p99);
    for (loud, turns) in LOUD.iter().zip(beside) {
        let all = Lateness::of(turns.iter().flatten().copied());
        let each = |turn: &Vec<f64>| Lateness::of(turn.iter().copied()).p99;
        let ratios = Spread::of(alone.iter().zip(turns).map(|(alone, turn)| each(turn) / each(alone)).collect());
        let ratio = all.p99 / whole.p99;
        text += &format!("| {} | {:.1} | {:.1} | {ratio:.2} | {} |\n", loud.name, all.p50, all.p99, ratios.range());
    }
    text
}

/// How late mails came, in milliseconds.
struct Lateness {
    p50: f64,
    p99: f64,
}

impl Lateness {
    fn of(late: impl Iterator<Item = f64>) -> Self {
        let mut late: Vec<f64> = late.collect();
        late.sort_by(f64::total_cmp);
        let at = |share: f64| late.get((late.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
        Self { p50: at(0.5), p99: at(0.99) }
    }
}

/// Sends for a while; answers how many milliseconds after each quiet trigger was due its mail came.
async fn turn(server: &Server, sink: &Sink, sizes: Sizes, round: usize, loud: Option<&Loud>) -> Result<Vec<f64>> {
    let Sizes { rate, seconds } = sizes;
    sink.forget();
    let first = round * rate * seconds;
    let quiet = trigger("notice", Some("quiet"), &["quiet"]);
    let watch = Stopwatch::start();
    let quiet = send(server.address, CLIENTS, &quiet, first..first + rate * seconds, Some(rate));
    let noise = async {
        let Some(loud) = loud else { return Ok(()) };
        let people: Vec<String> = (0..TIMES * rate).map(|number| format!("loud-{number}")).collect();
        let people: Vec<&str> = people.iter().map(String::as_str).collect();
        // A server hangs up on a client that is idle for some seconds.
        let (people, pace, clients) =
            if loud.at_once { (&people[..], 1, 1) } else { (&people[..1], TIMES * rate, CLIENTS) };
        let request = trigger(loud.workflow, loud.tenant, people);
        send(server.address, clients, &request, 0..pace * seconds, Some(pace)).await.map(|_| ())
    };
    let (quiet, noise) = tokio::join!(quiet, noise);
    quiet.and(noise)?;
    let mails = rate * seconds * if loud.is_some() { 1 + TIMES } else { 1 };
    let ended = Stopwatch::start();
    while sink.count() < mails {
        ensure!(ended.elapsed() < PATIENCE, "{} mails of {mails} came", sink.count());
        sleep(Duration::from_millis(20)).await;
    }
    let whole = watch.elapsed();
    let late = sink.quiet().into_iter().map(|(number, ago)| {
        let due = Duration::from_secs_f64((number - first) as f64 / rate as f64);
        (whole.as_secs_f64() - ago.elapsed().as_secs_f64() - due.as_secs_f64()) * 1_000.0
    });
    let late: Vec<f64> = late.collect();
    ensure!(late.len() == rate * seconds, "{} quiet mails came", late.len());
    Ok(late)
}

fn trigger(workflow: &str, tenant: Option<&str>, people: &[&str]) -> Request {
    let person = |name: &&str| json!({"id": format!("{name}-{HOLE}"), "email": format!("{name}-{HOLE}@x.test")});
    let recipients: Vec<Value> = people.iter().map(person).collect();
    let body = json!({"recipients": recipients, "tenant": tenant, "data": {"text": "x".repeat(200)}});
    Request::post(&format!("/v1/workflows/{workflow}/trigger"), &body)
}

/// The server, with two workflows that send an email each.
fn serve(dir: &Path, smtp: u16) -> Result<Server> {
    for workflow in ["notice", "digest"] {
        let folder = dir.join("workflows").join(workflow);
        std::fs::create_dir_all(&folder)?;
        let email = json!({
            "ref": "email_1",
            "type": "channel",
            "channel_type": "email",
            "channel_key": "email",
            "template": {"subject": "Hello {{recipient.id}}", "html_body": "<p>{{text}}</p>", "text_body": "{{text}}"},
        });
        std::fs::write(folder.join("workflow.json"), json!({"name": workflow, "steps": [email]}).to_string())?;
    }
    let config = format!(
        r#"
        server = {{ listen = "127.0.0.1:0" }}
        auth = {{ secret_keys = ["sk_bench"], public_keys = ["pk_bench"], enhanced_security = false }}
        log = {{ level = "error" }}
        [[channels]]
        key = "email"
        id = "0b9a7e52-1c55-4a7e-8b0a-5d2f3e6c7b22"
        type = "email"
        provider = "smtp"
        host = "127.0.0.1"
        port = {smtp}
        tls = "none"
        from = "Acme <no-reply@acme.test>"
        "#
    );
    let path = dir.join("belfry.toml");
    std::fs::write(&path, config)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_belfry"));
    command.arg("serve").arg("--config").arg(path).arg("--data-dir").arg(dir.join("data"));
    command.arg("--workflows").arg(dir.join("workflows"));
    Server::start(command)
}
