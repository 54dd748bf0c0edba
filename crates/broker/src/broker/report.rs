//! Evidence and figures.

use std::net::SocketAddr;

use motte_guard::evidence::{Kind, Record, Text};
use motte_guard::{CertificateFacts, Counters, Denial, Guard, Now, OverdueDenial, Subject};
use motte_policy::Identity;
use serde::Serialize;

use super::Broker;
use crate::connection::{Connection, Violation};
use crate::message::Message;
use crate::names::{ConnectionId, SessionName};
use crate::store::Store;

/// The broker's state, for its operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Everything that is a number.
    #[serde(flatten)]
    pub figures: Figures,
    /// Identities with at least one accepted connection, sorted.
    pub online: Vec<String>,
}

/// The broker's state in figures. Nothing in it names anybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// The policy in force; 0 means none, so that everything is denied.
    pub generation: u64,
    /// Open connections, authenticated or waiting for CONNECT.
    pub connections: usize,
    /// Connections that were authenticated since the process started.
    pub accepted: u64,
    /// Sessions, connected or not.
    pub sessions: usize,
    /// Subscriptions of all sessions.
    pub subscriptions: usize,
    /// Stored retained messages.
    pub retained: Held,
    /// Messages that wait for a session or its acknowledgement.
    pub queued: Held,
    /// Whether the store takes nothing more for now, so that messages of QoS 1 and 2 are refused.
    pub is_store_full: bool,
    /// Timers that are set, for deadlines, wills and sessions.
    pub timers: usize,
    /// Passed and refused, by layer and action.
    pub counters: Counters,
    /// Messages since the process started.
    pub messages: MessageTotals,
}

/// A number of messages and what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Held {
    /// How many.
    pub messages: usize,
    /// Bytes of topics, payloads and properties.
    pub bytes: u64,
}

/// Messages since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MessageTotals {
    /// PUBLISH packets from clients.
    pub received: u64,
    /// PUBLISH packets to clients.
    pub sent: u64,
    /// Not delivered because sender or reader had no right at that moment.
    pub withheld: u64,
    /// Not delivered because their time was over.
    pub expired: u64,
    /// Not delivered because the client takes no packets of that size.
    pub too_large: u64,
    /// Not delivered because the reader's queue was full.
    pub dropped: u64,
}

impl<S: Store> Broker<S> {
    /// The state, with who is online. Walks over all sessions.
    pub fn status(&self) -> Status {
        let mut online: Vec<String> = self.online.keys().cloned().collect();
        online.sort_unstable();
        Status {
            figures: self.figures(),
            online,
        }
    }

    /// The state in figures. Walks over all sessions.
    pub fn figures(&self) -> Figures {
        let mut queued = Held::default();
        let mut subscriptions = 0;
        for id in self.engine.session_ids() {
            let Some(session) = self.engine.session(id) else {
                continue;
            };
            let (messages, bytes) = session.outbound.held();
            queued.messages += messages;
            queued.bytes += bytes;
            subscriptions += session.subscriptions.len();
        }
        let retained = self.engine.retained.total();
        Figures {
            generation: self.guard.generation(),
            connections: self.connections.len(),
            accepted: self.totals.connections_accepted,
            sessions: self.engine.session_count(),
            subscriptions,
            retained: Held {
                messages: retained.messages,
                bytes: retained.bytes,
            },
            queued,
            is_store_full: self.engine.store.is_full(),
            timers: self.timers.len(),
            counters: self.guard.counters().clone(),
            messages: MessageTotals {
                received: self.totals.messages_received,
                sent: self.totals.messages_sent,
                withheld: self.totals.messages_withheld,
                expired: self.totals.messages_expired,
                too_large: self.totals.messages_too_large,
                dropped: self.engine.dropped_by_full_queues,
            },
        }
    }

    /// Why clients cannot be served, if they cannot.
    ///
    /// # Errors
    /// A few words for the operator.
    pub fn readiness(&self) -> Result<(), &'static str> {
        if self.is_shutting_down {
            Err("stopping")
        } else if self.guard.generation() == 0 {
            Err("no snapshot is in force, everything is denied")
        } else if self.engine.store.is_poisoned() {
            Err("the store has failed, nothing is acknowledged")
        } else {
            Ok(())
        }
    }

    /// Takes a refusal into the evidence; whether it was one too many for this connection.
    pub(super) fn record_denial(
        &mut self,
        id: ConnectionId,
        denial: &Denial,
        topic: Option<&str>,
        now: Now,
    ) -> bool {
        let Some(connection) = self.connections.get(id) else {
            return false;
        };
        let strike = self.guard.denied(&connection.principal.identity, denial, now);
        if let Some(count) = strike.record {
            let mut record = of_connection(connection, Kind::Refused, now)
                .denial(denial)
                .count(count);
            record.topic = topic.map(Text::new);
            self.evidence.push(record);
        }
        strike.disconnect
    }

    pub(super) fn record_violation(&mut self, id: ConnectionId, violation: &Violation, now: Now) {
        let denial = self
            .guard
            .violation(violation.rule, violation.reason, violation.detail);
        self.record_denial(id, &denial, None, now);
    }

    /// A message that was accepted once and is not delivered.
    pub(super) fn record_withheld(&mut self, message: &Message, denial: &Denial, now: Now) {
        let record = withheld(&mut self.guard, message, denial, now);
        self.evidence.extend(record);
    }

    /// A will that was accepted once and is not published.
    pub(super) fn record_will_dropped(
        &mut self,
        sender: &Identity,
        client_id: &str,
        topic: &str,
        denial: &Denial,
        now: Now,
    ) {
        let record = Record::new(Kind::WillDropped, now)
            .topic(topic)
            .client_id(client_id);
        self.evidence
            .extend(dropped(&mut self.guard, sender, record, denial, now));
    }

    pub(super) fn record_pruned(&mut self, name: &SessionName, filter: &str, denial: &Denial, now: Now) {
        let record = Record::new(Kind::SubscriptionPruned, now)
            .identity(&*name.identity)
            .client_id(&*name.client_id)
            .topic(filter)
            .denial(denial);
        self.evidence.push(record);
    }

    pub(super) fn record_refused_certificate(
        &mut self,
        peer: SocketAddr,
        facts: &CertificateFacts,
        denial: &Denial,
        now: Now,
    ) {
        let strike = self.guard.denied_address(peer.ip(), denial, now);
        if let Some(count) = strike.record {
            let mut record = Record::refused(denial, now).peer(&*peer.to_string()).count(count);
            record.identity = facts.uri_names.first().map(|name| Text::new(name));
            self.evidence.push(record);
        }
    }

    /// Something that a connection did, not a refusal.
    pub(super) fn record(&mut self, id: ConnectionId, kind: Kind, now: Now) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        self.evidence.push(of_connection(connection, kind, now));
    }

    pub(super) fn record_plain(&mut self, kind: Kind, detail: &str, now: Now) {
        self.evidence.push(Record::new(kind, now).detail(detail));
    }

    /// Denials that were only counted so far and whose window is over.
    pub(super) fn record_overdue(&mut self, now: Now) {
        let overdue = self.guard.overdue_denials(now);
        self.evidence
            .extend(overdue.into_iter().map(|denials| counted(&denials, now)));
        self.record_uses(now);
    }

    /// What grants were used for, as far as that is new.
    fn record_uses(&mut self, now: Now) {
        let uses = self.guard.first_uses(now);
        self.evidence
            .extend(uses.iter().map(|first| Record::used(first, now)));
    }

    /// The same for all that is left, at the end of the process.
    pub(super) fn record_remaining(&mut self, now: Now) {
        let remaining = self.guard.remaining_denials(now);
        self.evidence
            .extend(remaining.into_iter().map(|denials| counted(&denials, now)));
        self.record_uses(now);
    }
}

/// The record of a message that is not delivered, unless equal ones are being counted.
pub(super) fn withheld(guard: &mut Guard, message: &Message, denial: &Denial, now: Now) -> Option<Record> {
    let record = Record::new(Kind::Withheld, now).topic(&*message.topic);
    dropped(guard, &message.sender.identity, record, denial, now)
}

fn dropped(
    guard: &mut Guard,
    sender: &Identity,
    record: Record,
    denial: &Denial,
    now: Now,
) -> Option<Record> {
    let count = guard.withheld(sender, denial, now)?;
    Some(record.identity(&*sender.to_string()).denial(denial).count(count))
}

fn of_connection(connection: &Connection, kind: Kind, now: Now) -> Record {
    Record::new(kind, now)
        .identity(&*connection.principal.identity.to_string())
        .client_id(&*connection.client_id)
        .peer(&*connection.peer.to_string())
}

fn counted(denials: &OverdueDenial, now: Now) -> Record {
    let mut record = Record::new(Kind::Refused, now).count(denials.count);
    record.layer = Some(denials.layer);
    record.rule = Some(Text::new(&denials.rule));
    match &denials.subject {
        Subject::Identity(name) => record.identity(&*name.to_string()),
        Subject::Address(address) => record.peer(&*address.to_string()),
        Subject::Others => record,
    }
}
