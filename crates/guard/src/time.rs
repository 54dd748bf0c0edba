//! The clock as an argument.

use std::time::Duration;

/// One moment on both clocks; the caller reads them, the guard never does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Since the process started; never goes back. For rates, windows and bans.
    pub monotonic: Duration,
    /// Since the Unix epoch. For certificate validity and evidence.
    pub unix: Duration,
}

impl Now {
    /// Unix time in milliseconds, as evidence records it.
    #[must_use]
    pub fn unix_milliseconds(self) -> u64 {
        u64::try_from(self.unix.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Nanoseconds of a duration; 584 years fit, later moments are all the same.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
