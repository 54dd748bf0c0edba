//! Everything that happens because time passes.

use std::collections::BTreeSet;
use std::time::Duration;

use motte_guard::{Layer, Now};
use motte_mqtt::ReasonCode;

use super::Broker;
use crate::connection::{Deadline, Violation};
use crate::names::{ConnectionId, SessionId};
use crate::settings::HOUSEKEEPING_INTERVAL;
use crate::store::Store;

/// What a timer is for. An entry may outlive its cause; the cause is looked at again when it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Connection(ConnectionId),
    Will(SessionId),
    SessionEnd(SessionId),
    Housekeeping,
}

/// Timers by moment on the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_moment: BTreeSet<(Duration, Timer)>,
}

impl Timers {
    pub(super) fn set(&mut self, at: Duration, timer: Timer) {
        self.by_moment.insert((at, timer));
    }

    pub(super) fn cancel(&mut self, at: Duration, timer: Timer) {
        self.by_moment.remove(&(at, timer));
    }

    pub(super) fn len(&self) -> usize {
        self.by_moment.len()
    }

    fn next(&self) -> Option<Duration> {
        self.by_moment.first().map(|(at, _)| *at)
    }

    fn pop_due(&mut self, now: Duration) -> Option<Timer> {
        let (at, _) = self.by_moment.first()?;
        if *at > now {
            return None;
        }
        self.by_moment.pop_first().map(|(_, timer)| timer)
    }
}

impl<S: Store> Broker<S> {
    /// When [`Broker::advance`] has something to do, on the monotonic clock.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// Does what is due: deadlines, keep alive, delayed wills, session expiry, certificates that run out.
    pub fn advance(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop_due(now.monotonic) {
            match timer {
                Timer::Connection(id) => self.check_connection(id, now),
                Timer::Will(session) => self.check_will(session, now),
                Timer::SessionEnd(session) => self.check_session_end(session, now),
                Timer::Housekeeping => self.keep_house(now),
            }
        }
        self.collect_work();
    }

    /// Sets the timer of a connection to its next deadline.
    pub(super) fn arm(&mut self, id: ConnectionId, now: Now) {
        let Some((at, _)) = self.deadline(id, now) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        // One timer for each connection, unless an earlier one is needed: a peer that begins and ends
        // packets all day does not fill the table.
        if connection.armed_at.is_none_or(|armed| at < armed) {
            connection.armed_at = Some(at);
            self.timers.set(at, Timer::Connection(id));
        }
    }

    pub(super) fn start_housekeeping(&mut self, now: Now) {
        self.timers
            .set(now.monotonic + HOUSEKEEPING_INTERVAL, Timer::Housekeeping);
    }

    fn deadline(&self, id: ConnectionId, now: Now) -> Option<(Duration, Deadline)> {
        let unix_offset = now.unix.saturating_sub(now.monotonic);
        self.connections.get(id)?.deadline(&self.settings, unix_offset)
    }

    fn check_connection(&mut self, id: ConnectionId, now: Now) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.armed_at.is_some_and(|armed| armed > now.monotonic) {
            return;
        }
        connection.armed_at = None;
        let Some((at, deadline)) = self.deadline(id, now) else {
            return;
        };
        if at > now.monotonic {
            self.arm(id, now);
            return;
        }
        match deadline {
            Deadline::Connect => {
                let violation = Violation::new(
                    ReasonCode::Unspecified,
                    "motte.limit.connect-deadline",
                    "no whole CONNECT within the deadline",
                );
                self.violate(id, &violation, now);
            }
            Deadline::Frame => {
                let violation = Violation::new(
                    ReasonCode::Unspecified,
                    "motte.limit.frame-deadline",
                    "a packet took longer than the deadline to arrive",
                );
                self.violate(id, &violation, now);
            }
            Deadline::KeepAlive => self.disconnect_with(id, ReasonCode::KeepAliveTimeout, None, now),
            Deadline::CertificateExpiry => self.end_for_expiry(id, now),
        }
    }

    fn end_for_expiry(&mut self, id: ConnectionId, now: Now) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        // No other answer is due here; should the clocks disagree, the connection ends all the same.
        let (reason, layer) = match self.guard.standing(&connection.principal, now) {
            Err(denial) => {
                self.record_denial(id, &denial, None, now);
                (denial.reason, denial.layer)
            }
            Ok(()) => (ReasonCode::MaximumConnectTime, Layer::Tls),
        };
        self.disconnect_for(id, reason, layer, now);
    }

    fn check_will(&mut self, session: SessionId, now: Now) {
        let due = self.engine.session(session).and_then(|state| {
            let will = state.will.as_ref()?;
            state.connection.is_none().then_some(will.due?)
        });
        if due.is_some_and(|due| due <= now.monotonic) {
            self.fire_will(session, now);
        }
    }

    fn check_session_end(&mut self, session: SessionId, now: Now) {
        let ends_at = self.engine.session(session).and_then(|state| {
            if state.connection.is_none() {
                state.ends_at
            } else {
                None
            }
        });
        if ends_at.is_some_and(|at| at <= now.monotonic) {
            self.end_with_will(session, now);
        }
    }

    fn keep_house(&mut self, now: Now) {
        self.engine.remove_expired(now.monotonic);
        self.record_overdue(now);
        self.guard.prune(now);
        self.publish_system(now);
        self.start_housekeeping(now);
    }
}
