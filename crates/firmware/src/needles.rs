//! Many short byte strings looked for at once.

use aho_corasick::{AhoCorasick, Input, MatchKind};

/// Needles of one set. A scanner has some dozens; the automaton grows with all their bytes.
const NEEDLES: usize = 1024;
/// Bytes of one needle. A mark is looked at more closely afterwards, so it can be short.
const NEEDLE_LENGTH: usize = 64;

/// A place where a needle begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Offset of its first byte, from the start of the data.
    pub offset: usize,
    /// Index of the needle in the set.
    pub needle: usize,
}

/// Why a set of needles was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NeedlesError {
    /// Too many, or none.
    #[error("a set has 1 to {NEEDLES} needles")]
    Count,
    /// An empty needle would be everywhere; a long one costs memory.
    #[error("a needle has 1 to {NEEDLE_LENGTH} bytes")]
    Length,
}

/// A set of needles, ready to search with.
#[derive(Clone, Debug)]
pub struct Needles {
    automaton: AhoCorasick,
}

impl Needles {
    /// Prepares a set; the index of each needle is its place in it.
    ///
    /// # Errors
    /// If there are too many needles or one is empty or too long.
    pub fn new<N: AsRef<[u8]>>(needles: &[N]) -> Result<Self, NeedlesError> {
        if needles.is_empty() || needles.len() > NEEDLES {
            return Err(NeedlesError::Count);
        }
        if needles
            .iter()
            .any(|needle| !(1..=NEEDLE_LENGTH).contains(&needle.as_ref().len()))
        {
            return Err(NeedlesError::Length);
        }
        // This kind of match may use vector instructions to skip what begins no needle.
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .build(needles)
            .map_err(|_| NeedlesError::Count)?;
        Ok(Self { automaton })
    }

    /// Every place in `data` where a needle lies whole, in order, and at most `limit` of them. Where
    /// several begin at one place, it is the first of them in the set.
    ///
    /// Needles overlap, so each search begins one byte after the last place. It sees at most the
    /// length of a needle again, so that the time is linear also for bytes made to hurt.
    #[must_use]
    pub fn find(&self, data: &[u8], limit: usize) -> Vec<Mark> {
        let mut marks = Vec::new();
        let mut from = 0;
        while marks.len() < limit && from < data.len() {
            let Some(found) = self.automaton.find(Input::new(data).range(from..)) else {
                break;
            };
            marks.push(Mark {
                offset: found.start(),
                needle: found.pattern().as_usize(),
            });
            from = found.start() + 1;
        }
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(needles: &[&str], data: &str, limit: usize) -> Vec<(usize, usize)> {
        let marks = Needles::new(needles).unwrap().find(data.as_bytes(), limit);
        marks.iter().map(|mark| (mark.offset, mark.needle)).collect()
    }

    #[test]
    fn overlapping_needles_are_all_found() {
        assert_eq!(found(&["abc", "bc", "cd"], "xabcd", 9), [(1, 0), (2, 1), (3, 2)]);
        assert_eq!(found(&["aa"], "aaaa", 9), [(0, 0), (1, 0), (2, 0)]);
        assert_eq!(found(&["ab", "abc", "a"], "abca", 9), [(0, 0), (3, 2)]);
    }

    #[test]
    fn the_limit_holds() {
        assert_eq!(found(&["a"], "aaaa", 3).len(), 3);
        assert!(found(&["a"], "aaaa", 0).is_empty());
    }

    #[test]
    fn a_needle_cut_by_the_end_is_none() {
        assert!(found(&["abc"], "xxab", 9).is_empty());
    }

    #[test]
    fn odd_sets_are_refused() {
        assert_eq!(Needles::new::<&str>(&[]).unwrap_err(), NeedlesError::Count);
        assert_eq!(
            Needles::new(&vec!["a"; NEEDLES + 1]).unwrap_err(),
            NeedlesError::Count
        );
        assert_eq!(Needles::new(&[""]).unwrap_err(), NeedlesError::Length);
        assert_eq!(
            Needles::new(&["a".repeat(NEEDLE_LENGTH + 1)]).unwrap_err(),
            NeedlesError::Length
        );
        assert!(Needles::new(&["a".repeat(NEEDLE_LENGTH)]).is_ok());
    }
}
