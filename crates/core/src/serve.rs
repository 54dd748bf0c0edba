//! The data plane, run by the process that Python started for it.

use pyo3::prelude::*;

use crate::error::Error;

/// Serves until SIGTERM, SIGINT or the `stop` command. Python does not run meanwhile.
#[pyfunction]
pub(crate) fn serve(py: Python<'_>, settings_json: &str) -> Result<(), Error> {
    Ok(py.detach(|| motte_server::serve(settings_json))?)
}
