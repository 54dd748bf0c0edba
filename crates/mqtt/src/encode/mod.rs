//! Packets in, bytes out.

mod acknowledge;
mod connect;
mod properties;
mod publish;
mod sink;
mod subscribe;
#[cfg(test)]
mod tests;

use bytes::BytesMut;

use crate::{Packet, ProtocolVersion};
use connect::{ConnAckBody, ConnectBody};
pub use publish::{PublishParts, encode_publish, encoded_publish_length};
use sink::{Encode, LARGEST_VARIABLE_BYTE_INTEGER, Sink, variable_byte_integer_length};

/// Why a packet can not be said on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The wire has two bytes for the length of a string or of binary data.
    #[error("a string or binary field has more than 65,535 bytes; shorten it")]
    FieldTooLong,
    /// The wire has four bytes of seven bits for the length of a packet, of its properties and for
    /// a subscription identifier.
    #[error("the packet or a subscription identifier is above 268,435,455; send less")]
    TooLarge,
    /// The version has no such packet.
    #[error("AUTH does not exist in MQTT 3.1.1; end the connection instead")]
    NotInVersion,
    /// A PUBLISH has a packet identifier exactly where its QoS is 1 or 2.
    #[error("the packet identifier of PUBLISH does not fit its QoS; give one for QoS 1 and 2 only")]
    PacketIdentifier,
    /// A PUBLISH without a topic needs an alias, which 3.1.1 does not have.
    #[error("PUBLISH has neither a topic nor a topic alias; give one of them")]
    NoTopic,
    /// A 3.1.1 CONNECT can not carry a password alone.
    #[error("MQTT 3.1.1 has no password without a user name; give both")]
    PasswordWithoutUserName,
    /// A packet that lists filters or reason codes lists at least one.
    #[error("the list of filters or reason codes is empty; give at least one")]
    NoEntries,
}

/// Appends `packet` to `out` in the form of `version`. A CONNECT says its version itself.
///
/// What 3.1.1 can not say is left out: properties, reason codes of acknowledgements and of
/// DISCONNECT, subscription options but the QoS. A CONNACK says the nearest return code, a SUBACK
/// says 0x80 for every failure. Whether the packet is legal at this moment, and from this side, is
/// the caller's business: 3.1.1 has no DISCONNECT from a server.
///
/// # Errors
/// The packet can not be said on the wire; `out` is as it was.
pub fn encode(packet: &Packet, version: ProtocolVersion, out: &mut BytesMut) -> Result<(), EncodeError> {
    let body = match Body::of(packet, version)? {
        Body::Publish(parts) => return encode_publish(&parts, version, out),
        body => body,
    };
    let count = body.count();
    if let Some(fault) = count.fault {
        return Err(fault);
    }
    if count.length > LARGEST_VARIABLE_BYTE_INTEGER {
        return Err(EncodeError::TooLarge);
    }
    out.reserve(fixed_header_length(count.length).saturating_add(count.length));
    out.byte(first_byte(packet));
    out.variable_byte_integer(count.length);
    body.write(out);
    Ok(())
}

/// How many bytes [`encode`] appends. For a packet that it refuses, what it would have appended.
#[must_use]
pub fn encoded_length(packet: &Packet, version: ProtocolVersion) -> usize {
    match Body::of(packet, version) {
        Ok(Body::Publish(parts)) => encoded_publish_length(&parts, version),
        Ok(body) => {
            let length = body.count().length;
            fixed_header_length(length).saturating_add(length)
        }
        Err(_) => 0,
    }
}

/// Bytes of the fixed header before a body of `remaining_length` bytes.
const fn fixed_header_length(remaining_length: usize) -> usize {
    1 + variable_byte_integer_length(remaining_length)
}

/// Type and flags of every packet but PUBLISH, whose flags vary.
const fn first_byte(packet: &Packet) -> u8 {
    match packet {
        Packet::Connect(_) => 0x10,
        Packet::ConnAck(_) => 0x20,
        Packet::Publish(_) => 0x30,
        Packet::PubAck(_) => 0x40,
        Packet::PubRec(_) => 0x50,
        Packet::PubRel(_) => 0x62,
        Packet::PubComp(_) => 0x70,
        Packet::Subscribe(_) => 0x82,
        Packet::SubAck(_) => 0x90,
        Packet::Unsubscribe(_) => 0xA2,
        Packet::UnsubAck(_) => 0xB0,
        Packet::PingReq => 0xC0,
        Packet::PingResp => 0xD0,
        Packet::Disconnect(_) => 0xE0,
        Packet::Auth(_) => 0xF0,
    }
}

/// What follows the fixed header.
enum Body<'a> {
    Connect(ConnectBody<'a>),
    ConnAck(ConnAckBody<'a>),
    Publish(PublishParts<'a>),
    Acknowledge(acknowledge::AcknowledgeBody<'a>),
    Subscribe(subscribe::SubscribeBody<'a>),
    SubAck(subscribe::SubAckBody<'a>),
    Unsubscribe(subscribe::UnsubscribeBody<'a>),
    UnsubAck(subscribe::UnsubAckBody<'a>),
    Disconnect(acknowledge::DisconnectBody<'a>),
    Auth(acknowledge::AuthBody<'a>),
    Empty,
}

impl<'a> Body<'a> {
    fn of(packet: &'a Packet, version: ProtocolVersion) -> Result<Self, EncodeError> {
        let is_v5 = version == ProtocolVersion::V5;
        Ok(match packet {
            Packet::Connect(packet) => Self::Connect(ConnectBody(packet)),
            Packet::ConnAck(packet) => Self::ConnAck(ConnAckBody { packet, is_v5 }),
            Packet::Publish(packet) => Self::Publish(PublishParts::from(packet)),
            Packet::PubAck(packet)
            | Packet::PubRec(packet)
            | Packet::PubRel(packet)
            | Packet::PubComp(packet) => Self::Acknowledge(acknowledge::AcknowledgeBody { packet, is_v5 }),
            Packet::Subscribe(packet) => Self::Subscribe(subscribe::SubscribeBody { packet, is_v5 }),
            Packet::SubAck(packet) => Self::SubAck(subscribe::SubAckBody { packet, is_v5 }),
            Packet::Unsubscribe(packet) => Self::Unsubscribe(subscribe::UnsubscribeBody { packet, is_v5 }),
            Packet::UnsubAck(packet) => Self::UnsubAck(subscribe::UnsubAckBody { packet, is_v5 }),
            Packet::Disconnect(_) if !is_v5 => Self::Empty,
            Packet::Disconnect(packet) => Self::Disconnect(acknowledge::DisconnectBody(packet)),
            Packet::Auth(_) if !is_v5 => return Err(EncodeError::NotInVersion),
            Packet::Auth(packet) => Self::Auth(acknowledge::AuthBody(packet)),
            Packet::PingReq | Packet::PingResp => Self::Empty,
        })
    }
}

impl Encode for Body<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        match self {
            Self::Connect(body) => body.write(sink),
            Self::ConnAck(body) => body.write(sink),
            Self::Acknowledge(body) => body.write(sink),
            Self::Subscribe(body) => body.write(sink),
            Self::SubAck(body) => body.write(sink),
            Self::Unsubscribe(body) => body.write(sink),
            Self::UnsubAck(body) => body.write(sink),
            Self::Disconnect(body) => body.write(sink),
            Self::Auth(body) => body.write(sink),
            // A PUBLISH goes its own, faster way.
            Self::Publish(_) | Self::Empty => {}
        }
    }
}
