//! What outlives a connection: subscriptions, messages under way, the will.

mod inflight;
mod outbound;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use motte_guard::{Principal, WillRequest};
use motte_mqtt::{LastWill, PacketId, QoS};
use motte_policy::Rights;

pub(crate) use inflight::{Acknowledged, Inflight, Stage};
pub use outbound::Waiting;
pub(crate) use outbound::{Copy, Outbound, QueueLimits, Taken};

use crate::message::Message;
use crate::names::{ConnectionId, SessionId, SessionName};
use crate::topics::subscriptions::Subscriber;

/// Session expiry that stands for "never" on the wire.
pub(crate) const EXPIRY_NEVER: u32 = u32::MAX;

/// A subscription's options as the client gave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionOptions {
    /// What the client asked for, before the policy's maximum.
    pub requested_qos: QoS,
    /// The lower of what was asked for and what the policy grants.
    pub granted_qos: QoS,
    /// Whether what the session itself publishes is left out.
    pub no_local: bool,
    /// Whether RETAIN goes out as it came in.
    pub retain_as_published: bool,
    /// Travels with each message that the subscription matches.
    pub identifier: Option<NonZeroU32>,
}

impl SubscriptionOptions {
    pub(crate) fn subscriber(&self, session: SessionId) -> Subscriber {
        Subscriber {
            session,
            qos: self.granted_qos,
            no_local: self.no_local,
            retain_as_published: self.retain_as_published,
            identifier: self.identifier,
        }
    }
}

/// A will that has been permitted and waits for its connection to end.
#[derive(Clone, Debug)]
pub(crate) struct Will {
    pub(crate) content: Box<LastWill>,
    pub(crate) sender: Arc<Principal>,
    /// When it is due, once the connection has ended.
    pub(crate) due: Option<Duration>,
}

/// What the guard is asked about a will, at CONNECT, when the policy changes and when it is due.
pub(crate) fn will_request(content: &LastWill) -> WillRequest<'_> {
    WillRequest {
        topic: &content.topic,
        qos: content.qos,
        retain: content.retain,
        payload_len: content.payload.len(),
        response_topic: content.properties.response_topic.as_deref(),
    }
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) name: Arc<SessionName>,
    /// The identity as of the last CONNECT.
    pub(crate) principal: Arc<Principal>,
    /// Rights under the policy of this moment.
    pub(crate) rights: Arc<Rights>,
    pub(crate) connection: Option<ConnectionId>,
    /// QoS 1 and 2 messages that the connection may have unacknowledged.
    pub(crate) window: usize,
    /// Seconds that the session outlives its connection.
    pub(crate) expiry: u32,
    /// Whether the store knows it: it outlives its connection.
    pub(crate) is_durable: bool,
    /// When a session without connection ends.
    pub(crate) ends_at: Option<Duration>,
    pub(crate) subscriptions: BTreeMap<ByteString, SubscriptionOptions>,
    pub(crate) outbound: Outbound,
    /// QoS 2 messages of the client that wait for PUBREL; `None` where the message was refused and a
    /// 3.1.1 client cannot be told.
    pub(crate) held: BTreeMap<PacketId, Option<Arc<Message>>>,
    pub(crate) will: Option<Will>,
}

impl Session {
    /// How much may wait, from the role.
    pub(crate) fn queue_limits(&self) -> QueueLimits {
        let limits = self.rights.limits();
        QueueLimits {
            messages: limits.queue_messages as usize,
            bytes: limits.queue_bytes,
        }
    }

    pub(crate) fn new(name: Arc<SessionName>, principal: Arc<Principal>, rights: Arc<Rights>) -> Self {
        Self {
            name,
            principal,
            rights,
            connection: None,
            window: 0,
            expiry: 0,
            is_durable: false,
            ends_at: None,
            subscriptions: BTreeMap::new(),
            outbound: Outbound::default(),
            held: BTreeMap::new(),
            will: None,
        }
    }
}
