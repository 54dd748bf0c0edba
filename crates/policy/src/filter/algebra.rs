//! Containment and intersection of filters, decided on normal forms.
//!
//! Levels are an infinite alphabet, so for each filter there is a level that no literal of the
//! grants names. Put in place of every `+` it makes a topic that only a grant with `+` in these
//! places can match; therefore all topics of *one* depth of a filter lie in a union only if they
//! lie in a single member. A filter with a tail is unrolled depth by depth up to one level past
//! the longest grant; from there on only grants with a tail can match, and one that does matches
//! everything deeper, too.

use super::{Filter, Level};

/// A topic that shows why a filter is not contained in what is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// A topic that the filter matches and that may not be read.
    pub topic: String,
    /// The index of the denial that matches it, too; none if it is merely not granted.
    pub denial: Option<usize>,
}

/// Does the union of `grants` match every topic that `filter` matches, and no denial any of them?
///
/// # Errors
/// A topic for which this does not hold. Denials are looked at first.
pub fn contains(grants: &[Filter], denials: &[Filter], filter: &Filter) -> Result<(), Counterexample> {
    for (index, denial) in denials.iter().enumerate() {
        if let Some(common) = intersects(filter, denial) {
            return Err(Counterexample {
                topic: example(&common),
                denial: Some(index),
            });
        }
    }
    match uncovered(&grants.iter(), filter) {
        None => Ok(()),
        Some(depth) => Err(Counterexample {
            topic: witness(&grants.iter(), filter, depth),
            denial: None,
        }),
    }
}

/// The topics that both filters match: one filter, or none at all.
#[must_use]
pub fn intersects(left: &Filter, right: &Filter) -> Option<Filter> {
    if !overlaps(left, right) {
        return None;
    }
    let depth = left.levels().len().max(right.levels().len());
    let levels = (0..depth)
        .map(
            |index| match (left.levels().get(index), right.levels().get(index)) {
                (Some(Level::Any) | None, Some(level)) | (Some(level), _) => level.clone(),
                (None, None) => Level::Any,
            },
        )
        .collect();
    Some(Filter::from_levels(levels, left.tail() && right.tail()))
}

/// Is there a topic that both filters match?
pub(crate) fn overlaps(left: &Filter, right: &Filter) -> bool {
    let (left_depth, right_depth) = (left.levels().len(), right.levels().len());
    let fits = match (left.tail(), right.tail()) {
        (true, true) => true,
        (true, false) => right_depth >= left_depth,
        (false, true) => left_depth >= right_depth,
        (false, false) => left_depth == right_depth,
    };
    fits && left
        .levels()
        .iter()
        .zip(right.levels())
        .enumerate()
        .all(|(depth, (one, other))| match (one, other) {
            (Level::Any, Level::Any) => true,
            (Level::Any, Level::Literal(literal)) | (Level::Literal(literal), Level::Any) => {
                !is_reserved(literal, depth)
            }
            (Level::Literal(one), Level::Literal(other)) => one == other,
        })
}

/// The least depth at which `filter` has topics that no single grant covers; none if the union of
/// the grants contains the filter.
pub(crate) fn uncovered<'a>(
    grants: &(impl Iterator<Item = &'a Filter> + Clone),
    filter: &Filter,
) -> Option<usize> {
    depths(grants.clone(), filter).find(|&depth| !grants.clone().any(|grant| covers(grant, filter, depth)))
}

/// Does `grant` alone match all topics of `filter` of the least depth it has?
pub(crate) fn covers_shortest(grant: &Filter, filter: &Filter) -> bool {
    covers(grant, filter, filter.levels().len())
}

/// A topic of `filter`, `depth` levels deep, that none of the grants matches unless it covers all
/// topics of that depth.
pub(crate) fn witness<'a>(
    grants: &(impl Iterator<Item = &'a Filter> + Clone),
    filter: &Filter,
    depth: usize,
) -> String {
    let is_named = |candidate: &str| {
        grants.clone().flat_map(Filter::levels).any(|level| match level {
            Level::Any => false,
            Level::Literal(literal) => **literal == *candidate,
        })
    };
    let mut fresh = String::from("any");
    let mut attempt = 0_usize;
    // Ends: each round tries another text and the grants name finitely many.
    while is_named(&fresh) {
        attempt = attempt.saturating_add(1);
        fresh = format!("any-{attempt}");
    }
    fill(filter, depth, &fresh)
}

/// Some topic of `filter`.
pub(crate) fn example(filter: &Filter) -> String {
    fill(filter, filter.levels().len(), "any")
}

/// How many leading levels of `filter` the grant agrees with, for naming the nearest rule.
pub(crate) fn shared_levels(grant: &Filter, filter: &Filter) -> usize {
    grant
        .levels()
        .iter()
        .enumerate()
        .take_while(|(depth, wide)| {
            *depth < filter.levels().len() && includes(wide, level_at(filter, *depth), *depth)
        })
        .count()
}

/// The depths at which containment has to be shown; past the last one nothing changes.
fn depths<'a>(grants: impl Iterator<Item = &'a Filter>, filter: &Filter) -> std::ops::RangeInclusive<usize> {
    let shortest = filter.levels().len();
    let longest = if filter.tail() {
        let deepest_grant = grants.map(|grant| grant.levels().len()).max().unwrap_or(0);
        shortest.max(deepest_grant.saturating_add(1))
    } else {
        shortest
    };
    shortest..=longest
}

/// Does `grant` alone match all topics of `filter` that are `depth` levels deep?
fn covers(grant: &Filter, filter: &Filter, depth: usize) -> bool {
    let prefix = grant.levels().len();
    let fits = if grant.tail() {
        depth >= prefix
    } else {
        depth == prefix
    };
    fits && grant
        .levels()
        .iter()
        .enumerate()
        .all(|(index, wide)| includes(wide, level_at(filter, index), index))
}

/// The level at `depth` of a filter, unrolled: past its own levels a tail is as many `+`.
fn level_at(filter: &Filter, depth: usize) -> &Level {
    filter.levels().get(depth).unwrap_or(&Level::Any)
}

fn includes(wide: &Level, narrow: &Level, depth: usize) -> bool {
    match (wide, narrow) {
        (Level::Any, Level::Any) => true,
        (Level::Any, Level::Literal(literal)) => !is_reserved(literal, depth),
        (Level::Literal(_), Level::Any) => false,
        (Level::Literal(wide), Level::Literal(narrow)) => wide == narrow,
    }
}

/// MQTT-4.7.2-1: a wildcard in the first level does not stand for these.
fn is_reserved(literal: &str, depth: usize) -> bool {
    depth == 0 && literal.starts_with('$')
}

fn fill(filter: &Filter, depth: usize, fresh: &str) -> String {
    let levels: Vec<&str> = (0..depth)
        .map(|index| match level_at(filter, index) {
            Level::Any => fresh,
            Level::Literal(literal) => literal,
        })
        .collect();
    levels.join("/")
}
