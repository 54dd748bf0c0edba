//! The last good snapshot on disk, which a restart comes back to.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use motte_guard::Now;
use motte_policy::Snapshot;

use crate::directory::{put_in_place, stage};

/// Largest snapshot file that is read: what fits into one frame of the control socket.
const SNAPSHOT_SIZE: u64 = 64 * 1024 * 1024;

/// What the disk had.
#[derive(Debug)]
pub(crate) enum Stored {
    /// A snapshot that passed its own test vectors.
    Good(Arc<Snapshot>),
    /// No file: nothing was ever installed here.
    Missing,
    /// A file that cannot be used, and what is to be said about it.
    Unusable(String),
}

/// Reads the last good snapshot. One that cannot be used is kept aside, so that the next good one does
/// not overwrite what somebody may have to look at.
pub(crate) fn load(path: &Path, now: Now) -> Stored {
    let content = match read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == ErrorKind::NotFound => return Stored::Missing,
        Err(error) => return Stored::Unusable(format!("cannot be read: {error}")),
    };
    match Snapshot::parse(&content) {
        Ok(snapshot) => Stored::Good(Arc::new(snapshot)),
        Err(error) => Stored::Unusable(format!("{error}; {}", keep_aside(path, now))),
    }
}

/// Moves a snapshot file that cannot be used out of the way; says where to.
pub(crate) fn keep_aside(path: &Path, now: Now) -> String {
    let name = format!("snapshot-refused-{}.json", now.unix_milliseconds());
    match fs::rename(path, path.with_file_name(&name)) {
        Ok(()) => format!("it is kept as {name}"),
        Err(error) => format!("it cannot be set aside: {error}"),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?
        .take(SNAPSHOT_SIZE + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > SNAPSHOT_SIZE {
        return Err(io::Error::new(
            ErrorKind::FileTooLarge,
            "it is larger than any snapshot",
        ));
    }
    Ok(content)
}

/// A snapshot that is safe on disk but not yet the one that a restart comes back to.
#[derive(Debug)]
pub(crate) struct Staged {
    staged: PathBuf,
    path: PathBuf,
}

impl Staged {
    /// Makes the text safe beside the file it is to replace.
    pub(crate) fn write(path: &Path, text: &str) -> io::Result<Self> {
        Ok(Self {
            staged: stage(path, text.as_bytes())?,
            path: path.to_owned(),
        })
    }

    /// Makes it the one that a restart comes back to.
    pub(crate) fn commit(self) -> io::Result<()> {
        put_in_place(&self.staged, &self.path)
    }

    /// Takes it back: it was refused.
    pub(crate) fn discard(self) {
        let _ = fs::remove_file(self.staged);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const EMPTY: &str = r#"{"format":1,"generation":7,"fleet":"home","policy_file":"policy.toml","roles":[],
        "exceptions":{"revoked_serials":[],"revoked":[],"quarantined":[],"banned":[]},"vectors":[]}"#;

    fn now() -> Now {
        Now {
            unix: Duration::from_millis(42),
            ..Now::default()
        }
    }

    #[test]
    fn what_was_committed_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot.json");
        assert!(matches!(load(&path, now()), Stored::Missing));
        let staged = Staged::write(&path, EMPTY).unwrap();
        assert!(matches!(load(&path, now()), Stored::Missing));
        staged.commit().unwrap();
        let Stored::Good(snapshot) = load(&path, now()) else {
            panic!("the snapshot is good")
        };
        assert_eq!(snapshot.generation(), 7);
    }

    #[test]
    fn what_was_discarded_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot.json");
        Staged::write(&path, EMPTY).unwrap().commit().unwrap();
        Staged::write(&path, "other").unwrap().discard();
        assert!(matches!(load(&path, now()), Stored::Good(_)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_used_is_kept_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot.json");
        let half = &EMPTY[..EMPTY.len() / 2];
        for text in ["", "{}", half, "\0\0\0"] {
            fs::write(&path, text).unwrap();
            let Stored::Unusable(why) = load(&path, now()) else {
                panic!("{text:?} is unusable")
            };
            assert!(why.contains("snapshot-refused-42.json"), "{why}");
            assert!(!path.exists());
            assert_eq!(
                fs::read_to_string(folder.path().join("snapshot-refused-42.json")).unwrap(),
                text
            );
        }
    }
}
