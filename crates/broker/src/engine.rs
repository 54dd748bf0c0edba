//! Sessions, subscriptions, retained messages: what outlives a connection.
//!
//! Everything here that has an effect on somebody else takes a [`Permit`], which only the guard makes.

mod restore;
pub(crate) mod shared;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use motte_guard::{
    Connected, GroupRequest, Permit, Principal, Published, Retained, SessionGranted, Subscribed, WillGranted,
};
use motte_mqtt::{PacketId, QoS};
use motte_policy::{Rights, is_system};

use crate::message::Message;
use crate::names::{ConnectionId, SessionId, SessionName};
use crate::session::{Copy, Session, SubscriptionOptions, Will};
use crate::settings::IDENTIFIERS_PER_DELIVERY;
use crate::store::{Change, Position, Store};
use crate::topics::retained::RetainedMessages;
use crate::topics::subscriptions::{GroupId, Subscriber, Subscriptions, shared as shared_filter};

/// The state that outlives connections.
#[derive(Debug)]
pub(crate) struct Engine<S> {
    /// Boxed: a list that grows by doubling leaves half of itself empty.
    sessions: Vec<Option<Box<Session>>>,
    free: Vec<SessionId>,
    names: HashMap<Arc<SessionName>, SessionId>,
    by_identity: HashMap<String, BTreeSet<SessionId>>,
    subscriptions: Subscriptions,
    pub(crate) retained: RetainedMessages,
    /// What the broker says about itself; not durable, and nobody's quota.
    pub(crate) system: RetainedMessages,
    pub(crate) store: S,
    found: Vec<Subscriber>,
    found_groups: Vec<GroupId>,
    /// Connections whose session has something new to send.
    pub(crate) with_work: Vec<ConnectionId>,
    /// Messages that found a full queue since the process started.
    pub(crate) dropped_by_full_queues: u64,
}

/// The outcome of opening a session.
pub(crate) struct Opened {
    pub(crate) session: SessionId,
    /// Whether the client finds what it left (Session Present).
    pub(crate) present: bool,
    /// A connection that had the session until now.
    pub(crate) displaced: Option<ConnectionId>,
}

impl<S: Store> Engine<S> {
    pub(crate) fn new(store: S) -> Self {
        Self {
            sessions: Vec::new(),
            free: Vec::new(),
            names: HashMap::new(),
            by_identity: HashMap::new(),
            subscriptions: Subscriptions::default(),
            retained: RetainedMessages::default(),
            system: RetainedMessages::default(),
            store,
            found: Vec::new(),
            found_groups: Vec::new(),
            with_work: Vec::new(),
            dropped_by_full_queues: 0,
        }
    }

    pub(crate) fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(id.0 as usize)?.as_deref()
    }

    pub(crate) fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(id.0 as usize)?.as_deref_mut()
    }

    pub(crate) fn find(&self, name: &SessionName) -> Option<SessionId> {
        self.names.get(name).copied()
    }

    /// Every session, in a fixed order.
    pub(crate) fn session_ids(&self) -> Vec<SessionId> {
        (0..)
            .zip(&self.sessions)
            .filter(|(_, session)| session.is_some())
            .map(|(id, _)| SessionId(id))
            .collect()
    }

    pub(crate) fn sessions_of(&self, identity: &str) -> usize {
        self.by_identity.get(identity).map_or(0, BTreeSet::len)
    }

    pub(crate) fn session_count(&self) -> usize {
        self.names.len()
    }

    /// Resumes or begins the session of a permitted connection.
    pub(crate) fn open_session(
        &mut self,
        permit: Permit<Connected>,
        _session: Permit<SessionGranted>,
        principal: &Arc<Principal>,
        connection: ConnectionId,
        clean_start: bool,
        expiry: u32,
    ) -> Opened {
        let Connected {
            client_id, rights, ..
        } = permit.into_action();
        let name = SessionName {
            identity: principal.identity.to_string(),
            client_id,
        };
        let existing = self.find(&name);
        let displaced = existing
            .and_then(|id| self.session(id))
            .and_then(|session| session.connection);
        let kept = existing.filter(|_| !clean_start);
        if let (Some(id), None) = (existing, kept) {
            self.end_session(id);
        }
        let session = kept.unwrap_or_else(|| self.begin_session(&name, principal, &rights));
        if let Some(state) = self.session_mut(session) {
            state.principal = Arc::clone(principal);
            state.rights = rights;
            state.connection = Some(connection);
            state.ends_at = None;
            state.outbound.disconnect();
            state.outbound.resume();
        }
        self.set_expiry(session, expiry);
        Opened {
            session,
            present: kept.is_some(),
            displaced,
        }
    }

    fn begin_session(
        &mut self,
        name: &SessionName,
        principal: &Arc<Principal>,
        rights: &Arc<Rights>,
    ) -> SessionId {
        let name = Arc::new(name.clone());
        let session = Session::new(Arc::clone(&name), Arc::clone(principal), Arc::clone(rights));
        let id = self.free.pop().unwrap_or_else(|| {
            self.sessions.push(None);
            SessionId(u32::try_from(self.sessions.len() - 1).unwrap_or(u32::MAX))
        });
        if let Some(slot) = self.sessions.get_mut(id.0 as usize) {
            *slot = Some(Box::new(session));
        }
        self.by_identity
            .entry(name.identity.clone())
            .or_default()
            .insert(id);
        self.names.insert(name, id);
        id
    }

    /// Ends a session with everything in it. The will is the caller's to publish or drop first.
    pub(crate) fn end_session(&mut self, id: SessionId) {
        let Some(mut session) = self.sessions.get_mut(id.0 as usize).and_then(Option::take) else {
            return;
        };
        for filter in session.subscriptions.keys() {
            self.subscriptions.remove(filter, id);
        }
        self.names.remove(&session.name);
        if let Some(siblings) = self.by_identity.get_mut(&session.name.identity) {
            siblings.remove(&id);
            if siblings.is_empty() {
                self.by_identity.remove(&session.name.identity);
            }
        }
        self.free.push(id);
        self.hand_over_of_ended(id, &mut session);
        if session.will.is_some() {
            self.store.record(&Change::WillDropped {
                session: &session.name,
            });
        }
        if session.is_durable {
            self.store.record(&Change::SessionEnded {
                session: &session.name,
            });
        }
    }

    /// Seconds that the session outlives the connection that has it now.
    pub(crate) fn set_expiry(&mut self, id: SessionId, expiry: u32) {
        let Some(session) = self.sessions.get_mut(id.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        session.expiry = expiry;
        let name = &session.name;
        if expiry > 0 {
            session.is_durable = true;
            self.store.record(&Change::SessionKept {
                session: name,
                principal: &session.principal,
                expiry,
            });
        } else if session.is_durable {
            // From here a crash ends it, as the end of its connection would.
            session.is_durable = false;
            self.store.record(&Change::SessionEnded { session: name });
        }
    }

    /// The connection is gone; the session ends at this moment if nobody takes it again.
    pub(crate) fn leave_session(&mut self, id: SessionId, ends_at: Option<Duration>) {
        if let Some(session) = self.session_mut(id) {
            session.ends_at = ends_at;
        }
        self.record_for(id, |session| Change::SessionLeft { session, ends_at });
    }

    /// Tells the store of a change in a session that it knows.
    fn record_for<'a>(&'a mut self, id: SessionId, change: impl FnOnce(&'a Arc<SessionName>) -> Change<'a>) {
        let session = self.sessions.get(id.0 as usize).and_then(Option::as_ref);
        if let Some(session) = session.filter(|session| session.is_durable) {
            self.store.record(&change(&session.name));
        }
    }

    /// Keeps a permitted will until the connection ends.
    pub(crate) fn keep_will(&mut self, _permit: Permit<WillGranted>, id: SessionId, will: Will) {
        if let Some(session) = self.session_mut(id) {
            session.will = Some(will);
        }
        self.record_will(id);
    }

    /// The connection is gone; the will is due at this moment.
    pub(crate) fn delay_will(&mut self, id: SessionId, due: Duration) {
        if let Some(will) = self.session_mut(id).and_then(|session| session.will.as_mut()) {
            will.due = Some(due);
        }
        self.record_will(id);
    }

    /// Takes the will out, to be published or dropped.
    pub(crate) fn take_will(&mut self, id: SessionId) -> Option<Will> {
        let session = self.sessions.get_mut(id.0 as usize).and_then(Option::as_mut)?;
        let will = session.will.take()?;
        self.store.record(&Change::WillDropped {
            session: &session.name,
        });
        Some(will)
    }

    fn record_will(&mut self, id: SessionId) {
        let session = self.sessions.get(id.0 as usize).and_then(Option::as_ref);
        if let Some((session, will)) = session.and_then(|session| Some((session, session.will.as_ref()?))) {
            self.store.record(&Change::WillKept {
                session: &session.name,
                sender: &will.sender,
                content: &will.content,
                due: will.due,
            });
        }
    }

    /// Installs a permitted subscription; returns whether the filter is new to the session.
    pub(crate) fn subscribe(
        &mut self,
        permit: &Permit<Subscribed>,
        id: SessionId,
        filter: &ByteString,
        mut options: SubscriptionOptions,
    ) -> bool {
        options.granted_qos = options.requested_qos.min(permit.action().maximum_qos);
        // Copied, because the packet's buffer would stay alive as long as the subscription does.
        let filter = ByteString::from(filter.to_string());
        let Some(session) = self.session_mut(id) else {
            return false;
        };
        let is_new = session.subscriptions.insert(filter.clone(), options).is_none();
        self.subscriptions.insert(&filter, options.subscriber(id));
        self.record_for(id, |session| Change::Subscribed {
            session,
            filter: &filter,
            options: &options,
        });
        is_new
    }

    /// What a subscription would cost others, for the guard.
    pub(crate) fn costs(&self, id: SessionId, filter: &str) -> (usize, Option<GroupRequest>) {
        let group = shared_filter(filter).map(|_| {
            let group = self
                .subscriptions
                .group_of(filter)
                .and_then(|id| self.subscriptions.group(id));
            let siblings = self
                .session(id)
                .and_then(|session| self.by_identity.get(&session.name.identity));
            let sessions = siblings.into_iter().flatten().filter_map(|id| self.session(*id));
            GroupRequest {
                members: group.map_or(0, |group| group.members().len()),
                held: sessions
                    .map(|session| shared::shared_subscriptions(session).count())
                    .sum(),
            }
        });
        (self.subscriptions.search_with(filter), group)
    }

    /// Ends a subscription; whether there was one.
    pub(crate) fn unsubscribe(&mut self, id: SessionId, filter: &str) -> bool {
        let Some(session) = self.session_mut(id) else {
            return false;
        };
        if session.subscriptions.remove(filter).is_none() {
            return false;
        }
        self.subscriptions.remove(filter, id);
        self.record_for(id, |session| Change::Unsubscribed { session, filter });
        if shared_filter(filter).is_some() {
            self.hand_over_of_left(id, filter);
        }
        true
    }

    /// Lets the stored messages that a new subscription matches wait for the session.
    pub(crate) fn replay_retained(&mut self, id: SessionId, filter: &str, now: Duration) {
        let Some(session) = self.sessions.get_mut(id.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        let Some(options) = session.subscriptions.get(filter).copied() else {
            return;
        };
        let room = session.outbound.replay_room();
        let bytes = session.rights.limits().queue_bytes;
        // No client can have retained a message where the broker speaks.
        let source = if is_system(filter) {
            &self.system
        } else {
            &self.retained
        };
        for message in &source.matching(filter, now, room) {
            let qos = message.qos.min(options.granted_qos);
            match session
                .outbound
                .push_replay(message, qos, options.identifier, bytes)
            {
                Some(waiting) if qos > QoS::AtMostOnce && session.is_durable => {
                    self.store.record(&Change::Queued {
                        session: &session.name,
                        waiting,
                    });
                }
                Some(_) => {}
                None => self.dropped_by_full_queues += 1,
            }
        }
        self.with_work.extend(session.connection);
    }

    /// Stores or, with an empty payload, removes a retained message.
    pub(crate) fn retain(&mut self, _permit: &Permit<Retained>, message: &Arc<Message>) {
        if message.payload.is_empty() {
            if self.retained.remove(&message.topic).is_some() {
                self.store.record(&Change::RetainedRemoved {
                    topic: &message.topic,
                });
            }
            return;
        }
        self.retained.store(message);
        self.store.record(&Change::Retained { message });
    }

    /// Routes a permitted message.
    pub(crate) fn publish(&mut self, _permit: &Permit<Published>, message: &Arc<Message>, origin: SessionId) {
        self.route(message, Some(origin));
    }

    /// Routes a value that the broker says about itself, and keeps it for those who come later.
    pub(crate) fn publish_system(&mut self, _permit: &Permit<Published>, message: &Arc<Message>) {
        self.system.store(message);
        self.route(message, None);
    }

    /// Routes a will whose right was judged again at this moment.
    pub(crate) fn publish_will(
        &mut self,
        _permit: &Permit<WillGranted>,
        message: &Arc<Message>,
        origin: SessionId,
    ) {
        self.route(message, Some(origin));
    }

    /// Holds a permitted QoS 2 message until its PUBREL, or the bare identifier of a refused one.
    pub(crate) fn hold(&mut self, id: SessionId, packet_id: PacketId, message: Option<Arc<Message>>) {
        let Some(session) = self.sessions.get_mut(id.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        if session.is_durable {
            self.store.record(&Change::Held {
                session: &session.name,
                packet_id,
                message: message.as_ref(),
            });
        }
        session.held.insert(packet_id, message);
    }

    /// Takes what waited for this PUBREL; the outer `None` means that nothing did.
    pub(crate) fn release(&mut self, id: SessionId, packet_id: PacketId) -> Option<Option<Arc<Message>>> {
        let session = self.sessions.get_mut(id.0 as usize).and_then(Option::as_mut)?;
        let held = session.held.remove(&packet_id)?;
        self.record_for(id, |session| Change::Released { session, packet_id });
        Some(held)
    }

    /// An outbound message of a session is done.
    pub(crate) fn settle(&mut self, id: SessionId, sequence: u64) {
        self.record_for(id, |session| Change::Settled { session, sequence });
    }

    /// An outbound message got a packet identifier.
    pub(crate) fn sent(&mut self, id: SessionId, sequence: u64, packet_id: PacketId) {
        self.record_for(id, |session| Change::Sent {
            session,
            sequence,
            packet_id,
        });
    }

    /// The first PUBREC for an outbound message came.
    pub(crate) fn received(&mut self, id: SessionId, sequence: u64, packet_id: PacketId) {
        self.record_for(id, |session| Change::Received {
            session,
            sequence,
            packet_id,
        });
    }

    pub(crate) fn recorded(&self) -> Position {
        self.store.recorded()
    }

    fn route(&mut self, message: &Arc<Message>, origin: Option<SessionId>) {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        self.subscriptions.matching(&message.topic, &mut found);
        // One copy for each session, however many of its subscriptions match (attack X12).
        if found.len() > 1 {
            found.sort_by_key(|subscriber| subscriber.session);
        }
        for matching in found.chunk_by(|left, right| left.session == right.session) {
            self.enqueue(message, matching, origin);
        }
        self.found = found;
        if !self.subscriptions.has_groups() {
            return;
        }
        let mut groups = std::mem::take(&mut self.found_groups);
        groups.clear();
        self.subscriptions.groups_matching(&message.topic, &mut groups);
        for group in &groups {
            self.share_out(*group, message);
        }
        self.found_groups = groups;
    }

    fn enqueue(&mut self, message: &Arc<Message>, matching: &[Subscriber], origin: Option<SessionId>) {
        let Some(id) = matching.first().map(|subscriber| subscriber.session) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(id.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        let mut wanted = matching
            .iter()
            .filter(|subscriber| !(subscriber.no_local && origin == Some(id)))
            .peekable();
        if wanted.peek().is_none() {
            return;
        }
        let mut highest = QoS::AtMostOnce;
        let mut retain = false;
        let mut identifiers = Vec::new();
        for subscriber in wanted {
            highest = highest.max(subscriber.qos);
            retain |= subscriber.retain_as_published && message.retain;
            if identifiers.len() < IDENTIFIERS_PER_DELIVERY {
                identifiers.extend(subscriber.identifier);
            }
        }
        let qos = message.qos.min(highest);
        if session.connection.is_none() && (qos == QoS::AtMostOnce || session.rights.roles().is_empty()) {
            return;
        }
        let limits = session.queue_limits();
        let copy = Copy {
            qos,
            retain,
            identifiers,
            shared: None,
        };
        match session.outbound.push(message, copy, limits) {
            Some(waiting) => {
                if qos > QoS::AtMostOnce && session.is_durable {
                    self.store.record(&Change::Queued {
                        session: &session.name,
                        waiting,
                    });
                }
                self.with_work.extend(session.connection);
            }
            None => self.dropped_by_full_queues += 1,
        }
    }
}

impl<S: Store> Engine<S> {
    /// Removes stored messages for which `unwanted` says so; returns how many.
    pub(crate) fn remove_retained_where(&mut self, unwanted: impl FnMut(&Message) -> bool) -> usize {
        let removed = self.retained.remove_where(unwanted);
        for message in &removed {
            self.store.record(&Change::RetainedRemoved {
                topic: &message.topic,
            });
        }
        removed.len()
    }

    /// Lets go of what has expired, stored or waiting; returns how many messages that were.
    pub(crate) fn remove_expired(&mut self, now: Duration) -> usize {
        self.sweep_shared();
        let mut count = self.remove_retained_where(|message| message.is_expired(now));
        for session in self.sessions.iter_mut().flatten() {
            for sequence in session.outbound.remove_expired(now) {
                count += 1;
                if session.is_durable {
                    self.store.record(&Change::Settled {
                        session: &session.name,
                        sequence,
                    });
                }
            }
        }
        count
    }
}
