//! The log as a row of files: a full one is closed under the number of its first line, and the oldest
//! goes when there are too many.
//!
//! The chain runs through all of them. Before a file goes, a record in the chain names its last line
//! and that line's hash, so that a log which begins later than with line 1 can prove why it does.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use motte_guard::evidence::{Chain, LINE_LENGTH};

use super::tail::{self, Tail};

/// Bytes after which a file of the log is closed. About 200,000 records: an editor still opens it, and
/// a search through it takes less than a second.
pub(crate) const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of closed files that are kept. Equal refusals are counted together and an identity can connect
/// about once a second, so the loudest thief needs months to push its own traces out of it.
pub(crate) const KEPT_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// How the names of closed files begin; the number of the first line follows, in [`DIGITS`] digits.
const PREFIX: &str = "evidence-";
const SUFFIX: &str = ".log";
/// Digits of a line number: names sort as their lines do, and every `u64` fits.
const DIGITS: usize = 20;

/// How large the log may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// See [`SEGMENT_BYTES`].
    pub segment_bytes: u64,
    /// See [`KEPT_BYTES`].
    pub kept_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            kept_bytes: KEPT_BYTES,
        }
    }
}

/// A closed file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) first_seq: u64,
    pub(super) path: PathBuf,
    bytes: u64,
}

/// The closed files beside `active`, oldest first.
pub(super) fn closed(active: &Path) -> io::Result<Vec<Segment>> {
    let folder = active.parent().unwrap_or(Path::new("."));
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(first_seq) = entry.file_name().to_str().and_then(number) else {
            continue;
        };
        // What a link leads to is no file of ours.
        let metadata = entry.metadata()?;
        if metadata.is_file() {
            segments.push(Segment {
                first_seq,
                path: entry.path(),
                bytes: metadata.len(),
            });
        }
    }
    segments.sort_unstable_by_key(|segment| segment.first_seq);
    Ok(segments)
}

/// The first line number in the name of a closed file.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    (digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// Gives the active file its name among the closed ones. A file that has that name already stays as it
/// is, and so does the active one.
pub(super) fn close(active: &Path, first_seq: u64) -> io::Result<()> {
    let name = format!("{PREFIX}{first_seq:0DIGITS$}{SUFFIX}");
    fs::hard_link(active, active.with_file_name(name))?;
    fs::remove_file(active)
}

/// Where the chain goes on behind the closed files; `None` if there are none or the last one is damaged.
pub(super) fn end(active: &Path) -> io::Result<Option<Chain>> {
    let Some(last) = closed(active)?.pop() else {
        return Ok(None);
    };
    end_of(&last)
}

/// The end of one closed file.
pub(super) fn end_of(segment: &Segment) -> io::Result<Option<Chain>> {
    Ok(match tail::read(&mut File::open(&segment.path)?)? {
        Tail::Sound { chain, .. } if chain.last_seq() > 0 => Some(chain),
        _ => None,
    })
}

/// The number of the first line of a file that has one.
pub(super) fn first_seq(mut file: &File) -> io::Result<Option<u64>> {
    file.seek(SeekFrom::Start(0))?;
    let mut line = Vec::new();
    let mut start = BufReader::new(file.take(LINE_LENGTH as u64));
    start.read_until(b'\n', &mut line)?;
    Ok(tail::number_of(&line))
}

/// The oldest closed file, if the closed ones are together larger than `kept_bytes`. The newest always
/// stays.
pub(super) fn surplus(active: &Path, kept_bytes: u64) -> io::Result<Option<Segment>> {
    let segments = closed(active)?;
    let bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let too_many = bytes > kept_bytes && segments.len() > 1;
    Ok(segments.into_iter().next().filter(|_| too_many))
}
