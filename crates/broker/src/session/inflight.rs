//! QoS 1 and 2 messages that were sent and are not acknowledged (section 4.3).

use super::outbound::Waiting;

/// How far the exchange of one packet identifier has come.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// PUBLISH sent; PUBACK or PUBREC is due.
    Published(Waiting),
    /// PUBREL sent; PUBCOMP is due. The message itself is delivered and gone.
    Released,
}

/// One packet identifier in use.
#[derive(Clone, Debug)]
pub(crate) struct Inflight {
    /// The order of first sending, which is the order of sending again (MQTT-4.6.0-1).
    pub(crate) sequence: u64,
    pub(crate) stage: Stage,
}

/// What an acknowledgement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// The exchange is over; the identifier is free again.
    Complete {
        /// The message's place in the order of the session.
        sequence: u64,
    },
    /// PUBREC taken: PUBREL is to be sent.
    Release {
        /// The message's place in the order of the session, if this is the first PUBREC for it.
        sequence: Option<u64>,
    },
    /// The identifier is not in use, or not in this stage.
    Unknown,
}
