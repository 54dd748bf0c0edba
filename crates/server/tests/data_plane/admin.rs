//! Metrics, health and readiness.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use motte_mqtt::QoS;
use serde_json::json;

use crate::client::Client;
use crate::fleet::{Fleet, Running};

fn start(fleet: &Fleet) -> Running {
    let mut settings = fleet.settings();
    settings["metrics"] = json!({"address": "127.0.0.1", "port": 0});
    fleet.start_with(&settings).unwrap()
}

fn ask(running: &Running, request: &str) -> String {
    let port = running.status()["metrics"]["port"].as_u64().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(running: &Running, path: &str) -> String {
    ask(
        running,
        &format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
    )
}

fn value(page: &str, name: &str) -> f64 {
    let line = page
        .lines()
        .find(|line| line.rsplit_once(' ').is_some_and(|(found, _)| found == name));
    let line = line.unwrap_or_else(|| panic!("{name} is not in {page}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn metrics_count_what_happened_and_name_nobody() {
    let fleet = Fleet::new();
    let running = start(&fleet);
    fleet.install(&running);
    let mut device = fleet.device(&running, "toaster-1");
    device.subscribe("toasters/toaster-1/command", QoS::AtLeastOnce);
    let denied = Client::publish_packet("toasters/toaster-2/telemetry", "x", Some(1));
    device.send(&denied);
    assert!(device.receive().is_some(), "its refusal");
    let answer = get(&running, "/metrics");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("Content-Type: application/openmetrics-text; version=1.0.0"),
        "{answer}"
    );
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    for (name, expected) in [
        ("motte_connections", 1.0),
        ("motte_sessions", 1.0),
        ("motte_subscriptions", 1.0),
        ("motte_ready", 1.0),
        ("motte_policy_generation", 1.0),
        ("motte_denials_total{layer=\"authorization\"}", 1.0),
        ("motte_denials_total{layer=\"network\"}", 0.0),
        ("motte_permits_total{action=\"connect\"}", 1.0),
        ("motte_messages_total{event=\"received\"}", 1.0),
        ("motte_evidence_lost_total", 0.0),
        ("motte_events_dropped_total", 0.0),
    ] {
        assert_eq!(value(&answer, name), expected, "{name}");
    }
    assert!(value(&answer, "motte_bytes_total{direction=\"received\"}") > 0.0);
    for secret in ["toaster", "command", "127.0.0.1", "home"] {
        assert!(!answer.contains(secret), "{secret} in {answer}");
    }
}

#[test]
fn commits_of_the_evidence_are_measured() {
    let fleet = Fleet::new();
    let running = start(&fleet);
    // Its answer comes after the evidence of it is safe.
    fleet.install(&running);
    let page = get(&running, "/metrics");
    assert!(value(&page, "motte_evidence_commit_seconds_count") >= 1.0);
    assert!(
        page.contains("motte_evidence_commit_seconds_bucket{le=\"+Inf\"}"),
        "{page}"
    );
}

#[test]
fn readiness_needs_a_snapshot_and_health_does_not() {
    let fleet = Fleet::new();
    let running = start(&fleet);
    assert!(get(&running, "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
    let not_ready = get(&running, "/readyz");
    assert!(not_ready.starts_with("HTTP/1.1 503 "), "{not_ready}");
    assert!(not_ready.contains("no snapshot"), "{not_ready}");
    fleet.install(&running);
    assert!(get(&running, "/readyz").starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn what_is_no_request_of_its_own_host_is_refused() {
    let fleet = Fleet::new();
    let running = start(&fleet);
    for (request, status) in [
        ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403"),
        ("GET /metrics HTTP/1.0\r\n\r\n", "403"),
        ("POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "405"),
        ("GET /status HTTP/1.1\r\nhost: localhost:1\r\n\r\n", "404"),
        ("\r\n\r\n", "403"),
    ] {
        let answer = ask(&running, request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?}: {answer}"
        );
    }
    let endless = format!(
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {}",
        "x".repeat(16 * 1024)
    );
    let port = running.status()["metrics"]["port"].as_u64().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).unwrap();
    let _ = stream.write_all(endless.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty());
}

#[test]
fn metrics_stay_on_loopback_unless_a_frightening_name_says_otherwise() {
    let fleet = Fleet::new();
    let mut settings = fleet.settings();
    for address in ["0.0.0.0", "192.0.2.1", "::"] {
        settings["metrics"] = json!({"address": address, "port": 0});
        let refused = motte_server::Settings::parse(&settings.to_string()).unwrap_err();
        assert!(refused.hint().contains("danger_beyond_loopback"), "{refused}");
        settings["metrics"]["danger_beyond_loopback"] = json!(true);
        assert!(motte_server::Settings::parse(&settings.to_string()).is_ok());
    }
    settings["metrics"] = json!(null);
    assert_eq!(
        motte_server::Settings::parse(&settings.to_string())
            .unwrap()
            .metrics,
        None
    );
}
