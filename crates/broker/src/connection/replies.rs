//! What waits to be written to a connection, apart from messages.

use std::collections::VecDeque;

use motte_mqtt::{self as mqtt, Packet, PacketId, ReasonCode};

use crate::settings::CONTROL_BACKLOG;
use crate::store::Position;

/// Which packet of an exchange answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledgement {
    /// PUBACK.
    Accepted,
    /// PUBREC.
    Received,
    /// PUBREL.
    Release,
    /// PUBCOMP.
    Complete,
}

/// One answer.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The common case, kept small.
    Acknowledge {
        kind: Acknowledgement,
        packet_id: PacketId,
        reason: ReasonCode,
        text: &'static str,
    },
    Packet(Box<Packet>),
}

impl Reply {
    /// A bare acknowledgement of success.
    pub(crate) const fn success(kind: Acknowledgement, packet_id: PacketId) -> Self {
        Self::Acknowledge {
            kind,
            packet_id,
            reason: ReasonCode::Success,
            text: "",
        }
    }

    /// Whether a QoS 1 or 2 message of the client is done when this has been written.
    pub(crate) fn ends_exchange(&self) -> bool {
        match self {
            Self::Acknowledge {
                kind: Acknowledgement::Accepted,
                ..
            } => true,
            // A PUBREL for nothing ends nothing: it must not buy room for another message.
            Self::Acknowledge {
                kind: Acknowledgement::Complete,
                reason,
                ..
            } => !reason.is_failure(),
            Self::Acknowledge {
                kind: Acknowledgement::Received,
                reason,
                ..
            } => reason.is_failure(),
            _ => false,
        }
    }

    pub(crate) fn into_packet(self, with_text: bool) -> Packet {
        match self {
            Self::Packet(packet) => *packet,
            Self::Acknowledge {
                kind,
                packet_id,
                reason,
                text,
            } => {
                let mut acknowledgement = mqtt::Acknowledgement::new(packet_id, reason);
                if with_text && !text.is_empty() {
                    acknowledgement.reason_string = Some(text.into());
                }
                match kind {
                    Acknowledgement::Accepted => Packet::PubAck(acknowledgement),
                    Acknowledgement::Received => Packet::PubRec(acknowledgement),
                    Acknowledgement::Release => Packet::PubRel(acknowledgement),
                    Acknowledgement::Complete => Packet::PubComp(acknowledgement),
                }
            }
        }
    }
}

/// Answers in order. One that promises durability holds back those behind it.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    waiting: VecDeque<(Reply, Position)>,
}

impl Replies {
    pub(crate) fn push(&mut self, reply: Reply) {
        self.push_after(reply, Position::default());
    }

    /// Lets an answer wait until the store has reached `position`.
    pub(crate) fn push_after(&mut self, reply: Reply, position: Position) {
        self.waiting.push_back((reply, position));
    }

    /// The next answer that may be written.
    pub(crate) fn pop(&mut self, durable: Position) -> Option<Reply> {
        let (_, position) = self.waiting.front()?;
        if *position > durable {
            return None;
        }
        self.waiting.pop_front().map(|(reply, _)| reply)
    }

    pub(crate) fn is_ready(&self, durable: Position) -> bool {
        self.waiting
            .front()
            .is_some_and(|(_, position)| *position <= durable)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= CONTROL_BACKLOG
    }

    /// Says one last thing. What could be written already stays in front of it; what waits for the
    /// store was not promised yet and is forgotten.
    pub(crate) fn finish(&mut self, last: Option<Packet>, durable: Position) {
        let ready = self
            .waiting
            .iter()
            .take_while(|(_, position)| *position <= durable)
            .count();
        self.waiting.truncate(ready);
        if let Some(packet) = last {
            self.push(Reply::Packet(Box::new(packet)));
        }
    }
}
