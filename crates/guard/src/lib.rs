//! The layers of defence as one pipeline: what passes leaves with a [`Permit`], what does not with a
//! [`Denial`] that names the first layer that refused.
//!
//! The guard knows no sockets, no clock and no randomness: addresses, certificate facts, requests and
//! [`Now`] go in, verdicts come out, so the same guard runs in the data plane, in the simulator and
//! under the fuzzer. Three properties hold on every path:
//!
//! - **Closed by default.** Without a snapshot there is no permit.
//! - **The first denial ends.** Layers are combined with "and"; none can turn a denial into a pass.
//! - **Only the guard makes permits.** The constructor of [`Permit`] is private to this crate, so an
//!   engine that takes permits cannot be reached around the guard.
//!
//! One file per layer: `network` (0), `tls` (1), `identity` (3), `authorization` (4), `protocol` (5),
//! `quota` (6) and `evidence` (8). Fingerprint (2) and detection (7) exist as names of layers.
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

mod action;
mod authorization;
mod counters;
mod denial;
mod denials;
pub mod evidence;
mod guard;
mod identity;
pub mod network;
mod permit;
mod protocol;
mod quota;
mod rights;
mod settings;
#[cfg(test)]
mod testing;
mod time;
mod tls;
mod usage;

pub use action::{
    Authenticated, ConnectRequest, Connected, Delivery, GroupRequest, Provenance, PublishRequest, Published,
    RetainRequest, Retained, SessionGranted, SessionRequest, SubscribeRequest, Subscribed, WillGranted,
    WillRequest,
};
pub use counters::{Counters, PassedCounters, RefusedCounters};
pub use denial::{Denial, Layer};
pub use denials::{OverdueDenial, Strike, Subject};
pub use guard::Guard;
pub use identity::{CLIENT_ID_LENGTH, Principal};
pub use permit::Permit;
pub use quota::{
    GROUP_MEMBERS, SEARCH_NODES, SHARED_SUBSCRIPTIONS, SUBSCRIBE_BURST, SUBSCRIBES_PER_SECOND,
    TRACKED_IDENTITIES, WILL_BURST, WILLS_PER_SECOND,
};
pub use rights::CACHED_RIGHTS;
pub use settings::{GuardSettings, InstallError};
pub use time::Now;
pub use tls::{CertificateFacts, KeyKind, SERIAL_LENGTH};
pub use usage::{Act, FirstUse, Manner, USE_PERIOD, USES};
