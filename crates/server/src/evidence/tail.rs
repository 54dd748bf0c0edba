//! Where the log ends, and whether it ended well.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use motte_guard::evidence::{Chain, Hash, LINE_LENGTH};

/// Bytes looked at from the end: the last whole line and an unfinished one behind it.
const WINDOW: u64 = 2 * LINE_LENGTH as u64;

/// What the end of a log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// The chain goes on behind `length` bytes; `torn` bytes after them are an unfinished line.
    Sound { chain: Chain, length: u64, torn: u64 },
    /// The last line is none that this program wrote: the chain cannot go on.
    Damaged,
}

/// The fields of a line that the next one builds on.
#[derive(serde::Deserialize)]
struct Line {
    seq: u64,
    hash: String,
}

/// Reads the end of a log. Every earlier line is left to the verification, which reads them all.
pub(super) fn read(file: &mut File) -> io::Result<Tail> {
    let size = file.metadata()?.len();
    let start = size.saturating_sub(WINDOW);
    file.seek(SeekFrom::Start(start))?;
    let mut window = Vec::new();
    file.take(WINDOW).read_to_end(&mut window)?;
    let end = window
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |position| position + 1);
    let torn = (window.len() - end) as u64;
    let length = start + end as u64;
    if length == 0 {
        return Ok(Tail::Sound {
            chain: Chain::new(),
            length,
            torn,
        });
    }
    let whole = window.get(..end.saturating_sub(1)).unwrap_or_default();
    let begin = whole
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |position| position + 1);
    let line = whole.get(begin..).unwrap_or_default();
    let chain = parse(line).and_then(|line| Some(Chain::resume(line.seq, line.hash.parse::<Hash>().ok()?)));
    Ok(match chain {
        Some(chain) if end > 0 => Tail::Sound { chain, length, torn },
        _ => Tail::Damaged,
    })
}

/// The number of a line; `None` if it is none that this program wrote.
pub(super) fn number_of(line: &[u8]) -> Option<u64> {
    parse(line).map(|line| line.seq)
}

fn parse(line: &[u8]) -> Option<Line> {
    serde_json::from_slice::<Line>(line)
        .ok()
        .filter(|line| line.seq > 0)
}
