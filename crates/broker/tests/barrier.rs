//! Law 6: when a policy change or a revocation returns, nothing that it denies goes out any more.

mod world;

use motte_mqtt::{Packet, ProtocolVersion, QoS, ReasonCode};
use serde_json::json;
use world::*;

#[test]
fn a_revoked_identity_is_disconnected_and_its_will_dropped() {
    for version in VERSIONS {
        let mut world = World::new();
        let reader = world.device("b", version);
        world.subscribe(reader, "peer/b/inbox", QoS::AtLeastOnce);
        let mut with_will = connect("a", version);
        with_will.will = Some(Box::new(will("peer/b/inbox", "last word")));
        let (thief, _) = world.connect(&device("a"), with_will);
        let report = world.install(&policy(), &revoked("device/a"));
        assert_eq!(
            (report.disconnected, report.wills_dropped),
            (vec!["device/a".to_owned()], 1)
        );
        let packets = world.take(thief);
        match version {
            ProtocolVersion::V5 => {
                let [Packet::Disconnect(goodbye)] = packets.as_slice() else {
                    panic!("{packets:?}")
                };
                assert_eq!(goodbye.reason, ReasonCode::AdministrativeAction);
            }
            ProtocolVersion::V311 => assert!(packets.is_empty(), "{packets:?}"),
        }
        assert!(world.is_closed(thief));
        assert_eq!(world.payloads(reader), Vec::<String>::new());
    }
}

#[test]
fn nothing_is_transmitted_to_a_revoked_reader_after_the_call() {
    let mut world = World::new();
    let writer = world.device("a", ProtocolVersion::V5);
    let reader = world.device("b", ProtocolVersion::V5);
    world.subscribe(reader, "peer/b/inbox", QoS::AtMostOnce);
    world.publish(writer, "peer/b/inbox", "waiting", QoS::AtMostOnce, 0);
    world.install(&policy(), &revoked("device/b"));
    assert!(
        world
            .take(reader)
            .iter()
            .all(|packet| matches!(packet, Packet::Disconnect(_)))
    );
}

#[test]
fn waiting_messages_of_a_revoked_sender_are_withheld_live_and_offline() {
    for version in VERSIONS {
        let mut world = World::new();
        let thief = world.device("a", version);
        let live = world.device("b", version);
        world.subscribe(live, "peer/b/inbox", QoS::AtLeastOnce);
        let (away, _) = world.lasting_device("c", version);
        world.subscribe(away, "peer/c/inbox", QoS::ExactlyOnce);
        world.cut(away);
        world.publish(thief, "peer/b/inbox", "open the door", QoS::AtLeastOnce, 1);
        world.publish(thief, "peer/c/inbox", "open the door", QoS::AtLeastOnce, 2);
        let report = world.install(&policy(), &revoked("device/a"));
        assert_eq!(report.messages_withheld, 2);
        assert_eq!(world.payloads(live), Vec::<String>::new());
        let (back, present) = world.lasting_device("c", version);
        assert!(present);
        assert_eq!(world.payloads(back), Vec::<String>::new());
    }
}

#[test]
fn a_message_sent_once_is_not_sent_again_after_its_sender_was_revoked() {
    for version in VERSIONS {
        let mut world = World::new();
        let thief = world.device("a", version);
        let (reader, _) = world.lasting_device("c", version);
        world.subscribe(reader, "peer/c/inbox", QoS::AtLeastOnce);
        world.publish(thief, "peer/c/inbox", "first try", QoS::AtLeastOnce, 2);
        assert_eq!(world.take(reader).len(), 1);
        world.cut(reader);
        world.install(&policy(), &revoked("device/a"));
        let (back, _) = world.lasting_device("c", version);
        assert_eq!(world.payloads(back), Vec::<String>::new());
        // The identifier is free again, and others go on.
        let other = world.device("d", version);
        world.publish(other, "peer/c/inbox", "from a friend", QoS::AtLeastOnce, 2);
        assert_eq!(world.payloads(back), ["from a friend"]);
    }
}

#[test]
fn an_unacknowledged_message_is_sent_again_on_a_resumed_session() {
    for version in VERSIONS {
        let mut world = World::new();
        let writer = world.device("a", version);
        let (reader, _) = world.lasting_device("c", version);
        world.subscribe(reader, "peer/c/inbox", QoS::ExactlyOnce);
        world.publish(writer, "peer/c/inbox", "again", QoS::AtLeastOnce, 2);
        world.take(reader);
        world.cut(reader);
        let (back, present) = world.lasting_device("c", version);
        assert!(present);
        let packets = world.take(back);
        let [Packet::Publish(message)] = packets.as_slice() else {
            panic!("{packets:?}")
        };
        assert!(message.dup);
    }
}

#[test]
fn a_held_qos_2_message_is_judged_again_at_pubrel() {
    for version in VERSIONS {
        let mut world = World::new();
        let writer = world.device("a", version);
        let reader = world.device("b", version);
        world.subscribe(reader, "peer/b/inbox", QoS::ExactlyOnce);
        world.publish(writer, "peer/b/inbox", "stalled", QoS::ExactlyOnce, 3);
        world.take(writer);
        let mut roles = policy();
        roles[0]["publish"] =
            json!([{"topic": "dev/{device}/tel", "qos": 2, "retain": true, "will": true, "line": 2}]);
        world.install(&roles, &no_exceptions());
        world.send(writer, &Packet::PubRel(success(number(3))));
        assert!(matches!(world.take(writer).as_slice(), [Packet::PubComp(_)]));
        assert_eq!(world.payloads(reader), Vec::<String>::new());
    }
}

#[test]
fn a_subscription_that_the_policy_takes_away_is_pruned_and_others_stay() {
    let mut world = World::new();
    let writer = world.device("a", ProtocolVersion::V5);
    let backend = world.backend(ProtocolVersion::V5);
    let reader = world.device("b", ProtocolVersion::V5);
    world.subscribe(reader, "peer/b/inbox", QoS::AtMostOnce);
    world.subscribe(reader, "dev/b/cmd", QoS::AtMostOnce);
    let mut roles = policy();
    roles[0]["subscribe"] = json!([{"topic": "dev/{device}/cmd", "qos": 2, "line": 4}]);
    let report = world.install(&roles, &no_exceptions());
    assert_eq!(report.subscriptions_pruned, 1);
    world.publish(writer, "peer/b/inbox", "no longer", QoS::AtMostOnce, 0);
    world.publish(backend, "dev/b/cmd", "still", QoS::AtMostOnce, 0);
    assert_eq!(world.payloads(reader), ["still"]);
}

#[test]
fn retained_messages_of_a_revoked_sender_are_gone_and_of_a_quarantined_one_withheld() {
    let mut world = World::new();
    let writer = world.device("a", ProtocolVersion::V5);
    let mut message = publish("dev/a/tel", "state", QoS::AtMostOnce, 0);
    message.retain = true;
    world.send(writer, &Packet::Publish(message));
    world.install(&policy(), &quarantined("device/a"));
    let backend = world.backend(ProtocolVersion::V5);
    world.subscribe(backend, "dev/+/tel", QoS::AtMostOnce);
    assert_eq!(world.payloads(backend), Vec::<String>::new());
    assert_eq!(world.broker.figures().retained.messages, 1);
    world.install(&policy(), &no_exceptions());
    world.subscribe(backend, "dev/+/tel", QoS::AtMostOnce);
    // The SUBACK and the message came together, so ask once more.
    let report = world.install(&policy(), &revoked("device/a"));
    assert_eq!(report.retained_withheld, 1);
    assert_eq!(world.broker.figures().retained.messages, 0);
}

#[test]
fn sessions_of_a_revoked_identity_end() {
    let mut world = World::new();
    let (away, _) = world.lasting_device("c", ProtocolVersion::V5);
    world.subscribe(away, "peer/c/inbox", QoS::ExactlyOnce);
    world.cut(away);
    assert_eq!(world.broker.figures().sessions, 1);
    let report = world.install(&policy(), &revoked("device/c"));
    assert_eq!((report.sessions_ended, world.broker.figures().sessions), (1, 0));
}

#[test]
fn a_delayed_will_of_somebody_revoked_in_the_meantime_never_comes() {
    let mut world = World::new();
    let reader = world.device("b", ProtocolVersion::V5);
    world.subscribe(reader, "peer/b/inbox", QoS::AtLeastOnce);
    let mut with_will = lasting(connect("a", ProtocolVersion::V5));
    let mut last = will("peer/b/inbox", "much later");
    last.delay_interval = 60;
    with_will.will = Some(Box::new(last));
    let (thief, _) = world.connect(&device("a"), with_will);
    world.cut(thief);
    world.install(&policy(), &quarantined("device/a"));
    world.install(&policy(), &no_exceptions());
    world.pass(std::time::Duration::from_secs(61));
    assert_eq!(world.payloads(reader), Vec::<String>::new());
}

#[test]
fn an_older_snapshot_is_refused_and_the_newer_stays_in_force() {
    let mut world = World::new();
    world.install(&policy(), &revoked("device/a"));
    let now = world.now();
    assert!(
        world
            .broker
            .install(snapshot(1, &policy(), &no_exceptions()), now)
            .is_err()
    );
    assert!(
        world
            .broker
            .open(
                "127.0.0.1:1".parse().unwrap(),
                &facts(&device("a")),
                world.elapsed,
                now
            )
            .is_err()
    );
}
