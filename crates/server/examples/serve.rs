//! The data plane without Python: `serve SETTINGS.json`.

#![expect(clippy::print_stderr, reason = "an example without the log of the data plane")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: serve SETTINGS.json");
        return ExitCode::FAILURE;
    };
    let result = std::fs::read_to_string(path)
        .map_err(|error| error.to_string())
        .and_then(|settings| motte_server::serve(&settings).map_err(|error| error.to_string()));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
