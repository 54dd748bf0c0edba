//! Work on the durable store of a deployment.

use std::path::PathBuf;

use motte_server::StoreSource;
use pyo3::prelude::*;

use crate::error::Error;

/// Looks at a store; the report as JSON.
#[pyfunction]
pub(crate) fn check_store(py: Python<'_>, state_directory: PathBuf) -> Result<String, Error> {
    let report = py.detach(move || motte_server::check_store(&state_directory))?;
    Ok(serde_json::json!(report).to_string())
}

/// Copies a store.
#[pyfunction]
pub(crate) fn back_up_store(py: Python<'_>, state_directory: PathBuf, target: PathBuf) -> Result<(), Error> {
    Ok(py.detach(move || motte_server::back_up_store(&state_directory, &target))?)
}

/// Puts a backup, an empty store or, without either, what can be read of the damaged one in its place; the
/// report as JSON.
#[pyfunction]
#[pyo3(signature = (state_directory, *, backup=None, empty=false))]
pub(crate) fn restore_store(
    py: Python<'_>,
    state_directory: PathBuf,
    backup: Option<PathBuf>,
    empty: bool,
) -> Result<String, Error> {
    let report = py.detach(move || {
        let source = match &backup {
            Some(backup) => StoreSource::Backup(backup),
            None if empty => StoreSource::Empty,
            None => StoreSource::Damaged,
        };
        motte_server::restore_store(&state_directory, source)
    })?;
    Ok(serde_json::json!(report).to_string())
}
