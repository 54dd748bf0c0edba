//! The engine's state as the store has it: given out, and taken in again after a crash.
//!
//! What comes in is not told to the store again: it has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytestring::ByteString;
use motte_guard::{Permit, Subscribed};
use motte_policy::Rights;

use super::Engine;
use crate::message::Message;
use crate::names::{SessionId, SessionName};
use crate::session::{Outbound, Session, SubscriptionOptions, Will};
use crate::store::{Change, DurableSession, DurableState, DurableWill, Store};

impl<S: Store> Engine<S> {
    /// What the store must have once it has caught up.
    pub(crate) fn durable_state(&self) -> DurableState {
        let mut state = DurableState::default();
        for session in self.sessions.iter().flatten() {
            if session.is_durable {
                state
                    .sessions
                    .insert((*session.name).clone(), durable_session(session));
            }
            if let Some(will) = &session.will {
                let will = DurableWill {
                    sender: Arc::clone(&will.sender),
                    content: will.content.clone(),
                    due: will.due,
                };
                state.wills.insert((*session.name).clone(), will);
            }
        }
        // Expired ones as well: they are swept out later, and then the store is told.
        let retained = self.retained.all();
        state.retained = retained
            .into_iter()
            .map(|message| (message.topic.to_string(), message))
            .collect();
        state
    }

    /// A session with what waits in it; its subscriptions come one by one, each with a permit.
    pub(crate) fn restore_session(
        &mut self,
        name: &SessionName,
        durable: DurableSession,
        rights: &Arc<Rights>,
    ) -> SessionId {
        let id = self.begin_session(name, &durable.principal, rights);
        if let Some(session) = self.session_mut(id) {
            session.is_durable = true;
            session.expiry = durable.expiry;
            session.ends_at = durable.ends_at;
            session.held = durable.held;
            session.outbound = Outbound::restored(durable.outbound);
        }
        id
    }

    /// A permitted subscription, which may carry less than it did.
    pub(crate) fn restore_subscription(
        &mut self,
        permit: &Permit<Subscribed>,
        id: SessionId,
        filter: &str,
        options: SubscriptionOptions,
    ) {
        let granted_qos = options.requested_qos.min(permit.action().maximum_qos);
        if granted_qos != options.granted_qos {
            self.subscribe(permit, id, &ByteString::from(filter), options);
            return;
        }
        if let Some(session) = self.session_mut(id) {
            session.subscriptions.insert(filter.into(), options);
            self.subscriptions.insert(filter, options.subscriber(id));
        }
    }

    /// A subscription that is not permitted any more.
    pub(crate) fn forget_subscription(&mut self, id: SessionId, filter: &str) {
        self.record_for(id, |session| Change::Unsubscribed { session, filter });
    }

    /// The will of a session; one that ends with its connection is there only to end now.
    pub(crate) fn restore_will(
        &mut self,
        name: &SessionName,
        will: DurableWill,
        rights: &Arc<Rights>,
    ) -> SessionId {
        let id = match self.find(name) {
            Some(id) => id,
            None => self.begin_session(name, &will.sender, rights),
        };
        if let Some(session) = self.session_mut(id) {
            session.will = Some(Will {
                content: will.content,
                sender: will.sender,
                due: will.due,
            });
        }
        id
    }

    /// Messages of groups may wait with any member: those who come look for them.
    pub(crate) fn expect_backlog(&mut self) {
        self.subscriptions.expect_backlog();
    }

    /// Retained messages, counted against their senders again.
    pub(crate) fn restore_retained(&mut self, retained: &BTreeMap<String, Arc<Message>>) {
        for message in retained.values() {
            self.retained.store(message);
        }
    }
}

fn durable_session(session: &Session) -> DurableSession {
    let subscriptions = session.subscriptions.iter();
    DurableSession {
        principal: Arc::clone(&session.principal),
        expiry: session.expiry,
        connected: session.connection.is_some(),
        ends_at: session.ends_at,
        subscriptions: subscriptions
            .map(|(filter, options)| (filter.to_string(), *options))
            .collect(),
        outbound: session.outbound.durable(),
        held: session.held.clone(),
    }
}
