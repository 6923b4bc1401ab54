//! A socket of the bench's own: so much of RFC 6455 as hearing text frames takes, and the same for both servers.

use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a browser sends beside the path: a server may keep some of it for as long as the socket lives.
const HEAD: &str = "host: 127.0.0.1\r\nconnection: Upgrade\r\npragma: no-cache\r\ncache-control: no-cache\r\n\
    user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
    upgrade: websocket\r\norigin: http://localhost:3000\r\nsec-websocket-version: 13\r\naccept-encoding: gzip, deflate, br\r\n\
    accept-language: en-GB,en;q=0.9\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;

/// A connected socket.
pub struct Socket {
    stream: TcpStream,
    /// What has come of a frame that is not whole.
    rest: Vec<u8>,
}

impl Socket {
    /// Opens a socket on `path`.
    pub async fn connect(address: SocketAddr, path: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\n{HEAD}").as_bytes()).await?;
        let mut head = Vec::new();
        let end = loop {
            if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut head).await? == 0 {
                bail!("the server hung up");
            }
        };
        if !head.starts_with(b"HTTP/1.1 101") {
            bail!("no socket: {}", String::from_utf8_lossy(&head));
        }
        Ok(Self { stream, rest: head.split_off(end) })
    }

    /// Sends a text of at most 65,535 bytes. The mask, which a client must have, is zero.
    pub async fn say(&mut self, text: &str) -> Result<()> {
        let length = u16::try_from(text.len())?;
        let mut frame = vec![0x80 | TEXT];
        match length {
            0..126 => frame.push(0x80 | length as u8),
            _ => {
                frame.push(0x80 | 126);
                frame.extend(length.to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        Ok(self.stream.write_all(&frame).await?)
    }

    /// Waits for more, and hands over the text of every frame that is whole.
    pub async fn hear(&mut self, mut text: impl FnMut(&[u8])) -> Result<()> {
        if self.rest.is_empty() {
            self.stream.readable().await?;
            // Not kept while it waits: ten thousand sockets share this place.
            let mut chunk = [0; 4_096];
            let read = match self.stream.try_read(&mut chunk) {
                Ok(0) => bail!("the server hung up"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let used = take_frames(&chunk[..read], &mut text)?;
            self.rest.extend(&chunk[used..read]);
        } else {
            let used = take_frames(&self.rest, &mut text)?;
            self.rest.drain(..used);
            if !self.rest.is_empty() && self.stream.read_buf(&mut self.rest).await? == 0 {
                bail!("the server hung up");
            }
        }
        Ok(())
    }

    /// Waits for a text with `part` in it; what comes before is ignored.
    pub async fn until(&mut self, part: &str) -> Result<()> {
        let mut came = false;
        while !came {
            self.hear(|text| came |= contains(text, part)).await?;
        }
        Ok(())
    }
}

/// Whether `part` stands in `text`.
pub fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}

/// How many of the bytes were whole frames.
fn take_frames(bytes: &[u8], text: &mut impl FnMut(&[u8])) -> Result<usize> {
    let mut used = 0;
    while let Some(length) = frame_length(&bytes[used..])? {
        let frame = &bytes[used..used + length.head + length.body];
        let body = &frame[length.head..];
        match frame[0] & 0x0f {
            TEXT => text(body),
            CLOSE => bail!("closed: {}", String::from_utf8_lossy(body.get(2..).unwrap_or_default())),
            other => bail!("a frame of kind {other}"),
        }
        used += frame.len();
    }
    Ok(used)
}

struct Length {
    head: usize,
    body: usize,
}

/// The length of the frame that `bytes` begin with, if it is there as a whole.
fn frame_length(bytes: &[u8]) -> Result<Option<Length>> {
    let length = match bytes {
        [_, 127, ..] => bail!("a frame of more than 65,535 bytes"),
        [_, 126, high, low, ..] => Length { head: 4, body: u16::from_be_bytes([*high, *low]).into() },
        [_, 126, ..] | [] | [_] => return Ok(None),
        [_, body, ..] => Length { head: 2, body: (*body).into() },
    };
    Ok(Some(length).filter(|length| bytes.len() >= length.head + length.body))
}
