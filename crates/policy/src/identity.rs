//! Who acts: a device or a service, and the attributes its certificate vouches for.
//!
//! The alphabet of identity values is what SPIFFE allows in a path segment, `[a-zA-Z0-9._-]`
//! without `.` and `..`. That is narrower than what a topic level could carry: besides `/ + #`, a
//! leading `$`, NUL and controls it leaves out every other character, too, because each value must
//! live in a certificate's SPIFFE id without any escaping.

mod spiffe;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

/// Characters of an id, an attribute key or an attribute value. Serial numbers, MAC addresses,
/// UUIDs and host labels fit; a topic of sixteen bound levels still fits the codec's bound.
pub const VALUE_LENGTH: usize = 64;

/// Attributes of one identity. `group`, `site`, `tenant` and `model` are usual; the bound keeps
/// every identity inside one SPIFFE id of [`SPIFFE_LENGTH`] bytes.
pub const ATTRIBUTES: usize = 12;

/// Characters of a fleet name, which is a SPIFFE trust domain (SPIFFE-ID 2.1).
pub const FLEET_LENGTH: usize = 255;

/// Bytes of a SPIFFE id that every implementation has to support (SPIFFE-ID 2.3).
pub const SPIFFE_LENGTH: usize = 2048;

/// Keys that name the identity itself in a SPIFFE path and in a placeholder, and thus no attribute.
pub const RESERVED_KEYS: [&str; 2] = ["device", "service"];

// The longest identity fits: scheme, fleet, attributes as `/key/value`, `/service/` and the id.
const _: () =
    assert!(9 + FLEET_LENGTH + ATTRIBUTES * 2 * (VALUE_LENGTH + 1) + 9 + VALUE_LENGTH <= SPIFFE_LENGTH);

/// What kind of thing an identity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A thing in the field, whose key will be extracted some day.
    Device,
    /// A program of the operator.
    Service,
}

impl Kind {
    /// `device` or `service`, as in a SPIFFE path.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Service => "service",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        match text {
            "device" => Ok(Self::Device),
            "service" => Ok(Self::Service),
            other => Err(IdentityError::Kind {
                found: other.to_owned(),
            }),
        }
    }
}

/// A validated identity. Its fields are read through [`IdentityFields`]; nobody can set them, so
/// each value of this type has passed [`Identity::new`]. Clones share the parts: connection, session and
/// rights of an identity each know it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(Arc<IdentityFields>);

/// The parts of an [`Identity`], for reading.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct IdentityFields {
    /// Device or service.
    pub kind: Kind,
    /// Unique within the kind and the fleet.
    pub id: String,
    /// What a policy can name besides the id.
    pub attributes: BTreeMap<String, String>,
}

impl Identity {
    /// Validates every part (law 9).
    ///
    /// # Errors
    /// The first part that could not live in a topic level and in a SPIFFE path.
    pub fn new(
        kind: Kind,
        id: impl Into<String>,
        attributes: BTreeMap<String, String>,
    ) -> Result<Self, IdentityError> {
        let id = id.into();
        check_value(&id).map_err(|problem| IdentityError::Id {
            id: id.clone(),
            problem,
        })?;
        if attributes.len() > ATTRIBUTES {
            return Err(IdentityError::TooManyAttributes {
                count: attributes.len(),
            });
        }
        for (key, value) in &attributes {
            check_attribute_key(key)?;
            check_value(value).map_err(|problem| IdentityError::Value {
                key: key.clone(),
                value: value.clone(),
                problem,
            })?;
        }
        Ok(Self(Arc::new(IdentityFields { kind, id, attributes })))
    }

    /// Reads a SPIFFE id of the fleet, `spiffe://<fleet>/<key>/<value>/…/device/<id>` or
    /// `…/service/<id>`.
    ///
    /// # Errors
    /// Anything but exactly that shape, another trust domain included.
    pub fn from_spiffe(uri: &str, fleet: &str) -> Result<Self, IdentityError> {
        spiffe::parse(uri, fleet)
    }

    /// Writes the one SPIFFE id of this identity: attributes in the order of their keys.
    #[must_use]
    pub fn to_spiffe(&self, fleet: &str) -> String {
        spiffe::format(self, fleet)
    }

    /// The identity without its attributes.
    #[must_use]
    pub fn name(&self) -> IdentityName {
        IdentityName {
            kind: self.kind,
            id: self.id.clone(),
        }
    }

    /// What a placeholder of this name stands for: the id for `{device}` or `{service}` of the own
    /// kind, else the attribute.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        if RESERVED_KEYS.contains(&name) {
            return (name == self.kind.as_str()).then_some(self.id.as_str());
        }
        self.attributes.get(name).map(String::as_str)
    }
}

impl Deref for Identity {
    type Target = IdentityFields;

    fn deref(&self) -> &IdentityFields {
        &self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind, self.id)
    }
}

/// Kind and id, written `device/toaster-1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityName {
    kind: Kind,
    id: String,
}

impl IdentityName {
    /// Device or service.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The id within the kind.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl FromStr for IdentityName {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let Some((kind, id)) = text.split_once('/') else {
            return Err(IdentityError::Name {
                found: text.to_owned(),
            });
        };
        let kind = kind.parse()?;
        check_value(id).map_err(|problem| IdentityError::Id {
            id: id.to_owned(),
            problem,
        })?;
        Ok(Self {
            kind,
            id: id.to_owned(),
        })
    }
}

impl fmt::Display for IdentityName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind, self.id)
    }
}

/// Can `value` be an id, an attribute key or an attribute value?
///
/// # Errors
/// The first rule it breaks.
pub fn check_value(value: &str) -> Result<(), ValueError> {
    if value.is_empty() {
        return Err(ValueError::Empty);
    }
    if value.len() > VALUE_LENGTH {
        return Err(ValueError::TooLong { length: value.len() });
    }
    if let Some(character) = value.chars().find(|&character| !is_value_character(character)) {
        return Err(ValueError::Character { character });
    }
    if value == "." || value == ".." {
        return Err(ValueError::Dots);
    }
    Ok(())
}

/// Can `key` name an attribute?
///
/// # Errors
/// What [`check_value`] refuses, and the reserved keys.
pub fn check_attribute_key(key: &str) -> Result<(), IdentityError> {
    check_value(key).map_err(|problem| IdentityError::Key {
        key: key.to_owned(),
        problem,
    })?;
    if RESERVED_KEYS.contains(&key) {
        return Err(IdentityError::ReservedKey { key: key.to_owned() });
    }
    Ok(())
}

/// Can `fleet` be a fleet name, that is a SPIFFE trust domain: lower-case letters, digits, `.`,
/// `-` and `_`?
///
/// # Errors
/// The first rule it breaks.
pub fn check_fleet(fleet: &str) -> Result<(), ValueError> {
    if fleet.is_empty() {
        return Err(ValueError::Empty);
    }
    if fleet.len() > FLEET_LENGTH {
        return Err(ValueError::TooLong { length: fleet.len() });
    }
    let odd = |character: &char| !is_value_character(*character) || character.is_ascii_uppercase();
    if let Some(character) = fleet.chars().find(odd) {
        return Err(ValueError::Character { character });
    }
    if fleet == "." || fleet == ".." {
        return Err(ValueError::Dots);
    }
    Ok(())
}

fn is_value_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-')
}

/// Why a text cannot be an identity value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// No character at all.
    #[error("it is empty, write at least one character")]
    Empty,
    /// Longer than [`VALUE_LENGTH`], or [`FLEET_LENGTH`] for a fleet.
    #[error("it has {length} characters, shorten it to {VALUE_LENGTH} (a fleet name to {FLEET_LENGTH})")]
    TooLong {
        /// Bytes found.
        length: usize,
    },
    /// Not in the alphabet of SPIFFE path segments.
    #[error(
        "it contains {character:?}, use only letters, digits, `.`, `_` and `-` (a fleet name: lower case)"
    )]
    Character {
        /// The first such character.
        character: char,
    },
    /// `.` and `..` are path syntax.
    #[error("it is a dot segment, use a name")]
    Dots,
}

/// Why something is no identity. Peer-supplied text in it is escaped when shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Neither device nor service.
    #[error("unknown identity kind {found:?}, use `device` or `service`")]
    Kind {
        /// What was found.
        found: String,
    },
    /// Not `device/<id>` or `service/<id>`.
    #[error("{found:?} does not name an identity, write `device/<id>` or `service/<id>`")]
    Name {
        /// What was found.
        found: String,
    },
    /// The id is unusable.
    #[error("bad id {id:?}: {problem}")]
    Id {
        /// The id.
        id: String,
        /// What is wrong with it.
        problem: ValueError,
    },
    /// An attribute key is unusable.
    #[error("bad attribute key {key:?}: {problem}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: ValueError,
    },
    /// An attribute value is unusable.
    #[error("bad value {value:?} of attribute {key:?}: {problem}")]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        problem: ValueError,
    },
    /// `device` or `service` as attribute key.
    #[error("attribute key {key:?} is reserved for the id, use another")]
    ReservedKey {
        /// The key.
        key: String,
    },
    /// The same key twice in one SPIFFE id.
    #[error("attribute key {key:?} appears twice in the SPIFFE id, issue a certificate with one")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// More than [`ATTRIBUTES`].
    #[error("{count} attributes, {ATTRIBUTES} is the most")]
    TooManyAttributes {
        /// Attributes found.
        count: usize,
    },
    /// Longer than [`SPIFFE_LENGTH`].
    #[error("SPIFFE id of {length} bytes, {SPIFFE_LENGTH} is the most")]
    SpiffeTooLong {
        /// Bytes found.
        length: usize,
    },
    /// Not the scheme `spiffe://`.
    #[error("identity URI does not start with `spiffe://`, issue a certificate with a SPIFFE id")]
    Scheme,
    /// A URI part that SPIFFE forbids.
    #[error("SPIFFE id has a {part}, which SPIFFE does not allow")]
    UriPart {
        /// What it is called.
        part: &'static str,
    },
    /// The SPIFFE id belongs to another fleet.
    #[error("SPIFFE id of trust domain {found:?}, this fleet is {expected:?}")]
    TrustDomain {
        /// The trust domain of the SPIFFE id.
        found: String,
        /// The own one.
        expected: String,
    },
    /// The path is not pairs of key and value that end in `device/<id>` or `service/<id>`.
    #[error("SPIFFE path is not `/<key>/<value>/…/device/<id>` or `…/service/<id>`")]
    Path,
}
