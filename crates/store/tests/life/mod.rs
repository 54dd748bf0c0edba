//! Random lives of a broker, as its store sees them.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use motte_broker::{Change, DurableState, Message, SessionName, Store, SubscriptionOptions, Waiting};
use motte_guard::{Now, Principal};
use motte_mqtt::{LastWill, PacketId, PublishProperties, QoS};
use motte_policy::{Identity, Kind};
use motte_store::{Closer, Event, SqliteStore, open};
use proptest::prelude::*;

pub(crate) const NOW: Now = Now {
    monotonic: Duration::from_secs(1000),
    unix: Duration::from_secs(1_800_000_000),
};
/// In the middle of every message that does not lie in its row.
pub(crate) const LARGE_MARK: &[u8] = b"the middle of a large message";
const PATIENCE: Duration = Duration::from_secs(20);

/// A store with its committer at work.
pub(crate) struct Running {
    pub(crate) store: SqliteStore,
    pub(crate) found: DurableState,
    closer: Closer,
    thread: JoinHandle<()>,
    events: Receiver<Event>,
}

impl Running {
    pub(crate) fn start(folder: &Path) -> Self {
        let opened = open(folder, NOW).expect("a good store");
        let (tell, events) = channel();
        let closer = opened.committer.closer();
        let thread = std::thread::spawn(move || {
            opened.committer.run(
                || NOW,
                |event| {
                    let _ = tell.send(event);
                },
            );
        });
        Self {
            store: opened.store,
            found: opened.state,
            closer,
            thread,
            events,
        }
    }

    /// Waits until everything is durable.
    pub(crate) fn flush(&mut self) {
        self.store.seal();
        while self.store.durable() < self.store.recorded() {
            let event = self.events.recv_timeout(PATIENCE).expect("a commit");
            assert!(matches!(event, Event::Committed(_)), "{event:?}");
        }
    }

    pub(crate) fn stop(mut self) {
        self.flush();
        self.closer.close();
        self.thread.join().unwrap();
    }

    pub(crate) fn kept(&mut self, session: &Arc<SessionName>) {
        self.store.record(&Change::SessionKept {
            session,
            principal: &principal(session),
            expiry: 60,
        });
    }

    /// The same in the store and in the model of what it must hold.
    pub(crate) fn carry_out(&mut self, operation: &Operation, model: &mut Model) {
        if let Operation::Flush = operation {
            self.flush();
            return;
        }
        if !model.is_possible(operation) {
            return;
        }
        operation.change(|change| {
            self.store.record(change);
            model.state.apply(change);
        });
        self.store.seal();
    }
}

/// What the store must hold.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) state: DurableState,
    places: HashSet<(u8, u64)>,
}

impl Model {
    /// The broker tells only of sessions that it told to be kept, and never uses a place in the order of a
    /// session's messages twice.
    fn is_possible(&mut self, operation: &Operation) -> bool {
        use Operation as Op;
        let knows = |who: u8| self.state.sessions.contains_key(&*name(who));
        let is_known = match *operation {
            Op::Left(who, _)
            | Op::Ended(who)
            | Op::Subscribed(who, ..)
            | Op::Unsubscribed(who, _)
            | Op::Queued(who, ..)
            | Op::Sent(who, ..)
            | Op::Received(who, ..)
            | Op::Settled(who, _)
            | Op::Held(who, ..)
            | Op::Released(who, _) => knows(who),
            Op::HandedOver(from, _, to, _) => knows(from) && knows(to),
            _ => true,
        };
        let is_in_order = match *operation {
            Op::Queued(who, sequence, _) | Op::HandedOver(_, _, who, sequence) => {
                is_known && self.places.insert((who, sequence))
            }
            Op::Received(who, sequence, _) => self.places.contains(&(who, sequence)),
            _ => true,
        };
        is_known && is_in_order
    }
}

pub(crate) fn name(number: u8) -> Arc<SessionName> {
    Arc::new(SessionName {
        identity: format!("device/d{number}"),
        client_id: format!("d{number}"),
    })
}

fn principal(session: &SessionName) -> Arc<Principal> {
    let id = session.identity.trim_start_matches("device/");
    Arc::new(Principal {
        identity: Identity::new(Kind::Device, id, std::collections::BTreeMap::new()).unwrap(),
        serial: id.bytes().collect(),
        not_after: 1_900_000_000,
    })
}

pub(crate) fn packet_id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

fn message(topic: &str, length: usize, expires: bool) -> Arc<Message> {
    let mut payload = vec![b'x'; length];
    if length > 1000 {
        payload[500..500 + LARGE_MARK.len()].copy_from_slice(LARGE_MARK);
    }
    Arc::new(Message {
        topic: topic.into(),
        payload: payload.into(),
        properties: PublishProperties {
            user_properties: vec![("a".into(), "b".into())],
            ..PublishProperties::default()
        },
        qos: QoS::ExactlyOnce,
        retain: false,
        will: false,
        sender: principal(&name(7)),
        generation: 3,
        expires_at: expires.then_some(NOW.monotonic + Duration::from_millis(length as u64 + 1)),
        declares_expiry: expires,
    })
}

pub(crate) fn waiting(sequence: u64, length: usize) -> Waiting {
    Waiting {
        sequence,
        message: message("t/o", length, length.is_multiple_of(2)),
        qos: QoS::ExactlyOnce,
        retain: length.is_multiple_of(3),
        identifiers: NonZeroU32::new(u32::try_from(length % 4).unwrap())
            .into_iter()
            .collect(),
        shared: length.is_multiple_of(5).then(|| "$share/g/t/o".into()),
        replay: length.is_multiple_of(7),
    }
}

fn will(delay_interval: u32) -> LastWill {
    LastWill {
        topic: "w/t".into(),
        payload: Bytes::from_static(b"gone"),
        qos: QoS::AtLeastOnce,
        retain: true,
        delay_interval,
        properties: PublishProperties::default(),
    }
}

/// What can happen, with small numbers so that the same things are met again and again.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Kept(u8, u32),
    Left(u8, Option<u16>),
    Ended(u8),
    WillKept(u8, Option<u16>),
    WillDropped(u8),
    Subscribed(u8, u8, bool),
    Unsubscribed(u8, u8),
    Queued(u8, u64, usize),
    HandedOver(u8, u64, u8, u64),
    Sent(u8, u64, u16),
    Received(u8, u64, u16),
    Settled(u8, u64),
    Held(u8, u16, Option<usize>),
    Released(u8, u16),
    Retained(u8, usize),
    RetainedRemoved(u8),
    /// The committer catches up here.
    Flush,
}

impl Operation {
    fn change(&self, mut carry_out: impl FnMut(&Change<'_>)) {
        let moment = |milliseconds: u16| NOW.monotonic + Duration::from_millis(milliseconds.into());
        match *self {
            Self::Kept(who, expiry) => carry_out(&Change::SessionKept {
                session: &name(who),
                principal: &principal(&name(who)),
                expiry,
            }),
            Self::Left(who, at) => carry_out(&Change::SessionLeft {
                session: &name(who),
                ends_at: at.map(moment),
            }),
            Self::Ended(who) => carry_out(&Change::SessionEnded { session: &name(who) }),
            Self::WillKept(who, due) => carry_out(&Change::WillKept {
                session: &name(who),
                sender: &principal(&name(who)),
                content: &will(due.unwrap_or(0).into()),
                due: due.map(moment),
            }),
            Self::WillDropped(who) => carry_out(&Change::WillDropped { session: &name(who) }),
            Self::Subscribed(who, filter, no_local) => carry_out(&Change::Subscribed {
                session: &name(who),
                filter: &format!("f/{filter}/+"),
                options: &SubscriptionOptions {
                    requested_qos: QoS::ExactlyOnce,
                    granted_qos: QoS::AtLeastOnce,
                    no_local,
                    retain_as_published: !no_local,
                    identifier: NonZeroU32::new(filter.into()),
                },
            }),
            Self::Unsubscribed(who, filter) => carry_out(&Change::Unsubscribed {
                session: &name(who),
                filter: &format!("f/{filter}/+"),
            }),
            Self::Queued(who, sequence, length) => carry_out(&Change::Queued {
                session: &name(who),
                waiting: &waiting(sequence, length),
            }),
            Self::HandedOver(from, from_sequence, to, sequence) => carry_out(&Change::HandedOver {
                from: &name(from),
                from_sequence,
                session: &name(to),
                waiting: &waiting(sequence, 30),
            }),
            Self::Sent(who, sequence, number) => carry_out(&Change::Sent {
                session: &name(who),
                sequence,
                packet_id: packet_id(number),
            }),
            Self::Received(who, sequence, number) => carry_out(&Change::Received {
                session: &name(who),
                sequence,
                packet_id: packet_id(number),
            }),
            Self::Settled(who, sequence) => carry_out(&Change::Settled {
                session: &name(who),
                sequence,
            }),
            Self::Held(who, number, length) => carry_out(&Change::Held {
                session: &name(who),
                packet_id: packet_id(number),
                message: length.map(|length| message("h", length, true)).as_ref(),
            }),
            Self::Released(who, number) => carry_out(&Change::Released {
                session: &name(who),
                packet_id: packet_id(number),
            }),
            Self::Retained(topic, length) => carry_out(&Change::Retained {
                message: &message(&format!("r/{topic}"), length, length.is_multiple_of(2)),
            }),
            Self::RetainedRemoved(topic) => carry_out(&Change::RetainedRemoved {
                topic: &format!("r/{topic}"),
            }),
            Self::Flush => {}
        }
    }
}

/// A sequence of operations.
pub(crate) fn life() -> impl Strategy<Value = Vec<Operation>> {
    let (who, sequence, number) = (|| 0..3_u8, || 0..20_u64, || 1..4_u16);
    let length = prop_oneof![0..200_usize, 400..600_usize, 5000..5020_usize];
    let moment = || prop::option::of(0..5000_u16);
    let operation = prop_oneof![
        3 => (who(), 1..5_u32).prop_map(|(who, expiry)| Operation::Kept(who, expiry)),
        1 => (who(), moment()).prop_map(|(who, at)| Operation::Left(who, at)),
        1 => who().prop_map(Operation::Ended),
        1 => (who(), moment()).prop_map(|(who, due)| Operation::WillKept(who, due)),
        1 => who().prop_map(Operation::WillDropped),
        2 => (who(), 0..3_u8, any::<bool>()).prop_map(|(who, filter, no_local)| Operation::Subscribed(who, filter, no_local)),
        1 => (who(), 0..3_u8).prop_map(|(who, filter)| Operation::Unsubscribed(who, filter)),
        6 => (who(), sequence(), length.clone()).prop_map(|(who, sequence, length)| Operation::Queued(who, sequence, length)),
        1 => (who(), sequence(), who(), sequence()).prop_map(|(from, old, to, new)| Operation::HandedOver(from, old, to, new)),
        4 => (who(), sequence(), number()).prop_map(|(who, sequence, number)| Operation::Sent(who, sequence, number)),
        2 => (who(), sequence(), number()).prop_map(|(who, sequence, number)| Operation::Received(who, sequence, number)),
        4 => (who(), sequence()).prop_map(|(who, sequence)| Operation::Settled(who, sequence)),
        2 => (who(), number(), prop::option::of(length.clone())).prop_map(|(who, number, length)| Operation::Held(who, number, length)),
        1 => (who(), number()).prop_map(|(who, number)| Operation::Released(who, number)),
        2 => (0..3_u8, length).prop_map(|(topic, length)| Operation::Retained(topic, length)),
        1 => (0..3_u8).prop_map(Operation::RetainedRemoved),
        2 => Just(Operation::Flush),
    ];
    prop::collection::vec(operation, 0..80)
}

/// Something in every table, and more than one page of the queue.
pub(crate) fn furniture() -> Vec<Operation> {
    let mut all = vec![
        Operation::Kept(0, 60),
        Operation::Kept(1, 60),
        Operation::Left(1, Some(4000)),
        Operation::Subscribed(0, 1, true),
        Operation::WillKept(0, None),
        Operation::Held(0, 1, Some(40)),
        Operation::Held(0, 2, None),
        Operation::Retained(0, 100),
        Operation::Queued(0, 0, 5000),
        Operation::Sent(0, 0, 1),
    ];
    all.extend((1..200).map(|sequence| Operation::Queued(1, sequence, 100)));
    all.push(Operation::Received(1, 1, 9));
    all
}
