//! What was decoded can be encoded, in as many bytes as were announced, and decodes to the same.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use motte_fuzz::{decoder, drain};
use motte_mqtt::{Decoded, Packet, encode, encoded_length};

fuzz_target!(|input: &[u8]| {
    let mut input = input;
    let Some(mut decoder) = decoder(&mut input) else {
        return;
    };
    let fresh = decoder.clone();
    let mut packets = Vec::new();
    // What came before an error was accepted and has to hold.
    let _ = drain(&mut decoder, &mut BytesMut::from(input), &mut packets);
    let Some(spoken) = decoder.version() else {
        assert!(packets.is_empty());
        return;
    };
    for packet in packets {
        let (version, mut again) = match &packet {
            Packet::Connect(connect) => (connect.protocol_version, fresh.clone()),
            _ => (spoken, decoder.clone()),
        };
        let mut wire = BytesMut::new();
        encode(&packet, version, &mut wire).expect("what was decoded can be encoded");
        assert_eq!(wire.len(), encoded_length(&packet, version));
        assert_eq!(again.decode(&mut wire), Ok(Decoded::Packet(packet)));
        assert!(wire.is_empty());
    }
});
