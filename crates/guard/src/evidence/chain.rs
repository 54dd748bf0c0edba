//! The chain of hashes.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::Record;

/// Bytes of a SHA-256 digest.
const HASH_LENGTH: usize = 32;

/// The hash of a line; in text 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; HASH_LENGTH]);

impl Hash {
    /// What the first line names as its previous hash.
    pub const START: Self = Self([0; HASH_LENGTH]);

    /// Digits of a hash in text.
    pub(super) const TEXT_LENGTH: usize = 2 * HASH_LENGTH;

    /// The hash of a line.
    pub(super) fn of(previous: Self, seq: u64, record: &[u8]) -> Self {
        let mut digest = Sha256::new();
        digest.update(previous.0);
        digest.update(seq.to_be_bytes());
        digest.update(record);
        Self(digest.finalize().into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let mut hash = [0; HASH_LENGTH];
        let mut pairs = text.as_bytes().chunks_exact(2);
        for byte in &mut hash {
            let &[high, low] = pairs.next().ok_or(HashError)? else {
                return Err(HashError);
            };
            *byte = (digit(high).ok_or(HashError)? << 4) | digit(low).ok_or(HashError)?;
        }
        if text.len() == Self::TEXT_LENGTH {
            Ok(Self(hash))
        } else {
            Err(HashError)
        }
    }
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// A text is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no hash, write 64 lower-case hexadecimal digits")]
pub struct HashError;

/// Turns records into lines, each bound to all before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    seq: u64,
    last: Hash,
}

impl Chain {
    /// The beginning of a log.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            seq: 0,
            last: Hash::START,
        }
    }

    /// Goes on behind the line with this number and hash.
    #[must_use]
    pub const fn resume(last_seq: u64, last_hash: Hash) -> Self {
        Self {
            seq: last_seq,
            last: last_hash,
        }
    }

    /// The number of the last line; 0 if there is none.
    #[must_use]
    pub const fn last_seq(&self) -> u64 {
        self.seq
    }

    /// The hash of the last line.
    #[must_use]
    pub const fn last_hash(&self) -> Hash {
        self.last
    }

    /// The next line, without the newline that has to follow it: a line without one is torn.
    #[must_use = "a line that is not written breaks the chain"]
    pub fn append(&mut self, record: &Record) -> String {
        let record = record.canonical();
        let seq = self.seq.saturating_add(1);
        let hash = Hash::of(self.last, seq, record.as_bytes());
        let line = line(seq, self.last, &record, hash);
        self.seq = seq;
        self.last = hash;
        line
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

/// What stands before the record in a line.
pub(super) fn head(seq: u64, previous: Hash) -> String {
    format!("{{\"seq\":{seq},\"previous\":\"{previous}\",\"record\":")
}

/// What stands behind the record in a line.
pub(super) fn tail(hash: Hash) -> String {
    format!(",\"hash\":\"{hash}\"}}")
}

fn line(seq: u64, previous: Hash, record: &str, hash: Hash) -> String {
    format!("{}{record}{}", head(seq, previous), tail(hash))
}
