//! SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK (sections 3.8 to 3.11).

use super::EncodeError;
use super::properties::{Explanation, subscription_identifier, user_properties};
use super::sink::{Encode, Sink, with_length};
use crate::{ReasonCode, SubAck, Subscribe, SubscribeFilter, UnsubAck, Unsubscribe};

pub(super) struct SubscribeBody<'a> {
    pub(super) packet: &'a Subscribe,
    pub(super) is_v5: bool,
}

impl Encode for SubscribeBody<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        let packet = self.packet;
        if packet.filters.is_empty() {
            sink.fault(EncodeError::NoEntries);
        }
        sink.two_byte_integer(packet.packet_id.get());
        if self.is_v5 {
            with_length(&SubscribeProperties(packet), sink);
        }
        for filter in &packet.filters {
            sink.field(filter.filter.as_bytes());
            sink.byte(if self.is_v5 {
                options(filter)
            } else {
                filter.qos.bits()
            });
        }
    }
}

/// The subscription options (5.0, section 3.8.3.1).
const fn options(filter: &SubscribeFilter) -> u8 {
    filter.qos.bits()
        | (filter.no_local as u8) << 2
        | (filter.retain_as_published as u8) << 3
        | (filter.retain_handling as u8) << 4
}

struct SubscribeProperties<'a>(&'a Subscribe);

impl Encode for SubscribeProperties<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        if let Some(identifier) = self.0.subscription_identifier {
            subscription_identifier(sink, identifier);
        }
        user_properties(sink, &self.0.user_properties);
    }
}

pub(super) struct UnsubscribeBody<'a> {
    pub(super) packet: &'a Unsubscribe,
    pub(super) is_v5: bool,
}

impl Encode for UnsubscribeBody<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        let packet = self.packet;
        if packet.filters.is_empty() {
            sink.fault(EncodeError::NoEntries);
        }
        sink.two_byte_integer(packet.packet_id.get());
        if self.is_v5 {
            let user_properties = &packet.user_properties;
            with_length(
                &Explanation {
                    reason_string: None,
                    user_properties,
                },
                sink,
            );
        }
        for filter in &packet.filters {
            sink.field(filter.as_bytes());
        }
    }
}

pub(super) struct SubAckBody<'a> {
    pub(super) packet: &'a SubAck,
    pub(super) is_v5: bool,
}

impl Encode for SubAckBody<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        let packet = self.packet;
        if packet.reasons.is_empty() {
            sink.fault(EncodeError::NoEntries);
        }
        sink.two_byte_integer(packet.packet_id.get());
        if self.is_v5 {
            let explanation = Explanation {
                reason_string: packet.reason_string.as_ref(),
                user_properties: &packet.user_properties,
            };
            with_length(&explanation, sink);
        }
        for reason in &packet.reasons {
            let is_said = self.is_v5 || reason.is_suback_return_code();
            sink.byte(if is_said {
                reason.byte()
            } else {
                ReasonCode::Unspecified.byte()
            });
        }
    }
}

pub(super) struct UnsubAckBody<'a> {
    pub(super) packet: &'a UnsubAck,
    pub(super) is_v5: bool,
}

impl Encode for UnsubAckBody<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        let packet = self.packet;
        sink.two_byte_integer(packet.packet_id.get());
        // In 3.1.1 the packet identifier is all that there is.
        if !self.is_v5 {
            return;
        }
        if packet.reasons.is_empty() {
            sink.fault(EncodeError::NoEntries);
        }
        let explanation = Explanation {
            reason_string: packet.reason_string.as_ref(),
            user_properties: &packet.user_properties,
        };
        with_length(&explanation, sink);
        for reason in &packet.reasons {
            sink.byte(reason.byte());
        }
    }
}
