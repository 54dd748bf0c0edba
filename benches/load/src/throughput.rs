//! Messages from every publisher to every subscriber, as fast as two windows allow or at a fixed rate.
//!
//! One thread and one event queue drive all connections, so that the generator takes one core at most and
//! both ends share a clock. The load is closed: a message is published only while fewer than `in_flight`
//! are on their way, so a fast broker is fed faster and a slow one is not drowned.

use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use serde::Serialize;

use crate::client::{Client, Link, Negotiated, Target};
use crate::error::LoadError;
use crate::histogram::{Histogram, Percentiles};
use crate::scenario::{MAXIMUM_MESSAGES, Scenario, Throughput};
use crate::wire::{self, Frame, Mark, PublishTemplate};

/// Most events taken from the queue at once.
const EVENTS: usize = 1024;
/// Ciphertext read from a socket at once, in bytes: four full TLS records.
const READ_BYTES: usize = 64 * 1024;

/// What a run came to.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    mode: &'static str,
    qos: u8,
    publishers: usize,
    subscribers: usize,
    payload_bytes: usize,
    /// Messages published in the whole run, warm-up included.
    published: u64,
    /// Messages that should have arrived in the whole run: one for each subscriber.
    expected: u64,
    /// Messages that did.
    delivered: u64,
    /// Messages that never arrived.
    lost: u64,
    /// Messages that arrived a second time or after a later one of the same publisher.
    out_of_order: u64,
    /// Messages published at QoS 1 whose PUBACK never came.
    unacknowledged: u64,
    /// Length of the measured part.
    seconds: f64,
    /// Deliveries in the measured part, per second.
    messages_per_second: f64,
    /// From writing a message to having read it, over the measured part.
    latency_microseconds: Option<Percentiles>,
    tls: Option<Negotiated>,
}

/// One publisher's side of the books.
struct Publisher {
    template: PublishTemplate,
    published: u32,
    unacknowledged: u32,
}

/// The books of a run.
struct Books {
    publishers: Vec<Publisher>,
    /// For each subscriber, for each publisher: the number of the message that should come next.
    next: Vec<u32>,
    delivered: u64,
    missed: u64,
    out_of_order: u64,
    latency: Histogram,
    measuring: bool,
}

struct Run<'a> {
    load: &'a Throughput,
    poll: Poll,
    /// Subscribers first, then publishers.
    links: Vec<Link>,
    books: Books,
    started: Instant,
    /// Whose turn it is to publish.
    turn: usize,
    tls: Option<Negotiated>,
}

/// Carries the load out.
pub(crate) fn run(scenario: &Scenario, load: &Throughput) -> Result<Report, LoadError> {
    let mut run = Run::open(scenario, load)?;
    let mut events = Events::with_capacity(EVENTS);
    let mut scratch = vec![0; READ_BYTES];

    let warm = run.started + Duration::from_secs_f64(load.warmup_seconds);
    run.publish_until(warm, &mut events, &mut scratch)?;
    let (measured_from, delivered_before) = (Instant::now(), run.books.delivered);
    run.books.measuring = true;
    run.publish_until(
        measured_from + Duration::from_secs_f64(load.seconds),
        &mut events,
        &mut scratch,
    )?;
    run.books.measuring = false;
    let seconds = measured_from.elapsed().as_secs_f64();
    let measured = run.books.delivered - delivered_before;
    run.drain(&mut events, &mut scratch)?;
    run.finish(measured, seconds)
}

impl<'a> Run<'a> {
    /// Opens every connection and subscribes.
    fn open(scenario: &Scenario, load: &'a Throughput) -> Result<Self, LoadError> {
        let target = Target::new(scenario)?;
        let poll = Poll::new().map_err(LoadError::Events)?;
        let mut links = Vec::new();
        let mut tls = None;
        for subscriber in &load.subscribers {
            let settings = target.settings(&subscriber.identity)?;
            let mut client = Client::open(&target, &settings, &subscriber.identity.client_id)?;
            client.subscribe(&subscriber.filters, load.qos)?;
            tls.get_or_insert_with(|| client.negotiated());
            links.push(client.into_link()?);
        }
        let mut publishers = Vec::new();
        for publisher in &load.publishers {
            let settings = target.settings(&publisher.identity)?;
            let client = Client::open(&target, &settings, &publisher.identity.client_id)?;
            links.push(client.into_link()?);
            let template = PublishTemplate::new(&publisher.topic, load.qos, load.payload_bytes);
            publishers.push(Publisher {
                template,
                published: 0,
                unacknowledged: 0,
            });
        }
        for (number, link) in links.iter_mut().enumerate() {
            poll.registry()
                .register(
                    &mut link.socket,
                    Token(number),
                    Interest::READABLE | Interest::WRITABLE,
                )
                .map_err(LoadError::Events)?;
        }
        let books = Books {
            next: vec![0; load.subscribers.len() * publishers.len()],
            publishers,
            delivered: 0,
            missed: 0,
            out_of_order: 0,
            latency: Histogram::default(),
            measuring: false,
        };
        Ok(Self {
            load,
            poll,
            links,
            books,
            started: Instant::now(),
            turn: 0,
            tls,
        })
    }

    /// Publishes until this moment.
    fn publish_until(
        &mut self,
        end: Instant,
        events: &mut Events,
        scratch: &mut [u8],
    ) -> Result<(), LoadError> {
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            self.publish(now);
            self.flush()?;
            let next_message = self.next_due().map_or(end, |due| due.min(end));
            self.turn_of_events(events, scratch, next_message.saturating_duration_since(now))?;
        }
    }

    /// Waits for what is still on its way, at most as long as the scenario says.
    fn drain(&mut self, events: &mut Events, scratch: &mut [u8]) -> Result<(), LoadError> {
        let end = Instant::now() + Duration::from_secs_f64(self.load.drain_seconds);
        loop {
            let now = Instant::now();
            let waiting =
                self.books.unacknowledged() > 0 || self.books.delivered + self.books.missed < self.expected();
            if !waiting || now >= end {
                return Ok(());
            }
            self.flush()?;
            self.turn_of_events(events, scratch, end.saturating_duration_since(now))?;
        }
    }

    /// Waits for events and handles them.
    fn turn_of_events(
        &mut self,
        events: &mut Events,
        scratch: &mut [u8],
        patience: Duration,
    ) -> Result<(), LoadError> {
        match self.poll.poll(events, Some(patience)) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                return Err(LoadError::Events(error));
            }
            _ => {}
        }
        let subscribers = self.load.subscribers.len();
        for event in events.iter() {
            let number = event.token().0;
            let Some(link) = self.links.get_mut(number) else {
                continue;
            };
            if event.is_writable() {
                link.unblock();
            }
            if !event.is_readable() {
                continue;
            }
            link.receive(scratch)?;
            let now = nanoseconds(self.started.elapsed());
            let books = &mut self.books;
            if number < subscribers {
                link.packets(|frame, pending| books.delivery(number, frame, now, pending))?;
            } else {
                link.packets(|frame, _| books.acknowledgement(number - subscribers, frame))?;
            }
        }
        Ok(())
    }

    /// Fills the windows, one message of each publisher in turn.
    fn publish(&mut self, now: Instant) {
        let sent_at = nanoseconds(now.saturating_duration_since(self.started));
        let subscribers = self.load.subscribers.len() as u64;
        let on_their_way = self.books.published() * subscribers - self.books.delivered - self.books.missed;
        let mut allowed = u64::from(self.load.in_flight).saturating_sub(on_their_way.div_ceil(subscribers));
        if self.load.rate > 0 {
            allowed = allowed.min(self.due(now).saturating_sub(self.books.published()));
        }
        let mut passed_over = 0;
        while allowed > 0 && passed_over < self.books.publishers.len() {
            let number = self.turn;
            self.turn = (self.turn + 1) % self.books.publishers.len();
            let link = self.links.get_mut(subscribers as usize + number);
            let publisher = self.books.publishers.get_mut(number);
            let (Some(link), Some(publisher)) = (link, publisher) else {
                return;
            };
            let open = self.load.qos == 0 || publisher.unacknowledged < self.load.window;
            if !open || link.is_blocked() || publisher.published == MAXIMUM_MESSAGES {
                passed_over += 1;
                continue;
            }
            passed_over = 0;
            allowed -= 1;
            let mark = Mark {
                sent_at,
                publisher: number as u32,
                sequence: publisher.published,
            };
            // 1 to 65,535 in turn; the window is smaller, so an identifier is free again when it comes back.
            let packet_id = (publisher.published % 65_535 + 1) as u16;
            publisher.template.append(packet_id, mark, &mut link.pending);
            publisher.published += 1;
            publisher.unacknowledged += u32::from(self.load.qos > 0);
        }
    }

    fn flush(&mut self) -> Result<(), LoadError> {
        self.links.iter_mut().try_for_each(Link::flush)
    }

    /// How many messages should have been published by now at the rate of the scenario.
    fn due(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.started).as_secs_f64();
        (elapsed * f64::from(self.load.rate)) as u64
    }

    /// When the next message is due, where the scenario has a rate.
    fn next_due(&self) -> Option<Instant> {
        (self.load.rate > 0).then(|| {
            let number = (self.books.published() + 1) as f64;
            self.started + Duration::from_secs_f64(number / f64::from(self.load.rate))
        })
    }

    fn expected(&self) -> u64 {
        self.books.published() * self.load.subscribers.len() as u64
    }

    /// Closes every connection and draws up the report.
    fn finish(self, measured: u64, seconds: f64) -> Result<Report, LoadError> {
        let report = Report {
            mode: "throughput",
            qos: self.load.qos,
            publishers: self.load.publishers.len(),
            subscribers: self.load.subscribers.len(),
            payload_bytes: self.load.payload_bytes,
            published: self.books.published(),
            expected: self.expected(),
            delivered: self.books.delivered,
            lost: self.expected().saturating_sub(self.books.delivered),
            out_of_order: self.books.out_of_order,
            unacknowledged: self.books.unacknowledged(),
            seconds,
            messages_per_second: measured as f64 / seconds,
            latency_microseconds: self.books.latency.percentiles(),
            tls: self.tls,
        };
        self.links.into_iter().try_for_each(Link::close)?;
        Ok(report)
    }
}

impl Books {
    fn published(&self) -> u64 {
        self.publishers
            .iter()
            .map(|publisher| u64::from(publisher.published))
            .sum()
    }

    fn unacknowledged(&self) -> u64 {
        self.publishers
            .iter()
            .map(|publisher| u64::from(publisher.unacknowledged))
            .sum()
    }

    /// A packet that a subscriber received.
    fn delivery(
        &mut self,
        subscriber: usize,
        frame: &Frame<'_>,
        now: u64,
        pending: &mut Vec<u8>,
    ) -> Result<(), String> {
        let Some((packet_id, mark)) = frame.publish() else {
            return Err(format!(
                "packet {:#04x} where a message was expected",
                frame.header
            ));
        };
        if let Some(packet_id) = packet_id {
            wire::puback(packet_id, pending);
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
    fn acknowledgement(&mut self, publisher: usize, frame: &Frame<'_>) -> Result<(), String> {
        match self.publishers.get_mut(publisher) {
            Some(publisher) if frame.kind() == wire::PUBACK && publisher.unacknowledged > 0 => {
                publisher.unacknowledged -= 1;
                Ok(())
            }
            _ => Err(format!(
                "packet {:#04x} where a PUBACK was expected",
                frame.header
            )),
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books(publishers: usize, subscribers: usize) -> Books {
        Books {
            publishers: (0..publishers)
                .map(|_| Publisher {
                    template: PublishTemplate::new("t", 1, 16),
                    published: 0,
                    unacknowledged: 0,
                })
                .collect(),
            next: vec![0; publishers * subscribers],
            delivered: 0,
            missed: 0,
            out_of_order: 0,
            latency: Histogram::default(),
            measuring: true,
        }
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
        books.acknowledgement(0, &frame).unwrap_err();
        books.publishers[0].unacknowledged = 1;
        books.acknowledgement(0, &frame).unwrap();
        assert_eq!(books.unacknowledged(), 0);
    }
}
