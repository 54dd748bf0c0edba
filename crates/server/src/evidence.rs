//! The evidence file: one thread appends what happened, in chained lines, and makes it safe.
//!
//! Whoever has something to record hands it over and goes on; nothing in the data path ever waits for
//! the disk. A disk that is full stops neither the data plane nor, once there is room again, the log:
//! what happened meanwhile is kept up to a bound and written then, and what was beyond it is counted.

mod follow;
mod segments;
mod tail;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use motte_guard::Now;
use motte_guard::evidence::Record;
use serde::Serialize;

use crate::metrics::CommitLatency;

use crate::error::{ServeError, ServeErrorKind};
use crate::wake::lock;

pub(crate) use follow::Follower;
pub use segments::Retention;
use writer::{BATCH, Writer};

/// Records that may wait for the disk. A policy change may end every connection at once, with two
/// records for each of 65,536; a record has about 300 bytes, so this is about 45 MB at the worst.
/// Refusals of a flood are counted together by the guard, so an attack does not fill it.
const WAITING_MAXIMUM: usize = 150_000;
/// How long somebody who wants to know that the evidence is safe waits for the disk.
const FLUSH_DEADLINE: Duration = Duration::from_secs(5);

/// What the thread is asked for.
enum Request {
    /// Records were gathered: the first, or enough to be written.
    Look,
    /// Make everything before this safe, then say so.
    Flush(SyncSender<()>),
    /// The same, and end.
    Stop(SyncSender<()>),
}

/// How the log is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct EvidenceStatus {
    /// Number of the last line.
    pub(crate) seq: u64,
    /// Records that wait for the disk.
    pub(crate) waiting: usize,
    /// Records that are lost because too many waited.
    pub(crate) lost: u64,
    /// Whether the last attempt to write failed.
    pub(crate) failing: bool,
}

/// Shared by the thread and everybody who hands records over.
#[derive(Debug)]
struct Shared {
    waiting_maximum: usize,
    /// What was handed over and the thread has not taken. It is told of the first record and of enough
    /// of them, not of each, which would wake it each time.
    gathered: Mutex<Vec<Record>>,
    waiting: AtomicUsize,
    lost: AtomicU64,
    failing: AtomicBool,
    seq: AtomicU64,
    followers: Mutex<Vec<follow::Sink>>,
    events_dropped: AtomicU64,
    commit_latency: CommitLatency,
}

impl Shared {
    fn new(waiting_maximum: usize) -> Arc<Self> {
        Arc::new(Self {
            waiting_maximum,
            gathered: Mutex::new(Vec::new()),
            waiting: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            seq: AtomicU64::new(0),
            followers: Mutex::new(Vec::new()),
            events_dropped: AtomicU64::new(0),
            commit_latency: CommitLatency::default(),
        })
    }

    /// Lets records wait for the thread. Says whether it has to be told.
    fn gather(&self, mut records: Vec<Record>) -> bool {
        let mut gathered = lock(&self.gathered);
        let before = gathered.len();
        gathered.append(&mut records);
        let now = gathered.len();
        before < now && (before == 0 || before < BATCH && now >= BATCH)
    }
}

/// Hands records over to the thread.
#[derive(Clone, Debug)]
pub(crate) struct EvidenceSender {
    requests: Sender<Request>,
    shared: Arc<Shared>,
}

impl EvidenceSender {
    pub(crate) fn send(&self, record: Record) {
        self.send_all(vec![record]);
    }

    /// Never waits: what has no room is counted as lost.
    pub(crate) fn send_all(&self, mut records: Vec<Record>) {
        let wanted = records.len();
        let before = self.shared.waiting.fetch_add(wanted, Ordering::SeqCst);
        let room = self.shared.waiting_maximum.saturating_sub(before);
        if wanted > room {
            records.truncate(room);
            self.shared.waiting.fetch_sub(wanted - room, Ordering::SeqCst);
            self.shared
                .lost
                .fetch_add((wanted - room) as u64, Ordering::SeqCst);
        }
        if self.shared.gather(records) {
            // An error means that the log is closed: the process is about to end.
            let _ = self.requests.send(Request::Look);
        }
    }

    /// Makes everything that was handed over safe, if the disk lets it in time. Says whether it was
    /// tried. Blocks.
    pub(crate) fn flush(&self) -> bool {
        self.ask(Request::Flush)
    }

    fn ask(&self, request: impl FnOnce(SyncSender<()>) -> Request) -> bool {
        let (done, wait) = sync_channel(1);
        self.requests.send(request(done)).is_ok() && wait.recv_timeout(FLUSH_DEADLINE).is_ok()
    }

    /// Records that followers missed since the process started.
    pub(crate) fn events_dropped(&self) -> u64 {
        self.shared.events_dropped.load(Ordering::SeqCst)
    }

    pub(crate) fn commit_latency(&self) -> &CommitLatency {
        &self.shared.commit_latency
    }

    pub(crate) fn status(&self) -> EvidenceStatus {
        EvidenceStatus {
            seq: self.shared.seq.load(Ordering::SeqCst),
            waiting: self.shared.waiting.load(Ordering::SeqCst),
            lost: self.shared.lost.load(Ordering::SeqCst),
            failing: self.shared.failing.load(Ordering::SeqCst),
        }
    }

    /// Everything that is written from here on, as it becomes safe.
    pub(crate) fn follow(&self) -> Follower {
        follow::add(&self.shared.followers)
    }
}

/// The thread that writes.
pub(crate) struct EvidenceLog {
    sender: EvidenceSender,
    thread: Option<JoinHandle<()>>,
}

impl EvidenceLog {
    /// Opens the log, goes on where it ends and starts the thread.
    pub(crate) fn open(path: &Path, retention: Retention, now: Now) -> Result<Self, ServeError> {
        Self::open_with(path, retention, now, WAITING_MAXIMUM)
    }

    fn open_with(
        path: &Path,
        retention: Retention,
        now: Now,
        waiting_maximum: usize,
    ) -> Result<Self, ServeError> {
        let (requests, receiver): (_, Receiver<Request>) = channel();
        let shared = Shared::new(waiting_maximum);
        let sender = EvidenceSender {
            requests,
            shared: shared.clone(),
        };
        let (writer, repair) = Writer::open(path, retention, shared, now)?;
        if let Some(record) = repair {
            sender.send(record);
        }
        let thread = std::thread::Builder::new()
            .name("motte-evidence".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(|error| {
                ServeError::new(
                    ServeErrorKind::System,
                    format!("cannot start the evidence thread: {error}"),
                    "raise the limit of threads for this user",
                )
            })?;
        Ok(Self {
            sender,
            thread: Some(thread),
        })
    }

    pub(crate) fn sender(&self) -> EvidenceSender {
        self.sender.clone()
    }

    /// Makes everything safe and ends the thread. Says whether the disk let it in time.
    pub(crate) fn close(mut self) -> bool {
        let stopped = self.sender.ask(Request::Stop);
        if stopped && let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        stopped && self.sender.status().waiting == 0
    }
}

#[cfg(test)]
mod tests;
