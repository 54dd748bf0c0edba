//! Layer 0: addresses, before a byte of TLS is computed.
//!
//! Lives in the acceptor, away from the rest of the guard, because it answers before there is anything
//! to lock. A peer costs one table entry while it is connected; what is remembered of it afterwards is
//! bounded, and no peer can push out what is remembered of another.

mod block;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use motte_mqtt::ReasonCode;
use motte_policy::IpNetwork;

pub use block::AddressBlock;

use crate::denials::Denials;
use crate::quota::{Rate, TokenBucket};
use crate::{Counters, Denial, Layer, Now, OverdueDenial, Strike, Subject};

/// Between two searches for addresses that need not be remembered while the table is full.
const PRUNE_INTERVAL: Duration = Duration::from_secs(1);

/// The numbers of layer 0. The same for every address, loopback too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Connections of one address (IPv6: of one /64) at the same time.
    pub connections_per_address: u32,
    /// Handshakes per second of one address, averaged over the burst.
    pub handshakes_per_second: u32,
    /// Handshakes of one address at once.
    pub handshake_burst: u32,
    /// Handshakes per second of all addresses together, averaged over the burst.
    pub total_handshakes_per_second: u32,
    /// Handshakes of all addresses together at once.
    pub total_handshake_burst: u32,
    /// Connections of all addresses at the same time.
    pub maximum_connections: u32,
    /// Failed handshakes and authentications within the failure window that bring a temporary ban.
    pub failures_to_ban: u32,
    /// How long a failure counts.
    pub failure_window: Duration,
    /// How long a temporary ban lasts.
    pub ban_duration: Duration,
    /// Addresses without a connection that are remembered.
    pub remembered_addresses: usize,
    /// Address ranges that are never let in.
    pub banned: Vec<IpNetwork>,
}

impl NetworkSettings {
    /// A site of some hundred devices behind one address translator still fits.
    pub const CONNECTIONS_PER_ADDRESS: u32 = 256;
    /// A full handshake costs about 0.3 ms of a core: one address takes no more than 1 % of it.
    pub const HANDSHAKES_PER_SECOND: u32 = 20;
    /// A site that comes back after a power cut.
    pub const HANDSHAKE_BURST: u32 = 100;
    /// A flood from very many addresses takes no more than 60 % of one core, and who is connected goes
    /// on being served. A fleet of 65,536 that lost its network is back within half a minute.
    pub const TOTAL_HANDSHAKES_PER_SECOND: u32 = 2_000;
    /// Five seconds of handshakes on two cores: what a fleet does that comes back all at once, without
    /// a refusal.
    pub const TOTAL_HANDSHAKE_BURST: u32 = 20_000;
    /// An idle connection costs about 12 KB, so that these cost less than a gigabyte.
    pub const MAXIMUM_CONNECTIONS: u32 = 65_536;
    /// A device with an expired certificate that tries every few seconds stays below.
    pub const FAILURES_TO_BAN: u32 = 30;
    /// Failures of one address that are no further apart count together: a search for a way in takes seconds,
    /// a device that backs off minutes.
    pub const FAILURE_WINDOW: Duration = Duration::from_secs(60);
    /// Long enough to make guessing useless, short enough that neighbours of a thief behind the same
    /// address come back by themselves.
    pub const BAN_DURATION: Duration = Duration::from_secs(300);
    /// About 10 MB.
    pub const REMEMBERED_ADDRESSES: usize = 65_536;
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            connections_per_address: Self::CONNECTIONS_PER_ADDRESS,
            handshakes_per_second: Self::HANDSHAKES_PER_SECOND,
            handshake_burst: Self::HANDSHAKE_BURST,
            total_handshakes_per_second: Self::TOTAL_HANDSHAKES_PER_SECOND,
            total_handshake_burst: Self::TOTAL_HANDSHAKE_BURST,
            maximum_connections: Self::MAXIMUM_CONNECTIONS,
            failures_to_ban: Self::FAILURES_TO_BAN,
            failure_window: Self::FAILURE_WINDOW,
            ban_duration: Self::BAN_DURATION,
            remembered_addresses: Self::REMEMBERED_ADDRESSES,
            banned: Vec::new(),
        }
    }
}

/// What is known of one address.
#[derive(Debug)]
struct Peer {
    connections: u32,
    handshakes: TokenBucket,
    failures: u32,
    failures_since: Duration,
    banned_until: Duration,
}

impl Peer {
    fn new(rate: Rate, now: Duration) -> Self {
        Self {
            connections: 0,
            handshakes: TokenBucket::full(rate, now),
            failures: 0,
            failures_since: now,
            banned_until: Duration::ZERO,
        }
    }

    /// Counts a failure; whether it was one too many.
    fn fail(&mut self, settings: &NetworkSettings, now: Duration) -> bool {
        if now.saturating_sub(self.failures_since) >= settings.failure_window {
            self.failures_since = now;
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures < settings.failures_to_ban {
            return false;
        }
        self.failures = 0;
        self.banned_until = now.saturating_add(settings.ban_duration);
        true
    }

    /// Whether a new entry would say the same.
    fn is_blank(&self, failure_window: Duration, now: Duration) -> bool {
        self.connections == 0
            && self.banned_until <= now
            && (self.failures == 0 || now.saturating_sub(self.failures_since) >= failure_window)
            && self.handshakes.is_full(now)
    }
}

/// Layer 0.
#[derive(Debug)]
pub struct NetworkGate {
    settings: NetworkSettings,
    /// Bans of the policy, besides those of the settings.
    banned: Vec<IpNetwork>,
    peers: HashMap<AddressBlock, Peer>,
    /// Entries of `peers` with a connection.
    connected_peers: usize,
    connections: u32,
    /// Handshakes of all addresses.
    handshakes: TokenBucket,
    /// The latest moment that the gate was told of.
    latest: Duration,
    pruned_at: Duration,
    denials: Denials<AddressBlock>,
    counters: Counters,
}

impl NetworkGate {
    /// A gate that has seen nobody yet.
    #[must_use]
    pub fn new(settings: NetworkSettings) -> Self {
        let denials = Denials::new(settings.failures_to_ban, settings.failure_window);
        let handshakes = TokenBucket::full(total_handshake_rate(&settings), Duration::ZERO);
        Self {
            settings,
            handshakes,
            banned: Vec::new(),
            peers: HashMap::new(),
            connected_peers: 0,
            connections: 0,
            latest: Duration::ZERO,
            pruned_at: Duration::ZERO,
            denials,
            counters: Counters::default(),
        }
    }

    /// A TCP connection was accepted. What passes has to be [released](Self::release) exactly once.
    ///
    /// # Errors
    /// The first rule of layer 0 against it; then nothing has to be released.
    pub fn accept(&mut self, address: IpAddr, now: Now) -> Result<(), Denial> {
        self.latest = self.latest.max(now.monotonic);
        let verdict = self.judge(AddressBlock::of(address), address, now.monotonic);
        if verdict.is_err() {
            self.counters.count_refused(Layer::Network);
        }
        verdict
    }

    /// A connection that had passed is closed.
    pub fn release(&mut self, address: IpAddr) {
        let now = self.latest;
        let block = AddressBlock::of(address);
        let Entry::Occupied(mut entry) = self.peers.entry(block) else {
            return;
        };
        let peer = entry.get_mut();
        if peer.connections == 0 {
            return;
        }
        peer.connections -= 1;
        self.connections = self.connections.saturating_sub(1);
        if peer.connections > 0 {
            return;
        }
        let is_blank = peer.is_blank(self.settings.failure_window, now);
        self.connected_peers = self.connected_peers.saturating_sub(1);
        if is_blank || !self.can_remember(now) {
            self.peers.remove(&block);
        }
    }

    /// A handshake or an authentication of the address failed. Returns whether it is banned from here.
    pub fn penalize(&mut self, address: IpAddr, now: Now) -> bool {
        let now = now.monotonic;
        self.latest = self.latest.max(now);
        let block = AddressBlock::of(address);
        let rate = self.handshake_rate();
        let is_stranger = !self.peers.contains_key(&block);
        let peer = self.peers.entry(block).or_insert_with(|| Peer::new(rate, now));
        let is_banned = peer.fail(&self.settings, now);
        if is_stranger && !self.can_remember(now) {
            self.peers.remove(&block);
            return false;
        }
        is_banned
    }

    /// Replaces the bans of the policy. Those of the settings stay.
    pub fn set_banned(&mut self, banned: Vec<IpNetwork>) {
        self.banned = banned;
    }

    /// Whether the address may not connect now: by settings, by policy or for its failures. For closing
    /// what is open when a ban arrives.
    #[must_use]
    pub fn is_banned(&self, address: IpAddr, now: Now) -> bool {
        self.is_listed(address)
            || self
                .peers
                .get(&AddressBlock::of(address))
                .is_some_and(|peer| peer.banned_until > now.monotonic)
    }

    /// Connections that have passed and are not released.
    #[must_use]
    pub const fn connections(&self) -> u32 {
        self.connections
    }

    /// Counts a denial of a peer without identity, from this layer or from the handshake; says whether
    /// it is to be logged now.
    pub fn denied(&mut self, address: IpAddr, denial: &Denial, now: Now) -> Strike {
        self.denials
            .note(&AddressBlock::of(address), denial, now.monotonic)
    }

    /// Counted denials whose window is over; to be logged.
    #[must_use]
    pub fn overdue_denials(&mut self, now: Now) -> Vec<OverdueDenial> {
        self.denials
            .take_overdue(|block| Subject::Address(*block), now.monotonic, false)
    }

    /// All counted denials that are not logged; for the end of the process.
    #[must_use]
    pub fn remaining_denials(&mut self, now: Now) -> Vec<OverdueDenial> {
        self.denials
            .take_overdue(|block| Subject::Address(*block), now.monotonic, true)
    }

    /// What this layer refused.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Forgets the addresses of which there is nothing to remember. To be called every few seconds.
    pub fn prune(&mut self, now: Now) {
        self.prune_peers(now.monotonic);
        self.denials.prune(now.monotonic);
    }

    fn judge(&mut self, block: AddressBlock, address: IpAddr, now: Duration) -> Result<(), Denial> {
        if self.is_listed(address) {
            return refuse("network.banned", ReasonCode::Banned, format!("{block} is banned"));
        }
        if self.connections >= self.settings.maximum_connections {
            return refuse(
                "network.connections",
                ReasonCode::ServerBusy,
                format!("{} connections are open, that is the most", self.connections),
            );
        }
        let rate = self.handshake_rate();
        // A new entry is bounded by the number of connections, because a refusal does not leave one.
        let mut stranger = None;
        let peer = match self.peers.get_mut(&block) {
            Some(peer) => peer,
            None => stranger.insert(Peer::new(rate, now)),
        };
        if peer.banned_until > now {
            let left = peer.banned_until.saturating_sub(now).as_secs();
            return refuse(
                "network.failures",
                ReasonCode::Banned,
                format!("{block} failed too often, banned for another {left} s"),
            );
        }
        if peer.connections >= self.settings.connections_per_address {
            return refuse(
                "network.connections-per-address",
                ReasonCode::QuotaExceeded,
                format!(
                    "{} connections of {block} are open, that is the most",
                    peer.connections
                ),
            );
        }
        // Its own rate first, so that one address cannot use up what there is for all.
        check_handshakes(&mut peer.handshakes, rate, now, &block)?;
        let total = total_handshake_rate(&self.settings);
        check_handshakes(&mut self.handshakes, total, now, &"all addresses together")?;
        peer.handshakes.take(1);
        self.handshakes.take(1);
        if peer.connections == 0 {
            self.connected_peers = self.connected_peers.saturating_add(1);
        }
        peer.connections = peer.connections.saturating_add(1);
        self.connections = self.connections.saturating_add(1);
        if let Some(peer) = stranger {
            self.peers.insert(block, peer);
        }
        Ok(())
    }

    fn is_listed(&self, address: IpAddr) -> bool {
        let mut lists = self.settings.banned.iter().chain(&self.banned);
        lists.any(|network| network.contains(address))
    }

    const fn handshake_rate(&self) -> Rate {
        Rate {
            per_second: self.settings.handshakes_per_second as u64,
            burst: self.settings.handshake_burst as u64,
        }
    }

    /// Whether all addresses without a connection that are in the table may stay there. If not, the
    /// newest has to go: an attacker with many addresses loses the memory of his own, not of others.
    fn can_remember(&mut self, now: Duration) -> bool {
        let limit = self.settings.remembered_addresses;
        if self.remembered() > limit && now.saturating_sub(self.pruned_at) >= PRUNE_INTERVAL {
            self.prune_peers(now);
        }
        self.remembered() <= limit
    }

    fn remembered(&self) -> usize {
        self.peers.len().saturating_sub(self.connected_peers)
    }

    fn prune_peers(&mut self, now: Duration) {
        let window = self.settings.failure_window;
        self.peers.retain(|_, peer| !peer.is_blank(window, now));
        if self.peers.len() < self.peers.capacity() / 4 {
            self.peers.shrink_to_fit();
        }
        self.pruned_at = now;
    }
}

/// Never below what a single address may, should that have been raised.
fn total_handshake_rate(settings: &NetworkSettings) -> Rate {
    let per_second = settings
        .total_handshakes_per_second
        .max(settings.handshakes_per_second);
    Rate {
        per_second: per_second.into(),
        burst: settings
            .total_handshake_burst
            .max(settings.handshake_burst)
            .into(),
    }
}

fn check_handshakes(
    bucket: &mut TokenBucket,
    rate: Rate,
    now: Duration,
    whose: &dyn fmt::Display,
) -> Result<(), Denial> {
    if bucket.has(1, rate, now) {
        return Ok(());
    }
    refuse(
        "network.handshake-rate",
        ReasonCode::ConnectionRateExceeded,
        format!("more than {rate} handshakes of {whose}"),
    )
}

fn refuse(rule: &'static str, reason: ReasonCode, detail: String) -> Result<(), Denial> {
    Err(Denial::new(Layer::Network, rule, reason, detail))
}
