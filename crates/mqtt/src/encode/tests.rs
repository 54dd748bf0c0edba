//! What can not be said on the wire is refused, and leaves nothing behind.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::{EncodeError, PublishParts, encode, encode_publish, encoded_length, encoded_publish_length};
use crate::{
    Acknowledgement, Auth, ConnAck, ConnAckProperties, Connect, ConnectProperties, Disconnect, Packet,
    PacketId, Password, ProtocolVersion, Publish, PublishProperties, QoS, ReasonCode, SubAck, Subscribe,
    UnsubAck, Unsubscribe,
};

const V311: ProtocolVersion = ProtocolVersion::V311;
const V5: ProtocolVersion = ProtocolVersion::V5;
const ID: PacketId = PacketId::MIN;

/// Encodes behind some bytes that must stay as they are.
fn encoded(packet: &Packet, version: ProtocolVersion) -> Result<Vec<u8>, EncodeError> {
    let mut out = BytesMut::from(&b"before"[..]);
    let result = encode(packet, version, &mut out);
    let appended = out.strip_prefix(b"before").unwrap();
    if result.is_err() {
        assert!(appended.is_empty(), "something was left behind");
    }
    result.map(|()| appended.to_vec())
}

fn text(length: usize) -> ByteString {
    "a".repeat(length).into()
}

fn publish() -> Publish {
    Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: "t".into(),
        packet_id: None,
        payload: Bytes::new(),
        properties: PublishProperties::default(),
    }
}

fn connack(reason: ReasonCode, session_present: bool, properties: ConnAckProperties) -> Packet {
    Packet::ConnAck(Box::new(ConnAck {
        session_present,
        reason,
        properties,
    }))
}

#[test]
fn strings_at_the_bound_and_one_past_it() {
    let disconnect = |length| {
        Packet::Disconnect(Disconnect {
            reason_string: Some(text(length)),
            ..Disconnect::new(ReasonCode::Unspecified)
        })
    };
    assert_eq!(
        encoded(&disconnect(65_535), V5).unwrap().len(),
        encoded_length(&disconnect(65_535), V5)
    );
    assert_eq!(encoded(&disconnect(65_536), V5), Err(EncodeError::FieldTooLong));
    let named = |length| {
        Packet::Publish(Publish {
            topic: text(length),
            ..publish()
        })
    };
    assert!(encoded(&named(65_535), V311).is_ok());
    assert_eq!(encoded(&named(65_536), V311), Err(EncodeError::FieldTooLong));
    let properties = PublishProperties {
        content_type: Some(text(65_536)),
        ..PublishProperties::default()
    };
    let typed = Packet::Publish(Publish {
        properties,
        ..publish()
    });
    assert_eq!(encoded(&typed, V5), Err(EncodeError::FieldTooLong));
    // 3.1.1 leaves the property out, so nothing is too long.
    assert!(encoded(&typed, V311).is_ok());
}

#[test]
fn packets_at_the_bound_and_one_past_it() {
    const LARGEST: usize = 268_435_455;
    let payload = vec![0; LARGEST - 2];
    let publish = publish();
    let properties = PublishProperties::default();
    let parts = PublishParts {
        payload: &payload[1..],
        properties: &properties,
        ..PublishParts::from(&publish)
    };
    let mut out = BytesMut::new();
    encode_publish(&parts, V311, &mut out).unwrap();
    assert_eq!(out.len(), LARGEST + 5);
    assert_eq!(encoded_publish_length(&parts, V311), LARGEST + 5);
    let parts = PublishParts {
        payload: &payload,
        ..parts
    };
    let mut out = BytesMut::new();
    assert_eq!(encode_publish(&parts, V311, &mut out), Err(EncodeError::TooLarge));
    assert!(out.is_empty());
}

#[test]
fn subscription_identifiers_at_the_bound_and_one_past_it() {
    let with = |number| {
        let subscription_identifiers = vec![NonZeroU32::new(number).unwrap()];
        let properties = PublishProperties {
            subscription_identifiers,
            ..PublishProperties::default()
        };
        Packet::Publish(Publish {
            properties,
            ..publish()
        })
    };
    assert!(encoded(&with(268_435_455), V5).is_ok());
    assert_eq!(encoded(&with(268_435_456), V5), Err(EncodeError::TooLarge));
}

#[test]
fn a_packet_identifier_exactly_where_it_belongs() {
    let with = |qos, packet_id| {
        Packet::Publish(Publish {
            qos,
            packet_id,
            ..publish()
        })
    };
    for version in [V311, V5] {
        let error = Err(EncodeError::PacketIdentifier);
        assert_eq!(encoded(&with(QoS::AtMostOnce, Some(ID)), version), error);
        assert_eq!(encoded(&with(QoS::AtLeastOnce, None), version), error);
        assert_eq!(encoded(&with(QoS::ExactlyOnce, None), version), error);
    }
}

#[test]
fn a_topic_or_an_alias() {
    let properties = PublishProperties {
        topic_alias: NonZeroU16::new(1),
        ..PublishProperties::default()
    };
    let aliased = Packet::Publish(Publish {
        topic: "".into(),
        properties,
        ..publish()
    });
    assert!(encoded(&aliased, V5).is_ok());
    assert_eq!(encoded(&aliased, V311), Err(EncodeError::NoTopic));
    let nameless = Packet::Publish(Publish {
        topic: "".into(),
        ..publish()
    });
    assert_eq!(encoded(&nameless, V5), Err(EncodeError::NoTopic));
}

#[test]
fn lists_are_not_empty() {
    let (reasons, reason_string, user_properties) = (Vec::new(), None, Vec::new());
    let subscribe = Subscribe {
        packet_id: ID,
        filters: Vec::new(),
        subscription_identifier: None,
        user_properties: Vec::new(),
    };
    let unsubscribe = Unsubscribe {
        packet_id: ID,
        filters: Vec::new(),
        user_properties: Vec::new(),
    };
    let suback = SubAck {
        packet_id: ID,
        reasons: Vec::new(),
        reason_string: None,
        user_properties: Vec::new(),
    };
    let unsuback = UnsubAck {
        packet_id: ID,
        reasons,
        reason_string,
        user_properties,
    };
    for version in [V311, V5] {
        let error = Err(EncodeError::NoEntries);
        assert_eq!(encoded(&Packet::Subscribe(subscribe.clone()), version), error);
        assert_eq!(encoded(&Packet::Unsubscribe(unsubscribe.clone()), version), error);
        assert_eq!(encoded(&Packet::SubAck(suback.clone()), version), error);
    }
    assert_eq!(
        encoded(&Packet::UnsubAck(unsuback.clone()), V5),
        Err(EncodeError::NoEntries)
    );
    assert_eq!(
        encoded(&Packet::UnsubAck(unsuback), V311),
        Ok(vec![0xB0, 2, 0, 1])
    );
}

#[test]
fn what_3_1_1_does_not_have() {
    let auth = Packet::Auth(Auth {
        reason: ReasonCode::ContinueAuthentication,
        authentication_method: Some("m".into()),
        authentication_data: None,
        reason_string: None,
        user_properties: Vec::new(),
    });
    assert_eq!(encoded(&auth, V311), Err(EncodeError::NotInVersion));
    let connect = |protocol_version| {
        Packet::Connect(Box::new(Connect {
            protocol_version,
            clean_start: true,
            keep_alive: 0,
            client_id: "a".into(),
            will: None,
            username: None,
            password: Some(Password(Bytes::from_static(b"p"))),
            properties: ConnectProperties::default(),
        }))
    };
    // The packet says its version, whatever the connection speaks.
    assert_eq!(
        encoded(&connect(V311), V5),
        Err(EncodeError::PasswordWithoutUserName)
    );
    assert!(encoded(&connect(V5), V311).is_ok());
}

#[test]
fn what_3_1_1_leaves_out() {
    let properties = ConnAckProperties {
        server_keep_alive: Some(1),
        ..ConnAckProperties::default()
    };
    let refused = connack(ReasonCode::QuotaExceeded, false, properties);
    assert_eq!(encoded(&refused, V311), Ok(vec![0x20, 2, 0, 3]));
    let acknowledgement = Acknowledgement {
        reason_string: Some("s".into()),
        ..Acknowledgement::new(ID, ReasonCode::NotAuthorized)
    };
    assert_eq!(
        encoded(&Packet::PubAck(acknowledgement), V311),
        Ok(vec![0x40, 2, 0, 1])
    );
    let suback = SubAck {
        packet_id: ID,
        reasons: vec![ReasonCode::GrantedQoS2, ReasonCode::NotAuthorized],
        reason_string: Some("s".into()),
        user_properties: Vec::new(),
    };
    assert_eq!(
        encoded(&Packet::SubAck(suback), V311),
        Ok(vec![0x90, 4, 0, 1, 2, 0x80])
    );
    let disconnect = Packet::Disconnect(Disconnect::new(ReasonCode::ServerShuttingDown));
    assert_eq!(encoded(&disconnect, V311), Ok(vec![0xE0, 0]));
}

/// MQTT-3.2.2-6, and MQTT-3.2.2-4 of 3.1.1; and section 3.2.2.3.4: a maximum of 2 is not said.
#[test]
fn a_connack_says_nothing_illegal() {
    let refused = connack(ReasonCode::NotAuthorized, true, ConnAckProperties::default());
    assert_eq!(encoded(&refused, V5), Ok(vec![0x20, 3, 0, 0x87, 0]));
    assert_eq!(encoded(&refused, V311), Ok(vec![0x20, 2, 0, 5]));
    let properties = ConnAckProperties {
        maximum_qos: Some(QoS::ExactlyOnce),
        ..ConnAckProperties::default()
    };
    assert_eq!(
        encoded(&connack(ReasonCode::Success, true, properties), V5),
        Ok(vec![0x20, 3, 1, 0, 0])
    );
}

/// The fields of the parts win over the properties that they are sent with.
#[test]
fn parts_of_a_publish() {
    let properties = PublishProperties {
        topic_alias: NonZeroU16::new(9),
        message_expiry_interval: Some(9),
        subscription_identifiers: vec![NonZeroU32::MIN],
        payload_is_utf8: Some(true),
        ..PublishProperties::default()
    };
    let parts = PublishParts {
        dup: true,
        qos: QoS::AtLeastOnce,
        retain: true,
        topic: "t",
        packet_id: Some(ID),
        topic_alias: NonZeroU16::new(2),
        message_expiry_interval: None,
        subscription_identifiers: &[],
        properties: &properties,
        payload: b"p",
    };
    let mut out = BytesMut::new();
    encode_publish(&parts, V5, &mut out).unwrap();
    assert_eq!(&out[..], b"\x3B\x0C\x00\x01t\x00\x01\x05\x23\x00\x02\x01\x01p");
    assert_eq!(encoded_publish_length(&parts, V5), out.len());
    out.clear();
    encode_publish(&parts, V311, &mut out).unwrap();
    assert_eq!(&out[..], b"\x3B\x06\x00\x01t\x00\x01p");
    assert_eq!(encoded_publish_length(&parts, V311), out.len());
}
