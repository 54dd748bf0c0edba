//! Messages from one client to another: every QoS, both versions.

mod world;

use motte_mqtt::{Packet, ProtocolVersion, QoS, ReasonCode};
use world::*;

const LEVELS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

#[test]
fn every_combination_of_publish_and_subscription_qos_delivers_at_the_lower() {
    for version in VERSIONS {
        for published in LEVELS {
            for subscribed in LEVELS {
                let mut world = World::new();
                let writer = world.device("a", version);
                let reader = world.device("b", version);
                world.subscribe(reader, "peer/b/inbox", subscribed);
                world.publish(writer, "peer/b/inbox", "hello", published, 5);
                if published == QoS::ExactlyOnce {
                    assert!(
                        matches!(world.take(reader).as_slice(), []),
                        "nothing before PUBREL"
                    );
                    world.send(writer, &Packet::PubRel(success(number(5))));
                }
                let packets = world.take(reader);
                let [Packet::Publish(message)] = packets.as_slice() else {
                    panic!("one PUBLISH, not {packets:?}")
                };
                assert_eq!(message.qos, published.min(subscribed));
                assert_eq!(
                    (message.topic.as_ref() as &str, message.retain, message.dup),
                    ("peer/b/inbox", false, false)
                );
            }
        }
    }
}

#[test]
fn a_qos_2_message_sent_twice_before_pubrel_arrives_once() {
    for version in VERSIONS {
        let mut world = World::new();
        let writer = world.device("a", version);
        let reader = world.device("b", version);
        world.subscribe(reader, "peer/b/inbox", QoS::ExactlyOnce);
        for dup in [false, true, true] {
            let message = motte_mqtt::Publish {
                dup,
                ..publish("peer/b/inbox", "once", QoS::ExactlyOnce, 7)
            };
            world.send(writer, &Packet::Publish(message));
            assert!(matches!(world.take(writer).as_slice(), [Packet::PubRec(_)]));
        }
        for _ in 0..2 {
            world.send(writer, &Packet::PubRel(success(number(7))));
        }
        let answers = world.take(writer);
        let [Packet::PubComp(first), Packet::PubComp(second)] = answers.as_slice() else {
            panic!("{answers:?}")
        };
        assert_eq!(first.reason, ReasonCode::Success);
        if version == ProtocolVersion::V5 {
            assert_eq!(second.reason, ReasonCode::PacketIdentifierNotFound);
        }
        assert_eq!(world.payloads(reader), ["once"]);
    }
}

#[test]
fn order_is_kept_for_one_topic_and_qos() {
    let mut world = World::new();
    let writer = world.device("a", ProtocolVersion::V5);
    let reader = world.device("b", ProtocolVersion::V5);
    world.subscribe(reader, "peer/b/inbox", QoS::AtLeastOnce);
    let sent: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    for (packet_id, payload) in (1..).zip(&sent) {
        world.publish(writer, "peer/b/inbox", payload, QoS::AtLeastOnce, packet_id);
        world.take(writer);
    }
    assert_eq!(world.payloads(reader), sent);
}

#[test]
fn the_readers_receive_maximum_bounds_what_is_unacknowledged_and_not_qos_0() {
    let mut world = World::new();
    let writer = world.device("a", ProtocolVersion::V5);
    let mut narrow = connect("b", ProtocolVersion::V5);
    narrow.properties.receive_maximum = std::num::NonZeroU16::new(2);
    let (reader, _) = world.connect(&device("b"), narrow);
    world.subscribe(reader, "peer/b/inbox", QoS::AtLeastOnce);
    for packet_id in 1..=4 {
        world.publish(writer, "peer/b/inbox", "assured", QoS::AtLeastOnce, packet_id);
    }
    world.publish(writer, "peer/b/inbox", "plain", QoS::AtMostOnce, 0);
    let packets = world.take(reader);
    let qos: Vec<QoS> = packets
        .iter()
        .map(|packet| match packet {
            Packet::Publish(message) => message.qos,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(qos, [QoS::AtLeastOnce, QoS::AtLeastOnce, QoS::AtMostOnce]);
    let Packet::Publish(first) = &packets[0] else {
        unreachable!()
    };
    world.send(reader, &Packet::PubAck(success(first.packet_id.unwrap())));
    assert_eq!(world.take(reader).len(), 1, "one acknowledged, one more sent");
}

#[test]
fn more_unacknowledged_messages_than_the_servers_receive_maximum_end_the_connection() {
    let mut world = World::new();
    let writer = world.device("a", ProtocolVersion::V5);
    for packet_id in 1..=10 {
        world.publish(writer, "peer/b/inbox", "x", QoS::ExactlyOnce, packet_id);
    }
    assert_eq!(world.take(writer).len(), 10, "ten are the role's limit");
    world.publish(writer, "peer/b/inbox", "x", QoS::ExactlyOnce, 11);
    let packets = world.take(writer);
    let [Packet::Disconnect(goodbye)] = packets.as_slice() else {
        panic!("{packets:?}")
    };
    assert_eq!(goodbye.reason, ReasonCode::ReceiveMaximumExceeded);
    assert!(world.is_closed(writer));
}

#[test]
fn overlapping_subscriptions_give_one_copy_with_every_identifier_at_the_highest_qos() {
    let mut world = World::new();
    let writer = world.device("a", ProtocolVersion::V5);
    let reader = world.backend(ProtocolVersion::V5);
    for (filter, qos, identifier) in [("dev/#", QoS::AtMostOnce, 3), ("dev/+/tel", QoS::AtLeastOnce, 4)] {
        let mut request = subscribe(filter, qos);
        request.subscription_identifier = std::num::NonZeroU32::new(identifier);
        world.send(reader, &Packet::Subscribe(request));
    }
    world.take(reader);
    world.publish(writer, "dev/a/tel", "x", QoS::AtLeastOnce, 1);
    let packets = world.take(reader);
    let [Packet::Publish(message)] = packets.as_slice() else {
        panic!("{packets:?}")
    };
    let mut identifiers: Vec<u32> = message
        .properties
        .subscription_identifiers
        .iter()
        .map(|identifier| identifier.get())
        .collect();
    identifiers.sort_unstable();
    assert_eq!(
        (identifiers.as_slice(), message.qos),
        ([3, 4].as_slice(), QoS::AtLeastOnce)
    );
}

#[test]
fn no_local_keeps_a_clients_own_messages_from_it() {
    let mut world = World::new();
    let client = world.device("a", ProtocolVersion::V5);
    let mut request = subscribe("peer/a/inbox", QoS::AtMostOnce);
    request.filters[0].no_local = true;
    world.send(client, &Packet::Subscribe(request));
    world.take(client);
    world.publish(client, "peer/a/inbox", "mine", QoS::AtMostOnce, 0);
    let other = world.device("b", ProtocolVersion::V5);
    world.publish(other, "peer/a/inbox", "theirs", QoS::AtMostOnce, 0);
    assert_eq!(world.payloads(client), ["theirs"]);
}

#[test]
fn a_topic_alias_is_resolved_and_authorized_each_time() {
    let mut world = World::new();
    let writer = world.device("a", ProtocolVersion::V5);
    let reader = world.device("b", ProtocolVersion::V5);
    world.subscribe(reader, "peer/b/inbox", QoS::AtMostOnce);
    let mut first = publish("peer/b/inbox", "one", QoS::AtMostOnce, 0);
    first.properties.topic_alias = std::num::NonZeroU16::new(1);
    let mut second = first.clone();
    second.topic = "".into();
    second.payload = "two".into();
    world.send(writer, &Packet::Publish(first));
    world.send(writer, &Packet::Publish(second.clone()));
    assert_eq!(world.payloads(reader), ["one", "two"]);
    // The right to the topic behind the alias goes; the alias must not outlive it (attack V6).
    let mut roles = policy();
    roles[0]["publish"] = serde_json::json!([]);
    world.install(&roles, &no_exceptions());
    world.send(writer, &Packet::Publish(second));
    assert_eq!(world.payloads(reader), Vec::<String>::new());
}

#[test]
fn the_server_uses_aliases_that_the_client_offers() {
    let mut world = World::new();
    let writer = world.device("a", ProtocolVersion::V5);
    let mut offering = connect("b", ProtocolVersion::V5);
    offering.properties.topic_alias_maximum = Some(1);
    let (reader, _) = world.connect(&device("b"), offering);
    world.subscribe(reader, "peer/b/inbox", QoS::AtMostOnce);
    for _ in 0..2 {
        world.publish(writer, "peer/b/inbox", "x", QoS::AtMostOnce, 0);
    }
    let packets = world.take(reader);
    let [Packet::Publish(first), Packet::Publish(second)] = packets.as_slice() else {
        panic!("{packets:?}")
    };
    assert_eq!(
        (
            first.topic.as_ref() as &str,
            first.properties.topic_alias.map(std::num::NonZero::get)
        ),
        ("peer/b/inbox", Some(1))
    );
    assert_eq!(
        (
            second.topic.as_ref() as &str,
            second.properties.topic_alias.map(std::num::NonZero::get)
        ),
        ("", Some(1))
    );
}

#[test]
fn a_message_larger_than_the_reader_takes_is_dropped_and_the_next_arrives() {
    let mut world = World::new();
    let writer = world.device("a", ProtocolVersion::V5);
    let mut small = connect("b", ProtocolVersion::V5);
    small.properties.maximum_packet_size = std::num::NonZeroU32::new(64);
    let (reader, _) = world.connect(&device("b"), small);
    world.subscribe(reader, "peer/b/inbox", QoS::AtLeastOnce);
    world.publish(writer, "peer/b/inbox", &"x".repeat(200), QoS::AtLeastOnce, 1);
    world.publish(writer, "peer/b/inbox", "fits", QoS::AtLeastOnce, 2);
    assert_eq!(world.payloads(reader), ["fits"]);
    assert_eq!(world.broker.figures().messages.too_large, 1);
}
