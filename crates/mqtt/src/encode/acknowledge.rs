//! PUBACK, PUBREC, PUBREL, PUBCOMP (sections 3.4 to 3.7), DISCONNECT and AUTH (3.14 and 3.15).

use super::properties::{Explanation, property, user_properties};
use super::sink::{Encode, Sink, with_length};
use crate::property::Identifier;
use crate::{Acknowledgement, Auth, Disconnect, ReasonCode};

pub(super) struct AcknowledgeBody<'a> {
    pub(super) packet: &'a Acknowledgement,
    pub(super) is_v5: bool,
}

impl Encode for AcknowledgeBody<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        let packet = self.packet;
        sink.two_byte_integer(packet.packet_id.get());
        if !self.is_v5 {
            return;
        }
        let explanation = Explanation {
            reason_string: packet.reason_string.as_ref(),
            user_properties: &packet.user_properties,
        };
        // 5.0 lets the sender leave out what says nothing.
        if explanation.is_empty() {
            if packet.reason != ReasonCode::Success {
                sink.byte(packet.reason.byte());
            }
            return;
        }
        sink.byte(packet.reason.byte());
        with_length(&explanation, sink);
    }
}

/// The body of a 5.0 DISCONNECT; in 3.1.1 there is none.
pub(super) struct DisconnectBody<'a>(pub(super) &'a Disconnect);

impl Encode for DisconnectBody<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        let packet = self.0;
        let has_properties = packet.session_expiry_interval.is_some()
            || packet.reason_string.is_some()
            || packet.server_reference.is_some()
            || !packet.user_properties.is_empty();
        if has_properties || packet.reason != ReasonCode::Success {
            sink.byte(packet.reason.byte());
        }
        if has_properties {
            with_length(&DisconnectProperties(packet), sink);
        }
    }
}

struct DisconnectProperties<'a>(&'a Disconnect);

impl Encode for DisconnectProperties<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        let packet = self.0;
        let session_expiry_interval = packet.session_expiry_interval.as_ref();
        property(sink, Identifier::SessionExpiryInterval, session_expiry_interval);
        property(sink, Identifier::ReasonString, packet.reason_string.as_ref());
        user_properties(sink, &packet.user_properties);
        property(
            sink,
            Identifier::ServerReference,
            packet.server_reference.as_ref(),
        );
    }
}

/// The body of an AUTH, which only 5.0 has.
pub(super) struct AuthBody<'a>(pub(super) &'a Auth);

impl Encode for AuthBody<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        let packet = self.0;
        let properties = AuthProperties(packet);
        // Section 3.15.2.1: only success without properties may be left out.
        if packet.reason == ReasonCode::Success && properties.count().length == 0 {
            return;
        }
        sink.byte(packet.reason.byte());
        with_length(&properties, sink);
    }
}

struct AuthProperties<'a>(&'a Auth);

impl Encode for AuthProperties<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        let packet = self.0;
        property(
            sink,
            Identifier::AuthenticationMethod,
            packet.authentication_method.as_ref(),
        );
        property(
            sink,
            Identifier::AuthenticationData,
            packet.authentication_data.as_ref(),
        );
        property(sink, Identifier::ReasonString, packet.reason_string.as_ref());
        user_properties(sink, &packet.user_properties);
    }
}
