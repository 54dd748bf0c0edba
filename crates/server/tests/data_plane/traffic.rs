//! Messages through the whole data plane.

use std::io::Write;
use std::thread;

use bytes::{Bytes, BytesMut};
use motte_mqtt::{Packet, ProtocolVersion, QoS, ReasonCode, encode};
use serde_json::json;

use crate::client::{Client, read_to_end};
use crate::fleet::{Fleet, refusals};

#[test]
fn a_message_reaches_its_reader() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut dashboard = fleet.dashboard(&running);
    dashboard.subscribe("toasters/+/telemetry", QoS::AtMostOnce);
    let mut device = fleet.device(&running, "toaster-1");
    device.publish("toasters/toaster-1/telemetry", "21.5");
    assert_eq!(dashboard.message(), "21.5");
    assert_eq!(
        device.publish_acknowledged("toasters/toaster-1/telemetry", "22.0"),
        ReasonCode::Success
    );
    assert_eq!(dashboard.message(), "22.0");
}

#[test]
fn a_message_to_others_is_refused_and_on_record() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut dashboard = fleet.dashboard(&running);
    dashboard.subscribe("toasters/+/telemetry", QoS::AtMostOnce);
    let mut device = fleet.device(&running, "toaster-1");
    assert_eq!(
        device.publish_acknowledged("toasters/toaster-2/telemetry", "!"),
        ReasonCode::NotAuthorized
    );
    device.publish("toasters/toaster-1/telemetry", "mine");
    assert_eq!(dashboard.message(), "mine");
    running.stop().unwrap();
    assert_eq!(refusals(&fleet.state()).len(), 1);
}

/// Many publishers on both threads, one reader, everything in order for each publisher.
#[test]
fn messages_of_many_keep_their_order() {
    const PUBLISHERS: usize = 8;
    const MESSAGES: u32 = 2_000;
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut dashboard = fleet.dashboard(&running);
    dashboard.subscribe("toasters/+/telemetry", QoS::AtMostOnce);
    thread::scope(|scope| {
        for number in 0..PUBLISHERS {
            let (fleet, running) = (&fleet, &running);
            scope.spawn(move || {
                let id = format!("toaster-{number}");
                let mut device = fleet.device(running, &id);
                let topic = format!("toasters/{id}/telemetry");
                for message in 0..MESSAGES {
                    let payload = [
                        u32::try_from(number).unwrap().to_be_bytes(),
                        message.to_be_bytes(),
                    ]
                    .concat();
                    device.publish(&topic, payload);
                }
                device.ping();
            });
        }
        let mut next = [0; PUBLISHERS];
        for _ in 0..PUBLISHERS * MESSAGES as usize {
            let payload = dashboard.message();
            let number = u32::from_be_bytes(payload[..4].try_into().unwrap()) as usize;
            let message = u32::from_be_bytes(payload[4..].try_into().unwrap());
            assert_eq!(message, next[number]);
            next[number] += 1;
        }
    });
}

#[test]
fn one_message_reaches_many() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut readers: Vec<Client> = (0..8)
        .map(|number| {
            let credential = fleet.authority.service("dashboard");
            let mut reader = fleet.connect(&running, &credential, &format!("dashboard:{number}"));
            reader.subscribe("toasters/+/telemetry", QoS::AtLeastOnce);
            reader
        })
        .collect();
    let mut device = fleet.device(&running, "toaster-1");
    for number in 0..100_u32 {
        device.publish("toasters/toaster-1/telemetry", number.to_be_bytes().to_vec());
    }
    for reader in &mut readers {
        for number in 0..100_u32 {
            assert_eq!(reader.message(), number.to_be_bytes().as_slice());
        }
    }
}

#[test]
fn packets_may_arrive_in_any_pieces() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut dashboard = fleet.dashboard(&running);
    dashboard.subscribe("toasters/+/telemetry", QoS::AtMostOnce);
    let mut device = fleet.device(&running, "toaster-1");
    let payload: Bytes = (0..200_000_u32).map(|byte| byte as u8).collect();
    let packet = Client::publish_packet("toasters/toaster-1/telemetry", payload.clone(), None);
    let mut bytes = BytesMut::new();
    encode(&packet, ProtocolVersion::V5, &mut bytes).unwrap();
    // Byte by byte, each in a record of its own.
    for byte in &bytes[..300] {
        device.stream.write_all(&[*byte]).unwrap();
    }
    for piece in bytes[300..].chunks(7_001) {
        device.stream.write_all(piece).unwrap();
    }
    assert_eq!(dashboard.message(), payload);
}

/// What the data plane has read of a record shows nothing yet; it has to go on reading all the same.
#[test]
fn a_record_may_arrive_in_pieces() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut device = fleet.device(&running, "toaster-1");
    for split in [1, 4, 5, 6, 20] {
        device.stream.conn.writer().write_all(&[0xC0, 0x00]).unwrap();
        let mut record = Vec::new();
        device.stream.conn.write_tls(&mut record).unwrap();
        device.stream.sock.write_all(&record[..split]).unwrap();
        // Two round trips elsewhere give it the time to read the first piece.
        running.status();
        running.status();
        device.stream.sock.write_all(&record[split..]).unwrap();
        assert_eq!(device.receive(), Some(Packet::PingResp));
    }
}

/// More packets in one go than the broker handles in one turn.
#[test]
fn a_burst_is_handled_to_its_end() {
    const MESSAGES: u32 = 5_000;
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut device = fleet.device(&running, "toaster-1");
    let mut bytes = BytesMut::new();
    for number in 0..MESSAGES {
        let payload = number.to_be_bytes().to_vec();
        let packet = Client::publish_packet("toasters/toaster-1/telemetry", payload, None);
        encode(&packet, ProtocolVersion::V5, &mut bytes).unwrap();
    }
    encode(&Packet::PingReq, ProtocolVersion::V5, &mut bytes).unwrap();
    let mut dashboard = fleet.dashboard(&running);
    dashboard.subscribe("toasters/+/telemetry", QoS::AtMostOnce);
    device.stream.write_all(&bytes).unwrap();
    for number in 0..MESSAGES {
        assert_eq!(dashboard.message(), number.to_be_bytes().as_slice());
    }
    assert_eq!(device.receive(), Some(Packet::PingResp));
}

#[test]
fn a_reader_that_does_not_read_holds_up_nobody_and_is_cut_off() {
    let fleet = Fleet::new();
    let mut settings = fleet.settings();
    settings["write_deadline_seconds"] = json!(0.5);
    let running = fleet.start_with(&settings).unwrap();
    fleet.install(&running);
    let credential = fleet.authority.service("dashboard");
    let mut slow = fleet.connect(&running, &credential, "dashboard:slow");
    slow.subscribe("toasters/+/telemetry", QoS::AtMostOnce);
    let mut quick = fleet.connect(&running, &credential, "dashboard:quick");
    quick.subscribe("toasters/+/telemetry", QoS::AtMostOnce);
    let mut device = fleet.device(&running, "toaster-1");
    let payload = vec![7; 100_000];
    let mut sent = 0;
    while running.status()["connections"] == 3 {
        device.publish("toasters/toaster-1/telemetry", payload.clone());
        assert_eq!(quick.message(), payload);
        sent += 1;
        assert!(sent < 10_000, "the slow reader is still connected");
    }
    // What is with the kernel may still be read, then the connection is over.
    let (bytes, _) = read_to_end(&mut slow.stream);
    assert!(bytes.len() < sent * payload.len());
    device.ping();
    running.stop().unwrap();
    assert_eq!(refusals(&fleet.state()), ["network.write-deadline"]);
}

#[test]
fn a_reset_connection_is_forgotten() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let device = fleet.device(&running, "toaster-1");
    socket2::SockRef::from(&device.stream.sock)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(device);
    running.wait_for("nobody", |status| status["connections"] == 0);
}

#[test]
fn garbage_after_the_handshake_ends_only_that_connection() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut other = fleet.device(&running, "toaster-2");
    let mut device = fleet.device(&running, "toaster-1");
    device
        .stream
        .sock
        .write_all(&[0x17, 0x03, 0x03, 0x00, 0x20])
        .unwrap();
    device.stream.sock.write_all(&[0xAA; 0x20]).unwrap();
    assert_eq!(device.receive(), None);
    other.ping();
    running.stop().unwrap();
    assert_eq!(refusals(&fleet.state()).len(), 1);
}
