//! What can be asked of the guard, and what a permit then stands for.

use std::sync::Arc;

use motte_mqtt::QoS;
use motte_policy::Rights;

use crate::Principal;

/// The peer of a finished TLS handshake is this principal.
#[derive(Debug)]
#[non_exhaustive]
pub struct Authenticated {
    /// Who it is.
    pub principal: Arc<Principal>,
}

/// What CONNECT says about the client itself.
#[derive(Clone, Copy, Debug)]
pub struct ConnectRequest<'a> {
    /// As sent; may be empty.
    pub client_id: &'a str,
    /// As sent, if the flag is set.
    pub username: Option<&'a str>,
    /// Whether a password was sent. Its bytes are not the guard's business.
    pub has_password: bool,
    /// Whether an enhanced authentication method was named.
    pub authentication_method: bool,
    /// Seconds; 0 asks for none.
    pub keep_alive: u16,
    /// What makes an assigned client id unique: letters and digits from the caller's secure random
    /// source (attack S5).
    pub assigned_suffix: &'a str,
}

/// The client may hold a connection.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connected {
    /// The client id that the session is known by, together with the identity.
    pub client_id: String,
    /// Whether the server chose it.
    pub assigned: bool,
    /// Seconds of keep alive that hold: never 0, never above the role's limit (attacks X1, X3).
    pub keep_alive: u16,
    /// What the identity may do under the policy of this moment.
    pub rights: Arc<Rights>,
}

/// A client wants a session besides those of its identity.
#[derive(Clone, Copy, Debug)]
pub struct SessionRequest {
    /// Sessions that the identity has now, connected or not.
    pub sessions_held: usize,
    /// Whether one of them is the one that is wanted.
    pub resumes: bool,
}

/// The identity may have the session.
#[derive(Debug)]
#[non_exhaustive]
pub struct SessionGranted {}

/// A will, at CONNECT and again at the moment it is due.
#[derive(Clone, Copy, Debug)]
pub struct WillRequest<'a> {
    /// A topic name.
    pub topic: &'a str,
    /// Quality of service of the will.
    pub qos: QoS,
    /// Whether the will is to be retained.
    pub retain: bool,
    /// Bytes of its payload.
    pub payload_len: usize,
    /// Where answers to the will are to go.
    pub response_topic: Option<&'a str>,
}

/// The will may be kept, or published now.
#[derive(Debug)]
#[non_exhaustive]
pub struct WillGranted {
    /// What has to travel with the message so that it can be judged again.
    pub provenance: Provenance,
}

/// A message to be published.
#[derive(Clone, Copy, Debug)]
pub struct PublishRequest<'a> {
    /// The topic name after any alias has been resolved (attack V6).
    pub topic: &'a str,
    /// Quality of service.
    pub qos: QoS,
    /// Whether it is to be retained.
    pub retain: bool,
    /// Bytes of the payload.
    pub payload_len: usize,
    /// Where answers are to go.
    pub response_topic: Option<&'a str>,
}

/// The message may be routed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Published {
    /// What has to travel with the message so that it can be judged again.
    pub provenance: Provenance,
}

/// How a message came to be permitted; kept with it for as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The generation of the policy that permitted it.
    pub generation: u64,
    /// As published.
    pub retain: bool,
    /// Whether it is a will.
    pub will: bool,
    /// As published.
    pub qos: u8,
}

/// One filter of a SUBSCRIBE.
#[derive(Clone, Copy, Debug)]
pub struct SubscribeRequest<'a> {
    /// As sent.
    pub filter: &'a str,
    /// What the client asked for.
    pub qos: QoS,
    /// Subscriptions that the session has already.
    pub existing: usize,
    /// Whether this one would be added, not replace one of them.
    pub is_new: bool,
    /// Nodes of the subscription index that the longest search would visit with this filter in it.
    pub search: usize,
    /// For a shared subscription, what it would be added to.
    pub group: Option<GroupRequest>,
}

/// The group that a shared subscription joins.
#[derive(Clone, Copy, Debug)]
pub struct GroupRequest {
    /// Its members now.
    pub members: usize,
    /// Shared subscriptions of the identity, in all its sessions.
    pub held: usize,
}

/// The subscription may be installed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Subscribed {
    /// The highest QoS, not above what was asked for.
    pub maximum_qos: QoS,
}

/// A permitted message is to be kept as the retained one of its topic.
#[derive(Clone, Copy, Debug)]
pub struct RetainRequest {
    /// Retained messages of the identity now.
    pub messages_held: usize,
    /// Bytes of those; where `replaces` is set, without the one that goes.
    pub bytes_held: u64,
    /// Bytes of the new payload; 0 removes the retained message.
    pub payload_len: usize,
    /// Whether a retained message of the same identity goes for it.
    pub replaces: bool,
}

/// The message may be kept.
#[derive(Debug)]
#[non_exhaustive]
pub struct Retained {}

/// The message may go out to this reader.
#[derive(Debug)]
#[non_exhaustive]
pub struct Delivery {}
