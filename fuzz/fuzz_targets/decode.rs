//! Whatever comes, the decoder answers with packets or with an error that names its rule.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use motte_fuzz::{decoder, drain};

fuzz_target!(|input: &[u8]| {
    let mut input = input;
    let Some(mut decoder) = decoder(&mut input) else {
        return;
    };
    let mut packets = Vec::new();
    if let Err(error) = drain(&mut decoder, &mut BytesMut::from(input), &mut packets) {
        assert!(!error.rule.is_empty() && !error.detail.is_empty());
        assert!(error.reason.is_failure());
    }
});
