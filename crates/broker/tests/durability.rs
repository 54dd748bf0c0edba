//! The seam to the store: what promises durability waits for it, and nothing else does.

mod world;

use motte_broker::{Change, ConnectionId, Position, Store};
use motte_mqtt::{Connect, Packet, ProtocolVersion, QoS, ReasonCode};
use world::*;

const INBOX: &str = "peer/b/inbox";

/// A store whose disk is as slow as the test wants, and breaks or is full when it wants.
#[derive(Default)]
struct SlowStore {
    recorded: u64,
    durable: u64,
    is_full: bool,
    is_poisoned: bool,
}

impl Store for SlowStore {
    fn record(&mut self, _change: &Change<'_>) {
        self.recorded += 1;
    }

    fn recorded(&self) -> Position {
        Position(self.recorded)
    }

    fn durable(&self) -> Position {
        Position(self.durable)
    }

    fn is_full(&self) -> bool {
        self.is_full
    }

    fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }
}

type Slow = World<SlowStore>;

fn begin() -> Slow {
    World::with_store(SlowStore::default())
}

fn catch_up(world: &mut Slow) {
    let store = world.broker.store_mut();
    store.durable = store.recorded;
    world.broker.store_advanced();
}

fn knock(world: &mut Slow, id: &str, connect: Connect) -> ConnectionId {
    let connection = world.open(&device(id), connect.protocol_version);
    world.send(connection, &Packet::Connect(Box::new(connect)));
    connection
}

/// A device whose session stays, once the store has it.
fn lasting_device(world: &mut Slow, id: &str) -> ConnectionId {
    let connection = knock(world, id, lasting(connect(id, ProtocolVersion::V5)));
    catch_up(world);
    assert!(matches!(world.take(connection).as_slice(), [Packet::ConnAck(_)]));
    connection
}

fn lasting_reader(world: &mut Slow) -> ConnectionId {
    let reader = lasting_device(world, "b");
    world.send(reader, &Packet::Subscribe(subscribe(INBOX, QoS::ExactlyOnce)));
    assert!(world.take(reader).is_empty(), "SUBACK waits as well");
    catch_up(world);
    assert!(world.broker.woken().any(|id| id == reader));
    assert!(matches!(world.take(reader).as_slice(), [Packet::SubAck(_)]));
    reader
}

#[test]
fn puback_and_pubrec_wait_until_the_message_is_durable() {
    for (qos, packet_id) in [(QoS::AtLeastOnce, 1), (QoS::ExactlyOnce, 2)] {
        let mut world = begin();
        lasting_reader(&mut world);
        let writer = lasting_device(&mut world, "a");
        world.publish(writer, INBOX, "x", qos, packet_id);
        assert!(world.take(writer).is_empty());
        catch_up(&mut world);
        assert!(world.broker.woken().any(|id| id == writer));
        assert!(matches!(
            world.take(writer).as_slice(),
            [Packet::PubAck(_) | Packet::PubRec(_)]
        ));
    }
}

#[test]
fn what_needs_no_disk_does_not_wait_for_it() {
    let mut world = begin();
    lasting_reader(&mut world);
    let writer = world.device("a", ProtocolVersion::V5);
    let elsewhere = world.device("c", ProtocolVersion::V311);
    // The store lags behind: somebody else's message waits for it.
    world.publish(writer, INBOX, "x", QoS::AtLeastOnce, 1);
    assert!(world.take(writer).is_empty());
    // Nobody keeps these: they have no reader, or one whose session ends with its connection.
    world.publish(elsewhere, "dev/c/tel", "y", QoS::AtLeastOnce, 1);
    world.publish(elsewhere, "dev/c/tel", "z", QoS::ExactlyOnce, 2);
    assert!(matches!(
        world.take(elsewhere).as_slice(),
        [Packet::PubAck(_), Packet::PubRec(_)]
    ));
    world.send(elsewhere, &Packet::PubRel(success(number(2))));
    assert!(matches!(world.take(elsewhere).as_slice(), [Packet::PubComp(_)]));
}

#[test]
fn connack_waits_for_a_session_that_stays_and_messages_wait_behind_it() {
    let mut world = begin();
    let reader = lasting_reader(&mut world);
    world.cut(reader);
    let writer = world.device("a", ProtocolVersion::V5);
    world.publish(writer, INBOX, "x", QoS::AtLeastOnce, 1);
    catch_up(&mut world);
    let again = knock(&mut world, "b", lasting(connect("b", ProtocolVersion::V5)));
    assert!(world.take(again).is_empty());
    catch_up(&mut world);
    assert!(world.broker.woken().any(|id| id == again));
    assert!(matches!(
        world.take(again).as_slice(),
        [Packet::ConnAck(answer), Packet::Publish(_)] if answer.session_present
    ));
    // A clean start throws a session away that must not come back after a crash.
    let clean = knock(&mut world, "b", connect("b", ProtocolVersion::V5));
    assert!(world.take(clean).is_empty());
    catch_up(&mut world);
    assert!(matches!(
        world.take(clean).as_slice(),
        [Packet::ConnAck(answer)] if !answer.session_present
    ));
}

/// A crash between PUBLISH and the store would send it once more under another identifier; one between
/// PUBREL and the store would send it to a client that has forgotten it (law 7).
#[test]
fn a_qos_2_message_goes_step_by_step_with_the_store() {
    let mut world = begin();
    let reader = lasting_reader(&mut world);
    let writer = world.device("a", ProtocolVersion::V5);
    world.publish(writer, INBOX, "once", QoS::ExactlyOnce, 1);
    assert!(matches!(world.take(writer).as_slice(), [Packet::PubRec(_)]));
    world.send(writer, &Packet::PubRel(success(number(1))));
    assert!(world.take(reader).is_empty(), "its identifier is not durable");
    catch_up(&mut world);
    assert!(world.broker.woken().any(|id| id == reader));
    let packets = world.take(reader);
    let [Packet::Publish(message)] = packets.as_slice() else {
        panic!("{packets:?}")
    };
    assert!(!message.dup);
    let packet_id = message.packet_id.unwrap();
    world.send(reader, &Packet::PubRec(success(packet_id)));
    assert!(world.take(reader).is_empty(), "that it has it is not durable");
    world.send(reader, &Packet::PubRec(success(packet_id)));
    assert!(world.take(reader).is_empty(), "asking twice does not help");
    catch_up(&mut world);
    assert!(matches!(
        world.take(reader).as_slice(),
        [Packet::PubRel(_), Packet::PubRel(_)]
    ));
}

#[test]
fn a_qos_2_message_that_waited_is_sent_again_after_the_connection_was_lost() {
    let mut world = begin();
    let reader = lasting_reader(&mut world);
    let writer = world.device("a", ProtocolVersion::V5);
    world.publish(writer, INBOX, "once", QoS::ExactlyOnce, 1);
    world.send(writer, &Packet::PubRel(success(number(1))));
    assert!(world.take(reader).is_empty());
    world.cut(reader);
    let again = knock(&mut world, "b", lasting(connect("b", ProtocolVersion::V5)));
    assert!(world.take(again).is_empty());
    catch_up(&mut world);
    assert!(matches!(
        world.take(again).as_slice(),
        [Packet::ConnAck(_), Packet::Publish(_)]
    ));
}

#[test]
fn qos_1_does_not_wait_for_the_store_on_its_way_to_a_reader() {
    let mut world = begin();
    let reader = lasting_reader(&mut world);
    let writer = world.device("a", ProtocolVersion::V5);
    world.publish(writer, INBOX, "x", QoS::AtLeastOnce, 1);
    assert!(matches!(world.take(reader).as_slice(), [Packet::Publish(_)]));
    assert!(world.take(writer).is_empty());
}

#[test]
fn a_full_store_refuses_messages_and_nothing_else() {
    let mut world = begin();
    let writer = world.device("a", ProtocolVersion::V5);
    let old = world.device("c", ProtocolVersion::V311);
    world.broker.store_mut().is_full = true;
    world.publish(writer, INBOX, "x", QoS::AtMostOnce, 0);
    world.publish(writer, INBOX, "x", QoS::AtLeastOnce, 1);
    world.publish(writer, INBOX, "x", QoS::ExactlyOnce, 2);
    assert!(matches!(
        world.take(writer).as_slice(),
        [Packet::PubAck(first), Packet::PubRec(second)]
            if first.reason == ReasonCode::QuotaExceeded && second.reason == ReasonCode::QuotaExceeded
    ));
    world.publish(old, INBOX, "x", QoS::AtLeastOnce, 1);
    assert!(world.take(old).is_empty(), "3.1.1 has no word for it");
    assert!(world.is_closed(old));
    assert!(
        world.evidence().iter().all(|record| record.layer.is_none()),
        "it is nobody's denial"
    );
    // What is not permitted is refused for that, whatever the disk says.
    world.publish(writer, "dev/b/cmd", "x", QoS::AtLeastOnce, 3);
    assert!(matches!(
        world.take(writer).as_slice(),
        [Packet::PubAck(answer)] if answer.reason == ReasonCode::NotAuthorized
    ));
    world.broker.store_mut().is_full = false;
    world.publish(writer, INBOX, "x", QoS::AtLeastOnce, 4);
    assert!(matches!(
        world.take(writer).as_slice(),
        [Packet::PubAck(answer)] if answer.reason == ReasonCode::Success
    ));
}

#[test]
fn clients_are_served_with_a_policy_a_store_and_until_the_end() {
    let mut world = begin();
    assert_eq!(world.broker.readiness(), Ok(()));
    world.broker.store_mut().is_poisoned = true;
    assert!(world.broker.readiness().is_err_and(|why| why.contains("store")));
    world.broker.store_mut().is_poisoned = false;
    let now = world.now();
    world.broker.begin_shutdown(now);
    assert_eq!(world.broker.readiness(), Err("stopping"));
}
