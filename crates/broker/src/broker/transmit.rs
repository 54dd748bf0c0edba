//! What goes out: answers first, then messages, each judged at the moment it is written.

use std::sync::Arc;

use bytes::BytesMut;
use motte_guard::{Delivery, Denial, Guard, Now, Permit};
use motte_mqtt::{
    Packet, PacketId, ProtocolVersion, PublishParts, QoS, ReasonCode, encode, encode_publish,
    encoded_publish_length,
};

use motte_policy::Rights;

use super::Broker;
use crate::connection::{Acknowledgement, Connection, Reply, Stage};
use crate::message::Message;
use crate::names::{ConnectionId, SessionId};
use crate::session::{Inflight, Stage as Exchange, Waiting};
use crate::store::Store;

/// What the shell does after a call of [`Broker::transmit`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transmit {
    /// Everything is said: write out, then close the connection.
    pub close: bool,
    /// The budget was used up; call again after writing.
    pub more: bool,
}

/// What became of one message that was due.
enum Outcome {
    Written,
    /// Not to be delivered: expired, withheld or larger than the client takes.
    Dropped,
}

impl<S: Store> Broker<S> {
    /// Appends what is to be written to the connection, until `out` holds `budget` bytes or more.
    ///
    /// This is the moment of delivery: the reader's and the sender's rights are judged here (law 4), and
    /// what has been appended counts as delivered.
    pub fn transmit(&mut self, id: ConnectionId, out: &mut BytesMut, budget: usize, now: Now) -> Transmit {
        if !self.write_replies(id, out, budget) {
            // A client that takes no answer to its CONNECT would wait for ever (MQTT-3.1.4-5).
            self.disconnect_with(id, ReasonCode::PacketTooLarge, None, now);
            return Transmit {
                close: true,
                more: false,
            };
        }
        let Some(connection) = self.connections.get(id) else {
            return Transmit {
                close: true,
                more: false,
            };
        };
        if connection.stage == Stage::Closing {
            return Transmit {
                close: connection.replies.is_empty(),
                more: !connection.replies.is_empty(),
            };
        }
        if connection.stage == Stage::Established
            && let Some(session) = connection.session
        {
            if !self.is_held_back(session) {
                self.write_resends(id, session, out, budget, now);
                self.write_awaited(id, session, out, budget, now);
                self.write_messages(id, session, out, budget, now);
            }
            self.engine.store.seal();
            return Transmit {
                close: false,
                more: self.has_more(id, session),
            };
        }
        Transmit::default()
    }

    /// Whether CONNACK, if it was due, could be said at all under the client's Maximum Packet Size.
    fn write_replies(&mut self, id: ConnectionId, out: &mut BytesMut, budget: usize) -> bool {
        let durable = self.engine.store.durable();
        let Some(connection) = self.connections.get_mut(id) else {
            return true;
        };
        // Before CONNECT could be read, the client is answered in the older version, which all know.
        let version = connection.decoder.version().unwrap_or(ProtocolVersion::V311);
        while out.len() < budget {
            let Some(reply) = connection.replies.pop(durable) else {
                return true;
            };
            if reply.ends_exchange() {
                connection.unacknowledged = connection.unacknowledged.saturating_sub(1);
            }
            let packet = reply.into_packet(connection.terms.wants_problem_information);
            if !write_packet(connection, &packet, version, out) && matches!(packet, Packet::ConnAck(_)) {
                return false;
            }
        }
        true
    }

    fn write_resends(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        out: &mut BytesMut,
        budget: usize,
        now: Now,
    ) {
        while out.len() < budget {
            let Some(window) = self.window(id) else { return };
            let Some(state) = self.engine.session_mut(session) else {
                return;
            };
            let Some((packet_id, inflight)) = state.outbound.next_resend(window) else {
                return;
            };
            match inflight {
                Inflight {
                    stage: Exchange::Released,
                    ..
                } => {
                    let packet = Reply::success(Acknowledgement::Release, packet_id).into_packet(false);
                    if let Some(connection) = self.connections.get(id)
                        && let Some(version) = connection.decoder.version()
                    {
                        write_packet(connection, &packet, version, out);
                    }
                }
                Inflight {
                    stage: Exchange::Published(waiting),
                    ..
                } => {
                    let outcome = self.write_message(id, session, &waiting, Some(packet_id), true, out, now);
                    if matches!(outcome, Outcome::Dropped) {
                        self.withdraw(session, packet_id);
                    }
                }
            }
        }
    }

    fn write_messages(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        out: &mut BytesMut,
        budget: usize,
        now: Now,
    ) {
        let Some(window) = self.window(id) else { return };
        while out.len() < budget {
            let Some(state) = self.engine.session_mut(session) else {
                return;
            };
            let Some(waiting) = state.outbound.pop(window) else {
                return;
            };
            if waiting.qos == QoS::AtMostOnce {
                self.write_message(id, session, &waiting, None, false, out, now);
                continue;
            }
            let sequence = waiting.sequence;
            let Some(packet_id) = state.outbound.send(waiting.clone()) else {
                return;
            };
            // QoS 1 needs not wait, but stays behind what does: messages keep their order.
            let may_wait = waiting.qos == QoS::ExactlyOnce || state.outbound.is_awaiting();
            let may_wait = may_wait && state.is_durable;
            self.engine.sent(session, sequence, packet_id);
            if may_wait && self.must_wait(id, session, packet_id, sequence) {
                continue;
            }
            let outcome = self.write_message(id, session, &waiting, Some(packet_id), false, out, now);
            if matches!(outcome, Outcome::Dropped) {
                if let Some(state) = self.engine.session_mut(session) {
                    state.outbound.withdraw(packet_id);
                }
                self.engine.settle(session, sequence);
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one message with everything that decides how it is written"
    )]
    fn write_message(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        waiting: &Waiting,
        packet_id: Option<PacketId>,
        dup: bool,
        out: &mut BytesMut,
        now: Now,
    ) -> Outcome {
        let message = &waiting.message;
        // What has been sent once is sent again whatever its age (MQTT-4.3.3-7).
        if !dup && message.is_expired(now.monotonic) {
            self.totals.messages_expired += 1;
            return Outcome::Dropped;
        }
        let Some(reader) = self.engine.session(session) else {
            return Outcome::Dropped;
        };
        let rights = Arc::clone(&reader.rights);
        match judge_delivery(&mut self.guard, &rights, waiting) {
            Ok(permit) => {
                let Some(connection) = self.connections.get_mut(id) else {
                    return Outcome::Dropped;
                };
                let outcome = deliver(permit, connection, waiting, packet_id, dup, out, now);
                match outcome {
                    Outcome::Written => self.totals.messages_sent += 1,
                    Outcome::Dropped => self.totals.messages_too_large += 1,
                }
                outcome
            }
            Err(denial) => {
                self.totals.messages_withheld += 1;
                self.record_withheld(message, &denial, now);
                Outcome::Dropped
            }
        }
    }

    /// Whether the message has to wait. A QoS 2 message is sent once its identifier is durable: after a crash it would go out under
    /// another one, and the client would take it for a second message.
    fn must_wait(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        packet_id: PacketId,
        sequence: u64,
    ) -> bool {
        let position = self.engine.recorded();
        if position <= self.engine.store.durable() {
            return false;
        }
        if let Some(state) = self.engine.session_mut(session) {
            state.outbound.await_store(packet_id, sequence, position);
        }
        self.wake_when_durable(id, position);
        true
    }

    fn write_awaited(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        out: &mut BytesMut,
        budget: usize,
        now: Now,
    ) {
        let durable = self.engine.store.durable();
        while out.len() < budget {
            let state = self.engine.session_mut(session);
            let Some((packet_id, waiting)) = state.and_then(|state| state.outbound.next_awaited(durable))
            else {
                return;
            };
            let outcome = self.write_message(id, session, &waiting, Some(packet_id), false, out, now);
            if matches!(outcome, Outcome::Dropped) {
                self.withdraw(session, packet_id);
            }
        }
    }

    /// Whether the store does not know yet how this connection found the session.
    fn is_held_back(&self, session: SessionId) -> bool {
        let durable = self.engine.store.durable();
        let state = self.engine.session(session);
        state.is_some_and(|state| state.outbound.is_held_back(durable))
    }

    fn withdraw(&mut self, session: SessionId, packet_id: PacketId) {
        let withdrawn = self
            .engine
            .session_mut(session)
            .and_then(|state| state.outbound.withdraw(packet_id));
        if let Some(sequence) = withdrawn {
            self.engine.settle(session, sequence);
        }
    }

    /// The session knows how much its connection takes at once.
    pub(super) fn note_window(&mut self, session: SessionId) {
        let connection = self.engine.session(session).and_then(|state| state.connection);
        let window = connection.and_then(|id| self.window(id)).unwrap_or(0);
        if let Some(state) = self.engine.session_mut(session) {
            state.window = window;
        }
    }

    fn window(&self, id: ConnectionId) -> Option<usize> {
        let connection = self.connections.get(id)?;
        // The client's Receive Maximum, and never more than its role may hold unacknowledged.
        Some(
            connection
                .terms
                .receive_maximum
                .min(usize::from(connection.limits.inflight)),
        )
    }

    fn has_more(&self, id: ConnectionId, session: SessionId) -> bool {
        let durable = self.engine.store.durable();
        let replies = self
            .connections
            .get(id)
            .is_some_and(|connection| connection.replies.is_ready(durable));
        let window = self.window(id).unwrap_or(0);
        replies
            || self
                .engine
                .session(session)
                .is_some_and(|state| state.outbound.has_work(window, durable))
    }
}

/// Judges reader and sender at this moment (law 4); the member of a group for its group as well.
pub(super) fn judge_delivery(
    guard: &mut Guard,
    reader: &Rights,
    waiting: &Waiting,
) -> Result<Permit<Delivery>, Denial> {
    let Waiting { message, shared, .. } = waiting;
    let (sender, provenance, topic) = (&message.sender, message.provenance(), &*message.topic);
    match shared {
        None => guard.deliver(reader, sender, provenance, topic),
        Some(shared) => guard.deliver_shared(reader, shared, sender, provenance, topic),
    }
}

/// Whether the packet was written. Text for people is left out where it makes an answer too long
/// (MQTT-3.1.2-24); what cannot be said even so is not said.
fn write_packet(
    connection: &Connection,
    packet: &Packet,
    version: ProtocolVersion,
    out: &mut BytesMut,
) -> bool {
    let start = out.len();
    let mut write = |packet: &Packet| {
        let fits =
            encode(packet, version, out).is_ok() && out.len() - start <= connection.terms.maximum_packet_size;
        if !fits {
            out.truncate(start);
        }
        fits
    };
    write(packet) || write(&without_text(packet))
}

fn without_text(packet: &Packet) -> Packet {
    let mut plain = packet.clone();
    match &mut plain {
        Packet::ConnAck(answer) => answer.properties.reason_string = None,
        Packet::PubAck(answer)
        | Packet::PubRec(answer)
        | Packet::PubRel(answer)
        | Packet::PubComp(answer) => {
            answer.reason_string = None;
        }
        Packet::SubAck(answer) => answer.reason_string = None,
        Packet::UnsubAck(answer) => answer.reason_string = None,
        Packet::Disconnect(answer) => answer.reason_string = None,
        _ => {}
    }
    plain
}

/// Writes a permitted message, if the client takes packets of its size (MQTT-3.1.2-25).
fn deliver(
    _permit: Permit<Delivery>,
    connection: &mut Connection,
    waiting: &Waiting,
    packet_id: Option<PacketId>,
    dup: bool,
    out: &mut BytesMut,
    now: Now,
) -> Outcome {
    let Some(version) = connection.decoder.version() else {
        return Outcome::Dropped;
    };
    let message: &Message = &waiting.message;
    let spelling = connection.outbound_aliases.spell(&message.topic);
    let parts = PublishParts {
        dup,
        qos: waiting.qos,
        retain: waiting.retain,
        topic: if spelling.alias_only { "" } else { &message.topic },
        packet_id,
        topic_alias: spelling.alias,
        message_expiry_interval: message.remaining_seconds(now.monotonic),
        subscription_identifiers: &waiting.identifiers,
        properties: &message.properties,
        payload: &message.payload,
    };
    if connection.terms.maximum_packet_size != usize::MAX
        && encoded_publish_length(&parts, version) > connection.terms.maximum_packet_size
    {
        return Outcome::Dropped;
    }
    let start = out.len();
    if encode_publish(&parts, version, out).is_err() {
        out.truncate(start);
        return Outcome::Dropped;
    }
    connection.outbound_aliases.written(&message.topic, &spelling);
    Outcome::Written
}
