//! The broker as a pure machine: packets, permits and a clock in, packets and evidence out.
//!
//! Nothing here opens a socket, reads a clock or touches a disk, so the same code runs in the data
//! plane, in the simulator and under the fuzzer. The parts, from the outside in:
//!
//! - [`Broker`] drives everything: bytes of a connection in ([`Broker::receive`]), bytes out
//!   ([`Broker::transmit`]), time ([`Broker::advance`]) and policy ([`Broker::install`]).
//! - `connection` is the state of one network connection: what may come next, keep alive, aliases.
//! - `engine` owns what outlives a connection: sessions, subscriptions, retained messages, wills. It
//!   takes nothing but permits of the guard.
//! - [`Store`] is told about every change that has to survive a crash, and says how far it got;
//!   [`Broker::restore`] begins with what it kept.
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

mod broker;
mod connection;
mod engine;
mod message;
mod names;
mod session;
mod settings;
mod store;
mod topics;

pub use broker::{Broker, Figures, InstallReport, RestoreError, RestoreReport, Status, Transmit};
pub use message::Message;
pub use names::{ConnectionId, SessionId, SessionName};
pub use session::{SubscriptionOptions, Waiting};
pub use settings::BrokerSettings;
pub use store::{Change, DurableSession, DurableState, DurableWill, MemoryStore, Position, Progress, Store};
