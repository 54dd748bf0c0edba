//! Connections per second: TCP, TLS 1.3 handshake with client certificate, CONNECT, CONNACK, goodbye.
//!
//! A client knows that the broker accepted its certificate only when an answer comes, so a connection counts
//! when its CONNACK has been read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde::Serialize;

use crate::client::{Client, Negotiated, Target};
use crate::error::LoadError;
use crate::histogram::{Histogram, Percentiles};
use crate::scenario::{Handshakes, Scenario};

/// What a run came to.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    mode: &'static str,
    concurrency: u32,
    clients: u32,
    resume: bool,
    /// Connections whose CONNACK came inside the time.
    connections: u64,
    seconds: f64,
    connections_per_second: f64,
    /// From opening the socket to having read the CONNACK.
    latency_microseconds: Option<Percentiles>,
    tls: Option<Negotiated>,
}

/// What one slot came to.
#[derive(Default)]
struct Slot {
    connections: u64,
    latency: Histogram,
    tls: Option<Negotiated>,
}

/// A client with its certificate and key already read.
struct Ready {
    client_id: String,
    settings: Arc<ClientConfig>,
}

/// Carries the load out: each slot is a thread that mostly waits for the broker.
pub(crate) fn run(scenario: &Scenario, load: &Handshakes) -> Result<Report, LoadError> {
    let target = Target::new(scenario)?;
    let mut shares: Vec<Vec<Ready>> = (0..load.concurrency).map(|_| Vec::new()).collect();
    // No identity is in two slots: two connections of one would take each other's session over.
    for (number, identity) in load.clients.identities().enumerate() {
        let settings = target.settings(&identity, load.resume)?;
        if let Some(share) = shares.get_mut(number % load.concurrency as usize) {
            share.push(Ready {
                client_id: identity.client_id,
                settings,
            });
        }
    }
    if load.resume {
        // The first connection of each client brings the ticket for the second.
        for ready in shares.iter().flatten() {
            Client::open(&target, &ready.settings, &ready.client_id, false)?.close()?;
        }
    }
    let end = Instant::now() + Duration::from_secs_f64(load.seconds);
    let slots = std::thread::scope(|scope| {
        let threads: Vec<_> = shares
            .iter()
            .map(|share| scope.spawn(|| connect_until(end, &target, share, load.resume)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(LoadError::Scenario("a slot of the run panicked".to_owned())))
            })
            .collect::<Result<Vec<_>, _>>()
    })?;
    let mut sum = Slot::default();
    for slot in slots {
        sum.connections += slot.connections;
        sum.latency.merge(&slot.latency);
        sum.tls = sum.tls.or(slot.tls);
    }
    Ok(Report {
        mode: "handshakes",
        concurrency: load.concurrency,
        clients: load.clients.count,
        resume: load.resume,
        connections: sum.connections,
        seconds: load.seconds,
        connections_per_second: sum.connections as f64 / load.seconds,
        latency_microseconds: sum.latency.percentiles(),
        tls: sum.tls,
    })
}

/// Opens and closes connections one after another until this moment.
fn connect_until(end: Instant, target: &Target, share: &[Ready], resume: bool) -> Result<Slot, LoadError> {
    let mut slot = Slot::default();
    for ready in share.iter().cycle() {
        let opened_at = Instant::now();
        if opened_at >= end {
            break;
        }
        let client = Client::open(target, &ready.settings, &ready.client_id, false)?;
        if resume && !client.is_resumed() {
            return Err(client.unexpected("the TLS session was not resumed"));
        }
        let answered_at = Instant::now();
        if answered_at < end {
            slot.connections += 1;
            slot.latency.record(answered_at - opened_at);
        }
        slot.tls.get_or_insert_with(|| client.negotiated());
        client.close()?;
    }
    Ok(slot)
}
