//! Connecting, sessions, takeover, wills and everything that happens because time passes.

mod world;

use std::time::Duration;

use motte_mqtt::{Packet, ProtocolVersion, QoS, ReasonCode};
use world::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_first_packet_is_connect_or_the_connection_ends() {
    let mut world = World::new();
    let id = world.open(&device("a"), ProtocolVersion::V5);
    world.send_bytes(id, &[0xC0, 0x00]);
    assert!(world.is_closed(id));
}

#[test]
fn a_second_connect_ends_the_connection() {
    for version in VERSIONS {
        let mut world = World::new();
        let id = world.device("a", version);
        world.send(id, &Packet::Connect(Box::new(connect("a", version))));
        let packets = world.take(id);
        if version == ProtocolVersion::V5 {
            let [Packet::Disconnect(goodbye)] = packets.as_slice() else {
                panic!("{packets:?}")
            };
            assert_eq!(goodbye.reason, ReasonCode::ProtocolError);
        }
        assert!(world.is_closed(id));
    }
}

#[test]
fn another_identitys_client_id_is_refused_and_the_owner_undisturbed() {
    for version in VERSIONS {
        for clean_start in [true, false] {
            let mut world = World::new();
            let (owner, _) = world.lasting_device("b", version);
            world.subscribe(owner, "peer/b/inbox", QoS::AtLeastOnce);
            let mut theft = connect("b", version);
            theft.clean_start = clean_start;
            let (thief, answer) = world.connect(&device("a"), theft);
            assert!(answer.reason.is_failure());
            assert!(world.is_closed(thief));
            let friend = world.device("d", version);
            world.publish(friend, "peer/b/inbox", "still mine", QoS::AtLeastOnce, 1);
            assert_eq!(world.payloads(owner), ["still mine"]);
        }
    }
}

#[test]
fn the_same_identity_takes_its_session_over() {
    let mut world = World::new();
    let (first, _) = world.lasting_device("a", ProtocolVersion::V5);
    world.subscribe(first, "peer/a/inbox", QoS::AtLeastOnce);
    let (second, present) = world.lasting_device("a", ProtocolVersion::V5);
    assert!(present);
    let packets = world.take(first);
    let [Packet::Disconnect(goodbye)] = packets.as_slice() else {
        panic!("{packets:?}")
    };
    assert_eq!(goodbye.reason, ReasonCode::SessionTakenOver);
    let friend = world.device("d", ProtocolVersion::V5);
    world.publish(friend, "peer/a/inbox", "x", QoS::AtLeastOnce, 1);
    assert_eq!(world.payloads(second), ["x"]);
}

#[test]
fn a_second_connection_of_an_identity_whose_role_allows_one_is_refused() {
    let mut world = World::new();
    let first = world.device("a", ProtocolVersion::V5);
    let (_, answer) = world.connect(&device("a"), connect("a:clone", ProtocolVersion::V5));
    assert!(answer.reason.is_failure());
    let (_, answer) = world.connect(&device("a"), connect("", ProtocolVersion::V5));
    assert!(
        answer.reason.is_failure(),
        "an assigned client id is a second connection as well"
    );
    assert!(!world.is_closed(first));
}

#[test]
fn an_assigned_client_id_says_nothing_about_the_next() {
    let mut world = World::new();
    let mut assigned = Vec::new();
    for _ in 0..3 {
        let (id, answer) = world.connect(&device("a"), connect("", ProtocolVersion::V5));
        assigned.push(
            answer
                .properties
                .assigned_client_identifier
                .expect("an assigned id")
                .to_string(),
        );
        world.send(
            id,
            &Packet::Disconnect(motte_mqtt::Disconnect::new(ReasonCode::Success)),
        );
        world.take(id);
    }
    for pair in assigned.windows(2) {
        let common = pair[0]
            .bytes()
            .zip(pair[1].bytes())
            .take_while(|(left, right)| left == right)
            .count();
        assert!(common < "a:".len() + 6, "{assigned:?}");
    }
}

#[test]
fn a_session_waits_for_its_client_and_ends_with_its_expiry() {
    for version in VERSIONS {
        let mut world = World::new();
        let (away, _) = world.lasting_device("c", version);
        world.subscribe(away, "peer/c/inbox", QoS::AtLeastOnce);
        world.cut(away);
        let writer = world.device("a", version);
        world.publish(writer, "peer/c/inbox", "while away", QoS::AtLeastOnce, 1);
        world.publish(writer, "peer/c/inbox", "not kept", QoS::AtMostOnce, 1);
        world.pass(30 * SECOND);
        let (back, present) = world.lasting_device("c", version);
        assert!(present);
        assert_eq!(world.payloads(back), ["while away"]);
        world.cut(back);
        world.pass(25 * 3600 * SECOND);
        let (_, present) = world.lasting_device("c", version);
        assert!(!present);
    }
}

#[test]
fn a_full_queue_keeps_the_oldest_at_the_bound_and_drops_one_past_it() {
    let mut world = World::new();
    let (away, _) = world.lasting_device("c", ProtocolVersion::V5);
    world.subscribe(away, "peer/c/inbox", QoS::AtLeastOnce);
    world.cut(away);
    let writer = world.device("a", ProtocolVersion::V5);
    for number in 0..101_u16 {
        world.publish(writer, "peer/c/inbox", &number.to_string(), QoS::AtLeastOnce, 1);
        world.take(writer);
    }
    let (back, _) = world.lasting_device("c", ProtocolVersion::V5);
    let kept: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(world.payloads(back), kept);
    assert_eq!(world.broker.figures().messages.dropped, 1);
}

#[test]
fn an_expired_message_is_not_delivered_and_the_rest_of_the_interval_is_told() {
    let mut world = World::new();
    let (away, _) = world.lasting_device("c", ProtocolVersion::V5);
    world.subscribe(away, "peer/c/inbox", QoS::AtLeastOnce);
    world.cut(away);
    let writer = world.device("a", ProtocolVersion::V5);
    for (packet_id, seconds) in [(1, 5), (2, 60)] {
        let mut message = publish("peer/c/inbox", "x", QoS::AtLeastOnce, packet_id);
        message.properties.message_expiry_interval = Some(seconds);
        world.send(writer, &Packet::Publish(message));
    }
    world.pass(20 * SECOND);
    let (back, _) = world.lasting_device("c", ProtocolVersion::V5);
    let packets = world.take(back);
    let [Packet::Publish(message)] = packets.as_slice() else {
        panic!("{packets:?}")
    };
    assert_eq!(message.properties.message_expiry_interval, Some(40));
}

#[test]
fn keep_alive_ends_a_silent_connection_after_one_and_a_half_intervals() {
    let mut world = World::new();
    let reader = world.device("b", ProtocolVersion::V5);
    world.subscribe(reader, "peer/b/inbox", QoS::AtLeastOnce);
    let mut with_will = connect("a", ProtocolVersion::V5);
    with_will.keep_alive = 10;
    with_will.will = Some(Box::new(will("peer/b/inbox", "gone")));
    let (silent, _) = world.connect(&device("a"), with_will);
    world.pass(10 * SECOND);
    world.send(silent, &Packet::PingReq);
    world.pass(14 * SECOND);
    assert!(!world.is_closed(silent));
    world.pass(2 * SECOND);
    assert!(world.is_closed(silent));
    assert_eq!(world.payloads(reader), ["gone"]);
}

#[test]
fn a_connection_without_connect_and_a_half_packet_meet_their_deadlines() {
    let mut world = World::new();
    let idle = world.open(&device("a"), ProtocolVersion::V5);
    let halting = world.device("b", ProtocolVersion::V5);
    world.send_bytes(halting, &[0x30, 0x7f, 0x00]);
    world.pass(9 * SECOND);
    assert!(!world.is_closed(idle));
    world.pass(2 * SECOND);
    assert!(world.is_closed(idle));
    // More bytes of the same packet do not buy more time (attack X2).
    world.send_bytes(halting, &[0x01]);
    world.pass(20 * SECOND);
    assert!(world.is_closed(halting));
}

#[test]
fn a_certificate_that_runs_out_ends_the_live_connection() {
    let mut world = World::new();
    let mut patient = connect("a", ProtocolVersion::V5);
    patient.keep_alive = 0;
    let (id, answer) = world.connect(&device("a"), patient);
    assert!(
        answer.properties.server_keep_alive.is_some(),
        "no client stays for ever unasked"
    );
    for _ in 0..(7 * 24 * 60) {
        world.send(id, &Packet::PingReq);
        world.take(id);
        if world.is_closed(id) {
            break;
        }
        world.pass(60 * SECOND);
    }
    assert!(world.is_closed(id));
}

#[test]
fn wills_come_when_the_connection_fails_and_not_after_disconnect() {
    for version in VERSIONS {
        let mut world = World::new();
        let reader = world.device("b", version);
        world.subscribe(reader, "peer/b/inbox", QoS::AtLeastOnce);
        for graceful in [true, false] {
            let mut with_will = connect("a", version);
            with_will.will = Some(Box::new(will("peer/b/inbox", "will")));
            let (id, _) = world.connect(&device("a"), with_will);
            if graceful {
                world.send(
                    id,
                    &Packet::Disconnect(motte_mqtt::Disconnect::new(ReasonCode::Success)),
                );
                world.take(id);
                assert_eq!(world.payloads(reader), Vec::<String>::new());
            } else {
                world.cut(id);
                assert_eq!(world.payloads(reader), ["will"]);
            }
        }
    }
}

#[test]
fn a_delayed_will_waits_and_a_returning_client_takes_it_back() {
    let mut world = World::new();
    let reader = world.device("b", ProtocolVersion::V5);
    world.subscribe(reader, "peer/b/inbox", QoS::AtLeastOnce);
    let mut with_will = lasting(connect("a", ProtocolVersion::V5));
    let mut last = will("peer/b/inbox", "late");
    last.delay_interval = 10;
    with_will.will = Some(Box::new(last));
    let (id, _) = world.connect(&device("a"), with_will.clone());
    world.cut(id);
    world.pass(9 * SECOND);
    let (id, _) = world.connect(&device("a"), with_will);
    world.pass(5 * SECOND);
    assert_eq!(world.payloads(reader), Vec::<String>::new());
    world.cut(id);
    world.pass(11 * SECOND);
    assert_eq!(world.payloads(reader), ["late"]);
}

#[test]
fn an_unauthorized_will_refuses_the_connection_before_anything_changed() {
    for version in VERSIONS {
        let mut world = World::new();
        let (owner, _) = world.lasting_device("a", version);
        world.subscribe(owner, "peer/a/inbox", QoS::AtLeastOnce);
        world.cut(owner);
        let mut with_will = connect("a", version);
        with_will.will = Some(Box::new(will("dev/b/tel", "forged")));
        let (_, answer) = world.connect(&device("a"), with_will);
        assert!(answer.reason.is_failure());
        let (_, present) = world.lasting_device("a", version);
        assert!(present, "the clean start of the refused CONNECT had no effect");
    }
}

#[test]
fn everything_is_denied_without_a_snapshot() {
    let guard = motte_guard::Guard::new(motte_guard::GuardSettings::new(FLEET));
    let mut broker = motte_broker::Broker::new(
        motte_broker::BrokerSettings::default(),
        guard,
        motte_broker::MemoryStore::default(),
        [0; 32],
    );
    let now = motte_guard::Now {
        monotonic: SECOND,
        unix: START,
    };
    let refused = broker.open("127.0.0.1:1".parse().unwrap(), &facts(&device("a")), SECOND, now);
    assert!(refused.is_err());
    assert_eq!(broker.take_evidence().len(), 1);
}

#[test]
fn shutdown_says_goodbye_and_keeps_sessions() {
    let mut world = World::new();
    let (id, _) = world.lasting_device("a", ProtocolVersion::V5);
    let now = world.now();
    world.broker.begin_shutdown(now);
    let packets = world.take(id);
    let [Packet::Disconnect(goodbye)] = packets.as_slice() else {
        panic!("{packets:?}")
    };
    assert_eq!(goodbye.reason, ReasonCode::ServerShuttingDown);
    assert_eq!(world.broker.figures().sessions, 1);
}

#[test]
fn a_client_that_takes_no_connack_is_let_go_and_nothing_is_said() {
    let mut world = World::new();
    let id = world.open(&device("a"), ProtocolVersion::V5);
    let mut tiny = connect("a", ProtocolVersion::V5);
    tiny.properties.maximum_packet_size = std::num::NonZeroU32::new(4);
    world.send(id, &Packet::Connect(Box::new(tiny)));
    assert!(world.take(id).is_empty());
    assert!(world.is_closed(id));
    assert_eq!(world.broker.figures().sessions, 0);
}

#[test]
fn an_operators_disconnect_is_no_judgement_so_the_will_is_published() {
    let mut world = World::new();
    let reader = world.device("b", ProtocolVersion::V5);
    world.subscribe(reader, "peer/b/inbox", QoS::AtLeastOnce);
    let mut with_will = connect("a", ProtocolVersion::V5);
    with_will.will = Some(Box::new(will("peer/b/inbox", "gone")));
    world.connect(&device("a"), with_will);
    let now = world.now();
    assert_eq!(world.broker.disconnect("device/a", now), 1);
    assert_eq!(world.payloads(reader), ["gone"]);
}
