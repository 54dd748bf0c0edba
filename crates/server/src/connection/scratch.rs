//! Buffers that belong to a thread, not to a connection.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::BytesMut;

use crate::wake::Slot;

/// Bytes read from a socket at once: four full TLS records, as much as a turn writes. A record that is cut
/// by the end of a read is copied, so fewer cuts are better; what one peer may do in a turn is bounded by
/// packets, not by this.
const CHUNK: usize = 64 * 1024;
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
