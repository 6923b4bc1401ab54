//! A client of the socket, as Knock's is on the wire.

use std::collections::VecDeque;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::server::{DEADLINE, FEED, PUBLIC, TestServer};

/// The query of Knock's client when it has neither token nor branch: pairs may be empty.
pub fn query(key: &str) -> String {
    format!("?&api_key={key}&&vsn=2.0.0")
}

/// One socket.
pub struct Phoenix {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    reference: u32,
    joined: Vec<String>,
    /// Events that came while something else was waited for.
    events: VecDeque<Value>,
}

impl Phoenix {
    pub async fn connect(server: &TestServer) -> Self {
        Self::try_connect(server, "/ws/v1/websocket", &query(PUBLIC)).await.unwrap()
    }

    /// Connects; the error is the status that the upgrade was refused with.
    pub async fn try_connect(server: &TestServer, path: &str, query: &str) -> Result<Self, u16> {
        let url = format!("{}{path}{query}", server.url.replacen("http", "ws", 1));
        match connect_async(url).await {
            Ok((stream, _)) => Ok(Self { stream, reference: 6, joined: Vec::new(), events: VecDeque::new() }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub fn topic(user: &str) -> String {
        format!("feeds:{FEED}:{user}")
    }

    /// Connects and joins the feed of `user`.
    pub async fn listening(server: &TestServer, user: &str, options: Value) -> Self {
        let mut phoenix = Self::connect(server).await;
        let reply = phoenix.ask(&Self::topic(user), "phx_join", options).await;
        assert_eq!(reply, json!({"status": "ok", "response": {}}));
        phoenix
    }

    pub async fn say(&mut self, message: Message) {
        self.try_say(message).await.unwrap();
    }

    /// The error: it was closed.
    pub async fn try_say(&mut self, message: Message) -> Result<(), Error> {
        self.stream.send(message).await
    }

    /// Whether no event came while other things were waited for.
    pub fn is_silent(&self) -> bool {
        self.events.is_empty()
    }

    /// Sends an event and waits for its reply.
    pub async fn ask(&mut self, topic: &str, event: &str, payload: Value) -> Value {
        self.reference += 1;
        if event == "phx_join" {
            self.joined.push(topic.to_owned());
        }
        let reference = self.reference.to_string();
        let frame = json!([reference, reference, topic, event, payload]).to_string();
        self.say(Message::text(frame)).await;
        loop {
            let frame = self.next().await.unwrap_or_else(|code| panic!("it was closed with {code}"));
            if frame[1] == reference.as_str() {
                assert_eq!(frame[0], reference.as_str());
                assert_eq!((&frame[2], &frame[3]), (&json!(topic), &json!("phx_reply")));
                return frame[4].clone();
            }
            self.events.push_back(frame);
        }
    }

    /// The next `new-message` event's payload.
    pub async fn event(&mut self) -> Value {
        let frame = match self.events.pop_front() {
            Some(frame) => frame,
            None => self.next().await.unwrap_or_else(|code| panic!("it was closed with {code}")),
        };
        assert_eq!(frame[3], "new-message", "{frame}");
        assert!(self.joined.iter().any(|topic| frame[2] == topic.as_str()), "it would drop another's topic: {frame}");
        assert!(frame[0].is_null(), "an event of no join reaches every join: {frame}");
        assert_eq!(frame[4]["event"], "new-message", "the client switches on it");
        assert!(frame[4]["attn"].is_array(), "the client walks it");
        frame[4].clone()
    }

    /// Waits until an event's total says `count`; answers how many events that took.
    pub async fn until_total(&mut self, count: u64) -> usize {
        for events in 1.. {
            if self.event().await["metadata"]["total_count"] == count {
                return events;
            }
        }
        unreachable!()
    }

    /// The code that the server closes it with.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }

    async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.stream.next()).await.expect("nothing comes");
            match message {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }
}
