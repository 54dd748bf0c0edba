//! The start after a stop or a crash: everything that the store kept is judged by the policy in force,
//! as if every connection had been lost at this moment.

use std::sync::Arc;

use motte_guard::{Now, SubscribeRequest, evidence};
use serde::Serialize;

use super::timers::Timer;
use super::{Broker, InstallReport};
use crate::names::{SessionId, SessionName};
use crate::store::{DurableSession, DurableState, DurableWill, Store};

/// Why nothing was restored. The state is still the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Without a policy nothing is permitted: all of it would be thrown away.
    #[error("no policy is in force, which has to judge what was kept")]
    NoPolicy,
    /// What is there would be mixed with what was.
    #[error("sessions or retained messages are there already")]
    NotEmpty,
}

/// What was taken in, and what the policy in force had to say about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// Sessions that wait for their clients.
    pub sessions: usize,
    /// Subscriptions that are in force again.
    pub subscriptions: usize,
    /// Retained messages that are in force again.
    pub retained: usize,
    /// What is not granted any more, as an installation counts it.
    pub judged: InstallReport,
}

impl<S: Store> Broker<S> {
    /// Takes in what the store kept. To be called once, after a policy is in force and before anybody
    /// connects. Sessions that had a connection begin to wait for their clients now, and wills are due as
    /// after a lost connection; deadlines that have passed are met by the next [`Broker::advance`].
    ///
    /// # Errors
    /// [`RestoreError`]; nothing has changed then.
    pub fn restore(&mut self, state: DurableState, now: Now) -> Result<RestoreReport, RestoreError> {
        if self.guard.generation() == 0 {
            return Err(RestoreError::NoPolicy);
        }
        if self.engine.session_count() > 0 || self.engine.retained.total().messages > 0 {
            return Err(RestoreError::NotEmpty);
        }
        let mut report = RestoreReport::default();
        report.judged.generation = self.guard.generation();
        self.engine.restore_retained(&state.retained);
        self.purge_retained_of_the_revoked(&mut report.judged);
        report.retained = self.engine.retained.total().messages;
        let mut left = Vec::new();
        for (name, session) in state.sessions {
            let was_connected = session.connected;
            let id = self.restore_session(&name, session, &mut report, now);
            if was_connected {
                left.push(id);
            }
        }
        for (name, will) in state.wills {
            let is_session_over = self.engine.find(&name).is_none();
            let id = self.restore_will(&name, will, now);
            if is_session_over {
                left.push(id);
            }
        }
        self.judge_restored(&mut report, now);
        self.engine.expect_backlog();
        // A will finds every subscription in its place.
        for id in left {
            if self.engine.session(id).is_some() {
                self.leave(id, now);
            }
        }
        report.sessions = self.engine.session_count();
        self.collect_work();
        self.record_restored(&report, now);
        Ok(report)
    }

    /// What has to survive a crash at this moment, for a store that begins anew and for tests.
    #[must_use]
    pub fn durable_state(&self) -> DurableState {
        self.engine.durable_state()
    }

    fn restore_session(
        &mut self,
        name: &SessionName,
        mut session: DurableSession,
        report: &mut RestoreReport,
        now: Now,
    ) -> SessionId {
        let principal = Arc::clone(&session.principal);
        let rights = self.guard.rights(&principal.identity);
        let subscriptions = std::mem::take(&mut session.subscriptions);
        let ends_at = session.ends_at.filter(|_| !session.connected);
        let id = self.engine.restore_session(name, session, &rights);
        if let Some(at) = ends_at {
            self.timers.set(at, Timer::SessionEnd(id));
        }
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
                    self.engine.restore_subscription(&permit, id, &filter, options);
                    report.subscriptions += 1;
                }
                Err(denial) => {
                    self.engine.forget_subscription(id, &filter);
                    self.record_pruned(name, &filter, &denial, now);
                    report.judged.subscriptions_pruned += 1;
                }
            }
        }
        id
    }

    fn restore_will(&mut self, name: &SessionName, will: DurableWill, now: Now) -> SessionId {
        let rights = self.guard.rights(&will.sender.identity);
        let due = will.due;
        let id = self.engine.restore_will(name, will, &rights);
        if let Some(at) = due {
            self.timers.set(at.max(now.monotonic), Timer::Will(id));
        }
        id
    }

    /// As an installation does, and in its order: wills before anything could publish them.
    fn judge_restored(&mut self, report: &mut RestoreReport, now: Now) {
        let sessions = self.engine.session_ids();
        for id in &sessions {
            self.judge_will(*id, &mut report.judged, now);
        }
        for id in &sessions {
            if self.is_out(*id) {
                self.end_out(*id, &mut report.judged);
            }
        }
        for id in self.engine.session_ids() {
            self.withhold_waiting(id, &mut report.judged, now);
        }
    }

    fn record_restored(&mut self, report: &RestoreReport, now: Now) {
        let detail = format!(
            "restored {} sessions, {} subscriptions, {} retained messages; {} subscriptions pruned, {} wills dropped, {} messages withheld, {} sessions ended",
            report.sessions,
            report.subscriptions,
            report.retained,
            report.judged.subscriptions_pruned,
            report.judged.wills_dropped,
            report.judged.messages_withheld + report.judged.retained_withheld,
            report.judged.sessions_ended,
        );
        self.record_plain(evidence::Kind::Snapshot, &detail, now);
    }
}
