//! The broker behind its one lock, and everything that every thread shares.
//!
//! The lock is taken once for each batch of bytes that came and each batch that goes. What is done
//! under it is only the broker's own work; TLS, system calls and wakes stay outside.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use motte_broker::{Broker, ConnectionId, DurableState, InstallReport};
use motte_guard::{CertificateFacts, Denial, InstallError, Layer, Now};
use motte_mqtt::ReasonCode;
use motte_policy::Snapshot;
use motte_store::SqliteStore;
use tokio::sync::Notify;

use crate::barrier::{Progress, Witnesses};
use crate::clock::Clock;
use crate::error::ServeError;
use crate::evidence::EvidenceSender;
use crate::gate::Gate;
use crate::log;
use crate::metrics::CommitLatency;
use crate::wake::{Mailbox, Slot, lock, wake_all};

/// Plaintext bytes taken from the broker in one turn: four full TLS records, one system call. More
/// would hold more memory for each slow reader without saving anything that can be measured.
pub(crate) const TRANSMIT_BUDGET: usize = 64 * 1024;

/// Connections of other threads for which a thread does the writing itself instead of waking the
/// other thread. Beyond that the other thread is worth waking.
pub(crate) const RELAYED: usize = 2;

/// The broker broke inside while it held its lock. Its state may be half changed, and serving on
/// could serve without a policy, so the data plane stops (law 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broker broke inside")]
pub(crate) struct Broken;

/// What a turn with the broker left to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// After what was transmitted, the connection is to be closed.
    pub(crate) close: bool,
    /// Whole packets are left in the input: others were given a turn first.
    pub(crate) receive_again: bool,
    /// There is more to transmit.
    pub(crate) transmit_again: bool,
}

/// MQTT bytes inside TLS since the process started.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
}

/// What is guarded by the lock.
struct State {
    broker: Broker<SqliteStore>,
    slots: HashMap<ConnectionId, Arc<Slot>>,
}

/// Shared by all threads of the data plane.
pub(crate) struct Engine {
    state: Mutex<State>,
    /// What the store kept, until a policy is in force that can judge it.
    kept: Mutex<Option<DurableState>>,
    broken: AtomicBool,
    /// Why the data plane has to stop, if something failed that it cannot go on without.
    failure: OnceLock<ServeError>,
    /// Told when the data plane has to stop.
    pub(crate) stop: Notify,
    pub(crate) clock: Clock,
    pub(crate) progress: Progress,
    pub(crate) traffic: Traffic,
    pub(crate) commit_latency: CommitLatency,
    pub(crate) evidence: EvidenceSender,
    pub(crate) gate: Arc<Gate>,
    mailboxes: Vec<Mailbox>,
    /// For each thread, what its [`Relay`](crate::connection::Relay) is to deliver.
    relays: Vec<Mailbox>,
}

impl Engine {
    pub(crate) fn new(
        (broker, kept): (Broker<SqliteStore>, DurableState),
        clock: Clock,
        evidence: EvidenceSender,
        gate: Arc<Gate>,
        threads: usize,
    ) -> Self {
        Self {
            state: Mutex::new(State {
                broker,
                slots: HashMap::new(),
            }),
            kept: Mutex::new(Some(kept)),
            broken: AtomicBool::new(false),
            failure: OnceLock::new(),
            stop: Notify::new(),
            clock,
            progress: Progress::default(),
            traffic: Traffic::default(),
            commit_latency: CommitLatency::default(),
            evidence,
            gate,
            mailboxes: (0..threads).map(|_| Mailbox::default()).collect(),
            relays: (0..threads).map(|_| Mailbox::default()).collect(),
        }
    }

    pub(crate) fn mailboxes(&self) -> &[Mailbox] {
        &self.mailboxes
    }

    /// Whether the broker broke inside at some time.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }

    /// Why clients cannot be served, if they cannot.
    pub(crate) fn readiness(&self) -> Result<(), &'static str> {
        let readiness = self.with(None, |broker, _| broker.readiness());
        readiness.unwrap_or(Err("the broker broke inside"))
    }

    /// Something broke that must not: the data plane stops.
    pub(crate) fn break_down(&self) -> Broken {
        if !self.broken.swap(true, Ordering::SeqCst) {
            log::error("the broker broke inside: the data plane stops, start it again");
        }
        self.stop.notify_one();
        Broken
    }

    /// Something failed that the data plane cannot go on without: it stops, and says why.
    pub(crate) fn fail(&self, error: ServeError) {
        let _ = self.failure.set(error);
        self.stop.notify_one();
    }

    /// Why it had to stop, if it had to.
    pub(crate) fn failure(&self) -> Option<&ServeError> {
        self.failure.get()
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>, Broken> {
        self.state.lock().map_err(|_| self.break_down())
    }

    /// Does something with the broker and wakes whom that concerns. Not for the hot path.
    pub(crate) fn with<R>(
        &self,
        here: Option<usize>,
        action: impl FnOnce(&mut Broker<SqliteStore>, Now) -> R,
    ) -> Result<R, Broken> {
        let mut wakes = Vec::new();
        let result = {
            let mut state = self.lock()?;
            let result = action(&mut state.broker, self.clock.now());
            state.finish(None, &mut wakes, &self.evidence);
            result
        };
        wake_all(&mut wakes, &self.mailboxes, here);
        Ok(result)
    }

    /// Does something after which no connection may go on as before, and returns whom to wait for.
    pub(crate) fn change<R>(
        &self,
        action: impl FnOnce(&mut Broker<SqliteStore>, Now) -> R,
    ) -> Result<(R, Witnesses), Broken> {
        let mut wakes = Vec::new();
        let (result, witnesses) = {
            let mut state = self.lock()?;
            let result = action(&mut state.broker, self.clock.now());
            let woken: HashSet<ConnectionId> = state.broker.woken().collect();
            let witnesses =
                Witnesses::collect(state.slots.iter().map(|(id, slot)| (slot, woken.contains(id))));
            for id in &woken {
                state.mark(*id, &mut wakes);
            }
            state.finish(None, &mut wakes, &self.evidence);
            (result, witnesses)
        };
        wake_all(&mut wakes, &self.mailboxes, None);
        Ok((result, witnesses))
    }

    /// Puts a snapshot in force, here and at layer 0.
    pub(crate) fn install(
        &self,
        snapshot: &Arc<Snapshot>,
    ) -> Result<Result<(InstallReport, Witnesses), InstallError>, Broken> {
        let (installed, witnesses) = self.change(|broker, now| {
            let report = broker.install(snapshot.clone(), now)?;
            self.gate.set_banned(snapshot.exceptions().banned().to_vec());
            self.restore(broker, now);
            Ok(report)
        })?;
        if installed.is_ok() && !snapshot.exceptions().banned().is_empty() {
            self.cut_off_banned()?;
        }
        Ok(installed.map(|report| (report, witnesses)))
    }

    /// Takes in what the store kept, the first time that a policy is in force.
    fn restore(&self, broker: &mut Broker<SqliteStore>, now: Now) {
        let Some(kept) = lock(&self.kept).take() else {
            return;
        };
        match broker.restore(kept, now) {
            Ok(report) => log::info(format_args!(
                "restored {} sessions, {} subscriptions and {} retained messages",
                report.sessions, report.subscriptions, report.retained
            )),
            // Nobody could have come in before a policy was in force.
            Err(error) => {
                log::error(format_args!("what was kept cannot be restored: {error}"));
                self.break_down();
            }
        }
    }

    /// Shuts the connections from addresses that may not connect any more. Those that are opened from
    /// here on are judged in [`Engine::open`].
    fn cut_off_banned(&self) -> Result<(), Broken> {
        let banned: Vec<Arc<Slot>> = {
            let state = self.lock()?;
            let slots = state.slots.values();
            slots
                .filter(|slot| self.gate.is_banned(slot.peer().ip()))
                .cloned()
                .collect()
        };
        for slot in banned {
            self.gate.refuse(slot.peer(), &banned_address());
            slot.kill();
        }
        Ok(())
    }

    /// Opens a connection whose TLS handshake is done.
    pub(crate) fn open(
        &self,
        facts: &CertificateFacts,
        accepted_at: Duration,
        slot: &Arc<Slot>,
    ) -> Result<Result<ConnectionId, Denial>, Broken> {
        let mut wakes = Vec::new();
        let peer = slot.peer();
        let opened = {
            let mut state = self.lock()?;
            if self.gate.is_banned(peer.ip()) {
                drop(state);
                self.gate.refuse(peer, &banned_address());
                return Ok(Err(banned_address()));
            }
            let now = self.clock.now();
            let opened = state.broker.open(peer, facts, accepted_at, now);
            if let Ok(id) = &opened {
                state.slots.insert(*id, slot.clone());
            }
            state.finish(None, &mut wakes, &self.evidence);
            opened
        };
        wake_all(&mut wakes, &self.mailboxes, None);
        Ok(opened)
    }

    /// One turn: hands `input` over, then takes at most one batch for `output`, which must be empty.
    /// Without `output` nothing is taken, because the last batch is still on its way. `wakes` gets the
    /// connections to be woken once the lock is free.
    pub(crate) fn turn(
        &self,
        id: ConnectionId,
        slot: &Slot,
        input: Option<&mut BytesMut>,
        output: Option<&mut BytesMut>,
        wakes: &mut Vec<Arc<Slot>>,
    ) -> Result<Turn, Broken> {
        let mut turn = Turn::default();
        let mut state = self.lock()?;
        let now = self.clock.now();
        if let Some(input) = input {
            let before = input.len();
            turn.receive_again = state.broker.receive(id, input, now);
            count(&self.traffic.received, before.saturating_sub(input.len()));
            // Its own answers are taken right below, so that it was woken by itself says nothing.
            state.finish(Some(id), wakes, &self.evidence);
        }
        if let Some(output) = output {
            let transmit = state.broker.transmit(id, output, TRANSMIT_BUDGET, now);
            turn.close = transmit.close;
            turn.transmit_again = transmit.more;
            count(&self.traffic.sent, output.len());
            if !output.is_empty() {
                slot.begin_batch();
            }
            slot.end_turn(transmit.close);
            turn.transmit_again |= state.finish(Some(id), wakes, &self.evidence);
        }
        Ok(turn)
    }

    /// Forgets a connection whose socket is gone.
    pub(crate) fn close(&self, id: ConnectionId, here: usize) {
        let mut wakes = Vec::new();
        {
            let Ok(mut state) = self.lock() else { return };
            state.slots.remove(&id);
            let now = self.clock.now();
            state.broker.peer_closed(id, now);
            state.finish(None, &mut wakes, &self.evidence);
        }
        wake_all(&mut wakes, &self.mailboxes, Some(here));
    }

    /// Passes wakes on that a turn on thread `here` collected. A thread that is `busy` leaves the work
    /// to the others.
    pub(crate) fn wake(&self, wakes: &mut Vec<Arc<Slot>>, here: usize, busy: bool) {
        let Some(relay) = self.relays.get(here) else {
            return;
        };
        if busy || wakes.len() > RELAYED {
            return wake_all(wakes, &self.mailboxes, Some(here));
        }
        for slot in wakes.drain(..) {
            if slot.thread() == here {
                slot.wake();
            } else {
                relay.put(slot);
            }
        }
    }

    /// What the relay of a thread is to deliver.
    pub(crate) fn relay(&self, thread: usize) -> Option<&Mailbox> {
        self.relays.get(thread)
    }
}

fn count(counter: &AtomicU64, bytes: usize) {
    counter.fetch_add(bytes as u64, Ordering::Relaxed);
}

fn banned_address() -> Denial {
    Denial {
        layer: Layer::Network,
        rule: Cow::Borrowed("network.banned"),
        reason: ReasonCode::Banned,
        detail: "the address was banned while it was connected".to_owned(),
    }
}

impl State {
    /// What follows every call that may have changed something: notes whom to wake, passes evidence
    /// on. Returns whether `own` was among the woken; it is not noted, being awake.
    fn finish(
        &mut self,
        own: Option<ConnectionId>,
        wakes: &mut Vec<Arc<Slot>>,
        evidence: &EvidenceSender,
    ) -> bool {
        let mut own_woken = false;
        for id in self.broker.woken() {
            if Some(id) == own {
                own_woken = true;
            } else if let Some(slot) = self.slots.get(&id)
                && slot.mark()
            {
                wakes.push(slot.clone());
            }
        }
        let records = self.broker.take_evidence();
        if !records.is_empty() {
            evidence.send_all(records);
        }
        own_woken
    }

    fn mark(&mut self, id: ConnectionId, wakes: &mut Vec<Arc<Slot>>) {
        if let Some(slot) = self.slots.get(&id)
            && slot.mark()
        {
            wakes.push(slot.clone());
        }
    }
}

#[cfg(test)]
mod tests;
