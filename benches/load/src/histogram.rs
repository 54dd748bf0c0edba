//! Latencies in buckets whose width grows with the value: constant memory, relative error below 1.6 %.

use std::time::Duration;

use serde::Serialize;

/// Buckets for each doubling of the value; the relative error is at most one part in this many.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// A histogram of durations in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    maximum: u64,
}

/// The figures that a report shows, in microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    maximum: f64,
}

impl Histogram {
    /// Adds one duration.
    pub(crate) fn record(&mut self, value: Duration) {
        let nanoseconds = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bucket_of(nanoseconds);
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
        self.maximum = self.maximum.max(nanoseconds);
    }

    /// Adds everything that another histogram holds.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (count, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *count += more;
        }
        self.count += other.count;
        self.maximum = self.maximum.max(other.maximum);
    }

    /// The figures of everything recorded so far; nothing when nothing was.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        (self.count > 0).then(|| Percentiles {
            p50: self.at(0.5),
            p90: self.at(0.9),
            p99: self.at(0.99),
            p999: self.at(0.999),
            maximum: microseconds(self.maximum),
        })
    }

    /// The smallest value, in microseconds, that this part of all values does not exceed.
    fn at(&self, part: f64) -> f64 {
        let wanted = (self.count as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted.max(1) {
                return microseconds(last_of(bucket).min(self.maximum));
            }
        }
        microseconds(self.maximum)
    }
}

/// Which bucket a value falls into: the values below `STEPS` have one each, then `STEPS` for each doubling.
fn bucket_of(value: u64) -> usize {
    let exponent = value.checked_ilog2().unwrap_or(0);
    let shift = exponent.saturating_sub(STEP_BITS);
    let bucket = u64::from(shift) * STEPS + (value >> shift);
    usize::try_from(bucket).unwrap_or(usize::MAX)
}

/// The largest value of a bucket.
fn last_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    let step = bucket - shift * STEPS;
    ((step + 1) << shift) - 1
}

fn microseconds(nanoseconds: u64) -> f64 {
    (nanoseconds as f64 / 100.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_lies_in_its_bucket_and_the_error_is_bounded() {
        let mut previous = None;
        for value in (0..20_000).chain((15..43).map(|bit| (1 << bit) + 12_345)) {
            let bucket = bucket_of(value);
            let last = last_of(bucket);
            assert!(last >= value, "{value} is above its bucket's end {last}");
            assert!(last - value <= value / STEPS, "{value} → {last}");
            assert_eq!(bucket_of(last), bucket);
            assert_eq!(bucket_of(last + 1), bucket + 1);
            assert!(previous.is_none_or(|previous| previous <= bucket));
            previous = Some(bucket);
        }
    }

    #[test]
    fn percentiles_of_a_known_distribution() {
        let mut histogram = Histogram::default();
        assert!(histogram.percentiles().is_none());
        for microsecond in 1..=1000 {
            histogram.record(Duration::from_micros(microsecond));
        }
        let figures = histogram.percentiles().unwrap();
        assert!((figures.p50 - 500.0).abs() < 500.0 / 60.0, "{figures:?}");
        assert!((figures.p99 - 990.0).abs() < 990.0 / 60.0, "{figures:?}");
        assert!((figures.maximum - 1000.0).abs() < f64::EPSILON, "{figures:?}");
    }
}
