//! Who or what hangs on which topic filter.
//!
//! Filters without wildcards, which are all that devices may have, are one look-up by the whole topic.
//! Filters with wildcards form a tree of levels; its depth is bounded by the codec's limit on levels,
//! and branches that nobody uses any more are taken out (attack X9).
//!
//! A search enters two branches at most of each node, the level itself and `+`. In the trees that people
//! make, that is a handful of nodes, however many filters there are. A tree that doubles at every level
//! can be made on purpose, so each node knows the longest search below it, and [`FilterIndex::search_with`]
//! tells what a filter would cost before it is in.

use std::collections::HashMap;

use super::{is_reserved, levels};

/// What hangs on a filter; one for each key.
pub(crate) trait Entry: Copy {
    type Key: Copy + Ord;
    fn key(&self) -> Self::Key;
}

/// All filters of one kind.
#[derive(Debug)]
pub(crate) struct FilterIndex<T> {
    concrete: HashMap<Box<str>, Vec<T>>,
    wildcard: Node<T>,
    /// Entries in the tree, so that the common case skips it.
    wildcards: usize,
}

/// One level of the tree of filters with wildcards.
#[derive(Debug)]
struct Node<T> {
    literals: HashMap<Box<str>, Node<T>>,
    single: Option<Box<Node<T>>>,
    /// Filters that end at this level.
    here: Vec<T>,
    /// Filters that end here with `#`; they match this level and everything below.
    below: Vec<T>,
    /// The longest search among `literals`, in nodes.
    longest_literal: usize,
}

impl<T> Default for FilterIndex<T> {
    fn default() -> Self {
        Self {
            concrete: HashMap::new(),
            wildcard: Node::default(),
            wildcards: 0,
        }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            literals: HashMap::new(),
            single: None,
            here: Vec::new(),
            below: Vec::new(),
            longest_literal: 0,
        }
    }
}

impl<T: Entry> FilterIndex<T> {
    /// Adds an entry, in place of one with the same key on the same filter.
    pub(crate) fn insert(&mut self, filter: &str, entry: T) {
        if has_wildcard(filter) {
            let added = self.wildcard.insert(&mut levels(filter), entry);
            self.wildcards += usize::from(added);
        } else {
            replace(self.concrete.entry(filter.into()).or_default(), entry);
        }
    }

    /// Removes the entry with this key on exactly this filter, if there is one.
    pub(crate) fn remove(&mut self, filter: &str, key: T::Key) {
        if has_wildcard(filter) {
            let removed = self.wildcard.remove(&mut levels(filter), key);
            self.wildcards -= usize::from(removed);
            return;
        }
        if let Some(entries) = self.concrete.get_mut(filter) {
            take(entries, key);
            if entries.is_empty() {
                self.concrete.remove(filter);
            }
        }
    }

    /// Adds every entry whose filter matches `topic` to `found`. Returns how many nodes that took.
    pub(crate) fn matching(&self, topic: &str, found: &mut Vec<T>) -> usize {
        if let Some(entries) = self.concrete.get(topic) {
            found.extend_from_slice(entries);
        }
        if self.wildcards == 0 {
            return 0;
        }
        self.wildcard
            .matching(&mut levels(topic), is_reserved(topic), found)
    }

    /// The longest search that could be if this filter were in, in nodes. Never less than the longest one
    /// that is; what a search takes is never more.
    pub(crate) fn search_with(&self, filter: &str) -> usize {
        if has_wildcard(filter) {
            Node::search_with(Some(&self.wildcard), &mut levels(filter))
        } else {
            0
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.concrete.is_empty() && self.wildcard.is_empty() && self.wildcards == 0
    }
}

impl<T: Entry> Node<T> {
    /// The nodes that a search may visit here and below.
    fn longest(&self) -> usize {
        1 + self.longest_literal + self.single.as_ref().map_or(0, |child| child.longest())
    }

    /// Whether the entry is new; makes the way to it.
    fn insert(&mut self, rest: &mut std::str::Split<'_, char>, entry: T) -> bool {
        match rest.next() {
            None => replace(&mut self.here, entry),
            Some("#") => replace(&mut self.below, entry),
            Some("+") => self.single.get_or_insert_default().insert(rest, entry),
            Some(literal) => {
                let child = self.literals.entry(literal.into()).or_default();
                let added = child.insert(rest, entry);
                self.longest_literal = self.longest_literal.max(child.longest());
                added
            }
        }
    }

    /// Whether an entry was removed; prunes what became empty on the way back.
    fn remove(&mut self, rest: &mut std::str::Split<'_, char>, key: T::Key) -> bool {
        match rest.next() {
            None => take(&mut self.here, key),
            Some("#") => take(&mut self.below, key),
            Some("+") => {
                let Some(child) = &mut self.single else {
                    return false;
                };
                let removed = child.remove(rest, key);
                if child.is_empty() {
                    self.single = None;
                }
                removed
            }
            Some(literal) => {
                let Some(child) = self.literals.get_mut(literal) else {
                    return false;
                };
                let before = child.longest();
                let removed = child.remove(rest, key);
                let after = if child.is_empty() {
                    self.literals.remove(literal);
                    0
                } else {
                    child.longest()
                };
                if after < before && before == self.longest_literal {
                    self.measure_literals(before);
                }
                removed
            }
        }
    }

    /// The branch with the longest search became shorter. Mostly another one is as long.
    fn measure_literals(&mut self, before: usize) {
        let mut longest = 0;
        for child in self.literals.values() {
            longest = longest.max(child.longest());
            if longest == before {
                break;
            }
        }
        self.longest_literal = longest;
    }

    fn search_with(node: Option<&Self>, rest: &mut std::str::Split<'_, char>) -> usize {
        let single = node.and_then(|node| node.single.as_deref());
        let longest_single = single.map_or(0, Self::longest);
        let longest_literal = node.map_or(0, |node| node.longest_literal);
        match rest.next() {
            None | Some("#") => 1 + longest_literal + longest_single,
            Some("+") => 1 + longest_literal + Self::search_with(single, rest),
            Some(literal) => {
                let child = node.and_then(|node| node.literals.get(literal));
                1 + longest_literal.max(Self::search_with(child, rest)) + longest_single
            }
        }
    }

    fn matching(&self, rest: &mut std::str::Split<'_, char>, reserved: bool, found: &mut Vec<T>) -> usize {
        if !reserved {
            found.extend_from_slice(&self.below);
        }
        let Some(level) = rest.next() else {
            found.extend_from_slice(&self.here);
            return 1;
        };
        let mut visited = 1;
        if let Some(child) = self.literals.get(level) {
            visited += child.matching(&mut rest.clone(), false, found);
        }
        if !reserved && let Some(child) = &self.single {
            visited += child.matching(rest, false, found);
        }
        visited
    }

    fn is_empty(&self) -> bool {
        self.literals.is_empty() && self.single.is_none() && self.here.is_empty() && self.below.is_empty()
    }
}

fn has_wildcard(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

/// Whether the entry is new to the list, which is in the order of the keys: a whole fleet may hang on one
/// topic.
fn replace<T: Entry>(list: &mut Vec<T>, entry: T) -> bool {
    let place = list.binary_search_by_key(&entry.key(), Entry::key);
    match place {
        Ok(index) => {
            if let Some(existing) = list.get_mut(index) {
                *existing = entry;
            }
        }
        Err(index) => list.insert(index, entry),
    }
    place.is_err()
}

fn take<T: Entry>(list: &mut Vec<T>, key: T::Key) -> bool {
    let place = list.binary_search_by_key(&key, Entry::key);
    if let Ok(index) = place {
        list.remove(index);
    }
    place.is_ok()
}

#[cfg(test)]
mod tests;
