//! What can go wrong while a load runs. Any of it ends the run: a figure from a broken run is worthless.

use std::path::PathBuf;

/// Why a load could not be carried out, or why its figures would not count.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The scenario file does not say a load that may be run.
    #[error("{0}")]
    Scenario(String),
    /// A certificate, key or scenario file could not be read.
    #[error("cannot read {path}: {reason}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system or the parser said.
        reason: String,
    },
    /// TLS could not be set up or failed on a connection.
    #[error("tls of {client}: {source}")]
    Tls {
        /// The client id of the connection.
        client: String,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The socket failed or the broker closed it.
    #[error("connection of {client}: {source}")]
    Connection {
        /// The client id of the connection.
        client: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The broker answered with something that a load does not expect.
    #[error("answer to {client}: {detail}")]
    Answer {
        /// The client id of the connection.
        client: String,
        /// What was wrong.
        detail: String,
    },
    /// The event queue of the system failed.
    #[error("event queue: {0}")]
    Events(std::io::Error),
    /// The report could not be written as JSON.
    #[error("report: {0}")]
    Report(String),
}
