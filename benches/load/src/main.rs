//! `motte-load SCENARIO.json`: puts one bounded load on one MQTT broker and reports what came back.
//!
//! The broker can be any that speaks MQTT 3.1.1 over TLS 1.3 and asks for client certificates. The
//! generator links no crate of Motte: what measures a broker must share no code with it. It talks to
//! the loopback interface only, and every count and time in a scenario has an upper limit.
#![forbid(unsafe_code)]

mod client;
mod error;
mod handshakes;
mod histogram;
mod scenario;
mod throughput;
mod wire;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use error::LoadError;
use scenario::{Mode, Scenario};

const USAGE: &str = "usage: motte-load SCENARIO.json   (benches/README.md describes the file)";

fn main() -> ExitCode {
    match run() {
        Ok(report) => {
            let text = format!("{report:#}\n");
            match std::io::stdout().write_all(text.as_bytes()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            // Nothing is left to do when standard error is closed as well.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the scenario, carries it out and gives the report.
fn run() -> Result<serde_json::Value, LoadError> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        return Err(LoadError::Scenario(USAGE.to_owned()));
    };
    let scenario = Scenario::read(Path::new(&path))?;
    let report = match &scenario.mode {
        Mode::Throughput(load) => serde_json::to_value(throughput::run(&scenario, load)?),
        Mode::Handshakes(load) => serde_json::to_value(handshakes::run(&scenario, load)?),
    };
    report.map_err(|error| LoadError::Report(error.to_string()))
}
