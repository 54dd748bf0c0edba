//! `motte-load SCENARIO.json`: the load generator without Python.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use motte_load::LoadError;

const USAGE: &str = "usage: motte-load SCENARIO.json   (benches/README.md describes the file)";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when standard error is closed as well.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), LoadError> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        return Err(LoadError::Scenario(USAGE.to_owned()));
    };
    let path = std::path::PathBuf::from(path);
    let scenario = std::fs::read_to_string(&path).map_err(|error| LoadError::File {
        path,
        reason: error.to_string(),
    })?;
    motte_load::run(&scenario, &mut std::io::stdout().lock())
}
