//! What a guard is made of, and why a policy is not taken.

use std::time::Duration;

/// What a guard has to know besides the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardSettings {
    /// The fleet whose identities and policy are accepted.
    pub fleet: String,
    /// Denials of one identity within the denial window that end its connection.
    pub denials_to_disconnect: u32,
    /// How long a denial counts.
    pub denial_window: Duration,
}

impl GuardSettings {
    /// A client with a wrong configuration that subscribes to a full SUBSCRIBE packet and flushes its
    /// queue stays below; a walk over the device ids of a fleet ends after as many (attacks X16, C4).
    pub const DENIALS_TO_DISCONNECT: u32 = 128;
    /// See [`Self::DENIALS_TO_DISCONNECT`]. A client that is denied once a second stays connected.
    pub const DENIAL_WINDOW: Duration = Duration::from_secs(60);

    /// The default numbers for this fleet.
    #[must_use]
    pub fn new(fleet: impl Into<String>) -> Self {
        Self {
            fleet: fleet.into(),
            denials_to_disconnect: Self::DENIALS_TO_DISCONNECT,
            denial_window: Self::DENIAL_WINDOW,
        }
    }
}

/// Why a snapshot was not installed. The one before it stays in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// It was made for somebody else.
    #[error("snapshot is for fleet {found:?}, this data plane serves {expected:?}; push it to the other one")]
    OtherFleet {
        /// Its fleet.
        found: String,
        /// The own one.
        expected: String,
    },
    /// It is not newer than what is installed: somebody replays an old policy.
    #[error("snapshot of generation {found}, generation {installed} is installed; compile a newer one")]
    OlderGeneration {
        /// Its generation.
        found: u64,
        /// The installed one.
        installed: u64,
    },
    /// Another policy under the same number. Messages that were judged under one would pass as judged
    /// under the other.
    #[error("another snapshot of generation {generation} is installed; compile it under a new number")]
    SameGeneration {
        /// The generation of both.
        generation: u64,
    },
    /// Zero stands for "no policy".
    #[error("snapshot of generation 0, generations begin at 1; compile it again")]
    GenerationZero,
}
