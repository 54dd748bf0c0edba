//! CONNECT: one identity, one session, the will judged before anything changes.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use bytestring::ByteString;
use motte_guard::{
    ConnectRequest, Connected, Denial, Layer, Now, Permit, Principal, SessionGranted, SessionRequest,
    WillGranted, evidence,
};
use motte_mqtt::{ConnAck, ConnAckProperties, Connect, LastWill, Packet, ProtocolVersion, ReasonCode};
use motte_policy::{Rights, RoleLimits};
use sha2::{Digest, Sha256};

use super::{Broker, Seed};
use crate::connection::Reply;
use crate::names::{ConnectionId, SessionName};
use crate::session::{Will, will_request};
use crate::store::Store;

/// Everything that the layers agreed to, before anything has changed.
struct Accepted {
    connected: Permit<Connected>,
    session: Permit<SessionGranted>,
    will: Option<(Permit<WillGranted>, Box<LastWill>)>,
    name: SessionName,
    rights: Arc<Rights>,
    assigned: bool,
    expiry: u32,
}

/// A refusal, and the topic that it was for where it was for a will.
struct Refused {
    denial: Denial,
    topic: Option<ByteString>,
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        Self { denial, topic: None }
    }
}

impl<S: Store> Broker<S> {
    pub(super) fn connect(&mut self, id: ConnectionId, mut connect: Connect, now: Now) {
        // No state is touched before every layer has agreed (law 2): judging comes first, whole.
        match self.judge_connect(id, &mut connect, now) {
            Ok(accepted) => self.accept(id, &connect, accepted, now),
            Err(refused) => self.refuse_connect(id, &connect, &refused, now),
        }
    }

    fn judge_connect(
        &mut self,
        id: ConnectionId,
        connect: &mut Connect,
        now: Now,
    ) -> Result<Accepted, Refused> {
        let principal = self.who_connects(id)?;
        let suffix = self.seed.next_suffix();
        let identity = principal.identity.to_string();
        let live = self.live_besides(&identity, &connect.client_id);
        let request = ConnectRequest {
            client_id: &connect.client_id,
            username: connect.username.as_deref(),
            has_password: connect.password.is_some(),
            authentication_method: connect.properties.authentication_method.is_some(),
            keep_alive: connect.keep_alive,
            assigned_suffix: &suffix,
        };
        let connected = self.guard.connect(&principal, request, live, now)?;
        let rights = Arc::clone(&connected.action().rights);
        let assigned = connected.action().assigned;
        if assigned && connect.protocol_version == ProtocolVersion::V311 && !connect.clean_start {
            return Err(denial(
                Layer::Protocol,
                "MQTT-3.1.3-8",
                ReasonCode::ClientIdentifierNotValid,
                "an empty client id needs a clean session",
            )
            .into());
        }
        let name = SessionName {
            identity,
            client_id: connected.action().client_id.clone(),
        };
        let request = SessionRequest {
            sessions_held: self.engine.sessions_of(&name.identity),
            resumes: self.engine.find(&name).is_some(),
        };
        let session = self.guard.session(&principal, &rights, request, now)?;
        let expiry = session_expiry(connect, rights.limits());
        let will = match connect.will.take() {
            Some(content) => Some(self.judge_last_will(&principal, &rights, content, now)?),
            None => None,
        };
        Ok(Accepted {
            connected,
            session,
            will,
            name,
            rights,
            assigned,
            expiry,
        })
    }

    fn who_connects(&self, id: ConnectionId) -> Result<Arc<Principal>, Denial> {
        if self.is_shutting_down {
            return Err(denial(
                Layer::Network,
                "broker.stopping",
                ReasonCode::ServerShuttingDown,
                "the broker stops",
            ));
        }
        let Some(connection) = self.connections.get(id) else {
            return Err(denial(
                Layer::Protocol,
                "connection.gone",
                ReasonCode::Unspecified,
                "the connection is gone",
            ));
        };
        Ok(Arc::clone(&connection.principal))
    }

    fn judge_last_will(
        &mut self,
        principal: &Arc<Principal>,
        rights: &Rights,
        content: Box<LastWill>,
        now: Now,
    ) -> Result<(Permit<WillGranted>, Box<LastWill>), Refused> {
        let request = will_request(&content);
        match self.guard.will(principal, rights, request, now) {
            Ok(permit) => Ok((permit, content)),
            Err(denial) => Err(Refused {
                denial,
                topic: Some(content.topic),
            }),
        }
    }

    fn accept(&mut self, id: ConnectionId, connect: &Connect, accepted: Accepted, now: Now) {
        let Accepted {
            connected,
            session,
            will,
            name,
            rights,
            assigned,
            expiry,
        } = accepted;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.establish(connect, rights.limits(), connected.action().keep_alive);
        connection.client_id.clone_from(&name.client_id);
        let principal = Arc::clone(&connection.principal);

        // The connection that had the session goes first; its will is due if it is (MQTT-3.1.4-3).
        self.end_previous(&name, id, connect.clean_start, now);
        let is_changed = self
            .engine
            .find(&name)
            .and_then(|session| self.engine.session(session))
            .is_some_and(|session| session.principal.identity != principal.identity);
        let opened =
            self.engine
                .open_session(connected, session, &principal, id, connect.clean_start, expiry);
        debug_assert!(
            opened.displaced.is_none(),
            "the previous connection was detached above"
        );
        if opened.present && is_changed {
            // A new certificate may give the identity other attributes, and with them other rights.
            self.prune_subscriptions(opened.session, now);
        }
        if let Some((permit, content)) = will {
            let will = Will {
                content: detached(content),
                sender: principal,
                due: None,
            };
            self.engine.keep_will(permit, opened.session, will);
        }
        self.online.entry(name.identity.clone()).or_default().insert(id);
        let keep_alive = self
            .connections
            .get(id)
            .map_or(0, |connection| connection.keep_alive);
        let agreed = Agreed {
            name: &name,
            assigned,
            expiry,
            keep_alive,
            session_present: opened.present,
        };
        let answer = connack(connect, &rights, &agreed);
        // What the session was and is has to be as durable as the client thinks (law 7).
        let position = self.own_changes();
        if let Some(connection) = self.connections.get_mut(id) {
            connection.session = Some(opened.session);
        }
        if let Some(state) = self.engine.session_mut(opened.session) {
            state.outbound.hold_back(position);
        }
        self.reply_at(
            id,
            Reply::Packet(Box::new(Packet::ConnAck(Box::new(answer)))),
            position,
        );
        self.note_window(opened.session);
        self.engine.pull_shared(opened.session);
        self.arm(id, now);
        self.record(id, evidence::Kind::Connected, now);
    }

    fn refuse_connect(&mut self, id: ConnectionId, connect: &Connect, refused: &Refused, now: Now) {
        let Refused { denial, topic } = refused;
        if let Some(connection) = self.connections.get_mut(id) {
            connection.client_id = connect.client_id.to_string();
            // The refusal must not be larger than the client takes either (MQTT-3.2.2-19).
            if let Some(size) = connect.properties.maximum_packet_size {
                connection.terms.maximum_packet_size = usize::try_from(size.get()).unwrap_or(usize::MAX);
            }
        }
        self.record_denial(id, denial, topic.as_deref(), now);
        let answer = ConnAck {
            session_present: false,
            reason: denial.reason,
            properties: ConnAckProperties {
                reason_string: Some(ByteString::from_static(super::publish::public_text(denial.layer))),
                ..ConnAckProperties::default()
            },
        };
        self.close(id, Some(Packet::ConnAck(Box::new(answer))), now);
    }

    /// Live connections of the identity, without the one whose client id is being used again.
    fn live_besides(&self, identity: &str, client_id: &str) -> usize {
        self.online.get(identity).map_or(0, |ids| {
            ids.iter()
                .filter_map(|id| self.connections.get(*id))
                .filter(|connection| connection.client_id != client_id)
                .count()
        })
    }
}

impl Seed {
    /// 128 bits in hexadecimal.
    fn next_suffix(&mut self) -> String {
        self.counter += 1;
        let mut hasher = Sha256::new();
        hasher.update(self.secret);
        hasher.update(self.counter.to_be_bytes());
        hasher
            .finalize()
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Seconds that the session outlives the connection: what the client asks for, up to what its role has.
fn session_expiry(connect: &Connect, limits: &RoleLimits) -> u32 {
    let asked = match connect.protocol_version {
        // 3.1.1 has no expiry: a session that is not clean stays (MQTT-3.1.2-4).
        ProtocolVersion::V311 if connect.clean_start => 0,
        ProtocolVersion::V311 => u32::MAX,
        ProtocolVersion::V5 => connect.properties.session_expiry_interval.unwrap_or(0),
    };
    asked.min(limits.session_expiry)
}

/// What CONNACK tells beyond the limits of the role.
struct Agreed<'a> {
    name: &'a SessionName,
    assigned: bool,
    expiry: u32,
    keep_alive: u16,
    session_present: bool,
}

fn connack(connect: &Connect, rights: &Rights, agreed: &Agreed<'_>) -> ConnAck {
    let limits = rights.limits();
    let asked_expiry = connect.properties.session_expiry_interval.unwrap_or(0);
    let properties = ConnAckProperties {
        session_expiry_interval: (agreed.expiry != asked_expiry).then_some(agreed.expiry),
        receive_maximum: NonZeroU16::new(limits.inflight),
        maximum_packet_size: NonZeroU32::new(limits.packet),
        assigned_client_identifier: agreed
            .assigned
            .then(|| ByteString::from(agreed.name.client_id.as_str())),
        topic_alias_maximum: Some(limits.topic_aliases),
        wildcard_subscription_available: (!rights.allows_wildcards()).then_some(false),
        shared_subscription_available: (!rights.allows_sharing()).then_some(false),
        server_keep_alive: (agreed.keep_alive != connect.keep_alive).then_some(agreed.keep_alive),
        ..ConnAckProperties::default()
    };
    ConnAck {
        session_present: agreed.session_present,
        reason: ReasonCode::Success,
        properties,
    }
}

/// A will waits for as long as the connection lives: it must not keep the receive buffer alive.
fn detached(mut will: Box<LastWill>) -> Box<LastWill> {
    will.topic = ByteString::from(will.topic.to_string());
    will.payload = bytes::Bytes::copy_from_slice(&will.payload);
    will
}

fn denial(layer: Layer, rule: &'static str, reason: ReasonCode, detail: &str) -> Denial {
    Denial {
        layer,
        rule: rule.into(),
        reason,
        detail: detail.to_owned(),
    }
}
