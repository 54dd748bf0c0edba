//! Writes blocks of properties (5.0, section 2.2.2).

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;

use super::sink::{Encode, Sink};
use crate::property::Identifier;
use crate::{ConnAckProperties, ConnectProperties, QoS, UserProperties};

/// A value that one property can have.
pub(super) trait Value {
    fn write<S: Sink>(&self, sink: &mut S);
}

impl Value for bool {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.byte(u8::from(*self));
    }
}

impl Value for u16 {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.two_byte_integer(*self);
    }
}

impl Value for u32 {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.four_byte_integer(*self);
    }
}

impl Value for NonZeroU16 {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.two_byte_integer(self.get());
    }
}

impl Value for NonZeroU32 {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.four_byte_integer(self.get());
    }
}

impl Value for ByteString {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.field(self.as_bytes());
    }
}

impl Value for Bytes {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.field(self);
    }
}

/// Writes a property, if there is one.
pub(super) fn property<S: Sink>(sink: &mut S, name: Identifier, value: Option<&impl Value>) {
    if let Some(value) = value {
        sink.byte(name.byte());
        value.write(sink);
    }
}

/// The one property whose value is a variable byte integer.
pub(super) fn subscription_identifier<S: Sink>(sink: &mut S, identifier: NonZeroU32) {
    sink.byte(Identifier::SubscriptionIdentifier.byte());
    sink.variable_byte_integer(identifier.get() as usize);
}

pub(super) fn user_properties<S: Sink>(sink: &mut S, all: &UserProperties) {
    for (name, value) in all {
        sink.byte(Identifier::UserProperty.byte());
        sink.field(name.as_bytes());
        sink.field(value.as_bytes());
    }
}

/// The properties of a packet that has no others.
pub(super) struct Explanation<'a> {
    pub(super) reason_string: Option<&'a ByteString>,
    pub(super) user_properties: &'a UserProperties,
}

impl Explanation<'_> {
    pub(super) const fn is_empty(&self) -> bool {
        self.reason_string.is_none() && self.user_properties.is_empty()
    }
}

impl Encode for Explanation<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        property(sink, Identifier::ReasonString, self.reason_string);
        user_properties(sink, self.user_properties);
    }
}

impl Encode for ConnectProperties {
    fn write<S: Sink>(&self, sink: &mut S) {
        use Identifier as Name;
        property(
            sink,
            Name::SessionExpiryInterval,
            self.session_expiry_interval.as_ref(),
        );
        property(sink, Name::ReceiveMaximum, self.receive_maximum.as_ref());
        property(sink, Name::MaximumPacketSize, self.maximum_packet_size.as_ref());
        property(sink, Name::TopicAliasMaximum, self.topic_alias_maximum.as_ref());
        let response_information = self.request_response_information.as_ref();
        property(sink, Name::RequestResponseInformation, response_information);
        let problem_information = self.request_problem_information.as_ref();
        property(sink, Name::RequestProblemInformation, problem_information);
        user_properties(sink, &self.user_properties);
        property(
            sink,
            Name::AuthenticationMethod,
            self.authentication_method.as_ref(),
        );
        property(sink, Name::AuthenticationData, self.authentication_data.as_ref());
    }
}

impl Encode for ConnAckProperties {
    fn write<S: Sink>(&self, sink: &mut S) {
        use Identifier as Name;
        property(
            sink,
            Name::SessionExpiryInterval,
            self.session_expiry_interval.as_ref(),
        );
        property(sink, Name::ReceiveMaximum, self.receive_maximum.as_ref());
        // A maximum of 2 is said by leaving it out (section 3.2.2.3.4).
        let at_least_once = match self.maximum_qos {
            Some(QoS::AtMostOnce) => Some(false),
            Some(QoS::AtLeastOnce) => Some(true),
            Some(QoS::ExactlyOnce) | None => None,
        };
        property(sink, Name::MaximumQoS, at_least_once.as_ref());
        property(sink, Name::RetainAvailable, self.retain_available.as_ref());
        property(sink, Name::MaximumPacketSize, self.maximum_packet_size.as_ref());
        let assigned = self.assigned_client_identifier.as_ref();
        property(sink, Name::AssignedClientIdentifier, assigned);
        property(sink, Name::TopicAliasMaximum, self.topic_alias_maximum.as_ref());
        property(sink, Name::ReasonString, self.reason_string.as_ref());
        user_properties(sink, &self.user_properties);
        let wildcards = self.wildcard_subscription_available.as_ref();
        property(sink, Name::WildcardSubscriptionAvailable, wildcards);
        let identifiers = self.subscription_identifiers_available.as_ref();
        property(sink, Name::SubscriptionIdentifiersAvailable, identifiers);
        let shared = self.shared_subscription_available.as_ref();
        property(sink, Name::SharedSubscriptionAvailable, shared);
        property(sink, Name::ServerKeepAlive, self.server_keep_alive.as_ref());
        property(
            sink,
            Name::ResponseInformation,
            self.response_information.as_ref(),
        );
        property(sink, Name::ServerReference, self.server_reference.as_ref());
        property(
            sink,
            Name::AuthenticationMethod,
            self.authentication_method.as_ref(),
        );
        property(sink, Name::AuthenticationData, self.authentication_data.as_ref());
    }
}
