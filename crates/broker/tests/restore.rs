//! A second broker begins where the first one stopped (law 7), under the policy of its own time (law 4).

mod world;

use std::time::Duration;

use motte_broker::{Change, ConnectionId, DurableState, Position, Progress, RestoreError, Store, Waiting};
use motte_mqtt::{Disconnect, Packet, ProtocolVersion, QoS, ReasonCode, Unsubscribe};
use serde_json::{Value, json};
use world::*;

/// Random lives, each cut off at another moment.
const LIVES: u64 = 60;
const LONGEST_LIFE: u64 = 120;
const DEVICES: [&str; 3] = ["a", "b", "c"];
const TOPICS: [&str; 3] = ["peer/a/inbox", "peer/b/inbox", "peer/c/inbox"];

/// Keeps what is durable as a store on a disk would: whole units, and nothing of one that is cut off.
#[derive(Default)]
struct Journal {
    recorded: u64,
    open: DurableState,
    sealed: DurableState,
    is_open: bool,
}

impl Store for Journal {
    fn record(&mut self, change: &Change<'_>) {
        self.recorded += 1;
        self.open.apply(change);
        self.is_open = true;
    }

    fn seal(&mut self) {
        if std::mem::take(&mut self.is_open) {
            self.sealed = self.open.clone();
        }
    }

    fn recorded(&self) -> Position {
        Position(self.recorded)
    }

    fn durable(&self) -> Position {
        Position(self.recorded)
    }
}

type Recorded = World<Journal>;

fn begin() -> Recorded {
    World::with_store(Journal::default())
}

/// What a broker finds that starts after this one was killed.
fn kept(world: &mut Recorded) -> DurableState {
    world.broker.store_mut().sealed.clone()
}

/// The next process: at the same moment, under the same policy.
fn restart(mut world: Recorded) -> Recorded {
    let state = kept(&mut world);
    resume(state, world.elapsed, None)
}

fn resume(state: DurableState, elapsed: Duration, exceptions: Option<&Value>) -> Recorded {
    let mut next = World::with_store(Journal {
        open: state.clone(),
        sealed: state.clone(),
        ..Journal::default()
    });
    next.elapsed = elapsed;
    if let Some(exceptions) = exceptions {
        next.install(&policy(), exceptions);
    }
    let now = next.now();
    next.broker.restore(state, now).expect("a policy is in force");
    next
}

/// The same without numbers that may differ: places in the order become ranks.
fn in_order(mut state: DurableState) -> DurableState {
    for session in state.sessions.values_mut() {
        let outbound = std::mem::take(&mut session.outbound);
        session.outbound = (0..)
            .zip(outbound.into_values())
            .map(|(rank, progress)| {
                let ranked = |waiting| Waiting {
                    sequence: rank,
                    ..waiting
                };
                let progress = match progress {
                    Progress::Waiting(waiting) => Progress::Waiting(ranked(waiting)),
                    Progress::Sent(packet_id, waiting) => Progress::Sent(packet_id, ranked(waiting)),
                    Progress::Released(packet_id) => Progress::Released(packet_id),
                };
                (rank, progress)
            })
            .collect();
    }
    state
}

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
        u16::try_from(self.throw(8) + 1).expect("small")
    }
}

/// Clients that come, do all kinds of things and go, with the connections that they have.
struct Life {
    world: Recorded,
    dice: Dice,
    online: Vec<(String, ConnectionId)>,
}

impl Life {
    fn step(&mut self, with_groups: bool) {
        match self.dice.throw(12) {
            0 | 1 => self.come(),
            2 if with_groups => self.join(),
            3 => self.world.pass(Duration::from_secs(self.dice.one(&[1, 5, 100]))),
            4 => self.go(),
            _ => self.act(),
        }
    }

    fn come(&mut self) {
        let name = self.dice.one(&DEVICES);
        let version = self.dice.one(&VERSIONS);
        let mut hello = connect(name, version);
        hello.clean_start = self.dice.throw(3) == 0;
        if version == ProtocolVersion::V5 {
            hello.properties.session_expiry_interval =
                self.dice.one(&[None, Some(5), Some(3600), Some(3600)]);
            hello.properties.receive_maximum = std::num::NonZeroU16::new(self.dice.one(&[2, 3, 10]));
        }
        if self.dice.throw(2) == 0 {
            let mut last = will(self.dice.one(&TOPICS), name);
            last.retain = self.dice.throw(2) == 0;
            if version == ProtocolVersion::V5 {
                last.delay_interval = self.dice.one(&[0, 3, 100]);
            }
            hello.will = Some(Box::new(last));
        }
        let (id, _) = self.world.connect(&device(name), hello);
        self.online.retain(|(known, _)| known != name);
        self.online.push((name.to_owned(), id));
    }

    fn join(&mut self) {
        let name = self.dice.one(&["w", "x", "y"]);
        let lasts = self.dice.throw(2) == 0;
        let id = self.world.worker(name, ProtocolVersion::V5, lasts);
        self.world
            .subscribe(id, "$share/crew/dev/+/tel", QoS::ExactlyOnce);
        self.online.retain(|(known, _)| known != name);
        self.online.push((name.to_owned(), id));
    }

    fn go(&mut self) {
        if self.online.is_empty() {
            return;
        }
        let index = usize::try_from(self.dice.throw(self.online.len() as u64)).expect("an index");
        let (_, id) = self.online.remove(index);
        if self.dice.throw(2) == 0 {
            let mut goodbye = Disconnect::new(
                self.dice
                    .one(&[ReasonCode::Success, ReasonCode::DisconnectWithWill]),
            );
            goodbye.session_expiry_interval = self.dice.one(&[None, Some(0), Some(60)]);
            if self.world.version(id) == ProtocolVersion::V311 {
                goodbye = Disconnect::new(ReasonCode::Success);
            }
            self.world.send(id, &Packet::Disconnect(goodbye));
            self.world.take(id);
        }
        if !self.world.is_closed(id) {
            self.world.cut(id);
        }
    }

    fn act(&mut self) {
        if self.online.is_empty() {
            return;
        }
        let (name, id) =
            self.online[usize::try_from(self.dice.throw(self.online.len() as u64)).unwrap()].clone();
        let own = format!("peer/{name}/inbox");
        let tel = format!("dev/{name}/tel");
        let topic = self.dice.one(&[TOPICS[0], TOPICS[1], TOPICS[2], &tel]);
        let packet_id = self.dice.packet_id();
        let packet = match self.dice.throw(9) {
            0 => Packet::Subscribe(subscribe(&own, self.dice.qos())),
            1 => Packet::Unsubscribe(Unsubscribe {
                packet_id: number(packet_id),
                filters: vec![own.into()],
                user_properties: Vec::new(),
            }),
            2 => Packet::PubRel(success(number(packet_id))),
            3 => Packet::PubAck(success(number(packet_id))),
            4 => Packet::PubRec(success(number(packet_id))),
            5 => Packet::PubComp(success(number(packet_id))),
            _ => {
                let mut message = publish(topic, &packet_id.to_string(), self.dice.qos(), packet_id);
                message.retain = self.dice.throw(3) == 0;
                if self.dice.throw(8) == 0 {
                    message.payload = bytes::Bytes::new();
                }
                if self.dice.throw(4) == 0 && self.world.version(id) == ProtocolVersion::V5 {
                    message.properties.message_expiry_interval = Some(7);
                }
                Packet::Publish(message)
            }
        };
        self.world.send(id, &packet);
        if self.world.is_closed(id) {
            self.online.retain(|(_, known)| *known != id);
        }
    }
}

#[test]
fn the_store_has_been_told_of_everything_at_every_moment() {
    for seed in 0..LIVES {
        let mut life = Life {
            world: begin(),
            dice: Dice(seed),
            online: Vec::new(),
        };
        for step in 0..LONGEST_LIFE {
            life.step(true);
            let told = kept(&mut life.world);
            assert_eq!(
                told,
                life.world.broker.durable_state(),
                "seed {seed}, step {step}"
            );
        }
    }
}

#[test]
fn a_start_after_a_crash_is_as_if_every_connection_had_been_lost() {
    for seed in 0..LIVES {
        let mut life = Life {
            world: begin(),
            dice: Dice(seed),
            online: Vec::new(),
        };
        for _ in 0..=seed * LONGEST_LIFE / LIVES {
            life.step(false);
        }
        let Life {
            mut world, online, ..
        } = life;
        let state = kept(&mut world);
        let lasts = |name: &str| state.sessions.keys().any(|session| session.client_id == name);
        let mut next = resume(state.clone(), world.elapsed, None);
        // Those that the store knows by name first, as it is read.
        let mut order: Vec<_> = online
            .iter()
            .map(|(name, id)| (!lasts(name), name, *id))
            .collect();
        order.sort();
        for (_, _, id) in order {
            world.cut(id);
        }
        for name in DEVICES {
            assert_eq!(
                in_order(next.broker.durable_state()),
                in_order(world.broker.durable_state()),
                "seed {seed}"
            );
            let told = kept(&mut next);
            assert_eq!(told, next.broker.durable_state(), "seed {seed}");
            let (here, there) = (
                world.lasting_device(name, ProtocolVersion::V5),
                next.lasting_device(name, ProtocolVersion::V5),
            );
            assert_eq!(here.1, there.1, "seed {seed}, session of {name}");
            assert_eq!(
                world.payloads(here.0),
                next.payloads(there.0),
                "seed {seed}, {name}"
            );
        }
    }
}

#[test]
fn a_held_message_takes_effect_once_across_restarts() {
    let mut world = begin();
    let (reader, _) = world.lasting_device("b", ProtocolVersion::V5);
    world.subscribe(reader, "peer/b/inbox", QoS::ExactlyOnce);
    let (writer, _) = world.lasting_device("a", ProtocolVersion::V5);
    world.send(writer, &qos_2(7));
    let mut world = restart(world);
    let (writer, present) = world.lasting_device("a", ProtocolVersion::V5);
    assert!(present);
    // Sent again, and released: one message.
    world.send(writer, &qos_2(7));
    world.send(writer, &Packet::PubRel(success(number(7))));
    let mut world = restart(world);
    let (writer, _) = world.lasting_device("a", ProtocolVersion::V5);
    world.send(writer, &Packet::PubRel(success(number(7))));
    let (reader, _) = world.lasting_device("b", ProtocolVersion::V5);
    assert_eq!(world.payloads(reader), ["held"]);
}

#[test]
fn a_message_that_the_reader_has_received_is_released_and_not_sent_again() {
    let mut world = begin();
    let (reader, _) = world.lasting_device("b", ProtocolVersion::V5);
    world.subscribe(reader, "peer/b/inbox", QoS::ExactlyOnce);
    let writer = world.device("a", ProtocolVersion::V5);
    world.send(writer, &qos_2(1));
    world.send(writer, &Packet::PubRel(success(number(1))));
    let sent = world.take(reader);
    let [Packet::Publish(message)] = sent.as_slice() else {
        panic!("one message was due, not {sent:?}");
    };
    let packet_id = message.packet_id.expect("QoS 2");
    let mut world = restart(world);
    let (reader, _) = world.lasting_device("b", ProtocolVersion::V5);
    let again = world.take(reader);
    let [Packet::Publish(message)] = again.as_slice() else {
        panic!("it was due again, not {again:?}");
    };
    assert!(message.dup);
    assert_eq!(message.packet_id, Some(packet_id));
    world.send(reader, &Packet::PubRec(success(packet_id)));
    let mut world = restart(world);
    let (reader, _) = world.lasting_device("b", ProtocolVersion::V5);
    assert_eq!(world.take(reader), [Packet::PubRel(success(packet_id))]);
}

#[test]
fn a_delayed_will_is_due_at_its_moment_and_that_of_a_lost_connection_at_once() {
    let mut world = begin();
    let (reader, _) = world.lasting_device("b", ProtocolVersion::V5);
    world.subscribe(reader, "peer/b/inbox", QoS::AtLeastOnce);
    for (name, delay) in [("a", 0), ("c", 50)] {
        let mut hello = lasting(connect(name, ProtocolVersion::V5));
        let mut last = will("peer/b/inbox", name);
        last.delay_interval = delay;
        hello.will = Some(Box::new(last));
        let (id, _) = world.connect(&device(name), hello);
        if name == "c" {
            world.cut(id);
        }
    }
    world.pass(Duration::from_secs(30));
    let mut world = restart(world);
    let (reader, _) = world.lasting_device("b", ProtocolVersion::V5);
    assert_eq!(world.payloads(reader), ["a"]);
    let mut world = restart(world);
    world.pass(Duration::from_secs(19));
    let (reader, _) = world.lasting_device("b", ProtocolVersion::V5);
    assert!(world.payloads(reader).is_empty());
    world.pass(Duration::from_secs(1));
    assert_eq!(world.payloads(reader), ["c"]);
}

#[test]
fn a_session_ends_when_it_would_have_ended() {
    let mut world = begin();
    let (id, _) = world.lasting_device("a", ProtocolVersion::V5);
    world.cut(id);
    world.pass(Duration::from_secs(3599));
    let mut world = restart(world);
    assert_eq!(world.broker.durable_state().sessions.len(), 1);
    world.pass(Duration::from_secs(1));
    assert!(world.broker.durable_state().sessions.is_empty());
    assert!(kept(&mut world).sessions.is_empty());
}

/// A thief's messages, will and session were durable when the device was revoked, and the broker down.
#[test]
fn nothing_of_a_sender_that_was_revoked_meanwhile_comes_back() {
    let mut world = begin();
    let (reader, _) = world.lasting_device("b", ProtocolVersion::V5);
    world.subscribe(reader, "peer/b/inbox", QoS::ExactlyOnce);
    world.cut(reader);
    let mut hello = lasting(connect("a", ProtocolVersion::V5));
    hello.will = Some(Box::new(will("peer/b/inbox", "will")));
    let (thief, _) = world.connect(&device("a"), hello);
    let mut stored = publish("peer/b/inbox", "stored", QoS::AtLeastOnce, 1);
    stored.retain = true;
    world.send(thief, &Packet::Publish(stored));
    world.send(thief, &qos_2(2));
    let state = kept(&mut world);
    assert_eq!((state.wills.len(), state.retained.len()), (1, 1));
    let mut next = resume(state, world.elapsed, Some(&revoked("device/a")));
    let left = next.broker.durable_state();
    assert_eq!(kept(&mut next), left, "the store has let go of it as well");
    assert!(left.wills.is_empty() && left.retained.is_empty());
    assert!(left.sessions.keys().all(|session| session.client_id == "b"));
    let (reader, present) = next.lasting_device("b", ProtocolVersion::V5);
    assert!(present);
    assert!(next.payloads(reader).is_empty());
}

/// The policy of the new process grants the topics no more, to nobody.
#[test]
fn subscriptions_and_waiting_messages_are_judged_by_the_policy_in_force() {
    let mut world = begin();
    let (reader, _) = world.lasting_device("b", ProtocolVersion::V5);
    world.subscribe(reader, "peer/b/inbox", QoS::ExactlyOnce);
    world.cut(reader);
    let writer = world.device("a", ProtocolVersion::V5);
    world.publish(writer, "peer/b/inbox", "x", QoS::AtLeastOnce, 1);
    let state = kept(&mut world);
    let mut next = begin();
    let mut stricter = policy();
    stricter[0]["subscribe"] = json!([]);
    next.install(&stricter, &no_exceptions());
    let now = next.now();
    let report = next.broker.restore(state, now).expect("a policy is in force");
    assert_eq!((report.sessions, report.subscriptions), (1, 0));
    assert_eq!(report.judged.subscriptions_pruned, 1);
    assert_eq!(report.judged.messages_withheld, 1);
}

#[test]
fn another_member_of_a_group_takes_over_what_waited_before_the_crash() {
    let mut world = begin();
    let filter = "$share/crew/dev/+/tel";
    for name in ["w", "x"] {
        let member = world.worker(name, ProtocolVersion::V5, true);
        world.subscribe(member, filter, QoS::AtLeastOnce);
        world.cut(member);
    }
    let writer = world.device("a", ProtocolVersion::V5);
    for packet_id in 1..=4 {
        let text = packet_id.to_string();
        world.publish(writer, "dev/a/tel", &text, QoS::AtLeastOnce, packet_id);
    }
    let mut world = restart(world);
    let member = world.worker("x", ProtocolVersion::V5, true);
    let mut all = world.payloads(member);
    all.sort();
    assert_eq!(all, ["1", "2", "3", "4"]);
}

#[test]
fn what_is_retained_counts_against_its_sender_again() {
    let mut world = begin();
    let writer = world.device("a", ProtocolVersion::V5);
    let mut stored = publish("dev/a/tel", "stored", QoS::AtLeastOnce, 1);
    stored.retain = true;
    world.send(writer, &Packet::Publish(stored));
    let before = world.broker.figures().retained;
    assert_eq!(before.messages, 1);
    assert_eq!(restart(world).broker.figures().retained, before);
}

#[test]
fn what_ends_with_its_connection_costs_no_write() {
    let mut world = begin();
    let reader = world.device("b", ProtocolVersion::V5);
    let writer = world.device("a", ProtocolVersion::V5);
    world.subscribe(reader, "peer/b/inbox", QoS::ExactlyOnce);
    world.publish(writer, "peer/b/inbox", "x", QoS::AtLeastOnce, 1);
    world.send(writer, &qos_2(2));
    world.send(writer, &Packet::PubRel(success(number(2))));
    assert_eq!(world.payloads(reader), ["x", "held"]);
    assert_eq!(world.broker.store_mut().recorded, 0);
}

#[test]
fn nothing_is_restored_without_a_policy_or_over_something_else() {
    let guard = motte_guard::Guard::new(motte_guard::GuardSettings::new(FLEET));
    let settings = motte_broker::BrokerSettings::default();
    let mut empty = motte_broker::Broker::new(settings, guard, Journal::default(), [7; 32]);
    let now = begin().now();
    assert_eq!(
        empty.restore(DurableState::default(), now),
        Err(RestoreError::NoPolicy)
    );
    let mut world = begin();
    world.lasting_device("a", ProtocolVersion::V5);
    assert_eq!(
        world.broker.restore(DurableState::default(), now),
        Err(RestoreError::NotEmpty)
    );
}
