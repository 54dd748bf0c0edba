//! What can be wrong with a store, and the way back.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is damaged: part of it cannot be read, or is not what was written.
    #[error("{} is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found, and where in the file.
        problem: String,
    },
    /// There was a store here, and there is none now.
    #[error("{} is gone, although a store was begun here", path.display())]
    Gone {
        /// The file that is missing.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{} is not a store of Motte: {problem}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// How that can be seen.
        problem: String,
    },
    /// The file was written by a newer Motte.
    #[error("{} has format {found}, and this Motte reads up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that is known here.
        known: i64,
    },
    /// The disk is full.
    #[error("no room on the disk for {}", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The operating system or SQLite refused something.
    #[error("cannot {what} {}: {reason}", path.display())]
    System {
        /// What was to be done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl StoreError {
    /// What to do next, for a person.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Damaged { .. } => {
                "look with `motte store check`; `motte store restore` saves what can be read, or takes a backup"
            }
            Self::Gone { .. } => {
                "put the file or a backup of it back with `motte store restore --from FILE`, or begin anew with `motte store restore --empty`"
            }
            Self::Foreign { .. } => {
                "put the store's own file back, or a backup with `motte store restore --from FILE`"
            }
            Self::Newer { .. } => "start the Motte that wrote it, or a newer one",
            Self::Full { .. } => "free some space on the disk",
            Self::System { .. } => {
                "look at the error of the operating system, and at the owner and the mode of the file"
            }
        }
    }

    /// From an error that came with a file.
    pub(crate) fn of_sqlite(what: &'static str, path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged {
                path,
                problem: error.to_string(),
            },
            Some(ErrorCode::NotADatabase) => Self::Damaged {
                path,
                problem: "its head is not that of a SQLite file".to_owned(),
            },
            Some(ErrorCode::DiskFull) => Self::Full { path },
            _ => Self::System {
                what,
                path,
                reason: error.to_string(),
            },
        }
    }

    pub(crate) fn of_system(what: &'static str, path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        if error.kind() == io::ErrorKind::StorageFull {
            return Self::Full { path };
        }
        Self::System {
            what,
            path,
            reason: error.to_string(),
        }
    }
}
