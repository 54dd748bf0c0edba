//! A group whose members connect, fall silent, are cut off and come back at random: no message is lost,
//! and none that was sent with QoS 2 reaches a second member.

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use motte_broker::ConnectionId;
use motte_mqtt::{Packet, ProtocolVersion, QoS};
use serde_json::{Value, json};
use world::*;

const MEMBERS: usize = 4;
const STEPS: usize = 150;
const SEEDS: u64 = 128;
const CREW: &str = "$share/crew/dev/+/tel";

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// The policy with room for everything: here nothing may be lost for lack of it.
fn roomy() -> Value {
    let mut roles = policy();
    roles[0]["limits"]["inflight"] = json!(1000);
    roles[2]["limits"] = json!({"inflight": 3, "queue_messages": 10_000, "sessions": 9, "connections": 9});
    roles
}

struct Member {
    connection: Option<ConnectionId>,
    /// Publications that it has not acknowledged yet.
    open: Vec<Packet>,
}

struct Play {
    world: World,
    random: Random,
    members: Vec<Member>,
    device: ConnectionId,
    published: u16,
    /// For each payload, who got it, and who was the first to get it with QoS 2.
    received: BTreeMap<String, BTreeSet<usize>>,
    bound: BTreeMap<String, usize>,
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut world = World::new();
        world.install(&roomy(), &no_exceptions());
        let device = world.device("a", ProtocolVersion::V5);
        let mut play = Self {
            world,
            random: Random(seed),
            members: Vec::new(),
            device,
            published: 0,
            received: BTreeMap::new(),
            bound: BTreeMap::new(),
        };
        for number in 0..MEMBERS {
            play.members.push(Member {
                connection: None,
                open: Vec::new(),
            });
            play.connect(number);
            let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][usize::try_from(play.random.below(2)).unwrap()];
            let connection = play.members[number].connection.unwrap();
            assert!(!play.world.subscribe(connection, CREW, qos).is_failure());
        }
        play
    }

    fn connect(&mut self, number: usize) {
        let version = [ProtocolVersion::V311, ProtocolVersion::V5][number % 2];
        self.members[number].open.clear();
        self.members[number].connection = Some(self.world.worker(&format!("w{number}"), version, true));
    }

    fn publish(&mut self) {
        self.published += 1;
        let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][usize::try_from(self.random.below(2)).unwrap()];
        let payload = self.published.to_string();
        self.world
            .publish(self.device, "dev/a/tel", &payload, qos, self.published);
        if qos == QoS::ExactlyOnce {
            let release = success(number(self.published));
            self.world.send(self.device, &Packet::PubRel(release));
        }
        self.world.take(self.device);
    }

    /// A member takes what is there for it, and looks whether it may.
    fn receive(&mut self, number: usize) {
        let Some(connection) = self.members[number].connection else {
            return;
        };
        for packet in self.world.take(connection) {
            if let Packet::Publish(message) = &packet {
                let payload = String::from_utf8_lossy(&message.payload).into_owned();
                if let Some(owner) = self.bound.get(&payload) {
                    assert_eq!(*owner, number, "{payload} was sent to w{owner} with QoS 2");
                }
                if message.qos == QoS::ExactlyOnce {
                    assert!(
                        message.dup || !self.bound.contains_key(&payload),
                        "{payload} twice"
                    );
                    self.bound.insert(payload.clone(), number);
                }
                self.received.entry(payload).or_default().insert(number);
            }
            if matches!(packet, Packet::Publish(_) | Packet::PubRel(_)) {
                self.members[number].open.push(packet);
            }
        }
    }

    fn acknowledge(&mut self, number: usize, all: bool) {
        let Some(connection) = self.members[number].connection else {
            return;
        };
        for packet in std::mem::take(&mut self.members[number].open) {
            if !all && self.random.below(3) == 0 {
                self.members[number].open.push(packet);
                continue;
            }
            let answer = match packet {
                Packet::Publish(message) if message.qos == QoS::AtLeastOnce => {
                    Packet::PubAck(success(message.packet_id.unwrap()))
                }
                Packet::Publish(message) => Packet::PubRec(success(message.packet_id.unwrap())),
                Packet::PubRel(release) => Packet::PubComp(success(release.packet_id)),
                _ => continue,
            };
            self.world.send(connection, &answer);
        }
    }

    fn step(&mut self) {
        let number = usize::try_from(self.random.below(MEMBERS as u64)).unwrap();
        match self.random.below(10) {
            0..=3 => self.publish(),
            4 | 5 => self.receive(number),
            6 | 7 => self.acknowledge(number, false),
            8 => match self.members[number].connection.take() {
                Some(connection) => self.world.cut(connection),
                None => self.connect(number),
            },
            _ => {
                if self.random.below(4) == 0 {
                    self.world.pass(Duration::from_secs(11));
                }
            }
        }
    }

    /// Everybody comes back and takes everything.
    fn finish(&mut self) {
        for number in 0..MEMBERS {
            if let Some(connection) = self.members[number].connection.take() {
                self.receive(number);
                self.world.cut(connection);
            }
            self.connect(number);
        }
        let mut quiet = 0;
        while quiet < 3 {
            let before = self.received.len();
            for number in 0..MEMBERS {
                self.receive(number);
                self.acknowledge(number, true);
            }
            let is_idle = self.members.iter().all(|member| member.open.is_empty());
            quiet = if is_idle && self.received.len() == before {
                quiet + 1
            } else {
                0
            };
        }
    }
}

#[test]
fn nothing_is_lost_and_qos_2_has_one_receiver() {
    for seed in 0..SEEDS {
        let mut play = Play::new(seed);
        for _ in 0..STEPS {
            play.step();
        }
        play.finish();
        let missing: Vec<u16> = (1..=play.published)
            .filter(|number| !play.received.contains_key(&number.to_string()))
            .collect();
        assert!(
            missing.is_empty(),
            "seed {seed}: {missing:?} of {}",
            play.published
        );
        assert_eq!(play.world.broker.figures().queued.messages, 0, "seed {seed}");
    }
}
