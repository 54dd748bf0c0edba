//! CONNECT (section 3.1).

use super::properties::Block;
use super::publish::{check_payload, message_property};
use super::reader::Reader;
use crate::property::{Holder, Identifier};
use crate::{
    Connect, ConnectProperties, DecodeError, LastWill, Password, ProtocolVersion, PublishProperties, QoS,
    ReasonCode, rule,
};

/// What an error of [`protocol`] about the protocol itself says.
pub(super) const UNSUPPORTED: ReasonCode = ReasonCode::UnsupportedProtocolVersion;

const PROTOCOL_NAME: &[u8] = b"MQTT";

/// Reads the protocol name and version, on which the rest depends.
pub(super) fn protocol(reader: &mut Reader) -> Result<ProtocolVersion, DecodeError> {
    let name = reader.binary()?;
    if name != PROTOCOL_NAME {
        return Err(reader.broken(&rule::CONNECT_PROTOCOL_NAME));
    }
    match reader.byte()? {
        4 => Ok(ProtocolVersion::V311),
        5 => Ok(ProtocolVersion::V5),
        _ => Err(reader.broken(&rule::CONNECT_PROTOCOL_LEVEL)),
    }
}

/// The connect flags, after their rules.
#[derive(Clone, Copy)]
struct Flags {
    clean_start: bool,
    will: Option<(QoS, bool)>,
    username: bool,
    password: bool,
}

/// Reads what follows the protocol version.
pub(super) fn decode(mut reader: Reader) -> Result<Connect, DecodeError> {
    let flags = flags(&mut reader)?;
    let keep_alive = reader.two_byte_integer()?;
    let properties = properties(&mut reader)?;
    reader.require(&rule::CONNECT_CLIENT_ID_MISSING)?;
    let client_id = reader.string()?;
    let will = match flags.will {
        Some((qos, retain)) => Some(Box::new(will(&mut reader, qos, retain)?)),
        None => None,
    };
    let username = if flags.username {
        reader.require(&rule::CONNECT_USERNAME_MISSING)?;
        Some(reader.string()?)
    } else {
        None
    };
    let password = if flags.password {
        reader.require(&rule::CONNECT_PASSWORD_MISSING)?;
        Some(Password(reader.binary()?))
    } else {
        None
    };
    reader.finish()?;
    Ok(Connect {
        protocol_version: reader.context.version,
        clean_start: flags.clean_start,
        keep_alive,
        client_id,
        will,
        username,
        password,
        properties,
    })
}

fn flags(reader: &mut Reader) -> Result<Flags, DecodeError> {
    let byte = reader.byte()?;
    let is_set = |bit: u8| byte & bit != 0;
    if is_set(0x01) {
        return Err(reader.broken(&rule::CONNECT_RESERVED));
    }
    let will_qos = QoS::from_bits(byte >> 3);
    let will_retain = is_set(0x20);
    let will = if is_set(0x04) {
        let qos = will_qos.ok_or_else(|| reader.broken(&rule::CONNECT_WILL_QOS))?;
        Some((qos, will_retain))
    } else {
        if will_qos != Some(QoS::AtMostOnce) {
            return Err(reader.broken(&rule::CONNECT_WILL_QOS_WITHOUT_WILL));
        }
        if will_retain {
            return Err(reader.broken(&rule::CONNECT_WILL_RETAIN_WITHOUT_WILL));
        }
        None
    };
    let username = is_set(0x80);
    let password = is_set(0x40);
    // 5.0 allows a password alone (section 3.1.2.9).
    if password && !username && !reader.context.is_v5() {
        return Err(reader.broken(&rule::CONNECT_PASSWORD_WITHOUT_USERNAME));
    }
    Ok(Flags {
        clean_start: is_set(0x02),
        will,
        username,
        password,
    })
}

fn properties(reader: &mut Reader) -> Result<ConnectProperties, DecodeError> {
    let mut all = ConnectProperties::default();
    let mut block = Block::read(reader, Holder::Connect)?;
    while let Some(identifier) = block.next()? {
        match identifier {
            Identifier::SessionExpiryInterval => {
                all.session_expiry_interval = Some(block.four_byte_integer()?);
            }
            Identifier::ReceiveMaximum => {
                all.receive_maximum = Some(block.positive_two_byte_integer()?);
            }
            Identifier::MaximumPacketSize => {
                all.maximum_packet_size = Some(block.positive_four_byte_integer()?);
            }
            Identifier::TopicAliasMaximum => {
                all.topic_alias_maximum = Some(block.two_byte_integer()?);
            }
            Identifier::RequestResponseInformation => {
                all.request_response_information = Some(block.boolean()?);
            }
            Identifier::RequestProblemInformation => {
                all.request_problem_information = Some(block.boolean()?);
            }
            Identifier::UserProperty => block.user_property(&mut all.user_properties)?,
            Identifier::AuthenticationMethod => {
                all.authentication_method = Some(block.string()?);
            }
            Identifier::AuthenticationData => all.authentication_data = Some(block.binary()?),
            _ => return Err(block.not_allowed()),
        }
    }
    if all.authentication_data.is_some() && all.authentication_method.is_none() {
        return Err(block.broken(&rule::AUTHENTICATION_DATA_WITHOUT_METHOD));
    }
    Ok(all)
}

fn will(reader: &mut Reader, qos: QoS, retain: bool) -> Result<LastWill, DecodeError> {
    reader.require(&rule::CONNECT_WILL_MISSING)?;
    let mut delay_interval = 0;
    let mut properties = PublishProperties::default();
    let mut block = Block::read(reader, Holder::Will)?;
    while let Some(identifier) = block.next()? {
        match identifier {
            Identifier::WillDelayInterval => delay_interval = block.four_byte_integer()?,
            other => message_property(other, &mut block, &mut properties)?,
        }
    }
    reader.require(&rule::CONNECT_WILL_MISSING)?;
    let topic = reader.topic_name(&rule::TOPIC_WILDCARD)?;
    reader.require(&rule::CONNECT_WILL_MISSING)?;
    let payload = reader.binary()?;
    check_payload(&payload, &properties, &rule::WILL_PAYLOAD_NOT_UTF8).map_err(|rule| reader.broken(rule))?;
    Ok(LastWill {
        topic,
        payload,
        qos,
        retain,
        delay_interval,
        properties,
    })
}
