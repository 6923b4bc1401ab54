//! Trims the history again and again, while the server runs.

use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::config::Retention;
use crate::store::{Store, StoreError, retention};

/// The pause before the first pass: a start has better things to do.
const FIRST: Duration = Duration::from_secs(60);
/// The pause between two passes. What is kept for months may be some minutes older.
const PAUSE: Duration = Duration::from_secs(600);

/// Trims until the server ends.
pub async fn keep_trimming(store: Store, clock: Clock, keep: Retention) {
    clock.pause(clock.now(), FIRST).await;
    let ended = async {
        // Workflows are published at a start, and so the versions before them become idle.
        retention::trim_versions(&store).await?;
        loop {
            let now = clock.now();
            retention::trim(&store, &keep, now).await?;
            clock.pause(now, PAUSE).await;
        }
    };
    match ended.await {
        Ok(()) | Err(StoreError::Closed) => {}
        Err(error) => {
            store.report(&error);
            tracing::error!(%error, "history is not trimmed any more");
        }
    }
}
