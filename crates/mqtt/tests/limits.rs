//! Every bound: at it and one past it.

use bytes::{BufMut, BytesMut};
use motte_mqtt::{DecodeError, Decoded, Decoder, Limits, Packet, ProtocolVersion, ReasonCode, Sender};

const LIMITS: Limits = Limits {
    packet_size: 100,
    user_properties: 2,
    topic_length: 10,
    topic_levels: 3,
    filters_per_packet: 2,
};

fn decode(wire: &[u8]) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder::new(Sender::Client, LIMITS);
    decoder.set_version(ProtocolVersion::V5);
    decoder.decode(&mut BytesMut::from(wire))
}

/// A packet with this first byte and body.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut wire = vec![first, u8::try_from(body.len()).unwrap()];
    wire.extend_from_slice(body);
    wire
}

fn assert_fine(result: &Result<Decoded, DecodeError>) {
    assert!(matches!(result, Ok(Decoded::Packet(_))), "{result:?}");
}

fn assert_limit(result: Result<Decoded, DecodeError>, rule: &str, reason: ReasonCode) {
    let error = result.unwrap_err();
    assert_eq!((error.rule, error.reason), (rule, reason));
}

#[test]
fn packet_size() {
    let body = |length: usize| [&[0, 1, b't', 0][..], &vec![b'x'; length - 4]].concat();
    // Two bytes of fixed header count too.
    assert_fine(&decode(&packet(0x30, &body(98))));
    assert_limit(
        decode(&packet(0x30, &body(99))),
        "motte.limit.packet-size",
        ReasonCode::PacketTooLarge,
    );
}

/// The declared size is judged before one byte of the body has come.
#[test]
fn packet_size_is_judged_when_it_is_declared() {
    assert_eq!(decode(&[0x30, 98]), Ok(Decoded::Incomplete { need: 98 }));
    assert_limit(
        decode(&[0x30, 99]),
        "motte.limit.packet-size",
        ReasonCode::PacketTooLarge,
    );
    assert_limit(
        decode(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]),
        "motte.limit.packet-size",
        ReasonCode::PacketTooLarge,
    );
}

/// Nothing is reserved on a peer's word.
#[test]
fn an_incomplete_packet_reserves_nothing() {
    let mut decoder = Decoder::new(Sender::Client, Limits::with_packet_size(u32::MAX));
    decoder.set_version(ProtocolVersion::V5);
    let mut buffer = BytesMut::with_capacity(64);
    buffer.put_slice(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
    assert_eq!(
        decoder.decode(&mut buffer),
        Ok(Decoded::Incomplete { need: 268_435_455 })
    );
    assert_eq!(buffer.capacity(), 64);
}

#[test]
fn what_is_needed_of_a_fixed_header() {
    assert_eq!(decode(&[]), Ok(Decoded::Incomplete { need: 2 }));
    assert_eq!(decode(&[0x30]), Ok(Decoded::Incomplete { need: 1 }));
    assert_eq!(decode(&[0x30, 0x80]), Ok(Decoded::Incomplete { need: 1 }));
    assert_eq!(decode(&[0x30, 0x80, 0x80]), Ok(Decoded::Incomplete { need: 1 }));
    assert_eq!(decode(&[0x30, 5, 0]), Ok(Decoded::Incomplete { need: 4 }));
}

#[test]
fn limits_can_be_changed_between_packets() {
    let mut decoder = Decoder::new(Sender::Client, Limits::with_packet_size(20));
    let mut buffer = BytesMut::from(&b"\x10\x0E\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01a"[..]);
    assert_fine(&decoder.decode(&mut buffer));
    let large = packet(0x30, &[&[0, 1, b't', 0][..], &[b'x'; 50]].concat());
    buffer.put_slice(&large);
    decoder.set_limits(Limits::with_packet_size(56));
    assert_fine(&decoder.decode(&mut buffer));
    buffer.put_slice(&large);
    decoder.set_limits(Limits::with_packet_size(55));
    assert!(decoder.decode(&mut buffer).is_err());
}

#[test]
fn user_properties() {
    let body = |count: usize| {
        let one = [0x26, 0, 1, b'n', 0, 1, b'v'];
        [
            &[0, 1, b't', u8::try_from(7 * count).unwrap()][..],
            &one.repeat(count),
        ]
        .concat()
    };
    let fine = decode(&packet(0x30, &body(2)));
    let Ok(Decoded::Packet(Packet::Publish(publish))) = fine else {
        panic!("{fine:?}");
    };
    assert_eq!(publish.properties.user_properties.len(), 2);
    let rule = "motte.limit.user-properties";
    assert_limit(
        decode(&packet(0x30, &body(3))),
        rule,
        ReasonCode::ImplementationSpecific,
    );
}

#[test]
fn topic_length_and_levels() {
    let publish = |topic: &str| {
        let length = u8::try_from(topic.len()).unwrap();
        packet(0x30, &[&[0, length][..], topic.as_bytes(), &[0]].concat())
    };
    assert_fine(&decode(&publish("aaaaaaaaaa")));
    assert_limit(
        decode(&publish("aaaaaaaaaaa")),
        "motte.limit.topic-length",
        ReasonCode::TopicNameInvalid,
    );
    assert_fine(&decode(&publish("a/b/c")));
    assert_limit(
        decode(&publish("a/b/c/d")),
        "motte.limit.topic-levels",
        ReasonCode::TopicNameInvalid,
    );
}

#[test]
fn filters_of_a_packet() {
    let subscribe = |count: usize| packet(0x82, &[&[0, 1, 0][..], &[0, 1, b'f', 0].repeat(count)].concat());
    let unsubscribe = |count: usize| packet(0xA2, &[&[0, 1, 0][..], &[0, 1, b'f'].repeat(count)].concat());
    let rule = "motte.limit.filters-per-packet";
    assert_fine(&decode(&subscribe(2)));
    assert_limit(decode(&subscribe(3)), rule, ReasonCode::QuotaExceeded);
    assert_fine(&decode(&unsubscribe(2)));
    assert_limit(decode(&unsubscribe(3)), rule, ReasonCode::QuotaExceeded);
}
