//! The answer no.

use std::borrow::Cow;
use std::fmt;

use motte_mqtt::ReasonCode;
use serde::Serialize;

/// A layer of defence; the number is its place in the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Layer {
    /// Addresses, connection counts and handshake rates.
    Network = 0,
    /// The TLS handshake and the client certificate.
    Tls = 1,
    /// The shape of ClientHello and CONNECT.
    Fingerprint = 2,
    /// Who it is, and whether everything names the same identity.
    Identity = 3,
    /// Whether the policy grants it.
    Authorization = 4,
    /// Form and size of what is sent.
    Protocol = 5,
    /// Rates and counts of one identity.
    Quota = 6,
    /// Patterns over time.
    Detection = 7,
    /// The hash-chained log; never refuses.
    Evidence = 8,
}

impl Layer {
    /// All layers in the order of the pipeline.
    pub const ALL: [Self; 9] = [
        Self::Network,
        Self::Tls,
        Self::Fingerprint,
        Self::Identity,
        Self::Authorization,
        Self::Protocol,
        Self::Quota,
        Self::Detection,
        Self::Evidence,
    ];

    /// The place in the pipeline, 0 to 8.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The stable name, as in evidence and counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Tls => "tls",
            Self::Fingerprint => "fingerprint",
            Self::Identity => "identity",
            Self::Authorization => "authorization",
            Self::Protocol => "protocol",
            Self::Quota => "quota",
            Self::Detection => "detection",
            Self::Evidence => "evidence",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A refusal: which layer, by which rule, and why.
///
/// `detail` is for the operator's evidence. It must not go to the peer, because the difference between
/// two refusals is a map of the policy (attack I5); the peer gets the reason code alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail} [layer {} {layer}, {rule}]", .layer.number())]
pub struct Denial {
    /// The first layer that refused.
    pub layer: Layer,
    /// A stable dotted name such as `identity.client-id`, or the rule of the policy file.
    pub rule: Cow<'static, str>,
    /// The 5.0 reason code; the connection machine maps it where a packet cannot carry it.
    pub reason: ReasonCode,
    /// What happened, for people. Peer-supplied text in it is escaped.
    pub detail: String,
}

impl Denial {
    /// A denial of a built-in rule.
    pub(crate) fn new(
        layer: Layer,
        rule: &'static str,
        reason: ReasonCode,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            layer,
            rule: Cow::Borrowed(rule),
            reason,
            detail: detail.into(),
        }
    }
}
