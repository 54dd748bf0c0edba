//! How things stand, for Prometheus: the same figures as `status`, without anything that names somebody.
//!
//! Labels are layers, actions and directions, all known when this is compiled. No identity, topic or
//! address is one: a thief who reads metrics learns nobody's name, and no fleet is too large for them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use motte_broker::Figures;
use motte_guard::{Counters, Layer};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::engine::Engine;

/// Upper bounds of the buckets of a commit, in seconds: from a fast disk that has little to do to one that
/// is about to fail.
const COMMIT_BUCKETS: [f64; 10] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0];

/// How long it takes until what was written is safe.
#[derive(Clone, Debug)]
pub(crate) struct CommitLatency(Histogram);

impl Default for CommitLatency {
    fn default() -> Self {
        Self(Histogram::new(COMMIT_BUCKETS))
    }
}

impl CommitLatency {
    /// One commit is done.
    pub(crate) fn observe(&self, took: Duration) {
        self.0.observe(took.as_secs_f64());
    }
}

/// All metrics in the OpenMetrics text format; nothing if the broker broke.
pub(crate) fn render(engine: &Arc<Engine>) -> Option<String> {
    let figures = engine.with(None, |broker, _| broker.figures()).ok()?;
    let mut registry = Registry::with_prefix("motte");
    registry.register_collector(Box::new(Scrape {
        engine: engine.clone(),
        figures,
    }));
    let mut out = String::new();
    text::encode(&mut out, &registry).ok()?;
    Some(out)
}

/// The figures of one moment.
struct Scrape {
    engine: Arc<Engine>,
    figures: Figures,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Scrape").finish_non_exhaustive()
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page(encoder);
        self.state(&mut page)?;
        self.traffic(&mut page)?;
        self.layers(&mut page)?;
        self.store(&mut page)?;
        self.evidence(&mut page)
    }
}

impl Scrape {
    fn state(&self, page: &mut Page<'_>) -> fmt::Result {
        let figures = &self.figures;
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let uptime = self.engine.clock.now().monotonic.as_secs();
        let sockets = u64::from(self.engine.gate.connections());
        for (name, help, value) in [
            ("uptime_seconds", "Seconds since the start", uptime),
            (
                "policy_generation",
                "The snapshot in force, 0 for none",
                figures.generation,
            ),
            ("sockets", "Open sockets, handshakes included", sockets),
            (
                "connections",
                "Authenticated connections",
                count(figures.connections),
            ),
            ("sessions", "Sessions, connected or not", count(figures.sessions)),
            (
                "subscriptions",
                "Subscriptions of all sessions",
                count(figures.subscriptions),
            ),
            (
                "retained_messages",
                "Retained messages",
                count(figures.retained.messages),
            ),
            (
                "retained_bytes",
                "Bytes of the retained messages",
                figures.retained.bytes,
            ),
            (
                "queued_messages",
                "Messages that wait or are not acknowledged",
                count(figures.queued.messages),
            ),
            ("queued_bytes", "Bytes of those", figures.queued.bytes),
            ("timers", "Deadlines that are set", count(figures.timers)),
        ] {
            page.gauge(name, help, value)?;
        }
        page.gauge(
            "ready",
            "Whether clients are served",
            u64::from(self.engine.readiness().is_ok()),
        )
    }

    fn traffic(&self, page: &mut Page<'_>) -> fmt::Result {
        let totals = &self.figures.messages;
        let messages = [
            ("received", totals.received),
            ("sent", totals.sent),
            ("withheld", totals.withheld),
            ("expired", totals.expired),
            ("too_large", totals.too_large),
            ("dropped", totals.dropped),
        ];
        page.counters(
            "messages",
            "PUBLISH packets, and what became of those not sent",
            "event",
            &messages,
        )?;
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let bytes = [
            ("received", load(&self.engine.traffic.received)),
            ("sent", load(&self.engine.traffic.sent)),
        ];
        page.counters("bytes", "MQTT bytes inside TLS", "direction", &bytes)?;
        page.counter(
            "accepted",
            "Connections that were authenticated",
            self.figures.accepted,
        )
    }

    fn layers(&self, page: &mut Page<'_>) -> fmt::Result {
        let counters: &Counters = &self.figures.counters;
        let gate = self.engine.gate.counters();
        let denials = Layer::ALL.map(|layer| (layer.name(), counters.refused(layer) + gate.refused(layer)));
        page.counters("denials", "Refusals by the layer that refused", "layer", &denials)?;
        let passed = &counters.passed;
        let permits = [
            ("authenticate", passed.authenticate),
            ("connect", passed.connect),
            ("session", passed.session),
            ("will", passed.will),
            ("publish", passed.publish),
            ("release", passed.release),
            ("subscribe", passed.subscribe),
            ("retain", passed.retain),
            ("deliver", passed.deliver),
        ];
        page.counters("permits", "Passed checks by action", "action", &permits)
    }

    fn store(&self, page: &mut Page<'_>) -> fmt::Result {
        page.gauge(
            "store_full",
            "Whether messages are refused because the disk takes nothing more",
            u64::from(self.figures.is_store_full),
        )?;
        let help = "Seconds until what was recorded together is durable";
        page.latency("store_commit_seconds", help, &self.engine.commit_latency)
    }

    fn evidence(&self, page: &mut Page<'_>) -> fmt::Result {
        let evidence = self.engine.evidence.status();
        let waiting = u64::try_from(evidence.waiting).unwrap_or(u64::MAX);
        page.gauge(
            "evidence_sequence",
            "Number of the last record on disk",
            evidence.seq,
        )?;
        page.gauge("evidence_waiting", "Records that wait for the disk", waiting)?;
        page.gauge(
            "evidence_failing",
            "Whether the last write failed",
            u64::from(evidence.failing),
        )?;
        page.counter("evidence_lost", "Records that found no room", evidence.lost)?;
        let dropped = self.engine.evidence.events_dropped();
        page.counter(
            "events_dropped",
            "Records that a follower was too slow for",
            dropped,
        )?;
        let help = "Seconds until written evidence is safe";
        page.latency(
            "evidence_commit_seconds",
            help,
            self.engine.evidence.commit_latency(),
        )
    }
}

/// Writes one metric after the other.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn descriptor<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.descriptor(name, help, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.descriptor(name, help, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn latency(&mut self, name: &str, help: &str, latency: &CommitLatency) -> fmt::Result {
        let encoder = self.descriptor(name, help, MetricType::Histogram)?;
        latency.0.encode(encoder)
    }

    fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) -> fmt::Result {
        let mut encoder = self.descriptor(name, help, MetricType::Counter)?;
        for (value, count) in values {
            let labels = [(label, *value)];
            ConstCounter::new(*count).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
