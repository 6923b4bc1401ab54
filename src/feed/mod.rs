//! In-app feeds as readers see them: pages and counts, and what is told to those who watch. A hub knows who is
//! connected, an actor for each such user tells its sessions what changed. It may name the floors from `base` to
//! `delivery`, and does not know HTTP or sockets: a session is whoever takes `ToSession`.

pub mod bulk;
pub mod counts;
pub mod cursor;
pub mod frame;
pub mod hub;
pub mod list;
pub mod live;
pub mod push;
pub mod query;
pub mod subscription;
pub mod topic;

use bytestring::ByteString;

/// What a session is told.
#[derive(actix::Message, Clone, Debug, PartialEq, Eq)]
#[rtype(result = "()")]
pub enum ToSession {
    /// Send this.
    Frame(ByteString),
    /// Close: the server, or what it listens to, begins anew. Its client comes back by itself.
    Restart,
    /// Close: it did not read what it was sent.
    Slow,
}
