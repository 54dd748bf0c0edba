//! Delivering to connections of other threads without waking those.
//!
//! Waking another thread costs a system call here, one there, and the time that the kernel takes to
//! bring the thread to a processor: more than the delivery itself. So a thread that has messages for no
//! more than a few connections elsewhere does the writing, while their tasks wait. It does so after the
//! tasks that were ready have run, so that what they all have for one reader goes out together.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::scratch::with_scratch;
use crate::engine::{Broken, Engine, RELAYED};
use crate::wake::{Slot, wake_all};

/// The task of one thread that delivers for others; it ends only if the broker broke.
pub(crate) struct Relay {
    engine: Arc<Engine>,
    thread: usize,
    taken: Vec<Arc<Slot>>,
}

impl Relay {
    pub(crate) fn new(engine: Arc<Engine>, thread: usize) -> Self {
        Self {
            engine,
            thread,
            taken: Vec::new(),
        }
    }

    fn deliver(&mut self) -> Result<(), Broken> {
        let mut left = Vec::new();
        for slot in self.taken.drain(..) {
            let delivered = with_scratch(|scratch| {
                let delivered = slot.try_with(|connection| connection.deliver(scratch));
                left.append(&mut scratch.wakes);
                delivered
            });
            match delivered {
                Some(Ok(true)) => {}
                // Its task is running, or has something to do that only it can.
                None | Some(Ok(false)) => left.push(slot),
                Some(Err(broken)) => return Err(broken),
            }
        }
        wake_all(&mut left, self.engine.mailboxes(), Some(self.thread));
        Ok(())
    }
}

impl Future for Relay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(inbox) = this.engine.relay(this.thread) else {
            return Poll::Ready(());
        };
        inbox.take(context.waker(), &mut this.taken);
        if this.taken.len() > RELAYED {
            wake_all(&mut this.taken, this.engine.mailboxes(), Some(this.thread));
            return Poll::Pending;
        }
        match this.deliver() {
            Ok(()) => Poll::Pending,
            Err(Broken) => Poll::Ready(()),
        }
    }
}
