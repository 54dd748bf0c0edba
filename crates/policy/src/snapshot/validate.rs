//! From the written document to a snapshot that can be relied on.

use std::collections::HashSet;
use std::str::FromStr;

use super::format::{Document, ExceptionsEntry, Head, VectorEntry};
use super::role::Role;
use super::{
    BANNED, FORMAT, POLICY_FILE_LENGTH, ROLES, RoleError, SNAPSHOT_LENGTH, Snapshot, SnapshotError, VECTORS,
};
use crate::exceptions::Exceptions;
use crate::identity::{Identity, check_fleet};

pub(super) fn parse(json: &[u8]) -> Result<Snapshot, SnapshotError> {
    if json.len() > SNAPSHOT_LENGTH {
        return Err(SnapshotError::TooLong { length: json.len() });
    }
    let text = std::str::from_utf8(json).map_err(|error| SnapshotError::Encoding {
        position: error.valid_up_to(),
    })?;
    let document: Document = serde_json::from_str(text).map_err(|error| unreadable(text, &error))?;
    if document.format != FORMAT {
        return Err(SnapshotError::Format {
            found: document.format,
        });
    }
    check_head(&document)?;
    let snapshot = Snapshot {
        generation: document.generation,
        roles: read_roles(&document)?,
        exceptions: read_exceptions(&document.exceptions)?,
        fleet: document.fleet,
        source: text.into(),
    };
    for (index, vector) in document.vectors.into_iter().enumerate() {
        check_vector(&snapshot, index, vector)?;
    }
    Ok(snapshot)
}

fn unreadable(text: &str, error: &serde_json::Error) -> SnapshotError {
    match serde_json::from_str::<Head>(text) {
        Ok(head) if head.format != FORMAT => SnapshotError::Format { found: head.format },
        _ => SnapshotError::Shape {
            problem: error.to_string(),
        },
    }
}

fn check_head(document: &Document) -> Result<(), SnapshotError> {
    if document.generation == 0 {
        // 0 is how a data plane without any snapshot counts.
        return Err(SnapshotError::Head {
            field: "generation",
            problem: "it is 0, count from 1".to_owned(),
        });
    }
    check_fleet(&document.fleet).map_err(|problem| SnapshotError::Head {
        field: "fleet",
        problem: problem.to_string(),
    })?;
    let file = &document.policy_file;
    if file.is_empty() || file.len() > POLICY_FILE_LENGTH || file.chars().any(char::is_control) {
        let problem =
            format!("give a file name of 1 to {POLICY_FILE_LENGTH} bytes without control characters");
        return Err(SnapshotError::Head {
            field: "policy_file",
            problem,
        });
    }
    for (list, count, limit) in [
        ("roles", document.roles.len(), ROLES),
        ("vectors", document.vectors.len(), VECTORS),
        ("exceptions.banned", document.exceptions.banned.len(), BANNED),
    ] {
        if count > limit {
            return Err(SnapshotError::TooMany { list, count, limit });
        }
    }
    Ok(())
}

fn read_roles(document: &Document) -> Result<Vec<Role>, SnapshotError> {
    let mut names = HashSet::new();
    document
        .roles
        .iter()
        .map(|entry| {
            let role = if names.insert(entry.name.as_str()) {
                Role::read(entry, &document.policy_file)
            } else {
                Err(RoleError::DuplicateName)
            };
            role.map_err(|problem| SnapshotError::Role {
                role: entry.name.clone(),
                line: entry.line,
                problem,
            })
        })
        .collect()
}

fn read_exceptions(entry: &ExceptionsEntry) -> Result<Exceptions, SnapshotError> {
    Ok(Exceptions::new(
        read_list("revoked_serials", &entry.revoked_serials)?,
        read_list::<_, Vec<_>>("revoked", &entry.revoked)?,
        read_list::<_, Vec<_>>("quarantined", &entry.quarantined)?,
        read_list("banned", &entry.banned)?,
    ))
}

fn read_list<T, C>(list: &'static str, entries: &[String]) -> Result<C, SnapshotError>
where
    T: FromStr<Err: ToString>,
    C: FromIterator<T>,
{
    entries
        .iter()
        .map(|entry| {
            entry.parse().map_err(|problem: T::Err| SnapshotError::Exception {
                list,
                problem: problem.to_string(),
            })
        })
        .collect()
}

fn check_vector(snapshot: &Snapshot, index: usize, vector: VectorEntry) -> Result<(), SnapshotError> {
    let VectorEntry {
        identity,
        action,
        topic,
        qos,
        retain,
        allowed: expected,
    } = vector;
    let identity = Identity::new(identity.kind, identity.id, identity.attributes).map_err(|problem| {
        SnapshotError::Vector {
            index,
            problem: problem.to_string(),
        }
    })?;
    let decision = snapshot.bind(&identity).decide(action, &topic, qos, retain);
    if decision.is_allowed() == expected {
        return Ok(());
    }
    let question = format!(
        "{identity} {} {topic:?} (QoS {qos}, retain {retain})",
        action.as_str()
    );
    Err(SnapshotError::VectorFailed {
        index,
        question,
        expected,
        decision,
    })
}
