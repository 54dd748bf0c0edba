//! An application message on its way, with what is needed to judge it again later.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use motte_guard::{Principal, Provenance};
use motte_mqtt::{PublishProperties, QoS};

/// Payloads up to this many bytes are copied out of the receive buffer; larger ones own most of it.
///
/// A message that waits would otherwise keep a whole buffer alive for a part of it, which multiplies
/// every memory limit. Receive buffers start anew at 64 KiB (`BytesMut` remembers no larger capacity),
/// so that whatever is larger than that has a buffer of about its own size. The copy of the largest
/// payload that a device may send by default takes about a microsecond.
const COPY_PAYLOAD_BYTES: usize = 64 * 1024;

/// A published message. Immutable and shared between all who receive it.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// The resolved topic name.
    pub topic: ByteString,
    /// The payload.
    pub payload: Bytes,
    /// Properties that travel with the message; without alias, expiry and subscription identifiers.
    pub properties: PublishProperties,
    /// As published.
    pub qos: QoS,
    /// As published.
    pub retain: bool,
    /// Whether it is a will.
    pub will: bool,
    /// Who published it; its right is judged again if the policy changes before delivery.
    pub sender: Arc<Principal>,
    /// The generation of the policy that permitted it.
    pub generation: u64,
    /// On the monotonic clock; `None` if it does not expire.
    pub expires_at: Option<Duration>,
    /// Whether the sender said so: then receivers are told what is left of the interval.
    pub declares_expiry: bool,
}

/// Everything about a new message that is not the sender's.
pub(crate) struct Content {
    pub(crate) topic: ByteString,
    pub(crate) payload: Bytes,
    pub(crate) properties: PublishProperties,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
}

impl Message {
    /// A message of `sender`, detached from the buffer that it came in. It waits for readers as long as
    /// its sender says, and never longer than `longest_wait` seconds.
    pub(crate) fn new(
        content: Content,
        will: bool,
        sender: Arc<Principal>,
        generation: u64,
        longest_wait: u32,
        now: Duration,
    ) -> Self {
        let Content {
            topic,
            payload,
            mut properties,
            qos,
            retain,
        } = content;
        let declared = properties.message_expiry_interval.take();
        // A retained message stays until it is replaced, unless the sender gave it a time.
        let wait = match declared {
            Some(seconds) => Some(seconds.min(longest_wait)),
            None if retain => None,
            None => Some(longest_wait),
        };
        let expires_at = wait.map(|seconds| now + Duration::from_secs(seconds.into()));
        detach_properties(&mut properties);
        let (topic, payload) = detach(&topic, payload);
        Self {
            topic,
            payload,
            properties,
            qos,
            retain,
            will,
            sender,
            generation,
            expires_at,
            declares_expiry: declared.is_some(),
        }
    }

    /// A value that the broker says about itself. The next one takes its place.
    pub(crate) fn of_system(topic: String, value: String, sender: Arc<Principal>, generation: u64) -> Self {
        Self {
            topic: topic.into(),
            payload: value.into(),
            properties: PublishProperties::default(),
            qos: QoS::AtMostOnce,
            retain: true,
            will: false,
            sender,
            generation,
            expires_at: None,
            declares_expiry: false,
        }
    }

    /// Bytes that the message holds, counted against queues and retained limits.
    #[must_use]
    pub fn size(&self) -> usize {
        let properties = &self.properties;
        let user: usize = properties
            .user_properties
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        self.topic.len()
            + self.payload.len()
            + user
            + properties.correlation_data.as_ref().map_or(0, Bytes::len)
            + properties.response_topic.as_ref().map_or(0, |topic| topic.len())
            + properties.content_type.as_ref().map_or(0, |kind| kind.len())
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self, now: Duration) -> bool {
        self.expires_at.is_some_and(|deadline| deadline <= now)
    }

    /// Seconds left for the Message Expiry Interval, rounded up; `None` if the sender set none.
    #[must_use]
    pub fn remaining_seconds(&self, now: Duration) -> Option<u32> {
        if !self.declares_expiry {
            return None;
        }
        let left = self.expires_at?.saturating_sub(now);
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        Some(u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// What the guard needs to judge the sender again.
    pub(crate) fn provenance(&self) -> Provenance {
        Provenance {
            generation: self.generation,
            retain: self.retain,
            will: self.will,
            qos: self.qos as u8,
        }
    }
}

/// Copies a small message into one allocation of its own.
fn detach(topic: &ByteString, payload: Bytes) -> (ByteString, Bytes) {
    if payload.len() > COPY_PAYLOAD_BYTES {
        return (detached_text(topic), payload);
    }
    let mut copy = BytesMut::with_capacity(topic.len() + payload.len());
    copy.extend_from_slice(topic.as_bytes());
    copy.extend_from_slice(&payload);
    let mut whole = copy.freeze();
    let head = whole.split_to(topic.len());
    // The bytes were a ByteString a moment ago, so this check cannot fail.
    (ByteString::try_from(head).unwrap_or_default(), whole)
}

/// The same for what travels with it, and drops what belongs to one hop only.
fn detach_properties(properties: &mut PublishProperties) {
    properties.topic_alias = None;
    properties.subscription_identifiers = Vec::new();
    properties.response_topic = properties.response_topic.as_ref().map(detached_text);
    properties.content_type = properties.content_type.as_ref().map(detached_text);
    properties.correlation_data = properties.correlation_data.as_deref().map(Bytes::copy_from_slice);
    for (name, value) in &mut properties.user_properties {
        *name = detached_text(name);
        *value = detached_text(value);
    }
}

fn detached_text(text: &ByteString) -> ByteString {
    ByteString::from(text.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use motte_policy::{Identity, Kind};

    use super::*;

    #[test]
    fn a_message_does_not_keep_the_buffer_alive_that_it_came_in() {
        let identity = Identity::new(Kind::Device, "a", BTreeMap::new()).unwrap();
        let sender = Arc::new(Principal {
            identity,
            serial: vec![1],
            not_after: 0,
        });
        for (length, copied) in [
            (1, true),
            (COPY_PAYLOAD_BYTES, true),
            (COPY_PAYLOAD_BYTES + 1, false),
        ] {
            let buffer = Bytes::from(vec![b'x'; 2 * COPY_PAYLOAD_BYTES]);
            let content = Content {
                topic: ByteString::try_from(buffer.slice(..10)).unwrap(),
                payload: buffer.slice(10..10 + length),
                properties: PublishProperties {
                    content_type: Some(ByteString::try_from(buffer.slice(..10)).unwrap()),
                    ..PublishProperties::default()
                },
                qos: QoS::AtLeastOnce,
                retain: false,
            };
            let message = Message::new(content, false, Arc::clone(&sender), 1, 60, Duration::ZERO);
            assert_eq!(buffer.is_unique(), copied, "payload of {length} bytes");
            assert_eq!(message.payload.len(), length);
        }
    }
}
