//! Buffers that belong to a thread, not to a connection.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::BytesMut;

use crate::wake::Slot;

/// Bytes read from a socket at once: one full TLS record. More would let one peer hold the broker for
/// longer in each turn; less would cost system calls.
const CHUNK: usize = 16 * 1024;
/// Capacity above which a buffer is given back after use. A batch is 64 KiB and a packet.
const KEPT_CAPACITY: usize = 256 * 1024;

/// What a task needs while it runs and not while it waits.
pub(super) struct Scratch {
    /// Ciphertext as it came from the socket.
    pub(super) chunk: Box<[u8]>,
    /// Plaintext as it came from the broker; empty between turns.
    pub(super) output: BytesMut,
    /// Ciphertext for the kernel; empty between tasks.
    pub(super) sealed: Vec<u8>,
    /// Connections to be woken once the broker's lock is free.
    pub(super) wakes: Vec<Arc<Slot>>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        chunk: vec![0; CHUNK].into_boxed_slice(),
        output: BytesMut::new(),
        sealed: Vec::new(),
        wakes: Vec::new(),
    });
}

/// Lends the thread's buffers. Must not be nested.
pub(super) fn with_scratch<R>(action: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        let result = action(scratch);
        scratch.output.clear();
        if scratch.output.capacity() > KEPT_CAPACITY {
            scratch.output = BytesMut::new();
        }
        // Empty unless a connection broke on the way.
        scratch.sealed.clear();
        scratch.sealed.shrink_to(KEPT_CAPACITY);
        result
    })
}
