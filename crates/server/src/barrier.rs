//! The barrier of law 6: when a revocation, a quarantine or a policy change has been answered, no
//! later delivery violates it.
//!
//! # The argument
//!
//! 1. The broker is the only source of plaintext, and it is asked for it in one place, a *turn*
//!    ([`crate::engine::Engine::turn`]), under the broker's lock. What a turn yields was judged
//!    against the policy in force during that turn.
//! 2. A change of policy takes the same lock. So every turn is either *before* the change or *after*
//!    it, and what turns after it yield obeys the new policy. Messages that were received but not yet
//!    handed to the broker are judged by the new policy too, because handing them over is a turn.
//! 3. What is left are batches that a turn before the change yielded and that the kernel does not have
//!    yet. A turn that yields bytes makes the number of its slot's batch odd under the lock; the task
//!    makes it even after the kernel has taken the last byte. A task takes no further batch before
//!    that. So under the lock, right after the change, the slots with an odd number are *exactly* the
//!    connections that still hold bytes of the old policy. (Another thread may do this work on behalf
//!    of the task; it does it under the same lock of the connection and with the same marks.) [`Witnesses::collect`] notes them.
//! 4. Connections that the change ends were named by the broker as woken. They are noted with the
//!    number of turns they have taken. Their next turn yields DISCONNECT and the word to close; from
//!    then on they are settled only when their socket is shut for writing.
//! 5. [`Witnesses::settle`] waits until each noted batch has been handed over and each noted turn has
//!    been taken and, where it said so, the socket was shut. A peer that does not read could hold that
//!    up, so after [`BARRIER_DEADLINE`] the sockets of the laggards are shut from outside. A write
//!    to a shut socket fails, so their batches can no longer reach the kernel.
//!
//! After that, no byte of the old policy is outside the kernel, and none can enter it. Connections in
//! their handshake hold none, since they have not been opened in the broker, and will be judged by the
//! new policy when they are.
//!
//! The task stores its progress and then looks whether somebody waits; the barrier announces itself
//! and then looks at the progress. Both are sequentially consistent, so one of them sees the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::wake::Slot;

/// How long a barrier waits for connections to hand over or close. A peer that reads needs
/// milliseconds; an operator who revokes a stolen device should not wait for the thief.
pub(crate) const BARRIER_DEADLINE: Duration = Duration::from_secs(2);

/// Tells waiting barriers that a connection has made progress.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    waiting: AtomicUsize,
    made: Notify,
}

impl Progress {
    /// To be called after every progress that [`Witness::is_settled`] looks at. Costs one load where
    /// nobody waits.
    pub(crate) fn made(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.made.notify_waiters();
        }
    }
}

/// Counts a waiting barrier for as long as it waits, also where its future is dropped.
struct Waiting<'a>(&'a Progress);

impl<'a> Waiting<'a> {
    fn begin(progress: &'a Progress) -> Self {
        progress.waiting.fetch_add(1, Ordering::SeqCst);
        Self(progress)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One connection that a barrier has to wait for, and what for.
struct Witness {
    slot: Arc<Slot>,
    batch: Option<u64>,
    turns: Option<u64>,
}

impl Witness {
    fn is_settled(&self) -> bool {
        if self.slot.is_closed() {
            return true;
        }
        let handed_over = self.batch.is_none() || self.slot.batch() != self.batch;
        let turned = match self.turns {
            None => true,
            Some(turns) => self.slot.turns() > turns && !self.slot.is_closing(),
        };
        handed_over && turned
    }
}

/// The connections that a change of policy has to wait for.
#[derive(Default)]
pub(crate) struct Witnesses(Vec<Witness>);

impl Witnesses {
    /// Notes what is under way. To be called under the broker's lock, right after the change, with
    /// every slot and whether the change woke it.
    pub(crate) fn collect<'a>(slots: impl Iterator<Item = (&'a Arc<Slot>, bool)>) -> Self {
        let noted = slots.filter_map(|(slot, woken)| {
            let batch = slot.batch();
            let turns = woken.then(|| slot.turns());
            (batch.is_some() || turns.is_some()).then(|| Witness {
                slot: slot.clone(),
                batch,
                turns,
            })
        });
        Self(noted.collect())
    }

    /// Waits until every connection is settled; after `deadline` the others are cut off. Returns how
    /// many that were.
    pub(crate) async fn settle(mut self, progress: &Progress, deadline: Duration) -> usize {
        let until = Instant::now() + deadline;
        let _waiting = Waiting::begin(progress);
        loop {
            let made = progress.made.notified();
            tokio::pin!(made);
            made.as_mut().enable();
            self.0.retain(|witness| !witness.is_settled());
            if self.0.is_empty() {
                return 0;
            }
            if timeout_at(until, made).await.is_err() {
                break;
            }
        }
        self.0.retain(|witness| !witness.is_settled());
        for witness in &self.0 {
            witness.slot.kill();
        }
        self.0.len()
    }
}

#[cfg(test)]
mod tests;
