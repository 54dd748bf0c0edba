//! Bytes in, packets out.

mod acknowledge;
mod connack;
mod connect;
mod disconnect;
mod fixed_header;
mod properties;
mod publish;
mod reader;
mod subscribe;
#[cfg(test)]
mod tests;

use bytes::{Buf, BytesMut};

use crate::property::Holder;
use crate::{DecodeError, Limits, Packet, ProtocolVersion, rule};
use fixed_header::{FixedHeader, Kind};
use reader::{Context, Reader};

/// Who sent the bytes: decides which packets, properties and reason codes are legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sender {
    /// The bytes come from a client; a server decodes them.
    Client,
    /// The bytes come from a server; a client decodes them.
    Server,
}

/// What [`Decoder::decode`] found at the front of the buffer.
// The packet is handed on at once; a box for every packet would cost more than the move.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// One packet; its bytes are no longer in the buffer.
    Packet(Packet),
    /// No whole packet yet. The buffer is as it was.
    Incomplete {
        /// How many more bytes are needed at least; never zero. Within the packet size of the
        /// [`Limits`], so it is safe to reserve.
        need: usize,
    },
}

/// Takes packets off a stream of bytes from one peer.
///
/// It judges each packet alone. What depends on what came before belongs to the connection
/// machine: a second CONNECT (MQTT-3.1.0-2), packet identifiers in use or unknown, topic aliases
/// above the maximum or without a topic, the receive maximum, whether an answer was asked for,
/// and a 3.1.1 CONNECT that wants to keep the session of an empty client identifier
/// (MQTT-3.1.3-8, answered with a CONNACK and so not an error of the codec).
#[derive(Clone, Debug)]
pub struct Decoder {
    sender: Sender,
    version: Option<ProtocolVersion>,
    limits: Limits,
}

impl Decoder {
    /// A decoder for what `sender` sends. Of a client, the first packet must be a CONNECT, which
    /// says the version; of a server, [`Self::set_version`] must say it first.
    #[must_use]
    pub const fn new(sender: Sender, limits: Limits) -> Self {
        Self {
            sender,
            version: None,
            limits,
        }
    }

    /// Says which version is spoken.
    pub const fn set_version(&mut self, version: ProtocolVersion) {
        self.version = Some(version);
    }

    /// The version that is spoken. Known as soon as a CONNECT said a supported one, even if the
    /// rest of that CONNECT was refused, so that the refusal can be sent in the right form.
    #[must_use]
    pub const fn version(&self) -> Option<ProtocolVersion> {
        self.version
    }

    /// Changes what the peer may make this decoder hold, from the next packet on.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes one packet off the front of `buffer`, or says how many more bytes are needed at
    /// least. Strings and payload are slices of the buffer, not copies.
    ///
    /// # Errors
    /// The peer sent what no conforming peer sends, or more than the limits allow. The connection
    /// must end; what the buffer then holds is of no use.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, DecodeError> {
        let context = Context {
            sender: self.sender,
            // Until a version is spoken, errors carry the numbers of the newer standard.
            version: self.version.unwrap_or(ProtocolVersion::V5),
            limits: self.limits,
        };
        let Some(header) = FixedHeader::read(buffer, self.version, &context)? else {
            let need = 2_usize.saturating_sub(buffer.len()).max(1);
            return Ok(Decoded::Incomplete { need });
        };
        let missing = header.packet_length().saturating_sub(buffer.len());
        if missing > 0 {
            return Ok(Decoded::Incomplete { need: missing });
        }
        let mut packet = buffer.split_to(header.packet_length());
        packet.advance(header.header_length);
        let reader = Reader::new(packet.freeze(), context);
        self.decode_body(&header, reader).map(Decoded::Packet)
    }

    fn decode_body(&mut self, header: &FixedHeader, reader: Reader) -> Result<Packet, DecodeError> {
        Ok(match header.kind {
            Kind::Connect => Packet::Connect(Box::new(self.decode_connect(reader)?)),
            Kind::ConnAck => Packet::ConnAck(Box::new(connack::decode(reader)?)),
            Kind::Publish => Packet::Publish(publish::decode(header.flags, reader)?),
            Kind::PubAck => Packet::PubAck(acknowledge::decode(reader, Holder::PubAck)?),
            Kind::PubRec => Packet::PubRec(acknowledge::decode(reader, Holder::PubRec)?),
            Kind::PubRel => Packet::PubRel(acknowledge::decode(reader, Holder::PubRel)?),
            Kind::PubComp => Packet::PubComp(acknowledge::decode(reader, Holder::PubComp)?),
            Kind::Subscribe => Packet::Subscribe(subscribe::subscribe(reader)?),
            Kind::SubAck => Packet::SubAck(subscribe::suback(reader)?),
            Kind::Unsubscribe => Packet::Unsubscribe(subscribe::unsubscribe(reader)?),
            Kind::UnsubAck => Packet::UnsubAck(subscribe::unsuback(reader)?),
            // The fixed header has said already that they have no body.
            Kind::PingReq => Packet::PingReq,
            Kind::PingResp => Packet::PingResp,
            Kind::Disconnect => Packet::Disconnect(disconnect::disconnect(reader)?),
            Kind::Auth => Packet::Auth(disconnect::auth(reader)?),
        })
    }

    fn decode_connect(&mut self, mut reader: Reader) -> Result<crate::Connect, DecodeError> {
        let version = match connect::protocol(&mut reader) {
            // A version was agreed long ago, so none is to be refused now.
            Err(error) if self.version.is_some() && error.reason == connect::UNSUPPORTED => {
                return Err(reader.broken(&rule::CONNECT_AGAIN));
            }
            other => other?,
        };
        self.version.get_or_insert(version);
        reader.context.version = version;
        connect::decode(reader)
    }
}
