//! What a role lets one identity use (layer 6).

use crate::identity::Kind;

/// Upper bounds of one identity. Every bound holds per identity, over all its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleLimits {
    /// PUBLISH packets per second, averaged over the burst.
    pub messages_per_second: u32,
    /// PUBLISH packets at once.
    pub message_burst: u32,
    /// Payload bytes per second, averaged over the burst.
    pub bytes_per_second: u64,
    /// Payload bytes at once.
    pub byte_burst: u64,
    /// Bytes of one payload.
    pub payload: u32,
    /// Bytes of one whole packet (Maximum Packet Size).
    pub packet: u32,
    /// QoS 1 and 2 messages in flight towards the broker (Receive Maximum).
    pub inflight: u16,
    /// Messages kept while the reader is away or slow.
    pub queue_messages: u32,
    /// Payload bytes kept while the reader is away or slow.
    pub queue_bytes: u64,
    /// Subscriptions of one session.
    pub subscriptions: u32,
    /// Retained messages the identity may own.
    pub retained_messages: u32,
    /// Payload bytes of the retained messages it may own.
    pub retained_bytes: u64,
    /// Seconds a session outlives its connection (Session Expiry Interval).
    pub session_expiry: u32,
    /// Connections at the same time.
    pub connections: u16,
    /// Seconds of keep alive, at most (Server Keep Alive).
    pub keep_alive: u16,
    /// Topic aliases a client may set (Topic Alias Maximum).
    pub topic_aliases: u16,
    /// Sessions at the same time, connected or not.
    pub sessions: u16,
    /// Seconds a message may wait for a reader, at most (Message Expiry Interval).
    pub message_expiry: u32,
}

/// Bytes of the largest packet MQTT can express: a five-byte fixed header and 268,435,455 more.
pub const PACKET_MAXIMUM: u32 = 268_435_460;

/// Bytes a packet may have besides its payload where a role sets the payload alone: fixed header,
/// a topic of 1,024 bytes and some properties.
pub const PACKET_OVERHEAD: u32 = 4096;

impl RoleLimits {
    /// What a device gets where its role says nothing: a sensor or actuator that reports every
    /// few seconds, sleeps at night and is asked for little. A stolen key gets no more than that.
    pub const DEVICE: Self = Self {
        // Ten a second is brisk telemetry; fifty at once covers what a reconnect flushes.
        messages_per_second: 10,
        message_burst: 50,
        // Ten messages of 6 KiB; the burst holds several payloads of the largest size.
        bytes_per_second: 64 * 1024,
        byte_burst: 256 * 1024,
        // Telemetry is tens to hundreds of bytes; a small certificate or image part fits.
        payload: 16 * 1024,
        packet: 16 * 1024 + PACKET_OVERHEAD,
        // What common client libraries use by default.
        inflight: 20,
        // A day of commands; with queue_bytes the most a sleeping device costs.
        queue_messages: 1000,
        queue_bytes: 1024 * 1024,
        subscriptions: 10,
        // State topics, a handful per device.
        retained_messages: 10,
        retained_bytes: 64 * 1024,
        // A device that is off over night keeps its queue.
        session_expiry: 24 * 60 * 60,
        // A second connection with the same certificate is a clone until the role says otherwise.
        connections: 1,
        // A dead peer is noticed within 7.5 minutes.
        keep_alive: 5 * 60,
        topic_aliases: 16,
        sessions: 1,
        // As long as its session lives.
        message_expiry: 24 * 60 * 60,
    };

    /// What a service gets where its role says nothing: a program on a server that reads the
    /// telemetry of a site and commands it.
    pub const SERVICE: Self = Self {
        // Commands to a site of thousands, without being able to saturate a core.
        messages_per_second: 1000,
        message_burst: 5000,
        bytes_per_second: 8 * 1024 * 1024,
        byte_burst: 16 * 1024 * 1024,
        // Configuration documents and firmware parts.
        payload: 256 * 1024,
        packet: 256 * 1024 + PACKET_OVERHEAD,
        inflight: 100,
        // Some minutes of a busy site.
        queue_messages: 10_000,
        queue_bytes: 64 * 1024 * 1024,
        subscriptions: 100,
        retained_messages: 1000,
        retained_bytes: 4 * 1024 * 1024,
        session_expiry: 24 * 60 * 60,
        // A few replicas or worker processes.
        connections: 4,
        keep_alive: 5 * 60,
        topic_aliases: 64,
        sessions: 4,
        message_expiry: 24 * 60 * 60,
    };

    /// The defaults of a kind of identity.
    #[must_use]
    pub const fn of(kind: Kind) -> &'static Self {
        match kind {
            Kind::Device => &Self::DEVICE,
            Kind::Service => &Self::SERVICE,
        }
    }

    /// Every bound with its name in the snapshot.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, u64); 18] {
        [
            ("messages_per_second", self.messages_per_second.into()),
            ("message_burst", self.message_burst.into()),
            ("bytes_per_second", self.bytes_per_second),
            ("byte_burst", self.byte_burst),
            ("payload", self.payload.into()),
            ("packet", self.packet.into()),
            ("inflight", self.inflight.into()),
            ("queue_messages", self.queue_messages.into()),
            ("queue_bytes", self.queue_bytes),
            ("subscriptions", self.subscriptions.into()),
            ("retained_messages", self.retained_messages.into()),
            ("retained_bytes", self.retained_bytes),
            ("session_expiry", self.session_expiry.into()),
            ("connections", self.connections.into()),
            ("keep_alive", self.keep_alive.into()),
            ("topic_aliases", self.topic_aliases.into()),
            ("sessions", self.sessions.into()),
            ("message_expiry", self.message_expiry.into()),
        ]
    }

    /// The strictest of each bound: what holds where several roles match.
    #[must_use]
    pub fn strictest(&self, other: &Self) -> Self {
        Self {
            messages_per_second: self.messages_per_second.min(other.messages_per_second),
            message_burst: self.message_burst.min(other.message_burst),
            bytes_per_second: self.bytes_per_second.min(other.bytes_per_second),
            byte_burst: self.byte_burst.min(other.byte_burst),
            payload: self.payload.min(other.payload),
            packet: self.packet.min(other.packet),
            inflight: self.inflight.min(other.inflight),
            queue_messages: self.queue_messages.min(other.queue_messages),
            queue_bytes: self.queue_bytes.min(other.queue_bytes),
            subscriptions: self.subscriptions.min(other.subscriptions),
            retained_messages: self.retained_messages.min(other.retained_messages),
            retained_bytes: self.retained_bytes.min(other.retained_bytes),
            session_expiry: self.session_expiry.min(other.session_expiry),
            connections: self.connections.min(other.connections),
            keep_alive: self.keep_alive.min(other.keep_alive),
            topic_aliases: self.topic_aliases.min(other.topic_aliases),
            sessions: self.sessions.min(other.sessions),
            message_expiry: self.message_expiry.min(other.message_expiry),
        }
    }
}
