//! The policy of a fleet: topic filters, identities, the compiled snapshot and its decisions.
//!
//! Pure: no input or output, no clock, no MQTT packets; topics are `&str`. The proof, `explain`
//! and the broker all call this code (law 12).
//!
//! A [`Snapshot`] is read whole or not at all. Bound to an [`Identity`] it gives [`Rights`], which
//! answer each question with a [`Decision`]. Denied is the default; several matching roles unite
//! their grants, any denial wins over all of them, and the strictest limits hold.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unreachable
    )
)]

mod address;
mod decision;
mod exceptions;
pub mod filter;
pub mod identity;
mod limits;
mod pattern;
pub mod radius;
mod rights;
mod share;
pub mod snapshot;
mod system;

pub use address::{IpNetwork, NetworkError};
pub use decision::{Cause, Decision, Grant, Refusal, RuleKind, RuleReference};
pub use exceptions::{Exceptions, SERIAL_LENGTH, Serial, SerialError, Status};
pub use filter::{Filter, TopicError};
pub use identity::{Identity, IdentityError, IdentityFields, IdentityName, Kind, ValueError};
pub use limits::{PACKET_MAXIMUM, PACKET_OVERHEAD, RoleLimits};
pub use pattern::{Pattern, PatternError};
pub use rights::{Action, ActionError, Rights};
pub use share::{SHARE_LEVEL, ShareError, Shared};
pub use snapshot::{RoleError, Snapshot, SnapshotError};
pub use system::{SYSTEM_LEVEL, is_system};
