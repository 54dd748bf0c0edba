//! How the network cuts a stream into pieces changes nothing of what is decoded from it.
#![no_main]

use bytes::{Buf, BytesMut};
use libfuzzer_sys::fuzz_target;
use motte_fuzz::{decoder, drain};

/// The most pieces of which the input says the length.
const PIECES: u8 = 15;

fuzz_target!(|input: &[u8]| {
    let mut input = input;
    let Some(mut whole) = decoder(&mut input) else {
        return;
    };
    let mut streamed = whole.clone();
    let count = usize::from(input.try_get_u8().unwrap_or(0) & PIECES);
    let Some((lengths, stream)) = input.split_at_checked(count) else {
        return;
    };

    let mut expected = Vec::new();
    let expected_end = drain(&mut whole, &mut BytesMut::from(stream), &mut expected);

    let mut packets = Vec::new();
    let mut buffer = BytesMut::new();
    let mut rest = stream;
    let mut end = Ok(());
    for length in lengths
        .iter()
        .map(|length| usize::from(*length))
        .chain([stream.len()])
    {
        let (piece, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        buffer.extend_from_slice(piece);
        end = drain(&mut streamed, &mut buffer, &mut packets);
        if end.is_err() {
            break;
        }
    }
    assert_eq!(packets, expected);
    assert_eq!(end, expected_end);
    assert_eq!(streamed.version(), whole.version());
});
