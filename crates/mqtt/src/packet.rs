//! The control packets as values.
//!
//! A packet that exists has passed every rule that can be checked on it alone: topic names and
//! filters are well formed, identifiers are not zero, flags are legal. What needs the state of a
//! connection (is this identifier in use?) belongs to the connection machine.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;

use crate::ReasonCode;

/// The two protocol versions that Motte speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProtocolVersion {
    /// MQTT 3.1.1, protocol level 4.
    V311,
    /// MQTT 5.0, protocol level 5.
    V5,
}

/// Quality of service, in ascending order of assurance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QoS {
    /// QoS 0.
    #[default]
    AtMostOnce = 0,
    /// QoS 1.
    AtLeastOnce = 1,
    /// QoS 2.
    ExactlyOnce = 2,
}

impl QoS {
    /// The QoS that the two lowest bits say; `None` for 3, which no packet may say.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits & 0b11 {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }

    /// The two bits that say it.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }
}

/// A packet identifier; zero is not one (MQTT-2.2.1-3).
pub type PacketId = NonZeroU16;

/// User properties in the order in which they were sent; a name may occur more than once.
pub type UserProperties = Vec<(ByteString, ByteString)>;

/// One MQTT control packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Client asks to connect.
    Connect(Box<Connect>),
    /// Server answers a connection request.
    ConnAck(Box<ConnAck>),
    /// Application message, either way.
    Publish(Publish),
    /// QoS 1 acknowledgement.
    PubAck(Acknowledgement),
    /// QoS 2, first answer: received.
    PubRec(Acknowledgement),
    /// QoS 2, second step: release.
    PubRel(Acknowledgement),
    /// QoS 2, last step: complete.
    PubComp(Acknowledgement),
    /// Client asks for subscriptions.
    Subscribe(Subscribe),
    /// Server answers a SUBSCRIBE, one code for each filter.
    SubAck(SubAck),
    /// Client ends subscriptions.
    Unsubscribe(Unsubscribe),
    /// Server answers an UNSUBSCRIBE.
    UnsubAck(UnsubAck),
    /// Keep alive request.
    PingReq,
    /// Keep alive answer.
    PingResp,
    /// One side ends the connection; in 3.1.1 only the client has it.
    Disconnect(Disconnect),
    /// Enhanced authentication, 5.0 only.
    Auth(Auth),
}

/// A password: its bytes never show in logs or error texts.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub Bytes);

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("****")
    }
}

/// CONNECT (section 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The version that the client asked for.
    pub protocol_version: ProtocolVersion,
    /// Clean Start (5.0) or Clean Session (3.1.1).
    pub clean_start: bool,
    /// Seconds; 0 turns the mechanism off.
    pub keep_alive: u16,
    /// May be empty: the server is asked to assign one.
    pub client_id: ByteString,
    /// The will message, if there is one.
    pub will: Option<Box<LastWill>>,
    /// The user name, if the flag is set.
    pub username: Option<ByteString>,
    /// The password, if the flag is set.
    pub password: Option<Password>,
    /// 5.0 properties; defaults for 3.1.1.
    pub properties: ConnectProperties,
}

/// Properties of CONNECT (5.0, section 3.1.2.11); `None` where the property is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectProperties {
    /// Seconds; `u32::MAX` means never.
    pub session_expiry_interval: Option<u32>,
    /// How many QoS 1 and 2 messages the client takes at once.
    pub receive_maximum: Option<NonZeroU16>,
    /// The largest packet, in bytes, that the client takes.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// The highest alias that the client takes from the server.
    pub topic_alias_maximum: Option<u16>,
    /// Whether the client wants Response Information.
    pub request_response_information: Option<bool>,
    /// Whether the server may send reason strings and user properties on any packet.
    pub request_problem_information: Option<bool>,
    /// Free name and value pairs.
    pub user_properties: UserProperties,
    /// Name of the enhanced authentication method.
    pub authentication_method: Option<ByteString>,
    /// Data of the enhanced authentication method.
    pub authentication_data: Option<Bytes>,
}

/// The will message of a CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWill {
    /// A well formed topic name.
    pub topic: ByteString,
    /// The message.
    pub payload: Bytes,
    /// Quality of service of the will.
    pub qos: QoS,
    /// Whether the will is to be retained.
    pub retain: bool,
    /// Seconds between the end of the connection and the will, 5.0 only.
    pub delay_interval: u32,
    /// Message properties of the will; no alias, no subscription identifiers.
    pub properties: PublishProperties,
}

/// CONNACK (section 3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server resumed a session.
    pub session_present: bool,
    /// Success, or why not. Encoded as the 3.1.1 return code where that is spoken.
    pub reason: ReasonCode,
    /// 5.0 properties.
    pub properties: ConnAckProperties,
}

/// Properties of CONNACK (5.0, section 3.2.2.3); `None` where the property is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnAckProperties {
    /// The session expiry that the server uses, if not the one asked for; seconds.
    pub session_expiry_interval: Option<u32>,
    /// How many QoS 1 and 2 messages the server takes at once.
    pub receive_maximum: Option<NonZeroU16>,
    /// The highest QoS that the server takes; absent means 2. Never [`QoS::ExactlyOnce`].
    pub maximum_qos: Option<QoS>,
    /// Whether retained messages are available.
    pub retain_available: Option<bool>,
    /// The largest packet, in bytes, that the server takes.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// The client id that the server chose.
    pub assigned_client_identifier: Option<ByteString>,
    /// The highest alias that the server takes.
    pub topic_alias_maximum: Option<u16>,
    /// Text for a person.
    pub reason_string: Option<ByteString>,
    /// Free name and value pairs.
    pub user_properties: UserProperties,
    /// Whether wildcard subscriptions are available.
    pub wildcard_subscription_available: Option<bool>,
    /// Whether subscription identifiers are available.
    pub subscription_identifiers_available: Option<bool>,
    /// Whether shared subscriptions are available.
    pub shared_subscription_available: Option<bool>,
    /// Keep alive, in seconds, that the client must use instead of its own.
    pub server_keep_alive: Option<u16>,
    /// Basis for response topics.
    pub response_information: Option<ByteString>,
    /// Another server to use.
    pub server_reference: Option<ByteString>,
    /// Name of the enhanced authentication method.
    pub authentication_method: Option<ByteString>,
    /// Data of the enhanced authentication method.
    pub authentication_data: Option<Bytes>,
}

/// PUBLISH (section 3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Whether this is a re-delivery.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// Whether the message is to be retained, or was.
    pub retain: bool,
    /// A well formed topic name; empty only where a 5.0 topic alias stands for it.
    pub topic: ByteString,
    /// Present exactly where `qos` is 1 or 2.
    pub packet_id: Option<PacketId>,
    /// The message.
    pub payload: Bytes,
    /// 5.0 properties.
    pub properties: PublishProperties,
}

/// Properties of PUBLISH and of a will (5.0, section 3.3.2.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishProperties {
    /// The payload is UTF-8 text; checked by the codec (MQTT-3.3.2-4 leaves it to the receiver).
    pub payload_is_utf8: Option<bool>,
    /// Seconds until the message is no longer of use.
    pub message_expiry_interval: Option<u32>,
    /// A number that stands for the topic.
    pub topic_alias: Option<NonZeroU16>,
    /// Where an answer is to be sent; a well formed topic name.
    pub response_topic: Option<ByteString>,
    /// What tells the requester which request an answer belongs to.
    pub correlation_data: Option<Bytes>,
    /// Free name and value pairs.
    pub user_properties: UserProperties,
    /// Server to client only: the subscriptions that matched.
    pub subscription_identifiers: Vec<NonZeroU32>,
    /// What kind of content this is.
    pub content_type: Option<ByteString>,
}

/// PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7), which share one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Which message.
    pub packet_id: PacketId,
    /// Success or why not; always success in 3.1.1.
    pub reason: ReasonCode,
    /// Text for a person, 5.0 only.
    pub reason_string: Option<ByteString>,
    /// Free name and value pairs, 5.0 only.
    pub user_properties: UserProperties,
}

impl Acknowledgement {
    /// An acknowledgement that carries nothing but its reason.
    #[must_use]
    pub const fn new(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self {
            packet_id,
            reason,
            reason_string: None,
            user_properties: Vec::new(),
        }
    }
}

/// When retained messages are sent for a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RetainHandling {
    /// At every SUBSCRIBE.
    #[default]
    Send = 0,
    /// Only if the subscription did not exist.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

/// SUBSCRIBE (section 3.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Which request.
    pub packet_id: PacketId,
    /// At least one.
    pub filters: Vec<SubscribeFilter>,
    /// 5.0 only.
    pub subscription_identifier: Option<NonZeroU32>,
    /// 5.0 only.
    pub user_properties: UserProperties,
}

/// One filter of a SUBSCRIBE with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeFilter {
    /// A well formed topic filter, possibly a shared one (`$share/…`).
    pub filter: ByteString,
    /// The highest QoS that the client wants.
    pub qos: QoS,
    /// Do not send the client its own messages; 5.0 only.
    pub no_local: bool,
    /// Keep the RETAIN flag as published; 5.0 only.
    pub retain_as_published: bool,
    /// 5.0 only.
    pub retain_handling: RetainHandling,
}

/// SUBACK (section 3.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck {
    /// Which request.
    pub packet_id: PacketId,
    /// One for each filter, in order. Encoded as 0, 1, 2 or 0x80 in 3.1.1.
    pub reasons: Vec<ReasonCode>,
    /// Text for a person, 5.0 only.
    pub reason_string: Option<ByteString>,
    /// 5.0 only.
    pub user_properties: UserProperties,
}

/// UNSUBSCRIBE (section 3.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Which request.
    pub packet_id: PacketId,
    /// At least one well formed topic filter.
    pub filters: Vec<ByteString>,
    /// 5.0 only.
    pub user_properties: UserProperties,
}

/// UNSUBACK (section 3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubAck {
    /// Which request.
    pub packet_id: PacketId,
    /// One for each filter, in order; not sent in 3.1.1.
    pub reasons: Vec<ReasonCode>,
    /// Text for a person, 5.0 only.
    pub reason_string: Option<ByteString>,
    /// 5.0 only.
    pub user_properties: UserProperties,
}

/// DISCONNECT (section 3.14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// Why; always normal in 3.1.1.
    pub reason: ReasonCode,
    /// Client to server only; seconds.
    pub session_expiry_interval: Option<u32>,
    /// Text for a person.
    pub reason_string: Option<ByteString>,
    /// Free name and value pairs.
    pub user_properties: UserProperties,
    /// Another server to use; server to client only.
    pub server_reference: Option<ByteString>,
}

impl Disconnect {
    /// A DISCONNECT that carries nothing but its reason.
    #[must_use]
    pub const fn new(reason: ReasonCode) -> Self {
        Self {
            reason,
            session_expiry_interval: None,
            reason_string: None,
            user_properties: Vec::new(),
            server_reference: None,
        }
    }
}

/// AUTH (5.0, section 3.15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Success, continue or re-authenticate.
    pub reason: ReasonCode,
    /// Name of the method.
    pub authentication_method: Option<ByteString>,
    /// Data of the method.
    pub authentication_data: Option<Bytes>,
    /// Text for a person.
    pub reason_string: Option<ByteString>,
    /// Free name and value pairs.
    pub user_properties: UserProperties,
}
