//! What somebody does who holds one valid credential, knows this code and has all night.

mod world;

use std::time::Duration;

use motte_guard::evidence::Kind;
use motte_mqtt::{Packet, ProtocolVersion, Publish, QoS, ReasonCode};
use serde_json::{Value, json};
use world::*;

const SECOND: Duration = Duration::from_secs(1);

fn retained(topic: &str, payload: &str) -> Packet {
    Packet::Publish(Publish {
        retain: true,
        ..publish(topic, payload, QoS::AtMostOnce, 0)
    })
}

fn superseded(uri: &str) -> Value {
    let serial: String = facts(uri)
        .serial
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    json!({"revoked_serials": [serial], "revoked": [], "quarantined": [], "banned": []})
}

/// The certificate that rotation gave the identity: another serial number.
fn rotated(world: &mut World, uri: &str, connect: motte_mqtt::Connect) -> (motte_broker::ConnectionId, bool) {
    let mut facts = facts(uri);
    facts.serial = vec![0x4d; 16];
    let id = world.open_with(&facts, connect.protocol_version);
    world.send(id, &Packet::Connect(Box::new(connect)));
    let packets = world.take(id);
    let Some(Packet::ConnAck(answer)) = packets.first() else {
        panic!("{packets:?}")
    };
    assert_eq!(answer.reason, ReasonCode::Success);
    (id, answer.session_present)
}

// Memory.

#[test]
fn held_messages_do_not_add_up_over_reconnects() {
    for version in VERSIONS {
        let mut world = World::new();
        let mut packet_ids = 1..;
        for round in 0..3 {
            let (writer, _) = world.lasting_device("a", version);
            for _ in 0..10 {
                world.send(writer, &qos_2(packet_ids.next().expect("endless")));
            }
            world.take(writer);
            assert_eq!(
                world.is_closed(writer),
                round > 0,
                "the role may hold ten, and holds them"
            );
            if round == 0 {
                world.cut(writer);
            }
        }
    }
}

#[test]
fn pubrel_for_nothing_buys_no_room_for_more() {
    for version in VERSIONS {
        let mut world = World::new();
        let writer = world.device("a", version);
        for packet_id in 1..=10 {
            world.send(writer, &qos_2(packet_id));
        }
        world.take(writer);
        for unknown in 1000..1010 {
            world.send(writer, &Packet::PubRel(success(number(unknown))));
        }
        world.take(writer);
        world.send(writer, &qos_2(11));
        assert!(world.is_closed(writer));
    }
}

#[test]
fn a_client_that_resumes_releases_first_and_then_has_its_whole_window() {
    for version in VERSIONS {
        let mut world = World::new();
        let (writer, _) = world.lasting_device("a", version);
        for packet_id in 1..=10 {
            world.send(writer, &qos_2(packet_id));
        }
        world.take(writer);
        world.cut(writer);
        let (writer, _) = world.lasting_device("a", version);
        for packet_id in 1..=10 {
            world.send(writer, &Packet::PubRel(success(number(packet_id))));
        }
        for packet_id in 11..=20 {
            world.send(writer, &qos_2(packet_id));
        }
        let packets = world.take(writer);
        assert_eq!(packets.len(), 20, "{packets:?}");
        assert!(!world.is_closed(writer));
    }
}

#[test]
fn released_exchanges_do_not_add_up_over_reconnects() {
    for version in VERSIONS {
        let mut world = World::new();
        let writer = world.device("d", version);
        let mut sent = 0_u16;
        for round in 0..4 {
            let (reader, _) = world.lasting_device("c", version);
            if round == 0 {
                world.subscribe(reader, "peer/c/inbox", QoS::ExactlyOnce);
            }
            for _ in 0..10 {
                sent += 1;
                world.publish(writer, "peer/c/inbox", "x", QoS::ExactlyOnce, sent);
                world.send(writer, &Packet::PubRel(success(number(sent))));
                world.take(writer);
            }
            // PUBREC for all, PUBCOMP for none.
            for packet in world.take(reader) {
                if let Packet::Publish(message) = packet {
                    let packet_id = message.packet_id.expect("QoS 2");
                    world.send(reader, &Packet::PubRec(success(packet_id)));
                }
            }
            world.take(reader);
            world.cut(reader);
        }
        let (reader, _) = world.lasting_device("c", version);
        let released = world
            .take(reader)
            .iter()
            .filter(|packet| matches!(packet, Packet::PubRel(_)))
            .count();
        assert!(
            released <= 10,
            "{released} exchanges are open, the role may have ten"
        );
    }
}

#[test]
fn replays_of_replaced_messages_do_not_pile_up() {
    let mut roles = policy();
    roles[0]["limits"]["queue_bytes"] = json!(10_000);
    roles[0]["limits"]["subscriptions"] = json!(1000);
    let mut world = World::new();
    world.install(&roles, &no_exceptions());
    let mut lazy = lasting(connect("a", ProtocolVersion::V5));
    lazy.properties.receive_maximum = std::num::NonZeroU16::new(1);
    let (thief, _) = world.connect(&device("a"), lazy);
    let payload = "x".repeat(4000);
    for _ in 0..50 {
        let message = Publish {
            retain: true,
            ..publish("peer/a/inbox", &payload, QoS::AtLeastOnce, 1)
        };
        world.send(thief, &Packet::Publish(message));
        world.send(
            thief,
            &Packet::Subscribe(subscribe("peer/a/inbox", QoS::AtLeastOnce)),
        );
    }
    // One that was sent and the two lines that the role allows.
    let held = world.broker.figures().queued.messages;
    assert!(held <= 1 + 2 + 3, "{held} messages are kept alive");
}

#[test]
fn a_will_that_waits_longer_than_its_session_leaves_no_timer() {
    let mut world = World::new();
    for _ in 0..20 {
        let mut with_will = connect("a", ProtocolVersion::V5);
        with_will.properties.session_expiry_interval = Some(1);
        let mut last = will("peer/b/inbox", "never alone");
        last.delay_interval = u32::MAX;
        with_will.will = Some(Box::new(last));
        let (id, _) = world.connect(&device("a"), with_will);
        world.cut(id);
        world.pass(2 * SECOND);
    }
    // Nothing is left but housekeeping, however long one waits.
    world.pass(Duration::from_secs(3600));
    let next = world.broker.next_deadline().expect("housekeeping");
    assert!(next <= world.elapsed + 10 * SECOND);
    assert_eq!(world.broker.figures().timers, 1);
}

#[test]
fn closed_connections_leave_no_timer() {
    let mut world = World::new();
    for _ in 0..50 {
        let id = world.device("a", ProtocolVersion::V5);
        world.cut(id);
        let id = world.open(&device("a"), ProtocolVersion::V5);
        world.cut(id);
    }
    assert_eq!(world.broker.figures().timers, 1, "housekeeping");
}

#[test]
fn packets_in_halves_do_not_fill_the_table_of_timers() {
    let mut world = World::new();
    let id = world.device("a", ProtocolVersion::V5);
    for _ in 0..2000 {
        world.send_bytes(id, &[0xC0, 0x00, 0xC0]);
        world.pass(SECOND);
        world.send_bytes(id, &[0xC0, 0x00]);
        world.take(id);
        world.pass(SECOND);
    }
    assert!(!world.is_closed(id));
    let timers = world.broker.figures().timers;
    assert!(timers < 20, "{timers} timers");
}

// Wills.

#[test]
fn a_reconnect_loop_does_not_publish_a_will_each_time() {
    for version in VERSIONS {
        let mut world = World::new();
        let reader = world.device("b", version);
        world.subscribe(reader, "peer/b/inbox", QoS::AtMostOnce);
        for _ in 0..50 {
            let mut with_will = connect("a", version);
            with_will.will = Some(Box::new(will("peer/b/inbox", "again")));
            let (id, _) = world.connect(&device("a"), with_will);
            world.cut(id);
        }
        let wills = world.payloads(reader).len();
        assert!((1..=10).contains(&wills), "{wills} wills");
        let dropped = world
            .evidence()
            .into_iter()
            .filter(|record| record.kind == Kind::WillDropped);
        let records = dropped.count();
        assert!(
            (1..=8).contains(&records),
            "{records} records, the others are counted"
        );
        // Somebody else's is not touched, and time heals.
        world.pass(60 * SECOND);
        let reader = world.device("b", version);
        world.subscribe(reader, "peer/b/inbox", QoS::AtMostOnce);
        for name in ["a", "c"] {
            let mut with_will = connect(name, version);
            with_will.will = Some(Box::new(will("peer/b/inbox", name)));
            let (id, _) = world.connect(&device(name), with_will);
            world.cut(id);
        }
        assert_eq!(world.payloads(reader), ["a", "c"]);
    }
}

#[test]
fn the_will_of_a_device_that_used_up_its_rate_still_comes() {
    let mut roles = policy();
    roles[0]["limits"]["messages_per_second"] = json!(1);
    roles[0]["limits"]["message_burst"] = json!(5);
    let mut world = World::new();
    world.install(&roles, &no_exceptions());
    let reader = world.device("b", ProtocolVersion::V5);
    world.subscribe(reader, "peer/b/inbox", QoS::AtMostOnce);
    let mut with_will = connect("a", ProtocolVersion::V5);
    with_will.will = Some(Box::new(will("peer/b/inbox", "gone")));
    let (id, _) = world.connect(&device("a"), with_will);
    for _ in 0..5 {
        world.publish(id, "dev/a/tel", "x", QoS::AtMostOnce, 0);
    }
    world.cut(id);
    assert_eq!(world.payloads(reader), ["gone"]);
}

#[test]
fn a_will_outlives_its_certificate_when_the_policy_changes() {
    let mut world = World::new();
    let mut with_will = connect("a", ProtocolVersion::V5);
    with_will.properties.session_expiry_interval = Some(3600);
    let mut last = will("peer/b/inbox", "battery empty");
    last.delay_interval = 1800;
    with_will.will = Some(Box::new(last));
    let mut facts = facts(&device("a"));
    facts.not_after = world.now().unix.as_secs() + 60;
    let id = world.open_with(&facts, ProtocolVersion::V5);
    world.send(id, &Packet::Connect(Box::new(with_will)));
    world.take(id);
    world.cut(id);
    world.pass(120 * SECOND);
    assert_eq!(world.install(&policy(), &no_exceptions()).wills_dropped, 0);
    let (reader, _) = world.lasting_device("b", ProtocolVersion::V5);
    world.subscribe(reader, "peer/b/inbox", QoS::AtLeastOnce);
    world.cut(reader);
    world.pass(1800 * SECOND);
    let (reader, _) = world.lasting_device("b", ProtocolVersion::V5);
    assert_eq!(world.payloads(reader), ["battery empty"]);
}

// Rotation: the identity is trusted, its old certificate is not.

#[test]
fn rotation_withholds_nothing_that_the_device_said_or_subscribed_to() {
    for version in VERSIONS {
        let mut world = World::new();
        let (device_a, _) = world.lasting_device("a", version);
        world.subscribe(device_a, "peer/a/inbox", QoS::AtLeastOnce);
        world.send(device_a, &retained("dev/a/tel", "state"));
        let (away, _) = world.lasting_device("c", version);
        world.subscribe(away, "peer/c/inbox", QoS::AtLeastOnce);
        world.cut(away);
        world.publish(device_a, "peer/c/inbox", "queued", QoS::AtLeastOnce, 1);
        world.take(device_a);
        let report = world.install(&policy(), &superseded(&device("a")));
        assert_eq!(
            report.disconnected,
            ["device/a"],
            "the old certificate acts no more"
        );
        assert_eq!((report.subscriptions_pruned, report.messages_withheld), (0, 0));
        let (back, _) = world.lasting_device("c", version);
        assert_eq!(world.payloads(back), ["queued"]);
        let backend = world.backend(version);
        world.send(
            backend,
            &Packet::Subscribe(subscribe("dev/a/tel", QoS::AtMostOnce)),
        );
        assert_eq!(world.payloads(backend), ["state"]);
        let (new, present) = rotated(&mut world, &device("a"), lasting(connect("a", version)));
        assert!(present);
        world.publish(back, "peer/a/inbox", "still subscribed", QoS::AtLeastOnce, 2);
        assert_eq!(world.payloads(new), ["still subscribed"]);
    }
}

#[test]
fn the_will_of_a_superseded_certificate_never_comes() {
    let mut world = World::new();
    let reader = world.device("b", ProtocolVersion::V5);
    world.subscribe(reader, "peer/b/inbox", QoS::AtMostOnce);
    let mut with_will = connect("a", ProtocolVersion::V5);
    with_will.will = Some(Box::new(will("peer/b/inbox", "thief")));
    world.connect(&device("a"), with_will);
    world.evidence();
    let report = world.install(&policy(), &superseded(&device("a")));
    assert_eq!(report.wills_dropped, 1);
    assert_eq!(world.payloads(reader), Vec::<String>::new());
    let dropped = world
        .evidence()
        .into_iter()
        .filter(|record| record.kind == Kind::WillDropped);
    assert_eq!(dropped.count(), 1);
}

#[test]
fn a_session_that_is_resumed_with_other_attributes_keeps_only_what_they_grant() {
    let mut roles = policy();
    roles[0]["subscribe"] = json!([{"topic": "site/{site}/cmd", "qos": 1, "line": 4}]);
    let mut world = World::new();
    world.install(&roles, &no_exceptions());
    let at = |site: &str| format!("spiffe://{FLEET}/group/dev/site/{site}/device/a");
    let lasting_a = || lasting(connect("a", ProtocolVersion::V5));
    let (id, _) = world.connect(&at("north"), lasting_a());
    assert_eq!(
        world.subscribe(id, "site/north/cmd", QoS::AtLeastOnce),
        ReasonCode::GrantedQoS1
    );
    world.cut(id);
    let (_, answer) = world.connect(&at("south"), lasting_a());
    assert!(answer.session_present);
    assert_eq!(world.broker.figures().subscriptions, 0);
}
