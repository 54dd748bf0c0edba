//! Looking at a store, copying it, and the way back from a damaged one.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use motte_broker::{DurableState, Progress};
use motte_guard::Now;
use rusqlite::Connection;
use serde::Serialize;

use crate::clock::Moments;
use crate::effects::{Effects, HeldEffect, OutboundEffect, SessionEffect, Step, WillEffect};
use crate::error::StoreError;
use crate::load::{self, Loaded, RowError};
use crate::schema;
use crate::store::{has_content, named};
use crate::write::{Numbers, Writer};

/// Problems that a check lists; whoever has more needs no longer list.
const PROBLEMS_LISTED: usize = 50;
/// Bytes of the file that names the store: 32 hexadecimal digits and a line end.
const IDENTIFICATION_LENGTH: u64 = 64;
const FILE_MODE: u32 = 0o600;

/// The files of a store.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    /// Says that a store was begun here and which, so that a file that is gone is missed.
    identification: PathBuf,
}

/// What is in a store, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The file.
    pub path: PathBuf,
    /// Bytes of the file, without the log beside it.
    pub bytes: u64,
    /// Sessions that outlive their connection.
    pub sessions: usize,
    /// Their subscriptions.
    pub subscriptions: usize,
    /// Messages on their way to clients.
    pub messages: usize,
    /// QoS 2 messages of clients that wait for PUBREL.
    pub held: usize,
    /// Retained messages.
    pub retained: usize,
    /// Wills.
    pub wills: usize,
    /// Everything that is wrong, at most fifty lines.
    pub problems: Vec<String>,
}

/// What could be saved from a damaged store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SalvageReport {
    /// What the new store holds; its problems are what was lost.
    pub saved: CheckReport,
    /// Where the damaged file was put.
    pub set_aside: Option<PathBuf>,
}

impl Place {
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            file: directory.join("store.db"),
            identification: directory.join("store.id"),
        }
    }

    /// Which store was begun here, if one was.
    pub(crate) fn identification(&self) -> Result<Option<String>, StoreError> {
        let mut text = String::new();
        match File::open(&self.identification)
            .and_then(|file| file.take(IDENTIFICATION_LENGTH).read_to_string(&mut text))
        {
            Ok(_) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::of_system("read", &self.identification, &error)),
        }
    }

    /// Whether there is a file that is a store. One that was never finished, because the first start was
    /// cut off, is none.
    pub(crate) fn is_begun(&self) -> Result<bool, StoreError> {
        if !has_content(&self.file)? {
            return Ok(false);
        }
        if self.identification()?.is_some() {
            return Ok(true);
        }
        let connection = schema::open_to_read(&self.file)?;
        let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| {
            row.get::<_, i64>(0)
        });
        match tables {
            Ok(tables) => Ok(tables > 0),
            Err(error) => Err(StoreError::of_sqlite("read", &self.file, &error)),
        }
    }

    pub(crate) fn identify(&self, store: &str) -> Result<(), StoreError> {
        let failed = |error: io::Error| StoreError::of_system("write", &self.identification, &error);
        let staged = beside(&self.identification, ".new");
        let mut file = private(&staged).map_err(failed)?;
        writeln!(file, "{store}")
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&staged, &self.identification))
            .and_then(|()| sync_directory(&self.identification))
            .map_err(failed)
    }

    /// Moves the files out of the way, with the log that belongs to them. Where to, if there were any.
    fn set_aside(&self, now: Now) -> Result<Option<PathBuf>, StoreError> {
        let aside = beside(&self.file, &format!(".damaged-{}", now.unix.as_secs()));
        let mut moved = None;
        for ending in ["-wal", "-shm", ""] {
            match fs::rename(beside(&self.file, ending), beside(&aside, ending)) {
                Ok(()) => moved = Some(aside.clone()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::of_system("set aside", &self.file, &error)),
            }
        }
        Ok(moved)
    }

    /// Puts a finished store in the place of the one that was there.
    fn replace(&self, staged: &Path, now: Now) -> Result<Option<PathBuf>, StoreError> {
        let store = {
            let connection = schema::open_to_read(staged)?;
            schema::identify(&connection, staged)?
        };
        let aside = self.set_aside(now)?;
        fs::rename(staged, &self.file)
            .and_then(|()| sync_directory(&self.file))
            .map_err(|error| StoreError::of_system("replace", &self.file, &error))?;
        self.identify(&store)?;
        Ok(aside)
    }
}

/// Looks at a store without changing it, beside a data plane that works on it or alone. Problems are in the
/// report.
///
/// # Errors
/// The file cannot be looked at.
pub fn check(directory: &Path, now: Now) -> Result<CheckReport, StoreError> {
    let place = Place::new(directory);
    if !has_content(&place.file)? {
        return Err(StoreError::Gone { path: place.file });
    }
    check_file(&place.file, now)
}

fn check_file(path: &Path, now: Now) -> Result<CheckReport, StoreError> {
    let connection = schema::open_to_read(path)?;
    // One state of the file for all that follows.
    connection
        .execute_batch("BEGIN")
        .map_err(|error| StoreError::of_sqlite("read", path, &error))?;
    schema::identify(&connection, path)?;
    let most = u32::try_from(PROBLEMS_LISTED).unwrap_or(u32::MAX);
    let mut problems = match schema::integrity(&connection, true, most) {
        Ok(problems) => problems,
        Err(error) => vec![error.to_string()],
    };
    let loaded = read_all(&connection, now, &mut problems);
    Ok(report(path, &loaded.state, problems))
}

/// Everything that can be read; what cannot is added to `problems`.
fn read_all(connection: &Connection, now: Now, problems: &mut Vec<String>) -> Loaded {
    let mut unlisted = 0_usize;
    let loaded = load::load(connection, Moments::at(now), &mut |table, error| {
        if problems.len() < PROBLEMS_LISTED {
            problems.push(named(table, &error).to_string());
        } else {
            unlisted += 1;
        }
        Ok(())
    });
    if unlisted > 0 {
        problems.push(format!("and {unlisted} more"));
    }
    loaded.unwrap_or_else(|error: RowError| {
        problems.push(error.to_string());
        Loaded::default()
    })
}

fn report(path: &Path, state: &DurableState, problems: Vec<String>) -> CheckReport {
    let sum = |count: fn(&motte_broker::DurableSession) -> usize| state.sessions.values().map(count).sum();
    CheckReport {
        path: path.to_owned(),
        bytes: fs::metadata(path).map_or(0, |found| found.len()),
        sessions: state.sessions.len(),
        subscriptions: sum(|session| session.subscriptions.len()),
        messages: sum(|session| session.outbound.len()),
        held: sum(|session| session.held.len()),
        retained: state.retained.len(),
        wills: state.wills.len(),
        problems,
    }
}

/// Copies a store as it is at this moment, beside a data plane that works on it or alone.
///
/// # Errors
/// Source or target cannot be used; no half copy is left.
pub fn back_up(directory: &Path, target: &Path) -> Result<(), StoreError> {
    let place = Place::new(directory);
    if !has_content(&place.file)? {
        return Err(StoreError::Gone { path: place.file });
    }
    if target.exists() {
        return Err(StoreError::System {
            what: "write",
            path: target.to_owned(),
            reason: "it exists already".to_owned(),
        });
    }
    let connection = schema::open_to_read(&place.file)?;
    schema::identify(&connection, &place.file)?;
    let staged = beside(target, ".new");
    let file = private(&staged).map_err(|error| StoreError::of_system("write", &staged, &error))?;
    let name = staged.to_string_lossy();
    let copied = connection
        .execute("VACUUM INTO ?1", [&*name])
        .map_err(|error| StoreError::of_sqlite("copy", &place.file, &error))
        .and_then(|_| {
            file.sync_all()
                .and_then(|()| fs::rename(&staged, target))
                .and_then(|()| sync_directory(target))
                .map_err(|error| StoreError::of_system("write", target, &error))
        });
    if copied.is_err() {
        let _ = fs::remove_file(&staged);
    }
    copied
}

/// Where a new store comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// What can still be read of the damaged one.
    Damaged,
    /// A copy that [`back_up`] made.
    Backup(&'a Path),
    /// Nothing.
    Empty,
}

/// Puts a good store in the place of a damaged or missing one, which is set aside and not removed. No data
/// plane may work on the directory meanwhile.
///
/// # Errors
/// The source is of no use; nothing has been changed then.
pub fn restore(directory: &Path, source: Source<'_>, now: Now) -> Result<SalvageReport, StoreError> {
    let place = Place::new(directory);
    let staged = beside(&place.file, ".new");
    remove_with_log(&staged);
    let prepared = match source {
        Source::Damaged => salvage(&place, &staged, now),
        Source::Backup(backup) => copy_backup(backup, &staged, now),
        Source::Empty => schema::create(&staged).map(|()| Vec::new()),
    };
    let finished = prepared.and_then(|lost| {
        let mut saved = check_file(&staged, now)?;
        saved.path.clone_from(&place.file);
        saved.problems = lost;
        let set_aside = place.replace(&staged, now)?;
        Ok(SalvageReport { saved, set_aside })
    });
    if finished.is_err() {
        remove_with_log(&staged);
    }
    finished
}

/// Returns what was lost.
fn salvage(place: &Place, staged: &Path, now: Now) -> Result<Vec<String>, StoreError> {
    if !has_content(&place.file)? {
        return Err(StoreError::Gone {
            path: place.file.clone(),
        });
    }
    // To work on: the log of a crash has to be taken in first.
    let (connection, _) = schema::open(&place.file)?;
    let mut lost = Vec::new();
    let loaded = read_all(&connection, now, &mut lost);
    drop(connection);
    schema::create(staged)?;
    let (connection, _) = schema::open(staged)?;
    let mut writer = Writer::new(connection, Numbers::new());
    writer
        .write(&everything(loaded.state), now)
        .map_err(|error| StoreError::of_sqlite("write", staged, &error))?;
    Ok(lost)
}

fn copy_backup(backup: &Path, staged: &Path, now: Now) -> Result<Vec<String>, StoreError> {
    let found = check_file(backup, now)?;
    if let Some(problem) = found.problems.first() {
        return Err(StoreError::Damaged {
            path: backup.to_owned(),
            problem: problem.clone(),
        });
    }
    let failed = |error: io::Error| StoreError::of_system("copy", backup, &error);
    let mut target = private(staged).map_err(failed)?;
    File::open(backup)
        .and_then(|mut source| io::copy(&mut source, &mut target))
        .and_then(|_| target.sync_all())
        .map_err(failed)?;
    Ok(Vec::new())
}

/// A whole state as the effects that make it out of nothing.
fn everything(state: DurableState) -> Effects {
    let mut effects = Effects::default();
    for (name, session) in state.sessions {
        let outbound = session.outbound.into_iter().map(|(sequence, progress)| {
            let effect = match progress {
                Progress::Waiting(waiting) => OutboundEffect::Insert(Step::Waiting, waiting),
                Progress::Sent(packet_id, waiting) => OutboundEffect::Insert(Step::Sent(packet_id), waiting),
                Progress::Released(packet_id) => OutboundEffect::Released {
                    packet_id,
                    is_new: true,
                },
            };
            (sequence, effect)
        });
        let effect = SessionEffect {
            is_ended: false,
            kept: Some((session.principal, session.expiry)),
            left: (!session.connected).then_some(session.ends_at),
            subscriptions: session
                .subscriptions
                .into_iter()
                .map(|(filter, options)| (filter.into(), Some(options)))
                .collect(),
            outbound: outbound.collect(),
            held: session
                .held
                .into_iter()
                .map(|(packet_id, message)| (packet_id, HeldEffect::Insert(message)))
                .collect(),
        };
        effects.sessions.insert(Arc::new(name), effect);
    }
    for (name, will) in state.wills {
        let will = WillEffect {
            sender: will.sender,
            content: will.content,
            due: will.due,
        };
        effects.wills.insert(Arc::new(name), Some(will));
    }
    for (topic, message) in state.retained {
        effects.retained.insert(topic.into(), Some(message));
    }
    effects
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    let _ = write!(name, "{ending}");
    path.with_file_name(name)
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(FILE_MODE)
        .open(path)
}

fn remove_with_log(path: &Path) {
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(beside(path, ending));
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
