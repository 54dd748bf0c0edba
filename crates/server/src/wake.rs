//! Waking the task of a connection, at the least cost that the situation allows.
//!
//! The broker says which connections have something to transmit. Each has a [`Slot`] here. A slot
//! that is already marked is not woken again, so a burst of messages costs one wake. A task of the
//! same thread is put on that thread's own run queue. For another thread the slots go to that
//! thread's [`Mailbox`] under one lock, and only the first into an empty mailbox costs a system call:
//! a fan-out to a thousand connections wakes each other thread once. One or two slots of other threads
//! are not worth even that, see [`crate::connection::Relay`].

use std::mem;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::connection::Connection;

/// Takes a lock whose content is valid at every moment, so a panic of another holder spoils nothing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What others know of a connection: how to wake its task, how far it has come, how to cut it off.
pub(crate) struct Slot {
    thread: usize,
    peer: SocketAddr,
    stream: Arc<TcpStream>,
    waker: Mutex<Option<Waker>>,
    /// The connection while its task waits, for others to work on; empty while the task runs.
    parked: Mutex<Option<Box<Connection>>>,
    /// Set by whoever has something for the task, cleared by the task before it looks.
    marked: AtomicBool,
    /// Odd while a batch is on its way from the broker to the kernel.
    batch: AtomicU64,
    /// Turns that the task took with the broker; every turn sees the policy of its moment.
    turns: AtomicU64,
    /// The broker said that this connection is to be closed.
    closing: AtomicBool,
    /// Nothing can be transmitted any more.
    closed: AtomicBool,
    /// The socket was shut from outside; the task has only to clean up.
    killed: AtomicBool,
}

impl Slot {
    pub(crate) fn new(thread: usize, peer: SocketAddr, stream: Arc<TcpStream>) -> Self {
        Self {
            thread,
            peer,
            stream,
            waker: Mutex::new(None),
            parked: Mutex::new(None),
            marked: AtomicBool::new(false),
            batch: AtomicU64::new(0),
            turns: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            killed: AtomicBool::new(false),
        }
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The task says how it is to be woken.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut known = lock(&self.waker);
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    pub(crate) fn thread(&self) -> usize {
        self.thread
    }

    /// The task is done for now: others may work on the connection.
    pub(crate) fn park(&self, connection: Box<Connection>) {
        *lock(&self.parked) = Some(connection);
    }

    /// The task goes on with the connection, once nobody else works on it.
    pub(crate) fn unpark(&self) -> Option<Box<Connection>> {
        lock(&self.parked).take()
    }

    /// Works on the connection, if its task waits and nobody else does.
    pub(crate) fn try_with<R>(&self, action: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        self.parked
            .try_lock()
            .ok()?
            .as_mut()
            .map(|connection| action(connection))
    }

    /// Whether the task was not marked before: then it has to be woken.
    pub(crate) fn mark(&self) -> bool {
        !self.marked.swap(true, Ordering::SeqCst)
    }

    /// The task takes note of its mark; what is marked from here on wakes it again.
    pub(crate) fn take_mark(&self) -> bool {
        self.marked.load(Ordering::Relaxed) && self.marked.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = lock(&self.waker).as_ref() {
            waker.wake_by_ref();
        }
    }

    /// A batch was taken from the broker. To be called under the broker's lock.
    pub(crate) fn begin_batch(&self) {
        if self.batch().is_none() {
            self.batch.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The kernel has everything. Says whether a batch was under way.
    pub(crate) fn end_batch(&self) -> bool {
        let under_way = self.batch().is_some();
        if under_way {
            self.batch.fetch_add(1, Ordering::SeqCst);
        }
        under_way
    }

    /// The number of the batch that is on its way, if one is.
    pub(crate) fn batch(&self) -> Option<u64> {
        let batch = self.batch.load(Ordering::SeqCst);
        (batch % 2 == 1).then_some(batch)
    }

    /// A turn with the broker is over. To be called under the broker's lock.
    pub(crate) fn end_turn(&self, close: bool) {
        if close {
            self.closing.store(true, Ordering::SeqCst);
        }
        self.turns.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::SeqCst)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// The task has shut its socket for writing, or dropped it.
    pub(crate) fn set_closed(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
    }

    /// Shuts the socket from any thread, at once, whatever the task is doing. What the kernel has not
    /// sent yet is thrown away when the task lets go of the socket.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        let socket = SockRef::from(&*self.stream);
        let _ = socket.set_linger(Some(Duration::ZERO));
        let _ = socket.shutdown(Shutdown::Both);
        self.set_closed();
        self.wake();
    }
}

/// Slots that somebody on one thread has to look at.
#[derive(Default)]
pub(crate) struct Mailbox {
    post: Mutex<Post>,
}

#[derive(Default)]
struct Post {
    slots: Vec<Arc<Slot>>,
    owner: Option<Waker>,
    closed: bool,
}

impl Mailbox {
    /// Ends the future of [`Mailbox::serve`].
    pub(crate) fn close(&self) {
        let mut post = lock(&self.post);
        post.closed = true;
        if let Some(owner) = &post.owner {
            owner.wake_by_ref();
        }
    }

    /// Takes what is there and arranges for a wake when there is more. Says whether the mailbox is
    /// closed.
    pub(crate) fn take(&self, waker: &Waker, taken: &mut Vec<Arc<Slot>>) -> bool {
        let mut post = lock(&self.post);
        if !post.owner.as_ref().is_some_and(|owner| owner.will_wake(waker)) {
            post.owner = Some(waker.clone());
        }
        mem::swap(&mut post.slots, taken);
        post.closed
    }

    /// Puts a slot in; the first one wakes the owner.
    pub(crate) fn put(&self, slot: Arc<Slot>) {
        lock(&self.post).put(slot);
    }

    /// What the thread does beside its connections: passing wakes on, until the mailbox is closed.
    pub(crate) fn serve(&self) -> impl Future<Output = ()> + '_ {
        Serve {
            mailbox: self,
            taken: Vec::new(),
        }
    }
}

struct Serve<'a> {
    mailbox: &'a Mailbox,
    taken: Vec<Arc<Slot>>,
}

impl Future for Serve<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.mailbox.take(context.waker(), &mut this.taken) {
            return Poll::Ready(());
        }
        for slot in this.taken.drain(..) {
            slot.wake();
        }
        Poll::Pending
    }
}

impl Post {
    fn put(&mut self, slot: Arc<Slot>) {
        if self.slots.is_empty()
            && let Some(owner) = &self.owner
        {
            owner.wake_by_ref();
        }
        self.slots.push(slot);
    }
}

/// Wakes marked slots. `here` is the calling thread's number, if it is one of the runtime threads.
pub(crate) fn wake_all(slots: &mut Vec<Arc<Slot>>, mailboxes: &[Mailbox], here: Option<usize>) {
    let mut open: Option<(usize, MutexGuard<'_, Post>)> = None;
    for slot in slots.drain(..) {
        if here == Some(slot.thread) {
            slot.wake();
            continue;
        }
        let mut post = match open.take() {
            Some((thread, post)) if thread == slot.thread => post,
            // The guard of another mailbox is dropped here, before the next lock is taken.
            _ => match mailboxes.get(slot.thread) {
                Some(mailbox) => lock(&mailbox.post),
                None => continue,
            },
        };
        let thread = slot.thread;
        post.put(slot);
        open = Some((thread, post));
    }
}

#[cfg(test)]
mod tests;
