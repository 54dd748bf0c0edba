//! What a peer may make the decoder hold.

/// Upper bounds of one received packet, a required argument of the decoder.
///
/// Every bound is checked on the *declared* size, before memory is reserved for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole packet, fixed header included.
    pub packet_size: u32,
    /// User properties of one packet (CVE-2021-41039: quadratic work over thousands of them).
    pub user_properties: u16,
    /// Bytes of one topic name or topic filter.
    pub topic_length: u16,
    /// Levels of one topic name or topic filter (CVE-2019-11779: stack overflow at 65,400 levels).
    pub topic_levels: u16,
    /// Filters of one SUBSCRIBE or UNSUBSCRIBE.
    pub filters_per_packet: u16,
}

impl Limits {
    /// Before authentication: bytes of a CONNECT. A client id, a user name, a will with a small
    /// payload and a few properties fit; a memory attack does not (CVE-2017-7651, CVE-2023-0809).
    pub const PRE_AUTHENTICATION_PACKET_SIZE: u32 = 16 * 1024;
    /// User properties of one packet. Real clients send a handful.
    pub const USER_PROPERTIES: u16 = 32;
    /// Bytes of a topic. The protocol allows 65,535; field topics stay below 256.
    pub const TOPIC_LENGTH: u16 = 1024;
    /// Levels of a topic. Bounds the depth of the subscription tree.
    pub const TOPIC_LEVELS: u16 = 32;
    /// Filters of one SUBSCRIBE or UNSUBSCRIBE. Larger sets go in several packets.
    pub const FILTERS_PER_PACKET: u16 = 64;

    /// What holds until CONNECT has been accepted.
    pub const PRE_AUTHENTICATION: Self = Self::with_packet_size(Self::PRE_AUTHENTICATION_PACKET_SIZE);

    /// The default bounds with another packet size, in bytes.
    #[must_use]
    pub const fn with_packet_size(packet_size: u32) -> Self {
        Self {
            packet_size,
            user_properties: Self::USER_PROPERTIES,
            topic_length: Self::TOPIC_LENGTH,
            topic_levels: Self::TOPIC_LEVELS,
            filters_per_packet: Self::FILTERS_PER_PACKET,
        }
    }
}
