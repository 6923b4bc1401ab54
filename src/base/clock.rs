//! Time: instants, and the clock that every floor is handed instead of reading the system's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::Notify;

/// An instant: microseconds since the Unix epoch. In JSON an RFC 3339 string in UTC, on disk an integer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Later than every instant that Belfry can meet.
    pub const MAX: Self = Self(253_402_207_200_999_999);

    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This instant and `span`, at most `MAX`.
    pub fn plus(self, span: Duration) -> Self {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros)).min(Self::MAX)
    }

    /// This instant less `span`.
    pub fn minus(self, span: Duration) -> Self {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The same instant for calendar arithmetic and formatting.
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::MAX)
    }

    /// From a calendar library's instant.
    pub fn from_jiff(instant: jiff::Timestamp) -> Self {
        Self(instant.as_microsecond()).min(Self::MAX)
    }
}

impl fmt::Display for Timestamp {
    /// `2026-01-31T17:12:59.958652Z`: always six digits, so that the text sorts as the instants do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.to_jiff())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            let instant: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
            Ok(Self::from_jiff(instant))
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

/// The clock. Cheap to clone; all clones of a virtual clock move together.
#[derive(Clone)]
pub struct Clock {
    source: Source,
    /// Microseconds that were added by hand; zero unless the clock is virtual.
    offset: Arc<AtomicI64>,
    moved: Arc<Notify>,
    advanceable: bool,
}

#[derive(Clone, Copy)]
enum Source {
    System,
    /// Wall time that follows tokio's clock, which a test may pause.
    Tokio {
        epoch: Timestamp,
        start: tokio::time::Instant,
    },
}

/// A sleep is never longer than this before the wall clock is read again: a suspended machine or a clock that was set
/// must neither lose nor hasten a timer. It bounds how late a timer is after such a jump.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::new(Source::System, false)
    }

    /// The machine's clock, which can also be advanced by hand (`belfry dev`).
    pub fn virtual_clock() -> Self {
        Self::new(Source::System, true)
    }

    /// A clock that starts at `epoch` and follows tokio's, paused or not (the simulation).
    // Where that clock stood is read once, here.
    #[allow(clippy::disallowed_methods)]
    pub fn simulated(epoch: Timestamp) -> Self {
        Self::new(Source::Tokio { epoch, start: tokio::time::Instant::now() }, true)
    }

    fn new(source: Source, advanceable: bool) -> Self {
        Self { source, offset: Arc::default(), moved: Arc::default(), advanceable }
    }

    /// Now.
    // The one place that reads the system's clock.
    #[allow(clippy::disallowed_methods)]
    pub fn now(&self) -> Timestamp {
        let base = match self.source {
            Source::System => Timestamp::from_jiff(jiff::Timestamp::now()),
            Source::Tokio { epoch, start } => epoch.plus(start.elapsed()),
        };
        Timestamp(base.0.saturating_add(self.offset.load(Ordering::SeqCst))).min(Timestamp::MAX)
    }

    /// Moves the clock by `micros` (negative: back) and wakes all who sleep, to look again. Without effect on the
    /// machine's clock.
    pub fn shift(&self, micros: i64) {
        if self.advanceable {
            self.offset.fetch_add(micros, Ordering::SeqCst);
            self.moved.notify_waiters();
        }
    }

    /// Resolves at `due` or later, never earlier.
    pub async fn sleep_until(&self, due: Timestamp) {
        loop {
            // Listened for before the clock is read, so that no move between the two is missed. Sleepers wake in the
            // order in which they fell asleep, which a `watch` channel does not promise.
            let moved = self.moved.notified();
            let left = due.since(self.now());
            if left.is_zero() {
                return;
            }
            // tokio's timers count milliseconds; the extra one keeps the last sleep from ending a fraction early.
            let nap = left.min(LONGEST_SLEEP) + Duration::from_millis(1);
            tokio::select! {
                biased;
                () = moved => {}
                () = sleep(nap) => {}
            }
        }
    }
}

impl Clock {
    /// Lets `span` pass, since `from` by this clock or by the machine's monotonic one, whichever is first: for what is done
    /// again and again, which a clock that is set back must not hold up.
    pub async fn pause(&self, from: Timestamp, span: Duration) {
        tokio::select! {
            biased;
            () = self.sleep_until(from.plus(span)) => {}
            () = sleep(span) => {}
        }
    }
}

/// Lets `span` pass, by the machine's monotonic clock: for timeouts and pauses, not for due times.
// The one place that sleeps.
#[allow(clippy::disallowed_methods)]
pub async fn sleep(span: Duration) {
    tokio::time::sleep(span).await;
}

/// A stopwatch on the monotonic clock, for measuring.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(tokio::time::Instant);

impl Stopwatch {
    /// Starts it.
    // The one place that reads the monotonic clock.
    #[allow(clippy::disallowed_methods)]
    pub fn start() -> Self {
        Self(tokio::time::Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn timestamps_keep_microseconds_in_json_and_on_disk() {
        let at = Timestamp::from_micros(1_769_879_579_958_652);
        let json = serde_json::to_string(&at).unwrap();
        assert_eq!(json, "\"2026-01-31T17:12:59.958652Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), at);
        let bytes = rmp_serde::to_vec_named(&at).unwrap();
        assert_eq!(rmp_serde::from_slice::<Timestamp>(&bytes).unwrap(), at);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleeper_wakes_when_the_clock_is_advanced_past_its_due_time() {
        let clock = Clock::simulated(Timestamp::from_millis(0));
        let due = clock.now().plus(Duration::from_secs(3 * 86_400));
        let sleeper = clock.sleep_until(due);
        tokio::pin!(sleeper);
        assert!(sleeper.as_mut().now_or_never().is_none());
        clock.shift(3 * 86_400 * 1_000_000 - 1_000);
        assert!(sleeper.as_mut().now_or_never().is_none());
        clock.shift(1_000);
        sleeper.await;
        assert!(clock.now() >= due);
    }
}
