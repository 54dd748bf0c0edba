//! The state directory: who may work on it, and how files in it are replaced.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{ServeError, ServeErrorKind};

/// Directories of the state are for their owner alone.
const DIRECTORY_MODE: u32 = 0o700;
/// So are its files.
pub(crate) const FILE_MODE: u32 = 0o600;
/// Bytes read of a pid file for an error text; a process id has at most ten digits.
const PID_LENGTH: u64 = 16;

/// The state directory of a deployment, locked by this process for as long as the value lives.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    root: PathBuf,
    /// Held for its lock alone; the kernel gives it back when the process ends, however it ends.
    _lock: File,
}

impl StateDirectory {
    /// Makes what is missing, takes the lock and writes the pid file.
    pub(crate) fn open(root: &Path) -> Result<Self, ServeError> {
        for path in [
            root.to_owned(),
            root.join("run"),
            root.join("evidence"),
            root.join("store"),
        ] {
            make_private(&path)?;
        }
        let lock = lock(root)?;
        let directory = Self {
            root: root.to_owned(),
            _lock: lock,
        };
        let pid = directory.pid_file();
        replace(&pid, format!("{}\n", std::process::id()).as_bytes())
            .map_err(|error| ServeError::system("write", &pid, &error))?;
        Ok(directory)
    }

    pub(crate) fn snapshot(&self) -> PathBuf {
        self.root.join("snapshot.json")
    }

    pub(crate) fn evidence(&self) -> PathBuf {
        self.root.join("evidence").join("evidence.log")
    }

    pub(crate) fn store(&self) -> PathBuf {
        Self::store_in(&self.root)
    }

    /// The same of a directory that nobody may be working on.
    pub(crate) fn store_in(root: &Path) -> PathBuf {
        root.join("store")
    }

    pub(crate) fn control_socket(&self) -> PathBuf {
        self.root.join("run").join("control.sock")
    }

    fn pid_file(&self) -> PathBuf {
        self.root.join("run").join("data-plane.pid")
    }

    fn listener_file(&self) -> PathBuf {
        self.root.join("run").join("listener.json")
    }

    /// Tells the control plane where this process listens.
    pub(crate) fn announce(&self, address: SocketAddr) -> Result<(), ServeError> {
        let path = self.listener_file();
        let text = serde_json::json!({
            "address": address.ip(),
            "port": address.port(),
            "pid": std::process::id(),
        });
        replace(&path, format!("{text}\n").as_bytes())
            .map_err(|error| ServeError::system("write", &path, &error))
    }
}

impl Drop for StateDirectory {
    /// A stopped data plane leaves no file that says it runs. The lock file stays: removing it would
    /// let two processes hold locks on two files of the same name.
    fn drop(&mut self) {
        for path in [self.listener_file(), self.control_socket(), self.pid_file()] {
            let _ = fs::remove_file(path);
        }
    }
}

fn make_private(path: &Path) -> Result<(), ServeError> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
        .map_err(|error| ServeError::system("make the directory", path, &error))?;
    let mode = fs::metadata(path)
        .map_err(|error| ServeError::system("look at", path, &error))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE))
            .map_err(|error| ServeError::system("close to other users", path, &error))?;
    }
    Ok(())
}

/// Keeps every other data plane away for as long as the file is open.
pub(crate) fn lock(root: &Path) -> Result<File, ServeError> {
    let path = root.join("run").join("data-plane.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(|error| ServeError::system("open", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServeError::new(
            ServeErrorKind::AlreadyRunning,
            format!(
                "another data plane{} works on {}",
                running_pid(root),
                root.display()
            ),
            "stop that one first, or give this one another state directory",
        )),
        Err(TryLockError::Error(error)) => Err(ServeError::system("lock", &path, &error)),
    }
}

/// The process that holds the lock, if it said so, for an error text.
fn running_pid(root: &Path) -> String {
    let mut text = String::new();
    let read = File::open(root.join("run").join("data-plane.pid"))
        .and_then(|file| file.take(PID_LENGTH).read_to_string(&mut text));
    match read.ok().and_then(|_| text.trim().parse::<u32>().ok()) {
        Some(pid) => format!(" (process {pid})"),
        None => String::new(),
    }
}

/// Replaces a file so that a crash at any moment leaves either the old or the new content whole.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let staged = stage(path, content)?;
    put_in_place(&staged, path)
}

/// First half of [`replace`]: the content is safe on disk under another name, which is returned.
pub(crate) fn stage(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let staged = path.with_file_name(name);
    // A file left behind by a crash may have another mode, so it is made anew.
    match fs::remove_file(&staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(&staged)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()));
    if let Err(error) = written {
        let _ = fs::remove_file(&staged);
        return Err(error);
    }
    Ok(staged)
}

/// Second half of [`replace`].
pub(crate) fn put_in_place(staged: &Path, path: &Path) -> io::Result<()> {
    fs::rename(staged, path)?;
    sync_parent(path)
}

/// Makes a rename in the directory of `path` survive a crash.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_private_and_announced() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state");
        let directory = StateDirectory::open(&root).unwrap();
        directory.announce("127.0.0.1:8883".parse().unwrap()).unwrap();
        for path in [
            &root,
            &root.join("run"),
            &root.join("evidence"),
            &root.join("store"),
        ] {
            assert_eq!(mode(path), 0o700, "{}", path.display());
        }
        for name in ["data-plane.pid", "listener.json", "data-plane.lock"] {
            assert_eq!(mode(&root.join("run").join(name)), 0o600, "{name}");
        }
        let text = fs::read_to_string(root.join("run/listener.json")).unwrap();
        let listener: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(listener["port"], 8883);
        assert_eq!(listener["address"], "127.0.0.1");
        assert_eq!(listener["pid"], std::process::id());
        drop(directory);
        assert!(!root.join("run/listener.json").exists());
        assert!(!root.join("run/data-plane.pid").exists());
    }

    #[test]
    fn a_directory_open_to_others_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        fs::create_dir(&run).unwrap();
        fs::set_permissions(&run, Permissions::from_mode(0o777)).unwrap();
        let _directory = StateDirectory::open(folder.path()).unwrap();
        assert_eq!(mode(&run), 0o700);
    }

    #[test]
    fn the_second_data_plane_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = StateDirectory::open(folder.path()).unwrap();
        let error = StateDirectory::open(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ServeErrorKind::AlreadyRunning);
        assert!(
            error
                .message()
                .contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        assert!(folder.path().join("run/data-plane.pid").exists());
        drop(first);
        StateDirectory::open(folder.path()).unwrap();
    }

    #[test]
    fn replacing_leaves_no_other_file_and_keeps_the_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(path.with_file_name("file.new"), "left behind").unwrap();
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
