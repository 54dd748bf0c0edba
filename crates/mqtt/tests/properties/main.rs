//! What holds for every packet and for every sequence of bytes.

mod strategy;

use bytes::{Bytes, BytesMut};
use motte_mqtt::{
    Connect, DecodeError, Decoded, Decoder, Limits, Packet, ProtocolVersion, PublishParts, Sender, encode,
    encode_publish, encoded_length, encoded_publish_length,
};
use proptest::collection::vec;
use proptest::prelude::*;
use strategy::{Sent, sent};

const LIMITS: Limits = Limits::with_packet_size(64 * 1024);

fn encoded(sent: &Sent) -> BytesMut {
    let mut out = BytesMut::new();
    encode(&sent.packet, sent.version, &mut out).unwrap();
    out
}

/// A decoder at the moment at which this packet may come.
fn decoder(sent: &Sent) -> Decoder {
    let mut decoder = Decoder::new(sent.sender, LIMITS);
    if !matches!(sent.packet, Packet::Connect(_)) {
        decoder.set_version(sent.version);
    }
    decoder
}

/// Everything that comes out when `pieces` come in one after the other.
fn decode_all(decoder: &mut Decoder, pieces: &[&[u8]]) -> (Vec<Packet>, Option<DecodeError>, BytesMut) {
    let mut packets = Vec::new();
    let mut buffer = BytesMut::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Decoded::Packet(packet)) => packets.push(packet),
                Ok(Decoded::Incomplete { need }) => {
                    assert!(need > 0 && need <= LIMITS.packet_size as usize);
                    break;
                }
                Err(error) => return (packets, Some(error), buffer),
            }
        }
    }
    (packets, None, buffer)
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(sent in sent()) {
        let mut wire = encoded(&sent);
        prop_assert_eq!(wire.len(), encoded_length(&sent.packet, sent.version));
        let decoded = decoder(&sent).decode(&mut wire);
        prop_assert_eq!(decoded, Ok(Decoded::Packet(sent.packet)));
        prop_assert!(wire.is_empty());
    }

    #[test]
    fn where_the_bytes_are_split_does_not_matter(sent in sent()) {
        let wire = encoded(&sent);
        for at in 0..=wire.len() {
            let (first, second) = wire.split_at(at);
            let mut decoder = decoder(&sent);
            let mut buffer = BytesMut::from(first);
            let before = buffer.clone();
            match decoder.decode(&mut buffer) {
                Ok(Decoded::Incomplete { need }) => {
                    prop_assert!(need <= second.len(), "{} of {}", need, second.len());
                    prop_assert_eq!(&buffer, &before);
                    buffer.extend_from_slice(second);
                    let decoded = decoder.decode(&mut buffer);
                    prop_assert_eq!(decoded, Ok(Decoded::Packet(sent.packet.clone())));
                }
                other => {
                    prop_assert_eq!(at, wire.len());
                    prop_assert_eq!(other, Ok(Decoded::Packet(sent.packet.clone())));
                }
            }
        }
        let bytes: Vec<&[u8]> = wire.chunks(1).collect();
        let (packets, error, _) = decode_all(&mut decoder(&sent), &bytes);
        prop_assert_eq!((packets, error), (vec![sent.packet], None));
    }

    #[test]
    fn a_packet_with_one_other_byte_decodes_the_same_in_pieces(
        sent in sent(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut wire = encoded(&sent);
        let at = at.index(wire.len());
        wire[at] = byte;
        let whole = decode_all(&mut decoder(&sent), &[&wire]);
        let bytes: Vec<&[u8]> = wire.chunks(1).collect();
        let pieces = decode_all(&mut decoder(&sent), &bytes);
        prop_assert_eq!((&whole.0, &whole.1), (&pieces.0, &pieces.1));
        for packet in whole.0 {
            // What was accepted can be said, and means the same.
            let version = match &packet {
                Packet::Connect(connect) => connect.protocol_version,
                _ => sent.version,
            };
            let again = Sent { sender: sent.sender, version, packet };
            let mut wire = encoded(&again);
            prop_assert_eq!(decoder(&again).decode(&mut wire), Ok(Decoded::Packet(again.packet)));
        }
    }

    #[test]
    fn no_bytes_are_too_strange(
        bytes in vec(any::<u8>(), 0..200),
        by_client in any::<bool>(),
        version in prop_oneof![
            Just(None),
            Just(Some(ProtocolVersion::V311)),
            Just(Some(ProtocolVersion::V5)),
        ],
    ) {
        let mut decoder = Decoder::new(if by_client { Sender::Client } else { Sender::Server }, LIMITS);
        if let Some(version) = version {
            decoder.set_version(version);
        }
        let (packets, error, rest) = decode_all(&mut decoder, &[&bytes]);
        prop_assert!(error.is_some() || rest.len() <= bytes.len());
        prop_assert!(packets.len() <= bytes.len() / 2);
    }

    #[test]
    fn a_publish_in_parts_is_the_same_publish(sent in sent()) {
        if let Packet::Publish(publish) = &sent.packet {
            let parts = PublishParts::from(publish);
            let mut out = BytesMut::new();
            encode_publish(&parts, sent.version, &mut out).unwrap();
            prop_assert_eq!(out.len(), encoded_publish_length(&parts, sent.version));
            prop_assert_eq!(out, encoded(&sent));
        }
    }

    #[test]
    fn packets_follow_each_other(all in vec(sent(), 1..5)) {
        let mut stream = BytesMut::new();
        let first = &all[0];
        let same: Vec<&Sent> = all
            .iter()
            .filter(|sent| (sent.sender, sent.version) == (first.sender, first.version))
            .collect();
        for sent in &same {
            encode(&sent.packet, sent.version, &mut stream).unwrap();
        }
        let mut decoder = Decoder::new(first.sender, LIMITS);
        decoder.set_version(first.version);
        let (packets, error, rest) = decode_all(&mut decoder, &[&stream]);
        prop_assert_eq!(error, None);
        prop_assert!(rest.is_empty());
        let expected: Vec<Packet> = same.into_iter().map(|sent| sent.packet.clone()).collect();
        prop_assert_eq!(packets, expected);
    }
}

/// Payload and strings point into the received bytes.
#[test]
fn nothing_is_copied() {
    let mut decoder = Decoder::new(Sender::Client, LIMITS);
    decoder.set_version(ProtocolVersion::V5);
    let mut buffer = BytesMut::from(&b"\x30\x09\x00\x03a/b\x00hey"[..]);
    let range = buffer.as_ptr_range();
    let Ok(Decoded::Packet(Packet::Publish(publish))) = decoder.decode(&mut buffer) else {
        panic!("not a PUBLISH");
    };
    assert!(range.contains(&publish.payload.as_ptr()));
    assert!(range.contains(&publish.topic.as_bytes().as_ptr()));
    assert_eq!(publish.payload, Bytes::from_static(b"hey"));
}

/// A refusal has to be said in the version of the CONNECT that is refused.
#[test]
fn the_version_of_a_refused_connect_is_known() {
    for (level, version) in [(4, ProtocolVersion::V311), (5, ProtocolVersion::V5)] {
        let mut decoder = Decoder::new(Sender::Client, LIMITS);
        let mut buffer = BytesMut::from(&[0x10, 8, 0, 4, b'M', b'Q', b'T', b'T', level, 1][..]);
        assert_eq!(decoder.decode(&mut buffer).unwrap_err().rule, "MQTT-3.1.2-3");
        assert_eq!(decoder.version(), Some(version));
    }
}

/// A second CONNECT decodes, so that the machine can judge it, and does not change the version.
#[test]
fn a_second_connect_does_not_change_the_version() {
    let mut decoder = Decoder::new(Sender::Client, LIMITS);
    let first = b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x00\x00\x01a";
    let second = b"\x10\x0E\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01b";
    let (packets, error, _) = decode_all(&mut decoder, &[first, second]);
    assert_eq!(error, None);
    let versions: Vec<ProtocolVersion> = packets
        .iter()
        .map(|packet| match packet {
            Packet::Connect(connect) => Connect::clone(connect).protocol_version,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(versions, [ProtocolVersion::V311, ProtocolVersion::V5]);
    assert_eq!(decoder.version(), Some(ProtocolVersion::V311));
}
