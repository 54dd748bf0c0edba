//! The table of open connections: one index away, and a stale name finds nothing.

use crate::connection::Connection;
use crate::names::ConnectionId;

/// Bits of a connection's name that are its place; 16 million are far above the open files of a process.
const INDEX_BITS: u32 = 24;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

/// Open connections by their name.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// Boxed: a list that grows by doubling leaves half of itself empty.
    slots: Vec<Option<Box<Connection>>>,
    free: Vec<u64>,
    opened: u64,
}

impl Connections {
    /// Takes a connection in under a name that none had before.
    pub(super) fn insert(&mut self, make: impl FnOnce(ConnectionId) -> Connection) -> ConnectionId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u64 - 1
        });
        self.opened += 1;
        let id = ConnectionId(self.opened << INDEX_BITS | index);
        if let Some(slot) = self.slots.get_mut(place(id)) {
            *slot = Some(Box::new(make(id)));
        }
        id
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.slots
            .get(place(id))?
            .as_deref()
            .filter(|connection| connection.id == id)
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.slots
            .get_mut(place(id))?
            .as_deref_mut()
            .filter(|connection| connection.id == id)
    }

    pub(super) fn remove(&mut self, id: ConnectionId) {
        if self.get(id).is_some()
            && let Some(slot) = self.slots.get_mut(place(id))
        {
            *slot = None;
            self.free.push(id.0 & INDEX_MASK);
        }
    }

    /// All open connections, in the order of their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().flatten().map(Box::as_ref)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

fn place(id: ConnectionId) -> usize {
    usize::try_from(id.0 & INDEX_MASK).unwrap_or(usize::MAX)
}
