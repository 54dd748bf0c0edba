//! Connections, guard and engine put together; the only way in and out.

mod close;
mod connect;
mod connections;
mod install;
mod publish;
mod report;
mod restore;
mod subscribe;
mod system;
mod timers;
mod transmit;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use motte_guard::{CertificateFacts, Denial, Guard, Now, evidence};
use motte_mqtt::{Decoded, Packet};

pub use install::InstallReport;
pub use report::{Figures, Status};
pub use restore::{RestoreError, RestoreReport};
pub use transmit::Transmit;

use crate::connection::{Connection, Stage, Violation};
use crate::engine::Engine;
use crate::names::{ConnectionId, SessionId};
use crate::settings::{BrokerSettings, PACKETS_PER_TURN};
use crate::store::{Position, Store};
use connections::Connections;
use timers::Timers;

/// The whole broker without input and output.
///
/// Every call that changes something may leave connections in the list of [`Broker::woken`]; the shell
/// visits those with [`Broker::transmit`]. Times are [`Now`] values of the caller's clock, which never
/// runs backwards.
#[derive(Debug)]
pub struct Broker<S> {
    settings: BrokerSettings,
    guard: Guard,
    engine: Engine<S>,
    connections: Connections,
    /// Live connections by identity.
    online: HashMap<String, BTreeSet<ConnectionId>>,
    timers: Timers,
    woken: Vec<ConnectionId>,
    /// Connections that have something to say once the store has come so far, in its order.
    waiting_for_store: VecDeque<(Position, ConnectionId)>,
    /// Where the store was when the packet that is being handled came in.
    packet_began: Position,
    evidence: Vec<evidence::Record>,
    seed: Seed,
    totals: Totals,
    is_shutting_down: bool,
}

/// Counted since the process started.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    connections_accepted: u64,
    messages_received: u64,
    messages_sent: u64,
    messages_withheld: u64,
    messages_expired: u64,
    messages_too_large: u64,
}

/// Where assigned client ids come from: a secret of the process and a counter under a cryptographic
/// hash, so that one id says nothing about the next (attack S5) and a simulation can be played again.
#[derive(Debug)]
struct Seed {
    secret: [u8; 32],
    counter: u64,
}

impl<S: Store> Broker<S> {
    /// A broker that denies everything until a snapshot is installed. `seed` must be random and secret
    /// in a running system.
    pub fn new(settings: BrokerSettings, guard: Guard, store: S, seed: [u8; 32]) -> Self {
        Self {
            settings,
            guard,
            engine: Engine::new(store),
            connections: Connections::default(),
            online: HashMap::new(),
            timers: Timers::default(),
            woken: Vec::new(),
            waiting_for_store: VecDeque::new(),
            packet_began: Position::default(),
            evidence: Vec::new(),
            seed: Seed {
                secret: seed,
                counter: 0,
            },
            totals: Totals::default(),
            is_shutting_down: false,
        }
    }

    /// A connection whose TLS handshake is done. The certificate is judged again here, so that a resumed
    /// TLS session of a revoked or expired one ends as well.
    ///
    /// `accepted_at` is when the TCP connection came in, on the monotonic clock: the deadline for CONNECT
    /// counts from there.
    ///
    /// # Errors
    /// The denial that the caller has to act on by closing; it is in the evidence already.
    pub fn open(
        &mut self,
        peer: SocketAddr,
        facts: &CertificateFacts,
        accepted_at: Duration,
        now: Now,
    ) -> Result<ConnectionId, Denial> {
        let principal = match self.guard.authenticate(facts, now) {
            Ok(permit) => permit.into_action().principal,
            Err(denial) => {
                self.record_refused_certificate(peer, facts, &denial, now);
                return Err(denial);
            }
        };
        self.totals.connections_accepted += 1;
        let id = self
            .connections
            .insert(|id| Connection::new(id, peer, principal, accepted_at, now.monotonic));
        self.arm(id, now);
        Ok(id)
    }

    /// Handles the whole packets at the front of `buffer` and leaves the rest.
    ///
    /// Returns whether whole packets may be left because the connection had its share of this turn; the
    /// caller lets others go first and calls again.
    pub fn receive(&mut self, id: ConnectionId, buffer: &mut BytesMut, now: Now) -> bool {
        let mut packets = 0;
        while packets < PACKETS_PER_TURN {
            let Some(connection) = self.connections.get_mut(id) else {
                return false;
            };
            if connection.stage == Stage::Closing {
                buffer.clear();
                return false;
            }
            if connection.replies.is_full() {
                self.shut_out_flooder(id, now);
                return false;
            }
            match connection.decoder.decode(buffer) {
                Ok(Decoded::Packet(packet)) => {
                    packets += 1;
                    self.handle(id, packet, now);
                    // At once: the list has an entry for each message and reader, and a turn has room
                    // for many messages.
                    self.collect_work();
                }
                Ok(Decoded::Incomplete { .. }) => break,
                Err(error) => {
                    self.violate_by_bytes(id, &error, now);
                    return false;
                }
            }
        }
        let exhausted = packets == PACKETS_PER_TURN;
        if let Some(connection) = self.connections.get_mut(id)
            && connection.note_input(packets, !exhausted && !buffer.is_empty(), now.monotonic)
        {
            self.arm(id, now);
        }
        self.collect_work();
        exhausted
    }

    /// Connections that have something to write or must close, each once.
    pub fn woken(&mut self) -> impl Iterator<Item = ConnectionId> + '_ {
        for id in &self.woken {
            if let Some(connection) = self.connections.get_mut(*id) {
                connection.is_woken = false;
            }
        }
        self.woken.drain(..)
    }

    /// What happened since the last call, oldest first, for the evidence log.
    pub fn take_evidence(&mut self) -> Vec<evidence::Record> {
        std::mem::take(&mut self.evidence)
    }

    /// The guard, for its counters and the snapshot in force.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The store reached a new durable position: answers that waited for it may go.
    pub fn store_advanced(&mut self) {
        let durable = self.engine.store.durable();
        while let Some((position, id)) = self.waiting_for_store.front().copied() {
            if position > durable {
                break;
            }
            self.waiting_for_store.pop_front();
            self.wake(id);
        }
    }

    /// Wakes the connection once the store has come so far. Positions never go back from call to call.
    fn wake_when_durable(&mut self, id: ConnectionId, position: Position) {
        if position > self.engine.store.durable() {
            self.waiting_for_store.push_back((position, id));
        }
    }

    /// What the packet that is being handled changed is durable from here on. What changed nothing waits
    /// for nothing.
    fn own_changes(&self) -> Position {
        let recorded = self.engine.store.recorded();
        if recorded == self.packet_began {
            Position::default()
        } else {
            recorded
        }
    }

    /// The store, for the shell that drives it.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.engine.store
    }

    fn handle(&mut self, id: ConnectionId, packet: Packet, now: Now) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        if let Err(violation) = connection.expect(&packet) {
            self.violate(id, &violation, now);
            return;
        }
        self.packet_began = self.engine.store.recorded();
        match packet {
            Packet::Connect(connect) => self.connect(id, *connect, now),
            Packet::Publish(publish) => self.publish(id, publish, now),
            Packet::PubAck(acknowledgement) => self.take_puback(id, &acknowledgement, now),
            Packet::PubRec(acknowledgement) => self.take_pubrec(id, &acknowledgement, now),
            Packet::PubRel(acknowledgement) => self.take_pubrel(id, &acknowledgement, now),
            Packet::PubComp(acknowledgement) => self.take_pubcomp(id, &acknowledgement, now),
            Packet::Subscribe(subscribe) => self.subscribe(id, &subscribe, now),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(id, &unsubscribe),
            Packet::PingReq => self.reply_packet(id, Packet::PingResp),
            Packet::Disconnect(disconnect) => self.take_disconnect(id, &disconnect, now),
            // The decoder takes only what a client may send.
            Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::Auth(_) => {
                let violation = Violation::new(
                    motte_mqtt::ReasonCode::ProtocolError,
                    "section 2.1.2",
                    "a packet that only a server sends",
                );
                self.violate(id, &violation, now);
            }
        }
    }

    /// Puts a connection on the list that the shell visits.
    fn wake(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && !connection.is_woken
        {
            connection.is_woken = true;
            self.woken.push(id);
        }
    }

    /// Wakes the connections whose sessions the engine gave work. What was recorded is whole here.
    fn collect_work(&mut self) {
        self.engine.store.seal();
        let mut with_work = std::mem::take(&mut self.engine.with_work);
        for id in with_work.drain(..) {
            self.wake(id);
        }
        self.engine.with_work = with_work;
    }
}

/// Shares what several modules read of a connection that has a session.
struct Context {
    session: SessionId,
    principal: Arc<motte_guard::Principal>,
    rights: Arc<motte_policy::Rights>,
}

impl<S: Store> Broker<S> {
    /// Who acts on this connection, under the rights of this moment.
    fn context(&self, id: ConnectionId) -> Option<Context> {
        let connection = self.connections.get(id)?;
        let session = connection.session?;
        let rights = Arc::clone(&self.engine.session(session)?.rights);
        Some(Context {
            session,
            principal: Arc::clone(&connection.principal),
            rights,
        })
    }
}
