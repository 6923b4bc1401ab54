//! The real binary: as a server in a folder of its own, and as a command that runs to its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::smtp::SmtpServer;

/// Longer than anything here takes, also on a busy machine; whoever waits longer waits in vain.
pub const DEADLINE: Duration = Duration::from_secs(45);

pub const SECRET: &str = "sk_test_b07c7ec4e1d2";
pub const PUBLIC: &str = "pk_test_5a1f93c0aa";
pub const FEED: &str = "6f1c2a94-3d7b-4e58-9a06-c41be8d3f715";

/// The binary with `arguments`, in `folder`, without what the surroundings would say to it.
pub fn belfry(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_belfry"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BELFRY") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end: its exit code, standard output and standard error.
pub async fn run(mut command: Command) -> (i32, String, String) {
    let output = tokio::time::timeout(DEADLINE, command.output()).await;
    let Output { status, stdout, stderr } = output.expect("the command does not end").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// A process that goes on until it is told to end.
pub struct Process {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    /// What it said so far.
    pub printed: Vec<String>,
    stderr: PathBuf,
}

impl Process {
    /// Starts `command`; its standard error is appended to `stderr`.
    pub fn spawn(mut command: Command, stderr: &Path) -> Self {
        let log = fs::OpenOptions::new().create(true).append(true).open(stderr).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, stdout, printed: Vec::new(), stderr: stderr.to_owned() }
    }

    /// Waits for it to print a line that begins with `start`; answers the rest of that line.
    pub async fn line(&mut self, start: &str) -> String {
        loop {
            let next = tokio::time::timeout(DEADLINE, self.stdout.next_line()).await;
            match next.unwrap_or(Ok(None)).unwrap() {
                Some(line) => {
                    self.printed.push(line.clone());
                    if let Some(rest) = line.strip_prefix(start) {
                        return rest.to_owned();
                    }
                }
                None => panic!("it never printed `{start}...`\n{:#?}\n{}", self.printed, self.stderr()),
            }
        }
    }

    /// What this process and its predecessors in the folder logged.
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    pub fn id(&self) -> String {
        self.child.id().expect("it has ended").to_string()
    }

    pub async fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.id()]).status().await.unwrap().success());
    }

    /// Waits until it has ended, and for all that it printed.
    pub async fn exit(&mut self) -> ExitStatus {
        let status = tokio::time::timeout(DEADLINE, self.child.wait()).await.expect("it does not end").unwrap();
        while let Some(line) = self.stdout.next_line().await.unwrap() {
            self.printed.push(line);
        }
        status
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("standard error of the server:\n{}", fs::read_to_string(&self.stderr).unwrap_or_default());
        }
    }
}

/// What a server is started with.
pub struct Setup {
    folder: TempDir,
    config: toml::Table,
    environment: Vec<(&'static str, &'static str)>,
}

impl Setup {
    /// A server with keys, dev endpoints, captured mail and the workflows of this directory's `workflows` function.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = toml::from_str(&format!(
            r#"
            server = {{ listen = "127.0.0.1:0", data_dir = "data", dev = true }}
            auth = {{ secret_keys = ["{SECRET}"], public_keys = ["{PUBLIC}"], enhanced_security = false }}
            workflows = {{ dir = "workflows" }}
            http = {{ workers = 2 }}
            vars = {{ app_url = "https://app.example" }}
            log = {{ level = "debug" }}
            [[channels]]
            key = "email"
            id = "0b9a7e52-1c55-4a7e-8b0a-5d2f3e6c7b22"
            type = "email"
            provider = "mailbox"
            from = "Acme <no-reply@acme.test>"
            [[channels]]
            key = "in-app"
            id = "{FEED}"
            type = "in_app_feed"
            provider = "in_app_feed"
            "#
        ));
        let setup = Self { folder, config: config.unwrap(), environment: Vec::new() };
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config/workflows"), &setup.path("workflows"));
        setup
            .workflow("note", &[email("Note {{n}}")])
            .workflow("later", &[delay("days", 1), email("Later {{n}}")])
            .workflow("reminder", &[email("First {{n}}"), delay("days", 3), email("Second {{n}}")])
            .workflow("both", &[email("Both {{n}}"), in_app("Item {{n}}")])
    }

    /// Sends mail to `smtp`.
    pub fn smtp(mut self, smtp: &SmtpServer) -> Self {
        let channel = self.config["channels"][0].as_table_mut().unwrap();
        channel.insert("provider".into(), "smtp".into());
        channel.insert("host".into(), "127.0.0.1".into());
        channel.insert("port".into(), i64::from(smtp.port).into());
        channel.insert("tls".into(), "none".into());
        self
    }

    /// Adds an email channel of another key, whose mails go to `smtp`.
    pub fn email_channel(mut self, key: &str, smtp: &SmtpServer) -> Self {
        let channels = self.config["channels"].as_array_mut().unwrap();
        let mut channel = channels[0].as_table().unwrap().clone();
        channel.insert("key".into(), key.into());
        channel.insert("id".into(), "5f1d3f0e-8c1c-4a55-9d53-6f2a8f5f9c01".into());
        channel.insert("provider".into(), "smtp".into());
        channel.insert("host".into(), "127.0.0.1".into());
        channel.insert("port".into(), i64::from(smtp.port).into());
        channel.insert("tls".into(), "none".into());
        channels.push(channel.into());
        self
    }

    /// Sets one of the email channel's settings.
    pub fn set_email(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        self.config["channels"][0].as_table_mut().unwrap().insert(key.into(), value.into());
        self
    }

    /// Adds a channel that is as `like` is, but for its key and id.
    pub fn channel(mut self, key: &str, like: &str, id: &str) -> Self {
        let channels = self.config["channels"].as_array_mut().unwrap();
        let mut channel = channels.iter().find(|channel| channel["key"].as_str() == Some(like)).unwrap().clone();
        for (name, value) in [("key", key), ("id", id)] {
            channel.as_table_mut().unwrap().insert(name.into(), value.into());
        }
        channels.push(channel);
        self
    }

    /// Sets `section.key`.
    pub fn set(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        let (section, key) = key.split_once('.').unwrap();
        let section = self.config.entry(section).or_insert_with(|| toml::Table::new().into());
        section.as_table_mut().unwrap().insert(key.into(), value.into());
        self
    }

    /// Leaves out a section.
    pub fn without(mut self, section: &str) -> Self {
        self.config.remove(section).unwrap();
        self
    }

    pub fn environment(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Adds a workflow of these steps.
    pub fn workflow(self, key: &str, steps: &[Value]) -> Self {
        let named = steps.iter().enumerate().map(|(number, step)| {
            let mut step = step.clone();
            step["ref"] = json!(format!("step_{number}"));
            step
        });
        self.workflow_text(key, &json!({"name": key, "steps": named.collect::<Vec<_>>()}).to_string())
    }

    /// Adds a workflow whose file has this text.
    pub fn workflow_text(self, key: &str, text: &str) -> Self {
        fs::create_dir_all(self.path("workflows").join(key)).unwrap();
        fs::write(self.path("workflows").join(key).join("workflow.json"), text).unwrap();
        self
    }

    /// A path inside the server's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `belfry serve` with this configuration.
    pub fn command(&self) -> Command {
        fs::write(self.path("belfry.toml"), toml::to_string(&self.config).unwrap()).unwrap();
        let mut command = belfry(self.folder.path(), &["serve"]);
        command.envs(self.environment.iter().copied());
        command
    }

    /// Starts it and waits until it listens.
    pub async fn start(self) -> TestServer {
        let (process, url) = self.spawn().await;
        let http = Client::builder().timeout(DEADLINE).build().unwrap();
        TestServer { process, setup: self, url, http }
    }

    async fn spawn(&self) -> (Process, String) {
        let mut process = Process::spawn(self.command(), &self.path("stderr.log"));
        let url = process.line("Belfry listens on ").await;
        (process, url)
    }
}

/// A step of a workflow file.
pub fn email(subject: &str) -> Value {
    json!({
        "type": "channel", "channel_type": "email", "channel_key": "email",
        "template": {"subject": subject, "html_body": "<p>{{text}}</p>", "text_body": "{{text}}"},
    })
}

pub fn in_app(markdown: &str) -> Value {
    json!({
        "type": "channel", "channel_type": "in_app_feed", "channel_key": "in-app",
        "template": {"markdown_body": markdown, "action_url": "/"},
    })
}

pub fn delay(unit: &str, value: u32) -> Value {
    json!({"type": "delay", "settings": {"delay_for": {"unit": unit, "value": value}}})
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks that it is an error in the one form that clients know.
    pub fn assert_error(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let body = self.json();
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["status"], status, "{body}");
        assert!(body["message"].as_str().is_some_and(|message| message.len() > 10), "{body}");
        assert!(body["type"].as_str().is_some_and(|kind| kind.ends_with("_error")), "{body}");
        for fault in body["errors"].as_array().expect("`errors` is an array") {
            assert!(fault["field"].is_string() && fault["message"].is_string() && fault["type"].is_null(), "{body}");
        }
        assert!(self.header("x-request-id").is_some_and(|id| !id.is_empty()), "{self:?}");
        body
    }
}

/// A server that runs.
pub struct TestServer {
    // Before the setup, which deletes the folder when it is dropped.
    pub process: Process,
    pub setup: Setup,
    pub url: String,
    pub http: Client,
}

impl TestServer {
    /// Kills it as a crash would: nothing of it runs after this.
    pub async fn kill_9(&mut self) {
        self.process.signal("-KILL").await;
        assert_eq!(self.process.exit().await.code(), None);
    }

    /// Starts it again on the same folder. The clock is the machine's again.
    pub async fn restart(&mut self) {
        assert!(!self.process.is_running());
        (self.process, self.url) = self.setup.spawn().await;
    }

    /// Calls with a key and headers; an error is a server that has gone.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        key: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> reqwest::Result<Reply> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if !key.is_empty() {
            request = request.bearer_auth(key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Reply { status, headers, text: response.text().await? })
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, SECRET, &[], Some(body.to_string())).await.unwrap()
    }

    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, SECRET, &[], Some(body.to_string())).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, SECRET, &[], None).await.unwrap()
    }

    /// Triggers a workflow; answers the id of its run.
    pub async fn trigger(&self, workflow: &str, body: Value) -> String {
        let reply = self.post(&format!("/v1/workflows/{workflow}/trigger"), body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["workflow_run_id"].as_str().unwrap().to_owned()
    }

    /// Cancels; answers what the server says of it.
    pub async fn cancel(&self, workflow: &str, body: Value) -> String {
        let reply = self.post(&format!("/v1/workflows/{workflow}/cancel"), body).await;
        assert_eq!((reply.status, reply.text.as_str()), (204, ""), "{reply:?}");
        reply.header("x-cancel-outcome").unwrap().to_owned()
    }

    /// Advances the clock; all that became due has happened when this returns.
    pub async fn advance(&self, by: &str) {
        let reply = self.post("/dev/clock/advance", json!({"by": by})).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    /// Lets everything that is due happen.
    pub async fn settle(&self) {
        self.advance("0s").await;
    }

    /// Captured mail.
    pub async fn mailbox(&self) -> Vec<Value> {
        self.get("/dev/mailbox").await.json()["entries"].as_array().unwrap().clone()
    }

    /// A user's feed.
    pub async fn feed(&self, user: &str) -> Value {
        let reply = self.get(&format!("/v1/users/{user}/feeds/{FEED}")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }

    /// The sum of a metric's samples whose labels contain `label`.
    pub async fn metric(&self, name: &str, label: &str) -> u64 {
        let text = self.get("/metrics").await.text;
        let of_it = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        of_it.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    }
}
