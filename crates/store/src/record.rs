//! A change on its way to the committer: what the broker lends, kept.

use std::sync::Arc;
use std::time::Duration;

use motte_broker::{Change, Message, SessionName, SubscriptionOptions, Waiting};
use motte_guard::Principal;
use motte_mqtt::{LastWill, PacketId};

/// A [`Change`] that owns what it speaks of. Messages and names are shared with the broker.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    WillKept {
        session: Arc<SessionName>,
        sender: Arc<Principal>,
        content: Box<LastWill>,
        due: Option<Duration>,
    },
    WillDropped(Arc<SessionName>),
    Retained(Arc<Message>),
    RetainedRemoved(Box<str>),
    HandedOver {
        from: Arc<SessionName>,
        from_sequence: u64,
        session: Arc<SessionName>,
        waiting: Waiting,
    },
    OfSession(Arc<SessionName>, SessionRecord),
}

/// What happens to one session.
#[derive(Clone, Debug)]
pub(crate) enum SessionRecord {
    Kept { principal: Arc<Principal>, expiry: u32 },
    Left { ends_at: Option<Duration> },
    Ended,
    Subscribed(Box<str>, SubscriptionOptions),
    Unsubscribed(Box<str>),
    Queued(Waiting),
    Sent(u64, PacketId),
    Received(u64, PacketId),
    Settled(u64),
    Held(PacketId, Option<Arc<Message>>),
    Released(PacketId),
}

impl From<&Change<'_>> for Record {
    fn from(change: &Change<'_>) -> Self {
        let (session, record) = match *change {
            Change::WillKept {
                session,
                sender,
                content,
                due,
            } => {
                return Self::WillKept {
                    session: Arc::clone(session),
                    sender: Arc::clone(sender),
                    content: Box::new(content.clone()),
                    due,
                };
            }
            Change::WillDropped { session } => return Self::WillDropped(Arc::clone(session)),
            Change::Retained { message } => return Self::Retained(Arc::clone(message)),
            Change::RetainedRemoved { topic } => return Self::RetainedRemoved(topic.into()),
            Change::HandedOver {
                from,
                from_sequence,
                session,
                waiting,
            } => {
                return Self::HandedOver {
                    from: Arc::clone(from),
                    from_sequence,
                    session: Arc::clone(session),
                    waiting: waiting.clone(),
                };
            }
            Change::SessionKept {
                session,
                principal,
                expiry,
            } => {
                let principal = Arc::clone(principal);
                (session, SessionRecord::Kept { principal, expiry })
            }
            Change::SessionLeft { session, ends_at } => (session, SessionRecord::Left { ends_at }),
            Change::SessionEnded { session } => (session, SessionRecord::Ended),
            Change::Subscribed {
                session,
                filter,
                options,
            } => (session, SessionRecord::Subscribed(filter.into(), *options)),
            Change::Unsubscribed { session, filter } => (session, SessionRecord::Unsubscribed(filter.into())),
            Change::Queued { session, waiting } => (session, SessionRecord::Queued(waiting.clone())),
            Change::Sent {
                session,
                sequence,
                packet_id,
            } => (session, SessionRecord::Sent(sequence, packet_id)),
            Change::Received {
                session,
                sequence,
                packet_id,
            } => (session, SessionRecord::Received(sequence, packet_id)),
            Change::Settled { session, sequence } => (session, SessionRecord::Settled(sequence)),
            Change::Held {
                session,
                packet_id,
                message,
            } => (session, SessionRecord::Held(packet_id, message.cloned())),
            Change::Released { session, packet_id } => (session, SessionRecord::Released(packet_id)),
        };
        Self::OfSession(Arc::clone(session), record)
    }
}
