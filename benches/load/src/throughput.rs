//! Messages from every publisher to every subscriber, as fast as two windows allow or at a fixed rate.
//!
//! One thread and one event queue drive all connections, so that the generator takes one core at most and
//! both ends share a clock. The load is closed: a message is published only while fewer than `in_flight`
//! are on their way, so a fast broker is fed faster and a slow one is not drowned.

use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use serde::Serialize;

use crate::books::Books;
use crate::client::{Client, Negotiated, Target};
use crate::error::LoadError;
use crate::histogram::Percentiles;
use crate::link::Link;
use crate::scenario::{MAXIMUM_MESSAGES, Scenario, Throughput};
use crate::wire::{Mark, PublishTemplate};

/// Most events taken from the queue at once.
const EVENTS: usize = 1024;
/// Ciphertext read from a socket at once, in bytes: four full TLS records.
const READ_BYTES: usize = 64 * 1024;

/// What a run came to.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    mode: &'static str,
    qos: u8,
    publishers: u32,
    subscribers: u32,
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

struct Run<'a> {
    load: &'a Throughput,
    poll: Poll,
    /// Subscribers first, then publishers.
    links: Vec<Link>,
    /// Links with something to be flushed, by their numbers.
    due: Vec<usize>,
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
        for subscriber in load.subscribers.identities() {
            let settings = target.settings(&subscriber, false)?;
            let mut client = Client::open(&target, &settings, &subscriber.client_id, load.persistent)?;
            client.subscribe(&[subscriber.topic(&load.filter)], load.qos)?;
            tls.get_or_insert_with(|| client.negotiated());
            links.push(client.into_link()?);
        }
        for publisher in load.publishers.identities() {
            let settings = target.settings(&publisher, false)?;
            let client = Client::open(&target, &settings, &publisher.client_id, load.persistent)?;
            links.push(client.into_link()?);
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
        let templates = load.publishers.identities().map(|publisher| {
            PublishTemplate::new(&publisher.topic(&load.topic), load.qos, load.payload_bytes)
        });
        let books = Books::new(templates, load.subscribers.count as usize);
        Ok(Self {
            load,
            poll,
            links,
            due: Vec::new(),
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
            self.publish(now)?;
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
        let subscribers = self.load.subscribers.count as usize;
        for event in events.iter() {
            let number = event.token().0;
            let Some(link) = self.links.get_mut(number) else {
                continue;
            };
            if event.is_writable() && link.unblock() {
                self.due.push(number);
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
                link.packets(|frame, pending| books.acknowledgement(number - subscribers, frame, pending))?;
            }
            self.due.push(number);
        }
        Ok(())
    }

    /// Fills the windows, one message of each publisher in turn.
    fn publish(&mut self, now: Instant) -> Result<(), LoadError> {
        let sent_at = nanoseconds(now.saturating_duration_since(self.started));
        let subscribers = u64::from(self.load.subscribers.count);
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
                break;
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
            if link.pending.is_empty() {
                self.due.push(subscribers as usize + number);
            }
            publisher.template.append(packet_id, mark, &mut link.pending);
            publisher.published += 1;
            publisher.unacknowledged += u32::from(self.load.qos > 0);
            if self.load.unbatched {
                link.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LoadError> {
        for number in self.due.drain(..) {
            if let Some(link) = self.links.get_mut(number) {
                link.flush()?;
            }
        }
        Ok(())
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
        self.books.published() * u64::from(self.load.subscribers.count)
    }

    /// Closes every connection and draws up the report.
    fn finish(self, measured: u64, seconds: f64) -> Result<Report, LoadError> {
        let report = Report {
            mode: "throughput",
            qos: self.load.qos,
            publishers: self.load.publishers.count,
            subscribers: self.load.subscribers.count,
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

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
