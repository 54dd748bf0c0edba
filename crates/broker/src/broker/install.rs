//! A new policy acts on everything that is under way, before the call returns (law 6).

use std::sync::Arc;

use motte_guard::{Denial, InstallError, Now, SubscribeRequest, WillRequest, evidence};
use motte_mqtt::ReasonCode;
use motte_policy::{Snapshot, Status};
use serde::Serialize;

use super::Broker;
use crate::connection::ConnectionId;
use crate::session::SessionId;
use crate::store::Store;

/// What installing a snapshot did to those who were there already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InstallReport {
    /// The generation now in force.
    pub generation: u64,
    /// Identities whose connections were closed, sorted.
    pub disconnected: Vec<String>,
    /// Subscriptions that the policy no longer grants.
    pub subscriptions_pruned: usize,
    /// Wills that the policy no longer grants, or whose owner is out.
    pub wills_dropped: usize,
    /// Waiting messages whose sender or reader has lost the right.
    pub messages_withheld: usize,
    /// Retained messages of revoked senders, removed.
    pub retained_withheld: usize,
    /// Sessions of revoked identities, ended.
    pub sessions_ended: usize,
}

impl<S: Store> Broker<S> {
    /// Puts a snapshot in force and re-judges every connection, subscription, will, waiting and retained
    /// message. When this returns, nothing that the new policy denies can still be transmitted.
    ///
    /// # Errors
    /// The snapshot is of another fleet or older than the one in force, which stays.
    pub fn install(&mut self, snapshot: Arc<Snapshot>, now: Now) -> Result<InstallReport, InstallError> {
        let is_first = self.guard.generation() == 0;
        self.guard.install(snapshot)?;
        if is_first {
            self.start_housekeeping(now);
        }
        let mut report = InstallReport {
            generation: self.guard.generation(),
            ..InstallReport::default()
        };
        self.drop_wills_of_the_excluded(&mut report, now);
        self.close_the_excluded(&mut report, now);
        for session in self.engine.session_ids() {
            self.judge_session(session, &mut report, now);
        }
        self.purge_retained_of_the_revoked(&mut report);
        self.collect_work();
        self.record_snapshot(&report, now);
        Ok(report)
    }

    /// Closes the connections of one identity; its will is not published. Returns how many there were.
    pub fn disconnect(&mut self, identity: &str, now: Now) -> usize {
        let connections: Vec<ConnectionId> = self
            .online
            .get(identity)
            .map(|ids| ids.iter().copied().collect())
            .unwrap_or_default();
        for id in &connections {
            self.drop_will_of(*id);
            self.disconnect_with(*id, ReasonCode::AdministrativeAction, None, now);
        }
        self.collect_work();
        connections.len()
    }

    /// Wills go before connections do: a connection that is closed for its exclusion must not fire one.
    fn drop_wills_of_the_excluded(&mut self, report: &mut InstallReport, now: Now) {
        for id in self.engine.session_ids() {
            let Some(session) = self.engine.session(id) else {
                continue;
            };
            let Some(will) = &session.will else { continue };
            if self.guard.standing(&will.sender, now).is_err() {
                report.wills_dropped += 1;
                if let Some(session) = self.engine.session_mut(id) {
                    session.will = None;
                }
            }
        }
    }

    fn close_the_excluded(&mut self, report: &mut InstallReport, now: Now) {
        let mut excluded: Vec<(ConnectionId, Denial)> = Vec::new();
        for connection in self.connections.iter() {
            if let Err(denial) = self.guard.standing(&connection.principal, now) {
                excluded.push((connection.id, denial));
            }
        }
        excluded.sort_by_key(|(id, _)| *id);
        for (id, denial) in excluded {
            self.record_denial(id, &denial, None, now);
            if let Some(connection) = self.connections.get(id) {
                report
                    .disconnected
                    .push(connection.principal.identity.to_string());
            }
            self.disconnect_for(id, denial.reason, denial.layer, now);
        }
        report.disconnected.sort_unstable();
        report.disconnected.dedup();
    }

    fn judge_session(&mut self, id: SessionId, report: &mut InstallReport, now: Now) {
        let Some(session) = self.engine.session(id) else {
            return;
        };
        let identity = session.principal.identity.clone();
        if self.is_revoked(&identity) {
            report.sessions_ended += 1;
            report.subscriptions_pruned += session.subscriptions.len();
            self.engine.end_session(id);
            return;
        }
        let rights = self.guard.rights(&identity);
        if let Some(session) = self.engine.session_mut(id) {
            session.rights = rights;
        }
        self.refresh_limits(id);
        self.prune_subscriptions(id, report, now);
        self.judge_will(id, report, now);
        self.withhold_waiting(id, report);
    }

    fn is_revoked(&self, identity: &motte_policy::Identity) -> bool {
        self.guard
            .snapshot()
            .is_some_and(|snapshot| snapshot.exceptions().status(identity) == Status::Revoked)
    }

    /// Role limits that changed hold for live connections as well.
    fn refresh_limits(&mut self, id: SessionId) {
        let Some(session) = self.engine.session(id) else {
            return;
        };
        let limits = session.rights.limits().clone();
        if let Some(connection) = session.connection.and_then(|id| self.connections.get_mut(id)) {
            connection
                .decoder
                .set_limits(motte_mqtt::Limits::with_packet_size(limits.packet));
            connection.limits = limits;
        }
    }

    fn prune_subscriptions(&mut self, id: SessionId, report: &mut InstallReport, now: Now) {
        let Some(session) = self.engine.session(id) else {
            return;
        };
        let name = session.name.clone();
        let principal = Arc::clone(&session.principal);
        let rights = Arc::clone(&session.rights);
        let subscriptions: Vec<_> = session
            .subscriptions
            .iter()
            .map(|(filter, options)| (filter.clone(), *options))
            .collect();
        for (filter, options) in subscriptions {
            let request = SubscribeRequest {
                filter: &filter,
                qos: options.requested_qos,
                existing: 0,
                is_new: false,
            };
            match self.guard.resubscribe(&principal, &rights, request) {
                Ok(permit) => {
                    self.engine.subscribe(&permit, id, &filter, options);
                }
                Err(denial) => {
                    self.engine.unsubscribe(id, &filter);
                    self.record_pruned(&name, &filter, &denial, now);
                    report.subscriptions_pruned += 1;
                }
            }
        }
    }

    fn judge_will(&mut self, id: SessionId, report: &mut InstallReport, now: Now) {
        let Some(session) = self.engine.session(id) else {
            return;
        };
        let Some(will) = session.will.clone() else { return };
        let rights = Arc::clone(&session.rights);
        let request = WillRequest {
            topic: &will.content.topic,
            qos: will.content.qos,
            retain: will.content.retain,
            payload_len: will.content.payload.len(),
            response_topic: will.content.properties.response_topic.as_deref(),
        };
        if self.guard.will(&will.sender, &rights, request, now).is_err() {
            report.wills_dropped += 1;
            if let Some(session) = self.engine.session_mut(id) {
                session.will = None;
            }
        }
    }

    /// Messages that wait are judged now, so that they are gone when the barrier falls and not merely
    /// passed over later. What was sent once and is not acknowledged is judged when it is sent again.
    fn withhold_waiting(&mut self, id: SessionId, report: &mut InstallReport) {
        let guard = &mut self.guard;
        let Some(session) = self.engine.session_mut(id) else {
            return;
        };
        let rights = Arc::clone(&session.rights);
        let removed = session.outbound.remove_where(|message| {
            guard
                .deliver(&rights, &message.sender, message.provenance(), &message.topic)
                .is_err()
        });
        report.messages_withheld += removed.len();
        self.totals.messages_withheld += removed.len() as u64;
        for sequence in removed {
            self.engine.settle(id, sequence);
        }
    }

    fn purge_retained_of_the_revoked(&mut self, report: &mut InstallReport) {
        let Some(snapshot) = self.guard.snapshot().cloned() else {
            return;
        };
        report.retained_withheld = self.engine.remove_retained_where(|message| {
            snapshot.exceptions().status(&message.sender.identity) == Status::Revoked
        });
    }

    fn drop_will_of(&mut self, id: ConnectionId) {
        let session = self.connections.get(id).and_then(|connection| connection.session);
        if let Some(session) = session.and_then(|session| self.engine.session_mut(session)) {
            session.will = None;
        }
    }

    fn record_snapshot(&mut self, report: &InstallReport, now: Now) {
        let detail = format!(
            "generation {} in force: {} identities disconnected, {} subscriptions pruned, {} wills dropped, {} messages withheld",
            report.generation,
            report.disconnected.len(),
            report.subscriptions_pruned,
            report.wills_dropped,
            report.messages_withheld + report.retained_withheld,
        );
        self.record_plain(evidence::Kind::Snapshot, &detail, now);
    }
}
