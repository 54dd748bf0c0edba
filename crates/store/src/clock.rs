//! From the monotonic clock of one process to that of the next, by way of the wall clock.

use std::time::Duration;

use motte_guard::Now;

/// Turns moments of a process into moments for the file, and back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    now: Now,
}

impl Moments {
    pub(crate) const fn at(now: Now) -> Self {
        Self { now }
    }

    /// Milliseconds since 1970, rounded up: nothing ends before its time.
    pub(crate) fn kept(self, moment: Option<Duration>) -> Option<i64> {
        let moment = moment?;
        let unix = if moment >= self.now.monotonic {
            self.now.unix.saturating_add(moment - self.now.monotonic)
        } else {
            self.now.unix.saturating_sub(self.now.monotonic - moment)
        };
        let milliseconds = unix.as_nanos().div_ceil(1_000_000);
        Some(i64::try_from(milliseconds).unwrap_or(i64::MAX))
    }

    /// On this process's monotonic clock; what was over before it began is over at its beginning.
    pub(crate) fn moment(self, milliseconds: Option<i64>) -> Option<Duration> {
        let unix = Duration::from_millis(u64::try_from(milliseconds?).unwrap_or(0));
        let moment = if unix >= self.now.unix {
            self.now.monotonic.saturating_add(unix - self.now.unix)
        } else {
            self.now.monotonic.saturating_sub(self.now.unix - unix)
        };
        Some(moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(monotonic: u64, unix: u64) -> Moments {
        Moments::at(Now {
            monotonic: Duration::from_secs(monotonic),
            unix: Duration::from_secs(unix),
        })
    }

    #[test]
    fn what_is_left_of_a_time_is_the_same_for_the_next_process() {
        let (before, after) = (at(1000, 50_000), at(3, 50_100));
        for (moment, expected) in [(1500, 403), (1103, 6), (1100, 3), (1098, 1), (900, 0)] {
            let kept = before.kept(Some(Duration::from_secs(moment)));
            assert_eq!(
                after.moment(kept),
                Some(Duration::from_secs(expected)),
                "{moment}"
            );
        }
        assert_eq!(before.kept(None), None);
        assert_eq!(after.moment(None), None);
    }

    #[test]
    fn the_ends_of_the_range_are_kept_within_it() {
        assert_eq!(at(0, 0).kept(Some(Duration::MAX)), Some(i64::MAX));
        assert_eq!(at(0, 50_000).moment(Some(-1)), Some(Duration::ZERO));
        assert_eq!(at(5, 1).kept(Some(Duration::from_nanos(4_000_000_001))), Some(1));
    }
}
