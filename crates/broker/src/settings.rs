//! The numbers of the connection machine that are the same for every role.

use std::time::Duration;

/// Time limits of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerSettings {
    /// From the accepted TCP connection to a whole CONNECT.
    pub connect_deadline: Duration,
    /// From the first byte of a packet to its last.
    pub frame_deadline: Duration,
}

impl BrokerSettings {
    /// Ten seconds are twenty round trips of a slow cellular link; a SlowITe attack holds a slot no
    /// longer than that (attack X4).
    pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
    /// A whole packet must have arrived by then, whatever the keep alive says (attacks X2, X3).
    pub const FRAME_DEADLINE: Duration = Duration::from_secs(30);
}

impl Default for BrokerSettings {
    fn default() -> Self {
        Self {
            connect_deadline: Self::CONNECT_DEADLINE,
            frame_deadline: Self::FRAME_DEADLINE,
        }
    }
}

/// Packets decoded from one connection under one call, so that a peer with a full buffer cannot hold
/// the broker: the rest waits for its next turn.
pub(crate) const PACKETS_PER_TURN: usize = 256;

/// Answers waiting to be written to one connection. Every packet of a client brings at most one, so a
/// peer that writes and never reads ends here.
pub(crate) const CONTROL_BACKLOG: usize = 4096;

/// Retained messages waiting to be sent to one session. They point at stored messages, so many of them
/// cost little; what they keep alive is bounded by the role's queue as well.
pub(crate) const RETAINED_REPLAY: usize = 100_000;

/// Subscription identifiers collected for one delivery; more overlapping subscriptions than this
/// still match, their identifiers are left out.
pub(crate) const IDENTIFIERS_PER_DELIVERY: usize = 32;

/// QoS 0 messages that may wait for a member of a group that counts as ready for more. They wait for one
/// turn of the connection, or for a network that takes no more; then another member is asked first.
pub(crate) const READY_BACKLOG: usize = 64;

/// Messages that change from one member of a group to others at once: when its connection is lost, when
/// another one has room again, at each sweep. The rest follows at the next.
pub(crate) const HANDED_OVER: usize = 1000;

/// Messages that a member takes over from each other one when it acknowledges: enough to fill a window
/// sooner than the network empties it.
pub(crate) const PULLED: usize = 16;

/// Places of a queue that are searched for messages of a group at once. Where a session has other
/// subscriptions as well, theirs are passed over.
pub(crate) const SHARED_SCAN: usize = 1000;

/// Groups that one sweep looks at; the next one goes on from there. With those before, a sweep moves a
/// hundred thousand messages at most.
pub(crate) const SWEPT_GROUPS: usize = 100;

/// Between two sweeps for expired retained messages and refilled budgets.
pub(crate) const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(10);

/// Keep alive grace: a client is gone after one and a half intervals (MQTT-3.1.2-22).
pub(crate) const fn keep_alive_grace(seconds: u16) -> Duration {
    Duration::from_millis(seconds as u64 * 1_500)
}
