//! The one place that turns a Rust error into a Python exception.

use motte_policy::identity::{IdentityError, ValueError};
use motte_policy::radius::{QuestionError, RadiusError};
use motte_policy::{ActionError, TopicError};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::{PyTypeInfo, create_exception};

use crate::toml::Syntax;

create_exception!(
    motte._core,
    ServeError,
    PyRuntimeError,
    "The data plane cannot start or had to stop; `hint` says what to do."
);
create_exception!(
    motte._core,
    SnapshotError,
    PyValueError,
    "A document is no snapshot; `hint` says what to do."
);
create_exception!(
    motte._core,
    TomlError,
    PyValueError,
    "A text is not TOML; `message`, `line` and `column` (from 1) say why and where."
);

/// What can go wrong on the Rust side of a call.
pub(crate) enum Error {
    Action(ActionError),
    Fleet(ValueError),
    Identity(IdentityError),
    Question(QuestionError),
    Radius(RadiusError),
    Serve(motte_server::ServeError),
    Snapshot(motte_policy::SnapshotError),
    Syntax(Syntax),
    Topic(TopicError),
    Value(ValueError),
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::Action(error) => PyValueError::new_err(error.to_string()),
            Error::Fleet(error) => PyValueError::new_err(format!("bad fleet name: {error}")),
            Error::Identity(error) => PyValueError::new_err(error.to_string()),
            Error::Question(error) => PyValueError::new_err(error.to_string()),
            Error::Radius(error) => PyValueError::new_err(error.to_string()),
            Error::Topic(error) => PyValueError::new_err(error.to_string()),
            Error::Value(error) => PyValueError::new_err(error.to_string()),
            Error::Serve(error) => with_attributes::<ServeError>(error.message().to_owned(), |exception| {
                exception.setattr("hint", error.hint())
            }),
            Error::Snapshot(error) => with_attributes::<SnapshotError>(error.to_string(), |exception| {
                exception.setattr("hint", error.hint())
            }),
            Error::Syntax(Syntax {
                message,
                line,
                column,
            }) => with_attributes::<TomlError>(
                format!("{message} at line {line}, column {column}"),
                |exception| {
                    exception.setattr("message", &message)?;
                    exception.setattr("line", line)?;
                    exception.setattr("column", column)
                },
            ),
        }
    }
}

/// An exception of type `T` with attributes besides its text.
fn with_attributes<T: PyTypeInfo>(
    text: String,
    set: impl FnOnce(&Bound<'_, pyo3::exceptions::PyBaseException>) -> PyResult<()>,
) -> PyErr {
    Python::attach(|py| {
        let exception = PyErr::new::<T, _>(text);
        match set(exception.value(py)) {
            Ok(()) => exception,
            Err(failure) => failure,
        }
    })
}

macro_rules! from {
    ($($variant:ident($source:ty)),* $(,)?) => {
        $(impl From<$source> for Error {
            fn from(error: $source) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

from!(
    Action(ActionError),
    Identity(IdentityError),
    Question(QuestionError),
    Radius(RadiusError),
    Serve(motte_server::ServeError),
    Snapshot(motte_policy::SnapshotError),
    Syntax(Syntax),
    Topic(TopicError),
    Value(ValueError),
);
