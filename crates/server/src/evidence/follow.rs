//! Those who want to see the evidence as it is written.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use motte_guard::evidence::Record;
use serde_json::Value;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::wake::lock;

/// Batches that wait for one follower. A follower that falls further behind misses some and is told
/// how many; the log on disk has them all.
const WAITING_BATCHES: usize = 64;

/// Records that became safe together, as the control socket tells them.
pub(super) type Batch = Arc<Vec<Value>>;

/// The end that a follower holds.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) batches: Receiver<Batch>,
    dropped: Arc<AtomicU64>,
}

impl Follower {
    /// How many records were missed since the last call.
    pub(crate) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::SeqCst)
    }
}

/// The end that the writer holds.
#[derive(Debug)]
pub(super) struct Sink {
    batches: Sender<Batch>,
    dropped: Arc<AtomicU64>,
}

pub(super) fn add(sinks: &Mutex<Vec<Sink>>) -> Follower {
    let (sender, receiver) = channel(WAITING_BATCHES);
    let dropped = Arc::new(AtomicU64::new(0));
    lock(sinks).push(Sink {
        batches: sender,
        dropped: dropped.clone(),
    });
    Follower {
        batches: receiver,
        dropped,
    }
}

/// Tells every follower of records that are safe. The first has the number `first_seq`.
/// Returns how many records found no room, each counted for each follower that missed it.
pub(super) fn publish(sinks: &Mutex<Vec<Sink>>, first_seq: u64, records: &[Record]) -> u64 {
    let mut sinks = lock(sinks);
    sinks.retain(|sink| !sink.batches.is_closed());
    if sinks.is_empty() {
        return 0;
    }
    let batch: Batch = Arc::new(
        (first_seq..)
            .zip(records)
            .map(|(seq, record)| event(seq, record))
            .collect(),
    );
    let mut dropped = 0;
    for sink in sinks.iter() {
        if sink.batches.try_send(batch.clone()).is_err() {
            sink.dropped.fetch_add(batch.len() as u64, Ordering::SeqCst);
            dropped += batch.len() as u64;
        }
    }
    dropped
}

fn event(seq: u64, record: &Record) -> Value {
    let mut event = serde_json::to_value(record).unwrap_or_default();
    if let Value::Object(fields) = &mut event {
        fields.insert("seq".to_owned(), Value::from(seq));
    }
    event
}
