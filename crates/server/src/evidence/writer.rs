//! The thread that holds the log.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use motte_guard::evidence::{Chain, Kind, Record, Text};
use motte_guard::{Layer, Now};

use super::tail::{self, Tail};
use super::{Request, Shared, follow};
use crate::directory::{FILE_MODE, sync_parent};
use crate::error::ServeError;
use crate::log;

/// How long records are gathered before they are written and made safe together. Evidence is on disk
/// after that time and the disk's own.
const GATHER: Duration = Duration::from_millis(20);
/// Records written together. Beyond this, waiting saves nothing.
const BATCH: usize = 512;
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
    file: File,
    chain: Chain,
    /// Bytes of whole lines.
    length: u64,
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
        shared: Arc<Shared>,
        now: Now,
    ) -> Result<(Self, Option<Record>), ServeError> {
        let failed = |what: &str, error: &io::Error| ServeError::system(what, path, error);
        let mut file = open_file(path).map_err(|error| failed("open the evidence log", &error))?;
        let tail = tail::read(&mut file).map_err(|error| failed("read the evidence log", &error))?;
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
        sync_parent(path).map_err(|error| failed("open the evidence log", &error))?;
        shared.seq.store(chain.last_seq(), Ordering::SeqCst);
        let writer = Self {
            file,
            chain,
            length,
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

    /// Waits for the first request and gathers what follows it.
    fn wait(&mut self, requests: &Receiver<Request>) -> Asked {
        match requests.recv() {
            Ok(request) => match self.take(request) {
                Asked::Nothing => self.gather(requests, GATHER),
                asked => asked,
            },
            Err(_) => Asked::Abandoned,
        }
    }

    /// Gathers for a while; less, if somebody waits or there is enough to write.
    fn gather(&mut self, requests: &Receiver<Request>, time: Duration) -> Asked {
        let until = Instant::now() + time;
        loop {
            match requests.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(request) => match self.take(request) {
                    Asked::Nothing => {}
                    asked => return asked,
                },
                Err(RecvTimeoutError::Timeout) => return Asked::Nothing,
                Err(RecvTimeoutError::Disconnected) => return Asked::Abandoned,
            }
            if self.waiting.len() >= BATCH && !self.shared.failing.load(Ordering::SeqCst) {
                return Asked::Nothing;
            }
        }
    }

    fn take(&mut self, request: Request) -> Asked {
        match request {
            Request::Records(records) => {
                self.waiting.extend(records);
                Asked::Nothing
            }
            Request::Flush(done) => Asked::Flush(done),
            Request::Stop(done) => Asked::Stop(done),
        }
    }

    /// Writes a batch from the front of what waits and makes it safe. Says whether that worked; if
    /// not, the log is as it was and the records still wait.
    pub(super) fn write(&mut self) -> bool {
        let mut chain = self.chain.clone();
        let first_seq = chain.last_seq() + 1;
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
        let mut text = String::new();
        for record in self.waiting.iter().take(count) {
            text.push_str(&chain.append(record));
            text.push('\n');
        }
        if let Err(error) = self.append(text.as_bytes()) {
            self.complain(&error);
            return false;
        }
        self.length += text.len() as u64;
        self.chain = chain;
        let written: Vec<Record> = self.waiting.drain(..count).collect();
        self.shared.waiting.fetch_sub(count, Ordering::SeqCst);
        self.shared.seq.store(self.chain.last_seq(), Ordering::SeqCst);
        if self.shared.failing.swap(false, Ordering::SeqCst) {
            log::info("the evidence log can be written again");
        }
        follow::publish(&self.shared.followers, first_seq, &written);
        true
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

fn losses(at_unix_ms: u64, count: u64) -> Record {
    let now = Now {
        unix: Duration::from_millis(at_unix_ms),
        ..Now::default()
    };
    let mut record =
        repaired(now, "records were lost, the disk could not be written".to_owned()).count(count);
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
