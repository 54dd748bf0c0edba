//! Messages for one session: waiting, and sent but not acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use motte_mqtt::{PacketId, QoS};

use super::{Acknowledged, Inflight, Stage};
use crate::message::Message;
use crate::settings::{READY_BACKLOG, RETAINED_REPLAY, SHARED_SCAN};
use crate::store::{Position, Progress};

/// A message that waits for its turn to be sent to one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its place in the order of the session's messages.
    pub sequence: u64,
    /// What is to be sent.
    pub message: Arc<Message>,
    /// The lower of the publisher's and the subscription's.
    pub qos: QoS,
    /// The RETAIN flag as this session is to see it.
    pub retain: bool,
    /// Of the subscriptions that matched.
    pub identifiers: Vec<NonZeroU32>,
    /// The whole filter of the shared subscription that it came by: another member may take it.
    pub shared: Option<Arc<str>>,
    /// A stored message sent because of a new subscription; has bounds of its own.
    pub replay: bool,
}

/// What a session is to get of a message.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) identifiers: Vec<NonZeroU32>,
    pub(crate) shared: Option<Arc<str>>,
}

/// How much may wait, from the role.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimits {
    pub(crate) messages: usize,
    pub(crate) bytes: u64,
}

/// A message on its way to another member of its group.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) waiting: Waiting,
    /// Its exchange, if it was sent.
    pub(crate) packet_id: Option<PacketId>,
}

/// One line: messages in order with their size.
#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    bytes: u64,
    /// How many of them are replays of retained messages, which are bounded on their own.
    replays: usize,
    replay_bytes: u64,
}

/// Everything under way from the broker to one session.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    /// QoS 1 and 2: part of the session state.
    assured: Line,
    /// QoS 0: lives as long as the connection does.
    unassured: Line,
    inflight: BTreeMap<PacketId, Inflight>,
    /// Identifiers to send again on a resumed session, in order.
    resend: VecDeque<PacketId>,
    /// PUBLISH packets of QoS 1 and 2 that this connection has not acknowledged: what Receive Maximum
    /// bounds (section 4.9).
    outstanding: usize,
    /// First sends that the store has to know of before, in order.
    awaiting: VecDeque<Awaited>,
    /// Nothing goes out before the store has come so far.
    held_back_until: Position,
    last_packet_id: u16,
    next_sequence: u64,
}

/// A message with an identifier that is not durable yet.
#[derive(Debug)]
struct Awaited {
    packet_id: PacketId,
    sequence: u64,
    position: Position,
}

impl Line {
    fn push(&mut self, waiting: Waiting) {
        if waiting.replay {
            self.replays += 1;
            self.replay_bytes += waiting.message.size() as u64;
        } else {
            self.bytes += waiting.message.size() as u64;
        }
        self.waiting.push_back(waiting);
    }

    fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        if waiting.replay {
            self.replays -= 1;
            self.replay_bytes -= waiting.message.size() as u64;
        } else {
            self.bytes -= waiting.message.size() as u64;
        }
        Some(waiting)
    }

    fn has_room(&self, message: &Message, limits: QueueLimits) -> bool {
        self.waiting.len() - self.replays < limits.messages
            && self.bytes + message.size() as u64 <= limits.bytes
    }

    /// Removes what is unwanted, with the books kept.
    fn remove_where(&mut self, unwanted: &mut dyn FnMut(&Waiting) -> bool, removed: &mut Vec<u64>) {
        let before = std::mem::take(self);
        for waiting in before.waiting {
            if unwanted(&waiting) {
                removed.push(waiting.sequence);
            } else {
                self.push(waiting);
            }
        }
    }

    /// Whether everything was looked at.
    fn take_shared(
        &mut self,
        wanted: &mut dyn FnMut(&str) -> bool,
        most: usize,
        taken: &mut Vec<Taken>,
    ) -> bool {
        let scan = if most == usize::MAX { most } else { SHARED_SCAN };
        let mut index = 0;
        let mut left = most;
        while let Some(waiting) = self.waiting.get(index) {
            if left == 0 || index >= scan {
                return false;
            }
            if !waiting.shared.as_deref().is_some_and(&mut *wanted) {
                index += 1;
                continue;
            }
            if let Some(waiting) = self.waiting.remove(index) {
                self.bytes -= waiting.message.size() as u64;
                taken.push(Taken {
                    waiting,
                    packet_id: None,
                });
                left -= 1;
            }
        }
        true
    }

    /// Both are in the order of their sequence.
    fn put_back(&mut self, returned: Vec<Waiting>) {
        for waiting in returned {
            let place = self
                .waiting
                .partition_point(|other| other.sequence < waiting.sequence);
            self.bytes += waiting.message.size() as u64;
            self.waiting.insert(place, waiting);
        }
    }

    fn head(&self) -> u64 {
        self.waiting.front().map_or(u64::MAX, |waiting| waiting.sequence)
    }
}

impl Outbound {
    /// Lets a message wait. As it waits now, or `None` where the line is full.
    pub(crate) fn push(
        &mut self,
        message: &Arc<Message>,
        copy: Copy,
        limits: QueueLimits,
    ) -> Option<&Waiting> {
        let Copy {
            qos,
            retain,
            identifiers,
            shared,
        } = copy;
        let line = if qos == QoS::AtMostOnce {
            &mut self.unassured
        } else {
            &mut self.assured
        };
        if !line.has_room(message, limits) {
            return None;
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        line.push(Waiting {
            sequence,
            message: Arc::clone(message),
            qos,
            retain,
            identifiers,
            shared,
            replay: false,
        });
        line.waiting.back()
    }

    /// Whether the message may wait here.
    pub(crate) fn has_room(&self, message: &Message, qos: QoS, limits: QueueLimits) -> bool {
        self.line(qos).has_room(message, limits)
    }

    /// Whether a message would go out at once, or nearly: the window of the client is open, and hardly
    /// anything waits.
    pub(crate) fn is_ready(&self, qos: QoS, receive_maximum: usize) -> bool {
        let waiting = self.line(qos).waiting.len();
        if qos == QoS::AtMostOnce {
            waiting < READY_BACKLOG
        } else {
            self.inflight.len() + waiting < receive_maximum
        }
    }

    const fn line(&self, qos: QoS) -> &Line {
        match qos {
            QoS::AtMostOnce => &self.unassured,
            QoS::AtLeastOnce | QoS::ExactlyOnce => &self.assured,
        }
    }

    /// Takes messages out that another member of a group could get, the oldest first and `most` of them.
    ///
    /// What has not been sent may go to anybody. A QoS 1 message that was sent may be sent to another
    /// client once this one has lost its connection, so `with_sent` is for then. A QoS 2 message that was
    /// sent stays with its receiver, whatever happens (MQTT-4.8.2-4, MQTT-4.8.2-5).
    ///
    /// Also says whether these were certainly all: the search is bounded, unless `most` is not.
    pub(crate) fn take_shared(
        &mut self,
        wanted: &mut dyn FnMut(&str) -> bool,
        with_sent: bool,
        most: usize,
    ) -> (Vec<Taken>, bool) {
        let mut taken = Vec::new();
        if with_sent {
            let sent: Vec<PacketId> = self
                .inflight
                .iter()
                .filter(|(_, inflight)| match &inflight.stage {
                    Stage::Published(waiting) => {
                        waiting.qos == QoS::AtLeastOnce && waiting.shared.as_deref().is_some_and(&mut *wanted)
                    }
                    Stage::Released => false,
                })
                .map(|(packet_id, _)| *packet_id)
                .take(most)
                .collect();
            for packet_id in sent {
                if let Some(Inflight {
                    stage: Stage::Published(waiting),
                    ..
                }) = self.inflight.remove(&packet_id)
                {
                    taken.push(Taken {
                        waiting,
                        packet_id: Some(packet_id),
                    });
                }
            }
        }
        let mut is_all = true;
        for line in [&mut self.assured, &mut self.unassured] {
            is_all &= line.take_shared(wanted, most.saturating_sub(taken.len()), &mut taken);
        }
        taken.sort_by_key(|one| one.waiting.sequence);
        (taken, is_all)
    }

    /// Puts back what nobody else could take; each comes to its old place.
    pub(crate) fn put_back(&mut self, taken: Vec<Taken>) {
        let mut unsent = Vec::new();
        for Taken { waiting, packet_id } in taken {
            match packet_id {
                Some(packet_id) => {
                    let sequence = waiting.sequence;
                    let stage = Stage::Published(waiting);
                    self.inflight.insert(packet_id, Inflight { sequence, stage });
                }
                None => unsent.push(waiting),
            }
        }
        let (assured, unassured): (Vec<_>, Vec<_>) = unsent
            .into_iter()
            .partition(|waiting| waiting.qos > QoS::AtMostOnce);
        self.assured.put_back(assured);
        self.unassured.put_back(unassured);
    }

    /// How many more stored messages may wait; see [`RETAINED_REPLAY`].
    pub(crate) fn replay_room(&self) -> usize {
        RETAINED_REPLAY.saturating_sub(self.unassured.replays + self.assured.replays)
    }

    /// Lets a stored message wait because of a new subscription. As long as it is stored it costs a
    /// pointer, but one that is replaced is kept alive by those who wait for it: so bytes are bounded as
    /// well, by as much as the role lets wait otherwise. One message always fits.
    pub(crate) fn push_replay(
        &mut self,
        message: &Arc<Message>,
        qos: QoS,
        identifier: Option<NonZeroU32>,
        bytes: u64,
    ) -> Option<&Waiting> {
        let waiting = self.unassured.replay_bytes + self.assured.replay_bytes;
        let is_too_much = waiting > 0 && waiting + message.size() as u64 > bytes;
        if self.replay_room() == 0 || is_too_much {
            return None;
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let line = if qos == QoS::AtMostOnce {
            &mut self.unassured
        } else {
            &mut self.assured
        };
        let identifiers = identifier.into_iter().collect();
        let message = Arc::clone(message);
        line.push(Waiting {
            sequence,
            message,
            qos,
            retain: true,
            identifiers,
            shared: None,
            replay: true,
        });
        line.waiting.back()
    }

    /// The next message that may be sent under the client's Receive Maximum.
    pub(crate) fn pop(&mut self, receive_maximum: usize) -> Option<Waiting> {
        let assured = if self.window_open(receive_maximum) {
            self.assured.head()
        } else {
            u64::MAX
        };
        let unassured = self.unassured.head();
        if assured == u64::MAX && unassured == u64::MAX {
            return None;
        }
        let line = if assured < unassured {
            &mut self.assured
        } else {
            &mut self.unassured
        };
        line.pop()
    }

    /// Whether another QoS 1 or 2 message may be sent. Exchanges of earlier connections count: a client
    /// that never sends PUBCOMP and comes back again and again would open a window each time.
    pub(crate) fn window_open(&self, receive_maximum: usize) -> bool {
        self.inflight.len() < receive_maximum.min(usize::from(u16::MAX))
    }

    /// Whether there is something to send.
    pub(crate) fn has_work(&self, receive_maximum: usize, durable: Position) -> bool {
        if self.is_held_back(durable) {
            return false;
        }
        let awaited = self.awaiting.front();
        !self.resend.is_empty()
            || awaited.is_some_and(|awaited| awaited.position <= durable)
            || !self.unassured.waiting.is_empty()
            || (!self.assured.waiting.is_empty() && self.window_open(receive_maximum))
    }

    /// Takes an identifier for a message that is being sent for the first time.
    pub(crate) fn send(&mut self, waiting: Waiting) -> Option<PacketId> {
        let packet_id = self.free_packet_id()?;
        self.outstanding += 1;
        let sequence = waiting.sequence;
        self.inflight.insert(
            packet_id,
            Inflight {
                sequence,
                stage: Stage::Published(waiting),
            },
        );
        Some(packet_id)
    }

    /// Lets a message that got an identifier wait until that is durable.
    pub(crate) fn await_store(&mut self, packet_id: PacketId, sequence: u64, position: Position) {
        self.awaiting.push_back(Awaited {
            packet_id,
            sequence,
            position,
        });
    }

    /// Whether a message waits for the store.
    pub(crate) fn is_awaiting(&self) -> bool {
        !self.awaiting.is_empty()
    }

    /// The next message that waited for the store and does not any more.
    pub(crate) fn next_awaited(&mut self, durable: Position) -> Option<(PacketId, Waiting)> {
        while self.awaiting.front()?.position <= durable {
            let Awaited {
                packet_id, sequence, ..
            } = self.awaiting.pop_front()?;
            // It may have been withdrawn meanwhile, and its identifier taken by another.
            if let Some(Inflight {
                sequence: found,
                stage: Stage::Published(waiting),
            }) = self.inflight.get(&packet_id)
                && *found == sequence
            {
                return Some((packet_id, waiting.clone()));
            }
        }
        None
    }

    /// Nothing is sent to the connection that has the session now before the store has come so far.
    pub(crate) fn hold_back(&mut self, until: Position) {
        self.held_back_until = until;
    }

    /// Whether nothing may be sent yet.
    pub(crate) fn is_held_back(&self, durable: Position) -> bool {
        durable < self.held_back_until
    }

    /// The next identifier to send again on this connection, with its state.
    pub(crate) fn next_resend(&mut self, receive_maximum: usize) -> Option<(PacketId, Inflight)> {
        while let Some(&packet_id) = self.resend.front() {
            match self.inflight.get(&packet_id) {
                None => {
                    self.resend.pop_front();
                }
                Some(Inflight {
                    stage: Stage::Published(_),
                    ..
                }) if self.outstanding >= receive_maximum => {
                    return None;
                }
                Some(inflight) => {
                    let inflight = inflight.clone();
                    self.resend.pop_front();
                    self.outstanding += usize::from(matches!(inflight.stage, Stage::Published(_)));
                    return Some((packet_id, inflight));
                }
            }
        }
        None
    }

    /// Frees an identifier whose message must not be sent (again).
    pub(crate) fn withdraw(&mut self, packet_id: PacketId) -> Option<u64> {
        let inflight = self.inflight.remove(&packet_id)?;
        self.outstanding = self.outstanding.saturating_sub(1);
        Some(inflight.sequence)
    }

    /// PUBACK, or PUBREC with a failure.
    pub(crate) fn acknowledge(&mut self, packet_id: PacketId, of: QoS) -> Acknowledged {
        match self.inflight.get(&packet_id).map(|inflight| &inflight.stage) {
            Some(Stage::Published(waiting)) if waiting.qos == of => self.complete(packet_id),
            _ => Acknowledged::Unknown,
        }
    }

    /// PUBREC with success. A repeated one is answered with PUBREL again (MQTT-4.3.3-4).
    pub(crate) fn receive(&mut self, packet_id: PacketId) -> Acknowledged {
        match self.inflight.get_mut(&packet_id) {
            Some(inflight) => match &inflight.stage {
                Stage::Published(waiting) if waiting.qos != QoS::ExactlyOnce => Acknowledged::Unknown,
                Stage::Published(_) => {
                    inflight.stage = Stage::Released;
                    Acknowledged::Release {
                        sequence: Some(inflight.sequence),
                    }
                }
                Stage::Released => Acknowledged::Release { sequence: None },
            },
            None => Acknowledged::Unknown,
        }
    }

    /// PUBCOMP.
    pub(crate) fn finish(&mut self, packet_id: PacketId) -> Acknowledged {
        match self.inflight.get(&packet_id).map(|inflight| &inflight.stage) {
            Some(Stage::Released) => self.complete(packet_id),
            _ => Acknowledged::Unknown,
        }
    }

    fn complete(&mut self, packet_id: PacketId) -> Acknowledged {
        match self.inflight.remove(&packet_id) {
            Some(inflight) => {
                self.outstanding = self.outstanding.saturating_sub(1);
                Acknowledged::Complete {
                    sequence: inflight.sequence,
                }
            }
            None => Acknowledged::Unknown,
        }
    }

    /// A new connection took the session: everything unacknowledged is to be sent again, in order
    /// (MQTT-4.4.0-1).
    pub(crate) fn resume(&mut self) {
        let mut order: Vec<(u64, PacketId)> = self
            .inflight
            .iter()
            .map(|(packet_id, inflight)| (inflight.sequence, *packet_id))
            .collect();
        order.sort_unstable();
        self.resend = order.into_iter().map(|(_, packet_id)| packet_id).collect();
        self.outstanding = 0;
    }

    /// The connection ended: QoS 0 messages are not session state.
    pub(crate) fn disconnect(&mut self) {
        self.unassured = Line::default();
        self.resend.clear();
        self.awaiting.clear();
        self.outstanding = 0;
    }

    /// Removes every message that is not to be delivered any more; returns their places. An exchange
    /// that reached PUBREL goes on: it carries nothing.
    pub(crate) fn remove_where(&mut self, mut unwanted: impl FnMut(&Waiting) -> bool) -> Vec<u64> {
        if self.assured.waiting.is_empty() && self.unassured.waiting.is_empty() {
            return Vec::new();
        }
        let mut removed = Vec::new();
        self.assured.remove_where(&mut unwanted, &mut removed);
        self.unassured.remove_where(&mut unwanted, &mut removed);
        removed
    }

    /// Drops what has expired while it waited; returns the places.
    pub(crate) fn remove_expired(&mut self, now: Duration) -> Vec<u64> {
        // Mostly there is nothing, and then nothing is moved.
        let has_expired = |line: &Line| line.waiting.iter().any(|one| one.message.is_expired(now));
        if !has_expired(&self.assured) && !has_expired(&self.unassured) {
            return Vec::new();
        }
        self.remove_where(|waiting| waiting.message.is_expired(now))
    }

    /// Messages and bytes that wait or are not acknowledged.
    pub(crate) fn held(&self) -> (usize, u64) {
        let inflight: u64 = self
            .inflight
            .values()
            .map(|inflight| match &inflight.stage {
                Stage::Published(waiting) => waiting.message.size() as u64,
                Stage::Released => 0,
            })
            .sum();
        (
            self.assured.waiting.len() + self.unassured.waiting.len() + self.inflight.len(),
            self.assured.bytes + self.unassured.bytes + inflight,
        )
    }

    /// Everything that survives a crash, by its place in the order.
    pub(crate) fn durable(&self) -> BTreeMap<u64, Progress> {
        let waiting = self.assured.waiting.iter();
        let mut all: BTreeMap<u64, Progress> = waiting
            .map(|waiting| (waiting.sequence, Progress::Waiting(waiting.clone())))
            .collect();
        for (packet_id, inflight) in &self.inflight {
            let progress = match &inflight.stage {
                Stage::Published(waiting) => Progress::Sent(*packet_id, waiting.clone()),
                Stage::Released => Progress::Released(*packet_id),
            };
            all.insert(inflight.sequence, progress);
        }
        all
    }

    /// The same after a crash, whatever the queue takes by now: it was acknowledged.
    pub(crate) fn restored(durable: BTreeMap<u64, Progress>) -> Self {
        let mut outbound = Self::default();
        for (sequence, progress) in durable {
            outbound.next_sequence = sequence + 1;
            let (packet_id, stage) = match progress {
                Progress::Waiting(waiting) => {
                    outbound.assured.push(waiting);
                    continue;
                }
                Progress::Sent(packet_id, waiting) => (packet_id, Stage::Published(waiting)),
                Progress::Released(packet_id) => (packet_id, Stage::Released),
            };
            outbound.inflight.insert(packet_id, Inflight { sequence, stage });
        }
        outbound
    }

    fn free_packet_id(&mut self) -> Option<PacketId> {
        // `window_open` leaves at least one identifier free, so the search ends.
        for _ in 0..=u16::MAX {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            let candidate = PacketId::new(self.last_packet_id)?;
            if !self.inflight.contains_key(&candidate) {
                return Some(candidate);
            }
        }
        None
    }
}
