//! What connections and sessions are called.

use std::fmt;

/// A connection's name for as long as the process lives; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A session's place in the table; may be used again after the session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) u32);

/// What a session is known by (law 3): never the client id alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionName {
    /// The identity, as `device/toaster-1`.
    pub identity: String,
    /// The MQTT client id.
    pub client_id: String,
}

impl fmt::Display for SessionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} as `{}`", self.identity, self.client_id)
    }
}
