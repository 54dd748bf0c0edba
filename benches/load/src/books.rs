//! Who published what, and what of it arrived.

use std::time::Duration;

use crate::histogram::Histogram;
use crate::wire::{self, Frame, PublishTemplate};

/// One publisher's side of the books.
pub(crate) struct Publisher {
    pub(crate) template: PublishTemplate,
    pub(crate) published: u32,
    pub(crate) unacknowledged: u32,
}

/// The books of a run.
#[derive(Default)]
pub(crate) struct Books {
    pub(crate) publishers: Vec<Publisher>,
    /// For each subscriber, for each publisher: the number of the message that should come next.
    pub(crate) next: Vec<u32>,
    pub(crate) delivered: u64,
    pub(crate) missed: u64,
    pub(crate) out_of_order: u64,
    pub(crate) latency: Histogram,
    pub(crate) measuring: bool,
}

impl Books {
    /// The books before anything was published.
    pub(crate) fn new(templates: impl Iterator<Item = PublishTemplate>, subscribers: usize) -> Self {
        let publishers: Vec<_> = templates
            .map(|template| Publisher {
                template,
                published: 0,
                unacknowledged: 0,
            })
            .collect();
        Self {
            next: vec![0; publishers.len() * subscribers],
            publishers,
            ..Self::default()
        }
    }

    pub(crate) fn published(&self) -> u64 {
        self.publishers
            .iter()
            .map(|publisher| u64::from(publisher.published))
            .sum()
    }

    pub(crate) fn unacknowledged(&self) -> u64 {
        self.publishers
            .iter()
            .map(|publisher| u64::from(publisher.unacknowledged))
            .sum()
    }

    /// A packet that a subscriber received.
    pub(crate) fn delivery(
        &mut self,
        subscriber: usize,
        frame: &Frame<'_>,
        now: u64,
        pending: &mut Vec<u8>,
    ) -> Result<(), String> {
        if let (wire::PUBREL, Some(packet_id)) = (frame.header, frame.packet_id()) {
            wire::acknowledge(wire::PUBCOMP, packet_id, pending);
            return Ok(());
        }
        let Some((packet_id, mark)) = frame.publish() else {
            return Err(format!(
                "packet {:#04x} where a message was expected",
                frame.header
            ));
        };
        if let Some(packet_id) = packet_id {
            let kind = if frame.qos() == 1 {
                wire::PUBACK
            } else {
                wire::PUBREC
            };
            wire::acknowledge(kind, packet_id, pending);
        }
        let publisher = mark.publisher as usize;
        let place =
            (publisher < self.publishers.len()).then_some(subscriber * self.publishers.len() + publisher);
        let Some(next) = place.and_then(|place| self.next.get_mut(place)) else {
            return Err(format!(
                "a message of publisher {publisher}, which does not exist"
            ));
        };
        if mark.sequence < *next {
            self.out_of_order += 1;
            return Ok(());
        }
        self.missed += u64::from(mark.sequence - *next);
        *next = mark.sequence + 1;
        self.delivered += 1;
        if self.measuring {
            self.latency
                .record(Duration::from_nanos(now.saturating_sub(mark.sent_at)));
        }
        Ok(())
    }

    /// A packet that a publisher received.
    pub(crate) fn acknowledgement(
        &mut self,
        publisher: usize,
        frame: &Frame<'_>,
        pending: &mut Vec<u8>,
    ) -> Result<(), String> {
        if let (wire::PUBREC, Some(packet_id)) = (frame.kind(), frame.packet_id()) {
            wire::acknowledge(wire::PUBREL, packet_id, pending);
            return Ok(());
        }
        match self.publishers.get_mut(publisher) {
            Some(publisher)
                if matches!(frame.kind(), wire::PUBACK | wire::PUBCOMP) && publisher.unacknowledged > 0 =>
            {
                publisher.unacknowledged -= 1;
                Ok(())
            }
            _ => Err(format!(
                "packet {:#04x} where an acknowledgement was expected",
                frame.header
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Mark;

    fn books(publishers: usize, subscribers: usize) -> Books {
        let templates = (0..publishers).map(|_| PublishTemplate::new("t", 1, 16));
        let mut books = Books::new(templates, subscribers);
        books.measuring = true;
        books
    }

    fn arrive(
        books: &mut Books,
        subscriber: usize,
        publisher: u32,
        sequence: u32,
    ) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        PublishTemplate::new("t", 1, 16).append(
            5,
            Mark {
                sent_at: 1,
                publisher,
                sequence,
            },
            &mut bytes,
        );
        let frame = wire::first_frame(&bytes).unwrap().unwrap();
        let mut pending = Vec::new();
        books
            .delivery(subscriber, &frame, 10, &mut pending)
            .map(|()| pending)
    }

    #[test]
    fn each_message_counts_once_for_each_subscriber() {
        let mut books = books(2, 2);
        for subscriber in 0..2 {
            for publisher in 0..2 {
                assert_eq!(
                    arrive(&mut books, subscriber, publisher, 0).unwrap(),
                    [0x40, 2, 0, 5]
                );
            }
        }
        assert_eq!((books.delivered, books.missed, books.out_of_order), (4, 0, 0));
    }

    #[test]
    fn gaps_and_repetitions_are_seen() {
        let mut books = books(1, 1);
        for sequence in [0, 1, 1, 4, 3] {
            arrive(&mut books, 0, 0, sequence).unwrap();
        }
        assert_eq!((books.delivered, books.missed, books.out_of_order), (3, 2, 2));
    }

    #[test]
    fn a_message_of_nobody_ends_the_run() {
        arrive(&mut books(1, 1), 0, 1, 0).unwrap_err();
    }

    #[test]
    fn a_puback_that_nobody_waits_for_ends_the_run() {
        let mut books = books(1, 1);
        let frame = Frame {
            header: wire::PUBACK,
            body: &[0, 1],
            length: 4,
        };
        let mut pending = Vec::new();
        books.acknowledgement(0, &frame, &mut pending).unwrap_err();
        books.publishers[0].unacknowledged = 1;
        books.acknowledgement(0, &frame, &mut pending).unwrap();
        assert_eq!(books.unacknowledged(), 0);
    }

    #[test]
    fn the_four_packets_of_qos_2_follow_one_another() {
        let mut books = books(1, 1);
        books.publishers[0].unacknowledged = 1;
        let frame = |header| Frame {
            header,
            body: &[0, 7],
            length: 4,
        };
        let mut pending = Vec::new();
        books
            .acknowledgement(0, &frame(wire::PUBREC), &mut pending)
            .unwrap();
        assert_eq!(
            (pending.as_slice(), books.unacknowledged()),
            ([0x62, 2, 0, 7].as_slice(), 1)
        );
        books
            .acknowledgement(0, &frame(wire::PUBCOMP), &mut pending)
            .unwrap();
        assert_eq!(books.unacknowledged(), 0);
        pending.clear();
        books.delivery(0, &frame(wire::PUBREL), 1, &mut pending).unwrap();
        assert_eq!(pending, [0x70, 2, 0, 7]);
    }
}
