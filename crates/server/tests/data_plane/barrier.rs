//! Law 6 through the whole data plane: when `install` or `disconnect` has answered, it holds.

use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use motte_mqtt::{Packet, QoS, ReasonCode};
use serde_json::{Value, json};

use crate::client::Client;
use crate::fleet::{Fleet, Running};

fn install(fleet: &Fleet, running: &Running, exceptions: &Value) -> Value {
    running
        .control()
        .ok("install", &json!({"snapshot": fleet.snapshot(exceptions)}))
}

/// A device publishes as fast as it can while it is revoked. Its messages carry numbers; the number
/// that it had reached when `install` answered is noted, and nothing beyond it may be delivered.
#[test]
fn no_message_of_a_revoked_sender_is_delivered_after_the_answer() {
    for round in 0..5 {
        let fleet = Fleet::new();
        let running = fleet.serve();
        let mut dashboard = fleet.dashboard(&running);
        dashboard.subscribe("toasters/+/telemetry", QoS::AtMostOnce);
        let mut device = fleet.device(&running, "toaster-1");
        let published = AtomicU32::new(0);
        let reached = thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..u32::MAX {
                    let payload = number.to_be_bytes().to_vec();
                    let packet = Client::publish_packet("toasters/toaster-1/telemetry", payload, None);
                    // Counted before it is sent: what arrives was counted.
                    published.store(number, Ordering::SeqCst);
                    if device.try_send(&packet).is_err() {
                        return;
                    }
                }
            });
            while published.load(Ordering::SeqCst) < 1_000 {
                thread::yield_now();
            }
            let report = install(&fleet, &running, &json!({"revoked": ["device/toaster-1"]}));
            assert_eq!(report["disconnected"], json!(["device/toaster-1"]));
            published.load(Ordering::SeqCst)
        });
        // A marker behind everything that the data plane still has for this reader.
        let mut other = fleet.device(&running, "toaster-2");
        other.publish("toasters/toaster-2/telemetry", "marker");
        loop {
            let payload = dashboard.message();
            if payload == "marker" {
                break;
            }
            let number = u32::from_be_bytes(payload[..].try_into().unwrap());
            assert!(
                number <= reached,
                "round {round}: {number} was delivered, {reached} was the last before"
            );
        }
    }
}

/// A reader is revoked while messages stream to it. What is published after the answer must not reach
/// its socket, so the connection has to end with nothing of it.
#[test]
fn no_message_reaches_a_revoked_reader_after_the_answer() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    for round in 0..10_u32 {
        let id = format!("toaster-{round}");
        let mut reader = fleet.device(&running, &id);
        let topic = format!("toasters/{id}/command");
        reader.subscribe(&topic, QoS::AtMostOnce);
        let mut dashboard = fleet.dashboard(&running);
        let revoked = AtomicBool::new(false);
        thread::scope(|scope| {
            let publisher = scope.spawn(|| {
                let mut after = 0;
                while after < 100 {
                    let is_after = revoked.load(Ordering::SeqCst);
                    dashboard.publish(&topic, if is_after { "after" } else { "before" });
                    after += u32::from(is_after);
                }
                dashboard.ping();
            });
            let all: Vec<String> = (0..=round)
                .map(|number| format!("device/toaster-{number}"))
                .collect();
            let reading = scope.spawn(|| {
                let mut reasons = Vec::new();
                while let Some(packet) = reader.receive() {
                    match packet {
                        Packet::Publish(publish) => assert_eq!(publish.payload, "before"),
                        Packet::Disconnect(disconnect) => reasons.push(disconnect.reason),
                        other => panic!("unexpected {other:?}"),
                    }
                }
                reasons
            });
            install(&fleet, &running, &json!({"revoked": all}));
            revoked.store(true, Ordering::SeqCst);
            publisher.join().unwrap();
            let reasons = reading.join().unwrap();
            assert_eq!(reasons.len(), 1, "{reasons:?}");
            assert!(reasons[0].is_failure());
        });
    }
}

/// A reader that does not read holds a batch of the old policy. The answer waits for it no longer than
/// the barrier's bound, and then its socket is shut.
#[test]
fn a_revoked_reader_that_does_not_read_is_cut_off() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut reader = fleet.device(&running, "toaster-1");
    reader.subscribe("toasters/toaster-1/command", QoS::AtMostOnce);
    let mut dashboard = fleet.dashboard(&running);
    // Until the reader's socket is full and messages wait in the broker.
    let mut control = running.control();
    while control.ok("status", &json!({}))["queued"]["messages"]
        .as_u64()
        .unwrap()
        < 10
    {
        dashboard.publish("toasters/toaster-1/command", vec![7; 50_000]);
        dashboard.ping();
    }
    let began = Instant::now();
    let report = install(&fleet, &running, &json!({"revoked": ["device/toaster-1"]}));
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(report["disconnected"], json!(["device/toaster-1"]));
    assert_eq!(report["cut_off"], 1);
    running.wait_for("the reader to be gone", |status| status["connections"] == 1);
    // The peer finds its connection at an end.
    let mut chunk = vec![0; 1 << 16];
    while matches!(reader.stream.sock.read(&mut chunk), Ok(count) if count > 0) {}
    dashboard.ping();
}

/// A reader in good standing is in the middle of a batch with messages of a sender who is revoked. The
/// rest of the batch must not reach it after the answer, so it is cut off as well and may come back.
#[test]
fn a_batch_of_a_revoked_sender_does_not_outlast_the_answer() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut dashboard = fleet.dashboard(&running);
    dashboard.subscribe("toasters/+/telemetry", QoS::AtMostOnce);
    let mut device = fleet.device(&running, "toaster-1");
    let mut control = running.control();
    while control.ok("status", &json!({}))["queued"]["messages"]
        .as_u64()
        .unwrap()
        < 10
    {
        device.publish("toasters/toaster-1/telemetry", vec![7; 50_000]);
        device.ping();
    }
    let report = install(&fleet, &running, &json!({"revoked": ["device/toaster-1"]}));
    assert_eq!(report["cut_off"], 1);
    assert_ne!(report["messages_withheld"], 0);
    // The socket is shut when the answer is there, so what the reader still finds was with the kernel
    // before: an end comes, where a batch that went on would be followed by the answer to this.
    let _ = dashboard.try_send(&Packet::PingReq);
    while let Some(packet) = dashboard.receive() {
        assert!(matches!(packet, Packet::Publish(_)), "{packet:?}");
    }
    fleet.dashboard(&running).ping();
}

/// A change that does not concern a reader does not cut it off, even if it is busy.
#[test]
fn a_change_leaves_others_alone() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut dashboard = fleet.dashboard(&running);
    dashboard.subscribe("toasters/+/telemetry", QoS::AtLeastOnce);
    let mut device = fleet.device(&running, "toaster-1");
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20 {
                let report = install(&fleet, &running, &json!({"revoked": ["device/toaster-9"]}));
                assert_eq!(report["cut_off"], 0);
                assert_eq!(report["disconnected"], json!([]));
            }
        });
        for number in 0..5_000_u32 {
            device.publish("toasters/toaster-1/telemetry", number.to_be_bytes().to_vec());
            assert_eq!(dashboard.message(), number.to_be_bytes().as_slice());
        }
    });
    assert_eq!(running.status()["connections"], 2);
}

#[test]
fn a_quarantined_identity_is_told_and_refused() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut device = fleet.device(&running, "toaster-1");
    install(&fleet, &running, &json!({"quarantined": ["device/toaster-1"]}));
    let reason = device.expect_disconnect();
    assert!(matches!(
        reason,
        ReasonCode::AdministrativeAction | ReasonCode::NotAuthorized | ReasonCode::Banned
    ));
    let mut again = Client::tls(
        running.address,
        &fleet.authority,
        &fleet.authority.device("toaster-1"),
    );
    again.shake().unwrap();
    let _ = again.try_send(&Client::connect_packet("toaster-1"));
    assert!(
        !matches!(again.receive(), Some(Packet::ConnAck(answer)) if answer.reason == ReasonCode::Success)
    );
}
