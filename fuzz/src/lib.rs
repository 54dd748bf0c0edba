//! What the fuzz targets of the codec share.
//!
//! An input starts with one byte that says who sends and in which version; the rest is the stream.

use bytes::{Buf, BytesMut};
use motte_mqtt::{DecodeError, Decoded, Decoder, Limits, Packet, ProtocolVersion, Sender};

/// Bounds that the fuzzer can reach with short inputs.
pub const LIMITS: Limits = Limits {
    packet_size: 4096,
    user_properties: 4,
    topic_length: 64,
    topic_levels: 8,
    filters_per_packet: 4,
};

/// Takes the first byte off `input` and makes the decoder that it asks for: bit 0 is the sender,
/// bits 1 and 2 are the version that is spoken already, if one is.
pub fn decoder(input: &mut &[u8]) -> Option<Decoder> {
    let choice = input.try_get_u8().ok()?;
    let sender = if choice & 0b001 == 0 {
        Sender::Client
    } else {
        Sender::Server
    };
    let mut decoder = Decoder::new(sender, LIMITS);
    match (choice >> 1) & 0b11 {
        0 => {}
        1 => decoder.set_version(ProtocolVersion::V311),
        _ => decoder.set_version(ProtocolVersion::V5),
    }
    Some(decoder)
}

/// Takes packets off `buffer` until it has no whole one left.
///
/// # Errors
/// The decoder refused what came.
pub fn drain(
    decoder: &mut Decoder,
    buffer: &mut BytesMut,
    packets: &mut Vec<Packet>,
) -> Result<(), DecodeError> {
    loop {
        let before = buffer.len();
        match decoder.decode(buffer)? {
            Decoded::Packet(packet) => {
                assert!(buffer.len() < before, "a packet came from nothing");
                packets.push(packet);
            }
            Decoded::Incomplete { need } => {
                assert_eq!(buffer.len(), before, "an incomplete packet was taken");
                assert!(
                    need > 0 && before + need <= LIMITS.packet_size as usize,
                    "needs {need}"
                );
                return Ok(());
            }
        }
    }
}
