//! What the analysis is asked about: roles as a snapshot has them, and what only an analysis needs.

use std::sync::Arc;

use serde::Deserialize;

use crate::pattern::{Pattern, PatternError};
use crate::snapshot::RoleError;
use crate::snapshot::format::RoleEntry;
use crate::snapshot::role::Role;

/// Bytes of a document. Some times what the largest policy takes; an import may be larger than a policy.
pub const DOCUMENT_LENGTH: usize = 64 * 1024 * 1024;
/// Roles of a document. The answer is about pairs of roles, so its size grows with the square.
pub const ROLES: usize = 4096;
/// Relays of one role. Each is followed from every role.
pub const RELAYS: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    policy_file: String,
    roles: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    role: RoleEntry,
    #[serde(default)]
    relays: Vec<RelayEntry>,
    #[serde(default)]
    publish_except: Vec<Vec<String>>,
    #[serde(default)]
    subscribe_except: Vec<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RelayEntry {
    from: String,
    to: String,
    line: u32,
}

/// A role with what the analysis knows about it beyond a snapshot.
pub(super) struct Member {
    pub(super) role: Role,
    pub(super) relays: Vec<Relay>,
    /// For each grant to publish, what it leaves out although no denial says so. Other brokers have
    /// rules that count in their order; Motte's own policies have none of these.
    pub(super) publish_except: Vec<Vec<Pattern>>,
    pub(super) subscribe_except: Vec<Vec<Pattern>>,
}

/// A service that reads `from` may write `to` because of what it read.
pub(super) struct Relay {
    pub(super) from: Pattern,
    pub(super) to: Pattern,
}

/// Reads a document.
pub(super) fn parse(json: &[u8]) -> Result<Vec<Member>, RadiusError> {
    if json.len() > DOCUMENT_LENGTH {
        return Err(RadiusError::TooLong { length: json.len() });
    }
    let document: Document = serde_json::from_slice(json).map_err(|problem| RadiusError::Shape {
        problem: problem.to_string(),
    })?;
    if document.roles.len() > ROLES {
        return Err(RadiusError::TooManyRoles {
            count: document.roles.len(),
        });
    }
    let file: Arc<str> = document.policy_file.as_str().into();
    document.roles.iter().map(|entry| read(entry, &file)).collect()
}

fn read(entry: &Entry, file: &str) -> Result<Member, RadiusError> {
    let name = &entry.role.name;
    let role = Role::read(&entry.role, file).map_err(|problem| RadiusError::Role {
        role: name.clone(),
        line: entry.role.line,
        problem,
    })?;
    if entry.relays.len() > RELAYS {
        return Err(RadiusError::TooManyRelays {
            role: name.clone(),
            count: entry.relays.len(),
        });
    }
    let pattern = |topic: &str, line: u32| {
        topic.parse::<Pattern>().map_err(|problem| RadiusError::Topic {
            role: name.clone(),
            line,
            topic: topic.to_owned(),
            problem,
        })
    };
    let relays = entry.relays.iter().map(|relay| {
        Ok(Relay {
            from: pattern(&relay.from, relay.line)?,
            to: pattern(&relay.to, relay.line)?,
        })
    });
    let except = |lists: &[Vec<String>], grants: usize| -> Result<Vec<Vec<Pattern>>, RadiusError> {
        let read = |topic: &String| pattern(topic, entry.role.line);
        let mut lists: Vec<Vec<Pattern>> = lists
            .iter()
            .map(|topics| topics.iter().map(read).collect())
            .collect::<Result<_, RadiusError>>()?;
        if lists.len() > grants {
            return Err(RadiusError::Except { role: name.clone() });
        }
        lists.resize_with(grants, Vec::new);
        Ok(lists)
    };
    Ok(Member {
        relays: relays.collect::<Result<_, RadiusError>>()?,
        publish_except: except(&entry.publish_except, role.publish.len())?,
        subscribe_except: except(&entry.subscribe_except, role.subscribe.len())?,
        role,
    })
}

/// Why a document cannot be analysed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RadiusError {
    /// Longer than [`DOCUMENT_LENGTH`].
    #[error("document of {length} bytes, {DOCUMENT_LENGTH} is the most")]
    TooLong {
        /// Bytes found.
        length: usize,
    },
    /// Not JSON, or JSON of another shape.
    #[error("document is not readable: {problem}")]
    Shape {
        /// What the JSON reader says, with line and column.
        problem: String,
    },
    /// More than [`ROLES`].
    #[error("{count} roles, {ROLES} is the most")]
    TooManyRoles {
        /// Roles found.
        count: usize,
    },
    /// More than [`RELAYS`].
    #[error("role {role:?} has {count} relays, {RELAYS} is the most")]
    TooManyRelays {
        /// The role.
        role: String,
        /// Relays found.
        count: usize,
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
    /// A topic that is no pattern.
    #[error("bad topic {topic:?} of role {role:?} (line {line}): {problem}")]
    Topic {
        /// The role.
        role: String,
        /// Its line in the policy file.
        line: u32,
        /// The topic.
        topic: String,
        /// What is wrong with it.
        problem: PatternError,
    },
    /// More lists of exceptions than grants.
    #[error("role {role:?} has exceptions to more grants than it has")]
    Except {
        /// The role.
        role: String,
    },
}
