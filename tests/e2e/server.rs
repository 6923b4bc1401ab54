//! The real binary with a folder of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use belfry::base::clock::{Stopwatch, sleep};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

pub const SECRET: &str = "sk_test_e2e_0123456789";
pub const PUBLIC: &str = "pk_test_e2e_0123456789";
pub const FEED: &str = "6f1c2a94-3d7b-4e58-9a06-c41be8d3f715";

/// The binary under test.
pub fn belfry() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_belfry"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// How a server is configured.
pub struct Setup {
    pub dev: bool,
    pub keys: bool,
    pub smtp_port: u16,
    pub workflows: PathBuf,
    pub more: String,
}

impl Setup {
    pub fn new(smtp_port: u16) -> Self {
        let workflows = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/workflows");
        Self { dev: true, keys: true, smtp_port, workflows, more: String::new() }
    }

    pub fn start(self) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let keys =
            if self.keys { format!("secret_keys = ['{SECRET}']\npublic_keys = ['{PUBLIC}']") } else { String::new() };
        let config = format!(
            "[server]\nlisten = '127.0.0.1:0'\ndata_dir = '{data}'\ndev = {dev}\n[auth]\n{keys}\n\
             [workflows]\ndir = '{workflows}'\n[vars]\napp_url = 'https://app.example'\n{more}\n\
             [[channels]]\nkey = 'email'\nid = '0b9a7e52-1c55-4a7e-8b0a-5d2f3e6c7b22'\ntype = 'email'\nprovider = 'smtp'\n\
             from = 'Acme <no-reply@acme.test>'\nhost = '127.0.0.1'\nport = {port}\ntls = 'none'\n\
             [[channels]]\nkey = 'in-app'\nid = '{FEED}'\ntype = 'in_app_feed'\nprovider = 'in_app_feed'\n",
            data = folder.path().join("data").display(),
            dev = self.dev,
            workflows = self.workflows.display(),
            more = self.more,
            port = self.smtp_port,
        );
        std::fs::write(folder.path().join("belfry.toml"), config).unwrap();
        let process = Process::start(folder.path(), &[]);
        Server { process, folder, http: reqwest::Client::new() }
    }
}

/// A running process and what it said.
pub struct Process {
    child: Child,
    pub url: String,
    log: Arc<Mutex<String>>,
}

impl Process {
    fn start(folder: &Path, more: &[&str]) -> Self {
        let mut command = belfry();
        command.args(["serve", "--config"]).arg(folder.join("belfry.toml")).args(["--log-level", "trace"]).args(more);
        Self::spawn(command)
    }

    /// Starts `command` and waits for the address that it prints.
    // `Drop` waits for it; one that ends before it is listening fails the test.
    #[allow(clippy::zombie_processes)]
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (mut stderr, kept) = (child.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = stderr.read(&mut part) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&part[..length]));
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        loop {
            let start = said.len();
            assert_ne!(stdout.read_line(&mut said).unwrap(), 0, "it ended: {said}{}", log.lock().unwrap());
            if let Some((_, rest)) = said[start..].split_once("listens on ") {
                let url = rest.split_whitespace().next().unwrap().to_owned();
                let more = Arc::clone(&log);
                std::thread::spawn(move || {
                    for line in stdout.lines().map_while(Result::ok) {
                        more.lock().unwrap().push_str(&(line + "\n"));
                    }
                });
                return Self { child, url, log };
            }
        }
    }

    /// All that it has said, on either stream.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until it has said `words`.
    pub fn wait_for(&self, words: &str) -> String {
        let watch = Stopwatch::start();
        while !self.log().contains(words) {
            assert!(watch.elapsed() < Duration::from_secs(60), "{words} is not in {}", self.log());
            std::thread::yield_now();
        }
        self.log()
    }

    pub fn kill_9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn terminate(&mut self) {
        let done = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(done.success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Server {
    pub process: Process,
    pub folder: TempDir,
    http: reqwest::Client,
}

impl Server {
    /// Ends the process at once and starts another on the same folder.
    pub fn crash_and_restart(&mut self) {
        self.process.kill_9();
        self.process = Process::start(self.folder.path(), &[]);
    }

    pub async fn send(&self, method: Method, path: &str, key: &str, body: impl Into<reqwest::Body>) -> Response {
        let request = self.http.request(method, format!("{}{path}", self.process.url)).bearer_auth(key);
        request.body(body).send().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.send(Method::POST, path, SECRET, body.to_string()).await
    }

    pub async fn get(&self, path: &str) -> Value {
        self.send(Method::GET, path, SECRET, "").await.json().await.unwrap()
    }

    pub async fn trigger(&self, workflow: &str, body: Value) -> String {
        let response = self.post(&format!("/v1/workflows/{workflow}/trigger"), &body).await;
        let (status, answer) = (response.status(), response.json::<Value>().await.unwrap());
        assert_eq!(status, 200, "{answer}");
        answer["workflow_run_id"].as_str().unwrap().to_owned()
    }

    /// Cancels; answers `x-cancel-outcome`.
    pub async fn cancel(&self, workflow: &str, body: Value) -> String {
        let response = self.post(&format!("/v1/workflows/{workflow}/cancel"), &body).await;
        assert_eq!(response.status(), 204);
        response.headers()["x-cancel-outcome"].to_str().unwrap().to_owned()
    }

    pub async fn advance(&self, by: &str) {
        let response = self.post("/dev/clock/advance", &json!({"by": by})).await;
        let status = response.status();
        assert_eq!(status, 200, "{}", response.text().await.unwrap());
    }

    /// Waits until nothing is under way: a mail that was accepted is known to be.
    pub async fn settle(&self) {
        self.advance("1ms").await;
    }

    pub async fn feed(&self, user: &str) -> Value {
        self.get(&format!("/v1/users/{user}/feeds/{FEED}")).await
    }

    /// Waits until the feed of `user` has `count` items.
    pub async fn feed_of(&self, user: &str, count: u64) -> Value {
        let watch = Stopwatch::start();
        loop {
            let page = self.feed(user).await;
            if page["meta"]["total_count"].as_u64() >= Some(count) {
                return page;
            }
            assert!(watch.elapsed() < Duration::from_secs(60), "waited in vain: {page}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// An invitation of `to` with the cancellation key `key`.
pub fn invite(to: &[&str], key: &str) -> Value {
    json!({
        "actor": {"id": "hammond", "name": "John Hammond"},
        "recipients": to,
        "cancellation_key": key,
        "data": {"inviteToken": format!("token-{key}")},
    })
}
