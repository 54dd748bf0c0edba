//! The fixed header: everything that can be judged before the body has arrived.

use super::Sender;
use super::reader::{Context, LONGEST_VARIABLE_BYTE_INTEGER, variable_byte_integer};
use crate::rule::{self, Rule};
use crate::{DecodeError, ProtocolVersion, QoS};

/// The type of a packet, the high half of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Connect,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    PingReq,
    PingResp,
    Disconnect,
    Auth,
}

/// What the fixed header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct FixedHeader {
    pub(super) kind: Kind,
    /// The low half of the first byte; means something for PUBLISH only.
    pub(super) flags: u8,
    /// Bytes of the fixed header itself.
    pub(super) header_length: usize,
    /// Bytes that follow it.
    pub(super) remaining_length: usize,
}

impl FixedHeader {
    /// Reads the fixed header at the front of `bytes`; `None` if it has not arrived whole.
    pub(super) fn read(
        bytes: &[u8],
        spoken: Option<ProtocolVersion>,
        context: &Context,
    ) -> Result<Option<Self>, DecodeError> {
        let Some((first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let flags = first & 0x0F;
        let kind = Kind::read(first >> 4).map_err(|rule| context.broken(rule))?;
        kind.check_sender(spoken, context)?;
        kind.check_flags(flags).map_err(|rule| context.broken(rule))?;
        let length = variable_byte_integer(rest).map_err(|rule| context.broken(rule))?;
        let Some((remaining_length, length_bytes)) = length else {
            return Ok(None);
        };
        let header = Self {
            kind,
            flags,
            header_length: 1 + length_bytes,
            remaining_length: remaining_length as usize,
        };
        header.check_length(context)?;
        Ok(Some(header))
    }

    /// Bytes of the whole packet.
    pub(super) const fn packet_length(&self) -> usize {
        self.header_length + self.remaining_length
    }

    /// Judges the declared length, so that nobody waits for, or reserves, what will be refused.
    fn check_length(&self, context: &Context) -> Result<(), DecodeError> {
        if self.packet_length() > context.limits.packet_size as usize {
            return Err(context.broken(&rule::LIMIT_PACKET_SIZE));
        }
        let (least, most) = self.kind.lengths(context.version);
        if self.remaining_length < least || self.remaining_length > most {
            return Err(context.broken(&rule::LENGTH_WRONG));
        }
        Ok(())
    }
}

impl Kind {
    fn read(number: u8) -> Result<Self, &'static Rule> {
        Ok(match number {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return Err(&rule::TYPE_FORBIDDEN),
        })
    }

    /// Whether this side may send this type of packet, in this version and at this moment.
    fn check_sender(self, spoken: Option<ProtocolVersion>, context: &Context) -> Result<(), DecodeError> {
        let is_first = spoken.is_none();
        let is_v5 = context.is_v5();
        let broken = match (context.sender, self) {
            (Sender::Client, Self::Connect) => return Ok(()),
            (Sender::Client, _) if is_first => &rule::FIRST_PACKET_NOT_CONNECT,
            (Sender::Server, _) if is_first => &rule::PACKET_BEFORE_CONNECT,
            (_, Self::Auth) if !is_v5 => &rule::TYPE_RESERVED,
            (Sender::Client, kind) if kind.is_of_server_only() => &rule::TYPE_NOT_FROM_CLIENT,
            (Sender::Server, kind) if kind.is_of_client_only(is_v5) => &rule::TYPE_NOT_FROM_SERVER,
            _ => return Ok(()),
        };
        Err(context.broken(broken))
    }

    const fn is_of_server_only(self) -> bool {
        matches!(
            self,
            Self::ConnAck | Self::SubAck | Self::UnsubAck | Self::PingResp
        )
    }

    const fn is_of_client_only(self, is_v5: bool) -> bool {
        match self {
            Self::Connect | Self::Subscribe | Self::Unsubscribe | Self::PingReq => true,
            Self::Disconnect => !is_v5,
            _ => false,
        }
    }

    fn check_flags(self, flags: u8) -> Result<(), &'static Rule> {
        let (fixed, broken) = match self {
            Self::Publish => return check_publish_flags(flags),
            Self::PubRel => (0b0010, &rule::FLAGS_PUBREL),
            Self::Subscribe => (0b0010, &rule::FLAGS_SUBSCRIBE),
            Self::Unsubscribe => (0b0010, &rule::FLAGS_UNSUBSCRIBE),
            Self::Disconnect => (0, &rule::FLAGS_DISCONNECT),
            Self::Auth => (0, &rule::FLAGS_AUTH),
            _ => (0, &rule::FLAGS),
        };
        if flags == fixed { Ok(()) } else { Err(broken) }
    }

    /// The least and the most bytes that may follow the fixed header.
    const fn lengths(self, version: ProtocolVersion) -> (usize, usize) {
        /// Four bytes of seven bits each.
        const LONGEST: usize = (1 << (7 * LONGEST_VARIABLE_BYTE_INTEGER)) - 1;
        match (self, version) {
            (Self::PingReq | Self::PingResp, _) | (Self::Disconnect, ProtocolVersion::V311) => (0, 0),
            (
                Self::ConnAck | Self::PubAck | Self::PubRec | Self::PubRel | Self::PubComp | Self::UnsubAck,
                ProtocolVersion::V311,
            ) => (2, 2),
            (Self::PubAck | Self::PubRec | Self::PubRel | Self::PubComp, ProtocolVersion::V5) => (2, LONGEST),
            _ => (0, LONGEST),
        }
    }
}

fn check_publish_flags(flags: u8) -> Result<(), &'static Rule> {
    match publish_qos(flags) {
        None => Err(&rule::PUBLISH_QOS),
        Some(QoS::AtMostOnce) if flags & 0b1000 != 0 => Err(&rule::PUBLISH_DUP),
        Some(_) => Ok(()),
    }
}

/// The QoS bits of a PUBLISH.
pub(super) fn publish_qos(flags: u8) -> Option<QoS> {
    QoS::from_bits(flags >> 1)
}
