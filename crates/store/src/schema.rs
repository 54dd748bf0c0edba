//! The tables, and how the file is opened.
//!
//! Small messages lie in the row of each session that they wait for; larger ones once, in `content`, and a
//! trigger counts who still needs them.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::StoreError;

/// In the head of the file (`PRAGMA application_id`): "Mott" in ASCII.
const APPLICATION_ID: i64 = 0x4d6f_7474;
/// `PRAGMA user_version`. A change of a table or of a form makes a new one.
pub(crate) const FORMAT: i64 = 1;
/// For its owner alone; SQLite gives the mode to the files beside it.
const FILE_MODE: u32 = 0o600;
/// How long somebody who reads the file beside us, for a backup, may hold up a write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pages of the write-ahead log (4 KiB each) after which they are moved into the file, about 32 MiB. A row
/// that comes and goes in between is moved once or not at all; a restart reads it in a fraction of a second.
const CHECKPOINT_PAGES: i64 = 8_192;
/// The log is cut to this many bytes after it has been larger.
const LOG_BYTES: i64 = 64 * 1024 * 1024;
/// Memory for pages, in KiB (SQLite counts it as a negative number of pages).
const CACHE_KIB: i64 = 16 * 1024;
/// Statements that stay prepared: about twice as many as there are.
const STATEMENTS: usize = 48;

const TABLES: &str = "
CREATE TABLE identification (store TEXT NOT NULL) STRICT;
CREATE TABLE session (
    id INTEGER PRIMARY KEY,
    identity TEXT NOT NULL,
    client_id TEXT NOT NULL,
    principal BLOB NOT NULL,
    expiry INTEGER NOT NULL,
    connected INTEGER NOT NULL,
    ends_at INTEGER,
    UNIQUE (identity, client_id)
) STRICT;
CREATE TABLE subscription (
    session INTEGER NOT NULL,
    filter TEXT NOT NULL,
    requested_qos INTEGER NOT NULL,
    granted_qos INTEGER NOT NULL,
    no_local INTEGER NOT NULL,
    retain_as_published INTEGER NOT NULL,
    identifier INTEGER,
    PRIMARY KEY (session, filter)
) STRICT, WITHOUT ROWID;
CREATE TABLE outbound (
    session INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    packet_id INTEGER,
    expires_at INTEGER,
    delivery BLOB,
    message BLOB,
    content INTEGER,
    PRIMARY KEY (session, sequence)
) STRICT, WITHOUT ROWID;
CREATE TABLE content (
    id INTEGER PRIMARY KEY,
    needed_by INTEGER NOT NULL,
    message BLOB NOT NULL
) STRICT;
CREATE TRIGGER not_needed AFTER DELETE ON outbound WHEN OLD.content IS NOT NULL BEGIN
    UPDATE content SET needed_by = needed_by - 1 WHERE id = OLD.content;
    DELETE FROM content WHERE id = OLD.content AND needed_by <= 0;
END;
CREATE TABLE held (
    session INTEGER NOT NULL,
    packet_id INTEGER NOT NULL,
    expires_at INTEGER,
    message BLOB,
    UNIQUE (session, packet_id)
) STRICT;
CREATE TABLE retained (
    topic TEXT NOT NULL UNIQUE,
    expires_at INTEGER,
    message BLOB NOT NULL
) STRICT;
CREATE TABLE will (
    identity TEXT NOT NULL,
    client_id TEXT NOT NULL,
    due INTEGER,
    content BLOB NOT NULL,
    UNIQUE (identity, client_id)
) STRICT;
";

/// A name that no other store has, so that a file from elsewhere is seen.
const IDENTIFY: &str = "INSERT INTO identification VALUES (lower(hex(randomblob(16))))";

/// Makes a store that is not there yet. A crash in between leaves a file that is begun again.
pub(crate) fn create(path: &Path) -> Result<(), StoreError> {
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(FILE_MODE)
        .open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| StoreError::of_system("make", path, &error))?;
    let failed = |error: rusqlite::Error| StoreError::of_sqlite("make", path, &error);
    let connection = connect(path)?;
    connection
        .execute_batch("BEGIN IMMEDIATE")
        .and_then(|()| connection.execute_batch(TABLES))
        .and_then(|()| connection.execute_batch(IDENTIFY))
        .and_then(|()| connection.pragma_update(None, "application_id", APPLICATION_ID))
        .and_then(|()| connection.pragma_update(None, "user_version", FORMAT))
        .and_then(|()| connection.execute_batch("COMMIT"))
        .map_err(failed)
}

/// Opens a store to work on it. Says who it is.
pub(crate) fn open(path: &Path) -> Result<(Connection, String), StoreError> {
    let connection = connect(path)?;
    let store = identify(&connection, path)?;
    Ok((connection, store))
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::of_sqlite("open", path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    configure(&connection).map_err(failed)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // A row that takes the place of another one needs no less than one that is deleted.
    connection.pragma_update(None, "recursive_triggers", true)?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT_PAGES, |_| Ok(()))
}

/// Opens a file to look at it and no more, beside a data plane that works on it or alone.
pub(crate) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::of_sqlite("open", path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection
        .pragma_update(None, "cell_size_check", true)
        .map_err(failed)?;
    Ok(connection)
}

/// Whether this is a store, and one that can be read here.
pub(crate) fn identify(connection: &Connection, path: &Path) -> Result<String, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::of_sqlite("read", path, &error);
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = number("application_id").map_err(failed)?;
    if application != APPLICATION_ID {
        return Err(StoreError::Foreign {
            path: path.to_owned(),
            problem: format!("its application id is {application:#x}"),
        });
    }
    let format = number("user_version").map_err(failed)?;
    if format > FORMAT {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found: format,
            known: FORMAT,
        });
    }
    connection
        .query_row("SELECT store FROM identification", [], |row| row.get(0))
        .map_err(failed)
}

/// What SQLite finds wrong with the file, at most `most` lines. `thorough` also holds the indexes against
/// the tables.
pub(crate) fn integrity(
    connection: &Connection,
    thorough: bool,
    most: u32,
) -> Result<Vec<String>, rusqlite::Error> {
    let name = if thorough {
        "integrity_check"
    } else {
        "quick_check"
    };
    let mut found = Vec::new();
    connection.pragma(None, name, most, |row| {
        found.push(row.get::<_, String>(0)?);
        Ok(())
    })?;
    found.retain(|line| line != "ok");
    Ok(found)
}
