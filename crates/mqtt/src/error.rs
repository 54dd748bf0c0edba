//! Why bytes are not a packet.

use crate::ReasonCode;

/// The peer sent bytes that no conforming peer sends; the connection must end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail} [{rule}]")]
pub struct DecodeError {
    /// What a 5.0 CONNACK or DISCONNECT says about it.
    pub reason: ReasonCode,
    /// The normative statement that was broken, such as `MQTT-3.1.2-3`, or the section where the
    /// standard gives it no number, or `motte.limit.…` where one of our bounds was passed.
    pub rule: &'static str,
    /// What is wrong, lower case, no final period, without peer-supplied text.
    pub detail: &'static str,
}
