//! Retained messages: kept, replaced, removed, replayed, bounded.

mod world;

use motte_mqtt::{ConnectProperties, Packet, ProtocolVersion, Publish, QoS, ReasonCode, RetainHandling};
use world::*;

fn retained(topic: &str, payload: &str, packet_id: u16) -> Publish {
    Publish {
        retain: true,
        ..publish(topic, payload, QoS::AtLeastOnce, packet_id)
    }
}

fn retain_flags(packets: &[Packet]) -> Vec<(String, bool)> {
    packets
        .iter()
        .filter_map(|packet| match packet {
            Packet::Publish(message) => Some((
                String::from_utf8_lossy(&message.payload).into_owned(),
                message.retain,
            )),
            _ => None,
        })
        .collect()
}

#[test]
fn the_last_message_is_replayed_with_the_flag_and_live_ones_come_without() {
    for version in VERSIONS {
        let mut world = World::new();
        let writer = world.device("a", version);
        world.send(writer, &Packet::Publish(retained("dev/a/tel", "old", 1)));
        world.send(writer, &Packet::Publish(retained("dev/a/tel", "new", 2)));
        let backend = world.backend(version);
        world.send(
            backend,
            &Packet::Subscribe(subscribe("dev/+/tel", QoS::AtMostOnce)),
        );
        assert_eq!(retain_flags(&world.take(backend)), [("new".to_owned(), true)]);
        world.send(writer, &Packet::Publish(retained("dev/a/tel", "live", 3)));
        assert_eq!(retain_flags(&world.take(backend)), [("live".to_owned(), false)]);
    }
}

#[test]
fn an_empty_payload_removes_and_is_delivered_live() {
    let mut world = World::new();
    let writer = world.device("a", ProtocolVersion::V311);
    let backend = world.backend(ProtocolVersion::V311);
    world.send(writer, &Packet::Publish(retained("dev/a/tel", "x", 1)));
    world.subscribe(backend, "dev/a/tel", QoS::AtMostOnce);
    world.take(backend);
    world.send(writer, &Packet::Publish(retained("dev/a/tel", "", 2)));
    assert_eq!(retain_flags(&world.take(backend)), [(String::new(), false)]);
    assert_eq!(world.broker.figures().retained.messages, 0);
}

#[test]
fn an_empty_payload_without_the_flag_removes_nothing() {
    let mut world = World::new();
    let writer = world.device("a", ProtocolVersion::V5);
    world.send(writer, &Packet::Publish(retained("dev/a/tel", "x", 1)));
    world.publish(writer, "dev/a/tel", "", QoS::AtLeastOnce, 2);
    assert_eq!(world.broker.figures().retained.messages, 1);
}

#[test]
fn retain_handling_and_retain_as_published_are_honoured() {
    let mut world = World::new();
    let writer = world.device("a", ProtocolVersion::V5);
    world.send(writer, &Packet::Publish(retained("dev/a/tel", "kept", 1)));
    let backend = world.backend(ProtocolVersion::V5);
    let mut request = subscribe("dev/a/tel", QoS::AtMostOnce);
    request.filters[0].retain_handling = RetainHandling::DoNotSend;
    world.send(backend, &Packet::Subscribe(request.clone()));
    assert_eq!(retain_flags(&world.take(backend)), []);
    request.filters[0].retain_handling = RetainHandling::SendIfNew;
    world.send(backend, &Packet::Subscribe(request.clone()));
    assert_eq!(retain_flags(&world.take(backend)), [], "the subscription exists");
    request.filters[0].retain_handling = RetainHandling::Send;
    request.filters[0].retain_as_published = true;
    world.send(backend, &Packet::Subscribe(request));
    assert_eq!(retain_flags(&world.take(backend)), [("kept".to_owned(), true)]);
    world.send(writer, &Packet::Publish(retained("dev/a/tel", "live", 2)));
    assert_eq!(retain_flags(&world.take(backend)), [("live".to_owned(), true)]);
}

#[test]
fn the_roles_cap_holds_at_the_bound_and_one_past_it() {
    let mut roles = policy();
    roles[0]["limits"]["retained_messages"] = serde_json::json!(2);
    let mut world = World::new();
    world.install(&roles, &no_exceptions());
    let writer = world.device("a", ProtocolVersion::V5);
    for (packet_id, topic) in [
        (1, "dev/a/tel"),
        (2, "peer/x/inbox"),
        (3, "peer/y/inbox"),
        (4, "dev/a/tel"),
    ] {
        world.send(writer, &Packet::Publish(retained(topic, "x", packet_id)));
    }
    let reasons: Vec<ReasonCode> = world
        .take(writer)
        .iter()
        .map(|packet| match packet {
            Packet::PubAck(answer) => answer.reason,
            other => panic!("{other:?}"),
        })
        .collect();
    use ReasonCode::{QuotaExceeded, Success};
    assert_eq!(
        reasons,
        [Success, Success, QuotaExceeded, Success],
        "replacing one's own is always possible"
    );
}

#[test]
fn no_text_is_added_for_a_client_that_wants_no_problem_information() {
    let mut world = World::new();
    let mut quiet = connect("a", ProtocolVersion::V5);
    quiet.properties = ConnectProperties {
        request_problem_information: Some(false),
        ..ConnectProperties::default()
    };
    let (quiet, _) = world.connect(&device("a"), quiet);
    let curious = world.device("b", ProtocolVersion::V5);
    for (id, expects_text) in [(quiet, false), (curious, true)] {
        world.publish(id, "dev/other/tel", "x", QoS::AtLeastOnce, 1);
        let packets = world.take(id);
        let [Packet::PubAck(answer)] = packets.as_slice() else {
            panic!("{packets:?}")
        };
        assert_eq!(answer.reason, ReasonCode::NotAuthorized);
        assert_eq!(answer.reason_string.is_some(), expects_text);
    }
}
