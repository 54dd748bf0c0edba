//! Messages of groups: which member gets one, and what becomes of those that wait with a member that is
//! slow or gone (5.0, section 4.8.2).
//!
//! A message waits in the queue of one member, under the limits of its role, and is judged again when it
//! goes out to it. As long as it has not been sent, it may change to another member; a QoS 1 message may
//! even when it was sent, if the connection is lost. All of that is bounded: [`HANDED_OVER`] at once, the
//! rest when a member acknowledges, connects or subscribes, and at each sweep.

use std::ops::Bound;
use std::sync::Arc;

use bytestring::ByteString;
use motte_mqtt::QoS;
use motte_policy::SHARE_LEVEL;

use super::Engine;
use crate::message::Message;
use crate::names::{SessionId, SessionName};
use crate::session::{Copy, Session, Taken};
use crate::settings::{HANDED_OVER, PULLED, SWEPT_GROUPS};
use crate::store::{Change, Store};
use crate::topics::subscriptions::{Group, GroupId, Subscriber, shared};

/// How well a member could take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Readiness {
    /// Its queue has no room, or nothing waits for it.
    None,
    /// It is not connected; its session would keep the message.
    Away,
    /// It has more to receive already than it takes at once.
    Slow,
    /// It would receive the message at once.
    Ready,
}

impl<S: Store> Engine<S> {
    /// Lets one member of the group have the message: the next whose turn it is among those that are
    /// ready, else among those that are connected, else among those that come back.
    pub(super) fn share_out(&mut self, id: GroupId, message: &Arc<Message>) {
        match self.choose(id, message, Readiness::Away, None) {
            Some(member) => {
                self.give(id, &member, message, None);
            }
            None if message.qos > QoS::AtMostOnce => self.dropped_by_full_queues += 1,
            None => {}
        }
    }

    /// The connection of a session is lost: what it has not acknowledged goes to members that are
    /// connected, and stays where there are none.
    pub(crate) fn hand_over_of_lost(&mut self, id: SessionId) {
        if self.subscriptions.has_groups() {
            self.hand_over(id, None, true, Readiness::Slow, HANDED_OVER);
        }
    }

    /// A session has left the group: what it was not sent goes to the members that are left.
    pub(super) fn hand_over_of_left(&mut self, id: SessionId, filter: &str) {
        let is_away = self
            .session(id)
            .is_some_and(|session| session.connection.is_none());
        self.hand_over(id, Some(filter), is_away, Readiness::Away, usize::MAX);
    }

    /// A session has ended. What no other member takes is lost with it.
    pub(super) fn hand_over_of_ended(&mut self, id: SessionId, session: &mut Session) {
        if !self.subscriptions.has_groups() {
            return;
        }
        let (taken, _) = session.outbound.take_shared(&mut |_| true, true, usize::MAX);
        let from = session.is_durable.then_some(&session.name);
        self.redistribute(from, id, taken, Readiness::Away);
    }

    /// A member has just come: it takes from those that have more than they can send.
    pub(crate) fn pull_shared(&mut self, id: SessionId) {
        self.pull(id, HANDED_OVER);
    }

    /// A member has acknowledged, and may have room for more.
    pub(crate) fn pull_shared_after_acknowledgement(&mut self, id: SessionId) {
        self.pull(id, PULLED);
    }

    fn pull(&mut self, id: SessionId, most: usize) {
        // Where all are busy, each has a backlog of its own, and this is where it ends.
        if !self.subscriptions.has_groups() || !self.is_ready(id) {
            return;
        }
        let Some(session) = self.session(id) else { return };
        let groups: Vec<GroupId> = shared_subscriptions(session)
            .filter_map(|filter| self.subscriptions.group_of(filter))
            .filter(|group| self.has_backlog(*group))
            .collect();
        for group in groups {
            self.relieve(group, id, most);
        }
    }

    /// Lets ready members take what waits with slow ones and with those that are away. Looks at a part of
    /// the groups, and goes on from there the next time.
    pub(crate) fn sweep_shared(&mut self) {
        let groups: Vec<GroupId> = self.subscriptions.groups_in_turn(SWEPT_GROUPS).collect();
        for group in groups
            .into_iter()
            .filter(|group| self.has_backlog(*group))
            .collect::<Vec<_>>()
        {
            let members = self
                .subscriptions
                .group(group)
                .map(Group::members)
                .unwrap_or_default();
            let ready: Vec<SessionId> = members
                .iter()
                .map(|member| member.session)
                .filter(|member| self.is_ready(*member))
                .collect();
            for member in ready {
                self.relieve(group, member, HANDED_OVER);
            }
        }
    }

    fn has_backlog(&self, group: GroupId) -> bool {
        self.subscriptions
            .group(group)
            .is_some_and(|group| group.has_backlog)
    }

    fn is_ready(&self, id: SessionId) -> bool {
        self.session(id).is_some_and(|session| {
            session.connection.is_some() && session.outbound.is_ready(QoS::AtLeastOnce, session.window)
        })
    }

    /// Hands over what waits with the other members, for as long as `ready` has room for more.
    fn relieve(&mut self, id: GroupId, ready: SessionId, most: usize) {
        let Some(group) = self.subscriptions.group(id) else {
            return;
        };
        let filter = Arc::clone(&group.filter);
        let others: Vec<SessionId> = group
            .members()
            .iter()
            .map(|member| member.session)
            .filter(|member| *member != ready)
            .collect();
        let mut has_backlog = false;
        for other in others {
            if !self.is_ready(ready) {
                has_backlog = true;
                break;
            }
            let is_away = self
                .session(other)
                .is_some_and(|session| session.connection.is_none());
            has_backlog |= self.hand_over(other, Some(&filter), is_away, Readiness::Ready, most);
        }
        if let Some(group) = self.subscriptions.group_mut(id) {
            group.has_backlog = has_backlog;
        }
    }

    /// Whether messages may be left that others could take later.
    fn hand_over(
        &mut self,
        id: SessionId,
        filter: Option<&str>,
        with_sent: bool,
        least: Readiness,
        most: usize,
    ) -> bool {
        let Some(session) = self.session_mut(id) else {
            return false;
        };
        let wanted = &mut |shared: &str| filter.is_none_or(|filter| filter == shared);
        let (taken, is_all) = session.outbound.take_shared(wanted, with_sent, most);
        if taken.is_empty() {
            return !is_all;
        }
        let from = session.is_durable.then(|| session.name.clone());
        let left = self.redistribute(from.as_ref(), id, taken, least);
        for one in &left {
            self.note_backlog(one.waiting.shared.as_deref());
        }
        let is_left = !is_all || !left.is_empty();
        if let Some(session) = self.session_mut(id) {
            session.outbound.put_back(left);
        }
        is_left
    }

    /// Gives each message to another member of its group; returns those that none takes now. `from` is
    /// the session that they waited for, if the store knows it.
    fn redistribute(
        &mut self,
        from: Option<&Arc<SessionName>>,
        id: SessionId,
        taken: Vec<Taken>,
        least: Readiness,
    ) -> Vec<Taken> {
        let mut left = Vec::new();
        for one in taken {
            let waiting = &one.waiting;
            let group = waiting
                .shared
                .as_deref()
                .and_then(|filter| self.subscriptions.group_of(filter));
            let member = group.and_then(|group| {
                let member = self.choose(group, &waiting.message, least, Some(id))?;
                Some((group, member))
            });
            let is_given = member.is_some_and(|(group, member)| {
                let source = from
                    .filter(|_| waiting.qos > QoS::AtMostOnce)
                    .map(|from| (from, waiting.sequence));
                self.give(group, &member, &waiting.message, source)
            });
            if !is_given {
                left.push(one);
            }
        }
        left
    }

    fn choose(
        &self,
        id: GroupId,
        message: &Message,
        least: Readiness,
        except: Option<SessionId>,
    ) -> Option<Subscriber> {
        let mut best = (Readiness::None, None);
        for member in self.subscriptions.group(id)?.turn() {
            if except == Some(member.session) {
                continue;
            }
            let Some(session) = self.session(member.session) else {
                continue;
            };
            let readiness = readiness(session, member, message);
            if readiness > best.0 && readiness >= least {
                best = (readiness, Some(*member));
            }
            if readiness == Readiness::Ready {
                break;
            }
        }
        best.1
    }

    /// Lets the message wait for the member; `source` is where it waited until now, if it is on record.
    fn give(
        &mut self,
        group: GroupId,
        member: &Subscriber,
        message: &Arc<Message>,
        source: Option<(&Arc<SessionName>, u64)>,
    ) -> bool {
        let Some(group) = self.subscriptions.group_mut(group) else {
            return false;
        };
        let Some(session) = self
            .sessions
            .get_mut(member.session.0 as usize)
            .and_then(Option::as_mut)
        else {
            return false;
        };
        if readiness(session, member, message) < Readiness::Ready {
            group.has_backlog = true;
        }
        let qos = message.qos.min(member.qos);
        let copy = Copy {
            qos,
            retain: member.retain_as_published && message.retain,
            identifiers: member.identifier.into_iter().collect(),
            shared: Some(Arc::clone(&group.filter)),
        };
        let limits = session.queue_limits();
        let Some(waiting) = session.outbound.push(message, copy, limits) else {
            return false;
        };
        group.served(member.session);
        let to = &session.name;
        match (source, qos > QoS::AtMostOnce && session.is_durable) {
            (Some((from, from_sequence)), true) => self.store.record(&Change::HandedOver {
                from,
                from_sequence,
                session: to,
                waiting,
            }),
            (Some((session, sequence)), false) => self.store.record(&Change::Settled { session, sequence }),
            (None, true) => self.store.record(&Change::Queued { session: to, waiting }),
            (None, false) => {}
        }
        self.with_work.extend(session.connection);
        true
    }

    fn note_backlog(&mut self, filter: Option<&str>) {
        let group = filter.and_then(|filter| self.subscriptions.group_of(filter));
        if let Some(group) = group.and_then(|id| self.subscriptions.group_mut(id)) {
            group.has_backlog = true;
        }
    }
}

fn readiness(session: &Session, member: &Subscriber, message: &Message) -> Readiness {
    let qos = message.qos.min(member.qos);
    if session.rights.roles().is_empty() || !session.outbound.has_room(message, qos, session.queue_limits()) {
        return Readiness::None;
    }
    if session.connection.is_none() {
        return if qos > QoS::AtMostOnce {
            Readiness::Away
        } else {
            Readiness::None
        };
    }
    if session.outbound.is_ready(qos, session.window) {
        Readiness::Ready
    } else {
        Readiness::Slow
    }
}

/// The shared subscriptions of a session, by their whole filters.
pub(crate) fn shared_subscriptions(session: &Session) -> impl Iterator<Item = &ByteString> {
    session
        .subscriptions
        .range::<str, _>((Bound::Included(SHARE_LEVEL), Bound::Unbounded))
        .map(|(filter, _)| filter)
        .take_while(|filter| shared(filter).is_some())
}
