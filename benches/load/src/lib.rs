//! Puts one bounded load on one MQTT broker and reports what came back.
//!
//! The broker can be any that speaks MQTT 3.1.1 over TLS 1.3 and asks for client certificates. The
//! generator links no crate of Motte: what measures a broker must share no code with it. It talks to
//! the loopback interface, or to an address that its user names twice, and every count and time in a
//! scenario has an upper limit.
#![forbid(unsafe_code)]

mod books;
mod client;
mod error;
mod handshakes;
mod histogram;
mod hold;
mod link;
mod scenario;
mod sink;
mod throughput;
mod wire;

use std::io::Write;

pub use error::LoadError;
use scenario::{Mode, Scenario};

/// Carries out the scenario and writes its report, or what happens meanwhile, as lines of JSON.
///
/// The format of a scenario is described in `benches/README.md`.
///
/// # Errors
/// A scenario that is not one or exceeds a limit; a broker that fails, refuses or answers wrongly.
pub fn run(scenario: &str, out: &mut dyn Write) -> Result<(), LoadError> {
    let scenario = Scenario::parse(scenario)?;
    let report = match &scenario.mode {
        Mode::Throughput(load) => serde_json::to_value(throughput::run(&scenario, load)?),
        Mode::Handshakes(load) => serde_json::to_value(handshakes::run(&scenario, load)?),
        Mode::Hold(load) => return hold::run(&scenario, load, out),
        Mode::Sink(sink) => return sink::run(&scenario, sink, out),
    };
    let report = report.map_err(|error| LoadError::Report(error.to_string()))?;
    writeln!(out, "{report}")
        .and_then(|()| out.flush())
        .map_err(|error| LoadError::Report(error.to_string()))
}
