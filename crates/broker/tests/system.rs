//! `$SYS`: what the broker says about itself, and to whom.

mod world;

use std::time::Duration;

use motte_mqtt::{Packet, ProtocolVersion, QoS};
use serde_json::{Value, json};
use world::*;

fn with_monitor() -> Value {
    let mut roles = policy();
    roles.as_array_mut().unwrap().push(json!({
        "name": "monitor", "line": 30,
        "match": {"kind": "service", "id": "monitor", "attributes": {}},
        "publish": [],
        "subscribe": [{"topic": "$SYS/#", "qos": 2, "line": 31}, {"topic": "#", "qos": 2, "line": 32}],
        "deny": [], "wildcards": true, "limits": {},
    }));
    roles
}

fn monitor(world: &mut World) -> motte_broker::ConnectionId {
    world.install(&with_monitor(), &no_exceptions());
    let hello = connect("monitor", ProtocolVersion::V5);
    world.connect(&service("monitor"), hello).0
}

fn values(packets: Vec<Packet>) -> Vec<(String, bool, u64)> {
    let messages = packets.into_iter().filter_map(|packet| match packet {
        Packet::Publish(message) => {
            let value = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
            Some((message.topic.to_string(), message.retain, value))
        }
        _ => None,
    });
    messages.collect()
}

#[test]
fn a_reader_gets_every_value_at_once_and_then_what_has_changed() {
    let mut world = World::new();
    let reader = monitor(&mut world);
    world.send(reader, &Packet::Subscribe(subscribe("$SYS/#", QoS::AtLeastOnce)));
    let first = values(world.take(reader));
    assert_eq!(first.len(), 20, "{first:?}");
    assert!(first.iter().all(|(_, retain, _)| *retain));
    world.device("a", ProtocolVersion::V5);
    world.pass(Duration::from_secs(11));
    let then = values(world.take(reader));
    let of = |name: &str| then.iter().find(|(topic, ..)| topic == name).map(|found| found.2);
    assert_eq!(of("$SYS/broker/clients/connected"), Some(2));
    assert!(of("$SYS/broker/uptime").is_some_and(|seconds| seconds > 0));
    assert_eq!(of("$SYS/broker/retained/bytes"), None, "it has not changed");
    assert!(then.iter().all(|(_, retain, _)| !*retain));
}

#[test]
fn a_new_policy_does_not_withhold_what_the_broker_says() {
    let mut world = World::new();
    let reader = monitor(&mut world);
    world.install(&with_monitor(), &no_exceptions());
    world.send(
        reader,
        &Packet::Subscribe(subscribe("$SYS/broker/sessions", QoS::AtLeastOnce)),
    );
    assert_eq!(values(world.take(reader)).len(), 1);
}

#[test]
fn wildcards_at_the_front_do_not_reach_it() {
    let mut world = World::new();
    let reader = monitor(&mut world);
    for filter in ["#", "+/#", "+/broker/uptime"] {
        world.send(reader, &Packet::Subscribe(subscribe(filter, QoS::AtLeastOnce)));
        world.pass(Duration::from_secs(11));
        assert!(values(world.take(reader)).is_empty(), "{filter}");
    }
}
