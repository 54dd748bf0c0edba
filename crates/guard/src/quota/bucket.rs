//! A token bucket on integers.

use std::fmt;
use std::time::Duration;

use crate::time::nanoseconds;

const NANOSECONDS_PER_SECOND: u128 = 1_000_000_000;

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) per_second: u64,
    pub(crate) burst: u64,
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/s (burst {})", self.per_second, self.burst)
    }
}

/// Tokens that come back with time.
///
/// The part of a token that has come back already is kept, in billionths, so that asking often does
/// not lose anything and asking never gains anything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenBucket {
    rate: Rate,
    tokens: u64,
    /// Below 1,000,000,000.
    billionths: u64,
    updated: u64,
}

impl TokenBucket {
    pub(crate) fn full(rate: Rate, now: Duration) -> Self {
        Self {
            rate,
            tokens: rate.burst,
            billionths: 0,
            updated: nanoseconds(now),
        }
    }

    /// Whether `count` tokens are there. A rate that has changed since the last question holds from now
    /// on; it brings no tokens for the past.
    pub(crate) fn has(&mut self, count: u64, rate: Rate, now: Duration) -> bool {
        self.refill(now);
        if self.rate != rate {
            self.rate = rate;
            self.tokens = self.tokens.min(rate.burst);
        }
        self.tokens >= count
    }

    /// Takes tokens that [`Self::has`] found.
    pub(crate) fn take(&mut self, count: u64) {
        self.tokens = self.tokens.saturating_sub(count);
    }

    /// Whether a new bucket would be no better.
    pub(crate) fn is_full(&self, now: Duration) -> bool {
        let mut later = *self;
        later.refill(now);
        later.tokens >= later.rate.burst
    }

    fn refill(&mut self, now: Duration) {
        let now = nanoseconds(now);
        let elapsed = now.saturating_sub(self.updated);
        // Never back: a clock that jumps must not pay the same time twice.
        self.updated = self.updated.max(now);
        if self.tokens >= self.rate.burst {
            self.billionths = 0;
            return;
        }
        // Both factors are below 2^64, and so is what is added, so that the sum fits.
        let credit = u128::from(elapsed) * u128::from(self.rate.per_second) + u128::from(self.billionths);
        let earned = u64::try_from(credit / NANOSECONDS_PER_SECOND).unwrap_or(u64::MAX);
        self.tokens = self.tokens.saturating_add(earned).min(self.rate.burst);
        self.billionths = if self.tokens == self.rate.burst {
            0
        } else {
            u64::try_from(credit % NANOSECONDS_PER_SECOND).unwrap_or(0)
        };
    }
}
