//! CONNECT and CONNACK (sections 3.1 and 3.2).

use super::EncodeError;
use super::properties::property;
use super::publish::message_properties;
use super::sink::{Encode, Sink, with_length};
use crate::property::Identifier;
use crate::{ConnAck, Connect, LastWill, ProtocolVersion, ReasonCode};

pub(super) struct ConnectBody<'a>(pub(super) &'a Connect);

impl ConnectBody<'_> {
    fn flags(&self) -> u8 {
        let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let packet = self.0;
        let will = packet
            .will
            .as_ref()
            .map_or(0, |will| 0x04 | will.qos.bits() << 3 | bit(will.retain, 0x20));
        bit(packet.clean_start, 0x02)
            | will
            | bit(packet.password.is_some(), 0x40)
            | bit(packet.username.is_some(), 0x80)
    }
}

impl Encode for ConnectBody<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        let packet = self.0;
        let is_v5 = packet.protocol_version == ProtocolVersion::V5;
        if !is_v5 && packet.password.is_some() && packet.username.is_none() {
            sink.fault(EncodeError::PasswordWithoutUserName);
        }
        sink.field(b"MQTT");
        sink.byte(if is_v5 { 5 } else { 4 });
        sink.byte(self.flags());
        sink.two_byte_integer(packet.keep_alive);
        if is_v5 {
            with_length(&packet.properties, sink);
        }
        sink.field(packet.client_id.as_bytes());
        if let Some(will) = &packet.will {
            if is_v5 {
                with_length(&WillProperties(will), sink);
            }
            sink.field(will.topic.as_bytes());
            sink.field(&will.payload);
        }
        if let Some(username) = &packet.username {
            sink.field(username.as_bytes());
        }
        if let Some(password) = &packet.password {
            sink.field(&password.0);
        }
    }
}

struct WillProperties<'a>(&'a LastWill);

impl Encode for WillProperties<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        let delay = Some(self.0.delay_interval).filter(|seconds| *seconds != 0);
        property(sink, Identifier::WillDelayInterval, delay.as_ref());
        let properties = &self.0.properties;
        message_properties(sink, properties, properties.message_expiry_interval);
    }
}

pub(super) struct ConnAckBody<'a> {
    pub(super) packet: &'a ConnAck,
    pub(super) is_v5: bool,
}

impl Encode for ConnAckBody<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        let packet = self.packet;
        // A refused connection has no session (MQTT-3.2.2-6; 3.1.1: MQTT-3.2.2-4).
        let session_present = packet.session_present && packet.reason == ReasonCode::Success;
        sink.byte(u8::from(session_present));
        if self.is_v5 {
            sink.byte(packet.reason.byte());
            with_length(&packet.properties, sink);
        } else {
            sink.byte(packet.reason.connect_return_code());
        }
    }
}
