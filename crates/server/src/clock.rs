//! The only reader of the system's clocks; everything inside gets a [`Now`] handed in.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use motte_guard::Now;

/// Turns the system's clocks into the two times that the pure parts work with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// Both times. A system clock before 1970 reads as 1970, at which no certificate is valid yet.
    pub(crate) fn now(&self) -> Now {
        Now {
            monotonic: self.started.elapsed(),
            unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }

    /// The instant at which [`Now::monotonic`] will be `monotonic`.
    pub(crate) fn instant(&self, monotonic: Duration) -> Instant {
        self.started + monotonic
    }
}
