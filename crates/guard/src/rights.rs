//! Rights by identity, bound once for each generation of the policy.

use std::collections::HashMap;
use std::sync::Arc;

use motte_policy::{Identity, Rights, Snapshot, Status};

/// Identities whose bound rights are kept. Covers every connection that one process can hold; beyond
/// it rights are bound anew at each question, which is slower and as strict.
pub const CACHED_RIGHTS: usize = 131_072;

/// The cache, cleared at every installation that grants anything else than before (attack V8).
#[derive(Debug)]
pub(crate) struct RightsCache {
    bound: HashMap<Identity, Arc<Rights>>,
    none: Arc<Rights>,
}

impl RightsCache {
    pub(crate) fn new() -> Self {
        Self {
            bound: HashMap::new(),
            none: Arc::new(Rights::none()),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.bound = HashMap::new();
    }

    /// Forgets what nobody else holds any more.
    pub(crate) fn prune(&mut self) {
        self.bound.retain(|_, rights| Arc::strong_count(rights) > 1);
    }

    /// The rights under `snapshot`: none without one, and none for a revoked or quarantined identity.
    pub(crate) fn get(&mut self, snapshot: Option<&Snapshot>, identity: &Identity) -> Arc<Rights> {
        let Some(snapshot) = snapshot else {
            return Arc::clone(&self.none);
        };
        // Before what is bound is looked at: that outlives an installation that only excludes somebody.
        if snapshot.exceptions().status(identity) != Status::Active {
            return Arc::clone(&self.none);
        }
        if let Some(rights) = self.bound.get(identity) {
            return Arc::clone(rights);
        }
        let rights = Arc::new(snapshot.bind(identity));
        if self.bound.len() < CACHED_RIGHTS {
            self.bound.insert(identity.clone(), Arc::clone(&rights));
        }
        rights
    }
}
