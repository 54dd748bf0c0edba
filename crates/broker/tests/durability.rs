//! The seam to the store: what promises durability waits for it.

mod world;

use motte_broker::{Change, Position, Store};
use motte_mqtt::{Packet, ProtocolVersion, QoS};
use world::*;

/// A store whose disk is as slow as the test wants, and breaks when it wants.
#[derive(Default)]
struct SlowStore {
    recorded: u64,
    durable: u64,
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

    fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }
}

fn catch_up(world: &mut World<SlowStore>) {
    let store = world.broker.store_mut();
    store.durable = store.recorded;
    world.broker.store_advanced();
}

#[test]
fn puback_and_pubrec_wait_until_the_message_is_durable() {
    for (qos, packet_id) in [(QoS::AtLeastOnce, 1), (QoS::ExactlyOnce, 2)] {
        let mut world = World::with_store(SlowStore::default());
        let (reader, _) = world.lasting_device("b", ProtocolVersion::V5);
        world.send(
            reader,
            &Packet::Subscribe(subscribe("peer/b/inbox", QoS::ExactlyOnce)),
        );
        assert!(world.take(reader).is_empty(), "SUBACK waits as well");
        catch_up(&mut world);
        assert!(matches!(world.take(reader).as_slice(), [Packet::SubAck(_)]));
        let writer = world.device("a", ProtocolVersion::V5);
        catch_up(&mut world);
        world.publish(writer, "peer/b/inbox", "x", qos, packet_id);
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
fn clients_are_served_with_a_policy_a_store_and_until_the_end() {
    let mut world = World::with_store(SlowStore::default());
    assert_eq!(world.broker.readiness(), Ok(()));
    world.broker.store_mut().is_poisoned = true;
    assert!(world.broker.readiness().is_err_and(|why| why.contains("store")));
    world.broker.store_mut().is_poisoned = false;
    let now = world.now();
    world.broker.begin_shutdown(now);
    assert_eq!(world.broker.readiness(), Err("stopping"));
}
