//! DISCONNECT (section 3.14) and AUTH (5.0, section 3.15).

use super::Sender;
use super::properties::Block;
use super::reader::Reader;
use crate::property::{Holder, Identifier};
use crate::{Auth, DecodeError, Disconnect, ReasonCode, rule};

pub(super) fn disconnect(mut reader: Reader) -> Result<Disconnect, DecodeError> {
    // Left out where it is a normal one; in 3.1.1 there is no other.
    let byte = if reader.is_empty() {
        ReasonCode::Success.byte()
    } else {
        reader.byte()?
    };
    let by_client = reader.context.sender == Sender::Client;
    let reason = ReasonCode::from_byte(byte)
        .filter(|reason| reason.is_legal_in_disconnect(by_client))
        .ok_or_else(|| reader.broken(&rule::DISCONNECT_REASON))?;
    let mut packet = Disconnect::new(reason);
    if reader.is_empty() {
        return Ok(packet);
    }
    let mut block = Block::read(&mut reader, Holder::Disconnect)?;
    while let Some(identifier) = block.next()? {
        match identifier {
            Identifier::SessionExpiryInterval if !by_client => {
                return Err(block.broken(&rule::SESSION_EXPIRY_FROM_SERVER));
            }
            Identifier::ServerReference if by_client => {
                return Err(block.broken(&rule::SERVER_REFERENCE_FROM_CLIENT));
            }
            Identifier::SessionExpiryInterval => {
                packet.session_expiry_interval = Some(block.four_byte_integer()?);
            }
            Identifier::ReasonString => packet.reason_string = Some(block.string()?),
            Identifier::UserProperty => block.user_property(&mut packet.user_properties)?,
            Identifier::ServerReference => packet.server_reference = Some(block.string()?),
            _ => return Err(block.not_allowed()),
        }
    }
    reader.finish()?;
    Ok(packet)
}

pub(super) fn auth(mut reader: Reader) -> Result<Auth, DecodeError> {
    let is_short = reader.is_empty();
    let byte = if is_short {
        ReasonCode::Success.byte()
    } else {
        reader.byte()?
    };
    let by_client = reader.context.sender == Sender::Client;
    let reason = ReasonCode::from_byte(byte)
        .filter(|reason| reason.is_legal_in_auth(by_client))
        .ok_or_else(|| reader.broken(&rule::AUTH_REASON))?;
    let mut packet = Auth {
        reason,
        authentication_method: None,
        authentication_data: None,
        reason_string: None,
        user_properties: Vec::new(),
    };
    // Section 3.15.2.1: success without properties may leave out everything, the method too.
    if is_short {
        return Ok(packet);
    }
    let mut block = Block::read(&mut reader, Holder::Auth)?;
    while let Some(identifier) = block.next()? {
        match identifier {
            Identifier::AuthenticationMethod => {
                packet.authentication_method = Some(block.string()?);
            }
            Identifier::AuthenticationData => packet.authentication_data = Some(block.binary()?),
            Identifier::ReasonString => packet.reason_string = Some(block.string()?),
            Identifier::UserProperty => block.user_property(&mut packet.user_properties)?,
            _ => return Err(block.not_allowed()),
        }
    }
    if packet.authentication_method.is_none() {
        return Err(reader.broken(&rule::AUTH_METHOD_MISSING));
    }
    reader.finish()?;
    Ok(packet)
}
