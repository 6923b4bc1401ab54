//! A client of a running server, for the command line and the demo.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

/// Longer than any call takes: advancing the clock waits for all that became due.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longer than a backup takes: 100 GB over a slow line.
const DOWNLOAD: Duration = Duration::from_secs(24 * 3_600);

/// Calls one server with one key.
pub struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Client {
    /// A client of the server at `url`.
    pub fn new(url: &str, key: &str) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), key: key.to_owned() })
    }

    /// Calls `path`; an error answer is an error with the server's own sentence.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let response = self.send(method, path, body).await?;
        let status = response.status();
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let text = response.text().await?;
        if !status.is_success() {
            return refused(status, text);
        }
        Ok(serde_json::from_str(&text).unwrap_or(json!({"message": text})))
    }

    /// What lies at `path`; `None`: nothing.
    pub async fn find(&self, path: &str) -> Result<Option<Value>> {
        let response = self.send(Method::GET, path, None).await?;
        let status = response.status();
        let text = response.text().await?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(serde_json::from_str(&text)?)),
            status => refused(status, text),
        }
    }

    /// Writes what `path` answers into `file`, all of it or with an error.
    pub async fn download(&self, path: &str, file: &mut File) -> Result<()> {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.key).timeout(DOWNLOAD);
        let mut response = request.send().await.with_context(|| self.nobody())?;
        if !response.status().is_success() {
            return refused(response.status(), response.text().await?);
        }
        while let Some(chunk) = response.chunk().await.context("the connection broke off")? {
            file.write_all(&chunk)?;
        }
        Ok(())
    }

    fn nobody(&self) -> String {
        format!("no Belfry answers at {}: start one with `belfry dev`, or name it with --url", self.url)
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response> {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.with_context(|| self.nobody())
    }

    /// Triggers a workflow; answers the id of its run.
    pub async fn trigger(&self, workflow: &str, body: &Value) -> Result<String> {
        let path = format!("/v1/workflows/{}/trigger", segment(workflow));
        let answer = self.call(Method::POST, &path, Some(body)).await?;
        answer["workflow_run_id"].as_str().map(str::to_owned).context("the answer has no workflow_run_id")
    }

    /// Cancels runs; answers the server's word on what was cancelled.
    pub async fn cancel(&self, workflow: &str, body: &Value) -> Result<String> {
        let path = format!("/v1/workflows/{}/cancel", segment(workflow));
        let response = self.send(Method::POST, &path, Some(body)).await?;
        let outcome = response.headers().get("x-cancel-outcome").and_then(|value| value.to_str().ok());
        match (response.status(), outcome) {
            (StatusCode::NO_CONTENT, outcome) => Ok(outcome.unwrap_or("cancelled").to_owned()),
            (status, _) => refused(status, response.text().await?),
        }
    }
}

/// The server's own sentence as an error, with what it says of each field.
fn refused<T>(status: StatusCode, text: String) -> Result<T> {
    let answer: Value = serde_json::from_str(&text).unwrap_or(json!({"message": text}));
    let mut lines = vec![format!("{} ({status})", answer["message"].as_str().unwrap_or("no message"))];
    for fault in answer["errors"].as_array().into_iter().flatten() {
        let text = |key: &str| fault[key].as_str().unwrap_or_default().to_owned();
        lines.push(format!("  {}: {}", text("field"), text("message")));
    }
    bail!(lines.join("\n"))
}

/// `text` as one segment of a path.
pub fn segment(text: &str) -> String {
    text.bytes().fold(String::new(), |path, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'@' => {
            path + char::from(byte).encode_utf8(&mut [0; 4])
        }
        byte => format!("{path}%{byte:02X}"),
    })
}
