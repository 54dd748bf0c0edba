//! MQTT 3.1.1.

use bytes::Bytes;
use motte_mqtt::{
    Acknowledgement, ConnAck, ConnAckProperties, Connect, ConnectProperties, Disconnect, LastWill, Packet,
    Password, ProtocolVersion, Publish, PublishProperties, QoS, ReasonCode, RetainHandling, Sender, SubAck,
    Subscribe, SubscribeFilter, UnsubAck, Unsubscribe,
};

use super::{data, id, text};

fn client(hex: &str, packet: &Packet) {
    super::check(Sender::Client, ProtocolVersion::V311, hex, packet);
}

fn server(hex: &str, packet: &Packet) {
    super::check(Sender::Server, ProtocolVersion::V311, hex, packet);
}

fn connect() -> Connect {
    Connect {
        protocol_version: ProtocolVersion::V311,
        clean_start: true,
        keep_alive: 60,
        client_id: text("id"),
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

fn publish(topic: &'static str, payload: Bytes) -> Publish {
    Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: text(topic),
        packet_id: None,
        payload,
        properties: PublishProperties::default(),
    }
}

#[test]
fn connect_without_anything() {
    let packet = Packet::Connect(Box::new(connect()));
    client("10 0E 0004 4D515454 04 02 003C 0002 6964", &packet);
}

/// The variable header is that of the non-normative example in figure 3.6.
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
        keep_alive: 10,
        will: Some(Box::new(will)),
        username: Some(text("user")),
        password: Some(Password(data(&[0, 0xFF]))),
        ..connect()
    };
    client(
        "10 21 0004 4D515454 04 CE 000A 0002 6964 0001 77 0004 676F6E65 0004 75736572 0002 00FF",
        &Packet::Connect(Box::new(packet)),
    );
}

#[test]
fn connect_with_a_retained_will_of_qos_2() {
    let will = LastWill {
        topic: text("w"),
        payload: data(b""),
        qos: QoS::ExactlyOnce,
        retain: true,
        delay_interval: 0,
        properties: PublishProperties::default(),
    };
    let packet = Connect {
        clean_start: false,
        will: Some(Box::new(will)),
        ..connect()
    };
    client(
        "10 13 0004 4D515454 04 34 003C 0002 6964 0001 77 0000",
        &Packet::Connect(Box::new(packet)),
    );
}

/// MQTT-3.1.3-8 is for the server to answer, not for the codec to refuse.
#[test]
fn connect_that_wants_to_keep_the_session_of_no_client_id() {
    let packet = Connect {
        clean_start: false,
        client_id: text(""),
        ..connect()
    };
    client(
        "10 0C 0004 4D515454 04 00 003C 0000",
        &Packet::Connect(Box::new(packet)),
    );
}

#[test]
fn connack_has_six_return_codes() {
    let codes = [
        ("00", ReasonCode::Success),
        ("01", ReasonCode::UnsupportedProtocolVersion),
        ("02", ReasonCode::ClientIdentifierNotValid),
        ("03", ReasonCode::ServerUnavailable),
        ("04", ReasonCode::BadUserNameOrPassword),
        ("05", ReasonCode::NotAuthorized),
    ];
    for (code, reason) in codes {
        let packet = ConnAck {
            session_present: false,
            reason,
            properties: ConnAckProperties::default(),
        };
        server(&format!("20 02 00 {code}"), &Packet::ConnAck(Box::new(packet)));
    }
}

#[test]
fn connack_with_a_session() {
    let reason = ReasonCode::Success;
    let packet = ConnAck {
        session_present: true,
        reason,
        properties: ConnAckProperties::default(),
    };
    server("20 02 01 00", &Packet::ConnAck(Box::new(packet)));
}

/// The variable header is that of the non-normative example in figure 3.11.
#[test]
fn publish_of_figure_3_11() {
    let packet = Publish {
        qos: QoS::AtLeastOnce,
        packet_id: Some(id(10)),
        ..publish("a/b", data(b"hi"))
    };
    client("32 09 0003 612F62 000A 6869", &Packet::Publish(packet));
}

#[test]
fn publish_of_every_flag() {
    let packet = publish("a/b", data(b"hi"));
    client("30 07 0003 612F62 6869", &Packet::Publish(packet.clone()));
    server(
        "31 07 0003 612F62 6869",
        &Packet::Publish(Publish {
            retain: true,
            ..packet.clone()
        }),
    );
    let again = Publish {
        dup: true,
        qos: QoS::ExactlyOnce,
        retain: true,
        packet_id: Some(id(0xFFFF)),
        ..packet
    };
    server("3D 09 0003 612F62 FFFF 6869", &Packet::Publish(again));
}

/// Section 1.5.3: U+0041 and U+2A6D4; and MQTT-1.5.3-3: U+FEFF stays where it is.
#[test]
fn strings_of_the_standard() {
    client(
        "30 07 0005 41 F0AA9B94",
        &Packet::Publish(publish("A\u{2A6D4}", data(b""))),
    );
    client(
        "30 06 0004 EFBBBF 61",
        &Packet::Publish(publish("\u{FEFF}a", data(b""))),
    );
}

/// Table 2.4: the bounds between one and two, and two and three, bytes of remaining length.
#[test]
fn remaining_lengths_of_table_2_4() {
    for (length, expected) in [
        (127, "7F"),
        (128, "80 01"),
        (16_383, "FF 7F"),
        (16_384, "80 80 01"),
    ] {
        let payload = vec![b'x'; length - 3];
        let hex: String = payload.iter().map(|byte| format!("{byte:02X}")).collect();
        let packet = Packet::Publish(publish("t", Bytes::from(payload)));
        client(&format!("30 {expected} 0001 74 {hex}"), &packet);
    }
}

#[test]
fn acknowledgements() {
    let packet = Acknowledgement::new(id(0x1234), ReasonCode::Success);
    client("40 02 1234", &Packet::PubAck(packet.clone()));
    server("50 02 1234", &Packet::PubRec(packet.clone()));
    server("62 02 1234", &Packet::PubRel(packet.clone()));
    client("70 02 1234", &Packet::PubComp(packet));
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

/// The payload is that of the non-normative example in figure 3.23.
#[test]
fn subscribe_of_figure_3_23() {
    let packet = Subscribe {
        packet_id: id(10),
        filters: vec![filter("a/b", QoS::AtLeastOnce), filter("c/d", QoS::ExactlyOnce)],
        subscription_identifier: None,
        user_properties: Vec::new(),
    };
    client(
        "82 0E 000A 0003 612F62 01 0003 632F64 02",
        &Packet::Subscribe(packet),
    );
}

/// 3.1.1 knows no shared subscriptions: `$share` is a level like any other.
#[test]
fn subscribe_to_a_filter_that_5_0_would_refuse() {
    let packet = Subscribe {
        packet_id: id(1),
        filters: vec![filter("$share/+", QoS::AtMostOnce)],
        subscription_identifier: None,
        user_properties: Vec::new(),
    };
    client("82 0D 0001 0008 2473686172652F2B 00", &Packet::Subscribe(packet));
}

/// The payload is that of the non-normative example in figure 3.26, with a failure in its midst.
#[test]
fn suback_of_figure_3_26() {
    let reasons = vec![
        ReasonCode::Success,
        ReasonCode::GrantedQoS2,
        ReasonCode::Unspecified,
    ];
    let packet = SubAck {
        packet_id: id(10),
        reasons,
        reason_string: None,
        user_properties: Vec::new(),
    };
    server("90 05 000A 00 02 80", &Packet::SubAck(packet));
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
    client("A2 0C 000A 0003 612F62 0003 632F64", &Packet::Unsubscribe(packet));
}

#[test]
fn unsuback() {
    let packet = UnsubAck {
        packet_id: id(10),
        reasons: Vec::new(),
        reason_string: None,
        user_properties: Vec::new(),
    };
    server("B0 02 000A", &Packet::UnsubAck(packet));
}

#[test]
fn packets_without_a_body() {
    client("C0 00", &Packet::PingReq);
    server("D0 00", &Packet::PingResp);
    client("E0 00", &Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
}
