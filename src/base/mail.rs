//! The only file that sends to actors. Each function names what the sender means.

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, Message};

/// The actor is gone: the process is shutting down, or it panicked.
#[derive(Debug, thiserror::Error)]
#[error("the server is shutting down")]
pub struct Gone;

/// Asks and waits for the answer. The actor's mailbox may make the caller wait, never fail.
pub async fn call<A, M>(to: &Addr<A>, message: M) -> Result<M::Result, Gone>
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    to.send(message).await.map_err(|_| Gone)
}

/// Tells what must not be lost and is bounded elsewhere: the mailbox takes it whatever its capacity.
pub fn tell<A, M>(to: &Addr<A>, message: M)
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    to.do_send(message);
}

/// `tell` for an address that names only the message, so that a floor need not name the actor's floor.
pub fn tell_recipient<M>(to: &actix::Recipient<M>, message: M)
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    to.do_send(message);
}

/// Offers what may be refused: `false` when the mailbox is full or its actor is gone. The bound holds for a sender that
/// keeps one address; each fresh clone of it would bring room for one more.
pub fn offer<M>(to: &actix::Recipient<M>, message: M) -> bool
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    to.try_send(message).is_ok()
}
