//! Which reason codes may stand in which packet (5.0, table 2-6 and the tables of chapter 3), and
//! the return codes of 3.1.1.

use crate::ReasonCode;

impl ReasonCode {
    /// Whether a 5.0 CONNACK may carry it (table 3-1).
    #[must_use]
    pub const fn is_legal_in_connack(&self) -> bool {
        matches!(
            self,
            Self::Success
                | Self::Unspecified
                | Self::MalformedPacket
                | Self::ProtocolError
                | Self::ImplementationSpecific
                | Self::UnsupportedProtocolVersion
                | Self::ClientIdentifierNotValid
                | Self::BadUserNameOrPassword
                | Self::NotAuthorized
                | Self::ServerUnavailable
                | Self::ServerBusy
                | Self::Banned
                | Self::BadAuthenticationMethod
                | Self::TopicNameInvalid
                | Self::PacketTooLarge
                | Self::QuotaExceeded
                | Self::PayloadFormatInvalid
                | Self::RetainNotSupported
                | Self::QoSNotSupported
                | Self::UseAnotherServer
                | Self::ServerMoved
                | Self::ConnectionRateExceeded
        )
    }

    /// Whether a 5.0 PUBACK or PUBREC may carry it (sections 3.4.2.1 and 3.5.2.1).
    #[must_use]
    pub const fn is_legal_in_puback(&self) -> bool {
        matches!(
            self,
            Self::Success
                | Self::NoMatchingSubscribers
                | Self::Unspecified
                | Self::ImplementationSpecific
                | Self::NotAuthorized
                | Self::TopicNameInvalid
                | Self::PacketIdentifierInUse
                | Self::QuotaExceeded
                | Self::PayloadFormatInvalid
        )
    }

    /// Whether a 5.0 PUBREL or PUBCOMP may carry it (sections 3.6.2.1 and 3.7.2.1).
    #[must_use]
    pub const fn is_legal_in_pubrel(&self) -> bool {
        matches!(self, Self::Success | Self::PacketIdentifierNotFound)
    }

    /// Whether a 5.0 SUBACK may carry it (section 3.9.3).
    #[must_use]
    pub const fn is_legal_in_suback(&self) -> bool {
        matches!(
            self,
            Self::Success
                | Self::GrantedQoS1
                | Self::GrantedQoS2
                | Self::Unspecified
                | Self::ImplementationSpecific
                | Self::NotAuthorized
                | Self::TopicFilterInvalid
                | Self::PacketIdentifierInUse
                | Self::QuotaExceeded
                | Self::SharedSubscriptionsNotSupported
                | Self::SubscriptionIdentifiersNotSupported
                | Self::WildcardSubscriptionsNotSupported
        )
    }

    /// Whether it is, byte for byte, a return code of a 3.1.1 SUBACK (section 3.9.3).
    #[must_use]
    pub const fn is_suback_return_code(&self) -> bool {
        matches!(
            self,
            Self::Success | Self::GrantedQoS1 | Self::GrantedQoS2 | Self::Unspecified
        )
    }

    /// Whether a 5.0 UNSUBACK may carry it (section 3.11.3).
    #[must_use]
    pub const fn is_legal_in_unsuback(&self) -> bool {
        matches!(
            self,
            Self::Success
                | Self::NoSubscriptionExisted
                | Self::Unspecified
                | Self::ImplementationSpecific
                | Self::NotAuthorized
                | Self::TopicFilterInvalid
                | Self::PacketIdentifierInUse
        )
    }

    /// Whether a 5.0 DISCONNECT of a client, or else of a server, may carry it (section 3.14.2.1;
    /// 0x8C stands in table 2-6 only).
    #[must_use]
    pub const fn is_legal_in_disconnect(&self, by_client: bool) -> bool {
        match self {
            Self::DisconnectWithWill => by_client,
            Self::Success
            | Self::Unspecified
            | Self::MalformedPacket
            | Self::ProtocolError
            | Self::ImplementationSpecific
            | Self::TopicNameInvalid
            | Self::ReceiveMaximumExceeded
            | Self::TopicAliasInvalid
            | Self::PacketTooLarge
            | Self::MessageRateTooHigh
            | Self::QuotaExceeded
            | Self::AdministrativeAction
            | Self::PayloadFormatInvalid => true,
            Self::NotAuthorized
            | Self::ServerBusy
            | Self::ServerShuttingDown
            | Self::BadAuthenticationMethod
            | Self::KeepAliveTimeout
            | Self::SessionTakenOver
            | Self::TopicFilterInvalid
            | Self::RetainNotSupported
            | Self::QoSNotSupported
            | Self::UseAnotherServer
            | Self::ServerMoved
            | Self::SharedSubscriptionsNotSupported
            | Self::ConnectionRateExceeded
            | Self::MaximumConnectTime
            | Self::SubscriptionIdentifiersNotSupported
            | Self::WildcardSubscriptionsNotSupported => !by_client,
            _ => false,
        }
    }

    /// Whether an AUTH of a client, or else of a server, may carry it (section 3.15.2.1).
    #[must_use]
    pub const fn is_legal_in_auth(&self, by_client: bool) -> bool {
        match self {
            Self::ContinueAuthentication => true,
            Self::ReAuthenticate => by_client,
            Self::Success => !by_client,
            _ => false,
        }
    }

    /// The reason that a 3.1.1 connect return code stands for (table 3.1).
    #[must_use]
    pub const fn from_connect_return_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Success),
            1 => Some(Self::UnsupportedProtocolVersion),
            2 => Some(Self::ClientIdentifierNotValid),
            3 => Some(Self::ServerUnavailable),
            4 => Some(Self::BadUserNameOrPassword),
            5 => Some(Self::NotAuthorized),
            _ => None,
        }
    }
}
