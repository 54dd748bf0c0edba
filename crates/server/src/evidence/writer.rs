//! The thread that holds the log.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use motte_guard::evidence::{Chain, Kind, Record, Text};
use motte_guard::{Layer, Now};

use super::segments::{self, Retention, Segment};
use super::tail::{self, Tail};
use super::{Request, Shared, follow};
use crate::directory::{FILE_MODE, sync_parent};
use crate::error::ServeError;
use crate::log;
use crate::wake::lock;

/// How long records are gathered before they are written and made safe together. Evidence is on disk
/// after that time and the disk's own.
const GATHER: Duration = Duration::from_millis(20);
/// Records written together. Beyond this, waiting saves nothing.
pub(super) const BATCH: usize = 512;
/// Between two attempts to write to a disk that refuses.
const RETRY: Duration = Duration::from_secs(1);

/// What is to be done after writing.
enum Asked {
    Nothing,
    Flush(SyncSender<()>),
    Stop(SyncSender<()>),
    /// Nobody is left who could ask for anything.
    Abandoned,
}

pub(super) struct Writer {
    path: PathBuf,
    retention: Retention,
    file: File,
    chain: Chain,
    /// The number of the file's first line, or of the one that will be.
    first_seq: u64,
    /// Bytes of whole lines in the file.
    length: u64,
    /// Bytes at which the file is closed and the next one begun.
    close_at: u64,
    waiting: VecDeque<Record>,
    shared: Arc<Shared>,
    /// Behind the whole lines there may be a piece of one that could not be written whole.
    torn: bool,
    /// What was counted as lost and is not said in the log yet.
    lost_reported: u64,
}

impl Writer {
    /// Opens the log and finds its end. What had to be mended is to be the next record.
    pub(super) fn open(
        path: &Path,
        retention: Retention,
        shared: Arc<Shared>,
        now: Now,
    ) -> Result<(Self, Option<Record>), ServeError> {
        let failed = |what: &str, error: &io::Error| ServeError::system(what, path, error);
        let mut file = open_file(path).map_err(|error| failed("open the evidence log", &error))?;
        let tail = tail::read(&mut file).map_err(|error| failed("read the evidence log", &error))?;
        // Behind files that were closed, the log goes on where they end.
        let behind = segments::end(path).map_err(|error| failed("read the evidence before", &error))?;
        let (chain, length, repair) = match tail {
            Tail::Sound {
                chain,
                length,
                torn: 0,
            } => (chain, length, None),
            Tail::Sound { chain, length, torn } => {
                file.set_len(length)
                    .map_err(|error| failed("mend the evidence log", &error))?;
                let repair = repaired(
                    now,
                    format!("{torn} bytes of an unfinished last line were cut off"),
                );
                (chain, length, Some(repair))
            }
            Tail::Damaged => {
                let aside = set_aside(path, now).map_err(|error| failed("set aside", &error))?;
                file = open_file(path).map_err(|error| failed("open the evidence log", &error))?;
                log::error(format_args!(
                    "the evidence log was damaged, it is kept as {aside}"
                ));
                let repair = repaired(now, format!("the log before was damaged, it is kept as {aside}"));
                (Chain::new(), 0, Some(repair))
            }
        };
        let chain = behind.filter(|_| length == 0).unwrap_or(chain);
        let first_seq = segments::first_seq(&file)
            .map_err(|error| failed("read the evidence log", &error))?
            .unwrap_or_else(|| chain.last_seq().saturating_add(1));
        sync_parent(path).map_err(|error| failed("open the evidence log", &error))?;
        shared.seq.store(chain.last_seq(), Ordering::SeqCst);
        let writer = Self {
            path: path.to_owned(),
            retention,
            file,
            chain,
            first_seq,
            length,
            close_at: retention.segment_bytes,
            waiting: VecDeque::new(),
            shared,
            torn: false,
            lost_reported: 0,
        };
        Ok((writer, repair))
    }

    /// Writes until it is told to stop.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        loop {
            let failing = self.shared.failing.load(Ordering::SeqCst);
            let asked = if failing {
                self.gather(requests, RETRY)
            } else {
                self.wait(requests)
            };
            self.waiting.extend(lock(&self.shared.gathered).drain(..));
            while !self.waiting.is_empty() && self.write() {}
            match asked {
                Asked::Nothing => {}
                Asked::Flush(done) => {
                    let _ = done.send(());
                }
                Asked::Stop(done) => {
                    if !self.waiting.is_empty() {
                        log::error(format_args!(
                            "{} evidence records could not be written",
                            self.waiting.len()
                        ));
                    }
                    let _ = done.send(());
                    return;
                }
                Asked::Abandoned => return,
            }
        }
    }

    /// Waits for the first request and lets more records gather.
    fn wait(&self, requests: &Receiver<Request>) -> Asked {
        match requests.recv() {
            Ok(Request::Look) => self.gather(requests, GATHER),
            Ok(request) => asked(request),
            Err(_) => Asked::Abandoned,
        }
    }

    /// Lets records gather for a while; less, if somebody waits or there is enough to write.
    fn gather(&self, requests: &Receiver<Request>, time: Duration) -> Asked {
        let until = Instant::now() + time;
        loop {
            match requests.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Request::Look) => {}
                Ok(request) => return asked(request),
                Err(RecvTimeoutError::Timeout) => return Asked::Nothing,
                Err(RecvTimeoutError::Disconnected) => return Asked::Abandoned,
            }
            let is_enough = lock(&self.shared.gathered).len() >= BATCH;
            if is_enough && !self.shared.failing.load(Ordering::SeqCst) {
                return Asked::Nothing;
            }
        }
    }

    /// Writes a batch from the front of what waits and makes it safe. Says whether that worked; if
    /// not, the log is as it was and the records still wait.
    pub(super) fn write(&mut self) -> bool {
        let lost = self.shared.lost.load(Ordering::SeqCst);
        if lost > self.lost_reported
            && let Some(next) = self.waiting.front()
        {
            let record = losses(next.at_unix_ms, lost - self.lost_reported);
            self.waiting.push_front(record);
            self.shared.waiting.fetch_add(1, Ordering::SeqCst);
            self.lost_reported = lost;
        }
        let count = self.waiting.len().min(BATCH);
        let batch: Vec<Record> = self.waiting.iter().take(count).cloned().collect();
        if let Err(error) = self.commit(&batch) {
            self.complain(&error);
            return false;
        }
        self.waiting.drain(..count);
        self.shared.waiting.fetch_sub(count, Ordering::SeqCst);
        if self.shared.failing.swap(false, Ordering::SeqCst) {
            log::info("the evidence log can be written again");
        }
        if self.length >= self.close_at
            && let Some(last) = batch.last()
        {
            self.turn_over(last.at_unix_ms);
        }
        true
    }

    /// Appends records, makes them safe and shows them to whoever follows.
    fn commit(&mut self, records: &[Record]) -> io::Result<()> {
        let mut chain = self.chain.clone();
        let first_seq = chain.last_seq() + 1;
        let mut text = String::new();
        for record in records {
            text.push_str(&chain.append(record));
            text.push('\n');
        }
        let begun = Instant::now();
        self.append(text.as_bytes())?;
        self.shared.commit_latency.observe(begun.elapsed());
        self.length += text.len() as u64;
        self.chain = chain;
        self.shared.seq.store(self.chain.last_seq(), Ordering::SeqCst);
        let dropped = follow::publish(&self.shared.followers, first_seq, records);
        self.shared.events_dropped.fetch_add(dropped, Ordering::SeqCst);
        Ok(())
    }

    /// Closes the file, begins the next one, and removes the oldest where there are too many. What
    /// cannot be done now is tried again when as much has been written once more; nothing is lost.
    fn turn_over(&mut self, at_unix_ms: u64) {
        let turned = self.begin_next_file().and_then(|()| self.trim(at_unix_ms));
        if let Err(error) = turned {
            self.close_at = self.length + self.retention.segment_bytes;
            log::error(format_args!(
                "cannot close a full file of the evidence log: {error}; the log goes on in it"
            ));
        }
    }

    fn begin_next_file(&mut self) -> io::Result<()> {
        // Until the new file is there, the open one is the log, under whichever name. An attempt before
        // may have got no further than that.
        match segments::close(&self.path, self.first_seq) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file = open_file(&self.path)?;
        self.length = 0;
        self.first_seq = self.chain.last_seq() + 1;
        self.close_at = self.retention.segment_bytes;
        sync_parent(&self.path)
    }

    fn trim(&mut self, at_unix_ms: u64) -> io::Result<()> {
        while let Some(oldest) = segments::surplus(&self.path, self.retention.kept_bytes)? {
            let last = segments::end_of(&oldest)?;
            self.commit(&[trimmed(at_unix_ms, &oldest, last.as_ref())])?;
            fs::remove_file(&oldest.path)?;
        }
        sync_parent(&self.path)
    }

    /// Appends whole lines and makes them safe. What reached the file of lines that could not be
    /// written whole is cut off, before anything else is written behind it.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.length)?;
            self.torn = false;
        }
        let result = self.file.write_all(lines).and_then(|()| self.file.sync_data());
        if result.is_err() {
            self.torn = self.file.set_len(self.length).is_err();
        }
        result
    }

    fn complain(&self, error: &io::Error) {
        if !self.shared.failing.swap(true, Ordering::SeqCst) {
            log::error(format_args!(
                "cannot write the evidence log: {error}; records are kept in memory until it can be written"
            ));
        }
    }
}

fn asked(request: Request) -> Asked {
    match request {
        Request::Look => Asked::Nothing,
        Request::Flush(done) => Asked::Flush(done),
        Request::Stop(done) => Asked::Stop(done),
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .mode(FILE_MODE)
        // A link would take the evidence somewhere that nobody checks.
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    // What others could write to is no evidence; what they wrote shows in the chain.
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    Ok(file)
}

fn set_aside(path: &Path, now: Now) -> io::Result<String> {
    let name = format!("evidence-damaged-{}.log", now.unix_milliseconds());
    fs::rename(path, path.with_file_name(&name))?;
    Ok(name)
}

fn repaired(now: Now, detail: String) -> Record {
    Record::new(Kind::LogRepaired, now).detail(detail)
}

fn at(at_unix_ms: u64) -> Now {
    Now {
        unix: Duration::from_millis(at_unix_ms),
        ..Now::default()
    }
}

/// Says which lines go, and how the line is bound that the first one left builds on.
fn trimmed(at_unix_ms: u64, segment: &Segment, last: Option<&Chain>) -> Record {
    let detail = match last {
        Some(chain) => format!(
            "lines {} to {} were removed, the log had reached its size; last hash {}",
            segment.first_seq,
            chain.last_seq(),
            chain.last_hash()
        ),
        None => format!(
            "lines from {} on were removed, the log had reached its size; their end was damaged",
            segment.first_seq
        ),
    };
    let mut record = Record::new(Kind::LogTrimmed, at(at_unix_ms)).detail(detail);
    record.layer = Some(Layer::Evidence);
    record
}

fn losses(at_unix_ms: u64, count: u64) -> Record {
    let mut record = repaired(
        at(at_unix_ms),
        "records were lost, the disk could not be written".to_owned(),
    )
    .count(count);
    record.layer = Some(Layer::Evidence);
    record.rule = Some(Text::new("evidence.lost"));
    record
}

#[cfg(test)]
impl Writer {
    /// Puts another file in the place of the log and returns the one before.
    pub(super) fn exchange_file(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }

    pub(super) fn add(&mut self, records: Vec<Record>) {
        self.shared.waiting.fetch_add(records.len(), Ordering::SeqCst);
        self.waiting.extend(records);
    }
}
