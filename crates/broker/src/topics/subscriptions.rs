//! Who is subscribed to what.
//!
//! Filters without wildcards, which are all that devices may have, are one look-up by the whole topic.
//! Filters with wildcards form a tree of levels; its depth is bounded by the codec's limit on levels,
//! and branches that nobody uses any more are taken out (attack X9).

use std::collections::HashMap;
use std::num::NonZeroU32;

use motte_mqtt::QoS;

use super::{is_reserved, levels};

use crate::names::SessionId;

/// One subscription as the router needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) session: SessionId,
    /// The highest QoS that the subscription carries.
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) identifier: Option<NonZeroU32>,
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    concrete: HashMap<Box<str>, Vec<Subscriber>>,
    wildcard: Node,
    /// Whether the tree holds anything, so that the common case skips it.
    wildcards: usize,
}

/// One level of the tree of filters with wildcards.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Node>,
    single: Option<Box<Node>>,
    /// Filters that end at this level.
    here: Vec<Subscriber>,
    /// Filters that end here with `#`; they match this level and everything below.
    below: Vec<Subscriber>,
}

impl Subscriptions {
    /// Adds a subscription, in place of one that the session had on the same filter.
    pub(crate) fn insert(&mut self, filter: &str, subscriber: Subscriber) {
        if !has_wildcard(filter) {
            replace(self.concrete.entry(filter.into()).or_default(), subscriber);
            return;
        }
        let added = replace(self.wildcard.slot(filter), subscriber);
        self.wildcards += usize::from(added);
    }

    /// Removes the session's subscription on exactly this filter, if there is one.
    pub(crate) fn remove(&mut self, filter: &str, session: SessionId) {
        if has_wildcard(filter) {
            let removed = self.wildcard.remove(&mut levels(filter), session);
            self.wildcards -= usize::from(removed);
            return;
        }
        if let Some(subscribers) = self.concrete.get_mut(filter) {
            take(subscribers, session);
            if subscribers.is_empty() {
                self.concrete.remove(filter);
            }
        }
    }

    /// Adds every subscription that matches `topic` to `found`.
    pub(crate) fn matching(&self, topic: &str, found: &mut Vec<Subscriber>) {
        if let Some(subscribers) = self.concrete.get(topic) {
            found.extend_from_slice(subscribers);
        }
        if self.wildcards > 0 {
            self.wildcard
                .matching(&mut levels(topic), is_reserved(topic), found);
        }
    }
}

impl Node {
    /// The list where a filter ends; makes the way to it.
    fn slot(&mut self, filter: &str) -> &mut Vec<Subscriber> {
        let mut node = self;
        for level in levels(filter) {
            node = match level {
                "#" => return &mut node.below,
                "+" => node.single.get_or_insert_default(),
                literal => node.literals.entry(literal.into()).or_default(),
            };
        }
        &mut node.here
    }

    /// Whether a subscription was removed; prunes what became empty on the way back.
    fn remove(&mut self, rest: &mut std::str::Split<'_, char>, session: SessionId) -> bool {
        match rest.next() {
            None => take(&mut self.here, session),
            Some("#") => take(&mut self.below, session),
            Some("+") => {
                let Some(child) = &mut self.single else {
                    return false;
                };
                let removed = child.remove(rest, session);
                if child.is_empty() {
                    self.single = None;
                }
                removed
            }
            Some(literal) => {
                let Some(child) = self.literals.get_mut(literal) else {
                    return false;
                };
                let removed = child.remove(rest, session);
                if child.is_empty() {
                    self.literals.remove(literal);
                }
                removed
            }
        }
    }

    fn matching(&self, rest: &mut std::str::Split<'_, char>, reserved: bool, found: &mut Vec<Subscriber>) {
        if !reserved {
            found.extend_from_slice(&self.below);
        }
        let Some(level) = rest.next() else {
            found.extend_from_slice(&self.here);
            return;
        };
        if let Some(child) = self.literals.get(level) {
            child.matching(&mut rest.clone(), false, found);
        }
        if !reserved && let Some(child) = &self.single {
            child.matching(rest, false, found);
        }
    }

    fn is_empty(&self) -> bool {
        self.literals.is_empty() && self.single.is_none() && self.here.is_empty() && self.below.is_empty()
    }
}

fn has_wildcard(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

/// Whether the subscriber is new to the list.
fn replace(list: &mut Vec<Subscriber>, subscriber: Subscriber) -> bool {
    match list
        .iter_mut()
        .find(|existing| existing.session == subscriber.session)
    {
        Some(existing) => {
            *existing = subscriber;
            false
        }
        None => {
            list.push(subscriber);
            true
        }
    }
}

fn take(list: &mut Vec<Subscriber>, session: SessionId) -> bool {
    let before = list.len();
    list.retain(|subscriber| subscriber.session != session);
    list.len() != before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscriber(session: u32) -> Subscriber {
        Subscriber {
            session: SessionId(session),
            qos: QoS::AtMostOnce,
            no_local: false,
            retain_as_published: false,
            identifier: None,
        }
    }

    fn sessions(index: &Subscriptions, topic: &str) -> Vec<u32> {
        let mut found = Vec::new();
        index.matching(topic, &mut found);
        let mut sessions: Vec<u32> = found.iter().map(|subscriber| subscriber.session.0).collect();
        sessions.sort_unstable();
        sessions
    }

    fn index(filters: &[&str]) -> Subscriptions {
        let mut index = Subscriptions::default();
        for (number, filter) in (0..).zip(filters) {
            index.insert(filter, subscriber(number));
        }
        index
    }

    #[test]
    fn wildcards_match_by_level() {
        let index = index(&["a/b", "a/+", "a/#", "#", "+/b", "+", "a/b/#", "/+"]);
        assert_eq!(sessions(&index, "a/b"), [0, 1, 2, 3, 4, 6]);
        assert_eq!(sessions(&index, "a"), [2, 3, 5]);
        assert_eq!(sessions(&index, "a/"), [1, 2, 3]);
        assert_eq!(sessions(&index, "/b"), [3, 4, 7]);
        assert_eq!(sessions(&index, "a/b/c"), [2, 3, 6]);
    }

    #[test]
    fn wildcards_at_the_first_level_leave_reserved_topics_out() {
        let index = index(&["#", "+/x", "$SYS/#", "$SYS/x", "$SYS/+"]);
        assert_eq!(sessions(&index, "$SYS/x"), [2, 3, 4]);
        assert_eq!(sessions(&index, "$SYS"), [2]);
    }

    #[test]
    fn a_second_subscription_on_the_same_filter_replaces_the_first() {
        let mut index = index(&["a/+"]);
        index.insert(
            "a/+",
            Subscriber {
                qos: QoS::ExactlyOnce,
                ..subscriber(0)
            },
        );
        let mut found = Vec::new();
        index.matching("a/b", &mut found);
        assert_eq!(
            found,
            [Subscriber {
                qos: QoS::ExactlyOnce,
                ..subscriber(0)
            }]
        );
    }

    #[test]
    fn nothing_remains_of_removed_filters() {
        let filters = ["a/b", "a/+", "a/#", "#", "+/+/c", "x/y/z/+/w"];
        let mut index = index(&filters);
        for (number, filter) in (0..).zip(filters) {
            index.remove(filter, SessionId(number));
        }
        assert!(index.concrete.is_empty());
        assert!(index.wildcard.is_empty());
        assert_eq!(index.wildcards, 0);
    }

    #[test]
    fn removing_what_is_not_there_changes_nothing() {
        let mut index = index(&["a/+", "a/b"]);
        index.remove("a/+", SessionId(9));
        index.remove("b/+", SessionId(0));
        index.remove("a/b/c", SessionId(1));
        assert_eq!(sessions(&index, "a/b"), [0, 1]);
    }
}
