//! The compiled policy: one document, taken over whole or not at all.

pub(crate) mod format;
pub(crate) mod role;
#[cfg(test)]
mod tests;
mod validate;

use std::fmt;
use std::sync::Arc;

use crate::decision::Decision;
use crate::exceptions::Exceptions;
use crate::identity::Identity;
use crate::rights::Rights;
use role::Role;
pub use role::RoleError;

/// The format this version reads and writes.
pub const FORMAT: u64 = 1;
/// Bytes of a snapshot. Fits into a frame of the control socket even when every second byte has
/// to be escaped there; holds the exceptions of some hundred thousand devices.
pub const SNAPSHOT_LENGTH: usize = 32 * 1024 * 1024;
/// Roles of a policy. Binding looks at each once per identity and generation.
pub const ROLES: usize = 1000;
/// Entries of one list (`publish`, `subscribe`, `deny`) of a role. A decision looks at each.
pub const RULES_PER_LIST: usize = 100;
/// Groups of shared subscriptions that one role has. Each shared message looks for one of them.
pub const SHARES: usize = 16;
/// Test vectors of a snapshot. Each is evaluated when it is read.
pub const VECTORS: usize = 10_000;
/// Banned address ranges. Each is compared with every new connection.
pub const BANNED: usize = 4096;
/// Bytes of the name of the policy file, which stands in every rule reference.
pub const POLICY_FILE_LENGTH: usize = 255;

/// A compiled policy with its exceptions. Immutable; every value has passed [`Snapshot::parse`].
pub struct Snapshot {
    generation: u64,
    fleet: String,
    roles: Vec<Role>,
    exceptions: Exceptions,
    source: Arc<str>,
}

impl Snapshot {
    /// Reads a snapshot, checks every part of it and evaluates its test vectors.
    ///
    /// # Errors
    /// The first thing that is wrong. There is no partial policy.
    pub fn parse(json: &[u8]) -> Result<Self, SnapshotError> {
        validate::parse(json)
    }

    /// The number of this snapshot; each newer one has a greater.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The fleet it is for.
    #[must_use]
    pub fn fleet(&self) -> &str {
        &self.fleet
    }

    /// Who is refused although the certificate is good.
    #[must_use]
    pub fn exceptions(&self) -> &Exceptions {
        &self.exceptions
    }

    /// The document itself, to be stored as the last good one.
    #[must_use]
    pub fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// The names of the roles, in the order of the policy.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.roles.iter().map(|role| &*role.name)
    }

    /// Whether every identity has the same rights under both, by the same rules. Exceptions are not
    /// looked at.
    #[must_use]
    pub fn grants_the_same_as(&self, other: &Self) -> bool {
        self.fleet == other.fleet && self.roles == other.roles
    }

    /// The rights of `identity`: the union of the roles that match it, none at all if none does.
    /// Exceptions are not looked at; see [`Exceptions::status`].
    #[must_use]
    pub fn bind(&self, identity: &Identity) -> Rights {
        let mut rights = Rights {
            generation: self.generation,
            ..Rights::none()
        };
        for role in self.roles.iter().filter(|role| role.matches(identity)) {
            role.bind(identity, &mut rights);
        }
        rights.shrink();
        rights
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Snapshot")
            .field("fleet", &self.fleet)
            .field("generation", &self.generation)
            .field("roles", &self.roles.len())
            .field("bytes", &self.source.len())
            .finish_non_exhaustive()
    }
}

/// Why a document is no snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Longer than [`SNAPSHOT_LENGTH`].
    #[error("snapshot of {length} bytes, {SNAPSHOT_LENGTH} is the most")]
    TooLong {
        /// Bytes found.
        length: usize,
    },
    /// Not UTF-8.
    #[error("snapshot is not UTF-8 at byte {position}")]
    Encoding {
        /// The first bad byte, counted from 0.
        position: usize,
    },
    /// Not JSON, or JSON of another shape.
    #[error("snapshot is not readable: {problem}")]
    Shape {
        /// What the JSON reader says, with line and column.
        problem: String,
    },
    /// Another format.
    #[error("snapshot format {found}, this version reads format {FORMAT}")]
    Format {
        /// The format found.
        found: u64,
    },
    /// A field of the head is unusable.
    #[error("bad `{field}` in the snapshot: {problem}")]
    Head {
        /// Its name.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A list is too long.
    #[error("{count} entries in `{list}` of the snapshot, {limit} is the most")]
    TooMany {
        /// Its name.
        list: &'static str,
        /// Entries found.
        count: usize,
        /// Entries allowed.
        limit: usize,
    },
    /// A role is unusable.
    #[error("bad role {role:?} (line {line}): {problem}")]
    Role {
        /// Its name.
        role: String,
        /// Its line in the policy file.
        line: u32,
        /// What is wrong with it.
        problem: RoleError,
    },
    /// An exception is unusable.
    #[error("bad entry in `exceptions.{list}`: {problem}")]
    Exception {
        /// The list it stands in.
        list: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A test vector is no question.
    #[error("bad test vector {index}: {problem}")]
    Vector {
        /// Its index, counted from 0.
        index: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A test vector does not hold: this program and the compiler understand the policy
    /// differently.
    #[error("test vector {index} does not hold: {question} should be {}, but is {}", verdict(*.expected), shown(.decision))]
    VectorFailed {
        /// Its index, counted from 0.
        index: usize,
        /// Who asks for what.
        question: String,
        /// Was it to be allowed?
        expected: bool,
        /// What the policy answers.
        decision: Decision,
    },
}

impl SnapshotError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "retire exceptions of expired certificates, or split the fleet",
            Self::TooMany { .. } | Self::Role { .. } => "change the policy file and compile it again",
            Self::Exception { .. } => "check the registry entry it came from",
            Self::Format { .. } => "use the same version of Motte for compiling and serving",
            Self::Encoding { .. } | Self::Shape { .. } | Self::Head { .. } => "compile the policy again",
            Self::Vector { .. } | Self::VectorFailed { .. } => {
                "use the same version of Motte for compiling and serving; if it is, report this snapshot"
            }
        }
    }
}

fn verdict(allowed: bool) -> &'static str {
    if allowed { "allowed" } else { "denied" }
}

fn shown(decision: &Decision) -> String {
    match decision {
        Decision::Allowed(grant) => format!("allowed ({})", grant.rule),
        Decision::Denied(refusal) => format!("denied ({refusal})"),
    }
}
