//! The properties of MQTT 5.0 (table 2-4): which there are, and where each may stand.

/// Declares the identifiers with their bytes, so that the two directions can not disagree.
macro_rules! identifiers {
    ($($name:ident = $byte:literal),+ $(,)?) => {
        /// What a property is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        // The names are those of the standard.
        #[allow(clippy::enum_variant_names)]
        pub(crate) enum Identifier {
            $($name = $byte),+
        }

        impl Identifier {
            /// The property for a number from the wire, if the standard knows it.
            pub(crate) const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($byte => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

identifiers! {
    PayloadFormatIndicator = 0x01,
    MessageExpiryInterval = 0x02,
    ContentType = 0x03,
    ResponseTopic = 0x08,
    CorrelationData = 0x09,
    SubscriptionIdentifier = 0x0B,
    SessionExpiryInterval = 0x11,
    AssignedClientIdentifier = 0x12,
    ServerKeepAlive = 0x13,
    AuthenticationMethod = 0x15,
    AuthenticationData = 0x16,
    RequestProblemInformation = 0x17,
    WillDelayInterval = 0x18,
    RequestResponseInformation = 0x19,
    ResponseInformation = 0x1A,
    ServerReference = 0x1C,
    ReasonString = 0x1F,
    ReceiveMaximum = 0x21,
    TopicAliasMaximum = 0x22,
    TopicAlias = 0x23,
    MaximumQoS = 0x24,
    RetainAvailable = 0x25,
    UserProperty = 0x26,
    MaximumPacketSize = 0x27,
    WildcardSubscriptionAvailable = 0x28,
    SubscriptionIdentifiersAvailable = 0x29,
    SharedSubscriptionAvailable = 0x2A,
}

impl Identifier {
    /// The byte on the wire; a variable byte integer that never needs a second byte.
    pub(crate) const fn byte(self) -> u8 {
        self as u8
    }
}

/// What carries a block of properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Connect,
    Will,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    Disconnect,
    Auth,
}

impl Holder {
    /// Every property that may stand here, with the section of the standard that rules it.
    const fn rows(self) -> &'static [(Identifier, &'static str)] {
        use Identifier::*;
        match self {
            Self::Connect => &[
                (SessionExpiryInterval, "section 3.1.2.11.2"),
                (ReceiveMaximum, "section 3.1.2.11.3"),
                (MaximumPacketSize, "section 3.1.2.11.4"),
                (TopicAliasMaximum, "section 3.1.2.11.5"),
                (RequestResponseInformation, "section 3.1.2.11.6"),
                (RequestProblemInformation, "section 3.1.2.11.7"),
                (UserProperty, "section 3.1.2.11.8"),
                (AuthenticationMethod, "section 3.1.2.11.9"),
                (AuthenticationData, "section 3.1.2.11.10"),
            ],
            Self::Will => &[
                (WillDelayInterval, "section 3.1.3.2.2"),
                (PayloadFormatIndicator, "section 3.1.3.2.3"),
                (MessageExpiryInterval, "section 3.1.3.2.4"),
                (ContentType, "section 3.1.3.2.5"),
                (ResponseTopic, "section 3.1.3.2.6"),
                (CorrelationData, "section 3.1.3.2.7"),
                (UserProperty, "section 3.1.3.2.8"),
            ],
            Self::ConnAck => &[
                (SessionExpiryInterval, "section 3.2.2.3.2"),
                (ReceiveMaximum, "section 3.2.2.3.3"),
                (MaximumQoS, "section 3.2.2.3.4"),
                (RetainAvailable, "section 3.2.2.3.5"),
                (MaximumPacketSize, "section 3.2.2.3.6"),
                (AssignedClientIdentifier, "section 3.2.2.3.7"),
                (TopicAliasMaximum, "section 3.2.2.3.8"),
                (ReasonString, "section 3.2.2.3.9"),
                (UserProperty, "section 3.2.2.3.10"),
                (WildcardSubscriptionAvailable, "section 3.2.2.3.11"),
                (SubscriptionIdentifiersAvailable, "section 3.2.2.3.12"),
                (SharedSubscriptionAvailable, "section 3.2.2.3.13"),
                (ServerKeepAlive, "section 3.2.2.3.14"),
                (ResponseInformation, "section 3.2.2.3.15"),
                (ServerReference, "section 3.2.2.3.16"),
                (AuthenticationMethod, "section 3.2.2.3.17"),
                (AuthenticationData, "section 3.2.2.3.18"),
            ],
            Self::Publish => &[
                (PayloadFormatIndicator, "section 3.3.2.3.2"),
                (MessageExpiryInterval, "section 3.3.2.3.3"),
                (TopicAlias, "section 3.3.2.3.4"),
                (ResponseTopic, "section 3.3.2.3.5"),
                (CorrelationData, "section 3.3.2.3.6"),
                (UserProperty, "section 3.3.2.3.7"),
                (SubscriptionIdentifier, "section 3.3.2.3.8"),
                (ContentType, "section 3.3.2.3.9"),
            ],
            Self::PubAck => &[
                (ReasonString, "section 3.4.2.2.2"),
                (UserProperty, "section 3.4.2.2.3"),
            ],
            Self::PubRec => &[
                (ReasonString, "section 3.5.2.2.2"),
                (UserProperty, "section 3.5.2.2.3"),
            ],
            Self::PubRel => &[
                (ReasonString, "section 3.6.2.2.2"),
                (UserProperty, "section 3.6.2.2.3"),
            ],
            Self::PubComp => &[
                (ReasonString, "section 3.7.2.2.2"),
                (UserProperty, "section 3.7.2.2.3"),
            ],
            Self::Subscribe => &[
                (SubscriptionIdentifier, "section 3.8.2.1.2"),
                (UserProperty, "section 3.8.2.1.3"),
            ],
            Self::SubAck => &[
                (ReasonString, "section 3.9.2.1.2"),
                (UserProperty, "section 3.9.2.1.3"),
            ],
            Self::Unsubscribe => &[(UserProperty, "section 3.10.2.1.2")],
            Self::UnsubAck => &[
                (ReasonString, "section 3.11.2.1.2"),
                (UserProperty, "section 3.11.2.1.3"),
            ],
            Self::Disconnect => &[
                (SessionExpiryInterval, "section 3.14.2.2.2"),
                (ReasonString, "section 3.14.2.2.3"),
                (UserProperty, "section 3.14.2.2.4"),
                (ServerReference, "section 3.14.2.2.5"),
            ],
            Self::Auth => &[
                (AuthenticationMethod, "section 3.15.2.2.2"),
                (AuthenticationData, "section 3.15.2.2.3"),
                (ReasonString, "section 3.15.2.2.4"),
                (UserProperty, "section 3.15.2.2.5"),
            ],
        }
    }

    /// The section that rules this property here; `None` where it may not stand.
    pub(crate) fn section(self, identifier: Identifier) -> Option<&'static str> {
        self.rows()
            .iter()
            .find(|row| row.0 == identifier)
            .map(|row| row.1)
    }

    /// Whether the property may stand here more than once.
    pub(crate) const fn may_repeat(self, identifier: Identifier) -> bool {
        matches!(
            (self, identifier),
            (_, Identifier::UserProperty) | (Self::Publish, Identifier::SubscriptionIdentifier)
        )
    }
}
