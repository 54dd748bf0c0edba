//! CONNACK (section 3.2).

use super::properties::Block;
use super::reader::Reader;
use crate::property::{Holder, Identifier};
use crate::{ConnAck, ConnAckProperties, DecodeError, QoS, ReasonCode, rule};

pub(super) fn decode(mut reader: Reader) -> Result<ConnAck, DecodeError> {
    let session_present = match reader.byte()? {
        0 => false,
        1 => true,
        _ => return Err(reader.broken(&rule::CONNACK_FLAGS)),
    };
    let byte = reader.byte()?;
    let reason = if reader.context.is_v5() {
        ReasonCode::from_byte(byte).filter(ReasonCode::is_legal_in_connack)
    } else {
        ReasonCode::from_connect_return_code(byte)
    };
    let reason = reason.ok_or_else(|| reader.broken(&rule::CONNACK_REASON))?;
    if session_present && reason != ReasonCode::Success {
        return Err(reader.broken(&rule::CONNACK_SESSION_PRESENT));
    }
    let properties = properties(&mut reader)?;
    reader.finish()?;
    Ok(ConnAck {
        session_present,
        reason,
        properties,
    })
}

fn properties(reader: &mut Reader) -> Result<ConnAckProperties, DecodeError> {
    let mut all = ConnAckProperties::default();
    let mut block = Block::read(reader, Holder::ConnAck)?;
    while let Some(identifier) = block.next()? {
        if !flow_property(identifier, &mut block, &mut all)? {
            text_property(identifier, &mut block, &mut all)?;
        }
    }
    Ok(all)
}

/// Reads a property that bounds or switches something; `false` if it is not one.
fn flow_property(
    identifier: Identifier,
    block: &mut Block,
    all: &mut ConnAckProperties,
) -> Result<bool, DecodeError> {
    match identifier {
        Identifier::SessionExpiryInterval => {
            all.session_expiry_interval = Some(block.four_byte_integer()?);
        }
        Identifier::ReceiveMaximum => {
            all.receive_maximum = Some(block.positive_two_byte_integer()?);
        }
        Identifier::MaximumQoS => {
            let at_least_once = block.boolean()?;
            all.maximum_qos = Some(if at_least_once {
                QoS::AtLeastOnce
            } else {
                QoS::AtMostOnce
            });
        }
        Identifier::RetainAvailable => all.retain_available = Some(block.boolean()?),
        Identifier::MaximumPacketSize => {
            all.maximum_packet_size = Some(block.positive_four_byte_integer()?);
        }
        Identifier::TopicAliasMaximum => {
            all.topic_alias_maximum = Some(block.two_byte_integer()?);
        }
        Identifier::WildcardSubscriptionAvailable => {
            all.wildcard_subscription_available = Some(block.boolean()?);
        }
        Identifier::SubscriptionIdentifiersAvailable => {
            all.subscription_identifiers_available = Some(block.boolean()?);
        }
        Identifier::SharedSubscriptionAvailable => {
            all.shared_subscription_available = Some(block.boolean()?);
        }
        Identifier::ServerKeepAlive => all.server_keep_alive = Some(block.two_byte_integer()?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// Reads a property that carries text or data.
fn text_property(
    identifier: Identifier,
    block: &mut Block,
    all: &mut ConnAckProperties,
) -> Result<(), DecodeError> {
    match identifier {
        Identifier::AssignedClientIdentifier => {
            all.assigned_client_identifier = Some(block.string()?);
        }
        Identifier::ReasonString => all.reason_string = Some(block.string()?),
        Identifier::UserProperty => block.user_property(&mut all.user_properties)?,
        Identifier::ResponseInformation => all.response_information = Some(block.string()?),
        Identifier::ServerReference => all.server_reference = Some(block.string()?),
        Identifier::AuthenticationMethod => all.authentication_method = Some(block.string()?),
        Identifier::AuthenticationData => all.authentication_data = Some(block.binary()?),
        _ => return Err(block.not_allowed()),
    }
    Ok(())
}
