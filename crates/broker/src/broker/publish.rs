//! PUBLISH and the acknowledgements of both directions.

use std::sync::Arc;

use motte_guard::{Denial, Layer, Now, Permit, PublishRequest, Published, RetainRequest, Retained};
use motte_mqtt::{Acknowledgement as AckPacket, PacketId, ProtocolVersion, Publish, QoS, ReasonCode};

use super::{Broker, Context};
use crate::connection::{Acknowledgement, Reply, Stage, Violation};
use crate::message::{Content, Message};
use crate::names::ConnectionId;
use crate::session::Acknowledged;
use crate::store::{Position, Store};

/// What a client may know of a refusal: the layer, which is the same for every topic that it has no
/// right to, whether it exists or not (attack I5).
pub(super) const fn public_text(layer: Layer) -> &'static str {
    match layer {
        Layer::Network => "refused by layer 0, network",
        Layer::Tls => "refused by layer 1, tls",
        Layer::Fingerprint => "refused by layer 2, fingerprint",
        Layer::Identity => "refused by layer 3, identity",
        Layer::Authorization => "refused by layer 4, authorization",
        Layer::Protocol => "refused by layer 5, protocol",
        Layer::Quota => "refused by layer 6, quota",
        Layer::Detection => "refused by layer 7, detection",
        Layer::Evidence => "refused by layer 8, evidence",
    }
}

impl<S: Store> Broker<S> {
    pub(super) fn publish(&mut self, id: ConnectionId, mut publish: Publish, now: Now) {
        self.totals.messages_received += 1;
        let Some(context) = self.context(id) else { return };
        match self.take_in(id, &context, &mut publish) {
            Ok(false) => {}
            Ok(true) => {
                self.answer_received(id, &publish);
                return;
            }
            Err(violation) => {
                self.violate(id, &violation, now);
                return;
            }
        }
        match self.judge_publish(&context, &publish, now) {
            // Told apart from a refusal: it says nothing about the client, and counts against nobody.
            Ok(_) if publish.qos > QoS::AtMostOnce && self.engine.store.is_full() => {
                self.refuse_for_full_store(id, &publish, now);
            }
            Ok((permit, retained)) => {
                self.accept_publish(id, &context, publish, &permit, retained.as_ref(), now);
            }
            Err(denial) => self.refuse_publish(id, &context, &publish, &denial, now),
        }
    }

    /// Resolves the alias and counts the message. A QoS 2 message that is already held comes again: it
    /// is answered, not judged or counted twice (MQTT-4.3.3-10). Returns whether it is such a one.
    fn take_in(
        &mut self,
        id: ConnectionId,
        context: &Context,
        publish: &mut Publish,
    ) -> Result<bool, Violation> {
        let Some(connection) = self.connections.get_mut(id) else {
            return Ok(false);
        };
        connection.resolve_alias(publish)?;
        let mut held = 0;
        if publish.qos == QoS::ExactlyOnce
            && let Some(packet_id) = publish.packet_id
            && let Some(session) = self.engine.session(context.session)
        {
            if session.held.contains_key(&packet_id) {
                return Ok(true);
            }
            held = session.held.len();
        }
        connection.count_publish(publish, held)?;
        Ok(false)
    }

    fn judge_publish(
        &mut self,
        context: &Context,
        publish: &Publish,
        now: Now,
    ) -> Result<(Permit<Published>, Option<Permit<Retained>>), Denial> {
        let request = PublishRequest {
            topic: &publish.topic,
            qos: publish.qos,
            retain: publish.retain,
            payload_len: publish.payload.len(),
            response_topic: publish.properties.response_topic.as_deref(),
        };
        let permit = self
            .guard
            .publish(&context.principal, &context.rights, request, now)?;
        let retained = self.judge_retain(context, publish.retain, &publish.topic, publish.payload.len())?;
        Ok((permit, retained))
    }

    /// Whether the identity may keep one more retained message, where the message is one; removing one
    /// always may be.
    pub(super) fn judge_retain(
        &mut self,
        context: &Context,
        retain: bool,
        topic: &str,
        payload_len: usize,
    ) -> Result<Option<Permit<Retained>>, Denial> {
        if !retain {
            return Ok(None);
        }
        let identity = context.principal.identity.to_string();
        let held = self.engine.retained.held_by(&identity);
        let replaced = self
            .engine
            .retained
            .get(topic)
            .filter(|message| message.sender.identity.name() == context.principal.identity.name())
            .map(|message| message.size() as u64);
        // What is held counts topics as well; the message that goes makes room for the one that comes.
        let bytes_held = held.bytes.saturating_sub(replaced.unwrap_or(0)) + topic.len() as u64;
        let request = RetainRequest {
            messages_held: held.messages,
            bytes_held,
            payload_len,
            replaces: replaced.is_some(),
        };
        self.guard
            .retain(&context.principal, &context.rights, request)
            .map(Some)
    }

    fn accept_publish(
        &mut self,
        id: ConnectionId,
        context: &Context,
        publish: Publish,
        permit: &Permit<Published>,
        retained: Option<&Permit<Retained>>,
        now: Now,
    ) {
        let Publish {
            qos,
            retain,
            topic,
            packet_id,
            payload,
            properties,
            ..
        } = publish;
        let content = Content {
            topic,
            payload,
            properties,
            qos,
            retain,
        };
        let sender = Arc::clone(&context.principal);
        let message = Arc::new(Message::new(
            content,
            false,
            sender,
            permit.generation(),
            context.rights.limits().message_expiry,
            now.monotonic,
        ));
        match (qos, packet_id) {
            (QoS::ExactlyOnce, Some(packet_id)) => {
                // Nothing has an effect before PUBREL, where the right is judged again (attack V4).
                self.engine.hold(context.session, packet_id, Some(message));
                self.reply_after_own(id, Reply::success(Acknowledgement::Received, packet_id));
            }
            (_, packet_id) => {
                self.carry_out(context, &message, permit, retained);
                if let Some(packet_id) = packet_id {
                    self.reply_after_own(id, Reply::success(Acknowledgement::Accepted, packet_id));
                }
            }
        }
    }

    fn carry_out(
        &mut self,
        context: &Context,
        message: &Arc<Message>,
        permit: &Permit<Published>,
        retained: Option<&Permit<Retained>>,
    ) {
        if let Some(permit) = retained {
            self.engine.retain(permit, message);
        }
        self.engine.publish(permit, message, context.session);
    }

    fn answer_received(&mut self, id: ConnectionId, publish: &Publish) {
        if let Some(packet_id) = publish.packet_id {
            self.reply_after_store(id, Reply::success(Acknowledgement::Received, packet_id));
        }
    }

    /// The disk takes nothing more: the client keeps the message and tries again.
    fn refuse_for_full_store(&mut self, id: ConnectionId, publish: &Publish, now: Now) {
        let connection = self.connections.get(id);
        let version = connection.and_then(|connection| connection.decoder.version());
        match (version, publish.packet_id) {
            (Some(ProtocolVersion::V5), Some(packet_id)) => {
                let kind = if publish.qos == QoS::ExactlyOnce {
                    Acknowledgement::Received
                } else {
                    Acknowledgement::Accepted
                };
                let reason = ReasonCode::QuotaExceeded;
                let text = "the store of the broker is full";
                self.reply(
                    id,
                    Reply::Acknowledge {
                        kind,
                        packet_id,
                        reason,
                        text,
                    },
                );
            }
            // 3.1.1 cannot say no, and an acknowledgement would be a lie.
            _ => self.disconnect_with(id, ReasonCode::QuotaExceeded, None, now),
        }
    }

    fn refuse_publish(
        &mut self,
        id: ConnectionId,
        context: &Context,
        publish: &Publish,
        denial: &Denial,
        now: Now,
    ) {
        let topic = publish.topic.clone();
        if self.record_denial(id, denial, Some(&topic), now) {
            self.disconnect_for(id, denial.reason, denial.layer, now);
            return;
        }
        let Some(packet_id) = publish.packet_id else {
            return;
        };
        let version = self
            .connections
            .get(id)
            .and_then(|connection| connection.decoder.version());
        let kind = if publish.qos == QoS::ExactlyOnce {
            Acknowledgement::Received
        } else {
            Acknowledgement::Accepted
        };
        match (version, denial.layer) {
            (Some(ProtocolVersion::V5), _) => {
                let reason = acknowledgement_reason(denial.reason);
                let text = public_text(denial.layer);
                self.reply(
                    id,
                    Reply::Acknowledge {
                        kind,
                        packet_id,
                        reason,
                        text,
                    },
                );
            }
            // 3.1.1 cannot say no. A refusal for lack of rights is final, so the message is acknowledged
            // and dropped (MQTT-3.3.5-2); one for lack of quota is not, so nothing may claim success.
            (_, Layer::Authorization) => {
                if publish.qos == QoS::ExactlyOnce {
                    self.engine.hold(context.session, packet_id, None);
                }
                self.reply_after_own(id, Reply::success(kind, packet_id));
            }
            _ => self.disconnect_for(id, denial.reason, denial.layer, now),
        }
    }

    pub(super) fn take_pubrel(&mut self, id: ConnectionId, release: &AckPacket, now: Now) {
        let Some(context) = self.context(id) else { return };
        let packet_id = release.packet_id;
        let reason = match self.engine.release(context.session, packet_id) {
            // It may have been released a moment ago, by a connection that was lost before it was told.
            None => {
                let reason = ReasonCode::PacketIdentifierNotFound;
                self.reply_after_store(id, completed(packet_id, reason));
                return;
            }
            Some(None) => ReasonCode::Success,
            Some(Some(message)) => {
                self.release_held(id, &context, &message, now);
                ReasonCode::Success
            }
        };
        self.reply_after_own(id, completed(packet_id, reason));
    }

    /// The right to a QoS 2 message counts at PUBREL, not only at PUBLISH.
    fn release_held(&mut self, id: ConnectionId, context: &Context, message: &Arc<Message>, now: Now) {
        let request = PublishRequest {
            topic: &message.topic,
            qos: message.qos,
            retain: message.retain,
            payload_len: message.payload.len(),
            response_topic: message.properties.response_topic.as_deref(),
        };
        let judged = self
            .guard
            .release(&context.principal, &context.rights, request, now)
            .and_then(|permit| {
                let retained =
                    self.judge_retain(context, message.retain, &message.topic, message.payload.len())?;
                Ok((permit, retained))
            });
        match judged {
            Ok((permit, retained)) => self.carry_out(context, message, &permit, retained.as_ref()),
            Err(denial) => {
                self.totals.messages_withheld += 1;
                if self.record_denial(id, &denial, Some(&message.topic), now) {
                    self.disconnect_for(id, denial.reason, denial.layer, now);
                }
            }
        }
    }

    pub(super) fn take_puback(&mut self, id: ConnectionId, acknowledgement: &AckPacket, now: Now) {
        let outcome = self.with_outbound(id, |outbound| {
            outbound.acknowledge(acknowledgement.packet_id, QoS::AtLeastOnce)
        });
        self.after_acknowledgement(id, outcome, now);
    }

    pub(super) fn take_pubrec(&mut self, id: ConnectionId, acknowledgement: &AckPacket, now: Now) {
        let packet_id = acknowledgement.packet_id;
        let refused = acknowledgement.reason.is_failure();
        let outcome = self.with_outbound(id, |outbound| {
            if refused {
                outbound.acknowledge(packet_id, QoS::ExactlyOnce)
            } else {
                outbound.receive(packet_id)
            }
        });
        if outcome == Acknowledged::Unknown && !refused {
            let kind = Acknowledgement::Release;
            let reason = ReasonCode::PacketIdentifierNotFound;
            self.reply(
                id,
                Reply::Acknowledge {
                    kind,
                    packet_id,
                    reason,
                    text: "",
                },
            );
            return;
        }
        if let Acknowledged::Release { sequence } = outcome {
            let session = self.connections.get(id).and_then(|connection| connection.session);
            if let (Some(session), Some(sequence)) = (session, sequence) {
                self.engine.received(session, sequence, packet_id);
            }
            // A client that has its PUBREL forgets the message: after a crash it must not come again.
            self.reply_after_store(id, Reply::success(Acknowledgement::Release, packet_id));
        }
        self.after_acknowledgement(id, outcome, now);
    }

    pub(super) fn take_pubcomp(&mut self, id: ConnectionId, acknowledgement: &AckPacket, now: Now) {
        let outcome = self.with_outbound(id, |outbound| outbound.finish(acknowledgement.packet_id));
        self.after_acknowledgement(id, outcome, now);
    }

    fn after_acknowledgement(&mut self, id: ConnectionId, outcome: Acknowledged, _now: Now) {
        if let Acknowledged::Complete { sequence } = outcome
            && let Some(session) = self.connections.get(id).and_then(|connection| connection.session)
        {
            self.engine.settle(session, sequence);
            self.engine.pull_shared_after_acknowledgement(session);
            // The window may have opened.
            self.wake(id);
        }
    }

    fn with_outbound(
        &mut self,
        id: ConnectionId,
        act: impl FnOnce(&mut crate::session::Outbound) -> Acknowledged,
    ) -> Acknowledged {
        let session = self.connections.get(id).and_then(|connection| connection.session);
        match session.and_then(|session| self.engine.session_mut(session)) {
            Some(session) => act(&mut session.outbound),
            None => Acknowledged::Unknown,
        }
    }

    pub(super) fn reply(&mut self, id: ConnectionId, reply: Reply) {
        self.reply_at(id, reply, Position::default());
    }

    pub(super) fn reply_packet(&mut self, id: ConnectionId, packet: motte_mqtt::Packet) {
        self.reply(id, Reply::Packet(Box::new(packet)));
    }

    /// Answers once everything recorded so far is durable (law 7): for an answer that may speak of what
    /// an earlier packet did.
    pub(super) fn reply_after_store(&mut self, id: ConnectionId, reply: Reply) {
        let position = self.engine.recorded();
        self.reply_at(id, reply, position);
    }

    /// Answers once what this packet changed is durable; at once, if it changed nothing that must be.
    fn reply_after_own(&mut self, id: ConnectionId, reply: Reply) {
        let position = self.own_changes();
        self.reply_at(id, reply, position);
    }

    pub(super) fn reply_at(&mut self, id: ConnectionId, reply: Reply, position: Position) {
        // What the packet brought about may have ended the connection: DISCONNECT is the last word.
        if let Some(connection) = self.connections.get_mut(id)
            && connection.stage != Stage::Closing
        {
            connection.replies.push_after(reply, position);
        }
        self.wake_when_durable(id, position);
        self.wake(id);
    }
}

const fn completed(packet_id: PacketId, reason: ReasonCode) -> Reply {
    Reply::Acknowledge {
        kind: Acknowledgement::Complete,
        packet_id,
        reason,
        text: "",
    }
}

/// The codes that PUBACK and PUBREC know (5.0, sections 3.4.2.1 and 3.5.2.1).
const fn acknowledgement_reason(reason: ReasonCode) -> ReasonCode {
    match reason {
        ReasonCode::NotAuthorized
        | ReasonCode::TopicNameInvalid
        | ReasonCode::QuotaExceeded
        | ReasonCode::PayloadFormatInvalid
        | ReasonCode::ImplementationSpecific => reason,
        ReasonCode::MessageRateTooHigh | ReasonCode::PacketTooLarge => ReasonCode::QuotaExceeded,
        ReasonCode::QoSNotSupported | ReasonCode::RetainNotSupported => ReasonCode::NotAuthorized,
        _ => ReasonCode::Unspecified,
    }
}
