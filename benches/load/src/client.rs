//! One MQTT connection over TLS 1.3: opened step by step with a blocking socket, then driven by events.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde::Serialize;

use crate::error::LoadError;
use crate::scenario::{Identity, Scenario};
use crate::wire;

/// How long one step of opening a connection may take.
const SETUP_PATIENCE: Duration = Duration::from_secs(10);

/// What every connection of a run has in common.
pub(crate) struct Target {
    address: SocketAddr,
    server_name: ServerName<'static>,
    authorities: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

/// What was negotiated, so that two brokers can be seen to have done the same work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Negotiated {
    protocol: String,
    cipher_suite: String,
    key_exchange: String,
    handshake: String,
}

impl Target {
    /// Reads the authority. One cipher suite and one key exchange group are offered, so that every broker
    /// does the same cryptography.
    pub(crate) fn new(scenario: &Scenario) -> Result<Self, LoadError> {
        let mut authorities = RootCertStore::empty();
        for certificate in certificates(&scenario.authority)? {
            authorities.add(certificate).map_err(|source| LoadError::Tls {
                client: "the authority".to_owned(),
                source,
            })?;
        }
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384];
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
        Ok(Self {
            address: scenario.address,
            server_name: ServerName::try_from(scenario.server_name.clone())
                .map_err(|error| LoadError::Scenario(format!("server_name: {error}")))?,
            authorities: Arc::new(authorities),
            provider: Arc::new(provider),
        })
    }

    /// TLS settings of one client: TLS 1.3 with its certificate, the broker verified, no resumption.
    pub(crate) fn settings(&self, identity: &Identity) -> Result<Arc<ClientConfig>, LoadError> {
        let tls = |source| LoadError::Tls {
            client: identity.client_id.clone(),
            source,
        };
        let key =
            PrivateKeyDer::from_pem_file(&identity.key).map_err(|error| unreadable(&identity.key, &error))?;
        let mut settings = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(tls)?
            .with_root_certificates(Arc::clone(&self.authorities))
            .with_client_auth_cert(certificates(&identity.certificate)?, key)
            .map_err(tls)?;
        settings.resumption = Resumption::disabled();
        Ok(Arc::new(settings))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &rustls::pki_types::pem::Error) -> LoadError {
    LoadError::File {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

/// A connection that the broker has accepted with CONNACK.
pub(crate) struct Client {
    client_id: String,
    socket: TcpStream,
    tls: ClientConnection,
    received: Vec<u8>,
}

impl Client {
    /// Connects, shakes hands, sends CONNECT and waits for a CONNACK that accepts.
    pub(crate) fn open(
        target: &Target,
        settings: &Arc<ClientConfig>,
        client_id: &str,
    ) -> Result<Self, LoadError> {
        let connection = |source| LoadError::Connection {
            client: client_id.to_owned(),
            source,
        };
        let socket = TcpStream::connect_timeout(&target.address, SETUP_PATIENCE).map_err(connection)?;
        socket
            .set_nodelay(true)
            .and_then(|()| socket.set_read_timeout(Some(SETUP_PATIENCE)))
            .and_then(|()| socket.set_write_timeout(Some(SETUP_PATIENCE)))
            .map_err(connection)?;
        let mut tls =
            ClientConnection::new(Arc::clone(settings), target.server_name.clone()).map_err(|source| {
                LoadError::Tls {
                    client: client_id.to_owned(),
                    source,
                }
            })?;
        // What waits to be written is bounded by the windows of the scenario.
        tls.set_buffer_limit(None);
        let mut client = Self {
            client_id: client_id.to_owned(),
            socket,
            tls,
            received: Vec::new(),
        };
        let mut packet = Vec::new();
        wire::connect(client_id, &mut packet);
        client.send(&packet)?;
        let answer = client.answer(wire::CONNACK)?;
        match answer.as_slice() {
            [_, 0] => Ok(client),
            _ => Err(client.unexpected(&format!("CONNACK refuses: {answer:02x?}"))),
        }
    }

    /// Subscribes and checks that the broker granted every filter.
    pub(crate) fn subscribe(&mut self, filters: &[String], qos: u8) -> Result<(), LoadError> {
        let mut packet = Vec::new();
        wire::subscribe(1, filters, qos, &mut packet);
        self.send(&packet)?;
        let answer = self.answer(wire::SUBACK)?;
        match answer.split_first_chunk::<2>() {
            Some((_, codes)) if codes.len() == filters.len() && codes.iter().all(|&code| code == qos) => {
                Ok(())
            }
            _ => Err(self.unexpected(&format!("SUBACK refuses: {answer:02x?}"))),
        }
    }

    /// Says goodbye in MQTT and in TLS and closes the socket.
    pub(crate) fn close(mut self) -> Result<(), LoadError> {
        let mut packet = Vec::new();
        wire::disconnect(&mut packet);
        self.tls
            .writer()
            .write_all(&packet)
            .map_err(|source| self.broken(source))?;
        self.tls.send_close_notify();
        while self.tls.wants_write() {
            self.tls
                .write_tls(&mut self.socket)
                .map_err(|source| self.broken(source))?;
        }
        Ok(())
    }

    /// What was negotiated.
    pub(crate) fn negotiated(&self) -> Negotiated {
        let shown = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
        Negotiated {
            protocol: shown(self.tls.protocol_version().map(|value| format!("{value:?}"))),
            cipher_suite: shown(
                self.tls
                    .negotiated_cipher_suite()
                    .map(|value| format!("{:?}", value.suite())),
            ),
            key_exchange: shown(
                self.tls
                    .negotiated_key_exchange_group()
                    .map(|value| format!("{:?}", value.name())),
            ),
            handshake: shown(self.tls.handshake_kind().map(|value| format!("{value:?}"))),
        }
    }

    /// Hands the connection over to an event loop.
    pub(crate) fn into_link(self) -> Result<Link, LoadError> {
        let socket = match self.socket.set_nonblocking(true) {
            Ok(()) => mio::net::TcpStream::from_std(self.socket),
            Err(source) => {
                return Err(LoadError::Connection {
                    client: self.client_id,
                    source,
                });
            }
        };
        Ok(Link {
            client_id: self.client_id,
            socket,
            tls: self.tls,
            received: self.received,
            pending: Vec::new(),
            blocked: false,
        })
    }

    fn send(&mut self, packet: &[u8]) -> Result<(), LoadError> {
        self.tls
            .writer()
            .write_all(packet)
            .map_err(|source| self.broken(source))?;
        // Shakes hands first where that has not happened yet.
        while self.tls.wants_write() || self.tls.is_handshaking() {
            self.tls
                .complete_io(&mut self.socket)
                .map_err(|source| self.broken(source))?;
        }
        Ok(())
    }

    /// The body of the next packet, which must be of this kind.
    fn answer(&mut self, kind: u8) -> Result<Vec<u8>, LoadError> {
        loop {
            let frame = wire::first_frame(&self.received).map_err(|detail| self.unexpected(detail))?;
            if let Some(frame) = frame {
                if frame.kind() != kind {
                    return Err(
                        self.unexpected(&format!("packet {:#04x} instead of {kind:#04x}", frame.header))
                    );
                }
                let (body, length) = (frame.body.to_vec(), frame.length);
                self.received.drain(..length);
                return Ok(body);
            }
            if self
                .tls
                .read_tls(&mut self.socket)
                .map_err(|source| self.broken(source))?
                == 0
            {
                return Err(self.broken(ErrorKind::UnexpectedEof.into()));
            }
            decrypt(&mut self.tls, &self.client_id, &mut self.received)?;
        }
    }

    fn broken(&self, source: std::io::Error) -> LoadError {
        LoadError::Connection {
            client: self.client_id.clone(),
            source,
        }
    }

    fn unexpected(&self, detail: &str) -> LoadError {
        LoadError::Answer {
            client: self.client_id.clone(),
            detail: detail.to_owned(),
        }
    }
}

/// Moves what rustls has decrypted to the end of `received`.
fn decrypt(tls: &mut ClientConnection, client_id: &str, received: &mut Vec<u8>) -> Result<(), LoadError> {
    let state = tls.process_new_packets().map_err(|source| LoadError::Tls {
        client: client_id.to_owned(),
        source,
    })?;
    let length = state.plaintext_bytes_to_read();
    let start = received.len();
    received.resize(start + length, 0);
    if let Some(target) = received.get_mut(start..) {
        tls.reader()
            .read_exact(target)
            .map_err(|source| LoadError::Connection {
                client: client_id.to_owned(),
                source,
            })?;
    }
    Ok(())
}

/// A connection in an event loop: reads and writes as much as the socket takes and never waits.
pub(crate) struct Link {
    client_id: String,
    /// The socket, for registration with the event queue.
    pub(crate) socket: mio::net::TcpStream,
    tls: ClientConnection,
    received: Vec<u8>,
    /// Packets to be sent with the next flush, as one TLS write.
    pub(crate) pending: Vec<u8>,
    /// The socket takes no more until it says so.
    blocked: bool,
}

impl Link {
    /// Whether the socket is full.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// The socket takes bytes again.
    pub(crate) fn unblock(&mut self) {
        self.blocked = false;
    }

    /// Reads everything that has arrived, `scratch` holding the ciphertext on its way.
    pub(crate) fn receive(&mut self, scratch: &mut [u8]) -> Result<(), LoadError> {
        loop {
            let length = match self.socket.read(scratch) {
                Ok(0) => return Err(self.broken(ErrorKind::UnexpectedEof.into())),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken(error)),
            };
            let mut ciphertext = scratch.get(..length).unwrap_or_default();
            while !ciphertext.is_empty() {
                self.tls
                    .read_tls(&mut ciphertext)
                    .map_err(|source| self.broken(source))?;
                decrypt(&mut self.tls, &self.client_id, &mut self.received)?;
            }
            // A short read has emptied the socket; the next arrival is a new event.
            if length < scratch.len() {
                return Ok(());
            }
        }
    }

    /// Gives each whole packet to `handle`, which may append answers to the pending packets.
    pub(crate) fn packets(
        &mut self,
        mut handle: impl FnMut(&wire::Frame<'_>, &mut Vec<u8>) -> Result<(), String>,
    ) -> Result<(), LoadError> {
        let mut used = 0;
        while let Some(frame) = wire::first_frame(self.received.get(used..).unwrap_or_default())
            .map_err(|detail| self.unexpected(detail))?
        {
            handle(&frame, &mut self.pending).map_err(|detail| self.unexpected(&detail))?;
            used += frame.length;
        }
        self.received.drain(..used);
        Ok(())
    }

    /// Encrypts the pending packets and writes what the socket takes.
    pub(crate) fn flush(&mut self) -> Result<(), LoadError> {
        if !self.pending.is_empty() {
            self.tls
                .writer()
                .write_all(&self.pending)
                .map_err(|source| self.broken(source))?;
            self.pending.clear();
        }
        while self.tls.wants_write() && !self.blocked {
            match self.tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.blocked = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
        Ok(())
    }

    /// Says goodbye; what the socket does not take at once is left.
    pub(crate) fn close(mut self) -> Result<(), LoadError> {
        wire::disconnect(&mut self.pending);
        self.flush()?;
        self.tls.send_close_notify();
        self.flush()
    }

    fn broken(&self, source: std::io::Error) -> LoadError {
        LoadError::Connection {
            client: self.client_id.clone(),
            source,
        }
    }

    fn unexpected(&self, detail: &str) -> LoadError {
        LoadError::Answer {
            client: self.client_id.clone(),
            detail: detail.to_owned(),
        }
    }
}
