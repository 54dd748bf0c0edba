//! The searches of the firmware scanner over every byte of an image.

use pyo3::exceptions::PyValueError;
use pyo3::{PyResult, Python, pyclass, pyfunction, pymethods};

/// A set of byte strings that are looked for at once.
#[pyclass(frozen, module = "motte._core")]
pub(crate) struct Needles {
    needles: motte_firmware::Needles,
}

#[pymethods]
impl Needles {
    #[new]
    #[allow(clippy::needless_pass_by_value, reason = "PyO3 hands arguments over by value")]
    fn new(needles: Vec<Vec<u8>>) -> PyResult<Self> {
        motte_firmware::Needles::new(&needles)
            .map(|needles| Self { needles })
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Offset and index of every needle in `data`, at most `limit` of them.
    fn find(&self, py: Python<'_>, data: &[u8], limit: usize) -> Vec<(usize, usize)> {
        py.detach(|| {
            let marks = self.needles.find(data, limit);
            marks.iter().map(|mark| (mark.offset, mark.needle)).collect()
        })
    }
}

/// Offsets of what could be an uncompressed public point, at most `limit` of them.
#[pyfunction]
pub(crate) fn curve_points(py: Python<'_>, data: &[u8], limit: usize) -> Vec<usize> {
    py.detach(|| motte_firmware::points(data, limit))
}
