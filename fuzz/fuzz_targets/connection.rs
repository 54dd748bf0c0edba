//! Two clients with narrow rights throw bytes at the whole broker core, and time passes. Whatever they
//! send, it must not panic, and nobody may receive a topic that its rights do not cover at that moment.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use motte_broker::ConnectionId;
use motte_mqtt::{Packet, ProtocolVersion};
use world::{World, connect, device, facts, lasting, no_exceptions, policy, quarantined};

#[path = "../../crates/broker/tests/world/mod.rs"]
mod world;

const NAMES: [&str; 2] = ["a", "b"];

struct Player {
    name: &'static str,
    version: ProtocolVersion,
    connection: ConnectionId,
}

fuzz_target!(|input: &[u8]| play(input));

fn play(mut input: &[u8]) {
    let Some(&first) = input.first() else { return };
    let version = if first & 1 == 0 {
        ProtocolVersion::V311
    } else {
        ProtocolVersion::V5
    };
    let mut world = World::new();
    let mut players = NAMES.map(|name| enter(&mut world, name, version));
    let mut excluded = None;
    input = &input[1..];
    while let [command, length, rest @ ..] = input {
        let (bytes, after) = rest.split_at(usize::from(*length).min(rest.len()));
        input = after;
        let turn = usize::from(command & 1);
        match command >> 1 {
            0..=95 => world.send_bytes(players[turn].connection, bytes),
            96..=103 => world.cut(players[turn].connection),
            104..=111 => world.pass(Duration::from_millis(u64::from(*length) * 700)),
            112..=119 => {
                let exceptions = if excluded.is_some() {
                    no_exceptions()
                } else {
                    quarantined("device/a")
                };
                excluded = if excluded.is_some() { None } else { Some("a") };
                world.install(&policy(), &exceptions);
            }
            _ => {}
        }
        for player in &mut players {
            settle(&mut world, player, excluded);
        }
    }
}

/// Reads what the player got, judges it, and lets the player come back if it was thrown out.
fn settle(world: &mut World, player: &mut Player, excluded: Option<&str>) {
    for packet in world.take(player.connection) {
        let Packet::Publish(message) = packet else {
            continue;
        };
        // A known alias stands for a topic that was judged when it was introduced; the client offers none.
        let topic: &str = &message.topic;
        let own = [
            format!("dev/{}/cmd", player.name),
            format!("peer/{}/inbox", player.name),
        ];
        assert!(
            own.iter().any(|allowed| allowed == topic),
            "{} received {topic}",
            player.name
        );
        assert_ne!(
            Some(player.name),
            excluded,
            "a quarantined reader received {topic}"
        );
    }
    if world.is_closed(player.connection) && excluded != Some(player.name) {
        *player = enter(world, player.name, player.version);
    }
}

fn enter(world: &mut World, name: &'static str, version: ProtocolVersion) -> Player {
    let now = world.now();
    let certificate = facts(&device(name));
    assert!(
        certificate.not_after > now.unix.as_secs(),
        "the world is younger than its certificates"
    );
    let connection = world.open(&device(name), version);
    world.send(
        connection,
        &Packet::Connect(Box::new(lasting(connect(name, version)))),
    );
    Player {
        name,
        version,
        connection,
    }
}
