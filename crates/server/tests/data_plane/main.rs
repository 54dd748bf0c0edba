//! The data plane as its clients and its control plane see it: real sockets, real TLS, real files.

mod admin;
mod barrier;
mod certificates;
mod client;
mod control;
mod control_client;
mod fleet;
mod handshake;
mod lifecycle;
mod traffic;
