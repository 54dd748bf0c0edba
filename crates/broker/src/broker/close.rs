//! How connections end, and what becomes of their wills and sessions.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use motte_guard::{Layer, Now, Permit, Retained, WillGranted, evidence};
use motte_mqtt::{DecodeError, Disconnect, LastWill, Packet, ProtocolVersion, ReasonCode};

use super::publish::public_text;
use super::timers::Timer;
use super::{Broker, Context};
use crate::connection::{Stage, Violation};
use crate::message::{Content, Message};
use crate::names::{ConnectionId, SessionId, SessionName};
use crate::session::{EXPIRY_NEVER, will_request};
use crate::store::Store;

impl<S: Store> Broker<S> {
    /// The network connection is gone. Ends what the connection still stands for; a will is published.
    pub fn peer_closed(&mut self, id: ConnectionId, now: Now) {
        if self
            .connections
            .get(id)
            .is_some_and(|connection| connection.stage != Stage::Closing)
        {
            self.detach(id, true, now);
            self.record(id, evidence::Kind::Disconnected, now);
        }
        let armed_at = self
            .connections
            .get(id)
            .and_then(|connection| connection.armed_at);
        if let Some(at) = armed_at {
            self.timers.cancel(at, Timer::Connection(id));
        }
        self.connections.remove(id);
        self.collect_work();
    }

    /// Says goodbye to every client; their sessions stay, their wills are published.
    pub fn begin_shutdown(&mut self, now: Now) {
        self.is_shutting_down = true;
        let mut all: Vec<ConnectionId> = self.connections.iter().map(|connection| connection.id).collect();
        all.sort_unstable();
        for id in all {
            self.disconnect_with(id, ReasonCode::ServerShuttingDown, None, now);
        }
        self.record_remaining(now);
        self.collect_work();
    }

    /// DISCONNECT of the client.
    pub(super) fn take_disconnect(&mut self, id: ConnectionId, disconnect: &Disconnect, now: Now) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        if let Some(expiry) = disconnect.session_expiry_interval {
            if expiry != 0 && connection.terms.session_ends_with_connection {
                let violation = Violation::new(
                    ReasonCode::ProtocolError,
                    "MQTT-3.14.2-2",
                    "DISCONNECT sets a session expiry that CONNECT had set to zero",
                );
                self.violate(id, &violation, now);
                return;
            }
            let expiry = expiry.min(connection.limits.session_expiry);
            if let Some(session) = connection.session {
                self.engine.set_expiry(session, expiry);
            }
        }
        // Only a normal disconnection discards the will (MQTT-3.14.4-3).
        let publish_will = disconnect.reason != ReasonCode::Success;
        self.detach(id, publish_will, now);
        self.record(id, evidence::Kind::Disconnected, now);
        self.close(id, None, now);
    }

    /// Bytes that are not a packet.
    pub(super) fn violate_by_bytes(&mut self, id: ConnectionId, error: &DecodeError, now: Now) {
        self.violate(id, &Violation::new(error.reason, error.rule, error.detail), now);
    }

    /// The peer broke the protocol: evidence, the reason where the version has a word for it, the end.
    pub(super) fn violate(&mut self, id: ConnectionId, violation: &Violation, now: Now) {
        self.record_violation(id, violation, now);
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        let version = connection.decoder.version();
        let before_connect = connection.stage == Stage::ExpectConnect;
        let last = match (version, before_connect) {
            // 3.1.1 asks for return code 1 (MQTT-3.1.2-2) and the peer may speak anything else.
            (_, true) if violation.reason == ReasonCode::UnsupportedProtocolVersion => {
                Some(connack(violation))
            }
            (Some(ProtocolVersion::V5), true) => Some(connack(violation)),
            (Some(ProtocolVersion::V5), false) => {
                let mut goodbye = Disconnect::new(violation.reason);
                goodbye.reason_string = connection.problem_text(violation.detail);
                Some(Packet::Disconnect(goodbye))
            }
            _ => None,
        };
        self.detach(id, true, now);
        self.close(id, last, now);
    }

    /// Ends a connection for a reason that one of the layers gave.
    pub(super) fn disconnect_for(&mut self, id: ConnectionId, reason: ReasonCode, layer: Layer, now: Now) {
        self.disconnect_with(id, reason, Some(public_text(layer)), now);
    }

    pub(super) fn disconnect_with(
        &mut self,
        id: ConnectionId,
        reason: ReasonCode,
        text: Option<&'static str>,
        now: Now,
    ) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        if connection.stage == Stage::Closing {
            return;
        }
        let goodbye = (connection.stage == Stage::Established
            && connection.decoder.version() == Some(ProtocolVersion::V5))
        .then(|| {
            let mut goodbye = Disconnect::new(reason);
            goodbye.reason_string = text.map(ByteString::from_static);
            Packet::Disconnect(goodbye)
        });
        let established = connection.stage == Stage::Established;
        self.detach(id, true, now);
        if established {
            self.record(id, evidence::Kind::Disconnected, now);
        }
        self.close(id, goodbye, now);
    }

    /// A client that sends and never reads its answers.
    pub(super) fn shut_out_flooder(&mut self, id: ConnectionId, now: Now) {
        let violation = Violation::new(
            ReasonCode::QuotaExceeded,
            "motte.limit.control-backlog",
            "too many answers wait to be read",
        );
        self.violate(id, &violation, now);
    }

    /// Lets nothing more in; `last` is what is still said.
    pub(super) fn close(&mut self, id: ConnectionId, last: Option<Packet>, _now: Now) {
        let durable = self.engine.store.durable();
        if let Some(connection) = self.connections.get_mut(id) {
            connection.close_with(last, durable);
        }
        self.wake(id);
    }

    /// The connection that has this session gives way to a new one of the same identity.
    pub(super) fn end_previous(
        &mut self,
        name: &SessionName,
        successor: ConnectionId,
        clean_start: bool,
        now: Now,
    ) {
        let Some(session) = self.engine.find(name) else {
            return;
        };
        let previous = self.engine.session(session).and_then(|state| state.connection);
        if let Some(previous) = previous.filter(|previous| *previous != successor) {
            self.record(previous, evidence::Kind::SessionTakenOver, now);
            self.disconnect_with(previous, ReasonCode::SessionTakenOver, None, now);
        }
        let state = self.engine.session(session);
        if let Some(at) = state.and_then(|state| state.ends_at) {
            self.timers.cancel(at, Timer::SessionEnd(session));
        }
        if let Some(at) = state.and_then(|state| state.will.as_ref()?.due) {
            self.timers.cancel(at, Timer::Will(session));
        }
        // The old session ends with a clean start, so a delayed will of it is due now (MQTT-3.1.3-9);
        // a session that goes on takes its will back.
        if clean_start {
            self.fire_will(session, now);
        } else {
            self.engine.take_will(session);
        }
    }

    /// Separates a connection from its session: from here nothing more is delivered through it.
    pub(super) fn detach(&mut self, id: ConnectionId, publish_will: bool, now: Now) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let identity = connection.principal.identity.to_string();
        let session = connection.session.take();
        if let Some(ids) = self.online.get_mut(&identity) {
            ids.remove(&id);
            if ids.is_empty() {
                self.online.remove(&identity);
            }
        }
        let Some(session) = session else { return };
        let Some(state) = self.engine.session_mut(session) else {
            return;
        };
        state.connection = None;
        self.engine.hand_over_of_lost(session);
        let Some(state) = self.engine.session_mut(session) else {
            return;
        };
        state.outbound.disconnect();
        if !publish_will {
            self.engine.take_will(session);
        }
        self.leave(session, now);
    }

    /// The session is without a connection from now on: it ends, or waits, and its will with it.
    pub(super) fn leave(&mut self, session: SessionId, now: Now) {
        let Some(state) = self.engine.session_mut(session) else {
            return;
        };
        let expiry = state.expiry;
        let ends_at = (expiry != EXPIRY_NEVER).then(|| now.monotonic + Duration::from_secs(expiry.into()));
        let delay = state
            .will
            .as_ref()
            .map(|will| Duration::from_secs(will.content.delay_interval.into()));
        if expiry == 0 {
            self.end_with_will(session, now);
            return;
        }
        self.engine.leave_session(session, ends_at);
        if let Some(at) = ends_at {
            self.timers.set(at, Timer::SessionEnd(session));
        }
        match delay {
            Some(Duration::ZERO) => self.fire_will(session, now),
            // The session ends first, and its will with it. A timer for later would outlive both.
            Some(delay) if ends_at.is_some_and(|at| at <= now.monotonic + delay) => {}
            Some(delay) => {
                let due = now.monotonic + delay;
                self.engine.delay_will(session, due);
                self.timers.set(due, Timer::Will(session));
            }
            None => {}
        }
    }

    /// The session ends, and with it the wait of its will (MQTT-3.1.2-8).
    pub(super) fn end_with_will(&mut self, session: SessionId, now: Now) {
        self.fire_will(session, now);
        self.engine.end_session(session);
    }

    /// Publishes the will of a session, if its sender has the right to at this moment.
    pub(super) fn fire_will(&mut self, session: SessionId, now: Now) {
        let Some(will) = self.engine.take_will(session) else {
            return;
        };
        let Some(state) = self.engine.session(session) else {
            return;
        };
        let context = Context {
            session,
            principal: will.sender,
            rights: Arc::clone(&state.rights),
        };
        let client_id = state.name.client_id.clone();
        let content = *will.content;
        let request = will_request(&content);
        let judged = self
            .guard
            .will_due(&context.principal, &context.rights, request, now)
            .and_then(|permit| {
                let retained =
                    self.judge_retain(&context, content.retain, &content.topic, content.payload.len())?;
                Ok((permit, retained))
            });
        let (permit, retained) = match judged {
            Ok(permits) => permits,
            Err(denial) => {
                self.totals.messages_withheld += 1;
                self.record_will_dropped(
                    &context.principal.identity,
                    &client_id,
                    &content.topic,
                    &denial,
                    now,
                );
                return;
            }
        };
        self.publish_will(&context, content, &permit, retained.as_ref(), now);
    }

    fn publish_will(
        &mut self,
        context: &Context,
        content: LastWill,
        permit: &Permit<WillGranted>,
        retained: Option<&Permit<Retained>>,
        now: Now,
    ) {
        let parts = Content {
            topic: content.topic,
            payload: content.payload,
            properties: content.properties,
            qos: content.qos,
            retain: content.retain,
        };
        let sender = Arc::clone(&context.principal);
        let message = Arc::new(Message::new(
            parts,
            true,
            sender,
            permit.generation(),
            context.rights.limits().message_expiry,
            now.monotonic,
        ));
        if let Some(retained) = retained {
            self.engine.retain(retained, &message);
        }
        self.engine.publish_will(permit, &message, context.session);
        self.collect_work();
    }
}

fn connack(violation: &Violation) -> Packet {
    Packet::ConnAck(Box::new(motte_mqtt::ConnAck {
        session_present: false,
        reason: violation.reason,
        properties: motte_mqtt::ConnAckProperties {
            reason_string: Some(ByteString::from_static(violation.detail)),
            ..motte_mqtt::ConnAckProperties::default()
        },
    }))
}
