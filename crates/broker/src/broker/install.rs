//! A new policy acts on everything that is under way, before the call returns (law 6).

use std::sync::Arc;

use motte_guard::{Denial, InstallError, Now, SubscribeRequest, evidence};
use motte_mqtt::ReasonCode;
use motte_policy::{Snapshot, Status};
use serde::Serialize;

use super::Broker;
use super::report::withheld;
use super::transmit::judge_delivery;
use crate::names::{ConnectionId, SessionId};
use crate::session::will_request;
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
    /// Sessions of revoked and quarantined identities, ended.
    pub sessions_ended: usize,
}

impl<S: Store> Broker<S> {
    /// Puts a snapshot in force and re-judges every connection, subscription, will, waiting and retained
    /// message. When this returns, nothing that the new policy denies can still be transmitted.
    ///
    /// # Errors
    /// The snapshot is of another fleet or older than the one in force, which stays.
    pub fn install(&mut self, snapshot: Arc<Snapshot>, now: Now) -> Result<InstallReport, InstallError> {
        let before = self.guard.generation();
        let is_first = before == 0;
        self.guard.install(snapshot)?;
        // A revocation or a quarantine changes who is out and nothing that anybody else may do.
        let grants_the_same = !is_first && self.guard.is_in_force(before);
        if is_first {
            self.start_housekeeping(now);
            self.publish_system(now);
        }
        let mut report = InstallReport {
            generation: self.guard.generation(),
            ..InstallReport::default()
        };
        let sessions = self.engine.session_ids();
        let mut out = Vec::with_capacity(sessions.len());
        for session in &sessions {
            let is_out = self.is_out(*session);
            if is_out || !grants_the_same {
                self.rebind(*session);
            }
            self.judge_will(*session, &mut report, now);
            out.push(is_out);
        }
        self.close_the_excluded(grants_the_same, &mut report, now);
        for (session, is_out) in sessions.into_iter().zip(out) {
            if is_out {
                self.end_out(session, &mut report);
            } else if !grants_the_same {
                report.subscriptions_pruned += self.prune_subscriptions(session, now);
            }
        }
        // After all of them: who has left a group hands over to those who may stay in it.
        for session in self.engine.session_ids() {
            self.withhold_waiting(session, &mut report, now);
        }
        self.purge_retained_of_the_revoked(&mut report);
        self.collect_work();
        self.record_snapshot(&report, now);
        Ok(report)
    }

    /// Closes the connections of one identity, which keeps its rights: its wills are due as after any other
    /// end that is not the client's. Returns how many connections there were.
    pub fn disconnect(&mut self, identity: &str, now: Now) -> usize {
        let connections: Vec<ConnectionId> = self
            .online
            .get(identity)
            .map(|ids| ids.iter().copied().collect())
            .unwrap_or_default();
        for id in &connections {
            self.disconnect_with(*id, ReasonCode::AdministrativeAction, None, now);
        }
        self.collect_work();
        connections.len()
    }

    /// Every session gets the rights of the new policy before anything else happens, so that nothing
    /// is judged by the old ones. Wills go before connections do: one that is closed for its exclusion
    /// must not fire one.
    fn rebind(&mut self, id: SessionId) {
        if let Some(session) = self.engine.session_mut(id) {
            session.rights = self.guard.rights(&session.principal.identity);
            self.refresh_limits(id);
        }
    }

    /// Revoked, or in quarantine: nothing could be left in the session of either. Who is released finds
    /// no session and subscribes again, where an empty one would pretend to be whole.
    pub(super) fn is_out(&self, id: SessionId) -> bool {
        let (Some(session), Some(snapshot)) = (self.engine.session(id), self.guard.snapshot()) else {
            return false;
        };
        snapshot.exceptions().status(&session.principal.identity) != Status::Active
    }

    pub(super) fn end_out(&mut self, id: SessionId, report: &mut InstallReport) {
        if let Some(session) = self.engine.session(id) {
            report.sessions_ended += 1;
            report.subscriptions_pruned += session.subscriptions.len();
            self.engine.end_session(id);
        }
    }

    fn close_the_excluded(&mut self, grants_the_same: bool, report: &mut InstallReport, now: Now) {
        let mut excluded: Vec<(ConnectionId, Denial)> = Vec::new();
        let guard = &mut self.guard;
        for connection in self.connections.iter() {
            let standing = if grants_the_same {
                guard.is_excluded(&connection.principal, now)
            } else {
                guard.standing(&connection.principal, now)
            };
            if let Err(denial) = standing {
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
        self.note_window(id);
    }

    /// Ends the subscriptions that the rights of the session do not grant; returns how many.
    pub(super) fn prune_subscriptions(&mut self, id: SessionId, now: Now) -> usize {
        let Some(session) = self.engine.session(id) else {
            return 0;
        };
        let name = session.name.clone();
        let principal = Arc::clone(&session.principal);
        let rights = Arc::clone(&session.rights);
        let subscriptions: Vec<_> = session
            .subscriptions
            .iter()
            .map(|(filter, options)| (filter.clone(), *options))
            .collect();
        let mut pruned = 0;
        for (filter, options) in subscriptions {
            let request = SubscribeRequest {
                filter: &filter,
                qos: options.requested_qos,
                existing: 0,
                is_new: false,
                search: 0,
                group: None,
            };
            match self.guard.resubscribe(&principal, &rights, request) {
                Ok(permit) => {
                    // Mostly nothing has changed. Where a whole fleet reads one topic, putting each in
                    // its own place again would take the square of the fleet.
                    if options.requested_qos.min(permit.action().maximum_qos) != options.granted_qos {
                        self.engine.subscribe(&permit, id, &filter, options);
                    }
                }
                Err(denial) => {
                    self.engine.unsubscribe(id, &filter);
                    self.record_pruned(&name, &filter, &denial, now);
                    pruned += 1;
                }
            }
        }
        pruned
    }

    pub(super) fn judge_will(&mut self, id: SessionId, report: &mut InstallReport, now: Now) {
        let Some(session) = self.engine.session(id) else {
            return;
        };
        let Some(will) = session.will.clone() else { return };
        let rights = Arc::clone(&session.rights);
        let request = will_request(&will.content);
        let client_id = session.name.client_id.clone();
        if let Err(denial) = self.guard.will(&will.sender, &rights, request, now) {
            report.wills_dropped += 1;
            let sender = &will.sender.identity;
            self.record_will_dropped(sender, &client_id, &will.content.topic, &denial, now);
            self.engine.take_will(id);
        }
    }

    /// Messages that wait are judged now, so that they are gone when the barrier falls and not merely
    /// passed over later. What was sent once and is not acknowledged is judged when it is sent again.
    pub(super) fn withhold_waiting(&mut self, id: SessionId, report: &mut InstallReport, now: Now) {
        let (guard, evidence) = (&mut self.guard, &mut self.evidence);
        let Some(session) = self.engine.session_mut(id) else {
            return;
        };
        let rights = Arc::clone(&session.rights);
        let removed = session.outbound.remove_where(|waiting| {
            let message = &waiting.message;
            let Err(denial) = judge_delivery(guard, &rights, waiting) else {
                return false;
            };
            evidence.extend(withheld(guard, message, &denial, now));
            true
        });
        report.messages_withheld += removed.len();
        self.totals.messages_withheld += removed.len() as u64;
        for sequence in removed {
            self.engine.settle(id, sequence);
        }
    }

    pub(super) fn purge_retained_of_the_revoked(&mut self, report: &mut InstallReport) {
        let Some(snapshot) = self.guard.snapshot().cloned() else {
            return;
        };
        report.retained_withheld = self.engine.remove_retained_where(|message| {
            snapshot.exceptions().status(&message.sender.identity) == Status::Revoked
        });
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
