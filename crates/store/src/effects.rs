//! What many changes together amount to, so that only that is written.
//!
//! Under load most messages come and are acknowledged while one commit is with the disk: they never
//! reach it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use motte_broker::{Message, SessionName, SubscriptionOptions, Waiting};
use motte_guard::Principal;
use motte_mqtt::{LastWill, PacketId};

use crate::record::{Record, SessionRecord};

/// The difference between the file and what has been recorded.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) sessions: HashMap<Arc<SessionName>, SessionEffect>,
    /// `None` for one that is to go.
    pub(crate) wills: HashMap<Arc<SessionName>, Option<WillEffect>>,
    /// The same by topic.
    pub(crate) retained: HashMap<Box<str>, Option<Arc<Message>>>,
}

#[derive(Debug)]
pub(crate) struct WillEffect {
    pub(crate) sender: Arc<Principal>,
    pub(crate) content: Box<LastWill>,
    pub(crate) due: Option<Duration>,
}

/// What becomes of one session.
#[derive(Debug, Default)]
pub(crate) struct SessionEffect {
    /// Everything that the file has of it goes first.
    pub(crate) is_ended: bool,
    /// A client took it, who and for how long.
    pub(crate) kept: Option<(Arc<Principal>, u32)>,
    /// Its last client has left it, and when it ends.
    pub(crate) left: Option<Option<Duration>>,
    pub(crate) subscriptions: BTreeMap<Box<str>, Option<SubscriptionOptions>>,
    pub(crate) outbound: BTreeMap<u64, OutboundEffect>,
    pub(crate) held: BTreeMap<PacketId, HeldEffect>,
}

/// What becomes of one message on its way to a client.
#[derive(Debug)]
pub(crate) enum OutboundEffect {
    /// The file does not have it yet.
    Insert(Step, Waiting),
    /// The file has it; it got an identifier.
    Sent(PacketId),
    /// The client has it. The file may know of it, and not need it any more, or not (`is_new`).
    Released { packet_id: PacketId, is_new: bool },
    /// The file has it.
    Delete,
}

/// How far a message is that the file does not have yet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Waiting,
    Sent(PacketId),
}

/// What becomes of one QoS 2 message of a client.
#[derive(Debug)]
pub(crate) enum HeldEffect {
    Insert(Option<Arc<Message>>),
    Delete,
}

impl Effects {
    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.wills.is_empty() && self.retained.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.sessions.clear();
        self.wills.clear();
        self.retained.clear();
    }

    /// Adds one change behind all others.
    pub(crate) fn fold(&mut self, record: Record) {
        match record {
            Record::WillKept {
                session,
                sender,
                content,
                due,
            } => {
                let will = WillEffect { sender, content, due };
                self.wills.insert(session, Some(will));
            }
            Record::WillDropped(session) => {
                self.wills.insert(session, None);
            }
            Record::Retained(message) => {
                self.retained.insert((&*message.topic).into(), Some(message));
            }
            Record::RetainedRemoved(topic) => {
                self.retained.insert(topic, None);
            }
            Record::HandedOver {
                from,
                from_sequence,
                session,
                waiting,
            } => {
                self.fold_session(from, SessionRecord::Settled(from_sequence));
                self.fold_session(session, SessionRecord::Queued(waiting));
            }
            Record::OfSession(session, record) => self.fold_session(session, record),
        }
    }

    /// What comes to nothing leaves nothing.
    fn fold_session(&mut self, session: Arc<SessionName>, record: SessionRecord) {
        match self.sessions.entry(session) {
            Entry::Occupied(mut entry) => {
                entry.get_mut().fold(record);
                if entry.get().is_nothing() {
                    entry.remove();
                }
            }
            Entry::Vacant(entry) => {
                let mut effect = SessionEffect::default();
                effect.fold(record);
                if !effect.is_nothing() {
                    entry.insert(effect);
                }
            }
        }
    }
}

impl SessionEffect {
    fn is_nothing(&self) -> bool {
        !self.is_ended
            && self.kept.is_none()
            && self.left.is_none()
            && self.subscriptions.is_empty()
            && self.outbound.is_empty()
            && self.held.is_empty()
    }

    fn fold(&mut self, record: SessionRecord) {
        let is_over = self.is_ended && self.kept.is_none();
        match record {
            SessionRecord::Kept { principal, expiry } => {
                self.kept = Some((principal, expiry));
                self.left = None;
            }
            SessionRecord::Ended => {
                *self = Self {
                    is_ended: true,
                    ..Self::default()
                };
            }
            // Changes of a session that is not there have no effect.
            _ if is_over => {}
            SessionRecord::Left { ends_at } => self.left = Some(ends_at),
            SessionRecord::Subscribed(filter, options) => {
                self.subscriptions.insert(filter, Some(options));
            }
            SessionRecord::Unsubscribed(filter) => {
                self.subscriptions.insert(filter, None);
            }
            SessionRecord::Queued(waiting) => {
                let insert = OutboundEffect::Insert(Step::Waiting, waiting.clone());
                self.outbound.insert(waiting.sequence, insert);
            }
            SessionRecord::Sent(sequence, packet_id) => self.fold_sent(sequence, packet_id),
            SessionRecord::Received(sequence, packet_id) => {
                let before = self.outbound.get(&sequence);
                let is_new = matches!(
                    before,
                    Some(OutboundEffect::Insert(..) | OutboundEffect::Released { is_new: true, .. })
                );
                let released = OutboundEffect::Released { packet_id, is_new };
                self.outbound.insert(sequence, released);
            }
            SessionRecord::Settled(sequence) => match self.outbound.remove(&sequence) {
                Some(OutboundEffect::Insert(..) | OutboundEffect::Released { is_new: true, .. }) => {}
                _ => {
                    self.outbound.insert(sequence, OutboundEffect::Delete);
                }
            },
            SessionRecord::Held(packet_id, message) => {
                self.held.insert(packet_id, HeldEffect::Insert(message));
            }
            SessionRecord::Released(packet_id) => self.fold_released(packet_id),
        }
    }

    fn fold_sent(&mut self, sequence: u64, packet_id: PacketId) {
        match self.outbound.get_mut(&sequence) {
            None => {
                self.outbound.insert(sequence, OutboundEffect::Sent(packet_id));
            }
            Some(OutboundEffect::Insert(step @ Step::Waiting, _)) => *step = Step::Sent(packet_id),
            Some(_) => {}
        }
    }

    /// The file may hold another message under the same identifier, so that the row goes in any case.
    fn fold_released(&mut self, packet_id: PacketId) {
        self.held.insert(packet_id, HeldEffect::Delete);
    }
}
