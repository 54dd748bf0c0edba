//! The catalogue of rules that a packet can break: one row for each, with its statement in both
//! standards.

use crate::{DecodeError, ProtocolVersion, ReasonCode};

/// One rule: what the two standards call it, and what a peer is told that breaks it.
#[derive(Debug)]
pub(crate) struct Rule {
    reason: ReasonCode,
    v311: &'static str,
    v5: &'static str,
    detail: &'static str,
}

impl Rule {
    const fn malformed(v311: &'static str, v5: &'static str, detail: &'static str) -> Self {
        Self {
            reason: ReasonCode::MalformedPacket,
            v311,
            v5,
            detail,
        }
    }

    const fn protocol(v311: &'static str, v5: &'static str, detail: &'static str) -> Self {
        Self {
            reason: ReasonCode::ProtocolError,
            v311,
            v5,
            detail,
        }
    }

    const fn new(reason: ReasonCode, name: &'static str, detail: &'static str) -> Self {
        Self {
            reason,
            v311: name,
            v5: name,
            detail,
        }
    }

    /// The error that says, in the numbers of `version`, that this rule was broken.
    #[cold]
    pub(crate) const fn broken(&self, version: ProtocolVersion) -> DecodeError {
        let rule = match version {
            ProtocolVersion::V311 => self.v311,
            ProtocolVersion::V5 => self.v5,
        };
        DecodeError {
            reason: self.reason,
            rule,
            detail: self.detail,
        }
    }

    /// What the error says that this rule makes; different for each rule.
    #[cfg(test)]
    pub(crate) const fn detail(&self) -> &'static str {
        self.detail
    }

    /// Like [`Self::broken`], for a rule that each property states in a section of its own.
    #[cold]
    pub(crate) const fn broken_in(&self, section: &'static str) -> DecodeError {
        DecodeError {
            reason: self.reason,
            rule: section,
            detail: self.detail,
        }
    }
}

/// Declares the rules as constants, so that the catalogue reads as a table. The tests also get
/// each chapter as a list, to see that no rule is without a test.
macro_rules! rules {
    ($chapter:ident: $($name:ident = $kind:ident($($argument:expr),+ $(,)?);)+) => {
        $(pub(crate) const $name: Rule = Rule::$kind($($argument),+);)+

        #[cfg(test)]
        pub(crate) const $chapter: &[&Rule] = &[$(&$name),+];
    };
}

// Fixed header.
rules! {
    FIXED_HEADER:

    TYPE_FORBIDDEN = malformed("section 2.2.1", "section 2.1.2", "packet type 0 is reserved");
    TYPE_RESERVED = malformed("section 2.2.1", "section 2.1.2", "packet type 15 is reserved before version 5.0");
    TYPE_NOT_FROM_CLIENT = protocol("section 2.2.1", "section 2.1.2", "only a server sends this packet type");
    TYPE_NOT_FROM_SERVER = protocol("section 2.2.1", "section 2.1.2", "only a client sends this packet type");
    FIRST_PACKET_NOT_CONNECT = protocol("MQTT-3.1.0-1", "MQTT-3.1.0-1", "the first packet of a client is not a CONNECT");
    PACKET_BEFORE_CONNECT = protocol("MQTT-3.2.0-1", "MQTT-3.2.0-1", "the server sent a packet before it was asked to connect");
    FLAGS = malformed("MQTT-2.2.2-2", "MQTT-2.1.3-1", "reserved flags of the fixed header do not have their fixed values");
    FLAGS_PUBREL = malformed("MQTT-3.6.1-1", "MQTT-3.6.1-1", "flags of PUBREL are not 0010");
    FLAGS_SUBSCRIBE = malformed("MQTT-3.8.1-1", "MQTT-3.8.1-1", "flags of SUBSCRIBE are not 0010");
    FLAGS_UNSUBSCRIBE = malformed("MQTT-3.10.1-1", "MQTT-3.10.1-1", "flags of UNSUBSCRIBE are not 0010");
    FLAGS_DISCONNECT = malformed("MQTT-3.14.1-1", "MQTT-3.14.1-1", "flags of DISCONNECT are not 0000");
    FLAGS_AUTH = malformed("section 2.2.1", "MQTT-3.15.1-1", "flags of AUTH are not 0000");
    PUBLISH_QOS = malformed("MQTT-3.3.1-4", "MQTT-3.3.1-4", "both QoS bits of PUBLISH are set");
    PUBLISH_DUP = malformed("MQTT-3.3.1-2", "MQTT-3.3.1-2", "DUP is set on a QoS 0 PUBLISH");
    LENGTH_TOO_LONG = malformed("section 2.2.3", "section 1.5.5", "variable byte integer has more than four bytes");
    LENGTH_NOT_MINIMAL = malformed("section 2.2.3", "MQTT-1.5.5-1", "variable byte integer has more bytes than it needs");
    LENGTH_WRONG = malformed("section 2.2.3", "section 2.1.4", "remaining length is not one that this packet type can have");
    TRUNCATED = malformed("section 2.2.3", "section 2.1.4", "packet ends inside a field");
    TRAILING_BYTES = malformed("section 2.2.3", "section 2.1.4", "bytes follow the last field of the packet");
}

// Strings and identifiers.
rules! {
    STRINGS:

    STRING_NOT_UTF8 = malformed("MQTT-1.5.3-1", "MQTT-1.5.4-1", "string is not well-formed UTF-8");
    STRING_NULL = malformed("MQTT-1.5.3-2", "MQTT-1.5.4-2", "string contains U+0000");
    STRING_CONTROL = malformed("section 1.5.3", "section 1.5.4", "string contains a control character");
    STRING_NON_CHARACTER = malformed("section 1.5.3", "section 1.5.4", "string contains a code point that is not a character");
    PACKET_ID_ZERO = protocol("MQTT-2.3.1-1", "MQTT-2.2.1-3", "packet identifier is zero");
}

// CONNECT and CONNACK.
rules! {
    CONNECTING:

    CONNECT_PROTOCOL_NAME = new(ReasonCode::UnsupportedProtocolVersion, "MQTT-3.1.2-1", "protocol name is not MQTT");
    CONNECT_PROTOCOL_LEVEL = new(ReasonCode::UnsupportedProtocolVersion, "MQTT-3.1.2-2", "protocol version is neither 4 (3.1.1) nor 5 (5.0)");
    CONNECT_AGAIN = protocol("MQTT-3.1.0-2", "MQTT-3.1.0-2", "second CONNECT, for a protocol that is not MQTT 3.1.1 or 5.0");
    CONNECT_RESERVED = malformed("MQTT-3.1.2-3", "MQTT-3.1.2-3", "reserved bit of the connect flags is set");
    CONNECT_WILL_QOS_WITHOUT_WILL = malformed("MQTT-3.1.2-13", "MQTT-3.1.2-11", "will QoS is set without the will flag");
    CONNECT_WILL_RETAIN_WITHOUT_WILL = malformed("MQTT-3.1.2-15", "MQTT-3.1.2-13", "will retain is set without the will flag");
    CONNECT_WILL_QOS = malformed("MQTT-3.1.2-14", "MQTT-3.1.2-12", "will QoS is 3");
    CONNECT_PASSWORD_WITHOUT_USERNAME = malformed("MQTT-3.1.2-22", "section 3.1.2.9", "password flag is set without the user name flag");
    CONNECT_CLIENT_ID_MISSING = malformed("MQTT-3.1.3-3", "MQTT-3.1.3-3", "client identifier is missing");
    CONNECT_WILL_MISSING = malformed("MQTT-3.1.2-9", "MQTT-3.1.2-9", "will flag is set, but the will is missing");
    CONNECT_USERNAME_MISSING = malformed("MQTT-3.1.2-19", "MQTT-3.1.2-17", "user name flag is set, but the user name is missing");
    CONNECT_PASSWORD_MISSING = malformed("MQTT-3.1.2-21", "MQTT-3.1.2-19", "password flag is set, but the password is missing");
    CONNACK_FLAGS = malformed("section 3.2.2.1", "MQTT-3.2.2-1", "reserved connect acknowledge flags are set");
    CONNACK_SESSION_PRESENT = protocol("MQTT-3.2.2-4", "MQTT-3.2.2-6", "session present is set on a refused connection");
    CONNACK_REASON = protocol("section 3.2.2.3", "MQTT-3.2.2-8", "code is not a connect return code");
}

// PUBLISH and topics.
rules! {
    PUBLISHING:

    TOPIC_EMPTY = protocol("MQTT-4.7.3-1", "MQTT-4.7.3-1", "topic is empty");
    TOPIC_OVERLONG = malformed("MQTT-4.7.3-3", "MQTT-4.7.3-3", "topic has more than 65,535 bytes");
    TOPIC_WILDCARD = protocol("MQTT-4.7.1-1", "MQTT-4.7.0-1", "topic contains a wildcard");
    PUBLISH_TOPIC_MISSING = malformed("MQTT-3.3.2-1", "MQTT-3.3.2-1", "topic name is missing");
    PUBLISH_TOPIC_WILDCARD = protocol("MQTT-3.3.2-2", "MQTT-3.3.2-2", "topic name contains a wildcard");
    PUBLISH_NO_TOPIC_NO_ALIAS = protocol("MQTT-4.7.3-1", "section 3.3.2.1", "topic name is empty and there is no topic alias");
    RESPONSE_TOPIC_WILDCARD = protocol("section 4.7", "MQTT-3.3.2-14", "response topic contains a wildcard");
    FILTER_MULTI_LEVEL = protocol("MQTT-4.7.1-2", "MQTT-4.7.1-1", "multi-level wildcard is not the whole last level of the topic filter");
    FILTER_SINGLE_LEVEL = protocol("MQTT-4.7.1-3", "MQTT-4.7.1-2", "single-level wildcard is not a whole level of the topic filter");
    SHARE_NAME = protocol("section 4.7", "MQTT-4.8.2-1", "share name is empty");
    SHARE_FILTER = protocol("section 4.7", "MQTT-4.8.2-2", "share name contains a wildcard or is not followed by a topic filter");
    PAYLOAD_NOT_UTF8 = new(ReasonCode::PayloadFormatInvalid, "section 3.3.2.3.2", "payload is not the UTF-8 that its payload format indicator says");
    WILL_PAYLOAD_NOT_UTF8 = new(ReasonCode::PayloadFormatInvalid, "section 3.1.3.2.3", "will payload is not the UTF-8 that its payload format indicator says");
}

// Acknowledgements, subscriptions, DISCONNECT, AUTH.
rules! {
    ANSWERS:

    PUBACK_REASON = protocol("section 3.4", "MQTT-3.4.2-1", "reason code is not one of PUBACK");
    PUBREC_REASON = protocol("section 3.5", "MQTT-3.5.2-1", "reason code is not one of PUBREC");
    PUBREL_REASON = protocol("section 3.6", "MQTT-3.6.2-1", "reason code is not one of PUBREL");
    PUBCOMP_REASON = protocol("section 3.7", "MQTT-3.7.2-1", "reason code is not one of PUBCOMP");
    SUBSCRIBE_EMPTY = protocol("MQTT-3.8.3-3", "MQTT-3.8.3-2", "SUBSCRIBE has no topic filter");
    SUBSCRIBE_OPTIONS = malformed("MQTT-3.8.3-4", "MQTT-3.8.3-5", "reserved bits of the subscription options are set");
    SUBSCRIBE_QOS = protocol("MQTT-3.8.3-4", "section 3.8.3.1", "maximum QoS of a subscription is 3");
    SUBSCRIBE_RETAIN_HANDLING = protocol("MQTT-3.8.3-4", "section 3.8.3.1", "retain handling of a subscription is 3");
    SUBSCRIBE_NO_LOCAL_SHARED = protocol("MQTT-3.8.3-4", "MQTT-3.8.3-4", "no local is set on a shared subscription");
    SUBACK_EMPTY = protocol("MQTT-3.8.4-5", "MQTT-3.8.4-6", "SUBACK has no reason code");
    SUBACK_REASON = protocol("MQTT-3.9.3-2", "MQTT-3.9.3-2", "reason code is not one of SUBACK");
    UNSUBSCRIBE_EMPTY = protocol("MQTT-3.10.3-2", "MQTT-3.10.3-2", "UNSUBSCRIBE has no topic filter");
    UNSUBACK_EMPTY = protocol("section 3.11.3", "MQTT-3.11.3-1", "UNSUBACK has no reason code");
    UNSUBACK_REASON = protocol("section 3.11.3", "MQTT-3.11.3-2", "reason code is not one of UNSUBACK");
    DISCONNECT_REASON = protocol("section 3.14", "MQTT-3.14.2-1", "reason code is not one that this side may send in DISCONNECT");
    AUTH_REASON = protocol("section 2.2.1", "MQTT-3.15.2-1", "reason code is not one that this side may send in AUTH");
    AUTH_METHOD_MISSING = protocol("section 2.2.1", "section 3.15.2.2.2", "AUTH has no authentication method");
}

// Properties (5.0 only); most state their rules in a section of their own.
rules! {
    PROPERTIES:

    PROPERTY_UNKNOWN = malformed("section 2.2", "section 2.2.2.2", "property identifier is not one that the standard knows");
    PROPERTY_NOT_ALLOWED = malformed("section 2.2", "section 2.2.2.2", "property may not stand in this packet");
    PROPERTY_LENGTH_MISSING = malformed("section 2.2", "MQTT-2.2.2-1", "property length is missing");
    PROPERTY_TWICE = protocol("section 2.2", "section 2.2.2.2", "property is included more than once");
    PROPERTY_NOT_BOOLEAN = protocol("section 2.2", "section 2.2.2.2", "property has a value other than 0 and 1");
    PROPERTY_ZERO = protocol("section 2.2", "section 2.2.2.2", "property has the value 0");
    TOPIC_ALIAS_ZERO = new(ReasonCode::TopicAliasInvalid, "MQTT-3.3.2-8", "topic alias is 0");
    SUBSCRIPTION_ID_FROM_CLIENT = protocol("section 3.3", "MQTT-3.3.4-6", "a client sent a subscription identifier in PUBLISH");
    SESSION_EXPIRY_FROM_SERVER = protocol("section 3.14", "MQTT-3.14.2-2", "a server sent a session expiry interval in DISCONNECT");
    SERVER_REFERENCE_FROM_CLIENT = protocol("section 3.14", "section 3.14.2.2.5", "a client sent a server reference in DISCONNECT");
    AUTHENTICATION_DATA_WITHOUT_METHOD = protocol("section 3.1", "section 3.1.2.11.10", "authentication data without an authentication method");
}

// Our own bounds.
rules! {
    LIMITS:

    LIMIT_PACKET_SIZE = new(ReasonCode::PacketTooLarge, "motte.limit.packet-size", "packet is larger than this side takes");
    LIMIT_USER_PROPERTIES = new(ReasonCode::ImplementationSpecific, "motte.limit.user-properties", "packet has more user properties than this side takes");
    LIMIT_NAME_LENGTH = new(ReasonCode::TopicNameInvalid, "motte.limit.topic-length", "topic name is longer than this side takes");
    LIMIT_NAME_LEVELS = new(ReasonCode::TopicNameInvalid, "motte.limit.topic-levels", "topic name has more levels than this side takes");
    LIMIT_FILTER_LENGTH = new(ReasonCode::TopicFilterInvalid, "motte.limit.topic-length", "topic filter is longer than this side takes");
    LIMIT_FILTER_LEVELS = new(ReasonCode::TopicFilterInvalid, "motte.limit.topic-levels", "topic filter has more levels than this side takes");
    LIMIT_FILTERS = new(ReasonCode::QuotaExceeded, "motte.limit.filters-per-packet", "packet has more topic filters than this side takes");
}
