//! The one timer of the process.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::engine::Engine;

/// Longest sleep. A turn may set a deadline that is nearer than the one slept for; instead of telling
/// the timer at every turn, it is met at most this late. Deadlines are seconds.
const LONGEST_SLEEP: Duration = Duration::from_millis(200);
/// Between two rounds of housekeeping at layer 0.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// Advances the broker's time for ever; returns if the broker breaks.
pub(crate) async fn run(engine: Arc<Engine>) {
    let mut housekeeping = HOUSEKEEPING;
    loop {
        let Ok(deadline) = engine.with(None, |broker, _| broker.next_deadline()) else {
            return;
        };
        let longest = engine.clock.now().monotonic + LONGEST_SLEEP;
        let until = deadline.map_or(longest, |deadline| deadline.min(longest));
        sleep_until(Instant::from_std(engine.clock.instant(until))).await;
        // Looked at again: a deadline may have been set meanwhile.
        let advanced = engine.with(None, |broker, now| {
            if broker
                .next_deadline()
                .is_some_and(|deadline| deadline <= now.monotonic)
            {
                broker.advance(now);
            }
        });
        if advanced.is_err() {
            return;
        }
        let now = engine.clock.now().monotonic;
        if now >= housekeeping {
            housekeeping = now + HOUSEKEEPING;
            engine.gate.keep_house(false);
        }
    }
}
