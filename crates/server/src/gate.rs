//! Layer 0 with its own lock, so that a flood of strangers never waits for the broker's, nor the
//! broker for the flood.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use motte_guard::evidence::{Kind, Record, Text};
use motte_guard::network::{NetworkGate, NetworkSettings};
use motte_guard::{Counters, Denial, Layer, OverdueDenial, Subject};
use motte_policy::IpNetwork;

use crate::clock::Clock;
use crate::evidence::EvidenceSender;
use crate::wake::lock;

/// Layer 0, and the record of what peers without an identity were refused.
pub(crate) struct Gate {
    gate: Mutex<NetworkGate>,
    /// Refusals of layer 1 during handshakes, which the broker never hears of.
    handshakes_refused: AtomicU64,
    clock: Clock,
    evidence: EvidenceSender,
}

impl Gate {
    pub(crate) fn new(settings: NetworkSettings, clock: Clock, evidence: EvidenceSender) -> Arc<Self> {
        Arc::new(Self {
            gate: Mutex::new(NetworkGate::new(settings)),
            handshakes_refused: AtomicU64::new(0),
            clock,
            evidence,
        })
    }

    /// Lets a new connection in, or puts on record why not.
    pub(crate) fn admit(self: &Arc<Self>, peer: SocketAddr) -> Option<Admission> {
        let now = self.clock.now();
        let verdict = lock(&self.gate).accept(peer.ip(), now);
        match verdict {
            Ok(()) => Some(Admission {
                gate: self.clone(),
                address: peer.ip(),
            }),
            Err(denial) => {
                self.refuse(peer, &denial);
                None
            }
        }
    }

    /// Puts a refusal of a peer without an identity on record; equal ones are counted together.
    pub(crate) fn refuse(&self, peer: SocketAddr, denial: &Denial) {
        let now = self.clock.now();
        if denial.layer == Layer::Tls {
            self.handshakes_refused.fetch_add(1, Ordering::Relaxed);
        }
        let strike = lock(&self.gate).denied(peer.ip(), denial, now);
        if let Some(count) = strike.record {
            self.evidence
                .send(Record::refused(denial, now).peer(peer.to_string()).count(count));
        }
    }

    /// Connections that were let in and have not left.
    pub(crate) fn connections(&self) -> u32 {
        lock(&self.gate).connections()
    }

    /// Whether the address may not connect now.
    pub(crate) fn is_banned(&self, address: IpAddr) -> bool {
        lock(&self.gate).is_banned(address, self.clock.now())
    }

    /// Replaces the bans of the policy.
    pub(crate) fn set_banned(&self, banned: Vec<IpNetwork>) {
        lock(&self.gate).set_banned(banned);
    }

    /// Forgets what is over, and puts on record what was counted meanwhile. `everything` is for the
    /// end of the process.
    pub(crate) fn keep_house(&self, everything: bool) {
        let now = self.clock.now();
        let overdue = {
            let mut gate = lock(&self.gate);
            gate.prune(now);
            if everything {
                gate.remaining_denials(now)
            } else {
                gate.overdue_denials(now)
            }
        };
        for OverdueDenial {
            subject,
            layer,
            rule,
            count,
        } in overdue
        {
            let mut record = Record::new(Kind::Refused, now)
                .detail("refused again, counted together")
                .count(count);
            record.layer = Some(layer);
            record.rule = Some(Text::from(&*rule));
            if let Subject::Address(block) = subject {
                record = record.peer(block.to_string());
            }
            self.evidence.send(record);
        }
    }

    /// What layer 0 refused, and the handshakes that layer 1 refused.
    pub(crate) fn counters(&self) -> Counters {
        let mut counters = lock(&self.gate).counters().clone();
        counters.refused.tls += self.handshakes_refused.load(Ordering::Relaxed);
        counters
    }
}

/// The place of one connection, given back when it is dropped.
pub(crate) struct Admission {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Admission {
    /// The handshake or the authentication failed; too many of those ban the address for a while.
    pub(crate) fn penalize(&self) {
        let now = self.gate.clock.now();
        let banned = lock(&self.gate.gate).penalize(self.address, now);
        if banned {
            let record = Record::new(Kind::Banned, now).peer(self.address.to_string());
            self.gate
                .evidence
                .send(record.detail("too many failed handshakes or authentications"));
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        lock(&self.gate.gate).release(self.address);
    }
}
