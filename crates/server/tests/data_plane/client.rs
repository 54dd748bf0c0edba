//! A small MQTT client on a real socket, blocking and with a deadline on every read.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use motte_mqtt::{
    Acknowledgement, Connect, ConnectProperties, Decoded, Decoder, Disconnect, Limits, Packet,
    ProtocolVersion, Publish, PublishProperties, QoS, ReasonCode, RetainHandling, Sender, Subscribe,
    SubscribeFilter, encode,
};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use crate::certificates::{Authority, Credential};

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Client {
    pub(crate) stream: StreamOwned<ClientConnection, TcpStream>,
    decoder: Decoder,
    input: BytesMut,
}

/// What a client offers; TLS 1.3 with the credential unless changed.
pub(crate) fn config(authority: &Authority, credential: Option<&Credential>) -> ClientConfig {
    config_of(authority, credential, &[&rustls::version::TLS13])
}

pub(crate) fn config_of(
    authority: &Authority,
    credential: Option<&Credential>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    config_with(aws_lc_rs::default_provider(), authority, credential, versions)
}

pub(crate) fn config_with(
    provider: CryptoProvider,
    authority: &Authority,
    credential: Option<&Credential>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match credential {
        Some(credential) => {
            let chain = vec![credential.certificate.clone()];
            builder.with_client_auth_cert(chain, credential.key()).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(8);
    config
}

/// Reads until the other side closes; what it said, and how it ended.
pub(crate) fn read_to_end(stream: &mut impl Read) -> (Vec<u8>, Option<io::Error>) {
    let mut bytes = Vec::new();
    let error = stream.read_to_end(&mut bytes).err();
    if let Some(error) = &error {
        assert!(!is_timeout(error), "the connection is still open");
    }
    (bytes, error)
}

pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

pub(crate) fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

impl Client {
    pub(crate) fn tls(address: SocketAddr, authority: &Authority, credential: &Credential) -> Self {
        Self::with(address, &Arc::new(config(authority, Some(credential))))
    }

    pub(crate) fn with(address: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let tls = ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap();
        let mut decoder = Decoder::new(Sender::Server, Limits::with_packet_size(1 << 20));
        decoder.set_version(ProtocolVersion::V5);
        Self {
            stream: StreamOwned::new(tls, tcp(address)),
            decoder,
            input: BytesMut::new(),
        }
    }

    /// Finishes the handshake; how it was done.
    pub(crate) fn shake(&mut self) -> io::Result<HandshakeKind> {
        while self.stream.conn.is_handshaking() {
            self.stream.conn.complete_io(&mut self.stream.sock)?;
        }
        Ok(self.stream.conn.handshake_kind().unwrap())
    }

    pub(crate) fn send(&mut self, packet: &Packet) {
        self.try_send(packet).unwrap();
    }

    pub(crate) fn try_send(&mut self, packet: &Packet) -> io::Result<()> {
        let mut bytes = BytesMut::new();
        encode(packet, ProtocolVersion::V5, &mut bytes).unwrap();
        self.stream.write_all(&bytes)?;
        self.stream.flush()
    }

    /// The next packet; nothing once the other side has closed.
    pub(crate) fn receive(&mut self) -> Option<Packet> {
        loop {
            match self.decoder.decode(&mut self.input).unwrap() {
                Decoded::Packet(packet) => return Some(packet),
                Decoded::Incomplete { .. } => {}
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
                Err(error) => {
                    assert!(!is_timeout(&error), "waited in vain for a packet");
                    return None;
                }
            }
        }
    }

    pub(crate) fn connect_packet(client_id: &str) -> Packet {
        Packet::Connect(Box::new(Connect {
            protocol_version: ProtocolVersion::V5,
            clean_start: true,
            keep_alive: 60,
            client_id: ByteString::from(client_id),
            will: None,
            username: None,
            password: None,
            properties: ConnectProperties::default(),
        }))
    }

    pub(crate) fn connect(&mut self, client_id: &str) {
        self.send(&Self::connect_packet(client_id));
        match self.receive() {
            Some(Packet::ConnAck(answer)) => assert_eq!(answer.reason, ReasonCode::Success),
            other => panic!("instead of CONNACK came {other:?}"),
        }
    }

    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.send(&Packet::Subscribe(Subscribe {
            packet_id: NonZeroU16::MIN,
            filters: vec![SubscribeFilter {
                filter: ByteString::from(filter),
                qos,
                no_local: false,
                retain_as_published: false,
                retain_handling: RetainHandling::Send,
            }],
            subscription_identifier: None,
            user_properties: Vec::new(),
        }));
        match self.receive() {
            Some(Packet::SubAck(answer)) => assert!(!answer.reasons[0].is_failure(), "{answer:?}"),
            other => panic!("instead of SUBACK came {other:?}"),
        }
    }

    pub(crate) fn publish_packet(topic: &str, payload: impl Into<Bytes>, packet_id: Option<u16>) -> Packet {
        Packet::Publish(Publish {
            dup: false,
            qos: if packet_id.is_some() {
                QoS::AtLeastOnce
            } else {
                QoS::AtMostOnce
            },
            retain: false,
            topic: ByteString::from(topic),
            packet_id: packet_id.map(|id| NonZeroU16::new(id).unwrap()),
            payload: payload.into(),
            properties: PublishProperties::default(),
        })
    }

    pub(crate) fn publish(&mut self, topic: &str, payload: impl Into<Bytes>) {
        self.send(&Self::publish_packet(topic, payload, None));
    }

    /// Publishes at QoS 1; the reason of the acknowledgement.
    pub(crate) fn publish_acknowledged(&mut self, topic: &str, payload: impl Into<Bytes>) -> ReasonCode {
        self.send(&Self::publish_packet(topic, payload, Some(1)));
        match self.receive() {
            Some(Packet::PubAck(Acknowledgement { reason, .. })) => reason,
            other => panic!("instead of PUBACK came {other:?}"),
        }
    }

    /// The payload of the next message.
    pub(crate) fn message(&mut self) -> Bytes {
        match self.receive() {
            Some(Packet::Publish(publish)) => publish.payload,
            other => panic!("instead of PUBLISH came {other:?}"),
        }
    }

    /// A round trip: everything sent before it has been handled.
    pub(crate) fn ping(&mut self) {
        self.send(&Packet::PingReq);
        assert_eq!(self.receive(), Some(Packet::PingResp));
    }

    /// The server's DISCONNECT, after which it closes.
    pub(crate) fn expect_disconnect(&mut self) -> ReasonCode {
        loop {
            match self.receive() {
                Some(Packet::Disconnect(Disconnect { reason, .. })) => {
                    assert_eq!(self.receive(), None, "nothing may follow");
                    return reason;
                }
                Some(Packet::Publish(_)) => {}
                other => panic!("instead of DISCONNECT came {other:?}"),
            }
        }
    }
}
