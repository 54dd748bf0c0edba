//! PUBLISH (section 3.3), the hot path.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::BytesMut;

use super::properties::{property, subscription_identifier, user_properties};
use super::sink::{Count, Encode, LARGEST_VARIABLE_BYTE_INTEGER, Sink, variable_byte_integer_length};
use super::{EncodeError, fixed_header_length};
use crate::property::Identifier;
use crate::{PacketId, ProtocolVersion, Publish, PublishProperties, QoS};

/// A PUBLISH in parts, so that one message can go to many readers without being copied into a
/// [`Publish`] for each.
#[derive(Clone, Copy, Debug)]
pub struct PublishParts<'a> {
    /// Whether this is a re-delivery.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// Whether the message is to be retained, or was.
    pub retain: bool,
    /// The topic name; empty only where the receiver knows the alias.
    pub topic: &'a str,
    /// Present exactly where `qos` is 1 or 2.
    pub packet_id: Option<PacketId>,
    /// A number that stands for the topic, 5.0 only.
    pub topic_alias: Option<NonZeroU16>,
    /// Seconds that are left until the message is no longer of use, 5.0 only.
    pub message_expiry_interval: Option<u32>,
    /// Server to client only: the subscriptions that matched, 5.0 only.
    pub subscription_identifiers: &'a [NonZeroU32],
    /// The properties that are the same for every reader, 5.0 only. Topic alias, message expiry
    /// interval and subscription identifiers are taken from the fields above, not from here.
    pub properties: &'a PublishProperties,
    /// The message.
    pub payload: &'a [u8],
}

impl<'a> From<&'a Publish> for PublishParts<'a> {
    fn from(publish: &'a Publish) -> Self {
        Self {
            dup: publish.dup,
            qos: publish.qos,
            retain: publish.retain,
            topic: &publish.topic,
            packet_id: publish.packet_id,
            topic_alias: publish.properties.topic_alias,
            message_expiry_interval: publish.properties.message_expiry_interval,
            subscription_identifiers: &publish.properties.subscription_identifiers,
            properties: &publish.properties,
            payload: &publish.payload,
        }
    }
}

impl PublishParts<'_> {
    const fn first_byte(&self) -> u8 {
        0x30 | (self.dup as u8) << 3 | self.qos.bits() << 1 | self.retain as u8
    }

    /// Bytes after the fixed header, given the length of the properties if there are any.
    fn remaining_length(&self, properties: Option<usize>) -> usize {
        let packet_id = if self.packet_id.is_some() { 2 } else { 0 };
        let properties = properties.map_or(0, |length| {
            variable_byte_integer_length(length).saturating_add(length)
        });
        2_usize
            .saturating_add(self.topic.len())
            .saturating_add(packet_id)
            .saturating_add(properties)
            .saturating_add(self.payload.len())
    }

    fn count_properties(&self, version: ProtocolVersion) -> Option<Count> {
        (version == ProtocolVersion::V5).then(|| self.count())
    }

    fn check(&self, version: ProtocolVersion) -> Result<(), EncodeError> {
        if self.packet_id.is_some() != (self.qos != QoS::AtMostOnce) {
            return Err(EncodeError::PacketIdentifier);
        }
        let has_alias = self.topic_alias.is_some() && version == ProtocolVersion::V5;
        if self.topic.is_empty() && !has_alias {
            return Err(EncodeError::NoTopic);
        }
        if self.topic.len() > usize::from(u16::MAX) {
            return Err(EncodeError::FieldTooLong);
        }
        Ok(())
    }
}

/// Writes the properties only.
impl Encode for PublishParts<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        property(sink, Identifier::TopicAlias, self.topic_alias.as_ref());
        message_properties(sink, self.properties, self.message_expiry_interval);
        for identifier in self.subscription_identifiers {
            subscription_identifier(sink, *identifier);
        }
    }
}

/// The properties that a will has too.
pub(super) fn message_properties<S: Sink>(
    sink: &mut S,
    properties: &PublishProperties,
    message_expiry_interval: Option<u32>,
) {
    let payload_is_utf8 = properties.payload_is_utf8.as_ref();
    property(sink, Identifier::PayloadFormatIndicator, payload_is_utf8);
    property(
        sink,
        Identifier::MessageExpiryInterval,
        message_expiry_interval.as_ref(),
    );
    property(
        sink,
        Identifier::ResponseTopic,
        properties.response_topic.as_ref(),
    );
    property(
        sink,
        Identifier::CorrelationData,
        properties.correlation_data.as_ref(),
    );
    property(sink, Identifier::ContentType, properties.content_type.as_ref());
    user_properties(sink, &properties.user_properties);
}

/// Appends a PUBLISH to `out` in the form of `version`; 3.1.1 leaves out every property.
///
/// # Errors
/// The packet can not be said on the wire; `out` is as it was.
pub fn encode_publish(
    parts: &PublishParts<'_>,
    version: ProtocolVersion,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    parts.check(version)?;
    let properties = parts.count_properties(version);
    if let Some(fault) = properties.as_ref().and_then(|count| count.fault) {
        return Err(fault);
    }
    let properties = properties.map(|count| count.length);
    let remaining_length = parts.remaining_length(properties);
    if remaining_length > LARGEST_VARIABLE_BYTE_INTEGER {
        return Err(EncodeError::TooLarge);
    }
    out.reserve(fixed_header_length(remaining_length) + remaining_length);
    out.byte(parts.first_byte());
    out.variable_byte_integer(remaining_length);
    out.field(parts.topic.as_bytes());
    if let Some(packet_id) = parts.packet_id {
        out.two_byte_integer(packet_id.get());
    }
    if let Some(length) = properties {
        out.variable_byte_integer(length);
        parts.write(out);
    }
    out.bytes(parts.payload);
    Ok(())
}

/// How many bytes [`encode_publish`] appends: the whole packet, to be held against the Maximum
/// Packet Size of the receiver.
#[must_use]
pub fn encoded_publish_length(parts: &PublishParts<'_>, version: ProtocolVersion) -> usize {
    let properties = parts.count_properties(version).map(|count| count.length);
    let remaining_length = parts.remaining_length(properties);
    fixed_header_length(remaining_length).saturating_add(remaining_length)
}
