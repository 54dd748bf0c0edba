//! Denials over time: the first of a kind are told one by one, the rest become one record with a count,
//! and too many end the connection.
//!
//! A stolen key that tries ten thousand topics a second must neither fill the disk with evidence nor
//! spend the processor on it (attack X16), and must not push anybody else's denials out of the log.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use motte_policy::IdentityName;

use crate::network::AddressBlock;
use crate::{Denial, Layer};

/// Equal denials of one subject within this time come out as one record. A minute keeps the log of an
/// attack readable, and says soon enough that it goes on.
pub(crate) const AGGREGATION_WINDOW: Duration = Duration::from_secs(60);

/// Denials of one rule that are logged one by one within a window, each with its topic. A thief who feels
/// the walls shows what it is after with the first few attempts; a flood shows nothing more.
pub(crate) const INDIVIDUAL_RECORDS: u32 = 8;

/// Subjects that are told apart. The rest share one place, where nothing is lost but the name.
pub(crate) const SUBJECTS: usize = 65_536;

/// Different rules that are told apart for one subject. Honest software breaks one or two; the rest
/// share one place for each layer, so that a subject costs a few kilobytes at most.
pub(crate) const RULES_PER_SUBJECT: usize = 16;

/// Between two searches for subjects with nothing to say while the table is full.
const PRUNE_INTERVAL: Duration = Duration::from_secs(1);

/// The rule under which denials of further rules are counted.
const FURTHER_RULES: &str = "evidence.further-rules";

/// What is to be done about a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Strike {
    /// How many equal denials, this one included, are to be logged now; `None` if it was only counted
    /// and will be part of a later record.
    pub record: Option<u64>,
    /// Whether there were so many that the connection has to end.
    pub disconnect: bool,
}

/// Whose denials are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// An authenticated identity.
    Identity(IdentityName),
    /// A peer that has not been authenticated.
    Address(AddressBlock),
    /// All for whom there was no place in the table.
    Others,
}

/// Denials that were counted, whose window is over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OverdueDenial {
    /// Whose they are.
    pub subject: Subject,
    /// The layer that refused.
    pub layer: Layer,
    /// The rule that refused.
    pub rule: Cow<'static, str>,
    /// How many have not been logged yet; never 0.
    pub count: u64,
}

/// Denials of one rule.
#[derive(Debug)]
struct Aggregate {
    layer: Layer,
    rule: Cow<'static, str>,
    opened: Duration,
    /// How many were logged one by one in this window.
    individual: u32,
    unlogged: u64,
}

/// Denials of one subject.
#[derive(Debug)]
struct History {
    aggregates: Vec<Aggregate>,
    strikes_since: Duration,
    strikes: u32,
}

impl History {
    const fn new(now: Duration) -> Self {
        Self {
            aggregates: Vec::new(),
            strikes_since: now,
            strikes: 0,
        }
    }

    fn note(&mut self, denial: &Denial, now: Duration) -> Option<u64> {
        let known =
            |aggregate: &&mut Aggregate| aggregate.layer == denial.layer && aggregate.rule == denial.rule;
        if let Some(aggregate) = self.aggregates.iter_mut().find(known) {
            return aggregate.note(now);
        }
        if self.aggregates.len() < RULES_PER_SUBJECT {
            self.aggregates
                .push(Aggregate::first(denial.layer, denial.rule.clone(), now));
            return Some(1);
        }
        let shared =
            |aggregate: &&mut Aggregate| aggregate.layer == denial.layer && aggregate.rule == FURTHER_RULES;
        if let Some(aggregate) = self.aggregates.iter_mut().find(shared) {
            return aggregate.note(now);
        }
        self.aggregates
            .push(Aggregate::first(denial.layer, Cow::Borrowed(FURTHER_RULES), now));
        Some(1)
    }

    /// One more strike; whether that is too many within one window.
    fn strike(&mut self, limit: u32, window: Duration, now: Duration) -> bool {
        if now.saturating_sub(self.strikes_since) >= window {
            self.strikes_since = now;
            self.strikes = 0;
        }
        self.strikes = self.strikes.saturating_add(1);
        self.strikes >= limit
    }

    fn take_overdue(&mut self, subject: &Subject, now: Duration, all: bool, into: &mut Vec<OverdueDenial>) {
        self.aggregates.retain_mut(|aggregate| {
            if !all && !aggregate.is_over(now) {
                return true;
            }
            if aggregate.unlogged == 0 {
                return false;
            }
            into.push(OverdueDenial {
                subject: subject.clone(),
                layer: aggregate.layer,
                rule: aggregate.rule.clone(),
                count: aggregate.unlogged,
            });
            // The next one of its kind is counted on, not logged at once: the log has just told of it.
            aggregate.opened = now;
            aggregate.individual = INDIVIDUAL_RECORDS;
            aggregate.unlogged = 0;
            true
        });
    }

    fn has_nothing_to_say(&self, window: Duration, now: Duration) -> bool {
        self.aggregates
            .iter()
            .all(|aggregate| aggregate.unlogged == 0 && aggregate.is_over(now))
            && now.saturating_sub(self.strikes_since) >= window
    }
}

impl Aggregate {
    const fn first(layer: Layer, rule: Cow<'static, str>, now: Duration) -> Self {
        Self {
            layer,
            rule,
            opened: now,
            individual: 1,
            unlogged: 0,
        }
    }

    fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.opened) >= AGGREGATION_WINDOW
    }

    fn note(&mut self, now: Duration) -> Option<u64> {
        if self.is_over(now) {
            self.opened = now;
            // Where more came than could be told, the rest of the attack is told in counts.
            self.individual = if self.unlogged > 0 { INDIVIDUAL_RECORDS } else { 1 };
            return Some(std::mem::take(&mut self.unlogged).saturating_add(1));
        }
        if self.individual < INDIVIDUAL_RECORDS {
            self.individual += 1;
            return Some(1);
        }
        self.unlogged = self.unlogged.saturating_add(1);
        None
    }
}

/// The denials of all subjects of one kind. Identities and addresses have a table each, so that peers
/// without an identity cannot crowd out those with one.
#[derive(Debug)]
pub(crate) struct Denials<K> {
    subjects: HashMap<K, History>,
    others: History,
    capacity: usize,
    strike_limit: u32,
    strike_window: Duration,
    pruned_at: Duration,
}

impl<K: Clone + Eq + Hash> Denials<K> {
    pub(crate) fn new(strike_limit: u32, strike_window: Duration) -> Self {
        Self::with_capacity(SUBJECTS, strike_limit, strike_window)
    }

    fn with_capacity(capacity: usize, strike_limit: u32, strike_window: Duration) -> Self {
        Self {
            subjects: HashMap::new(),
            others: History::new(Duration::ZERO),
            capacity,
            strike_limit,
            strike_window,
            pruned_at: Duration::ZERO,
        }
    }

    /// Counts a denial and a strike against its subject.
    pub(crate) fn note(&mut self, subject: &K, denial: &Denial, now: Duration) -> Strike {
        let (limit, window) = (self.strike_limit, self.strike_window);
        match self.history(subject, now) {
            Some(history) => Strike {
                record: history.note(denial, now),
                disconnect: history.strike(limit, window, now),
            },
            // Strangers share this place, so what one of them does must not disconnect another.
            None => Strike {
                record: self.others.note(denial, now),
                disconnect: false,
            },
        }
    }

    /// Counts a denial for the log alone.
    pub(crate) fn count(&mut self, subject: &K, denial: &Denial, now: Duration) -> Option<u64> {
        match self.history(subject, now) {
            Some(history) => history.note(denial, now),
            None => self.others.note(denial, now),
        }
    }

    /// The place of a subject; `None` if it has none and there is no room for one.
    fn history(&mut self, subject: &K, now: Duration) -> Option<&mut History> {
        if !self.subjects.contains_key(subject) {
            self.make_room(now);
            if self.subjects.len() >= self.capacity {
                return None;
            }
            self.subjects.insert(subject.clone(), History::new(now));
        }
        self.subjects.get_mut(subject)
    }

    /// Takes out the counts whose window is over, or all of them.
    pub(crate) fn take_overdue(
        &mut self,
        name: impl Fn(&K) -> Subject,
        now: Duration,
        all: bool,
    ) -> Vec<OverdueDenial> {
        let mut overdue = Vec::new();
        for (subject, history) in &mut self.subjects {
            if history.aggregates.is_empty() {
                continue;
            }
            history.take_overdue(&name(subject), now, all, &mut overdue);
        }
        self.others.take_overdue(&Subject::Others, now, all, &mut overdue);
        // The table has no order of its own, and the same run has to give the same evidence.
        overdue.sort_unstable();
        overdue
    }

    /// Forgets the subjects that have nothing left to say.
    pub(crate) fn prune(&mut self, now: Duration) {
        let window = self.strike_window;
        self.subjects
            .retain(|_, history| !history.has_nothing_to_say(window, now));
        if self.subjects.len() < self.subjects.capacity() / 4 {
            self.subjects.shrink_to_fit();
        }
        self.pruned_at = now;
    }

    fn make_room(&mut self, now: Duration) {
        if self.subjects.len() >= self.capacity && now.saturating_sub(self.pruned_at) >= PRUNE_INTERVAL {
            self.prune(now);
        }
    }
}
