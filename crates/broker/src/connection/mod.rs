//! The state of one network connection.
//!
//! The machine knows what may come next and nothing of rights: it turns packets into requests or into
//! the reason why the connection must end. The guard judges requests, the engine carries out permits.

mod aliases;
mod replies;

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use motte_guard::Principal;
use motte_mqtt::{Connect, Decoder, Limits, Packet, Publish, QoS, ReasonCode, Sender};
use motte_policy::RoleLimits;

pub(crate) use aliases::{InboundAliases, OutboundAliases};
pub(crate) use replies::{Acknowledgement, Replies, Reply};

use crate::names::{ConnectionId, SessionId};
use crate::settings::{BrokerSettings, keep_alive_grace};
use crate::store::Position;

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing but CONNECT may come (MQTT-3.1.0-1).
    ExpectConnect,
    /// CONNECT was accepted.
    Established,
    /// What still has to be said is written out, then the connection closes. Input is ignored.
    Closing,
}

/// The peer broke the protocol; the connection ends with this reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) reason: ReasonCode,
    pub(crate) rule: &'static str,
    pub(crate) detail: &'static str,
}

impl Violation {
    pub(crate) const fn new(reason: ReasonCode, rule: &'static str, detail: &'static str) -> Self {
        Self { reason, rule, detail }
    }
}

/// Which deadline of a connection comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deadline {
    Connect,
    Frame,
    KeepAlive,
    CertificateExpiry,
}

/// What the client said about itself in CONNECT; defaults are those of the standard.
#[derive(Clone, Debug)]
pub(crate) struct ClientTerms {
    pub(crate) receive_maximum: usize,
    pub(crate) maximum_packet_size: usize,
    pub(crate) wants_problem_information: bool,
    /// Session expiry of CONNECT was zero, so that DISCONNECT must not set one (MQTT-3.14.2-2).
    pub(crate) session_ends_with_connection: bool,
}

impl Default for ClientTerms {
    fn default() -> Self {
        Self {
            receive_maximum: usize::from(u16::MAX),
            maximum_packet_size: usize::MAX,
            wants_problem_information: true,
            session_ends_with_connection: true,
        }
    }
}

/// One network connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) peer: SocketAddr,
    pub(crate) principal: Arc<Principal>,
    pub(crate) stage: Stage,
    pub(crate) decoder: Decoder,
    pub(crate) limits: RoleLimits,
    pub(crate) client_id: String,
    pub(crate) session: Option<SessionId>,
    pub(crate) terms: ClientTerms,
    pub(crate) replies: Replies,
    pub(crate) inbound_aliases: InboundAliases,
    pub(crate) outbound_aliases: OutboundAliases,
    /// QoS 1 and 2 messages of the client whose acknowledgement has not been written.
    pub(crate) unacknowledged: usize,
    /// Seconds; 0 means none. What the server uses, not what the client asked for.
    pub(crate) keep_alive: u16,
    accepted_at: Duration,
    last_packet_at: Duration,
    /// When the first byte of a packet that is not whole yet came in.
    frame_began_at: Option<Duration>,
    /// The earliest timer that is set for the connection.
    pub(crate) armed_at: Option<Duration>,
    /// Whether the connection is in the list of those that the shell has to visit.
    pub(crate) is_woken: bool,
}

impl Connection {
    pub(crate) fn new(
        id: ConnectionId,
        peer: SocketAddr,
        principal: Arc<Principal>,
        accepted_at: Duration,
        now: Duration,
    ) -> Self {
        Self {
            id,
            peer,
            principal,
            stage: Stage::ExpectConnect,
            decoder: Decoder::new(Sender::Client, Limits::PRE_AUTHENTICATION),
            limits: RoleLimits::DEVICE,
            client_id: String::new(),
            session: None,
            terms: ClientTerms::default(),
            replies: Replies::default(),
            inbound_aliases: InboundAliases::default(),
            outbound_aliases: OutboundAliases::default(),
            unacknowledged: 0,
            keep_alive: 0,
            accepted_at,
            last_packet_at: now,
            frame_began_at: None,
            armed_at: None,
            is_woken: false,
        }
    }

    /// Whether this packet may come now, whatever is in it.
    pub(crate) fn expect(&self, packet: &Packet) -> Result<(), Violation> {
        match (self.stage, packet) {
            (Stage::ExpectConnect, Packet::Connect(_)) => Ok(()),
            (Stage::ExpectConnect, _) => Err(Violation::new(
                ReasonCode::ProtocolError,
                "MQTT-3.1.0-1",
                "the first packet is not CONNECT",
            )),
            (Stage::Established, Packet::Connect(_)) => Err(Violation::new(
                ReasonCode::ProtocolError,
                "MQTT-3.1.0-2",
                "a second CONNECT",
            )),
            (Stage::Established, Packet::Auth(_)) => Err(Violation::new(
                ReasonCode::ProtocolError,
                "MQTT-4.12.0-6",
                "AUTH without an authentication method in CONNECT",
            )),
            _ => Ok(()),
        }
    }

    /// CONNECT was accepted: what the client and its role agreed on holds from here.
    pub(crate) fn establish(&mut self, connect: &Connect, limits: &RoleLimits, keep_alive: u16) {
        self.stage = Stage::Established;
        self.limits = limits.clone();
        self.decoder.set_limits(Limits::with_packet_size(limits.packet));
        self.keep_alive = keep_alive;
        let properties = &connect.properties;
        self.terms = ClientTerms {
            receive_maximum: usize::from(properties.receive_maximum.map_or(u16::MAX, NonZeroU16::get)),
            maximum_packet_size: properties
                .maximum_packet_size
                .map_or(usize::MAX, |size| size.get() as usize),
            wants_problem_information: properties.request_problem_information.unwrap_or(true),
            session_ends_with_connection: properties.session_expiry_interval.unwrap_or(0) == 0,
        };
        self.inbound_aliases = InboundAliases::new(limits.topic_aliases);
        let offered = properties.topic_alias_maximum.unwrap_or(0);
        self.outbound_aliases = OutboundAliases::new(offered.min(limits.topic_aliases));
    }

    /// Puts the topic behind an alias into its place.
    pub(crate) fn resolve_alias(&mut self, publish: &mut Publish) -> Result<(), Violation> {
        if let Some(alias) = publish.properties.topic_alias {
            publish.topic = self.inbound_aliases.resolve(alias, &publish.topic)?;
        }
        Ok(())
    }

    /// Counts a QoS 1 or 2 message of the client against our Receive Maximum. `held` are the QoS 2
    /// messages of its session that wait for PUBREL: they outlive connections, and would add up over
    /// many of them if each began to count from zero.
    pub(crate) fn count_publish(&mut self, publish: &Publish, held: usize) -> Result<(), Violation> {
        if publish.packet_id.is_some() {
            let waiting = if publish.qos == QoS::ExactlyOnce { held } else { 0 };
            if self.unacknowledged.max(waiting) >= usize::from(self.limits.inflight) {
                return Err(Violation::new(
                    ReasonCode::ReceiveMaximumExceeded,
                    "MQTT-3.3.4-9",
                    "more unacknowledged messages than Receive Maximum",
                ));
            }
            self.unacknowledged += 1;
        }
        Ok(())
    }

    /// Bytes came in: so many whole packets and, where `partial` says so, the beginning of another.
    /// Returns whether that beginning is new, so that its deadline starts now.
    pub(crate) fn note_input(&mut self, packets: usize, partial: bool, now: Duration) -> bool {
        if packets > 0 {
            self.last_packet_at = now;
            self.frame_began_at = None;
        }
        let begins = partial && self.frame_began_at.is_none();
        if begins {
            self.frame_began_at = Some(now);
        }
        begins
    }

    /// The next moment at which this connection has to be looked at, and why.
    pub(crate) fn deadline(
        &self,
        settings: &BrokerSettings,
        unix_offset: Duration,
    ) -> Option<(Duration, Deadline)> {
        let connect = (self.stage == Stage::ExpectConnect)
            .then(|| (self.accepted_at + settings.connect_deadline, Deadline::Connect));
        let frame = self
            .frame_began_at
            .map(|began| (began + settings.frame_deadline, Deadline::Frame));
        let keep_alive = (self.stage == Stage::Established && self.keep_alive > 0).then(|| {
            (
                self.last_packet_at + keep_alive_grace(self.keep_alive),
                Deadline::KeepAlive,
            )
        });
        // Good through the whole of its last second, as the guard sees it.
        let end = Duration::from_secs(self.principal.not_after.saturating_add(1));
        let expiry = end.saturating_sub(unix_offset);
        [
            connect,
            frame,
            keep_alive,
            Some((expiry, Deadline::CertificateExpiry)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Text that a 5.0 client may see about a refusal, if it wants any.
    pub(crate) fn problem_text(&self, text: &'static str) -> Option<ByteString> {
        self.terms
            .wants_problem_information
            .then(|| ByteString::from_static(text))
    }

    /// Says something and lets nothing more in.
    pub(crate) fn close_with(&mut self, last: Option<Packet>, durable: Position) {
        self.stage = Stage::Closing;
        self.replies.finish(last, durable);
    }
}
