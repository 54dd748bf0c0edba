//! What the grants of the policy are used for: the evidence from which a policy with fewer can be proposed.
//!
//! Each manner of use of a grant is told of once a day: publishing with this QoS, retained or not, as a
//! will or not, subscribing to this filter. Where a grant has wildcards, or a filter was subscribed to,
//! the topic comes with it, with the own id and attributes put back as placeholders, so that a million
//! devices that do the same are one line.
//!
//! Bounded by the policy: a grant is told of [`USES`] times at most, and one that was used in more ways
//! is said to have been. So nobody can fill a log with topics that it invents.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use motte_policy::{Identity, RuleReference};
use serde::Serialize;

/// Manners of use of one grant that are told of. More than a person reads; a grant that is used in more
/// ways is as wide as it has to be.
pub const USES: usize = 64;

/// After this time every use is told of again, so that a log which has lost its oldest lines still knows
/// what is in use.
pub const USE_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// Places for marks of what was noted lately; a power of two. Enough for the grants and topics that are
/// busy at one time, and 32 KiB.
const RECENT: usize = 4096;

/// What was done by a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A message was published.
    Publish,
    /// A will was left.
    Will,
    /// A filter was subscribed to, or named as the place for answers.
    Subscribe,
    /// More than [`USES`] different things.
    Many,
}

/// A manner of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Manner {
    /// What was done.
    pub act: Act,
    /// Quality of service; for a subscription what was asked for.
    pub qos: u8,
    /// Whether the message was to be retained.
    pub retain: bool,
}

/// The first use of a grant in some manner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstUse {
    /// Which grant.
    pub rule: RuleReference,
    /// In which manner.
    pub manner: Manner,
    /// By whom.
    pub identity: Identity,
    /// The topic or filter with placeholders; `None` where the grant says it already.
    pub topic: Option<String>,
}

/// Remembers what has been told of.
#[derive(Debug)]
pub(crate) struct Usage {
    /// By the address of the rule, which the entry keeps from being used for another one.
    grants: HashMap<usize, GrantUse>,
    news: Vec<FirstUse>,
    began: Option<Duration>,
    hasher: RandomState,
    /// Marks of uses that need not be looked at again: most messages are like one before.
    recent: Box<[u64]>,
}

#[derive(Debug)]
struct GrantUse {
    rule: RuleReference,
    seen: HashSet<(Manner, u64)>,
}

impl Usage {
    pub(crate) fn new() -> Self {
        Self {
            grants: HashMap::new(),
            news: Vec::new(),
            began: None,
            hasher: RandomState::new(),
            recent: vec![0; RECENT].into_boxed_slice(),
        }
    }

    /// A permitted act. Where it is like one of a moment ago, it costs a comparison, and for grants with
    /// wildcards a hash of the topic.
    pub(crate) fn note(&mut self, identity: &Identity, rule: &RuleReference, topic: &str, manner: Manner) {
        // What a grant without wildcards was used for stands in it. A filter may be that of a group.
        let has_topic = manner.act == Act::Subscribe || rule.has_wildcard();
        let mark = self.mark(identity, rule, has_topic.then_some(topic), manner);
        // The remainder is an index of the slice.
        let place = usize::try_from(mark)
            .unwrap_or(0)
            .checked_rem(RECENT)
            .unwrap_or(0);
        match self.recent.get_mut(place) {
            Some(recent) if *recent == mark => return,
            Some(recent) => *recent = mark,
            None => {}
        }
        let entry = self.grants.entry(rule.address()).or_insert_with(|| GrantUse {
            rule: rule.clone(),
            seen: HashSet::new(),
        });
        if entry.seen.len() > USES {
            return;
        }
        let shape = if has_topic {
            hash_of(&self.hasher, identity, topic)
        } else {
            0
        };
        if !entry.seen.insert((manner, shape)) {
            return;
        }
        // A policy cannot name a topic with braces, so nothing narrower would allow it.
        let many = entry.seen.len() > USES || (has_topic && topic.contains(['{', '}']));
        self.news.push(FirstUse {
            rule: entry.rule.clone(),
            manner: if many {
                Manner {
                    act: Act::Many,
                    ..manner
                }
            } else {
                manner
            },
            identity: identity.clone(),
            topic: (has_topic && !many).then(|| shape_of(identity, topic)),
        });
    }

    /// Tells uses apart, but for identities that use one grant without wildcards in one manner. Never 0,
    /// which is no use.
    fn mark(&self, identity: &Identity, rule: &RuleReference, topic: Option<&str>, manner: Manner) -> u64 {
        let ways = u64::from(manner.qos) << 3 | u64::from(manner.retain) << 2 | manner.act as u64;
        let address = rule.address() as u64;
        let mark = match topic {
            // Addresses are multiples of eight: the manner changes the place as well.
            None => (address >> 3).rotate_left(5) ^ ways,
            Some(topic) => self
                .hasher
                .hash_one((address, ways, identity.kind, identity.id.as_str(), topic)),
        };
        mark.max(1)
    }

    /// What was used for the first time since this was last asked.
    pub(crate) fn take(&mut self, now: Duration) -> Vec<FirstUse> {
        if now.saturating_sub(*self.began.get_or_insert(now)) >= USE_PERIOD {
            self.clear();
            self.began = Some(now);
        }
        std::mem::take(&mut self.news)
    }

    /// Another policy is in force: its lines are others.
    pub(crate) fn clear(&mut self) {
        self.grants.clear();
        self.recent.fill(0);
    }
}

/// The name of the placeholder that a level of a topic may be for this identity.
fn placeholder<'a>(identity: &'a Identity, level: &str) -> Option<&'a str> {
    if level == identity.id {
        return Some(identity.kind.as_str());
    }
    let mut attributes = identity.attributes.iter();
    attributes
        .find(|(_, value)| *value == level)
        .map(|(name, _)| name.as_str())
}

fn hash_of(hasher: &RandomState, identity: &Identity, topic: &str) -> u64 {
    let levels = topic.split('/').map(|level| match placeholder(identity, level) {
        Some(name) => hasher.hash_one((true, name)),
        None => hasher.hash_one((false, level)),
    });
    levels.fold(0, |all, level| hasher.hash_one((all, level)))
}

fn shape_of(identity: &Identity, topic: &str) -> String {
    let levels = topic.split('/').map(|level| match placeholder(identity, level) {
        Some(name) => format!("{{{name}}}"),
        None => level.to_owned(),
    });
    levels.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests;
