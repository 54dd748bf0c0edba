//! PUBLISH (section 3.3) and the message properties that it shares with a will.

use bytes::Bytes;
use bytestring::ByteString;

use super::Sender;
use super::fixed_header::publish_qos;
use super::properties::Block;
use super::reader::Reader;
use crate::property::{Holder, Identifier};
use crate::rule::{self, Rule};
use crate::{DecodeError, Publish, PublishProperties, QoS, topic};

pub(super) fn decode(flags: u8, mut reader: Reader) -> Result<Publish, DecodeError> {
    let qos = publish_qos(flags).ok_or_else(|| reader.broken(&rule::PUBLISH_QOS))?;
    reader.require(&rule::PUBLISH_TOPIC_MISSING)?;
    let topic = reader.string()?;
    let packet_id = match qos {
        QoS::AtMostOnce => None,
        QoS::AtLeastOnce | QoS::ExactlyOnce => Some(reader.packet_id()?),
    };
    let properties = if reader.context.is_v5() {
        properties(&mut reader)?
    } else {
        PublishProperties::default()
    };
    check_topic(&topic, &properties, &reader)?;
    let context = reader.context;
    let payload = reader.into_rest();
    check_payload(&payload, &properties, &rule::PAYLOAD_NOT_UTF8).map_err(|rule| context.broken(rule))?;
    Ok(Publish {
        dup: flags & 0b1000 != 0,
        qos,
        retain: flags & 0b0001 != 0,
        topic,
        packet_id,
        payload,
        properties,
    })
}

fn check_topic(
    name: &ByteString,
    properties: &PublishProperties,
    reader: &Reader,
) -> Result<(), DecodeError> {
    if name.is_empty() {
        return match properties.topic_alias {
            Some(_) => Ok(()),
            None => Err(reader.broken(&rule::PUBLISH_NO_TOPIC_NO_ALIAS)),
        };
    }
    topic::name_rule(name, &reader.context.limits, &rule::PUBLISH_TOPIC_WILDCARD)
        .map_err(|rule| reader.broken(rule))
}

fn properties(reader: &mut Reader) -> Result<PublishProperties, DecodeError> {
    let mut properties = PublishProperties::default();
    let mut block = Block::read(reader, Holder::Publish)?;
    while let Some(identifier) = block.next()? {
        match identifier {
            Identifier::TopicAlias => properties.topic_alias = Some(block.topic_alias()?),
            Identifier::SubscriptionIdentifier => {
                if block.context().sender == Sender::Client {
                    return Err(block.broken(&rule::SUBSCRIPTION_ID_FROM_CLIENT));
                }
                properties
                    .subscription_identifiers
                    .push(block.subscription_identifier()?);
            }
            other => message_property(other, &mut block, &mut properties)?,
        }
    }
    Ok(properties)
}

/// Reads a property that describes a message, be it published or a will.
pub(super) fn message_property(
    identifier: Identifier,
    block: &mut Block,
    properties: &mut PublishProperties,
) -> Result<(), DecodeError> {
    match identifier {
        Identifier::PayloadFormatIndicator => properties.payload_is_utf8 = Some(block.boolean()?),
        Identifier::MessageExpiryInterval => {
            properties.message_expiry_interval = Some(block.four_byte_integer()?);
        }
        Identifier::ResponseTopic => properties.response_topic = Some(block.response_topic()?),
        Identifier::CorrelationData => properties.correlation_data = Some(block.binary()?),
        Identifier::UserProperty => block.user_property(&mut properties.user_properties)?,
        Identifier::ContentType => properties.content_type = Some(block.string()?),
        _ => return Err(block.not_allowed()),
    }
    Ok(())
}

/// Holds a payload against its payload format indicator; `broken` is the rule of its packet.
pub(super) fn check_payload(
    payload: &Bytes,
    properties: &PublishProperties,
    broken: &'static Rule,
) -> Result<(), &'static Rule> {
    let says_utf8 = properties.payload_is_utf8 == Some(true);
    if says_utf8 && std::str::from_utf8(payload).is_err() {
        Err(broken)
    } else {
        Ok(())
    }
}
