//! A request that is sent many times, and in which only a number changes.

use serde_json::Value;

const DIGITS: usize = 12;

/// Stands in a body where the number comes.
pub const HOLE: &str = "############";

/// The bytes of a request.
#[derive(Clone)]
pub struct Request {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Request {
    pub fn post(path: &str, body: &Value) -> Self {
        Self::new("POST", path, body)
    }

    pub fn new(method: &str, path: &str, body: &Value) -> Self {
        let body = body.to_string();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer sk_bench\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let places = text.match_indices(HOLE).map(|(at, _)| at).collect();
        Self { bytes: text.into_bytes(), places }
    }

    pub fn number(&mut self, number: usize) -> &[u8] {
        let digits = format!("{number:0width$}", width = DIGITS);
        for at in &self.places {
            self.bytes[*at..at + DIGITS].copy_from_slice(digits.as_bytes());
        }
        &self.bytes
    }
}
