//! What an adversary with a valid credential is told, and what the books say afterwards.

mod world;

use std::time::Duration;

use motte_guard::evidence::Kind;
use motte_mqtt::{Acknowledgement, ConnectProperties, Packet, ProtocolVersion, Publish, QoS, ReasonCode};
use serde_json::{Value, json};
use world::*;

const SECOND: Duration = Duration::from_secs(1);

/// The roles of [`policy`] with one limit of the devices changed.
fn with_limit(limit: &str, value: u64) -> Value {
    let mut roles = policy();
    roles[0]["limits"][limit] = json!(value);
    roles
}

fn only_telemetry() -> Value {
    json!([{"topic": "dev/{device}/tel", "qos": 2, "retain": true, "will": true, "line": 2}])
}

// Evidence and answers.

#[test]
fn what_a_policy_change_withholds_is_in_the_evidence_under_its_sender() {
    let mut world = World::new();
    let thief = world.device("a", ProtocolVersion::V5);
    let (away, _) = world.lasting_device("c", ProtocolVersion::V5);
    world.subscribe(away, "peer/c/inbox", QoS::AtLeastOnce);
    world.cut(away);
    for packet_id in 1..=5 {
        world.publish(
            thief,
            "peer/c/inbox",
            "open the door",
            QoS::AtLeastOnce,
            packet_id,
        );
    }
    world.evidence();
    world.install(&policy(), &revoked("device/a"));
    let records = world.evidence();
    let withheld: Vec<_> = records
        .iter()
        .filter(|record| record.kind == Kind::Withheld)
        .collect();
    assert!((1..=5).contains(&withheld.len()), "more may be counted together");
    let identity = withheld[0].identity.as_ref().expect("a sender");
    assert_eq!(identity.as_str(), "device/a");
}

#[test]
fn a_certificate_that_runs_out_is_good_through_its_last_second_and_then_in_the_evidence() {
    let mut world = World::new();
    let mut facts = facts(&device("a"));
    facts.not_after = world.now().unix.as_secs() + 20;
    let id = world.open_with(&facts, ProtocolVersion::V5);
    world.send(id, &Packet::Connect(Box::new(connect("a", ProtocolVersion::V5))));
    world.take(id);
    world.pass(20 * SECOND);
    assert!(!world.is_closed(id));
    world.evidence();
    world.pass(SECOND);
    assert!(world.is_closed(id));
    let refused = world
        .evidence()
        .into_iter()
        .find(|record| record.kind == Kind::Refused)
        .expect("a refusal");
    assert_eq!(refused.rule.expect("a rule").as_str(), "tls.expired");
}

#[test]
fn nothing_follows_disconnect() {
    let mut world = World::new();
    let writer = world.device("a", ProtocolVersion::V5);
    // One short of the strikes that end a connection.
    for packet_id in 1..=127 {
        world.publish(writer, "dev/b/tel", "forged", QoS::AtLeastOnce, packet_id);
        world.take(writer);
    }
    world.send(writer, &qos_2(200));
    world.take(writer);
    let mut roles = policy();
    roles[0]["publish"] = only_telemetry();
    world.install(&roles, &no_exceptions());
    world.send(writer, &Packet::PubRel(success(number(200))));
    let packets = world.take(writer);
    assert!(
        matches!(packets.as_slice(), [Packet::Disconnect(_)]),
        "{packets:?}"
    );
}

#[test]
fn codes_for_wildcards_do_not_tell_where_denials_are() {
    let mut roles = policy();
    roles[0]["deny"] = json!([{"topic": "dev/+/secret", "actions": ["subscribe"], "line": 6}]);
    let mut world = World::new();
    world.install(&roles, &no_exceptions());
    let curious = world.device("a", ProtocolVersion::V5);
    for filter in [
        "#",
        "dev/#",
        "dev/+/secret",
        "dev/+/other",
        "elsewhere/#",
        "+/+/secret",
    ] {
        assert_eq!(
            world.subscribe(curious, filter, QoS::AtMostOnce),
            ReasonCode::WildcardSubscriptionsNotSupported,
            "{filter}"
        );
    }
}

#[test]
fn foreign_client_ids_are_answered_alike_whether_they_exist_or_not() {
    for version in VERSIONS {
        let mut world = World::new();
        let (_owner, _) = world.lasting_device("b", version);
        let (away, _) = world.lasting_device("c", version);
        world.cut(away);
        let answers: Vec<_> = ["b", "c", "nobody", "b:x", "c:x"]
            .into_iter()
            .map(|client_id| world.connect(&device("a"), connect(client_id, version)).1)
            .collect();
        assert!(
            answers
                .iter()
                .all(|answer| *answer == answers[0] && answer.reason.is_failure())
        );
    }
}

#[test]
fn user_properties_are_the_senders_words_and_nothing_is_added_or_taken() {
    let mut world = World::new();
    let liar = world.device("a", ProtocolVersion::V5);
    let reader = world.device("b", ProtocolVersion::V5);
    world.subscribe(reader, "peer/b/inbox", QoS::AtMostOnce);
    let mut message = publish("peer/b/inbox", "x", QoS::AtMostOnce, 0);
    let claim = vec![
        ("sender".into(), "device/d".into()),
        ("$motte".into(), "1".into()),
    ];
    message.properties.user_properties.clone_from(&claim);
    world.send(liar, &Packet::Publish(message));
    let packets = world.take(reader);
    let [Packet::Publish(message)] = packets.as_slice() else {
        panic!("{packets:?}")
    };
    assert_eq!(message.properties.user_properties, claim);
}

// Books.

#[test]
fn replacing_a_retained_message_does_not_count_the_one_that_goes() {
    let mut world = World::new();
    world.install(&with_limit("retained_bytes", 1000), &no_exceptions());
    let writer = world.device("a", ProtocolVersion::V5);
    for round in 0..3 {
        let message = Publish {
            retain: true,
            ..publish("dev/a/tel", &"x".repeat(900), QoS::AtLeastOnce, 1)
        };
        world.send(writer, &Packet::Publish(message));
        let packets = world.take(writer);
        let [Packet::PubAck(Acknowledgement { reason, .. })] = packets.as_slice() else {
            panic!("{packets:?}")
        };
        assert_eq!(*reason, ReasonCode::Success, "round {round}");
    }
}

#[test]
fn an_alias_given_with_a_repeated_message_is_known() {
    let mut world = World::new();
    let (writer, _) = world.lasting_device("a", ProtocolVersion::V5);
    world.send(writer, &qos_2(1));
    world.take(writer);
    world.cut(writer);
    let (writer, _) = world.lasting_device("a", ProtocolVersion::V5);
    let mut again = publish("peer/b/inbox", "held", QoS::ExactlyOnce, 1);
    again.dup = true;
    again.properties.topic_alias = std::num::NonZeroU16::new(1);
    world.send(writer, &Packet::Publish(again));
    let mut short = publish("", "by alias", QoS::AtLeastOnce, 2);
    short.properties.topic_alias = std::num::NonZeroU16::new(1);
    world.send(writer, &Packet::Publish(short));
    let packets = world.take(writer);
    assert!(
        matches!(packets.as_slice(), [Packet::PubRec(_), Packet::PubAck(_)]),
        "{packets:?}"
    );
}

#[test]
fn times_at_the_end_of_the_scale_overflow_nothing() {
    let mut roles = policy();
    for limit in ["session_expiry", "message_expiry"] {
        roles[0]["limits"][limit] = json!(u32::MAX - 1);
    }
    let mut world = World::new();
    world.install(&roles, &no_exceptions());
    let mut facts = facts(&device("a"));
    facts.not_after = u64::MAX;
    let mut patient = connect("a", ProtocolVersion::V5);
    patient.keep_alive = u16::MAX;
    patient.properties = ConnectProperties {
        session_expiry_interval: Some(u32::MAX),
        ..ConnectProperties::default()
    };
    let mut last = will("peer/b/inbox", "late");
    last.delay_interval = u32::MAX;
    last.properties.message_expiry_interval = Some(u32::MAX);
    patient.will = Some(Box::new(last));
    let id = world.open_with(&facts, ProtocolVersion::V5);
    world.send(id, &Packet::Connect(Box::new(patient)));
    let mut message = publish("dev/a/tel", "x", QoS::AtLeastOnce, 1);
    message.properties.message_expiry_interval = Some(u32::MAX);
    world.send(id, &Packet::Publish(message));
    assert_eq!(world.take(id).len(), 2);
    world.cut(id);
    world.pass(3600 * SECOND);
    assert_eq!(world.broker.figures().sessions, 1);
}

#[test]
fn acknowledgements_at_random_break_no_books() {
    for version in VERSIONS {
        let mut world = World::new();
        let writer = world.device("d", version);
        let (mut reader, _) = world.lasting_device("c", version);
        world.subscribe(reader, "peer/c/inbox", QoS::ExactlyOnce);
        let mut state = 0x4d6f_7474_u32;
        let mut next = |bound: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % bound
        };
        for step in 0..4000_u32 {
            let packet_id = number(u16::try_from(next(24) + 1).expect("small"));
            let answer = if version == ProtocolVersion::V5 && next(4) == 0 {
                Acknowledgement::new(packet_id, ReasonCode::ImplementationSpecific)
            } else {
                success(packet_id)
            };
            let packet = match next(8) {
                0 => Packet::PubAck(answer),
                1 => Packet::PubRec(answer),
                2 => Packet::PubComp(success(packet_id)),
                3 => Packet::PubRel(success(packet_id)),
                4 => qos_2(packet_id.get()),
                5 => Packet::Publish(publish("peer/c/inbox", "x", QoS::AtLeastOnce, packet_id.get())),
                6 => {
                    let sent = u16::try_from(step % 60_000 + 1).expect("small");
                    world.publish(writer, "peer/c/inbox", "y", QoS::ExactlyOnce, sent);
                    world.send(writer, &Packet::PubRel(success(number(sent))));
                    world.take(writer);
                    continue;
                }
                _ if next(16) == 0 => {
                    world.cut(reader);
                    (reader, _) = world.lasting_device("c", version);
                    continue;
                }
                _ => Packet::PingReq,
            };
            world.send(reader, &packet);
            if world.is_closed(reader) {
                (reader, _) = world.lasting_device("c", version);
            }
        }
        let queued = world.broker.figures().queued;
        assert!(queued.messages <= 10 + 100, "{queued:?}");
    }
}

#[test]
fn who_is_released_from_quarantine_finds_no_session_that_pretends_to_be_whole() {
    for version in VERSIONS {
        let mut world = World::new();
        let (id, _) = world.lasting_device("a", version);
        world.subscribe(id, "peer/a/inbox", QoS::AtLeastOnce);
        world.install(&policy(), &quarantined("device/a"));
        world.install(&policy(), &no_exceptions());
        let (_, present) = world.lasting_device("a", version);
        assert!(!present);
    }
}
