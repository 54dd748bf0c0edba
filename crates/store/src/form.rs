//! Messages, wills and identities as bytes.
//!
//! Each is a checksum (CRC-32, big endian), a head in postcard's form and, where there is one, the payload
//! as it is. The format of the file (`schema`) says which fields the heads have.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use motte_broker::{Message, Waiting};
use motte_guard::Principal;
use motte_mqtt::{LastWill, PublishProperties, QoS};
use motte_policy::{Identity, Kind};
use serde::{Deserialize, Serialize};

const CHECKSUM_LENGTH: usize = 4;

/// Bytes that are not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Garbled(String);

#[derive(Serialize, Deserialize)]
struct PrincipalForm<'a> {
    is_service: bool,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    attributes: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(borrow)]
    serial: Cow<'a, [u8]>,
    not_after: u64,
}

#[derive(Serialize, Deserialize)]
struct PropertiesForm<'a> {
    payload_is_utf8: Option<bool>,
    #[serde(borrow)]
    response_topic: Option<Cow<'a, str>>,
    #[serde(borrow)]
    correlation_data: Option<Cow<'a, [u8]>>,
    #[serde(borrow)]
    user_properties: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    #[serde(borrow)]
    content_type: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
struct MessageForm<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    qos: u8,
    retain: bool,
    will: bool,
    generation: u64,
    declares_expiry: bool,
    #[serde(borrow)]
    sender: PrincipalForm<'a>,
    #[serde(borrow)]
    properties: PropertiesForm<'a>,
}

#[derive(Serialize, Deserialize)]
struct WillForm<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    qos: u8,
    retain: bool,
    delay_interval: u32,
    message_expiry_interval: Option<u32>,
    #[serde(borrow)]
    sender: PrincipalForm<'a>,
    #[serde(borrow)]
    properties: PropertiesForm<'a>,
}

/// What of a waiting message is not the message.
#[derive(Serialize, Deserialize)]
struct DeliveryForm<'a> {
    qos: u8,
    retain: bool,
    replay: bool,
    #[serde(borrow)]
    shared: Option<Cow<'a, str>>,
    identifiers: Vec<u32>,
}

/// Everything of a [`Waiting`] but its message and its place.
pub(crate) struct Delivery {
    qos: QoS,
    retain: bool,
    replay: bool,
    shared: Option<Arc<str>>,
    identifiers: Vec<NonZeroU32>,
}

impl Delivery {
    pub(crate) fn of(self, sequence: u64, message: Arc<Message>) -> Waiting {
        Waiting {
            sequence,
            message,
            qos: self.qos,
            retain: self.retain,
            identifiers: self.identifiers,
            shared: self.shared,
            replay: self.replay,
        }
    }
}

pub(crate) fn write_principal(principal: &Principal, out: &mut Vec<u8>) {
    seal(&principal_form(principal), &[], out);
}

pub(crate) fn read_principal(bytes: &[u8]) -> Result<Principal, Garbled> {
    let (form, _) = unseal::<PrincipalForm<'_>>(bytes)?;
    principal(form)
}

/// Without its expiry, which has a column of its own.
pub(crate) fn write_message(message: &Message, out: &mut Vec<u8>) {
    let form = MessageForm {
        topic: Cow::Borrowed(&message.topic),
        qos: message.qos as u8,
        retain: message.retain,
        will: message.will,
        generation: message.generation,
        declares_expiry: message.declares_expiry,
        sender: principal_form(&message.sender),
        properties: properties_form(&message.properties),
    };
    seal(&form, &message.payload, out);
}

pub(crate) fn read_message(bytes: &[u8], expires_at: Option<Duration>) -> Result<Arc<Message>, Garbled> {
    let (form, payload) = unseal::<MessageForm<'_>>(bytes)?;
    Ok(Arc::new(Message {
        topic: form.topic.into_owned().into(),
        payload: Bytes::copy_from_slice(payload),
        properties: properties(form.properties),
        qos: qos(form.qos)?,
        retain: form.retain,
        will: form.will,
        sender: Arc::new(principal(form.sender)?),
        generation: form.generation,
        expires_at,
        declares_expiry: form.declares_expiry,
    }))
}

pub(crate) fn write_will(sender: &Principal, will: &LastWill, out: &mut Vec<u8>) {
    let form = WillForm {
        topic: Cow::Borrowed(&will.topic),
        qos: will.qos as u8,
        retain: will.retain,
        delay_interval: will.delay_interval,
        message_expiry_interval: will.properties.message_expiry_interval,
        sender: principal_form(sender),
        properties: properties_form(&will.properties),
    };
    seal(&form, &will.payload, out);
}

pub(crate) fn read_will(bytes: &[u8]) -> Result<(Principal, LastWill), Garbled> {
    let (form, payload) = unseal::<WillForm<'_>>(bytes)?;
    let will = LastWill {
        topic: form.topic.into_owned().into(),
        payload: Bytes::copy_from_slice(payload),
        qos: qos(form.qos)?,
        retain: form.retain,
        delay_interval: form.delay_interval,
        properties: PublishProperties {
            message_expiry_interval: form.message_expiry_interval,
            ..properties(form.properties)
        },
    };
    Ok((principal(form.sender)?, will))
}

pub(crate) fn write_delivery(waiting: &Waiting, out: &mut Vec<u8>) {
    let form = DeliveryForm {
        qos: waiting.qos as u8,
        retain: waiting.retain,
        replay: waiting.replay,
        shared: waiting.shared.as_deref().map(Cow::Borrowed),
        identifiers: waiting.identifiers.iter().map(|one| one.get()).collect(),
    };
    seal(&form, &[], out);
}

pub(crate) fn read_delivery(bytes: &[u8]) -> Result<Delivery, Garbled> {
    let (form, _) = unseal::<DeliveryForm<'_>>(bytes)?;
    Ok(Delivery {
        qos: qos(form.qos)?,
        retain: form.retain,
        replay: form.replay,
        shared: form.shared.map(|shared| Arc::from(&*shared)),
        identifiers: form.identifiers.into_iter().filter_map(NonZeroU32::new).collect(),
    })
}

pub(crate) fn qos(level: u8) -> Result<QoS, Garbled> {
    match level {
        0 => Ok(QoS::AtMostOnce),
        1 => Ok(QoS::AtLeastOnce),
        2 => Ok(QoS::ExactlyOnce),
        other => Err(Garbled(format!("quality of service {other}"))),
    }
}

fn principal_form(principal: &Principal) -> PrincipalForm<'_> {
    let identity = &principal.identity;
    PrincipalForm {
        is_service: identity.kind == Kind::Service,
        id: Cow::Borrowed(&identity.id),
        attributes: identity
            .attributes
            .iter()
            .map(|(key, value)| (Cow::Borrowed(&**key), Cow::Borrowed(&**value)))
            .collect(),
        serial: Cow::Borrowed(&principal.serial),
        not_after: principal.not_after,
    }
}

/// An identity is judged again as if it had come from a certificate (law 9).
fn principal(form: PrincipalForm<'_>) -> Result<Principal, Garbled> {
    let kind = if form.is_service {
        Kind::Service
    } else {
        Kind::Device
    };
    let attributes = form
        .attributes
        .into_iter()
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    let identity =
        Identity::new(kind, form.id, attributes).map_err(|error| Garbled(format!("an identity: {error}")))?;
    Ok(Principal {
        identity,
        serial: form.serial.into_owned(),
        not_after: form.not_after,
    })
}

fn properties_form(properties: &PublishProperties) -> PropertiesForm<'_> {
    PropertiesForm {
        payload_is_utf8: properties.payload_is_utf8,
        response_topic: properties.response_topic.as_deref().map(Cow::Borrowed),
        correlation_data: properties.correlation_data.as_deref().map(Cow::Borrowed),
        user_properties: properties
            .user_properties
            .iter()
            .map(|(name, value)| (Cow::Borrowed(&**name), Cow::Borrowed(&**value)))
            .collect(),
        content_type: properties.content_type.as_deref().map(Cow::Borrowed),
    }
}

fn properties(form: PropertiesForm<'_>) -> PublishProperties {
    let text = |text: Cow<'_, str>| ByteString::from(text.into_owned());
    PublishProperties {
        payload_is_utf8: form.payload_is_utf8,
        response_topic: form.response_topic.map(text),
        correlation_data: form.correlation_data.map(|data| Bytes::from(data.into_owned())),
        user_properties: form
            .user_properties
            .into_iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect(),
        content_type: form.content_type.map(text),
        ..PublishProperties::default()
    }
}

/// Replaces `out` by checksum, head and payload.
fn seal(head: &impl Serialize, payload: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[0; CHECKSUM_LENGTH]);
    // It can only fail for want of room, and a vector has room.
    if let Ok(whole) = postcard::to_extend(head, std::mem::take(out)) {
        *out = whole;
    }
    out.extend_from_slice(payload);
    if let Some((checksum, content)) = out.split_first_chunk_mut::<CHECKSUM_LENGTH>() {
        *checksum = crc32fast::hash(content).to_be_bytes();
    }
}

fn unseal<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), Garbled> {
    let (checksum, content) = bytes
        .split_first_chunk::<CHECKSUM_LENGTH>()
        .ok_or_else(|| Garbled("too short".to_owned()))?;
    if crc32fast::hash(content).to_be_bytes() != *checksum {
        return Err(Garbled("wrong checksum".to_owned()));
    }
    postcard::take_from_bytes(content).map_err(|error| Garbled(format!("not in its form: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> Principal {
        let attributes = BTreeMap::from([("group".to_owned(), "pump".to_owned())]);
        Principal {
            identity: Identity::new(Kind::Device, "p-1", attributes).unwrap(),
            serial: vec![0, 255, 7],
            not_after: 2_000_000_000,
        }
    }

    fn message() -> Message {
        Message {
            topic: "a/ü/b".into(),
            payload: Bytes::from_static(b"\0payload"),
            properties: PublishProperties {
                payload_is_utf8: Some(true),
                response_topic: Some("r".into()),
                correlation_data: Some(Bytes::from_static(&[1, 2, 0])),
                user_properties: vec![("k".into(), "v".into()), ("k".into(), "".into())],
                content_type: Some("text".into()),
                ..PublishProperties::default()
            },
            qos: QoS::ExactlyOnce,
            retain: true,
            will: true,
            sender: Arc::new(sender()),
            generation: u64::MAX,
            expires_at: Some(Duration::from_secs(9)),
            declares_expiry: true,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = vec![9; 3];
        write_message(&message(), &mut bytes);
        assert_eq!(*read_message(&bytes, message().expires_at).unwrap(), message());
        write_principal(&sender(), &mut bytes);
        assert_eq!(read_principal(&bytes).unwrap(), sender());
        let will = LastWill {
            topic: "w".into(),
            payload: Bytes::from_static(b"gone"),
            qos: QoS::AtLeastOnce,
            retain: true,
            delay_interval: 7,
            properties: PublishProperties {
                message_expiry_interval: Some(3),
                ..message().properties
            },
        };
        write_will(&sender(), &will, &mut bytes);
        assert_eq!(read_will(&bytes).unwrap(), (sender(), will));
        let waiting = Waiting {
            sequence: 4,
            message: Arc::new(message()),
            qos: QoS::AtLeastOnce,
            retain: true,
            identifiers: vec![NonZeroU32::MIN, NonZeroU32::MAX],
            shared: Some("$share/g/a".into()),
            replay: true,
        };
        write_delivery(&waiting, &mut bytes);
        let read = read_delivery(&bytes).unwrap().of(4, Arc::clone(&waiting.message));
        assert_eq!(read, waiting);
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_seen() {
        let mut bytes = Vec::new();
        write_message(&message(), &mut bytes);
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[index] ^= 1 << bit;
                assert!(read_message(&changed, None).is_err(), "byte {index}, bit {bit}");
            }
            assert!(read_message(&bytes[..index], None).is_err(), "cut at {index}");
        }
    }

    #[test]
    fn an_identity_that_no_certificate_could_hold_is_refused() {
        let form = PrincipalForm {
            is_service: false,
            id: Cow::Borrowed("a/b"),
            attributes: BTreeMap::new(),
            serial: Cow::Borrowed(&[]),
            not_after: 0,
        };
        let mut bytes = Vec::new();
        seal(&form, &[], &mut bytes);
        assert!(read_principal(&bytes).is_err());
    }
}
