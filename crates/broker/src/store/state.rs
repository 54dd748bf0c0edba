//! What all changes together amount to: the state that a broker begins with again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use motte_guard::Principal;
use motte_mqtt::{LastWill, PacketId};

use super::Change;
use crate::message::Message;
use crate::names::SessionName;
use crate::session::{SubscriptionOptions, Waiting};

/// Everything that survives a crash. All moments are on the monotonic clock of the process that reads
/// them: a store writes wall-clock time, because the next process has another monotonic clock.
///
/// [`DurableState::apply`] is the meaning of a [`Change`], for every store alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DurableState {
    /// Sessions that outlive their connection.
    pub sessions: BTreeMap<SessionName, DurableSession>,
    /// Wills of all sessions, of those that end with their connection as well: a crash ends connections.
    pub wills: BTreeMap<SessionName, DurableWill>,
    /// Retained messages by topic.
    pub retained: BTreeMap<String, Arc<Message>>,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurableSession {
    /// The identity as of the last CONNECT.
    pub principal: Arc<Principal>,
    /// Seconds that it outlives its connection.
    pub expiry: u32,
    /// Whether a client has it.
    pub connected: bool,
    /// When it ends, if no client has it and it ends at all.
    pub ends_at: Option<Duration>,
    /// Subscriptions by their whole filter, `$share/<group>/<filter>` for a shared one.
    pub subscriptions: BTreeMap<String, SubscriptionOptions>,
    /// QoS 1 and 2 messages on their way to the client, by their place in the order.
    pub outbound: BTreeMap<u64, Progress>,
    /// QoS 2 messages of the client that wait for PUBREL, by packet identifier; `None` where the message
    /// was refused and acknowledged all the same.
    pub held: BTreeMap<PacketId, Option<Arc<Message>>>,
}

/// How far a message to a client has come (section 4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not sent.
    Waiting(Waiting),
    /// PUBLISH sent; PUBACK or PUBREC is due.
    Sent(PacketId, Waiting),
    /// PUBREC came; PUBCOMP is due.
    Released(PacketId),
}

/// A will that has been permitted and neither published nor dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurableWill {
    /// Whose it is.
    pub sender: Arc<Principal>,
    /// The message, its delay in seconds and its properties.
    pub content: Box<LastWill>,
    /// When it is due; `None` while its connection lives.
    pub due: Option<Duration>,
}

impl DurableState {
    /// Carries out one change. Changes of sessions that are not there have no effect.
    pub fn apply(&mut self, change: &Change<'_>) {
        match *change {
            Change::SessionKept {
                session,
                principal,
                expiry,
            } => self.keep_session(session, principal, expiry),
            Change::SessionEnded { session } => {
                self.sessions.remove(&**session);
            }
            Change::WillKept {
                session,
                sender,
                content,
                due,
            } => {
                let will = DurableWill {
                    sender: Arc::clone(sender),
                    content: Box::new(content.clone()),
                    due,
                };
                self.wills.insert((**session).clone(), will);
            }
            Change::WillDropped { session } => {
                self.wills.remove(&**session);
            }
            Change::Retained { message } => {
                self.retained
                    .insert(message.topic.to_string(), Arc::clone(message));
            }
            Change::RetainedRemoved { topic } => {
                self.retained.remove(topic);
            }
            Change::HandedOver {
                from,
                from_sequence,
                session,
                waiting,
            } => {
                if let Some(state) = self.sessions.get_mut(&**from) {
                    state.outbound.remove(&from_sequence);
                }
                if let Some(state) = self.sessions.get_mut(&**session) {
                    state
                        .outbound
                        .insert(waiting.sequence, Progress::Waiting(waiting.clone()));
                }
            }
            Change::SessionLeft { session, .. }
            | Change::Subscribed { session, .. }
            | Change::Unsubscribed { session, .. }
            | Change::Queued { session, .. }
            | Change::Sent { session, .. }
            | Change::Received { session, .. }
            | Change::Settled { session, .. }
            | Change::Held { session, .. }
            | Change::Released { session, .. } => {
                if let Some(state) = self.sessions.get_mut(&**session) {
                    state.apply(change);
                }
            }
        }
    }

    fn keep_session(&mut self, name: &SessionName, principal: &Arc<Principal>, expiry: u32) {
        let session = self
            .sessions
            .entry(name.clone())
            .or_insert_with(|| DurableSession::new(Arc::clone(principal), expiry));
        session.principal = Arc::clone(principal);
        session.expiry = expiry;
        session.connected = true;
        session.ends_at = None;
    }
}

impl DurableSession {
    /// An empty session that a client has.
    #[must_use]
    pub const fn new(principal: Arc<Principal>, expiry: u32) -> Self {
        Self {
            principal,
            expiry,
            connected: true,
            ends_at: None,
            subscriptions: BTreeMap::new(),
            outbound: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    fn apply(&mut self, change: &Change<'_>) {
        match *change {
            Change::SessionLeft { ends_at, .. } => {
                self.connected = false;
                self.ends_at = ends_at;
            }
            Change::Subscribed { filter, options, .. } => {
                self.subscriptions.insert(filter.to_owned(), *options);
            }
            Change::Unsubscribed { filter, .. } => {
                self.subscriptions.remove(filter);
            }
            Change::Queued { waiting, .. } => {
                self.outbound
                    .insert(waiting.sequence, Progress::Waiting(waiting.clone()));
            }
            Change::Sent {
                sequence, packet_id, ..
            } => {
                if let Some(progress) = self.outbound.get_mut(&sequence)
                    && let Progress::Waiting(waiting) = progress
                {
                    *progress = Progress::Sent(packet_id, waiting.clone());
                }
            }
            Change::Received {
                sequence, packet_id, ..
            } => {
                self.outbound.insert(sequence, Progress::Released(packet_id));
            }
            Change::Settled { sequence, .. } => {
                self.outbound.remove(&sequence);
            }
            Change::Held {
                packet_id, message, ..
            } => {
                self.held.insert(packet_id, message.cloned());
            }
            Change::Released { packet_id, .. } => {
                self.held.remove(&packet_id);
            }
            _ => {}
        }
    }
}
