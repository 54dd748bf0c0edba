//! Layers 0 and 1: who gets as far as CONNECT.

use std::io::{Read, Write};
use std::sync::Arc;

use motte_mqtt::{Packet, ReasonCode};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::{ClientConfig, HandshakeKind, NamedGroup};
use serde_json::json;

use crate::certificates::{Authority, Credential, client, from_now};
use crate::client::{Client, config, config_of, config_with, read_to_end, tcp};
use crate::fleet::{Fleet, Running, refusals};

/// Tries to get a CONNACK; whether one came.
fn gets_in(running: &Running, config: ClientConfig, client_id: &str) -> bool {
    let mut client = Client::with(running.address, &Arc::new(config));
    if client.shake().is_err() || client.try_send(&Client::connect_packet(client_id)).is_err() {
        return false;
    }
    matches!(client.receive(), Some(Packet::ConnAck(answer)) if answer.reason == ReasonCode::Success)
}

/// Asserts that a credential does not get in, and by which rule.
fn assert_refused(credential: impl FnOnce(&Fleet) -> Credential, rule: &str) {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let credential = credential(&fleet);
    assert!(!gets_in(
        &running,
        config(&fleet.authority, Some(&credential)),
        "toaster-1"
    ));
    running.stop().unwrap();
    assert_eq!(refusals(&fleet.state()), [rule]);
}

#[test]
fn a_device_of_the_fleet_gets_in() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    assert!(gets_in(
        &running,
        config(&fleet.authority, Some(&fleet.authority.device("toaster-1"))),
        "toaster-1"
    ));
    running.stop().unwrap();
    assert!(refusals(&fleet.state()).is_empty());
}

#[test]
fn tls_1_2_is_refused() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let credential = fleet.authority.device("toaster-1");
    let config = config_of(&fleet.authority, Some(&credential), &[&rustls::version::TLS12]);
    assert!(!gets_in(&running, config, "toaster-1"));
    running.stop().unwrap();
    assert_eq!(refusals(&fleet.state()), ["tls.version"]);
}

#[test]
fn no_certificate_is_refused() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    assert!(!gets_in(&running, config(&fleet.authority, None), "toaster-1"));
    running.stop().unwrap();
    assert_eq!(refusals(&fleet.state()), ["tls.no-certificate"]);
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    assert_refused(|_| Authority::new("elsewhere").device("toaster-1"), "tls.issuer");
}

#[test]
fn an_authority_of_the_same_name_is_refused() {
    assert_refused(
        |_| Authority::new("fleet home").device("toaster-1"),
        "tls.signature",
    );
}

#[test]
fn an_expired_certificate_is_refused() {
    assert_refused(
        |fleet| {
            let mut params = client("spiffe://home/group/toaster/device/toaster-1");
            (params.not_before, params.not_after) = (from_now(-7_200), from_now(-60));
            fleet.authority.issue(params)
        },
        "tls.expired",
    );
}

#[test]
fn a_certificate_of_the_future_is_refused() {
    assert_refused(
        |fleet| {
            let mut params = client("spiffe://home/group/toaster/device/toaster-1");
            params.not_before = from_now(600);
            fleet.authority.issue(params)
        },
        "tls.not-yet-valid",
    );
}

#[test]
fn a_server_certificate_is_none_for_clients() {
    assert_refused(
        |fleet| {
            let mut params = client("spiffe://home/group/toaster/device/toaster-1");
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            fleet.authority.issue(params)
        },
        "tls.purpose",
    );
}

#[test]
fn a_certificate_without_a_purpose_is_refused_by_the_guard() {
    assert_refused(
        |fleet| {
            let mut params = client("spiffe://home/group/toaster/device/toaster-1");
            params.extended_key_usages = Vec::new();
            fleet.authority.issue(params)
        },
        "tls.extended-key-usage",
    );
}

#[test]
fn a_certificate_without_a_key_usage_is_refused_by_the_guard() {
    assert_refused(
        |fleet| {
            let mut params = client("spiffe://home/group/toaster/device/toaster-1");
            params.key_usages = Vec::new();
            fleet.authority.issue(params)
        },
        "tls.key-usage",
    );
}

#[test]
fn plain_mqtt_is_refused() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut stream = tcp(running.address);
    stream
        .write_all(b"\x10\x15\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x08toaster1")
        .unwrap();
    let (answer, _) = read_to_end(&mut stream);
    // At most an alert: never a CONNACK.
    assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
    running.stop().unwrap();
    assert_eq!(refusals(&fleet.state()), ["tls.malformed"]);
}

#[test]
fn without_a_policy_everybody_is_refused() {
    let fleet = Fleet::new();
    let running = fleet.start();
    let credential = fleet.authority.device("toaster-1");
    assert!(!gets_in(
        &running,
        config(&fleet.authority, Some(&credential)),
        "toaster-1"
    ));
    assert_eq!(running.status()["generation"], 0);
    running.stop().unwrap();
    assert_eq!(refusals(&fleet.state()).len(), 1);
}

/// A configuration whose client has a session ticket, and the credential in it.
fn with_ticket(fleet: &Fleet, running: &Running) -> (Arc<ClientConfig>, Credential) {
    let credential = fleet.authority.device("toaster-1");
    let config = Arc::new(config(&fleet.authority, Some(&credential)));
    let mut first = Client::with(running.address, &config);
    assert_eq!(first.shake().unwrap(), HandshakeKind::Full);
    first.connect("toaster-1");
    (config, credential)
}

#[test]
fn a_session_is_resumed() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let (config, _) = with_ticket(&fleet, &running);
    let mut second = Client::with(running.address, &config);
    assert_eq!(second.shake().unwrap(), HandshakeKind::Resumed);
    second.connect("toaster-1");
}

#[test]
fn a_resumed_session_of_a_revoked_identity_is_refused() {
    for exceptions in [
        json!({"revoked": ["device/toaster-1"]}),
        json!({"quarantined": ["device/toaster-1"]}),
    ] {
        let fleet = Fleet::new();
        let running = fleet.serve();
        let (config, _) = with_ticket(&fleet, &running);
        running
            .control()
            .ok("install", &json!({"snapshot": fleet.snapshot(&exceptions)}));
        assert_resumed_is_refused(&running, &config);
    }
}

#[test]
fn a_resumed_session_of_a_revoked_certificate_is_refused() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let (config, credential) = with_ticket(&fleet, &running);
    let serial: String = credential
        .serial
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let snapshot = fleet.snapshot(&json!({"revoked_serials": [serial]}));
    running.control().ok("install", &json!({"snapshot": snapshot}));
    assert_resumed_is_refused(&running, &config);
}

fn assert_resumed_is_refused(running: &Running, config: &Arc<ClientConfig>) {
    let mut second = Client::with(running.address, config);
    // To TLS the session is good; the guard is not asked until it is done.
    assert_eq!(second.shake().unwrap(), HandshakeKind::Resumed);
    let _ = second.try_send(&Client::connect_packet("toaster-1"));
    assert_eq!(second.receive(), None);
}

#[test]
fn a_ticket_of_another_life_of_the_server_is_worth_nothing() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let (config, _) = with_ticket(&fleet, &running);
    running.stop().unwrap();
    let running = fleet.start();
    let mut second = Client::with(running.address, &config);
    assert_eq!(second.shake().unwrap(), HandshakeKind::Full);
    second.connect("toaster-1");
}

#[test]
fn a_silent_peer_is_closed_at_the_deadline() {
    let fleet = Fleet::new();
    let mut settings = fleet.settings();
    settings["handshake_deadline_seconds"] = json!(0.2);
    let running = fleet.start_with(&settings).unwrap();
    let mut silent = tcp(running.address);
    let mut half = tcp(running.address);
    half.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).unwrap();
    for stream in [&mut silent, &mut half] {
        let (bytes, _) = read_to_end(stream);
        assert!(bytes.is_empty());
    }
    running.wait_for("nobody", |status| status["connections"] == 0);
    running.stop().unwrap();
    assert_eq!(refusals(&fleet.state())[0], "network.handshake-deadline");
}

#[test]
fn a_peer_that_never_connects_is_closed_at_the_deadline() {
    let fleet = Fleet::new();
    let mut settings = fleet.settings();
    settings["handshake_deadline_seconds"] = json!(0.5);
    let running = fleet.start_with(&settings).unwrap();
    fleet.install(&running);
    let mut client = Client::tls(
        running.address,
        &fleet.authority,
        &fleet.authority.device("toaster-1"),
    );
    client.shake().unwrap();
    let (_, _) = read_to_end(&mut client.stream);
    running.stop().unwrap();
    assert_eq!(refusals(&fleet.state()), ["motte.limit.connect-deadline"]);
}

#[test]
fn the_protocol_name_is_accepted_and_others_are_not() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let credential = fleet.authority.device("toaster-1");
    let mut with_name = config(&fleet.authority, Some(&credential));
    with_name.alpn_protocols = vec![b"http/1.1".to_vec(), b"mqtt".to_vec()];
    assert!(gets_in(&running, with_name, "toaster-1"));
    let mut with_other = config(&fleet.authority, Some(&credential));
    with_other.alpn_protocols = vec![b"http/1.1".to_vec()];
    assert!(!gets_in(&running, with_other, "toaster-1"));
}

#[test]
fn the_clients_order_of_groups_decides() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let credential = fleet.authority.device("toaster-1");
    for group in [
        NamedGroup::X25519MLKEM768,
        NamedGroup::X25519,
        NamedGroup::secp256r1,
    ] {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.kx_groups.sort_by_key(|known| known.name() != group);
        let config = config_with(
            provider,
            &fleet.authority,
            Some(&credential),
            &[&rustls::version::TLS13],
        );
        let mut client = Client::with(running.address, &Arc::new(config));
        client.shake().unwrap();
        let chosen = client.stream.conn.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(chosen, group);
        client.connect("toaster-1");
    }
}

#[test]
fn too_many_connections_of_one_address_are_refused() {
    let fleet = Fleet::new();
    let mut settings = fleet.settings();
    settings["network"]["connections_per_address"] = json!(2);
    let running = fleet.start_with(&settings).unwrap();
    fleet.install(&running);
    let _first = fleet.device(&running, "toaster-1");
    let second = fleet.device(&running, "toaster-2");
    let mut third = tcp(running.address);
    assert!(matches!(third.read(&mut [0]), Ok(0) | Err(_)));
    drop(second);
    running.wait_for("one connection", |status| status["connections"] == 1);
    // The place is given back a moment after the broker has forgotten the connection.
    let credential = fleet.authority.device("toaster-2");
    while !gets_in(&running, config(&fleet.authority, Some(&credential)), "toaster-2") {}
    running.stop().unwrap();
    assert_eq!(refusals(&fleet.state())[0], "network.connections-per-address");
}

#[test]
fn failures_ban_an_address_for_a_while() {
    let fleet = Fleet::new();
    let mut settings = fleet.settings();
    settings["network"]["failures_to_ban"] = json!(3);
    let running = fleet.start_with(&settings).unwrap();
    fleet.install(&running);
    for _ in 0..3 {
        assert!(!gets_in(&running, config(&fleet.authority, None), "toaster-1"));
    }
    let credential = fleet.authority.device("toaster-1");
    assert!(tcp_is_reset(
        &running,
        &config(&fleet.authority, Some(&credential))
    ));
    running.stop().unwrap();
    assert_eq!(
        refusals(&fleet.state()),
        [
            "tls.no-certificate",
            "tls.no-certificate",
            "tls.no-certificate",
            "network.failures"
        ]
    );
}

fn tcp_is_reset(running: &Running, config: &ClientConfig) -> bool {
    Client::with(running.address, &Arc::new(config.clone()))
        .shake()
        .is_err()
}
