//! Is the log as it was written?

use std::io::{self, BufRead, Read};

use super::Hash;
use super::chain::{head, tail};

/// Bytes of a line, newline included. Above what the longest record with every text at its bound takes.
pub const LINE_LENGTH: usize = 8 * 1024;

/// A log, or the beginning of one, that is as it was written.
///
/// Lines cut off at the end leave a good log that is too short: compare with a count or a hash that was
/// kept elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Lines, and the number of the last one.
    pub count: u64,
    /// The hash of the last line; [`Hash::START`] if there is none.
    pub last_hash: Hash,
    /// Bytes of these lines, newlines included.
    pub length: u64,
}

/// The first line that is not as it was written.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Broken {
    /// Its number in the file, the first being 1.
    pub line: u64,
    /// What is wrong.
    #[source]
    pub why: Why,
    /// What stands before it and is good.
    pub intact: Verified,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// It is the last one and has no newline: the writer was interrupted, which is no tampering. What
    /// is intact before it can be continued.
    #[error("unfinished last line, the writer was interrupted")]
    Torn,
    /// Longer than any record.
    #[error("longer than {LINE_LENGTH} bytes, it was not written by this program")]
    TooLong,
    /// Number or previous hash are not those that follow: lines were removed, added or moved.
    #[error("does not follow the line before it, lines were removed, added or moved")]
    OutOfSequence,
    /// The hash is not that of the record.
    #[error("record and hash differ, the line was changed")]
    Changed,
    /// The log could not be read.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
}

/// Checks every line of a log from its beginning.
///
/// # Errors
/// The first line that is not as it was written, and how far the log is good.
pub fn verify(mut log: impl BufRead) -> Result<Verified, Broken> {
    let mut intact = Verified {
        count: 0,
        last_hash: Hash::START,
        length: 0,
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        // One byte more than a line may have tells a line that is too long from one that just fits.
        let bound = u64::try_from(LINE_LENGTH).unwrap_or(u64::MAX).saturating_add(1);
        let broken = |why| Broken {
            line: intact.count.saturating_add(1),
            why,
            intact,
        };
        let read = log.by_ref().take(bound).read_until(b'\n', &mut line);
        match read {
            Err(error) => return Err(broken(Why::Unreadable(error))),
            Ok(0) => return Ok(intact),
            Ok(length) if length > LINE_LENGTH => return Err(broken(Why::TooLong)),
            Ok(_) => {}
        }
        let Some(content) = line.strip_suffix(b"\n") else {
            return Err(broken(Why::Torn));
        };
        let hash = check(content, intact).map_err(broken)?;
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        intact = Verified {
            count: intact.count.saturating_add(1),
            last_hash: hash,
            length: intact.length.saturating_add(length),
        };
    }
}

/// The line has to be, byte for byte, what the chain would have written around this record.
fn check(line: &[u8], before: Verified) -> Result<Hash, Why> {
    let seq = before.count.saturating_add(1);
    let rest = line
        .strip_prefix(head(seq, before.last_hash).as_bytes())
        .ok_or(Why::OutOfSequence)?;
    let length = rest
        .len()
        .checked_sub(tail(Hash::START).len())
        .ok_or(Why::Changed)?;
    let (record, end) = rest.split_at_checked(length).ok_or(Why::Changed)?;
    let hash = Hash::of(before.last_hash, seq, record);
    if end == tail(hash).as_bytes() {
        Ok(hash)
    } else {
        Err(Why::Changed)
    }
}
