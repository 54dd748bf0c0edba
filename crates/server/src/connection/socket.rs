//! Reading and writing a socket without waiting.

use std::io::ErrorKind;
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::net::TcpStream;

/// What a read yielded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing yet; the task is woken when there is.
    Blocked,
    /// The peer will send no more.
    Ended,
    /// The connection broke.
    Failed,
}

/// What writing came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// The kernel has everything.
    All,
    /// The peer does not read; the task is woken when it does.
    Blocked,
    /// The connection broke.
    Failed,
}

/// Reads once.
pub(super) fn receive(stream: &TcpStream, context: &mut Context<'_>, chunk: &mut [u8]) -> Received {
    loop {
        match stream.poll_read_ready(context) {
            Poll::Pending => return Received::Blocked,
            Poll::Ready(Err(_)) => return Received::Failed,
            Poll::Ready(Ok(())) => {}
        }
        let mut count = 0;
        let outcome = stream.try_io(Interest::READABLE, || {
            count = stream.try_read(chunk)?;
            // A read that leaves room has emptied the socket. Saying so saves the system call that
            // would find out; what comes later makes the socket ready again.
            if count > 0 && count < chunk.len() {
                Err(ErrorKind::WouldBlock.into())
            } else {
                Ok(())
            }
        });
        match outcome {
            Ok(()) if count == 0 => return Received::Ended,
            Ok(()) => return Received::Bytes(count),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock if count > 0 => return Received::Bytes(count),
                ErrorKind::WouldBlock | ErrorKind::Interrupted => {}
                _ => return Received::Failed,
            },
        }
    }
}

/// Hands the kernel what it takes of `bytes` from `sent` on, which is moved forward.
pub(super) fn write_all(
    stream: &TcpStream,
    context: &mut Context<'_>,
    bytes: &[u8],
    sent: &mut usize,
) -> Flushed {
    while let Some(rest) = bytes.get(*sent..)
        && !rest.is_empty()
    {
        match stream.poll_write_ready(context) {
            Poll::Pending => return Flushed::Blocked,
            Poll::Ready(Err(_)) => return Flushed::Failed,
            Poll::Ready(Ok(())) => {}
        }
        match stream.try_write(rest) {
            Ok(0) => return Flushed::Failed,
            Ok(count) => *sent += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return Flushed::Failed,
        }
    }
    Flushed::All
}

/// Hands the kernel what it takes at once, and returns how much that was.
pub(super) fn write_now(stream: &TcpStream, bytes: &[u8]) -> usize {
    let mut sent = 0;
    while let Some(rest) = bytes.get(sent..)
        && !rest.is_empty()
    {
        match stream.try_write(rest) {
            Ok(count) if count > 0 => sent += count,
            _ => break,
        }
    }
    sent
}
