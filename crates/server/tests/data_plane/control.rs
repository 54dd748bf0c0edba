//! The control socket.

use std::io::Write;

use motte_mqtt::{Packet, ReasonCode};
use serde_json::{Value, json};

use crate::fleet::{Fleet, evidence};

#[test]
fn status_says_how_things_stand() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut device = fleet.device(&running, "toaster-1");
    device.subscribe("toasters/toaster-1/command", motte_mqtt::QoS::AtLeastOnce);
    let status = running.status();
    assert_eq!(status["pid"], std::process::id());
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["generation"], 1);
    assert_eq!(
        status["listening"],
        json!({"address": "127.0.0.1", "port": running.address.port()})
    );
    assert_eq!(status["connections"], 1);
    assert_eq!(status["sessions"], 1);
    assert_eq!(status["subscriptions"], 1);
    assert_eq!(status["retained"], json!({"messages": 0, "bytes": 0}));
    assert_eq!(status["queued"], json!({"messages": 0, "bytes": 0}));
    assert!(status["uptime_seconds"].is_u64());
    assert!(status["counters"]["passed"]["connect"].is_u64());
    assert_eq!(status["evidence"]["failing"], false);
}

#[test]
fn refused_handshakes_are_counted() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let config = std::sync::Arc::new(crate::client::config(&fleet.authority, None));
    let mut stranger = crate::client::Client::with(running.address, &config);
    let _ = stranger.shake();
    assert_eq!(stranger.receive(), None);
    assert_eq!(running.status()["counters"]["refused"]["tls"], 1);
}

#[test]
fn malformed_frames_close_that_client_only() {
    let fleet = Fleet::new();
    let running = fleet.start();
    let mut good = running.control();
    let bodies: [&[u8]; 7] = [
        b"",
        b"\x01",
        b"\x02{\"id\":1,\"command\":\"status\"}",
        b"\x01[]",
        b"\x01{\"command\":\"status\"}",
        b"\x01\xff",
        b"{}",
    ];
    for body in bodies {
        let mut bad = running.control();
        bad.send_body(body);
        assert!(bad.is_closed(), "{body:?}");
    }
    let mut bad = running.control();
    bad.stream
        .write_all(&(64 * 1024 * 1024 + 1_u32).to_be_bytes())
        .unwrap();
    assert!(bad.is_closed());
    assert_eq!(good.ok("status", &json!({}))["generation"], 0);
}

#[test]
fn what_is_not_understood_is_answered() {
    let fleet = Fleet::new();
    let running = fleet.start();
    let mut control = running.control();
    for (command, arguments) in [
        ("explode", json!({})),
        ("status", json!({"extra": 1})),
        ("install", json!({})),
        ("install", json!({"snapshot": 7})),
        ("disconnect", json!({})),
    ] {
        let error = control.error(command, &arguments);
        assert!(
            error["message"].as_str().unwrap().contains("not understood"),
            "{error}"
        );
        assert!(error["hint"].is_string());
    }
    control.ok("status", &json!({}));
}

#[test]
fn several_clients_are_served_at_once() {
    let fleet = Fleet::new();
    let running = fleet.start();
    let mut clients: Vec<_> = (0..10).map(|_| running.control()).collect();
    // Half a frame of the first one holds up nobody.
    clients[0].stream.write_all(&[0, 0]).unwrap();
    for client in &mut clients[1..] {
        client.ok("status", &json!({}));
    }
}

#[test]
fn bad_snapshots_are_refused_and_change_nothing() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut control = running.control();
    let stored = std::fs::read_to_string(fleet.state().join("snapshot.json")).unwrap();
    let older = stored.replace("\"generation\":1", "\"generation\":0");
    let other_fleet = fleet
        .snapshot(&json!({}))
        .replace("\"fleet\":\"home\"", "\"fleet\":\"office\"");
    let failing = fleet.snapshot(&json!({})).replace(
        "\"vectors\":[]",
        "\"vectors\":[{\"identity\":{\"kind\":\"device\",\"id\":\"x\",\"attributes\":{}},\"action\":\"publish\",\"topic\":\"a\",\"qos\":0,\"retain\":false,\"allowed\":true}]",
    );
    for snapshot in ["", "{}", &*older, &*other_fleet, &*failing] {
        let error = control.error("install", &json!({"snapshot": snapshot}));
        assert!(
            error["message"].is_string() && error["hint"].is_string(),
            "{error}"
        );
    }
    assert_eq!(control.ok("status", &json!({}))["generation"], 1);
    assert_eq!(
        std::fs::read_to_string(fleet.state().join("snapshot.json")).unwrap(),
        stored
    );
    assert_eq!(
        std::fs::read_dir(fleet.state()).unwrap().count(),
        4,
        "no staged file is left"
    );
    // The same snapshot again changes nothing and is no error.
    control.ok("install", &json!({"snapshot": stored}));
    running.stop().unwrap();
    let refused = evidence(&fleet.state());
    let refused = refused.iter().filter(|record| {
        record["kind"] == "snapshot" && record["detail"].as_str().unwrap().contains("was refused")
    });
    assert_eq!(refused.count(), 5);
}

#[test]
fn a_disconnected_identity_may_come_back() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut device = fleet.device(&running, "toaster-1");
    let mut other = fleet.device(&running, "toaster-2");
    let result = running
        .control()
        .ok("disconnect", &json!({"identity": "device/toaster-1"}));
    assert_eq!(result["disconnected"], 1);
    assert_eq!(result["cut_off"], 0);
    assert_eq!(device.expect_disconnect(), ReasonCode::AdministrativeAction);
    other.ping();
    fleet.device(&running, "toaster-1").ping();
    let nobody = running
        .control()
        .ok("disconnect", &json!({"identity": "device/nobody"}));
    assert_eq!(nobody["disconnected"], 0);
}

#[test]
fn a_banned_address_is_cut_off() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut device = fleet.device(&running, "toaster-1");
    running.control().ok(
        "install",
        &json!({"snapshot": fleet.snapshot(&json!({"banned": ["127.0.0.0/8"]}))}),
    );
    assert_eq!(device.receive(), None);
    let mut again = crate::client::Client::tls(
        running.address,
        &fleet.authority,
        &fleet.authority.device("toaster-1"),
    );
    assert!(again.shake().is_err());
}

#[test]
fn followers_see_evidence_after_it_is_on_disk() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut follower = running.control();
    follower.ok("follow", &json!({}));
    let _device = fleet.device(&running, "toaster-1");
    let connected = loop {
        let message = follower.receive().unwrap();
        assert_eq!(message["event"], "batch");
        assert_eq!(message["dropped"], 0);
        let events = message["events"].as_array().unwrap().clone();
        if let Some(event) = events.into_iter().find(|event| event["kind"] == "connected") {
            break event;
        }
    };
    assert_eq!(connected["identity"], "device/toaster-1");
    let seq = usize::try_from(connected["seq"].as_u64().unwrap()).unwrap();
    let mut on_disk: Value = evidence(&fleet.state())[seq - 1].clone();
    on_disk["seq"] = connected["seq"].clone();
    assert_eq!(on_disk, connected);
}

#[test]
fn the_stop_command_stops() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut device = fleet.device(&running, "toaster-1");
    let mut control = running.control();
    control.ok("stop", &json!({}));
    assert!(matches!(device.receive(), Some(Packet::Disconnect(_))));
    drop(device);
    running.take_server().wait().unwrap();
    assert!(control.is_closed());
}

#[test]
fn the_certificate_is_replaced_under_open_connections() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let shown = |client: &crate::client::Client| client.stream.conn.peer_certificates().unwrap()[0].clone();
    let mut before = fleet.device(&running, "toaster-1");
    let successor = fleet.authority.server();
    assert_ne!(shown(&before), successor.certificate);
    fleet.write_server(&successor);
    let unchanged = fleet.device(&running, "toaster-2");
    assert_eq!(shown(&unchanged), shown(&before), "not before it is asked to");

    let answer = running.control().ok("reload_certificate", &json!({}));
    assert_eq!(running.status()["server_certificate"], answer);
    let mut after = fleet.device(&running, "toaster-3");
    assert_eq!(shown(&after), successor.certificate);
    before.ping();
    after.ping();
}

#[test]
fn a_ticket_outlives_the_certificate_that_it_was_made_under() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let device = fleet.authority.device("toaster-1");
    let config = std::sync::Arc::new(crate::client::config(&fleet.authority, Some(&device)));
    let mut first = crate::client::Client::with(running.address, &config);
    first.connect("toaster-1");
    first.ping();
    fleet.write_server(&fleet.authority.server());
    running.control().ok("reload_certificate", &json!({}));
    let mut second = crate::client::Client::with(running.address, &config);
    assert_eq!(second.shake().unwrap(), rustls::HandshakeKind::Resumed);
    second.connect("toaster-1");
}

#[test]
fn an_unusable_successor_leaves_the_certificate_in_force() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let until = running.status()["server_certificate"].clone();
    let mut mismatched = fleet.authority.server();
    mismatched.key_pem = fleet.authority.server().key_pem;
    for (unusable, why) in [
        (fleet.authority.expired_server(), "has expired"),
        (mismatched, "is not usable"),
    ] {
        fleet.write_server(&unusable);
        let error = running.control().error("reload_certificate", &json!({}));
        assert!(error["message"].as_str().unwrap().contains(why), "{error}");
        assert!(!error["hint"].as_str().unwrap().is_empty());
        assert_eq!(running.status()["server_certificate"], until);
        fleet.device(&running, "toaster-1").ping();
    }
    let records = evidence(&fleet.state());
    let refused = records
        .iter()
        .filter(|record| record["kind"] == "server_certificate");
    assert_eq!(refused.count(), 2);
}
