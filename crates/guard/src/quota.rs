//! Layer 6: rates and counts of one identity.
//!
//! Rates are token buckets that belong to the identity, not to its connection: they survive reconnects
//! and are shared by all its connections. All arithmetic is on integers and exact, so no bucket ever
//! lets more through than `rate × time + burst`.

mod bucket;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use motte_mqtt::ReasonCode;
use motte_policy::{Identity, Kind, RoleLimits};

pub(crate) use bucket::{Rate, TokenBucket};

use crate::{Denial, Layer, RetainRequest, SessionRequest, SubscribeRequest};

/// Identities whose budgets are remembered; one that is not in the table has a full budget. Twice the
/// rights cache, so that reconnecting identities do not lose what they used. Beyond it an identity that
/// is not in the table is refused: the other choice would hand out budgets without a limit.
pub const TRACKED_IDENTITIES: usize = 262_144;

/// Filters of SUBSCRIBE per second and identity. Each may replay retained messages, so a loop of
/// SUBSCRIBE costs the broker more than the client (attacks R4, X9).
pub const SUBSCRIBES_PER_SECOND: u32 = 5;

/// Members of one group of a shared subscription. A message looks at each until one has room, so this
/// bounds what a group of slow members costs.
pub const GROUP_MEMBERS: usize = 64;

/// Shared subscriptions of one identity, over all its sessions. Each gets its own copy of a message, so
/// this bounds how often one identity can have the same message (attack X12).
pub const SHARED_SUBSCRIPTIONS: usize = 32;

/// Nodes of the subscription index that the search for one message may visit. Trees of filters that
/// people write stay below 64; what doubles at every level is made to slow others down.
pub const SEARCH_NODES: usize = 1024;

/// Filters of SUBSCRIBE at once, or two full sets of the role's subscriptions if that is more: a client
/// may come back twice in a row and subscribe to all it may.
pub const SUBSCRIBE_BURST: u32 = 50;

/// Wills per second and identity that are published. A loop of CONNECT and a cut connection publishes
/// one each time, past the rate of messages (attack W8); a bad radio link loses a connection every few
/// seconds at the worst.
pub const WILLS_PER_SECOND: u32 = 1;

/// Wills at once: several connections of a service may be lost together.
pub const WILL_BURST: u32 = 10;

/// Between two searches for refilled buckets while the table is full, so that each refusal does not
/// cost a walk over the whole table.
const PRUNE_INTERVAL: Duration = Duration::from_secs(1);

/// What one identity has left.
#[derive(Debug)]
struct Budget {
    messages: TokenBucket,
    bytes: TokenBucket,
    subscribes: TokenBucket,
    wills: TokenBucket,
}

impl Budget {
    fn new(limits: &RoleLimits, now: Duration) -> Self {
        Self {
            messages: TokenBucket::full(message_rate(limits), now),
            bytes: TokenBucket::full(byte_rate(limits), now),
            subscribes: TokenBucket::full(subscribe_rate(limits), now),
            wills: TokenBucket::full(will_rate(limits), now),
        }
    }

    fn is_full(&self, now: Duration) -> bool {
        let buckets = [&self.messages, &self.bytes, &self.subscribes, &self.wills];
        buckets.into_iter().all(|bucket| bucket.is_full(now))
    }
}

fn message_rate(limits: &RoleLimits) -> Rate {
    Rate {
        per_second: limits.messages_per_second.into(),
        burst: limits.message_burst.into(),
    }
}

fn byte_rate(limits: &RoleLimits) -> Rate {
    Rate {
        per_second: limits.bytes_per_second,
        burst: limits.byte_burst,
    }
}

fn subscribe_rate(limits: &RoleLimits) -> Rate {
    let two_sets = u64::from(limits.subscriptions).saturating_mul(2);
    Rate {
        per_second: SUBSCRIBES_PER_SECOND.into(),
        burst: two_sets.max(SUBSCRIBE_BURST.into()),
    }
}

fn will_rate(limits: &RoleLimits) -> Rate {
    Rate {
        per_second: WILLS_PER_SECOND.into(),
        burst: u64::from(limits.connections).max(WILL_BURST.into()),
    }
}

/// The budgets of all identities that have used some of theirs.
#[derive(Debug)]
pub(crate) struct Quotas {
    /// Keyed by id alone, so that a second certificate of the same identity with other attributes does
    /// not bring a second budget.
    devices: HashMap<String, Budget>,
    services: HashMap<String, Budget>,
    capacity: usize,
    pruned_at: Duration,
}

impl Quotas {
    pub(crate) fn new() -> Self {
        Self::with_capacity(TRACKED_IDENTITIES)
    }

    fn with_capacity(capacity: usize) -> Self {
        Self {
            devices: HashMap::new(),
            services: HashMap::new(),
            capacity,
            pruned_at: Duration::ZERO,
        }
    }

    /// Takes one message of this size out of the budget, or nothing at all (attack X14).
    pub(crate) fn take_publish(
        &mut self,
        identity: &Identity,
        limits: &RoleLimits,
        payload_len: usize,
        now: Duration,
    ) -> Result<(), Denial> {
        let budget = self.budget(identity, limits, now)?;
        let (messages, bytes) = (message_rate(limits), byte_rate(limits));
        let size = u64::try_from(payload_len).unwrap_or(u64::MAX);
        if !budget.messages.has(1, messages, now) {
            return Err(too_fast(
                "quota.messages",
                format!("more than {messages} messages"),
            ));
        }
        if !budget.bytes.has(size, bytes, now) {
            return Err(too_fast(
                "quota.bytes",
                format!("more than {bytes} payload bytes"),
            ));
        }
        budget.messages.take(1);
        budget.bytes.take(size);
        Ok(())
    }

    /// Takes one filter of a SUBSCRIBE out of the budget.
    pub(crate) fn take_subscribe(
        &mut self,
        identity: &Identity,
        limits: &RoleLimits,
        now: Duration,
    ) -> Result<(), Denial> {
        let rate = subscribe_rate(limits);
        let budget = self.budget(identity, limits, now)?;
        if !budget.subscribes.has(1, rate, now) {
            return Err(exceeded(
                "quota.subscribe-rate",
                format!("more than {rate} filters subscribed to"),
            ));
        }
        budget.subscribes.take(1);
        Ok(())
    }

    /// Takes a will that is due out of its own budget, and out of that for messages as far as it goes:
    /// wills are no second budget for a sender, and a sender without budget still has its will.
    pub(crate) fn take_will(
        &mut self,
        identity: &Identity,
        limits: &RoleLimits,
        payload_len: usize,
        now: Duration,
    ) -> Result<(), Denial> {
        let rate = will_rate(limits);
        let budget = self.budget(identity, limits, now)?;
        if !budget.wills.has(1, rate, now) {
            return Err(too_fast("quota.wills", format!("more than {rate} wills")));
        }
        budget.wills.take(1);
        // Brings both up to date, so that what is taken is taken from what is there now.
        budget.messages.has(1, message_rate(limits), now);
        budget.bytes.has(1, byte_rate(limits), now);
        budget.messages.take(1);
        budget.bytes.take(u64::try_from(payload_len).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Forgets the budgets that are full again: they say nothing that a new one does not.
    pub(crate) fn prune(&mut self, now: Duration) {
        for table in [&mut self.devices, &mut self.services] {
            table.retain(|_, budget| !budget.is_full(now));
            if table.len() < table.capacity() / 4 {
                table.shrink_to_fit();
            }
        }
        self.pruned_at = now;
    }

    fn len(&self) -> usize {
        self.devices.len().saturating_add(self.services.len())
    }

    fn budget(
        &mut self,
        identity: &Identity,
        limits: &RoleLimits,
        now: Duration,
    ) -> Result<&mut Budget, Denial> {
        if !self.table(identity.kind).contains_key(&identity.id) {
            self.make_room(now)?;
            let budget = Budget::new(limits, now);
            self.table(identity.kind).insert(identity.id.clone(), budget);
        }
        self.table(identity.kind)
            .get_mut(&identity.id)
            .ok_or_else(table_full)
    }

    fn make_room(&mut self, now: Duration) -> Result<(), Denial> {
        if self.len() >= self.capacity && now.saturating_sub(self.pruned_at) >= PRUNE_INTERVAL {
            self.prune(now);
        }
        if self.len() >= self.capacity {
            Err(table_full())
        } else {
            Ok(())
        }
    }

    fn table(&mut self, kind: Kind) -> &mut HashMap<String, Budget> {
        match kind {
            Kind::Device => &mut self.devices,
            Kind::Service => &mut self.services,
        }
    }
}

/// Connections of the identity, not counting one that the new one takes over (attack C1).
pub(crate) fn check_connections(limits: &RoleLimits, live: usize) -> Result<(), Denial> {
    if live >= usize::from(limits.connections) {
        return Err(exceeded(
            "quota.connections",
            format!(
                "{live} connections are open, the role allows {}",
                limits.connections
            ),
        ));
    }
    Ok(())
}

/// Sessions of the identity (attack S10).
pub(crate) fn check_sessions(limits: &RoleLimits, request: SessionRequest) -> Result<(), Denial> {
    if !request.resumes && request.sessions_held >= usize::from(limits.sessions) {
        return Err(exceeded(
            "quota.sessions",
            format!(
                "{} sessions exist, the role allows {}",
                request.sessions_held, limits.sessions
            ),
        ));
    }
    Ok(())
}

/// Subscriptions of one session (attack X9).
pub(crate) fn check_subscriptions(limits: &RoleLimits, request: &SubscribeRequest<'_>) -> Result<(), Denial> {
    let allowed = usize::try_from(limits.subscriptions).unwrap_or(usize::MAX);
    if request.is_new && request.existing >= allowed {
        return Err(exceeded(
            "quota.subscriptions",
            format!(
                "{} subscriptions exist, the role allows {allowed}",
                request.existing
            ),
        ));
    }
    Ok(())
}

/// What a filter costs others: members of a group, copies of a message, the search for readers.
pub(crate) fn check_costs(request: &SubscribeRequest<'_>) -> Result<(), Denial> {
    if !request.is_new {
        return Ok(());
    }
    if request.search > SEARCH_NODES {
        return Err(exceeded(
            "quota.search",
            format!(
                "with this filter, finding the readers of a message could take {} steps, {SEARCH_NODES} is the most",
                request.search
            ),
        ));
    }
    let Some(group) = request.group else { return Ok(()) };
    if group.members >= GROUP_MEMBERS {
        return Err(exceeded(
            "quota.group-members",
            format!(
                "the group has {} members, {GROUP_MEMBERS} is the most",
                group.members
            ),
        ));
    }
    if group.held >= SHARED_SUBSCRIPTIONS {
        return Err(exceeded(
            "quota.shared-subscriptions",
            format!(
                "{} shared subscriptions exist, {SHARED_SUBSCRIPTIONS} is the most of one identity",
                group.held
            ),
        ));
    }
    Ok(())
}

/// Retained messages of the identity and their bytes (attack R3). Removing one is never refused.
pub(crate) fn check_retained(limits: &RoleLimits, request: RetainRequest) -> Result<(), Denial> {
    if request.payload_len == 0 {
        return Ok(());
    }
    let allowed = usize::try_from(limits.retained_messages).unwrap_or(usize::MAX);
    if !request.replaces && request.messages_held >= allowed {
        return Err(exceeded(
            "quota.retained-messages",
            format!(
                "{} retained messages exist, the role allows {allowed}",
                request.messages_held
            ),
        ));
    }
    let size = u64::try_from(request.payload_len).unwrap_or(u64::MAX);
    let bytes = request.bytes_held.saturating_add(size);
    if bytes > limits.retained_bytes {
        return Err(exceeded(
            "quota.retained-bytes",
            format!(
                "{bytes} bytes of retained messages, the role allows {}",
                limits.retained_bytes
            ),
        ));
    }
    Ok(())
}

fn table_full() -> Denial {
    exceeded(
        "quota.identities",
        "too many identities have used their budgets at once, wait a second",
    )
}

fn too_fast(rule: &'static str, detail: impl Into<String>) -> Denial {
    Denial::new(Layer::Quota, rule, ReasonCode::MessageRateTooHigh, detail)
}

fn exceeded(rule: &'static str, detail: impl Into<String>) -> Denial {
    Denial::new(Layer::Quota, rule, ReasonCode::QuotaExceeded, detail)
}
