//! What has to survive a crash, and how far it has been made safe.
//!
//! The engine works on memory and tells the store about every change; the store writes at its own
//! pace. An acknowledgement that promises durability waits in its connection until the store has
//! reached the position after the change (law 7): see [`Store::durable`].

mod state;

use std::sync::Arc;
use std::time::Duration;

use motte_guard::Principal;
use motte_mqtt::{LastWill, PacketId};

pub use state::{DurableSession, DurableState, DurableWill, Progress};

use crate::message::Message;
use crate::names::SessionName;
use crate::session::{SubscriptionOptions, Waiting};

/// A place in the store's sequence of changes; later changes have higher positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// One change of durable state. What it means is in [`DurableState::apply`].
///
/// Sessions that end with their connection are not told of, nor is what happens in them; their wills are.
/// Moments are on the monotonic clock of this process.
#[derive(Clone, Debug)]
pub enum Change<'a> {
    /// A client has taken a session that outlives its connection, a new one or one that was there.
    SessionKept {
        /// Which session.
        session: &'a Arc<SessionName>,
        /// The identity as its certificate proved it.
        principal: &'a Arc<Principal>,
        /// Seconds that it outlives its connection.
        expiry: u32,
    },
    /// The connection of a session is gone.
    SessionLeft {
        /// Which session.
        session: &'a Arc<SessionName>,
        /// When it ends if nobody takes it again; `None` for never.
        ends_at: Option<Duration>,
    },
    /// A session ended with everything in it but the will.
    SessionEnded {
        /// Which session.
        session: &'a Arc<SessionName>,
    },
    /// A will waits for the end of its connection or, once that is there, for its moment.
    WillKept {
        /// Which session.
        session: &'a Arc<SessionName>,
        /// Whose it is.
        sender: &'a Arc<Principal>,
        /// The message and its delay.
        content: &'a LastWill,
        /// When it is due; `None` while its connection lives.
        due: Option<Duration>,
    },
    /// A will was published or dropped.
    WillDropped {
        /// Which session.
        session: &'a Arc<SessionName>,
    },
    /// A subscription was made or replaced.
    Subscribed {
        /// Which session.
        session: &'a Arc<SessionName>,
        /// The whole topic filter, `$share/<group>/<filter>` for a shared subscription.
        filter: &'a str,
        /// As asked for and as granted.
        options: &'a SubscriptionOptions,
    },
    /// A subscription ended.
    Unsubscribed {
        /// Which session.
        session: &'a Arc<SessionName>,
        /// The topic filter.
        filter: &'a str,
    },
    /// A QoS 1 or 2 message waits for a session.
    Queued {
        /// Which session.
        session: &'a Arc<SessionName>,
        /// The message with its place in the order of the session's messages.
        waiting: &'a Waiting,
    },
    /// A QoS 1 or 2 message of a group waits for another member. One change: it must never wait for
    /// both, or for none.
    HandedOver {
        /// The session that it waited for.
        from: &'a Arc<SessionName>,
        /// Its place in the order of that session's messages.
        from_sequence: u64,
        /// The session that it waits for now.
        session: &'a Arc<SessionName>,
        /// The message with its place in the order of this session's messages.
        waiting: &'a Waiting,
    },
    /// A waiting message got a packet identifier, to be sent under it.
    Sent {
        /// Which session.
        session: &'a Arc<SessionName>,
        /// Its place in the order of the session's messages.
        sequence: u64,
        /// The broker's packet identifier.
        packet_id: PacketId,
    },
    /// PUBREC came for a QoS 2 message: its content is not needed any more, its identifier is.
    Received {
        /// Which session.
        session: &'a Arc<SessionName>,
        /// Its place in the order of the session's messages.
        sequence: u64,
        /// The broker's packet identifier.
        packet_id: PacketId,
    },
    /// A message is done: acknowledged, expired, withheld or dropped.
    Settled {
        /// Which session.
        session: &'a Arc<SessionName>,
        /// Its place in the order of the session's messages.
        sequence: u64,
    },
    /// A QoS 2 message of a client waits for its PUBREL.
    Held {
        /// Which session.
        session: &'a Arc<SessionName>,
        /// The client's packet identifier.
        packet_id: PacketId,
        /// The message; `None` where it was refused and acknowledged all the same.
        message: Option<&'a Arc<Message>>,
    },
    /// The PUBREL came.
    Released {
        /// Which session.
        session: &'a Arc<SessionName>,
        /// The client's packet identifier.
        packet_id: PacketId,
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
    /// Everything recorded since the last call belongs together: after a crash all of it is there, or
    /// nothing. A message that is released is in the queues of its readers at the same moment.
    fn seal(&mut self) {}
    /// The position after everything recorded so far.
    fn recorded(&self) -> Position;
    /// Everything up to here survives a crash. Never passes [`Store::recorded`].
    fn durable(&self) -> Position;
    /// Whether it takes nothing more for now, because the disk is full or far behind: QoS 1 and 2 messages
    /// are refused until it does. What is recorded all the same is kept, and becomes durable later.
    fn is_full(&self) -> bool {
        false
    }
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
