//! A server that is measured: a process of its own, and what it answers.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"

[auth]
secret_keys = ["sk_bench"]
public_keys = ["pk_bench"]
enhanced_security = false

[http]
max_feeds_per_user = 1_000_000
max_sockets = 100_000

[log]
level = "error"

[[channels]]
key = "in-app"
id = "6f1c2a94-3d7b-4e58-9a06-c41be8d3f715"
type = "in_app_feed"
provider = "in_app_feed"
"#;

/// Ends with its owner.
pub struct Server {
    pub process: Child,
    pub address: SocketAddr,
    /// Kept open: it may have more to print.
    _printed: BufReader<ChildStdout>,
}

impl Server {
    /// The release binary, with everything it keeps under `dir` and one workflow, beside those that were published there
    /// before.
    pub fn belfry(dir: &Path, workflow: &str, steps: Vec<Value>) -> Result<Self> {
        publish(dir, workflow, steps)?;
        let path = dir.join("belfry.toml");
        std::fs::write(&path, CONFIG)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_belfry"));
        command.arg("serve").arg("--config").arg(path).arg("--data-dir").arg(dir.join("data"));
        command.arg("--workflows").arg(dir.join("workflows"));
        Self::start(command)
    }

    /// Any that prints its URL at the end of its first line, once it listens.
    pub fn start(mut command: Command) -> Result<Self> {
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let mut printed = BufReader::new(process.stdout.take().context("no stdout")?);
        let mut line = String::new();
        printed.read_line(&mut line)?;
        let address = line.trim().rsplit("http://").next().and_then(|address| address.parse().ok());
        match address {
            Some(address) => Ok(Self { process, address, _printed: printed }),
            None => {
                process.kill()?;
                bail!("the server said `{line}` instead of its address")
            }
        }
    }

    /// The time that its threads have run since it started.
    pub fn processor_micros(&self) -> Result<f64> {
        processor_micros(self.process.id())
    }

    /// One of its metrics, zero while it has none of this name.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let text = self.get("/metrics").await?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.map_or(Ok(0.0), str::parse)?)
    }

    /// What it answers to a GET with the secret key.
    pub async fn get(&self, path: &str) -> Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer sk_bench\r\n\r\n");
        self.ask(request.as_bytes()).await
    }

    /// What it answers to `request` on a connection of its own.
    pub async fn ask(&self, request: &[u8]) -> Result<String> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(request).await?;
        let mut buffer = vec![0; 65_536];
        Ok(std::str::from_utf8(read_answer(&mut stream, &mut buffer).await?)?.to_owned())
    }
}

/// Lets the next start of a server under `dir` know one more workflow: what `steps` do before a feed item.
pub fn publish(dir: &Path, workflow: &str, mut steps: Vec<Value>) -> Result<()> {
    steps.push(json!({
        "ref": "in_app_feed_1",
        "type": "channel",
        "channel_type": "in_app_feed",
        "channel_key": "in-app",
        "template": {"markdown_body": "Hello {{recipient.name}}", "action_url": "https://app.example"},
    }));
    let folder = dir.join("workflows").join(workflow);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("workflow.json"), json!({"name": workflow, "steps": steps}).to_string())?;
    Ok(())
}

/// The time that a process's threads have run since it started. Linux counts it in hundredths of a second.
pub fn processor_micros(process: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // Behind the name, which may hold anything: the state is the 3rd field, user and system time the 14th and 15th.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).context("a strange stat")?;
    let ticks: Vec<f64> = fields.skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() * 10_000.0)
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its folder is about to be removed: there is nothing that a slower end would save.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads one answer; anything but 200 with a `content-length` and 204 ends the bench. Answers the body.
pub async fn read_answer<'a>(stream: &mut TcpStream, buffer: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            buffer.resize(filled * 2, 0);
        }
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            bail!("the server hung up");
        }
        filled += read;
        if let Some(head) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
            let (start, end) = (head + 4, head + 4 + content_length(&buffer[..head])?);
            if filled >= end {
                if !buffer.starts_with(b"HTTP/1.1 200") && !buffer.starts_with(b"HTTP/1.1 204") {
                    bail!("not answered with 200: {}", String::from_utf8_lossy(&buffer[..filled]));
                }
                return Ok(&buffer[start..end]);
            }
        }
    }
}

fn content_length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head)?;
    if head.starts_with("HTTP/1.1 204") {
        return Ok(0);
    }
    let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    Ok(line.context("the answer has no content-length")?.parse()?)
}
