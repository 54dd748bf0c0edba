use std::io::{Read, Write};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::*;

/// Both ends of a connection and what the server made of it.
struct Ends {
    client: ClientConnection,
    server: Secure,
    input: BytesMut,
    sealed: Vec<u8>,
    ended: bool,
    /// What the client received.
    received: Vec<u8>,
}

fn ends() -> Ends {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions = &[&rustls::version::TLS13];
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(client), "localhost".try_into().unwrap()).unwrap();
    client.set_buffer_limit(None);
    Ends {
        client,
        server: Secure::new(Arc::new(server)).unwrap(),
        input: BytesMut::new(),
        sealed: Vec::new(),
        ended: false,
        received: Vec::new(),
    }
}

impl Ends {
    /// Brings everything that both have to say to the other, `step` bytes at a time.
    fn exchange(&mut self, step: usize) -> Result<(), Error> {
        loop {
            let mut said = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut said).unwrap();
            }
            for bytes in said.chunks_mut(step) {
                let fed = self.server.feed(bytes, &mut self.input, &mut self.sealed)?;
                self.ended |= fed.ended;
            }
            self.answer();
            if said.is_empty() && !self.client.wants_write() {
                return Ok(());
            }
        }
    }

    /// Brings the client what the server sealed.
    fn answer(&mut self) {
        let sealed = mem::take(&mut self.sealed);
        let mut rest = sealed.as_slice();
        while !rest.is_empty() {
            self.client.read_tls(&mut rest).unwrap();
            let state = self.client.process_new_packets().unwrap();
            let mut plaintext = vec![0; state.plaintext_bytes_to_read()];
            self.client.reader().read_exact(&mut plaintext).unwrap();
            self.received.append(&mut plaintext);
        }
    }
}

/// Larger than any record, and no two records of it alike.
fn long() -> Vec<u8> {
    (0..50_000_u32).flat_map(u32::to_be_bytes).collect()
}

#[test]
fn however_small_the_pieces_are_nothing_is_lost() {
    for step in [1, 7, 1_000, 16 * 1024, usize::MAX] {
        let mut ends = ends();
        ends.client.writer().write_all(b"first").unwrap();
        ends.exchange(step).unwrap();
        assert!(!ends.server.is_handshaking());
        ends.client.writer().write_all(&long()).unwrap();
        ends.exchange(step).unwrap();
        assert!(ends.input.starts_with(b"first") && ends.input[5..] == long());
        ends.server.seal(&long(), &mut ends.sealed).unwrap();
        ends.answer();
        assert!(ends.received == long());
    }
}

#[test]
fn a_connection_that_waits_holds_no_buffer() {
    let mut ends = ends();
    ends.client.writer().write_all(&long()).unwrap();
    ends.exchange(100).unwrap();
    assert_eq!(ends.server.partial.capacity(), 0);
    assert_eq!(ends.server.unsent.capacity(), 0);
}

#[test]
fn new_keys_are_answered_and_used() {
    let mut ends = ends();
    ends.exchange(usize::MAX).unwrap();
    ends.client.refresh_traffic_keys().unwrap();
    ends.client.writer().write_all(b"under new keys").unwrap();
    ends.exchange(3).unwrap();
    assert_eq!(&ends.input[..], b"under new keys");
    ends.server.seal(b"and back", &mut ends.sealed).unwrap();
    ends.answer();
    assert_eq!(ends.received, b"and back");
}

#[test]
fn goodbyes_are_heard_on_both_sides() {
    let mut ends = ends();
    ends.exchange(usize::MAX).unwrap();
    ends.client.send_close_notify();
    ends.exchange(1).unwrap();
    assert!(ends.ended);
    ends.server.say_goodbye(&mut ends.sealed);
    let mut sealed = ends.sealed.as_slice();
    ends.client.read_tls(&mut sealed).unwrap();
    assert!(ends.client.process_new_packets().unwrap().peer_has_closed());
}

#[test]
fn what_is_not_tls_is_answered_with_an_alert_and_nothing_more() {
    for (step, shaken) in [(1, false), (usize::MAX, false), (1, true), (usize::MAX, true)] {
        let mut ends = ends();
        if shaken {
            ends.exchange(usize::MAX).unwrap();
        }
        // A handshake message of a type that does not exist; it does not decrypt either.
        let mut wrong = b"\x16\x03\x03\x00\x20\xFF\x00\x00\x1C".to_vec();
        wrong.resize(5 + 32, 0xFF);
        let outcome = wrong.chunks_mut(step.min(37)).try_for_each(|bytes| {
            let fed = ends.server.feed(bytes, &mut ends.input, &mut ends.sealed);
            fed.map(drop)
        });
        outcome.unwrap_err();
        assert!(!ends.sealed.is_empty(), "the alert that says why");
        let alert = ends.sealed.clone();
        ends.server.say_goodbye(&mut ends.sealed);
        ends.server.seal(b"nothing", &mut ends.sealed).unwrap_err();
        assert_eq!(ends.sealed, alert);
    }
}
