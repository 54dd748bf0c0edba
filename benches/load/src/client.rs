//! One MQTT connection over TLS 1.3, opened step by step with a blocking socket.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore};
use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::LoadError;
use crate::link::{Link, decrypt};
use crate::scenario::{Identity, Scenario};
use crate::wire;

/// How long one step of opening a connection may take.
const SETUP_PATIENCE: Duration = Duration::from_secs(10);

/// What every connection of a run has in common.
pub(crate) struct Target {
    address: SocketAddr,
    /// Loopback addresses that connections come from, in turn.
    sources: u8,
    next_source: AtomicU32,
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
        Ok(Self {
            address: scenario.address,
            sources: scenario.sources,
            next_source: AtomicU32::new(0),
            server_name: ServerName::try_from(scenario.server_name.clone())
                .map_err(|error| LoadError::Scenario(format!("server_name: {error}")))?,
            authorities: Arc::new(authorities(&scenario.authority)?),
            provider: Arc::new(provider()),
        })
    }

    /// TLS settings of one client: TLS 1.3 with its certificate, the broker verified.
    pub(crate) fn settings(&self, identity: &Identity, resume: bool) -> Result<Arc<ClientConfig>, LoadError> {
        let tls = |source| LoadError::Tls {
            client: identity.client_id.clone(),
            source,
        };
        let key = private_key(&identity.key)?;
        let mut settings = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(tls)?
            .with_root_certificates(Arc::clone(&self.authorities))
            .with_client_auth_cert(certificates(&identity.certificate)?, key)
            .map_err(tls)?;
        settings.resumption = if resume {
            // One broker; what a ticket of it needs.
            Resumption::in_memory_sessions(1)
        } else {
            Resumption::disabled()
        };
        Ok(Arc::new(settings))
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        if self.sources == 1 {
            return TcpStream::connect_timeout(&self.address, SETUP_PATIENCE);
        }
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        let turn = self.next_source.fetch_add(1, Ordering::Relaxed) % u32::from(self.sources);
        let source = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + turn);
        socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into())?;
        socket.connect_timeout(&self.address.into(), SETUP_PATIENCE)?;
        Ok(socket.into())
    }
}

/// The same cipher suite and key exchange for every broker.
pub(crate) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    }
}

/// The certificates that a side trusts.
pub(crate) fn authorities(path: &Path) -> Result<RootCertStore, LoadError> {
    let mut authorities = RootCertStore::empty();
    for certificate in certificates(path)? {
        authorities.add(certificate).map_err(|source| LoadError::Tls {
            client: "the authority".to_owned(),
            source,
        })?;
    }
    Ok(authorities)
}

pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, LoadError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable(path, &error))
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, LoadError> {
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
    tls: Connection,
    received: Vec<u8>,
}

impl Client {
    /// Connects, shakes hands, sends CONNECT and waits for a CONNACK that accepts.
    pub(crate) fn open(
        target: &Target,
        settings: &Arc<ClientConfig>,
        client_id: &str,
        persistent: bool,
    ) -> Result<Self, LoadError> {
        let connection = |source| LoadError::Connection {
            client: client_id.to_owned(),
            source,
        };
        let socket = target.connect().map_err(connection)?;
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
            tls: tls.into(),
            received: Vec::new(),
        };
        let mut packet = Vec::new();
        wire::connect(client_id, persistent, &mut packet);
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

    /// Whether a ticket replaced the handshake with certificates.
    pub(crate) fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
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
        Link::new(self.client_id, self.socket, self.tls, self.received)
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

    pub(crate) fn unexpected(&self, detail: &str) -> LoadError {
        LoadError::Answer {
            client: self.client_id.clone(),
            detail: detail.to_owned(),
        }
    }
}
