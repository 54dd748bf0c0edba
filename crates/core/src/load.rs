//! The load generator, run by the process that Python started for it.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// Carries a scenario out and writes its report to standard output. Python does not run meanwhile.
#[pyfunction]
pub(crate) fn run_load(py: Python<'_>, scenario_json: &str) -> PyResult<()> {
    py.detach(|| motte_load::run(scenario_json, &mut std::io::stdout()))
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))
}
