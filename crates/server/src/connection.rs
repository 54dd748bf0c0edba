//! One task for each connection: TLS from and to the socket, turns with the broker.
//!
//! The task is a future written by hand. It reads at most one chunk, takes one turn with the broker,
//! encrypts what the turn yielded and writes it with one system call. It holds at most one batch that
//! the kernel has not taken: a peer that does not read stops its own deliveries, and nobody else's.
//! Buffers for reading and for plaintext to be encrypted belong to the thread, so an idle connection
//! holds none.

mod handshake;
mod relay;
mod scratch;
mod secure;
mod socket;
mod traffic;

use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use motte_broker::ConnectionId;
use motte_guard::{Denial, Layer};
use motte_mqtt::ReasonCode;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::engine::{Broken, Engine};
use crate::gate::Admission;
use crate::tls::Tls;
use crate::wake::Slot;

pub(crate) use relay::Relay;
use scratch::{Scratch, with_scratch};
use secure::Secure;
use socket::{Flushed, Received, receive};

/// Steps of one task before it lets the other tasks of its thread run.
const STEPS_PER_POLL: usize = 8;
/// How long a connection that is being closed may take: for its last packet to be accepted by the
/// peer, and for the peer to close its side, which keeps the kernel from throwing that packet away.
/// Shorter than the barrier's deadline, so that a barrier need not cut off what closes by itself.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// How far the connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// TLS is being negotiated; the broker does not know of the connection.
    Handshake,
    /// Open in the broker.
    Open(ConnectionId),
    /// The last bytes are on their way out.
    Closing,
    /// Our side is shut; waiting for the peer to see it.
    Lingering,
}

/// Whether a step has to be followed by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Something happened: look again.
    Progress,
    /// Nothing to do until something happens; whatever that is wakes the task.
    Idle,
    /// The connection is over.
    Done,
}

/// What a task needs beside its socket; the same for all connections of a thread.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) engine: Arc<Engine>,
    pub(crate) tls: Tls,
    pub(crate) thread: usize,
    pub(crate) handshake_deadline: Duration,
    pub(crate) write_deadline: Duration,
}

/// The state of one connection.
pub(crate) struct Connection {
    around: Surroundings,
    stream: Arc<TcpStream>,
    secure: Secure,
    slot: Arc<Slot>,
    admission: Admission,
    peer: SocketAddr,
    accepted_at: Duration,
    phase: Phase,
    /// The name under which the broker still knows the connection.
    registered: Option<ConnectionId>,
    /// Plaintext that the broker has not taken: the beginning of a packet, or more packets than one
    /// turn has room for.
    input: BytesMut,
    /// There is something in `input` that the broker has not looked at.
    input_is_fresh: bool,
    /// The broker has something to transmit.
    output_is_due: bool,
    /// The peer will send no more.
    ended: bool,
    deadline: Option<Instant>,
    /// The timer behind `deadline`. It may be set earlier than that and then finds nothing to do, so
    /// that a deadline that moves costs no timer each time.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    /// A connection that has been accepted and let in by layer 0. `accepted_at` is on the monotonic
    /// clock.
    pub(crate) fn new(
        around: Surroundings,
        stream: TcpStream,
        admission: Admission,
        peer: SocketAddr,
        accepted_at: Duration,
    ) -> Result<Self, rustls::Error> {
        let secure = Secure::new(around.tls.config.clone())?;
        let stream = Arc::new(stream);
        let slot = Arc::new(Slot::new(around.thread, peer, stream.clone()));
        let deadline = around
            .engine
            .clock
            .instant(accepted_at + around.handshake_deadline);
        Ok(Self {
            around,
            stream,
            secure,
            slot,
            admission,
            peer,
            accepted_at,
            phase: Phase::Handshake,
            registered: None,
            input: BytesMut::new(),
            input_is_fresh: false,
            output_is_due: false,
            ended: false,
            deadline: Some(deadline),
            timer: None,
        })
    }

    fn run(&mut self, context: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        let poll = self.step(context, scratch);
        // The thread's buffer goes to the next task.
        self.secure.stash(&mut scratch.sealed);
        poll
    }

    fn step(&mut self, context: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        for _ in 0..STEPS_PER_POLL {
            if self.slot.is_killed() {
                return Poll::Ready(());
            }
            let step = match self.phase {
                Phase::Handshake => self.shake(context, scratch),
                Phase::Open(id) => self.exchange(id, context, scratch),
                Phase::Closing => Ok(self.close(context, scratch)),
                Phase::Lingering => Ok(self.linger(context, scratch)),
            };
            match step {
                Ok(Step::Progress) => {}
                Ok(Step::Idle) if self.deadline_has_passed(context) => {
                    self.expire();
                    return Poll::Ready(());
                }
                Ok(Step::Idle) => return Poll::Pending,
                Ok(Step::Done) | Err(Broken) => return Poll::Ready(()),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Decrypts the `count` bytes that came into the thread's buffer and appends them to `input`.
    fn feed(&mut self, count: usize, scratch: &mut Scratch) -> Result<(), rustls::Error> {
        let bytes = scratch.chunk.get_mut(..count).unwrap_or_default();
        let fed = self.secure.feed(bytes, &mut self.input, &mut scratch.sealed)?;
        self.input_is_fresh |= fed.plaintext;
        self.ended |= fed.ended;
        Ok(())
    }

    fn flush(&mut self, context: &mut Context<'_>, scratch: &mut Scratch) -> Flushed {
        self.secure.flush(&mut scratch.sealed, &self.stream, context)
    }

    fn receive(&mut self, context: &mut Context<'_>, scratch: &mut Scratch) -> Received {
        receive(&self.stream, context, &mut scratch.chunk)
    }

    /// Says goodbye to TLS and waits for that to be written.
    fn begin_close(&mut self, scratch: &mut Scratch) -> Step {
        self.secure.say_goodbye(&mut scratch.sealed);
        self.phase = Phase::Closing;
        self.deadline = Some(Instant::now() + CLOSE_DEADLINE);
        Step::Progress
    }

    fn close(&mut self, context: &mut Context<'_>, scratch: &mut Scratch) -> Step {
        match self.flush(context, scratch) {
            // A peer that has said goodbye sends nothing that could make the kernel throw ours away.
            Flushed::All if self.ended => Step::Done,
            Flushed::All => {
                let _ = SockRef::from(&*self.stream).shutdown(Shutdown::Write);
                self.sign_off();
                self.phase = Phase::Lingering;
                Step::Progress
            }
            Flushed::Blocked => Step::Idle,
            Flushed::Failed => Step::Done,
        }
    }

    fn linger(&mut self, context: &mut Context<'_>, scratch: &mut Scratch) -> Step {
        match self.receive(context, scratch) {
            Received::Bytes(_) => Step::Progress,
            Received::Blocked => Step::Idle,
            Received::Ended | Received::Failed => Step::Done,
        }
    }

    /// The socket is shut for writing, or is about to be dropped by a task that writes no more: the
    /// broker may forget the connection, and a barrier need not wait for it.
    fn sign_off(&mut self) {
        if let Some(id) = self.registered.take() {
            self.around.engine.close(id, self.around.thread);
        }
        self.slot.set_closed();
        self.around.engine.progress.made();
    }

    fn deadline_has_passed(&mut self, context: &mut Context<'_>) -> bool {
        let Some(deadline) = self.deadline else {
            return false;
        };
        let deadline = tokio::time::Instant::from_std(deadline);
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= deadline {
                return true;
            }
            timer.as_mut().reset(deadline);
        }
        false
    }

    /// The deadline of the phase has passed.
    fn expire(&mut self) {
        let (rule, detail) = match self.phase {
            Phase::Handshake => (
                "network.handshake-deadline",
                "no finished handshake within the deadline",
            ),
            Phase::Open(_) => (
                "network.write-deadline",
                "the peer did not read a batch within the deadline",
            ),
            // The peer was on its way out anyway; what it did wrong is on record.
            Phase::Closing => return self.abort(),
            Phase::Lingering => return,
        };
        self.refuse(&Denial {
            layer: Layer::Network,
            rule: rule.into(),
            reason: ReasonCode::Unspecified,
            detail: detail.to_owned(),
        });
        self.abort();
    }

    /// Lets the kernel throw away what it has not sent when the socket is dropped.
    fn abort(&self) {
        let _ = SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Puts a refusal that the broker does not know of on record.
    fn refuse(&self, denial: &Denial) {
        self.around.engine.gate.refuse(self.peer, denial);
    }
}

/// The task of one connection. While it waits, the connection is parked in its slot, so that another
/// thread that has a message for it can deliver that itself.
pub(crate) struct Task(Arc<Slot>);

impl Task {
    pub(crate) fn new(connection: Connection) -> Self {
        let slot = connection.slot.clone();
        slot.park(Box::new(connection));
        Self(slot)
    }
}

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let slot = &self.0;
        slot.register(context.waker());
        let Some(mut connection) = slot.unpark() else {
            return Poll::Ready(());
        };
        let poll = with_scratch(|scratch| connection.run(context, scratch));
        if poll.is_pending() {
            slot.park(connection);
        }
        poll
    }
}

impl Drop for Task {
    /// The connection points at its slot: it has to be taken out, or both would stay for ever.
    fn drop(&mut self) {
        drop(self.0.unpark());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.phase != Phase::Lingering {
            let _ = SockRef::from(&*self.stream).shutdown(Shutdown::Both);
        }
        self.sign_off();
    }
}
