//! Sockets that listen to a feed of Belfry's or a room of socket.io's, and the requests that make them hear something.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::PATIENCE;
use crate::socket::Socket;

pub const WORKFLOW: &str = "news";
/// The event that listeners hear.
pub const EVENT: &str = "new-message";
/// Sockets that are opened at the same time.
const OPENING: usize = 64;

/// A server with sockets.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Belfry,
    SocketIo,
}

impl Kind {
    /// A socket that hears its feed or room. `number` tells it from others, `user` is whose feed it is.
    async fn listener(self, address: SocketAddr, user: &str, number: usize) -> Result<Socket> {
        match self {
            Self::Belfry => {
                let mut socket = Socket::connect(address, "/ws/v1/websocket?&api_key=pk_bench&&vsn=2.0.0").await?;
                let topic = format!("feeds:6f1c2a94-3d7b-4e58-9a06-c41be8d3f715:{user}");
                // Each feed of a page has a name of its own, of 28 characters.
                let feeds = json!({format!("client_{number:021}"): {"archived": "exclude", "mode": "compact"}});
                socket.say(&json!(["7", "7", topic, "phx_join", feeds]).to_string()).await?;
                socket.until("\"ok\"").await?;
                Ok(socket)
            }
            Self::SocketIo => {
                let mut socket = Socket::connect(address, "/socket.io/?EIO=4&transport=websocket").await?;
                socket.until("sid").await?;
                socket.say("40").await?;
                socket.until("sid").await?;
                Ok(socket)
            }
        }
    }

    /// The listeners, whose users `user` names by number.
    pub async fn listeners(
        self,
        address: SocketAddr,
        count: usize,
        user: impl Fn(usize) -> String,
    ) -> Result<Vec<Socket>> {
        let mut opening = JoinSet::new();
        let mut sockets = Vec::with_capacity(count);
        for number in 0..count {
            if opening.len() == OPENING
                && let Some(one) = opening.join_next().await
            {
                sockets.push(one??);
            }
            let user = user(number);
            opening.spawn(async move { timeout(PATIENCE, self.listener(address, &user, number)).await? });
        }
        while let Some(one) = opening.join_next().await {
            sockets.push(one??);
        }
        Ok(sockets)
    }

    /// The request that makes all listeners of `user` hear something.
    pub fn request(self, user: &str) -> String {
        let (path, body) = match self {
            Self::Belfry => (format!("/v1/workflows/{WORKFLOW}/trigger"), json!({"recipients": [user]})),
            // As much as Belfry says.
            Self::SocketIo => {
                let counts = json!({"total_count": 1, "unread_count": 1, "unseen_count": 1});
                let name = format!("client_{:021}", 0);
                let data = json!({name.as_str(): {"metadata": counts}});
                ("/emit".into(), json!({"event": EVENT, "attn": [name], "metadata": counts, "data": data}))
            }
        };
        let body = body.to_string();
        format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer sk_bench\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// How many listeners have heard something.
#[derive(Default)]
pub struct Heard {
    pub count: AtomicUsize,
    pub wanted: AtomicUsize,
    pub all: Notify,
}

impl Heard {
    pub fn one(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) + 1 == self.wanted.load(Ordering::Relaxed) {
            self.all.notify_one();
        }
    }
}
