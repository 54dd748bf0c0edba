//! Who is subscribed to what: sessions on their own, and groups that divide messages among themselves.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use motte_mqtt::QoS;
use motte_policy::Shared;

use super::filters::{Entry, FilterIndex};
use crate::names::SessionId;

/// One subscription as the router needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) session: SessionId,
    /// The highest QoS that the subscription carries.
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) identifier: Option<NonZeroU32>,
}

impl Entry for Subscriber {
    type Key = SessionId;

    fn key(&self) -> SessionId {
        self.session
    }
}

/// A group's place in the table; may be used again once the group is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GroupId(u32);

impl Entry for GroupId {
    type Key = Self;

    fn key(&self) -> Self {
        *self
    }
}

/// The sessions that have the same shared subscription (5.0, section 4.8.2): share name and filter.
#[derive(Debug)]
pub(crate) struct Group {
    /// The whole filter, `$share/<group>/<filter>`.
    pub(crate) filter: Arc<str>,
    /// In the order in which they came.
    members: Vec<Subscriber>,
    /// Whose turn it is.
    next: usize,
    /// Whether messages may wait with a member that another one could take.
    pub(crate) has_backlog: bool,
}

impl Group {
    /// The members, beginning with the one whose turn it is.
    pub(crate) fn turn(&self) -> impl Iterator<Item = &Subscriber> {
        let (before, from) = self
            .members
            .split_at_checked(self.next)
            .unwrap_or((&[], &self.members));
        from.iter().chain(before)
    }

    pub(crate) fn members(&self) -> &[Subscriber] {
        &self.members
    }

    /// The member has had its turn.
    pub(crate) fn served(&mut self, session: SessionId) {
        if let Some(index) = self.members.iter().position(|member| member.session == session) {
            self.next = (index + 1) % self.members.len();
        }
    }

    fn join(&mut self, member: Subscriber) {
        match self
            .members
            .iter_mut()
            .find(|known| known.session == member.session)
        {
            Some(known) => *known = member,
            None => self.members.push(member),
        }
    }

    fn leave(&mut self, session: SessionId) {
        let Some(index) = self.members.iter().position(|member| member.session == session) else {
            return;
        };
        self.members.remove(index);
        if index < self.next {
            self.next -= 1;
        }
        if self.next >= self.members.len() {
            self.next = 0;
        }
    }
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    single: FilterIndex<Subscriber>,
    shared: FilterIndex<GroupId>,
    groups: Vec<Option<Group>>,
    free: Vec<GroupId>,
    by_filter: HashMap<Arc<str>, GroupId>,
    /// Where the next look at some of the groups begins.
    turn: usize,
}

impl Subscriptions {
    /// Adds a subscription, in place of one that the session had on the same filter.
    pub(crate) fn insert(&mut self, filter: &str, subscriber: Subscriber) {
        match shared(filter) {
            None => self.single.insert(filter, subscriber),
            Some(shared) => {
                let id = match self.by_filter.get(filter) {
                    Some(id) => *id,
                    None => self.found_group(filter, shared.filter),
                };
                if let Some(group) = self.group_mut(id) {
                    group.join(subscriber);
                }
            }
        }
    }

    /// Removes the session's subscription on exactly this filter, if there is one.
    pub(crate) fn remove(&mut self, filter: &str, session: SessionId) {
        let Some(shared) = shared(filter) else {
            self.single.remove(filter, session);
            return;
        };
        let Some(id) = self.by_filter.get(filter).copied() else {
            return;
        };
        let Some(group) = self.group_mut(id) else { return };
        group.leave(session);
        if group.members.is_empty() {
            self.shared.remove(shared.filter, id);
            self.by_filter.remove(filter);
            if let Some(slot) = self.groups.get_mut(id.0 as usize) {
                *slot = None;
            }
            self.free.push(id);
        }
    }

    /// Adds every subscription of a session on its own that matches `topic` to `found`.
    pub(crate) fn matching(&self, topic: &str, found: &mut Vec<Subscriber>) {
        self.single.matching(topic, found);
    }

    /// Adds every group whose filter matches `topic` to `found`.
    pub(crate) fn groups_matching(&self, topic: &str, found: &mut Vec<GroupId>) {
        self.shared.matching(topic, found);
    }

    /// The longest search that could be if this filter were in, in nodes.
    pub(crate) fn search_with(&self, filter: &str) -> usize {
        match shared(filter) {
            None => self.single.search_with(filter),
            Some(shared) => self.shared.search_with(shared.filter),
        }
    }

    pub(crate) fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(id.0 as usize)?.as_ref()
    }

    pub(crate) fn group_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        self.groups.get_mut(id.0 as usize)?.as_mut()
    }

    /// The group of a whole filter, `$share/<group>/<filter>`.
    pub(crate) fn group_of(&self, filter: &str) -> Option<GroupId> {
        self.by_filter.get(filter).copied()
    }

    /// Every group may have messages that wait.
    pub(crate) fn expect_backlog(&mut self) {
        for group in self.groups.iter_mut().flatten() {
            group.has_backlog = true;
        }
    }

    pub(crate) fn has_groups(&self) -> bool {
        !self.by_filter.is_empty()
    }

    /// Some of the groups, at most `most`; the next call goes on after them.
    pub(crate) fn groups_in_turn(&mut self, most: usize) -> impl Iterator<Item = GroupId> + use<> {
        let places = self.groups.len();
        let begin = self.turn;
        let looked_at = most.min(places);
        self.turn = (begin + looked_at).checked_rem(places).unwrap_or(0);
        (begin..begin + looked_at)
            .filter_map(move |place| place.checked_rem(places))
            .filter_map(|place| u32::try_from(place).ok())
            .map(GroupId)
    }

    fn found_group(&mut self, filter: &str, inner: &str) -> GroupId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.groups.push(None);
            GroupId(u32::try_from(self.groups.len() - 1).unwrap_or(u32::MAX))
        });
        let filter: Arc<str> = filter.into();
        if let Some(slot) = self.groups.get_mut(id.0 as usize) {
            *slot = Some(Group {
                filter: Arc::clone(&filter),
                members: Vec::new(),
                next: 0,
                has_backlog: false,
            });
        }
        self.by_filter.insert(filter, id);
        self.shared.insert(inner, id);
        id
    }
}

/// The parts of a shared subscription. What only begins like one is never permitted.
pub(crate) fn shared(filter: &str) -> Option<Shared<'_>> {
    Shared::parse(filter).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscriber(session: u32) -> Subscriber {
        Subscriber {
            session: SessionId(session),
            qos: QoS::AtMostOnce,
            no_local: false,
            retain_as_published: false,
            identifier: None,
        }
    }

    fn turn(index: &Subscriptions, filter: &str) -> Vec<u32> {
        let group = index.group_of(filter).and_then(|id| index.group(id));
        group.map_or(Vec::new(), |group| {
            group.turn().map(|member| member.session.0).collect()
        })
    }

    fn serve(index: &mut Subscriptions, filter: &str, session: u32) {
        let id = index.group_of(filter).unwrap();
        index.group_mut(id).unwrap().served(SessionId(session));
    }

    #[test]
    fn groups_are_apart_by_name_and_by_filter() {
        let mut index = Subscriptions::default();
        let filters = ["$share/g/a", "$share/h/a", "$share/g/+", "a"];
        for (session, filter) in (0..).zip(filters) {
            index.insert(filter, subscriber(session));
        }
        let mut groups = Vec::new();
        index.groups_matching("a", &mut groups);
        let mut found: Vec<&str> = groups
            .iter()
            .map(|id| &*index.group(*id).unwrap().filter)
            .collect();
        found.sort_unstable();
        assert_eq!(found, ["$share/g/+", "$share/g/a", "$share/h/a"]);
        let mut single = Vec::new();
        index.matching("a", &mut single);
        assert_eq!(single, [subscriber(3)]);
    }

    #[test]
    fn members_take_turns_whoever_comes_and_goes() {
        let mut index = Subscriptions::default();
        for session in 0..3 {
            index.insert("$share/g/a", subscriber(session));
        }
        assert_eq!(turn(&index, "$share/g/a"), [0, 1, 2]);
        serve(&mut index, "$share/g/a", 0);
        assert_eq!(turn(&index, "$share/g/a"), [1, 2, 0]);
        index.insert("$share/g/a", subscriber(1));
        assert_eq!(turn(&index, "$share/g/a"), [1, 2, 0]);
        index.remove("$share/g/a", SessionId(0));
        assert_eq!(turn(&index, "$share/g/a"), [1, 2]);
        serve(&mut index, "$share/g/a", 1);
        index.remove("$share/g/a", SessionId(2));
        assert_eq!(turn(&index, "$share/g/a"), [1]);
    }

    #[test]
    fn every_group_has_its_turn() {
        let mut index = Subscriptions::default();
        assert_eq!(index.groups_in_turn(2).count(), 0);
        for number in 0..5 {
            index.insert(&format!("$share/g/{number}"), subscriber(number));
        }
        let mut looks = Vec::new();
        for _ in 0..4 {
            let look: Vec<u32> = index.groups_in_turn(2).map(|id| id.0).collect();
            looks.push(look);
        }
        assert_eq!(looks, [vec![0, 1], vec![2, 3], vec![4, 0], vec![1, 2]]);
        assert_eq!(index.groups_in_turn(9).count(), 5);
    }

    #[test]
    fn nothing_remains_of_a_group_without_members() {
        let mut index = Subscriptions::default();
        for filter in ["$share/g/a", "$share/g/a/+"] {
            index.insert(filter, subscriber(0));
            index.remove(filter, SessionId(9));
            assert_eq!(turn(&index, filter), [0]);
            index.remove(filter, SessionId(0));
        }
        assert!(index.shared.is_empty());
        assert!(index.by_filter.is_empty());
        assert!(index.groups.iter().all(Option::is_none));
        assert_eq!(index.groups.len(), 1, "a free place is used again");
    }
}
