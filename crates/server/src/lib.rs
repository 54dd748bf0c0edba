//! The data plane: the only crate with sockets, TLS, files and a clock, around the pure broker.
//!
//! ```text
//! listener ─► layer 0 (gate) ─► task: TLS ─► layer 1, 3 (open) ─► turns with the broker
//!                                 │  one for each connection, on one of N threads
//! control socket ─► commands ─────┤  one lock, taken once for each batch
//! timer ─► deadlines ─────────────┘
//! evidence: one thread, one file                       barrier: see the module of that name
//! ```
//!
//! [`serve`] is everything that the Python side calls. [`Server`] is the same in parts, for programs
//! that stop it themselves.
#![deny(unsafe_code)]

mod admin;
mod barrier;
mod certificate;
mod clock;
mod connection;
mod control;
mod directory;
mod engine;
mod error;
mod evidence;
mod gate;
mod limits;
mod listener;
mod log;
mod maintenance;
mod metrics;
mod server;
mod settings;
mod snapshot_file;
mod store;
mod timer;
mod tls;
mod wake;

pub use error::{ServeError, ServeErrorKind};
pub use evidence::Retention;
pub use log::LogFormat;
pub use maintenance::{back_up_store, check_store, restore_store};
pub use motte_store::Source as StoreSource;
pub use server::{Server, Stopper};
pub use settings::{HANDSHAKE_DEADLINE, Settings, WRITE_DEADLINE};

/// Serves until SIGTERM, SIGINT or the `stop` command.
///
/// # Errors
/// Where the data plane cannot start, or had to stop because it broke.
pub fn serve(settings_json: &str) -> Result<(), ServeError> {
    let settings = Settings::parse(settings_json)?;
    Server::start(&settings)?.wait()
}
