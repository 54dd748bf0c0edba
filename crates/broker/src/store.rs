//! What has to survive a crash, and how far it has been made safe.
//!
//! The engine works on memory and tells the store about every change; the store writes at its own
//! pace. An acknowledgement that promises durability waits in its connection until the store has
//! reached the position after the change (law 7): see [`Store::durable`].

use std::sync::Arc;

use crate::message::Message;
use crate::names::SessionName;

/// A place in the store's sequence of changes; later changes have higher positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// One change of durable state.
#[derive(Clone, Debug)]
pub enum Change<'a> {
    /// A session began, or its expiry (seconds) changed.
    SessionKept {
        /// Which session.
        session: &'a SessionName,
        /// Seconds that it outlives its connection.
        expiry: u32,
    },
    /// A session ended with everything in it.
    SessionEnded {
        /// Which session.
        session: &'a SessionName,
    },
    /// A subscription was made or replaced.
    Subscribed {
        /// Which session.
        session: &'a SessionName,
        /// The topic filter.
        filter: &'a str,
    },
    /// A subscription ended.
    Unsubscribed {
        /// Which session.
        session: &'a SessionName,
        /// The topic filter.
        filter: &'a str,
    },
    /// A QoS 1 or 2 message waits for a session.
    Queued {
        /// Which session.
        session: &'a SessionName,
        /// Its place in the order of the session's messages.
        sequence: u64,
        /// The message.
        message: &'a Arc<Message>,
        /// The whole filter of the shared subscription that it came by, `$share/<group>/<filter>`.
        shared: Option<&'a str>,
    },
    /// A QoS 1 or 2 message of a group waits for another member. One change: it must never wait for
    /// both, or for none.
    HandedOver {
        /// The session that it waited for.
        from: &'a SessionName,
        /// Its place in the order of that session's messages.
        from_sequence: u64,
        /// The session that it waits for now.
        session: &'a SessionName,
        /// Its place in the order of this session's messages.
        sequence: u64,
        /// The message.
        message: &'a Arc<Message>,
        /// The whole filter of the shared subscription, `$share/<group>/<filter>`.
        shared: &'a str,
    },
    /// A waiting message is done: acknowledged, expired, withheld or dropped.
    Settled {
        /// Which session.
        session: &'a SessionName,
        /// Its place in the order of the session's messages.
        sequence: u64,
    },
    /// A QoS 2 message of a client waits for its PUBREL.
    Held {
        /// Which session.
        session: &'a SessionName,
        /// The client's packet identifier.
        packet_id: u16,
        /// The message.
        message: &'a Arc<Message>,
    },
    /// The PUBREL came.
    Released {
        /// Which session.
        session: &'a SessionName,
        /// The client's packet identifier.
        packet_id: u16,
    },
    /// A retained message was stored or replaced.
    Retained {
        /// The message.
        message: &'a Arc<Message>,
    },
    /// A retained message was removed.
    RetainedRemoved {
        /// Its topic.
        topic: &'a str,
    },
}

/// Keeps changes beyond the life of the process, or says honestly that it does not.
pub trait Store {
    /// Takes note of a change. Must not block.
    fn record(&mut self, change: &Change<'_>);
    /// The position after everything recorded so far.
    fn recorded(&self) -> Position;
    /// Everything up to here survives a crash. Never passes [`Store::recorded`].
    fn durable(&self) -> Position;
    /// Whether an error has ended its promises: nothing will be durable any more.
    fn is_poisoned(&self) -> bool {
        false
    }
}

/// Keeps nothing: the state lives as long as the process does, and is never waited for.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryStore {
    recorded: Position,
}

impl Store for MemoryStore {
    fn record(&mut self, _change: &Change<'_>) {
        self.recorded.0 += 1;
    }

    fn recorded(&self) -> Position {
        self.recorded
    }

    fn durable(&self) -> Position {
        self.recorded
    }
}
