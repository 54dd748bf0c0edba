//! Shared subscriptions (5.0, section 4.8.2): who of a group gets a message, and what becomes of it when
//! that one is slow, gone, or out.

mod world;

use motte_broker::ConnectionId;
use motte_mqtt::{Packet, PacketId, ProtocolVersion, QoS, ReasonCode};
use serde_json::json;
use world::*;

const CREW: &str = "$share/crew/dev/+/tel";
const V5: ProtocolVersion = ProtocolVersion::V5;

/// A device that publishes, and workers that have joined the crew.
fn crew(world: &mut World, qos: QoS, lasting: &[bool]) -> (ConnectionId, Vec<ConnectionId>) {
    let workers: Vec<ConnectionId> = (0..)
        .zip(lasting)
        .map(|(number, lasting)| {
            let worker = world.worker(&format!("w{number}"), V5, *lasting);
            let granted = world.subscribe(worker, CREW, qos);
            assert!(!granted.is_failure(), "{granted:?}");
            worker
        })
        .collect();
    (world.device("a", V5), workers)
}

fn publish_many(world: &mut World, device: ConnectionId, qos: QoS, numbers: std::ops::Range<u16>) {
    for number in numbers {
        world.publish(device, "dev/a/tel", &number.to_string(), qos, number + 1);
        if qos == QoS::ExactlyOnce {
            world.send(
                device,
                &Packet::PubRel(success(PacketId::new(number + 1).unwrap())),
            );
        }
        world.take(device);
    }
}

/// Messages that came, none of them acknowledged.
fn unanswered(world: &mut World, id: ConnectionId) -> Vec<(String, bool, PacketId)> {
    let packets = world.take(id).into_iter();
    let messages = packets.filter_map(|packet| match packet {
        Packet::Publish(message) => Some((
            String::from_utf8_lossy(&message.payload).into_owned(),
            message.dup,
            message.packet_id?,
        )),
        _ => None,
    });
    messages.collect()
}

fn sorted(mut payloads: Vec<String>) -> Vec<u16> {
    let mut numbers: Vec<u16> = payloads
        .drain(..)
        .map(|payload| payload.parse().unwrap())
        .collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn each_message_goes_to_one_member_in_turn() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut world = World::new();
        let (device, workers) = crew(&mut world, qos, &[false, true, false]);
        publish_many(&mut world, device, qos, 0..9);
        for (number, worker) in (0..).zip(workers) {
            let expected: Vec<String> = (0..9)
                .filter(|n| n % 3 == number)
                .map(|n| n.to_string())
                .collect();
            assert_eq!(world.payloads(worker), expected, "{qos:?}");
        }
    }
}

#[test]
fn groups_and_plain_subscriptions_each_have_their_copy() {
    let mut world = World::new();
    let (device, workers) = crew(&mut world, QoS::AtLeastOnce, &[false, false]);
    world.subscribe(workers[0], "dev/+/tel", QoS::AtLeastOnce);
    world.subscribe(workers[0], "$share/other/dev/+/tel", QoS::AtLeastOnce);
    world.subscribe(workers[0], "$share/crew/dev/a/tel", QoS::AtLeastOnce);
    publish_many(&mut world, device, QoS::AtLeastOnce, 0..2);
    assert_eq!(world.payloads(workers[0]).len(), 2 + 2 + 2 + 1);
    assert_eq!(world.payloads(workers[1]).len(), 1);
}

#[test]
fn a_3_1_1_client_may_be_a_member() {
    let mut world = World::new();
    let worker = world.worker("w", ProtocolVersion::V311, false);
    assert_eq!(
        world.subscribe(worker, CREW, QoS::AtLeastOnce),
        ReasonCode::GrantedQoS1
    );
    for refused in [
        "$share/crew",
        "$share//dev/a/tel",
        "$share/mine/dev/a/tel",
        "$share/crew/#",
    ] {
        assert!(
            world.subscribe(worker, refused, QoS::AtLeastOnce).is_failure(),
            "{refused}"
        );
    }
    let device = world.device("a", ProtocolVersion::V311);
    publish_many(&mut world, device, QoS::AtLeastOnce, 0..2);
    assert_eq!(world.payloads(worker), ["0", "1"]);
}

#[test]
fn each_member_has_its_own_qos_identifier_and_retain_flag() {
    let mut world = World::new();
    let (device, workers) = crew(&mut world, QoS::AtMostOnce, &[false]);
    let second = world.worker("second", V5, false);
    let mut request = subscribe(CREW, QoS::ExactlyOnce);
    request.subscription_identifier = std::num::NonZeroU32::new(7);
    request.filters[0].retain_as_published = true;
    world.send(second, &Packet::Subscribe(request));
    world.take(second);
    for number in 0..2 {
        let mut message = publish("dev/a/tel", "x", QoS::AtLeastOnce, number + 1);
        message.retain = true;
        world.send(device, &Packet::Publish(message));
    }
    let received = |packets: Vec<Packet>| match packets.as_slice() {
        [Packet::Publish(message)] => (
            message.qos,
            message.retain,
            message.properties.subscription_identifiers.clone(),
        ),
        other => panic!("one message was due, not {other:?}"),
    };
    assert_eq!(received(world.take(workers[0])), (QoS::AtMostOnce, false, vec![]));
    let identifier = std::num::NonZeroU32::new(7).unwrap();
    assert_eq!(
        received(world.take(second)),
        (QoS::AtLeastOnce, true, vec![identifier])
    );
}

#[test]
fn retained_messages_are_not_for_groups() {
    let mut world = World::new();
    let device = world.device("a", V5);
    let mut message = publish("dev/a/tel", "old", QoS::AtLeastOnce, 1);
    message.retain = true;
    world.send(device, &Packet::Publish(message));
    let worker = world.worker("w", V5, false);
    for (filter, expected) in [(CREW, vec![]), ("dev/+/tel", vec!["old"])] {
        world.send(worker, &Packet::Subscribe(subscribe(filter, QoS::AtLeastOnce)));
        assert_eq!(world.payloads(worker), expected, "{filter}");
    }
}

#[test]
fn a_member_that_acknowledges_nothing_gets_no_more_than_its_window() {
    let mut world = World::new();
    let (device, workers) = crew(&mut world, QoS::AtLeastOnce, &[true, true]);
    let mut quick = Vec::new();
    let mut stuck = Vec::new();
    for number in 0..60 {
        publish_many(&mut world, device, QoS::AtLeastOnce, number..number + 1);
        quick.extend(world.payloads(workers[0]));
        stuck.extend(unanswered(&mut world, workers[1]));
    }
    assert_eq!(stuck.len(), 10, "the window of its role");
    assert_eq!(quick.len(), 50);
    // Its connection breaks: the other one has the rest.
    world.cut(workers[1]);
    quick.extend(world.payloads(workers[0]));
    assert_eq!(sorted(quick), (0..60).collect::<Vec<u16>>());
    let back = world.worker("w1", V5, true);
    assert!(world.payloads(back).is_empty(), "nothing twice, without need");
}

#[test]
fn what_waits_with_a_slow_member_goes_to_one_that_has_room_again() {
    let mut world = World::new();
    let (device, workers) = crew(&mut world, QoS::AtLeastOnce, &[true, true]);
    publish_many(&mut world, device, QoS::AtLeastOnce, 0..40);
    let stuck = unanswered(&mut world, workers[1]);
    assert_eq!(stuck.len(), 10);
    // Ten more wait for each; the first takes them all as it acknowledges.
    assert_eq!(world.payloads(workers[0]).len(), 30);
    assert!(unanswered(&mut world, workers[1]).is_empty());
}

#[test]
fn a_message_of_qos_2_that_was_sent_stays_with_its_receiver() {
    let mut world = World::new();
    let (device, workers) = crew(&mut world, QoS::ExactlyOnce, &[true, true]);
    publish_many(&mut world, device, QoS::ExactlyOnce, 0..4);
    let [(first, _, first_id), (second, _, _)] = &unanswered(&mut world, workers[1])[..] else {
        panic!("two of four were due");
    };
    let (first, second, first_id) = (first.clone(), second.clone(), *first_id);
    world.send(workers[1], &Packet::PubRec(success(first_id)));
    world.cut(workers[1]);
    assert_eq!(world.payloads(workers[0]), ["0", "2"]);
    // It comes back and gets the rest of both exchanges (MQTT-4.8.2-4), the first without the message.
    let back = world.worker("w1", V5, true);
    assert_eq!(world.payloads(back), [second.as_str()], "not {first} again");
    // Another pair, and the session ends: nobody gets them (MQTT-4.8.2-5).
    publish_many(&mut world, device, QoS::ExactlyOnce, 4..6);
    let lost = unanswered(&mut world, back);
    assert_eq!(lost.len(), 1);
    let fresh = world.connect(&worker("w1"), connect("w1", V5)).0;
    assert_eq!(world.payloads(workers[0]).len(), 1);
    assert!(world.payloads(fresh).is_empty());
    world.pass(std::time::Duration::from_secs(60));
    assert!(world.payloads(workers[0]).is_empty());
}

#[test]
fn a_session_that_ends_leaves_its_messages_to_the_others() {
    let mut world = World::new();
    let (device, workers) = crew(&mut world, QoS::AtLeastOnce, &[true, true]);
    world.cut(workers[0]);
    world.cut(workers[1]);
    publish_many(&mut world, device, QoS::AtLeastOnce, 0..6);
    // The first begins anew: a clean start ends its session, and then it is in no group.
    let fresh = world.connect(&worker("w0"), connect("w0", V5)).0;
    assert!(world.payloads(fresh).is_empty());
    let back = world.worker("w1", V5, true);
    assert_eq!(sorted(world.payloads(back)), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn who_comes_first_takes_what_waits_for_those_that_are_away() {
    let mut world = World::new();
    let (device, workers) = crew(&mut world, QoS::AtLeastOnce, &[true, true]);
    for worker in &workers {
        world.cut(*worker);
    }
    publish_many(&mut world, device, QoS::AtLeastOnce, 0..6);
    let third = world.worker("w2", V5, false);
    world.send(third, &Packet::Subscribe(subscribe(CREW, QoS::AtLeastOnce)));
    assert_eq!(sorted(world.payloads(third)), [0, 1, 2, 3, 4, 5]);
    let back = world.worker("w0", V5, true);
    assert!(world.payloads(back).is_empty());
}

#[test]
fn who_leaves_a_group_leaves_what_it_was_not_sent() {
    let mut world = World::new();
    let (device, workers) = crew(&mut world, QoS::AtLeastOnce, &[true, true]);
    publish_many(&mut world, device, QoS::AtLeastOnce, 0..30);
    let sent = unanswered(&mut world, workers[0]);
    assert_eq!(sent.len(), 10);
    let leave = motte_mqtt::Unsubscribe {
        packet_id: number(9),
        filters: vec![CREW.into()],
        user_properties: Vec::new(),
    };
    world.send(workers[0], &Packet::Unsubscribe(leave));
    for (_, _, packet_id) in sent {
        world.send(workers[0], &Packet::PubAck(success(packet_id)));
    }
    assert!(unanswered(&mut world, workers[0]).is_empty());
    assert_eq!(world.payloads(workers[1]).len(), 20);
}

#[test]
fn a_full_member_is_passed_over_and_a_full_group_drops_the_newest() {
    let mut world = World::new();
    let (device, workers) = crew(&mut world, QoS::AtLeastOnce, &[true, true]);
    world.cut(workers[0]);
    world.cut(workers[1]);
    // 20 may wait for each.
    publish_many(&mut world, device, QoS::AtLeastOnce, 0..50);
    let back = world.worker("w0", V5, true);
    assert_eq!(sorted(world.payloads(back)), (0..40).collect::<Vec<u16>>());
}

#[test]
fn a_refused_message_is_not_tried_with_another_member() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut world = World::new();
        let (device, workers) = crew(&mut world, qos, &[true, true]);
        publish_many(&mut world, device, qos, 0..1);
        let [(_, _, packet_id)] = unanswered(&mut world, workers[0])[..] else {
            panic!("one message was due");
        };
        let refusal = motte_mqtt::Acknowledgement::new(packet_id, ReasonCode::ImplementationSpecific);
        let packet = if qos == QoS::AtLeastOnce {
            Packet::PubAck(refusal)
        } else {
            Packet::PubRec(refusal)
        };
        world.send(workers[0], &packet);
        world.cut(workers[0]);
        world.pass(std::time::Duration::from_secs(60));
        assert!(world.payloads(workers[1]).is_empty());
    }
}

/// The policy without the group for one of the crew, who keeps the topics.
fn without_group(id: &str) -> serde_json::Value {
    let mut roles = policy();
    let mut other = roles[2].clone();
    other["name"] = json!("left");
    other["match"] = json!({"kind": "service", "id": id, "attributes": {}});
    other["share"] = json!([]);
    let rest: Vec<serde_json::Value> = ["w0", "w1"]
        .iter()
        .filter(|other| **other != id)
        .map(|id| {
            let mut role = roles[2].clone();
            role["name"] = json!(id);
            role["match"] = json!({"kind": "service", "id": id, "attributes": {}});
            role
        })
        .collect();
    let list = roles.as_array_mut().unwrap();
    list.truncate(2);
    list.push(other);
    list.extend(rest);
    roles
}

#[test]
fn a_member_that_loses_its_group_gets_nothing_after_the_barrier() {
    for is_connected in [true, false] {
        let mut world = World::new();
        let (device, workers) = crew(&mut world, QoS::AtLeastOnce, &[true, true]);
        publish_many(&mut world, device, QoS::AtLeastOnce, 0..4);
        let sent = unanswered(&mut world, workers[0]);
        assert_eq!(sent.len(), 2);
        publish_many(&mut world, device, QoS::AtLeastOnce, 4..8);
        if !is_connected {
            world.cut(workers[1]);
            world.cut(workers[0]);
        }
        let report = world.install(&without_group("w0"), &no_exceptions());
        assert_eq!(report.subscriptions_pruned, 1);
        if is_connected {
            assert!(unanswered(&mut world, workers[0]).is_empty());
            world.cut(workers[0]);
        }
        let other = if is_connected {
            workers[1]
        } else {
            world.worker("w1", V5, true)
        };
        assert_eq!(sorted(world.payloads(other)), (0..8).collect::<Vec<u16>>());
        let back = world.worker("w0", V5, true);
        assert!(world.payloads(back).is_empty());
        assert_eq!(
            world.subscribe(back, CREW, QoS::AtLeastOnce),
            ReasonCode::SharedSubscriptionsNotSupported
        );
        assert_eq!(
            world.subscribe(back, "dev/a/tel", QoS::AtLeastOnce),
            ReasonCode::GrantedQoS1
        );
    }
}

#[test]
fn a_revoked_member_hands_over_and_a_revoked_sender_is_withheld() {
    let mut world = World::new();
    let (device, workers) = crew(&mut world, QoS::AtLeastOnce, &[true, true]);
    let second = world.device("b", V5);
    publish_many(&mut world, device, QoS::AtLeastOnce, 0..20);
    assert_eq!(unanswered(&mut world, workers[0]).len(), 10);
    world.install(&policy(), &revoked("service/w0"));
    assert!(world.is_closed(workers[0]));
    assert_eq!(world.payloads(workers[1]).len(), 20);
    for number in 0..4 {
        world.publish(second, "dev/b/tel", "gone", QoS::AtLeastOnce, number + 1);
    }
    world.install(&policy(), &revoked("device/b"));
    assert!(world.payloads(workers[1]).is_empty());
}

#[test]
fn a_message_on_the_way_to_another_member_is_judged_for_that_one() {
    let mut world = World::new();
    let (device, workers) = crew(&mut world, QoS::AtLeastOnce, &[true, true]);
    world.cut(workers[1]);
    publish_many(&mut world, device, QoS::AtLeastOnce, 0..4);
    assert_eq!(unanswered(&mut world, workers[0]).len(), 4);
    // Sent, lost, and meanwhile the sender is revoked: nobody may get it any more.
    world.install(&policy(), &revoked("device/a"));
    world.cut(workers[0]);
    for id in ["w0", "w1"] {
        let back = world.worker(id, V5, true);
        assert!(world.payloads(back).is_empty(), "{id}");
    }
}

#[test]
fn members_and_groups_are_bounded() {
    let mut world = World::new();
    for number in 0..64 {
        let worker = world.worker(&format!("w{number}"), V5, false);
        assert_eq!(
            world.subscribe(worker, CREW, QoS::AtLeastOnce),
            ReasonCode::GrantedQoS1
        );
    }
    let late = world.worker("late", V5, false);
    assert_eq!(
        world.subscribe(late, CREW, QoS::AtLeastOnce),
        ReasonCode::QuotaExceeded
    );
    let member = world.worker("again", V5, false);
    for number in 0..32 {
        let filter = format!("$share/crew/dev/{number}/tel");
        assert_eq!(
            world.subscribe(member, &filter, QoS::AtLeastOnce),
            ReasonCode::GrantedQoS1
        );
        world.pass(std::time::Duration::from_secs(1));
    }
    let filter = "$share/other/dev/x/tel";
    assert_eq!(
        world.subscribe(member, filter, QoS::AtLeastOnce),
        ReasonCode::QuotaExceeded
    );
    let known = "$share/crew/dev/7/tel";
    assert_eq!(
        world.subscribe(member, known, QoS::ExactlyOnce),
        ReasonCode::GrantedQoS2
    );
}

#[test]
fn connack_says_whether_there_are_shared_subscriptions() {
    let mut world = World::new();
    let (_, answer) = world.connect(&worker("w"), connect("w", V5));
    assert_eq!(answer.properties.shared_subscription_available, None);
    let (_, answer) = world.connect(&device("a"), connect("a", V5));
    assert_eq!(answer.properties.shared_subscription_available, Some(false));
}
