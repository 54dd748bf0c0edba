//! Reading and writing a socket without waiting.

use std::io::{self, ErrorKind, IoSlice, Write};
use std::task::{Context, Poll};

use rustls::ServerConnection;
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

/// Hands the kernel as much ciphertext as it takes.
pub(super) fn flush(tls: &mut ServerConnection, stream: &TcpStream, context: &mut Context<'_>) -> Flushed {
    while tls.wants_write() {
        match stream.poll_write_ready(context) {
            Poll::Pending => return Flushed::Blocked,
            Poll::Ready(Err(_)) => return Flushed::Failed,
            Poll::Ready(Ok(())) => {}
        }
        match tls.write_tls(&mut Writer(stream)) {
            Ok(0) => return Flushed::Failed,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return Flushed::Failed,
        }
    }
    Flushed::All
}

/// The same from a thread that will not be woken for this socket. Says whether the kernel has
/// everything; whatever went wrong, the task will find out when it goes on.
pub(super) fn flush_now(tls: &mut ServerConnection, stream: &TcpStream) -> bool {
    while tls.wants_write() {
        match tls.write_tls(&mut Writer(stream)) {
            Ok(count) if count > 0 => {}
            _ => return false,
        }
    }
    true
}

/// Writes what the socket takes at once, several records in one system call.
struct Writer<'a>(&'a TcpStream);

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
