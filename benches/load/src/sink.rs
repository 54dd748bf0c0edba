//! The least that can be called a broker: what the generator and the TLS library do without one.
//!
//! One thread accepts, shakes hands with client certificates, answers, and passes each message on to every
//! subscriber as it came. Nothing is looked up, judged, counted, limited or kept. So a figure measured
//! against it is the generator's ceiling, and its handshakes are those of a bare accept loop of rustls.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::sync::Arc;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ServerConfig, ServerConnection};

use crate::client::{authorities, certificates, private_key, provider};
use crate::error::LoadError;
use crate::link::Link;
use crate::scenario::{Scenario, Sink};
use crate::wire::{self, Frame};

/// Most events taken from the queue at once.
const EVENTS: usize = 1024;
/// Ciphertext read from a socket at once, in bytes.
const READ_BYTES: usize = 64 * 1024;
const LISTENER: Token = Token(usize::MAX - 1);

struct Server {
    poll: Poll,
    listener: TcpListener,
    settings: Arc<ServerConfig>,
    links: BTreeMap<usize, Link>,
    next: usize,
    /// Connections that subscribed, with the QoS they asked for.
    subscribers: Vec<(usize, u8)>,
    /// Connections with something to be flushed.
    due: Vec<usize>,
}

/// Listens until the process is ended; says where in one line of JSON.
pub(crate) fn run(scenario: &Scenario, sink: &Sink, out: &mut dyn Write) -> Result<(), LoadError> {
    let mut listener = TcpListener::bind(scenario.address).map_err(LoadError::Events)?;
    let address = listener.local_addr().map_err(LoadError::Events)?;
    let poll = Poll::new().map_err(LoadError::Events)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)
        .map_err(LoadError::Events)?;
    let mut server = Server {
        poll,
        listener,
        settings: Arc::new(settings(scenario, sink)?),
        links: BTreeMap::new(),
        next: 0,
        subscribers: Vec::new(),
        due: Vec::new(),
    };
    writeln!(out, "{{\"port\": {}}}", address.port())
        .and_then(|()| out.flush())
        .map_err(|error| LoadError::Report(error.to_string()))?;
    server.serve()
}

/// What Motte's listener does, as far as it shows in the cost of a handshake.
fn settings(scenario: &Scenario, sink: &Sink) -> Result<ServerConfig, LoadError> {
    let tls = |source| LoadError::Tls {
        client: "the sink".to_owned(),
        source,
    };
    let provider = Arc::new(provider());
    let roots = Arc::new(authorities(&scenario.authority)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .build()
        .map_err(|error| tls(rustls::Error::General(error.to_string())))?;
    let mut settings = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&sink.certificate)?, private_key(&sink.key)?)
        .map_err(tls)?;
    settings.ticketer = Ticketer::new().map_err(tls)?;
    settings.session_storage = Arc::new(NoServerSessionStorage {});
    settings.send_tls13_tickets = 1;
    Ok(settings)
}

impl Server {
    fn serve(&mut self) -> Result<(), LoadError> {
        let mut events = Events::with_capacity(EVENTS);
        let mut scratch = vec![0; READ_BYTES];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(LoadError::Events(error)),
                _ => {}
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept()?;
                    continue;
                }
                let number = event.token().0;
                if event.is_writable() && self.links.get_mut(&number).is_some_and(Link::unblock) {
                    self.due.push(number);
                }
                if event.is_readable() && self.read(number, &mut scratch).is_err() {
                    self.forget(number);
                }
            }
            for number in std::mem::take(&mut self.due) {
                if self
                    .links
                    .get_mut(&number)
                    .is_some_and(|link| link.flush().is_err())
                {
                    self.forget(number);
                }
            }
        }
    }

    fn accept(&mut self) -> Result<(), LoadError> {
        loop {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => continue,
            };
            let number = self.next;
            self.next += 1;
            let client = format!("client {number}");
            let mut tls =
                ServerConnection::new(Arc::clone(&self.settings)).map_err(|source| LoadError::Tls {
                    client: client.clone(),
                    source,
                })?;
            tls.set_buffer_limit(None);
            let _ = socket.set_nodelay(true);
            let mut link = Link::accepted(client, socket, tls.into());
            self.poll
                .registry()
                .register(
                    &mut link.socket,
                    Token(number),
                    Interest::READABLE | Interest::WRITABLE,
                )
                .map_err(LoadError::Events)?;
            self.links.insert(number, link);
        }
    }

    /// Reads what came and answers it.
    fn read(&mut self, number: usize, scratch: &mut [u8]) -> Result<(), LoadError> {
        let Some(link) = self.links.get_mut(&number) else {
            return Ok(());
        };
        link.receive(scratch)?;
        let mut passed_on = Vec::new();
        let subscribers = &mut self.subscribers;
        link.packets(|frame, pending| {
            answer(number, frame, pending, subscribers, &mut passed_on);
            Ok(())
        })?;
        let is_ended = link.is_ended();
        self.due.push(number);
        if !passed_on.is_empty() {
            for (subscriber, _) in &self.subscribers {
                if let Some(link) = self.links.get_mut(subscriber) {
                    if link.pending.is_empty() {
                        self.due.push(*subscriber);
                    }
                    link.pending.extend_from_slice(&passed_on);
                }
            }
        }
        if is_ended {
            self.forget(number);
        }
        Ok(())
    }

    fn forget(&mut self, number: usize) {
        self.links.remove(&number);
        self.subscribers.retain(|(subscriber, _)| *subscriber != number);
    }
}

/// What a broker answers to a packet, and what it passes on.
fn answer(
    number: usize,
    frame: &Frame<'_>,
    pending: &mut Vec<u8>,
    subscribers: &mut Vec<(usize, u8)>,
    passed_on: &mut Vec<u8>,
) {
    match (frame.kind(), frame.packet_id()) {
        (wire::CONNECT, _) => wire::connack(pending),
        (0x80, Some(packet_id)) => {
            let (filters, qos) = frame.subscriptions();
            subscribers.push((number, qos));
            wire::suback(packet_id, filters, qos, pending);
        }
        (wire::PUBLISH, _) => {
            frame.append(passed_on);
            let Some((Some(packet_id), _)) = frame.publish() else {
                return;
            };
            let kind = if frame.qos() == 1 {
                wire::PUBACK
            } else {
                wire::PUBREC
            };
            wire::acknowledge(kind, packet_id, pending);
        }
        (wire::PUBREC, Some(packet_id)) => wire::acknowledge(wire::PUBREL, packet_id, pending),
        (0x60, Some(packet_id)) => wire::acknowledge(wire::PUBCOMP, packet_id, pending),
        // PUBACK and PUBCOMP end an exchange; there are no others in a load.
        _ => {}
    }
}
