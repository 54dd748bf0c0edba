//! The control socket: how the control plane tells the data plane what to do.
//!
//! A Unix socket in a directory that only the owner can enter; besides that, a client whose user is
//! another one is not listened to. Commands that change who may do what are answered after the barrier
//! of law 6.

mod command;
mod frame;

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::directory::FILE_MODE;
use crate::error::ServeError;
use crate::evidence::Follower;
use crate::log;

use command::Answer;
pub(crate) use command::Control;
use frame::{FRAME_DEADLINE, read_frame, write_frame};

/// Clients at once: a console, a publisher, some people with a command line. One more waits.
const CLIENTS: usize = 32;
/// Between two requests of one client. A publisher that compiles the largest policy is back sooner.
const IDLE_DEADLINE: Duration = Duration::from_secs(60);
/// Longest path that the kernel takes for a Unix socket, in bytes.
const SOCKET_PATH: usize = 107;

/// Binds the socket. The caller holds the lock of the state directory, so a socket that is there
/// belongs to nobody.
pub(crate) fn bind(path: &Path) -> Result<StdUnixListener, ServeError> {
    let failed = |error: io::Error| ServeError::system("bind the control socket", path, &error);
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = bind_anywhere(path).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(FILE_MODE)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Binds a path of any length: a long one is named through its directory.
fn bind_anywhere(path: &Path) -> io::Result<StdUnixListener> {
    if path.as_os_str().as_bytes().len() <= SOCKET_PATH {
        return StdUnixListener::bind(path);
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(parent)?;
    StdUnixListener::bind(
        Path::new("/proc/self/fd")
            .join(directory.as_raw_fd().to_string())
            .join(name),
    )
}

/// Serves clients for ever.
pub(crate) async fn serve(listener: StdUnixListener, control: Arc<Control>) {
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return log::error(format_args!("cannot serve the control socket: {error}")),
    };
    let own_user = fs::metadata("/proc/self").map(|metadata| metadata.uid()).ok();
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let user = stream.peer_cred().map(|credentials| credentials.uid()).ok();
                if user.is_none() || user != own_user {
                    log::warning(format_args!("user {user:?} was refused at the control socket"));
                    continue;
                }
                let control = control.clone();
                tokio::spawn(async move {
                    // An error ends this client alone; it knows what it did.
                    let _ = attend(stream, &control).await;
                    drop(place);
                });
            }
            Err(error) => {
                log::warning(format_args!("cannot accept control clients: {error}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves one client until it goes or sends what is no frame.
async fn attend(mut stream: UnixStream, control: &Arc<Control>) -> io::Result<()> {
    while let Some(request) = next_request(&mut stream).await? {
        let Some(id) = request.get("id").and_then(Value::as_u64) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a request without an id",
            ));
        };
        match control.execute(request).await {
            Ok(Answer::Result(result)) => {
                write_frame(&mut stream, &json!({"id": id, "ok": true, "result": result})).await?;
            }
            Ok(Answer::Stop) => {
                write_frame(&mut stream, &json!({"id": id, "ok": true, "result": {}})).await?;
                control.stop();
            }
            Ok(Answer::Follow(follower)) => {
                write_frame(&mut stream, &json!({"id": id, "ok": true, "result": {}})).await?;
                return follow(stream, follower).await;
            }
            Err(error) => {
                let error = json!({"message": error.message, "hint": error.hint});
                write_frame(&mut stream, &json!({"id": id, "ok": false, "error": error})).await?;
            }
        }
    }
    Ok(())
}

/// The next request; nothing if the client has gone, or says nothing for too long.
async fn next_request(stream: &mut UnixStream) -> io::Result<Option<Value>> {
    let request = timeout(IDLE_DEADLINE, read_frame(stream, FRAME_DEADLINE)).await;
    request.unwrap_or(Ok(None))
}

/// Pushes evidence until the client goes. Whatever it still says ends the stream.
async fn follow(stream: UnixStream, mut follower: Follower) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    loop {
        tokio::select! {
            batch = follower.batches.recv() => {
                let Some(batch) = batch else { return Ok(()) };
                let dropped = follower.take_dropped();
                let message = json!({"event": "batch", "dropped": dropped, "events": *batch});
                write_frame(&mut writer, &message).await?;
            }
            // Readiness may be left over from the request; only a read tells.
            ready = reader.readable() => match ready.and_then(|()| reader.try_read(&mut [0; 1])) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return Ok(()),
            },
        }
    }
}
