//! Retained messages, as a tree of topic levels so that a filter visits only what it can match.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::{is_reserved, levels};
use crate::message::Message;

/// What one identity has in the retained store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) messages: usize,
    pub(crate) bytes: u64,
}

impl Held {
    fn add(&mut self, message: &Message) {
        self.messages += 1;
        self.bytes += message.size() as u64;
    }

    fn subtract(&mut self, message: &Message) {
        self.messages -= 1;
        self.bytes -= message.size() as u64;
    }
}

/// All retained messages.
#[derive(Debug, Default)]
pub(crate) struct RetainedMessages {
    root: Node,
    total: Held,
    by_sender: HashMap<String, Held>,
}

/// Is shown the messages that match, until it has enough.
type Found<'a> = &'a mut dyn FnMut(&Arc<Message>) -> ControlFlow<()>;

/// Children in the order of their names, so that a replay comes in the same order every time.
#[derive(Debug, Default)]
struct Node {
    children: BTreeMap<Box<str>, Node>,
    message: Option<Arc<Message>>,
}

impl RetainedMessages {
    /// Stores a message in place of what its topic had.
    pub(crate) fn store(&mut self, message: &Arc<Message>) {
        self.remove(&message.topic);
        self.total.add(message);
        self.by_sender.entry(owner(message)).or_default().add(message);
        let mut node = &mut self.root;
        for level in levels(&message.topic) {
            node = node.children.entry(level.into()).or_default();
        }
        node.message = Some(Arc::clone(message));
    }

    /// Removes what the topic has.
    pub(crate) fn remove(&mut self, topic: &str) -> Option<Arc<Message>> {
        let removed = self.root.remove(&mut levels(topic))?;
        self.forget(&removed);
        Some(removed)
    }

    /// What the topic has.
    pub(crate) fn get(&self, topic: &str) -> Option<&Arc<Message>> {
        let mut node = &self.root;
        for level in levels(topic) {
            node = node.children.get(level)?;
        }
        node.message.as_ref()
    }

    /// The messages that a filter matches, at most `limit`.
    pub(crate) fn matching(&self, filter: &str, now: Duration, limit: usize) -> Vec<Arc<Message>> {
        let mut found = Vec::new();
        if limit > 0 {
            let _ = self.root.matching(&mut levels(filter), true, &mut |message| {
                if !message.is_expired(now) {
                    found.push(Arc::clone(message));
                }
                // The rest of the tree is not looked at: a filter over a whole fleet asked for again
                // and again would hold the broker.
                if found.len() < limit {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
        }
        found
    }

    /// Everything, whether it has expired or not.
    pub(crate) fn all(&self) -> Vec<Arc<Message>> {
        let mut all = Vec::new();
        let _ = self.root.subtree(false, &mut |message| {
            all.push(Arc::clone(message));
            ControlFlow::Continue(())
        });
        all
    }

    /// What one identity holds.
    pub(crate) fn held_by(&self, identity: &str) -> Held {
        self.by_sender.get(identity).copied().unwrap_or_default()
    }

    /// What all hold together.
    pub(crate) fn total(&self) -> Held {
        self.total
    }

    /// Removes every message for which `unwanted` says so; returns the topics.
    pub(crate) fn remove_where(&mut self, mut unwanted: impl FnMut(&Message) -> bool) -> Vec<Arc<Message>> {
        let mut removed = Vec::new();
        self.root.remove_where(&mut unwanted, &mut removed);
        for message in &removed {
            self.forget(message);
        }
        removed
    }

    fn forget(&mut self, message: &Message) {
        self.total.subtract(message);
        let owner = owner(message);
        if let Some(held) = self.by_sender.get_mut(&owner) {
            held.subtract(message);
            if held.messages == 0 {
                self.by_sender.remove(&owner);
            }
        }
    }
}

impl Node {
    fn remove(&mut self, rest: &mut std::str::Split<'_, char>) -> Option<Arc<Message>> {
        let Some(level) = rest.next() else {
            return self.message.take();
        };
        let child = self.children.get_mut(level)?;
        let removed = child.remove(rest);
        if child.is_empty() {
            self.children.remove(level);
        }
        removed
    }

    fn matching(
        &self,
        rest: &mut std::str::Split<'_, char>,
        first: bool,
        found: Found<'_>,
    ) -> ControlFlow<()> {
        let visible = |name: &str| !(first && is_reserved(name));
        match rest.next() {
            None => self.message.iter().try_for_each(found),
            Some("#") => self.subtree(first, found),
            Some("+") => {
                for (_, child) in self.children.iter().filter(|(name, _)| visible(name)) {
                    child.matching(&mut rest.clone(), false, found)?;
                }
                ControlFlow::Continue(())
            }
            Some(literal) => match self.children.get(literal) {
                Some(child) => child.matching(rest, false, found),
                None => ControlFlow::Continue(()),
            },
        }
    }

    fn subtree(&self, first: bool, found: Found<'_>) -> ControlFlow<()> {
        self.message.iter().try_for_each(&mut *found)?;
        for (name, child) in &self.children {
            if !(first && is_reserved(name)) {
                child.subtree(false, found)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn remove_where(&mut self, unwanted: &mut dyn FnMut(&Message) -> bool, removed: &mut Vec<Arc<Message>>) {
        if self.message.as_deref().is_some_and(&mut *unwanted) {
            removed.extend(self.message.take());
        }
        self.children.retain(|_, child| {
            child.remove_where(unwanted, removed);
            !child.is_empty()
        });
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.message.is_none()
    }
}

fn owner(message: &Message) -> String {
    message.sender.identity.to_string()
}
