//! What stands behind the broker's `Store` trait, and how it comes to be.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use motte_broker::{Change, DurableState, Position, Store};
use motte_guard::Now;
use rusqlite::Connection;

use crate::clock::Moments;
use crate::committer::Committer;
use crate::error::StoreError;
use crate::load::{self, Loaded, RowError};
use crate::maintain::Place;
use crate::record::Record;
use crate::schema;
use crate::write::Writer;

/// Changes that may wait for the disk before new messages are refused. Each holds a few hundred bytes
/// beside the message, which waits in memory anyway; a disk that is a million changes behind is not slow but
/// ill.
const BACKLOG_RECORDS: usize = 1_000_000;
/// Lines about a damaged file that a start tells of.
const PROBLEMS_TOLD: u32 = 3;

/// Takes changes under the broker's lock and leaves them to the [`Committer`].
pub struct SqliteStore {
    shared: Arc<Shared>,
    /// What belongs together and is not complete.
    group: Vec<Record>,
    recorded: u64,
}

/// A store that is ready: the committer is to be run on a thread of its own.
#[derive(Debug)]
pub struct Opened {
    /// For the broker.
    pub store: SqliteStore,
    /// For its thread.
    pub committer: Committer,
    /// What was kept, to be given to `Broker::restore` once a policy is in force.
    pub state: DurableState,
}

/// Shared by the broker, which records, and the committer.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) queue: Mutex<Queue>,
    pub(crate) arrived: Condvar,
    pub(crate) durable: AtomicU64,
    /// The disk is full; the committer tries again and again.
    pub(crate) is_full: AtomicBool,
    /// Nothing will be durable any more.
    pub(crate) is_poisoned: AtomicBool,
    is_behind: AtomicBool,
}

/// Whole groups on their way to the disk.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) records: Vec<Record>,
    /// The position after them.
    pub(crate) end: u64,
    pub(crate) is_closing: bool,
    /// Whether the committer sleeps until something arrives.
    pub(crate) is_idle: bool,
}

impl Shared {
    /// The content is valid at every moment, so that a panic of another holder spoils nothing.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SqliteStore {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            group: Vec::new(),
            recorded: 0,
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SqliteStore")
            .field("recorded", &self.recorded)
            .field("durable", &self.durable())
            .finish_non_exhaustive()
    }
}

impl Store for SqliteStore {
    fn record(&mut self, change: &Change<'_>) {
        self.recorded += 1;
        if !self.is_poisoned() {
            self.group.push(Record::from(change));
        }
    }

    fn seal(&mut self) {
        if self.group.is_empty() {
            return;
        }
        let mut queue = self.shared.lock();
        queue.records.append(&mut self.group);
        queue.end = self.recorded;
        let is_behind = queue.records.len() > BACKLOG_RECORDS;
        let was_idle = std::mem::take(&mut queue.is_idle);
        drop(queue);
        self.shared.is_behind.store(is_behind, Ordering::Relaxed);
        if was_idle {
            self.shared.arrived.notify_one();
        }
    }

    fn recorded(&self) -> Position {
        Position(self.recorded)
    }

    fn durable(&self) -> Position {
        Position(self.shared.durable.load(Ordering::Acquire))
    }

    fn is_full(&self) -> bool {
        self.shared.is_full.load(Ordering::Relaxed) || self.shared.is_behind.load(Ordering::Relaxed)
    }

    fn is_poisoned(&self) -> bool {
        self.shared.is_poisoned.load(Ordering::Relaxed)
    }
}

/// Opens the store in `directory`, or begins one where there never was one.
///
/// # Errors
/// The store cannot be used, with the way back. Nothing has been changed then.
pub fn open(directory: &Path, now: Now) -> Result<Opened, StoreError> {
    let place = Place::new(directory);
    let connection = open_or_begin(&place)?;
    let problems = schema::integrity(&connection, false, PROBLEMS_TOLD)
        .map_err(|error| StoreError::of_sqlite("check", &place.file, &error))?;
    if !problems.is_empty() {
        return Err(StoreError::Damaged {
            path: place.file,
            problem: problems.join("; "),
        });
    }
    let Loaded { state, numbers } = load::load(&connection, Moments::at(now), &mut |table, error| {
        Err(named(table, &error))
    })
    .map_err(|error| StoreError::Damaged {
        path: place.file.clone(),
        problem: error.to_string(),
    })?;
    let shared = Arc::new(Shared::default());
    Ok(Opened {
        store: SqliteStore::new(Arc::clone(&shared)),
        committer: Committer::new(shared, Writer::new(connection, numbers), place.file),
        state,
    })
}

/// The same error with the table where it was met.
pub(crate) fn named(table: &str, error: &RowError) -> RowError {
    RowError::Contradiction(format!("table {table}: {error}"))
}

fn open_or_begin(place: &Place) -> Result<Connection, StoreError> {
    let known = place.identification()?;
    if !place.is_begun()? {
        if known.is_some() {
            return Err(StoreError::Gone {
                path: place.file.clone(),
            });
        }
        schema::create(&place.file)?;
    }
    let (connection, store) = schema::open(&place.file)?;
    match known {
        Some(known) if known != store => Err(StoreError::Foreign {
            path: place.file.clone(),
            problem: format!("it is the store {store}, and {known} was begun here"),
        }),
        Some(_) => Ok(connection),
        None => {
            place.identify(&store)?;
            Ok(connection)
        }
    }
}

/// Whether a file is there with anything in it.
pub(crate) fn has_content(path: &PathBuf) -> Result<bool, StoreError> {
    match fs::metadata(path) {
        Ok(found) => Ok(found.len() > 0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::of_system("look at", path, &error)),
    }
}
