//! The one thread that touches the disk.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use motte_guard::Now;

use crate::effects::Effects;
use crate::error::StoreError;
use crate::record::Record;
use crate::store::Shared;
use crate::write::Writer;

/// Between two attempts to write to a full disk.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// What the committer has to tell.
#[derive(Debug)]
pub enum Event {
    /// Everything recorded up to a new position is durable, and how long that took.
    Committed(Duration),
    /// The disk is full: new messages are refused, what was recorded waits.
    Full,
    /// There is room again.
    HasRoom,
    /// Nothing will be durable any more. The broker has to stop.
    Failed(StoreError),
}

/// Writes what the store has taken, group by group.
pub struct Committer {
    shared: Arc<Shared>,
    writer: Writer,
    path: PathBuf,
    effects: Effects,
}

/// Ends a committer.
#[derive(Clone)]
pub struct Closer(Arc<Shared>);

impl Closer {
    /// Lets [`Committer::run`] return once everything that was recorded is durable, or cannot be.
    pub fn close(&self) {
        self.0.lock().is_closing = true;
        self.0.arrived.notify_one();
    }
}

impl fmt::Debug for Committer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Committer")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Committer {
    pub(crate) fn new(shared: Arc<Shared>, writer: Writer, path: PathBuf) -> Self {
        Self {
            shared,
            writer,
            path,
            effects: Effects::default(),
        }
    }

    /// What ends it.
    #[must_use]
    pub fn closer(&self) -> Closer {
        Closer(Arc::clone(&self.shared))
    }

    /// Works until it is closed or the disk fails. `now` tells the time, `tell` is called between commits
    /// and must not wait for one.
    pub fn run(mut self, now: impl Fn() -> Now, mut tell: impl FnMut(Event)) {
        // Should this thread ever panic, nobody may wait for it or believe it.
        let poison = PoisonOnPanic(Arc::clone(&self.shared));
        while let Some(end) = self.gather() {
            let began = Instant::now();
            match self.commit(now()) {
                Ok(()) => {
                    self.effects.clear();
                    self.shared.durable.store(end, Ordering::Release);
                    if self.shared.is_full.swap(false, Ordering::Relaxed) {
                        tell(Event::HasRoom);
                    }
                    tell(Event::Committed(began.elapsed()));
                }
                Err(StoreError::Full { .. }) => {
                    if !self.shared.is_full.swap(true, Ordering::Relaxed) {
                        tell(Event::Full);
                    }
                    if !self.wait_for_room() {
                        break;
                    }
                }
                // Never tried again: after a failed fsync the kernel may have thrown away what it says it
                // has, and the second one would succeed.
                Err(error) => {
                    self.shared.is_poisoned.store(true, Ordering::Relaxed);
                    tell(Event::Failed(error));
                    break;
                }
            }
        }
        self.writer.tidy_up();
        std::mem::forget(poison);
    }

    /// Waits for changes and folds all that are there; the position after them, or `None` at the end.
    fn gather(&mut self) -> Option<u64> {
        let (records, end) = {
            let mut queue = self.shared.lock();
            while queue.records.is_empty() && self.effects.is_empty() {
                if queue.is_closing {
                    return None;
                }
                queue.is_idle = true;
                queue = self
                    .shared
                    .arrived
                    .wait(queue)
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
            }
            queue.is_idle = false;
            (std::mem::take(&mut queue.records), queue.end)
        };
        self.fold(records);
        Some(end)
    }

    fn fold(&mut self, records: Vec<Record>) {
        for record in records {
            self.effects.fold(record);
        }
    }

    fn commit(&mut self, now: Now) -> Result<(), StoreError> {
        if self.effects.is_empty() {
            return Ok(());
        }
        self.writer
            .write(&self.effects, now)
            .map_err(|error| StoreError::of_sqlite("write to", &self.path, &error))
    }

    /// Lets a moment pass; whether to go on.
    fn wait_for_room(&self) -> bool {
        let queue = self.shared.lock();
        let waited = self
            .shared
            .arrived
            .wait_timeout_while(queue, RETRY_INTERVAL, |queue| !queue.is_closing);
        let (queue, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        !queue.is_closing
    }
}

struct PoisonOnPanic(Arc<Shared>);

impl Drop for PoisonOnPanic {
    fn drop(&mut self) {
        self.0.is_poisoned.store(true, Ordering::Relaxed);
    }
}
