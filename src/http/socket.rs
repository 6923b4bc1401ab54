//! `/ws/v1/websocket`: the socket of a session, and the only file that knows actix-web-actors. The context of such an
//! actor is the body of its response: while the client reads nothing, the actor does not run at all. What is sent to it
//! then fills its mailbox, its feed drops it, and the kernel ends the connection (`UNREAD`).

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Handler, Running, StreamHandler};
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use actix_web_actors::ws::{self, CloseCode, CloseReason, Message, ProtocolError, WebsocketContext};
use tokio::sync::OwnedSemaphorePermit;

use super::State;
use super::auth::{self, Right, Subject};
use super::cors::origin_allowed;
use super::error::ApiError;
use super::feeds::feed_channel;
use super::key_ring::{self, KeyHash};
use super::session::{Act, Goodbye, MAX_FRAME_BYTES, Session, Wanted};
use crate::base::clock::Stopwatch;
use crate::base::ids::{ChannelId, RequestId, SessionId};
use crate::base::mail::tell;
use crate::feed::ToSession;
use crate::feed::hub::{Closed, Join, Leave, Open};
use crate::feed::subscription::Subscription;

/// How long a peer may leave unread what it was sent before the kernel ends the connection.
pub const UNREAD: Duration = Duration::from_secs(20);
/// How often a session is looked after.
const CHECKUP: Duration = Duration::from_secs(20);
/// Clients send a heartbeat every 30 s; after two that did not come nobody is there.
const SILENCE: Duration = Duration::from_secs(75);

/// A socket.
struct Socket {
    state: web::Data<State>,
    subject: Subject,
    /// Of the key that it was opened with, which may be revoked.
    key: KeyHash,
    id: SessionId,
    session: Session,
    heard: Stopwatch,
    _place: OwnedSemaphorePermit,
}

/// `GET /ws/v1/websocket?api_key=...&user_token=...&vsn=2.0.0`. What is refused is refused before the upgrade.
pub async fn open(
    state: web::Data<State>,
    request: HttpRequest,
    query: web::Query<Vec<(String, String)>>,
    stream: web::Payload,
) -> Result<HttpResponse, ApiError> {
    if !state.is_accepting() {
        return Err(ApiError::unavailable("the server is shutting down; come back"));
    }
    if !origin_allowed(request.headers(), &state) {
        let message = "pages of this origin may not open sockets; http.allowed_origins lists those that may";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "origin_not_allowed", message));
    }
    let named = |name: &str| query.iter().find(|(key, value)| key == name && !value.is_empty());
    let text = |name: &str| named(name).map(|(_, value)| value.as_str());
    // Phoenix refuses a socket with 403 whatever was wrong, and clients expect it.
    let subject = auth::connect(text("api_key"), text("user_token"), &state)
        .map_err(|error| ApiError { status: StatusCode::FORBIDDEN, ..error })?;
    check_upgrade(request.headers(), text("vsn"))?;
    let place = Arc::clone(&state.sockets).try_acquire_owned().map_err(|_| {
        ApiError::unavailable("the server has as many sockets open as http.max_sockets allows; try again later")
    })?;
    let id = request.extensions().get::<RequestId>().map_or_else(|| [0; 16].into(), |id| SessionId(id.0));
    let key = key_ring::hash(text("api_key").unwrap_or_default());
    let (session, heard) = (Session::new(), Stopwatch::start());
    let socket = Socket { state: state.clone(), subject, key, id, session, heard, _place: place };
    ws::WsResponseBuilder::new(socket, &request, stream)
        .frame_size(MAX_FRAME_BYTES)
        .start()
        .map_err(|error| ApiError::bad_request(format!("this path opens a WebSocket: {error}")))
}

/// What the handshake of RFC 6455 (section 4.2.1) asks for and the library does not check, and the protocol's version.
fn check_upgrade(headers: &HeaderMap, version: Option<&str>) -> Result<(), ApiError> {
    let nonce = headers.get("sec-websocket-key").map(|key| key.as_bytes());
    // 16 bytes in base64.
    let is_nonce = nonce.is_none_or(|key| {
        let digits = key.strip_suffix(b"==").unwrap_or_default();
        digits.len() == 22 && digits.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
    });
    if !is_nonce {
        return Err(ApiError::bad_request("Sec-WebSocket-Key must be 16 bytes in base64"));
    }
    match version {
        Some("2.0.0") => Ok(()),
        other => {
            let other = other.unwrap_or("none");
            Err(ApiError::bad_request(format!("this server speaks version 2.0.0 of the protocol (`vsn`), not {other}")))
        }
    }
}

impl Socket {
    fn act(&mut self, acts: Vec<Act>, ctx: &mut WebsocketContext<Self>) {
        for act in acts {
            match act {
                Act::Send(text) => ctx.text(text),
                Act::Join { user, channel, subscription, request } => {
                    let to = ctx.address().recipient();
                    tell(&self.state.hub, Join { session: self.id, user, channel, subscription, request, to });
                }
                Act::Leave { user, channel } => {
                    tell(&self.state.hub, Leave { session: self.id, user, channel });
                }
                Act::Close(goodbye) => self.close(&goodbye, ctx),
            }
        }
    }

    fn close(&mut self, goodbye: &Goodbye, ctx: &mut WebsocketContext<Self>) {
        tracing::debug!(session = %self.id, code = goodbye.code, reason = goodbye.reason, "socket closed");
        let description = Some(goodbye.reason.clone()).filter(|reason| !reason.is_empty());
        ctx.close(Some(CloseReason { code: CloseCode::from(goodbye.code), description }));
        ctx.stop();
    }

    fn look_after(&mut self, ctx: &mut WebsocketContext<Self>) {
        let now = self.state.now();
        if !self.state.keys.holds(&self.key) {
            self.close(&Goodbye::revoked(), ctx);
        } else if self.subject.expires_at().is_some_and(|expires| expires <= now) {
            self.close(&Goodbye::expired(), ctx);
        } else if self.heard.elapsed() > SILENCE {
            self.close(&Goodbye::silent(), ctx);
        }
    }
}

/// Whether the subject may hear the feed, and what of it.
fn admit(state: &State, subject: &Subject, wanted: Wanted<'_>) -> Result<(ChannelId, Subscription), String> {
    let channel = feed_channel(state, wanted.channel).map_err(|error| error.message)?;
    let access = subject.require(wanted.user, Right::FeedRead, state).map_err(|error| error.message)?;
    Ok((channel, wanted.subscription.limited(&access)))
}

impl Actor for Socket {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        tell(&self.state.hub, Open { session: self.id, to: ctx.address().recipient() });
        ctx.run_interval(CHECKUP, Self::look_after);
    }

    fn stopping(&mut self, _: &mut Self::Context) -> Running {
        for (user, channel) in self.session.joined() {
            tell(&self.state.hub, Leave { session: self.id, user, channel });
        }
        tell(&self.state.hub, Closed(self.id));
        Running::Stop
    }
}

impl StreamHandler<Result<Message, ProtocolError>> for Socket {
    fn handle(&mut self, message: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        self.heard = Stopwatch::start();
        match message {
            Ok(Message::Text(text)) => {
                let (state, subject) = (&self.state, &self.subject);
                let acts = self.session.on_text(&text, |wanted| admit(state, subject, wanted));
                self.act(acts, ctx);
            }
            Ok(Message::Ping(payload)) => match self.session.too_many() {
                None => ctx.pong(&payload),
                Some(goodbye) => self.close(&goodbye, ctx),
            },
            Ok(Message::Pong(_) | Message::Nop) => {}
            Ok(Message::Close(_)) => {
                ctx.close(None);
                ctx.stop();
            }
            Ok(Message::Binary(_)) => self.close(&Goodbye::new(1003, "only text frames are understood"), ctx),
            Ok(Message::Continuation(_)) => {
                self.close(&Goodbye::new(1003, "a message must be one frame"), ctx);
            }
            Err(ProtocolError::Overflow) => {
                self.close(&Goodbye::new(1009, format!("a frame may have {MAX_FRAME_BYTES} bytes")), ctx);
            }
            // The connection is gone, or what came was no WebSocket frame: 1002 is RFC 6455's word for it.
            Err(error) => self.close(&Goodbye::new(1002, error.to_string()), ctx),
        }
    }
}

impl Handler<ToSession> for Socket {
    type Result = ();

    fn handle(&mut self, message: ToSession, ctx: &mut Self::Context) {
        match message {
            ToSession::Frame(text) => ctx.text(text),
            ToSession::Restart => self.close(&Goodbye::restart(), ctx),
            ToSession::Slow => self.close(&Goodbye::slow(), ctx),
        }
    }
}
