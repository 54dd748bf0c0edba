//! What survives a crash, in one SQLite file (law 7).
//!
//! - [`SqliteStore`] stands behind the broker's `Store` trait. It takes changes as they come, under the
//!   broker's lock, and never touches the disk.
//! - [`Committer`] is the one thread that does. It takes all that has come since its last commit, folds it
//!   (`effects`: what has come and gone meanwhile costs nothing) and writes it as one transaction
//!   (`write`). Nobody waits for a timer: while one commit is with the disk the next group gathers, so
//!   that groups are as large as the disk is slow.
//! - [`open`] checks the file and reads everything back (`load`); what is wrong with it is told by file and
//!   with the way back ([`StoreError`]). [`check`], [`back_up`] and [`restore`] are that way.
//!
//! Bytes of messages, wills and identities carry a checksum of their own (`form`), because SQLite has none
//! for its pages. Moments are on the wall clock in the file and on the monotonic clock outside of it.
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

mod clock;
mod committer;
mod effects;
mod error;
mod form;
mod load;
mod maintain;
mod record;
mod schema;
mod store;
mod write;

pub use committer::{Closer, Committer, Event};
pub use error::StoreError;
pub use maintain::{CheckReport, SalvageReport, Source, back_up, check, restore};
pub use store::{Opened, SqliteStore, open};
