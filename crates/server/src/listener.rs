//! The listening socket, and the way of a new connection to the thread that will serve it.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::connection::{Connection, Surroundings, Task};
use crate::error::{ServeError, ServeErrorKind};
use crate::gate::Gate;
use crate::log;

/// Connections that the kernel keeps while the acceptor is busy: a fleet that comes back after a power
/// cut arrives within a second. The kernel may cap it (`net.core.somaxconn`).
const BACKLOG: i32 = 4_096;
/// Bytes of one connection that the kernel keeps unsent: one batch. Without a bound, a peer that does
/// not read makes it keep megabytes (law 8), and what it keeps can no longer be withheld (law 6).
const NOT_SENT: u32 = 64 * 1024;
/// Connections accepted at once before the other tasks of the thread run.
const ACCEPTED_AT_ONCE: usize = 32;
/// Pause after an error of the machine rather than of the peer, such as no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two log lines about such an error.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Binds the address. A port that is taken is an error, never shared.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let listen = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Lets a data plane that was restarted have its port back while old connections time out; on
        // Linux it does not let two of them have the same one.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // Every accepted connection inherits these two, without a system call of its own.
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_notsent_lowat(NOT_SENT)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    listen().map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => ServeError::new(
            ServeErrorKind::AddressInUse,
            format!(
                "port {} of {} is in use by another program",
                address.port(),
                address.ip()
            ),
            "stop that program, or set another listener.port",
        ),
        ErrorKind::AddrNotAvailable => ServeError::new(
            ServeErrorKind::System,
            format!("the address {} is not one of this machine", address.ip()),
            "set listener.address to 127.0.0.1, to an address of this machine or to ::",
        ),
        ErrorKind::PermissionDenied => ServeError::new(
            ServeErrorKind::System,
            format!("this user may not listen on port {}", address.port()),
            "set a listener.port above 1023",
        ),
        _ => ServeError::new(
            ServeErrorKind::System,
            format!("cannot listen on {address}: {error}"),
            "check listener.address and listener.port",
        ),
    })
}

/// One thread that serves connections.
pub(crate) struct Worker {
    pub(crate) runtime: Handle,
    pub(crate) around: Surroundings,
}

/// Accepts connections for ever and hands them round. To be run on the first worker's thread.
pub(crate) async fn accept(listener: TcpListener, gate: Arc<Gate>, workers: Vec<Worker>) {
    let listener = match watch(listener) {
        Ok(listener) => listener,
        Err(error) => return log::error(format_args!("cannot wait for connections: {error}")),
    };
    let mut next = 0;
    let mut complaint = Complaint::default();
    loop {
        for _ in 0..ACCEPTED_AT_ONCE {
            match accept_one(&listener).await {
                Ok((stream, peer)) => {
                    if let Some(worker) = workers.get(next) {
                        hand_over(worker, &gate, stream, peer);
                    }
                    next = (next + 1) % workers.len().max(1);
                }
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    complaint.make(&error);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Not tokio's own listener: it would enter each connection into the event queue of this thread, for
/// another thread to take it out again.
#[expect(
    unsafe_code,
    reason = "the safe constructor takes descriptors that nobody owns"
)]
fn watch(listener: TcpListener) -> io::Result<AsyncFd<TcpListener>> {
    // SAFETY: a listener owns one open descriptor for as long as it lives.
    unsafe { AsyncFd::register(listener) }.map_err(Into::into)
}

async fn accept_one(listener: &AsyncFd<TcpListener>) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    loop {
        let mut readiness = listener.readable().await?;
        if let Ok(accepted) = readiness.try_io(|listener| listener.get_ref().accept()) {
            return accepted;
        }
    }
}

/// Says now and then that connections cannot be accepted: the reason often lasts for a while.
#[derive(Default)]
struct Complaint {
    made_at: Option<Instant>,
}

impl Complaint {
    fn make(&mut self, error: &io::Error) {
        if self.made_at.is_none_or(|at| at.elapsed() >= COMPLAINT_INTERVAL) {
            self.made_at = Some(Instant::now());
            log::warning(format_args!("cannot accept connections: {error}"));
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
            | ErrorKind::TimedOut
    )
}

fn hand_over(worker: &Worker, gate: &Arc<Gate>, stream: std::net::TcpStream, peer: SocketAddr) {
    let Some(admission) = gate.admit(peer) else {
        // A reset costs neither side any memory, where a close in good order would.
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        return;
    };
    let around = worker.around.clone();
    let accepted_at = around.engine.clock.now().monotonic;
    // The stream is entered into the event queue of the thread that will serve it.
    let _context = worker.runtime.enter();
    let stream = stream
        .set_nonblocking(true)
        .and_then(|()| TcpStream::from_std(stream));
    let connection = match stream {
        Ok(stream) => Connection::new(around, stream, admission, peer, accepted_at),
        Err(error) => return log::error(format_args!("cannot wait for a connection: {error}")),
    };
    match connection {
        Ok(connection) => drop(worker.runtime.spawn(Task::new(connection))),
        Err(error) => log::error(format_args!("cannot begin a TLS session: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    #[test]
    fn accepted_connections_inherit_what_they_need() {
        let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let _peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), NOT_SENT);
    }

    #[test]
    fn what_cannot_be_bound_is_explained() {
        let taken = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let error = bind(taken.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ServeErrorKind::AddressInUse);
        let elsewhere = bind((Ipv4Addr::new(192, 0, 2, 1), 0).into()).unwrap_err();
        assert!(elsewhere.message().contains("192.0.2.1"), "{elsewhere}");
    }
}
