//! What is injected into everything that acts: time, ids, and where heavy pure work runs.

use super::clock::Clock;
use super::ids::IdSource;
use super::work::Work;

/// The dependencies of actors and handlers; shared behind an `Arc`.
pub struct Deps {
    pub clock: Clock,
    pub ids: IdSource,
    pub work: Work,
    pub offload: Offload,
}

/// Where pure work that may take milliseconds (rendering) runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offload {
    /// On the blocking pool, so that no actor or socket waits for it.
    Pool,
    /// In place: the simulation, where another thread would make the order of events depend on the machine.
    Inline,
}

/// The work panicked; the panic's text.
#[derive(Debug, thiserror::Error)]
#[error("panicked: {0}")]
pub struct Panicked(pub String);

impl Offload {
    /// Runs `work` and answers its result; a panic inside it is an error, never the caller's end.
    pub async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Panicked> {
        match self {
            Self::Pool => tokio::task::spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
                Ok(payload) => Panicked(panic_text(payload.as_ref())),
                Err(_) => Panicked("the process is shutting down".into()),
            }),
            Self::Inline => std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
                .map_err(|payload| Panicked(panic_text(payload.as_ref()))),
        }
    }
}

/// What a panic said.
pub fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}
