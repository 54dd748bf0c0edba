//! The file that describes a load. Everything in it is bounded: this is a measuring instrument for a broker
//! on the same machine, not a weapon.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::LoadError;

/// Longest time, in seconds, that messages are published or connections opened.
pub(crate) const MAXIMUM_SECONDS: f64 = 300.0;
/// Most clients on each side, or in a handshake run.
pub(crate) const MAXIMUM_CLIENTS: usize = 2_000;
/// Largest payload in bytes.
pub(crate) const MAXIMUM_PAYLOAD: usize = 64 * 1024;
/// Smallest payload in bytes: time of sending, number of the publisher, number of the message.
pub(crate) const MINIMUM_PAYLOAD: usize = 16;
/// Most messages on their way, in total and unacknowledged by one publisher. Below the 65,535 packet
/// identifiers of a connection.
pub(crate) const MAXIMUM_WINDOW: u32 = 60_000;
/// Most messages of one publisher, the range of the number in a payload.
pub(crate) const MAXIMUM_MESSAGES: u32 = 100_000_000;
/// Most handshakes at the same time.
pub(crate) const MAXIMUM_CONCURRENCY: usize = 64;

/// One load on one broker.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// Where the broker listens. A loopback address.
    pub(crate) address: SocketAddr,
    /// The name that the broker's certificate must carry.
    pub(crate) server_name: String,
    /// PEM file with the authority that issued the broker's certificate.
    pub(crate) authority: PathBuf,
    /// What to do.
    pub(crate) mode: Mode,
}

/// The two kinds of load.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Messages from publishers to subscribers.
    Throughput(Throughput),
    /// Connections: TCP, full TLS handshake with client certificate, CONNECT, CONNACK.
    Handshakes(Handshakes),
}

/// Messages from every publisher to every subscriber.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Throughput {
    /// Quality of service of both the publishers and the subscriptions: 0 or 1.
    pub(crate) qos: u8,
    /// Size of each payload in bytes.
    pub(crate) payload_bytes: usize,
    /// Most messages that are published and not yet received by every subscriber, over all publishers.
    pub(crate) in_flight: u32,
    /// Most messages of one publisher that wait for their PUBACK (QoS 1).
    pub(crate) window: u32,
    /// Messages per second of all publishers together; 0: as fast as the windows allow.
    #[serde(default)]
    pub(crate) rate: u32,
    /// Time at the start that is not measured, in seconds.
    pub(crate) warmup_seconds: f64,
    /// Time that is measured, in seconds.
    pub(crate) seconds: f64,
    /// How long to wait, in seconds, for messages still on their way once publishing has ended.
    pub(crate) drain_seconds: f64,
    /// Who publishes.
    pub(crate) publishers: Vec<Publisher>,
    /// Who subscribes. Every filter set must match the topic of every publisher exactly once.
    pub(crate) subscribers: Vec<Subscriber>,
}

/// Connections, one after another in each of several slots.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Handshakes {
    /// How many connections are being opened at the same time.
    pub(crate) concurrency: usize,
    /// How long, in seconds.
    pub(crate) seconds: f64,
    /// The identities that connect, in turn.
    pub(crate) clients: Vec<Identity>,
}

/// Who connects.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// MQTT client id.
    pub(crate) client_id: String,
    /// PEM file with the certificate.
    pub(crate) certificate: PathBuf,
    /// PEM file with the private key.
    pub(crate) key: PathBuf,
}

/// A client that publishes to one topic.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publisher {
    /// Who it is.
    pub(crate) identity: Identity,
    /// Topic name of all its messages.
    pub(crate) topic: String,
}

/// A client that subscribes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subscriber {
    /// Who it is.
    pub(crate) identity: Identity,
    /// Topic filters of its subscriptions.
    pub(crate) filters: Vec<String>,
}

impl Scenario {
    /// Reads a scenario and holds it against the limits.
    pub(crate) fn read(path: &Path) -> Result<Self, LoadError> {
        let text = std::fs::read(path).map_err(|error| LoadError::File {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let scenario: Self = serde_json::from_slice(&text).map_err(|error| LoadError::File {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Holds every value against its limit.
    fn check(&self) -> Result<(), LoadError> {
        require(self.address.ip().is_loopback(), || {
            format!(
                "address {} is not on the loopback interface, and no other is allowed",
                self.address
            )
        })?;
        match &self.mode {
            Mode::Throughput(load) => load.check(),
            Mode::Handshakes(load) => load.check(),
        }
    }
}

impl Throughput {
    fn check(&self) -> Result<(), LoadError> {
        require(self.qos <= 1, || {
            format!("qos is {}, allowed are 0 and 1", self.qos)
        })?;
        within(
            "payload_bytes",
            self.payload_bytes,
            MINIMUM_PAYLOAD,
            MAXIMUM_PAYLOAD,
        )?;
        within("in_flight", self.in_flight, 1, MAXIMUM_WINDOW)?;
        within("window", self.window, 1, MAXIMUM_WINDOW)?;
        within("warmup_seconds", self.warmup_seconds, 0.0, MAXIMUM_SECONDS)?;
        within("seconds", self.seconds, 0.1, MAXIMUM_SECONDS)?;
        within("drain_seconds", self.drain_seconds, 0.1, MAXIMUM_SECONDS)?;
        within(
            "the number of publishers",
            self.publishers.len(),
            1,
            MAXIMUM_CLIENTS,
        )?;
        within(
            "the number of subscribers",
            self.subscribers.len(),
            1,
            MAXIMUM_CLIENTS,
        )?;
        for subscriber in &self.subscribers {
            within(
                "the number of filters",
                subscriber.filters.len(),
                1,
                MAXIMUM_CLIENTS,
            )?;
        }
        Ok(())
    }
}

impl Handshakes {
    fn check(&self) -> Result<(), LoadError> {
        within("concurrency", self.concurrency, 1, MAXIMUM_CONCURRENCY)?;
        within("seconds", self.seconds, 0.1, MAXIMUM_SECONDS)?;
        // Two connections of one identity at the same time would take each other's session over.
        within(
            "the number of clients",
            self.clients.len(),
            self.concurrency,
            MAXIMUM_CLIENTS,
        )
    }
}

/// An error with this text unless the condition holds.
fn require(condition: bool, text: impl FnOnce() -> String) -> Result<(), LoadError> {
    if condition {
        Ok(())
    } else {
        Err(LoadError::Scenario(text()))
    }
}

/// An error unless the value is inside both limits.
fn within<T: Copy + PartialOrd + std::fmt::Display>(
    name: &str,
    value: T,
    least: T,
    most: T,
) -> Result<(), LoadError> {
    require(least <= value && value <= most, || {
        format!("{name} is {value}, allowed are {least} to {most}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(address: &str, concurrency: usize) -> Result<(), LoadError> {
        let identity = r#"{"client_id":"a","certificate":"a.pem","key":"a.key"}"#;
        let text = format!(
            r#"{{"address":"{address}","server_name":"localhost","authority":"ca.pem",
                "mode":{{"handshakes":{{"concurrency":{concurrency},"seconds":1,"clients":[{identity}]}}}}}}"#
        );
        serde_json::from_str::<Scenario>(&text).unwrap().check()
    }

    #[test]
    fn loopback_of_both_families_is_accepted() {
        scenario("127.0.0.1:8883", 1).unwrap();
        scenario("[::1]:8883", 1).unwrap();
    }

    #[test]
    fn any_other_address_is_refused() {
        for address in [
            "192.0.2.1:8883",
            "0.0.0.0:8883",
            "[2001:db8::1]:8883",
            "10.0.0.1:1",
        ] {
            let error = scenario(address, 1).unwrap_err().to_string();
            assert!(error.contains("loopback"), "{error}");
        }
    }

    #[test]
    fn counts_outside_their_limits_are_refused() {
        for concurrency in [0, 2, MAXIMUM_CONCURRENCY + 1] {
            scenario("127.0.0.1:8883", concurrency).unwrap_err();
        }
    }

    #[test]
    fn a_time_that_is_not_a_number_is_refused() {
        within("seconds", f64::NAN, 0.1, MAXIMUM_SECONDS).unwrap_err();
        within("seconds", MAXIMUM_SECONDS + 0.1, 0.1, MAXIMUM_SECONDS).unwrap_err();
        within("seconds", MAXIMUM_SECONDS, 0.1, MAXIMUM_SECONDS).unwrap();
    }
}
