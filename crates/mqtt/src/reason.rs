//! Reason codes of MQTT 5.0 (section 2.4), used inside for both versions.

/// Why something succeeded or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ReasonCode {
    /// Success; also Normal Disconnection and Granted QoS 0.
    Success = 0x00,
    /// The subscription is accepted at QoS 1.
    GrantedQoS1 = 0x01,
    /// The subscription is accepted at QoS 2.
    GrantedQoS2 = 0x02,
    /// The client wants its will published.
    DisconnectWithWill = 0x04,
    /// Accepted, nobody is subscribed.
    NoMatchingSubscribers = 0x10,
    /// There was no such subscription.
    NoSubscriptionExisted = 0x11,
    /// The exchange goes on.
    ContinueAuthentication = 0x18,
    /// The client starts a re-authentication.
    ReAuthenticate = 0x19,
    /// Refused without a reason.
    Unspecified = 0x80,
    /// The bytes break the format.
    MalformedPacket = 0x81,
    /// The packet breaks the protocol.
    ProtocolError = 0x82,
    /// Valid, but this server does not take it.
    ImplementationSpecific = 0x83,
    /// The server does not speak that version.
    UnsupportedProtocolVersion = 0x84,
    /// The client id is not allowed.
    ClientIdentifierNotValid = 0x85,
    /// The credentials are not accepted.
    BadUserNameOrPassword = 0x86,
    /// The identity has no right to this.
    NotAuthorized = 0x87,
    /// The server cannot serve now.
    ServerUnavailable = 0x88,
    /// The server is busy; try later.
    ServerBusy = 0x89,
    /// The peer is banned.
    Banned = 0x8A,
    /// The server stops.
    ServerShuttingDown = 0x8B,
    /// The authentication method is not supported or changed.
    BadAuthenticationMethod = 0x8C,
    /// Nothing came for one and a half keep alive intervals.
    KeepAliveTimeout = 0x8D,
    /// Another connection took the session.
    SessionTakenOver = 0x8E,
    /// The filter is well formed but not accepted.
    TopicFilterInvalid = 0x8F,
    /// The topic is well formed but not accepted.
    TopicNameInvalid = 0x90,
    /// The identifier is in use.
    PacketIdentifierInUse = 0x91,
    /// The identifier is not known.
    PacketIdentifierNotFound = 0x92,
    /// More messages in flight than the receiver takes.
    ReceiveMaximumExceeded = 0x93,
    /// The alias is zero, too high or unknown.
    TopicAliasInvalid = 0x94,
    /// The packet is larger than the receiver takes.
    PacketTooLarge = 0x95,
    /// Messages come too fast.
    MessageRateTooHigh = 0x96,
    /// A limit of the identity is reached.
    QuotaExceeded = 0x97,
    /// An operator ended it.
    AdministrativeAction = 0x98,
    /// The payload is not what its format says.
    PayloadFormatInvalid = 0x99,
    /// Retained messages are not supported.
    RetainNotSupported = 0x9A,
    /// The QoS is not supported.
    QoSNotSupported = 0x9B,
    /// Use another server for now.
    UseAnotherServer = 0x9C,
    /// Use another server from now on.
    ServerMoved = 0x9D,
    /// Shared subscriptions are not supported.
    SharedSubscriptionsNotSupported = 0x9E,
    /// Connections come too fast.
    ConnectionRateExceeded = 0x9F,
    /// The longest connection time is over.
    MaximumConnectTime = 0xA0,
    /// Subscription identifiers are not supported.
    SubscriptionIdentifiersNotSupported = 0xA1,
    /// Wildcard subscriptions are not supported.
    WildcardSubscriptionsNotSupported = 0xA2,
}

impl ReasonCode {
    /// The code for a byte from the wire, if the standard knows it.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x00 => Self::Success,
            0x01 => Self::GrantedQoS1,
            0x02 => Self::GrantedQoS2,
            0x04 => Self::DisconnectWithWill,
            0x10 => Self::NoMatchingSubscribers,
            0x11 => Self::NoSubscriptionExisted,
            0x18 => Self::ContinueAuthentication,
            0x19 => Self::ReAuthenticate,
            0x80 => Self::Unspecified,
            0x81 => Self::MalformedPacket,
            0x82 => Self::ProtocolError,
            0x83 => Self::ImplementationSpecific,
            0x84 => Self::UnsupportedProtocolVersion,
            0x85 => Self::ClientIdentifierNotValid,
            0x86 => Self::BadUserNameOrPassword,
            0x87 => Self::NotAuthorized,
            0x88 => Self::ServerUnavailable,
            0x89 => Self::ServerBusy,
            0x8A => Self::Banned,
            0x8B => Self::ServerShuttingDown,
            0x8C => Self::BadAuthenticationMethod,
            0x8D => Self::KeepAliveTimeout,
            0x8E => Self::SessionTakenOver,
            0x8F => Self::TopicFilterInvalid,
            0x90 => Self::TopicNameInvalid,
            0x91 => Self::PacketIdentifierInUse,
            0x92 => Self::PacketIdentifierNotFound,
            0x93 => Self::ReceiveMaximumExceeded,
            0x94 => Self::TopicAliasInvalid,
            0x95 => Self::PacketTooLarge,
            0x96 => Self::MessageRateTooHigh,
            0x97 => Self::QuotaExceeded,
            0x98 => Self::AdministrativeAction,
            0x99 => Self::PayloadFormatInvalid,
            0x9A => Self::RetainNotSupported,
            0x9B => Self::QoSNotSupported,
            0x9C => Self::UseAnotherServer,
            0x9D => Self::ServerMoved,
            0x9E => Self::SharedSubscriptionsNotSupported,
            0x9F => Self::ConnectionRateExceeded,
            0xA0 => Self::MaximumConnectTime,
            0xA1 => Self::SubscriptionIdentifiersNotSupported,
            0xA2 => Self::WildcardSubscriptionsNotSupported,
            _ => return None,
        })
    }

    /// The byte on a 5.0 wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// Whether the code says that something failed (0x80 and above).
    #[must_use]
    pub const fn is_failure(self) -> bool {
        self.byte() >= 0x80
    }

    /// The return code of a 3.1.1 CONNACK (table 3.1): 0 to 5.
    #[must_use]
    pub const fn connect_return_code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::UnsupportedProtocolVersion => 1,
            Self::ClientIdentifierNotValid => 2,
            Self::ServerUnavailable
            | Self::ServerBusy
            | Self::ServerShuttingDown
            | Self::QuotaExceeded
            | Self::ConnectionRateExceeded => 3,
            Self::BadUserNameOrPassword => 4,
            _ => 5,
        }
    }
}
