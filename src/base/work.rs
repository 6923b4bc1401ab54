//! Work in progress, counted, so that shutdown and the dev clock can wait until none is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The counter. Cheap to clone; all clones count together.
#[derive(Clone, Default)]
pub struct Work(Arc<Count>);

#[derive(Default)]
struct Count {
    pieces: AtomicUsize,
    /// Told only when the count comes to zero: every request counts, and nearly nobody waits.
    none_left: Notify,
}

impl Work {
    /// Counts one piece of work until the guard is dropped. A guard travels inside the message that hands the work on,
    /// so that the count never touches zero between two hands.
    pub fn begin(&self) -> WorkGuard {
        self.0.pieces.fetch_add(1, Ordering::SeqCst);
        WorkGuard(self.clone())
    }

    /// Whether nothing is in progress.
    pub fn is_settled(&self) -> bool {
        self.0.pieces.load(Ordering::SeqCst) == 0
    }

    /// Resolves when nothing is in progress.
    pub async fn settled(&self) {
        loop {
            // Listened for before the count is read, so that no zero between the two is missed.
            let none_left = self.0.none_left.notified();
            if self.is_settled() {
                return;
            }
            none_left.await;
        }
    }
}

/// One piece of work in progress.
pub struct WorkGuard(Work);

impl Drop for WorkGuard {
    fn drop(&mut self) {
        if self.0.0.pieces.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.0.none_left.notify_waiters();
        }
    }
}
