//! Connections that are opened and kept: memory for each, a fleet that comes back, who is cut off when.
//!
//! One line of JSON is written when all are open, one for each connection that the broker ends, and one at
//! the end, which is when standard input ends.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::{Events, Interest, Poll, Token, Waker};
use rustls::ClientConfig;
use serde::Serialize;

use crate::client::{Client, Target};
use crate::error::LoadError;
use crate::histogram::{Histogram, Percentiles};
use crate::link::Link;
use crate::scenario::{Hold, Identity, Scenario};

/// Most events taken from the queue at once.
const EVENTS: usize = 1024;
/// Ciphertext read from a socket at once, in bytes.
const READ_BYTES: usize = 16 * 1024;
/// Between two attempts of a client that was refused.
const PATIENCE: Duration = Duration::from_millis(50);
/// Attempts of one client at most.
const ATTEMPTS: u32 = 600;
/// Filters in one SUBSCRIBE, so that the packet is no larger than brokers take.
const FILTERS_AT_ONCE: usize = 50;

/// All connections are open.
#[derive(Debug, Serialize)]
struct Opened {
    opened: usize,
    /// From the first attempt to the last CONNACK or SUBACK.
    seconds: f64,
    /// Attempts that were refused and made again.
    refused: u64,
    /// From a client's first attempt to its CONNACK.
    latency_microseconds: Option<Percentiles>,
    /// From the first attempt of all to each CONNACK: who waited longest in a storm.
    admitted_microseconds: Option<Percentiles>,
}

/// The broker ended a connection.
#[derive(Debug, Serialize)]
struct Closed<'a> {
    closed: &'a str,
    /// Microseconds since 1970.
    at: u128,
}

/// What the threads that open connections share.
struct Opening<'a> {
    target: Target,
    load: &'a Hold,
    shared: Option<Arc<ClientConfig>>,
    waiting: Mutex<Box<dyn Iterator<Item = Identity> + Send + 'a>>,
    started: Instant,
    refused: AtomicU64,
}

/// What one of them came to.
#[derive(Default)]
struct Share {
    links: Vec<Link>,
    latency: Histogram,
    admitted: Histogram,
}

/// Opens everything, says so, and keeps it until standard input ends.
pub(crate) fn run(scenario: &Scenario, load: &Hold, out: &mut dyn Write) -> Result<(), LoadError> {
    let target = Target::new(scenario)?;
    let shared = match load.clients.identities().next() {
        Some(first) if load.clients.share_a_certificate() => Some(target.settings(&first, load.resume)?),
        _ => None,
    };
    let opening = Opening {
        target,
        load,
        shared,
        waiting: Mutex::new(Box::new(load.clients.identities())),
        started: Instant::now(),
        refused: AtomicU64::new(0),
    };
    let mut all = Share::default();
    let shares = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..load.concurrency)
            .map(|_| scope.spawn(|| opening.open_share()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(panicked())))
            .collect::<Result<Vec<_>, _>>()
    })?;
    for share in shares {
        all.links.extend(share.links);
        all.latency.merge(&share.latency);
        all.admitted.merge(&share.admitted);
    }
    say(
        out,
        &Opened {
            opened: all.links.len(),
            seconds: opening.started.elapsed().as_secs_f64(),
            refused: opening.refused.load(Ordering::Relaxed),
            latency_microseconds: all.latency.percentiles(),
            admitted_microseconds: all.admitted.percentiles(),
        },
    )?;
    keep(all.links, out)
}

impl Opening<'_> {
    fn next(&self) -> Option<Identity> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    fn open_share(&self) -> Result<Share, LoadError> {
        let mut share = Share::default();
        while let Some(identity) = self.next() {
            let begun = Instant::now();
            let mut client = self.open(&identity)?;
            share.latency.record(begun.elapsed());
            share.admitted.record(self.started.elapsed());
            let filters = identity.filters(&self.load.filter, self.load.filters);
            for some in filters.chunks(FILTERS_AT_ONCE) {
                client.subscribe(some, 1)?;
            }
            share.links.push(client.into_link()?);
        }
        Ok(share)
    }

    fn open(&self, identity: &Identity) -> Result<Client, LoadError> {
        let settings = match &self.shared {
            Some(settings) => Arc::clone(settings),
            None => self.target.settings(identity, false)?,
        };
        let mut attempt = 1;
        loop {
            match Client::open(&self.target, &settings, &identity.client_id, self.load.persistent) {
                Err(LoadError::Connection { .. }) if self.load.again && attempt < ATTEMPTS => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    attempt += 1;
                    std::thread::sleep(PATIENCE);
                }
                outcome => return outcome,
            }
        }
    }
}

/// Waits for standard input to end, and says whose connection ended meanwhile.
fn keep(mut links: Vec<Link>, out: &mut dyn Write) -> Result<(), LoadError> {
    const INPUT_ENDED: Token = Token(usize::MAX - 1);
    let mut poll = Poll::new().map_err(LoadError::Events)?;
    for (number, link) in links.iter_mut().enumerate() {
        poll.registry()
            .register(&mut link.socket, Token(number), Interest::READABLE)
            .map_err(LoadError::Events)?;
    }
    // Kept here as well: a waker that is dropped takes its event with it.
    let waker = Arc::new(Waker::new(poll.registry(), INPUT_ENDED).map_err(LoadError::Events)?);
    let waking = Arc::clone(&waker);
    std::thread::spawn(move || {
        // Whatever is said there, only the end counts.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = waking.wake();
    });
    let mut events = Events::with_capacity(EVENTS);
    let mut scratch = vec![0; READ_BYTES];
    let mut open: Vec<Option<Link>> = links.into_iter().map(Some).collect();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                return Err(LoadError::Events(error));
            }
            _ => {}
        }
        let at = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_micros();
        for event in &events {
            if event.token() == INPUT_ENDED {
                return open.into_iter().flatten().try_for_each(Link::close);
            }
            let Some(place) = open.get_mut(event.token().0) else {
                continue;
            };
            if let Some(link) = place
                && (link.receive(&mut scratch).is_err() || link.is_ended())
            {
                let closed = link.client_id().to_owned();
                *place = None;
                say(out, &Closed { closed: &closed, at })?;
            }
        }
    }
}

fn say(out: &mut dyn Write, event: &impl Serialize) -> Result<(), LoadError> {
    let text = serde_json::to_string(event).map_err(|error| LoadError::Report(error.to_string()))?;
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|error| LoadError::Report(error.to_string()))
}

fn panicked() -> LoadError {
    LoadError::Scenario("a thread of the run panicked".to_owned())
}
