//! Who is refused although the certificate is good.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::address::IpNetwork;
use crate::identity::{Identity, IdentityName, Kind};

/// Octets of a certificate serial number (RFC 5280, 4.1.2.2).
pub const SERIAL_LENGTH: usize = 20;

/// A certificate serial number: a positive integer, big-endian, without leading zero octets, so
/// that the sign octet of its DER form makes no difference.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Box<[u8]>);

impl Serial {
    /// Takes the octets of the number, leading zeros allowed.
    #[must_use]
    pub fn from_bytes(octets: &[u8]) -> Self {
        Self(significant(octets).into())
    }
}

fn significant(octets: &[u8]) -> &[u8] {
    let zeros = octets.iter().take_while(|&&octet| octet == 0).count();
    octets.get(zeros..).unwrap_or_default()
}

impl FromStr for Serial {
    type Err = SerialError;

    /// Reads hexadecimal digits, an odd number of them, too.
    fn from_str(text: &str) -> Result<Self, SerialError> {
        let digits: Option<Vec<u8>> = text
            .chars()
            .map(|character| character.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        let digits = digits.ok_or_else(|| SerialError {
            found: text.to_owned(),
        })?;
        let octets: Vec<u8> = digits
            .rchunks(2)
            .rev()
            .map(|pair| {
                pair.iter()
                    .fold(0, |octet: u8, digit| octet.wrapping_mul(16) | digit)
            })
            .collect();
        let octets = significant(&octets);
        if octets.is_empty() || octets.len() > SERIAL_LENGTH {
            return Err(SerialError {
                found: text.to_owned(),
            });
        }
        Ok(Self(octets.into()))
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|octet| write!(formatter, "{octet:02x}"))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Serial({self})")
    }
}

impl Borrow<[u8]> for Serial {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// A text is no serial number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no serial number, write 1 to {SERIAL_LENGTH} octets in hexadecimal, not all zero")]
pub struct SerialError {
    found: String,
}

/// Where an identity stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Nothing is against it.
    Active,
    /// Refused for ever.
    Revoked,
    /// Refused until somebody has looked at it.
    Quarantined,
}

impl Status {
    /// `active`, `revoked` or `quarantined`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Revoked => "revoked",
            Self::Quarantined => "quarantined",
        }
    }
}

/// The exceptions of a snapshot.
#[derive(Clone, Debug, Default)]
pub struct Exceptions {
    revoked_serials: HashSet<Serial>,
    revoked: IdentitySet,
    quarantined: IdentitySet,
    banned: Vec<IpNetwork>,
}

impl Exceptions {
    pub(crate) fn new(
        revoked_serials: HashSet<Serial>,
        revoked: impl IntoIterator<Item = IdentityName>,
        quarantined: impl IntoIterator<Item = IdentityName>,
        banned: Vec<IpNetwork>,
    ) -> Self {
        Self {
            revoked_serials,
            revoked: revoked.into_iter().collect(),
            quarantined: quarantined.into_iter().collect(),
            banned,
        }
    }

    /// Is the certificate with this serial number revoked? Takes the octets of the DER integer.
    #[must_use]
    pub fn is_serial_revoked(&self, serial: &[u8]) -> bool {
        self.revoked_serials.contains(significant(serial))
    }

    /// Where `identity` stands. Revocation wins over quarantine.
    #[must_use]
    pub fn status(&self, identity: &Identity) -> Status {
        self.status_of(identity.kind, &identity.id)
    }

    /// Where the identity of this kind and id stands.
    #[must_use]
    pub fn status_of(&self, kind: Kind, id: &str) -> Status {
        if self.revoked.contains(kind, id) {
            Status::Revoked
        } else if self.quarantined.contains(kind, id) {
            Status::Quarantined
        } else {
            Status::Active
        }
    }

    /// The banned address ranges.
    #[must_use]
    pub fn banned(&self) -> &[IpNetwork] {
        &self.banned
    }

    /// Is `address` in a banned range?
    #[must_use]
    pub fn is_banned(&self, address: IpAddr) -> bool {
        self.banned.iter().any(|network| network.contains(address))
    }
}

/// Names by kind, so that a borrowed id can be looked up.
#[derive(Clone, Debug, Default)]
struct IdentitySet {
    devices: HashSet<Box<str>>,
    services: HashSet<Box<str>>,
}

impl IdentitySet {
    fn contains(&self, kind: Kind, id: &str) -> bool {
        match kind {
            Kind::Device => self.devices.contains(id),
            Kind::Service => self.services.contains(id),
        }
    }
}

impl FromIterator<IdentityName> for IdentitySet {
    fn from_iter<T: IntoIterator<Item = IdentityName>>(names: T) -> Self {
        let mut set = Self::default();
        for name in names {
            match name.kind() {
                Kind::Device => set.devices.insert(name.id().into()),
                Kind::Service => set.services.insert(name.id().into()),
            };
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_compare_as_numbers() {
        let set = HashSet::from(["0a1b".parse::<Serial>().unwrap(), "f".parse().unwrap()]);
        let exceptions = Exceptions::new(set, [], [], Vec::new());
        assert!(exceptions.is_serial_revoked(&[0x0a, 0x1b]));
        assert!(exceptions.is_serial_revoked(&[0, 0x0a, 0x1b]));
        assert!(exceptions.is_serial_revoked(&[0x0f]));
        assert!(!exceptions.is_serial_revoked(&[0x0a, 0x1b, 0]));
        assert!(!exceptions.is_serial_revoked(&[]));
        assert!(!exceptions.is_serial_revoked(&[0]));
    }

    #[test]
    fn serials_are_at_most_twenty_octets() {
        assert_eq!("00FFab".parse::<Serial>().unwrap().to_string(), "ffab");
        assert_eq!("1a2".parse::<Serial>().unwrap().to_string(), "01a2");
        assert!("01".repeat(SERIAL_LENGTH).parse::<Serial>().is_ok());
        assert!("01".repeat(SERIAL_LENGTH + 1).parse::<Serial>().is_err());
        for text in ["", "0", "0000", "0x1", "1 2", "-1", "g", "١"] {
            assert!(text.parse::<Serial>().is_err(), "{text}");
        }
    }

    #[test]
    fn status_is_per_kind_and_revocation_wins() {
        let names = |list: &[&str]| list.iter().map(|name| name.parse().unwrap()).collect::<Vec<_>>();
        let exceptions = Exceptions::new(
            HashSet::new(),
            names(&["device/a", "device/b"]),
            names(&["device/b", "service/a"]),
            vec!["10.0.0.0/8".parse().unwrap()],
        );
        assert_eq!(exceptions.status_of(Kind::Device, "a"), Status::Revoked);
        assert_eq!(exceptions.status_of(Kind::Device, "b"), Status::Revoked);
        assert_eq!(exceptions.status_of(Kind::Service, "a"), Status::Quarantined);
        assert_eq!(exceptions.status_of(Kind::Service, "b"), Status::Active);
        assert!(exceptions.is_banned("10.1.1.1".parse().unwrap()));
        assert!(!exceptions.is_banned("11.1.1.1".parse().unwrap()));
    }
}
