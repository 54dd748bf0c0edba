//! Why the data plane cannot start or had to stop.

use std::fmt;
use std::path::Path;

/// What kind of obstacle it was; programs decide by it, people read the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServeErrorKind {
    /// The settings are not usable.
    Settings,
    /// Another data plane works on the same state directory.
    AlreadyRunning,
    /// The listener's port is taken.
    AddressInUse,
    /// A certificate, key or authority file is not usable.
    Credentials,
    /// The durable store cannot be used, or failed.
    Store,
    /// The operating system refused something.
    System,
    /// The broker broke inside; going on could mean serving without a policy.
    Broken,
}

/// A refusal to start or to go on: what is wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeError {
    kind: ServeErrorKind,
    message: String,
    hint: String,
}

impl ServeError {
    pub(crate) fn new(kind: ServeErrorKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// An error of the operating system about `path` while doing `what`.
    pub(crate) fn system(what: &str, path: &Path, error: &std::io::Error) -> Self {
        let hint = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "check the owner and the mode of the path",
            std::io::ErrorKind::NotFound => "check that the path exists",
            std::io::ErrorKind::StorageFull => "free some space on the disk",
            _ => "look at the error of the operating system",
        };
        Self::new(
            ServeErrorKind::System,
            format!("cannot {what} {}: {error}", path.display()),
            hint,
        )
    }

    /// What kind of obstacle it was.
    #[must_use]
    pub fn kind(&self) -> ServeErrorKind {
        self.kind
    }

    /// What is wrong, and where.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.message, self.hint)
    }
}

impl std::error::Error for ServeError {}
