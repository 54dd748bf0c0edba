//! Everything at once and in no order: nothing breaks, and in the end nothing is left.

mod world;

use std::time::Duration;

use motte_broker::ConnectionId;
use motte_mqtt::{Disconnect, Packet, ProtocolVersion, Publish, QoS, ReasonCode, Unsubscribe};
use serde_json::json;
use world::*;

/// Enough for every pair of actions to follow each other on each device.
const STEPS: u32 = 6_000;
const DEVICES: [&str; 3] = ["a", "b", "c"];
const TOPICS: [&str; 4] = ["peer/a/inbox", "peer/b/inbox", "peer/c/inbox", "dev/a/tel"];

/// A small generator, so that a failure can be played again.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.throw(of.len() as u64)).expect("an index")]
    }

    fn qos(&mut self) -> QoS {
        self.one(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
    }

    fn packet_id(&mut self) -> u16 {
        u16::try_from(self.throw(12) + 1).expect("small")
    }
}

fn come(world: &mut World, dice: &mut Dice, name: &str) -> Option<ConnectionId> {
    let version = dice.one(&VERSIONS);
    let mut hello = connect(name, version);
    hello.clean_start = dice.throw(2) == 0;
    if version == ProtocolVersion::V5 {
        hello.properties.session_expiry_interval =
            dice.one(&[None, Some(0), Some(5), Some(3600), Some(u32::MAX)]);
        hello.properties.receive_maximum =
            std::num::NonZeroU16::new(u16::try_from(dice.throw(4)).expect("small"));
        hello.properties.topic_alias_maximum = Some(2);
    }
    if dice.throw(2) == 0 {
        let mut last = will(dice.one(&TOPICS[..3]), "will");
        last.retain = dice.throw(2) == 0;
        if version == ProtocolVersion::V5 {
            last.delay_interval = dice.one(&[0, 3, 100, u32::MAX]);
        }
        hello.will = Some(Box::new(last));
    }
    let now = world.now();
    let peer = "127.0.0.1:1".parse().expect("an address");
    // Refused here while it is revoked or in quarantine.
    let probe = world
        .broker
        .open(peer, &facts(&device(name)), world.elapsed, now)
        .ok()?;
    world.broker.peer_closed(probe, now);
    let (id, answer) = world.connect(&device(name), hello);
    (answer.reason == ReasonCode::Success).then_some(id)
}

fn act(world: &mut World, dice: &mut Dice, id: ConnectionId) {
    let topic = dice.one(&TOPICS);
    let packet_id = dice.packet_id();
    let packet = match dice.throw(10) {
        0 => Packet::Subscribe(subscribe(topic, dice.qos())),
        1 => Packet::Unsubscribe(Unsubscribe {
            packet_id: number(packet_id),
            filters: vec![topic.into()],
            user_properties: Vec::new(),
        }),
        2..=4 => Packet::Publish(Publish {
            retain: dice.throw(3) == 0,
            ..publish(topic, dice.one(&["", "x", "yy"]), dice.qos(), packet_id)
        }),
        5 => Packet::PubRel(success(number(packet_id))),
        6 => Packet::PubAck(success(number(packet_id))),
        7 => Packet::PubRec(success(number(packet_id))),
        8 => Packet::PubComp(success(number(packet_id))),
        _ if dice.throw(8) == 0 => Packet::Disconnect(Disconnect::new(ReasonCode::Success)),
        _ => Packet::PingReq,
    };
    world.send(id, &packet);
}

fn change_policy(world: &mut World, dice: &mut Dice) {
    let mut roles = policy();
    if dice.throw(2) == 0 {
        roles[0]["subscribe"] = json!([{"topic": "peer/{device}/inbox", "qos": 1, "line": 4}]);
    }
    if dice.throw(3) == 0 {
        roles[0]["limits"]["inflight"] = json!(2);
    }
    let name = format!("device/{}", dice.one(&DEVICES));
    let exceptions = match dice.throw(4) {
        0 => revoked(&name),
        1 => quarantined(&name),
        _ => no_exceptions(),
    };
    world.install(&roles, &exceptions);
}

#[test]
fn everything_at_random_breaks_nothing_and_leaves_nothing() {
    for seed in 0..4 {
        let (mut world, mut dice) = (World::new(), Dice(seed));
        let mut open: Vec<ConnectionId> = Vec::new();
        for _ in 0..STEPS {
            match dice.throw(40) {
                0..=4 => {
                    let name = dice.one(&DEVICES);
                    open.extend(come(&mut world, &mut dice, name));
                }
                5 => change_policy(&mut world, &mut dice),
                6 => {
                    let seconds = dice.one(&[1, 4, 20, 500]);
                    world.pass(Duration::from_secs(seconds));
                }
                7 if !open.is_empty() => {
                    let id = dice.one(&open);
                    world.cut(id);
                }
                _ if !open.is_empty() => {
                    let id = dice.one(&open);
                    act(&mut world, &mut dice, id);
                    world.take(id);
                }
                _ => {}
            }
            open.retain(|id| !world.is_closed(*id));
            let status = world.broker.figures();
            assert!(status.queued.messages <= 3 * (100 + 100 + 10 + 10), "{status:?}");
            assert!(status.sessions <= DEVICES.len() && status.retained.messages <= TOPICS.len());
        }
        for id in open {
            world.cut(id);
        }
        world.install(&policy(), &no_exceptions());
        // Past the longest session expiry and message expiry of the role.
        world.pass(Duration::from_secs(3 * 86_400));
        let status = world.broker.figures();
        assert_eq!(
            (status.connections, status.sessions, status.subscriptions),
            (0, 0, 0)
        );
        assert_eq!(
            (status.queued.messages, status.queued.bytes, status.connections),
            (0, 0, 0)
        );
        assert_eq!(status.timers, 1, "housekeeping");
        // All that is left can be taken away, and then its bytes are gone as well.
        let backend = json!(["device/a", "device/b", "device/c"]);
        let exceptions = json!({"revoked_serials": [], "revoked": backend, "quarantined": [], "banned": []});
        world.install(&policy(), &exceptions);
        let retained = world.broker.figures().retained;
        assert_eq!((retained.messages, retained.bytes), (0, 0));
    }
}
