//! Work in progress, counted, so that shutdown and the dev clock can wait until none is left.

use tokio::sync::watch;

/// The counter. Cheap to clone; all clones count together.
#[derive(Clone, Default)]
pub struct Work(watch::Sender<usize>);

impl Work {
    /// Counts one piece of work until the guard is dropped. A guard travels inside the message that hands the work on,
    /// so that the count never touches zero between two hands.
    pub fn begin(&self) -> WorkGuard {
        self.0.send_modify(|count| *count += 1);
        WorkGuard(self.clone())
    }

    /// Resolves when nothing is in progress.
    pub async fn settled(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// One piece of work in progress.
pub struct WorkGuard(Work);

impl Drop for WorkGuard {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}
