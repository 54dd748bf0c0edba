//! MQTT 5.0.

use std::num::{NonZeroU16, NonZeroU32};

use motte_mqtt::{
    Acknowledgement, Auth, ConnAck, ConnAckProperties, Connect, ConnectProperties, Disconnect, LastWill,
    Packet, Password, ProtocolVersion, Publish, PublishProperties, QoS, ReasonCode, RetainHandling, Sender,
    SubAck, Subscribe, SubscribeFilter, UnsubAck, Unsubscribe,
};

use super::{data, id, text};

fn client(hex: &str, packet: &Packet) {
    super::check(Sender::Client, ProtocolVersion::V5, hex, packet);
}

fn server(hex: &str, packet: &Packet) {
    super::check(Sender::Server, ProtocolVersion::V5, hex, packet);
}

fn connect() -> Connect {
    Connect {
        protocol_version: ProtocolVersion::V5,
        clean_start: true,
        keep_alive: 10,
        client_id: text("id"),
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

/// The variable header is that of the non-normative example in figure 3-6.
#[test]
fn connect_of_figure_3_6() {
    let will = LastWill {
        topic: text("w"),
        payload: data(b"gone"),
        qos: QoS::AtLeastOnce,
        retain: false,
        delay_interval: 0,
        properties: PublishProperties::default(),
    };
    let packet = Connect {
        will: Some(Box::new(will)),
        username: Some(text("user")),
        password: Some(Password(data(&[0, 0xFF]))),
        properties: ConnectProperties {
            session_expiry_interval: Some(10),
            ..ConnectProperties::default()
        },
        ..connect()
    };
    client(
        "10 28 0004 4D515454 05 CE 000A 05 11 0000000A
         0002 6964 00 0001 77 0004 676F6E65 0004 75736572 0002 00FF",
        &Packet::Connect(Box::new(packet)),
    );
}

#[test]
fn connect_with_every_property() {
    let will = LastWill {
        topic: text("w"),
        payload: data(b"m"),
        qos: QoS::ExactlyOnce,
        retain: true,
        delay_interval: 5,
        properties: PublishProperties {
            payload_is_utf8: Some(true),
            message_expiry_interval: Some(6),
            response_topic: Some(text("r")),
            correlation_data: Some(data(b"c")),
            content_type: Some(text("t")),
            user_properties: vec![(text("n"), text("v"))],
            ..PublishProperties::default()
        },
    };
    let properties = ConnectProperties {
        session_expiry_interval: Some(u32::MAX),
        receive_maximum: NonZeroU16::new(1),
        maximum_packet_size: NonZeroU32::new(0x100),
        topic_alias_maximum: Some(0),
        request_response_information: Some(true),
        request_problem_information: Some(false),
        user_properties: vec![(text("a"), text("b")), (text("a"), text("c"))],
        authentication_method: Some(text("m")),
        authentication_data: Some(data(b"d")),
    };
    let packet = Connect {
        will: Some(Box::new(will)),
        properties,
        ..connect()
    };
    client(
        "10 5F 0004 4D515454 05 36 000A
         2A 11 FFFFFFFF 21 0001 27 00000100 22 0000 19 01 17 00
            26 0001 61 0001 62 26 0001 61 0001 63 15 0001 6D 16 0001 64
         0002 6964
         1F 18 00000005 01 01 02 00000006 08 0001 72 09 0001 63 03 0001 74 26 0001 6E 0001 76
         0001 77 0001 6D",
        &Packet::Connect(Box::new(packet)),
    );
}

/// 5.0 allows a password alone (section 3.1.2.9).
#[test]
fn connect_with_a_password_alone() {
    let packet = Connect {
        password: Some(Password(data(b"p"))),
        client_id: text(""),
        ..connect()
    };
    client(
        "10 10 0004 4D515454 05 42 000A 00 0000 0001 70",
        &Packet::Connect(Box::new(packet)),
    );
}

fn connack(reason: ReasonCode, properties: ConnAckProperties) -> Packet {
    Packet::ConnAck(Box::new(ConnAck {
        session_present: false,
        reason,
        properties,
    }))
}

#[test]
fn connack_without_properties() {
    server(
        "20 03 00 00 00",
        &connack(ReasonCode::Success, ConnAckProperties::default()),
    );
    server(
        "20 03 00 87 00",
        &connack(ReasonCode::NotAuthorized, ConnAckProperties::default()),
    );
}

#[test]
fn connack_with_every_property() {
    let properties = ConnAckProperties {
        session_expiry_interval: Some(1),
        receive_maximum: NonZeroU16::new(2),
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(true),
        maximum_packet_size: NonZeroU32::new(3),
        assigned_client_identifier: Some(text("i")),
        topic_alias_maximum: Some(4),
        reason_string: Some(text("s")),
        user_properties: vec![(text("n"), text("v"))],
        wildcard_subscription_available: Some(false),
        subscription_identifiers_available: Some(true),
        shared_subscription_available: Some(false),
        server_keep_alive: Some(5),
        response_information: Some(text("r")),
        server_reference: Some(text("h")),
        authentication_method: Some(text("m")),
        authentication_data: Some(data(b"d")),
    };
    server(
        "20 3F 00 9C 3C 11 00000001 21 0002 24 01 25 01 27 00000003 12 0001 69 22 0004 1F 0001 73
         26 0001 6E 0001 76 28 00 29 01 2A 00 13 0005 1A 0001 72 1C 0001 68 15 0001 6D 16 0001 64",
        &connack(ReasonCode::UseAnotherServer, properties),
    );
}

fn publish() -> Publish {
    Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: text("a/b"),
        packet_id: None,
        payload: data(b"hi"),
        properties: PublishProperties::default(),
    }
}

/// The variable header is that of the non-normative example in figure 3-9.
#[test]
fn publish_of_figure_3_9() {
    let packet = Publish {
        qos: QoS::AtLeastOnce,
        packet_id: Some(id(10)),
        ..publish()
    };
    client("32 0A 0003 612F62 000A 00 6869", &Packet::Publish(packet));
}

#[test]
fn publish_with_an_alias_for_its_topic() {
    let properties = PublishProperties {
        topic_alias: NonZeroU16::new(7),
        ..PublishProperties::default()
    };
    let packet = Publish {
        topic: text(""),
        properties,
        ..publish()
    };
    client("30 08 0000 03 23 0007 6869", &Packet::Publish(packet.clone()));
    server("30 08 0000 03 23 0007 6869", &Packet::Publish(packet));
}

#[test]
fn publish_with_every_property() {
    let properties = PublishProperties {
        payload_is_utf8: Some(true),
        message_expiry_interval: Some(1),
        topic_alias: NonZeroU16::new(2),
        response_topic: Some(text("r")),
        correlation_data: Some(data(b"c")),
        user_properties: vec![(text("n"), text("v"))],
        subscription_identifiers: [1, 128, 268_435_455]
            .map(|number| NonZeroU32::new(number).unwrap())
            .to_vec(),
        content_type: Some(text("t")),
    };
    let packet = Publish {
        dup: true,
        qos: QoS::ExactlyOnce,
        retain: true,
        packet_id: Some(id(3)),
        properties,
        ..publish()
    };
    server(
        "3D 31 0003 612F62 0003
         27 23 0002 01 01 02 00000001 08 0001 72 09 0001 63 03 0001 74 26 0001 6E 0001 76
            0B 01 0B 8001 0B FFFFFF7F 6869",
        &Packet::Publish(packet),
    );
}

/// Control characters may stand in a payload that says it is text.
#[test]
fn publish_of_several_lines() {
    let properties = PublishProperties {
        payload_is_utf8: Some(true),
        ..PublishProperties::default()
    };
    let packet = Publish {
        payload: data(b"\n\0"),
        properties,
        ..publish()
    };
    client("30 0A 0003 612F62 02 01 01 0A00", &Packet::Publish(packet));
}

#[test]
fn acknowledgements_leave_out_what_says_nothing() {
    let success = Acknowledgement::new(id(1), ReasonCode::Success);
    client("40 02 0001", &Packet::PubAck(success.clone()));
    server(
        "50 03 0001 10",
        &Packet::PubRec(Acknowledgement::new(id(1), ReasonCode::NoMatchingSubscribers)),
    );
    server("62 02 0001", &Packet::PubRel(success.clone()));
    client(
        "70 03 0001 92",
        &Packet::PubComp(Acknowledgement::new(id(1), ReasonCode::PacketIdentifierNotFound)),
    );
    for hex in ["40 03 0001 00", "40 04 0001 00 00"] {
        let packet = Packet::PubAck(success.clone());
        super::check_decode(Sender::Client, ProtocolVersion::V5, hex, &packet);
    }
}

#[test]
fn acknowledgements_with_properties() {
    let packet = Acknowledgement {
        reason_string: Some(text("s")),
        user_properties: vec![(text("n"), text("v"))],
        ..Acknowledgement::new(id(1), ReasonCode::Success)
    };
    let body = "0F 0001 00 0B 1F 0001 73 26 0001 6E 0001 76";
    client(&format!("40 {body}"), &Packet::PubAck(packet.clone()));
    server(&format!("50 {body}"), &Packet::PubRec(packet.clone()));
    client(&format!("62 {body}"), &Packet::PubRel(packet.clone()));
    server(&format!("70 {body}"), &Packet::PubComp(packet));
}

fn filter(filter: &'static str, qos: QoS) -> SubscribeFilter {
    SubscribeFilter {
        filter: text(filter),
        qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    }
}

/// The payload is that of the non-normative example in figure 3-22.
#[test]
fn subscribe_of_figure_3_22() {
    let packet = Subscribe {
        packet_id: id(10),
        filters: vec![filter("a/b", QoS::AtLeastOnce), filter("c/d", QoS::ExactlyOnce)],
        subscription_identifier: None,
        user_properties: Vec::new(),
    };
    client(
        "82 0F 000A 00 0003 612F62 01 0003 632F64 02",
        &Packet::Subscribe(packet),
    );
}

#[test]
fn subscribe_with_every_option() {
    let all = SubscribeFilter {
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
        ..filter("#", QoS::ExactlyOnce)
    };
    let shared = SubscribeFilter {
        retain_handling: RetainHandling::SendIfNew,
        ..filter("$share/g/+", QoS::AtMostOnce)
    };
    let packet = Subscribe {
        packet_id: id(1),
        filters: vec![all, shared],
        subscription_identifier: NonZeroU32::new(128),
        user_properties: vec![(text("n"), text("v"))],
    };
    client(
        "82 1E 0001 0A 0B 8001 26 0001 6E 0001 76 0001 23 2E 000A 2473686172652F672F2B 10",
        &Packet::Subscribe(packet),
    );
}

#[test]
fn suback_with_every_part() {
    let packet = SubAck {
        packet_id: id(1),
        reasons: vec![
            ReasonCode::GrantedQoS1,
            ReasonCode::WildcardSubscriptionsNotSupported,
        ],
        reason_string: Some(text("s")),
        user_properties: vec![(text("n"), text("v"))],
    };
    server(
        "90 10 0001 0B 1F 0001 73 26 0001 6E 0001 76 01 A2",
        &Packet::SubAck(packet),
    );
}

/// The payload is that of the non-normative example in figure 3.30.
#[test]
fn unsubscribe_of_figure_3_30() {
    let filters = vec![text("a/b"), text("c/d")];
    let packet = Unsubscribe {
        packet_id: id(10),
        filters,
        user_properties: Vec::new(),
    };
    client(
        "A2 0D 000A 00 0003 612F62 0003 632F64",
        &Packet::Unsubscribe(packet.clone()),
    );
    let packet = Unsubscribe {
        user_properties: vec![(text("n"), text("v"))],
        ..packet
    };
    client(
        "A2 14 000A 07 26 0001 6E 0001 76 0003 612F62 0003 632F64",
        &Packet::Unsubscribe(packet),
    );
}

#[test]
fn unsuback_with_every_part() {
    let packet = UnsubAck {
        packet_id: id(1),
        reasons: vec![ReasonCode::Success, ReasonCode::NoSubscriptionExisted],
        reason_string: Some(text("s")),
        user_properties: vec![(text("n"), text("v"))],
    };
    server(
        "B0 10 0001 0B 1F 0001 73 26 0001 6E 0001 76 00 11",
        &Packet::UnsubAck(packet),
    );
}

#[test]
fn pings() {
    client("C0 00", &Packet::PingReq);
    server("D0 00", &Packet::PingResp);
}

/// The variable header is that of the non-normative example in figure 3-24.
#[test]
fn disconnect_of_figure_3_24() {
    let packet = Disconnect {
        session_expiry_interval: Some(0),
        ..Disconnect::new(ReasonCode::Success)
    };
    client("E0 07 00 05 11 00000000", &Packet::Disconnect(packet));
}

#[test]
fn disconnect_of_every_length() {
    client("E0 00", &Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
    client(
        "E0 01 04",
        &Packet::Disconnect(Disconnect::new(ReasonCode::DisconnectWithWill)),
    );
    server(
        "E0 01 8E",
        &Packet::Disconnect(Disconnect::new(ReasonCode::SessionTakenOver)),
    );
    let packet = Disconnect {
        reason_string: Some(text("s")),
        user_properties: vec![(text("n"), text("v"))],
        server_reference: Some(text("h")),
        ..Disconnect::new(ReasonCode::ServerMoved)
    };
    server(
        "E0 11 9D 0F 1F 0001 73 26 0001 6E 0001 76 1C 0001 68",
        &Packet::Disconnect(packet),
    );
    let normal = Packet::Disconnect(Disconnect::new(ReasonCode::Success));
    for hex in ["E0 01 00", "E0 02 00 00"] {
        super::check_decode(Sender::Client, ProtocolVersion::V5, hex, &normal);
    }
}

#[test]
fn auth() {
    let packet = Auth {
        reason: ReasonCode::ContinueAuthentication,
        authentication_method: Some(text("m")),
        authentication_data: Some(data(b"d")),
        reason_string: Some(text("s")),
        user_properties: vec![(text("n"), text("v"))],
    };
    let body = "15 18 13 15 0001 6D 16 0001 64 1F 0001 73 26 0001 6E 0001 76";
    client(&format!("F0 {body}"), &Packet::Auth(packet.clone()));
    server(&format!("F0 {body}"), &Packet::Auth(packet.clone()));
    let again = Auth {
        reason: ReasonCode::ReAuthenticate,
        authentication_data: None,
        reason_string: None,
        user_properties: Vec::new(),
        ..packet
    };
    client("F0 06 19 04 15 0001 6D", &Packet::Auth(again.clone()));
    let done = Auth {
        reason: ReasonCode::Success,
        authentication_method: None,
        ..again
    };
    server("F0 00", &Packet::Auth(done));
}
