//! Packets byte for byte: decoded to what they mean, and encoded back to the same bytes. Examples
//! that the standards themselves give are named after their figure.

mod v311;
mod v5;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use motte_mqtt::{
    Decoded, Decoder, Limits, Packet, PacketId, ProtocolVersion, Sender, encode, encoded_length,
};

const LIMITS: Limits = Limits::with_packet_size(1 << 20);

/// Both directions of one vector; `hex` may hold blanks.
fn check(sender: Sender, version: ProtocolVersion, hex: &str, packet: &Packet) {
    let wire = bytes(hex);
    assert_eq!(&decode(sender, version, &wire), packet, "decoded from {hex}");
    let mut encoded = BytesMut::new();
    encode(packet, version, &mut encoded).unwrap();
    assert_eq!(hex_of(&encoded), hex_of(&wire), "encoded from {packet:?}");
    assert_eq!(encoded_length(packet, version), wire.len());
}

/// Only decodes, for packets that Motte itself would say in fewer bytes.
fn check_decode(sender: Sender, version: ProtocolVersion, hex: &str, packet: &Packet) {
    assert_eq!(
        &decode(sender, version, &bytes(hex)),
        packet,
        "decoded from {hex}"
    );
}

fn decode(sender: Sender, version: ProtocolVersion, wire: &[u8]) -> Packet {
    let mut decoder = Decoder::new(sender, LIMITS);
    // A client says its version in its first packet.
    if wire[0] != 0x10 {
        decoder.set_version(version);
    }
    let mut buffer = BytesMut::from(wire);
    match decoder.decode(&mut buffer) {
        Ok(Decoded::Packet(packet)) => {
            assert!(buffer.is_empty(), "bytes are left");
            assert_eq!(decoder.version(), Some(version));
            packet
        }
        other => panic!("{other:?} from {}", hex_of(wire)),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X} ")).collect()
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

fn text(text: &'static str) -> ByteString {
    ByteString::from_static(text)
}

fn data(data: &'static [u8]) -> Bytes {
    Bytes::from_static(data)
}
