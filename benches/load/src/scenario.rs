//! The description of a load. Everything in it is bounded: this is a measuring instrument for a broker
//! that the user answers for, not a weapon.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use crate::error::LoadError;

/// Longest time, in seconds, that messages are published or connections opened.
pub(crate) const MAXIMUM_SECONDS: f64 = 300.0;
/// Most clients in one group. One process has 20,000 file descriptors where nobody raised the limit.
pub(crate) const MAXIMUM_CLIENTS: u32 = 19_000;
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
pub(crate) const MAXIMUM_CONCURRENCY: u32 = 64;
/// Most filters of one client.
pub(crate) const MAXIMUM_FILTERS: u32 = 10_000;
/// Most loopback addresses that connections come from.
pub(crate) const MAXIMUM_SOURCES: u8 = 200;

/// The place in a client id, a path, a topic or a filter where the number of the client goes.
const NUMBER: &str = "{n}";
/// The place in a topic or filter where the client id goes.
const CLIENT: &str = "{client}";
/// The place in a filter where the number of the filter goes.
const FILTER: &str = "{f}";

/// One load on one broker.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// Where the broker listens; for a sink, where to listen.
    pub(crate) address: SocketAddr,
    /// The address once more, as the word of the user that an address outside of this machine is theirs.
    #[serde(default)]
    pub(crate) i_own_this: Option<IpAddr>,
    /// The name that the broker's certificate must carry.
    pub(crate) server_name: String,
    /// PEM file with the authority that issued the broker's certificate and, for a sink, the clients'.
    pub(crate) authority: PathBuf,
    /// Number of loopback addresses, from 127.0.0.1 upwards, that connections to a loopback address come
    /// from: one has no more than 28,000 free ports, and limits per address are part of what is measured.
    #[serde(default = "one")]
    pub(crate) sources: u8,
    /// What to do.
    pub(crate) mode: Mode,
}

const fn one() -> u8 {
    1
}

/// The kinds of load.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Messages from publishers to subscribers.
    Throughput(Throughput),
    /// Connections: TCP, TLS handshake with client certificate, CONNECT, CONNACK.
    Handshakes(Handshakes),
    /// Connections that are opened and kept.
    Hold(Hold),
    /// The least that can be called a broker, to find out what the generator itself can do.
    Sink(Sink),
}

/// Messages from every publisher to every subscriber.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Throughput {
    /// Quality of service of both the publishers and the subscriptions.
    pub(crate) qos: u8,
    /// Size of each payload in bytes.
    pub(crate) payload_bytes: usize,
    /// Most messages that are published and not yet received by every subscriber, over all publishers.
    pub(crate) in_flight: u32,
    /// Most messages of one publisher that wait for their PUBACK or PUBCOMP.
    pub(crate) window: u32,
    /// Messages per second of all publishers together; 0: as fast as the windows allow.
    #[serde(default)]
    pub(crate) rate: u32,
    /// Whether sessions outlive their connections, so that a durable broker has to store messages.
    #[serde(default)]
    pub(crate) persistent: bool,
    /// Whether each message is a TLS record and a system call of its own, as from devices, instead of all
    /// that are due on a connection together.
    #[serde(default)]
    pub(crate) unbatched: bool,
    /// Time at the start that is not measured, in seconds.
    pub(crate) warmup_seconds: f64,
    /// Time that is measured, in seconds.
    pub(crate) seconds: f64,
    /// How long to wait, in seconds, for messages still on their way once publishing has ended.
    pub(crate) drain_seconds: f64,
    /// Who publishes.
    pub(crate) publishers: Clients,
    /// Topic name of each publisher's messages.
    pub(crate) topic: String,
    /// Who subscribes.
    pub(crate) subscribers: Clients,
    /// Topic filter of each subscriber; it must match the topic of every publisher.
    pub(crate) filter: String,
}

/// Connections, one after another in each of several slots.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Handshakes {
    /// How many connections are being opened at the same time.
    pub(crate) concurrency: u32,
    /// How long, in seconds.
    pub(crate) seconds: f64,
    /// Whether TLS sessions are resumed after the first connection of each client.
    #[serde(default)]
    pub(crate) resume: bool,
    /// The identities that connect, in turn.
    pub(crate) clients: Clients,
}

/// Connections that are opened, as fast as the broker lets them in, and kept until standard input ends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hold {
    /// How many connections are being opened at the same time.
    pub(crate) concurrency: u32,
    /// Whether their sessions outlive their connections.
    #[serde(default)]
    pub(crate) persistent: bool,
    /// Whether a client that is refused tries again, as devices do.
    #[serde(default)]
    pub(crate) again: bool,
    /// Whether TLS sessions are resumed where clients share a certificate.
    #[serde(default)]
    pub(crate) resume: bool,
    /// Who connects.
    pub(crate) clients: Clients,
    /// Topic filter of the subscriptions; empty for none.
    #[serde(default)]
    pub(crate) filter: String,
    /// Subscriptions of each client.
    #[serde(default)]
    pub(crate) filters: u32,
}

/// Where a sink gets its certificate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sink {
    /// PEM file with the certificate.
    pub(crate) certificate: PathBuf,
    /// PEM file with the private key.
    pub(crate) key: PathBuf,
}

/// A group of clients: `{n}` in a name stands for the number of the client.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Clients {
    /// MQTT client id.
    client_id: String,
    /// PEM file with the certificate.
    certificate: String,
    /// PEM file with the private key.
    key: String,
    /// Number of the first.
    #[serde(default)]
    first: u32,
    /// How many there are.
    #[serde(default = "one_client")]
    pub(crate) count: u32,
}

const fn one_client() -> u32 {
    1
}

/// Who connects.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Number of the client.
    number: u32,
    /// MQTT client id.
    pub(crate) client_id: String,
    /// PEM file with the certificate.
    pub(crate) certificate: PathBuf,
    /// PEM file with the private key.
    pub(crate) key: PathBuf,
}

impl Clients {
    /// Everyone in the group.
    pub(crate) fn identities(&self) -> impl Iterator<Item = Identity> + '_ {
        (self.first..self.first.saturating_add(self.count)).map(|number| {
            let named = |pattern: &str| pattern.replace(NUMBER, &number.to_string());
            Identity {
                number,
                client_id: named(&self.client_id),
                certificate: named(&self.certificate).into(),
                key: named(&self.key).into(),
            }
        })
    }

    /// Whether all have the same certificate.
    pub(crate) fn share_a_certificate(&self) -> bool {
        !self.certificate.contains(NUMBER)
    }

    fn check(&self, what: &str) -> Result<(), LoadError> {
        within(what, self.count, 1, MAXIMUM_CLIENTS)?;
        require(self.count == 1 || self.client_id.contains(NUMBER), || {
            format!("{what}: several clients need {NUMBER} in the client id")
        })
    }
}

impl Identity {
    /// A topic or filter with this client's number and id in it.
    pub(crate) fn topic(&self, pattern: &str) -> String {
        pattern
            .replace(NUMBER, &self.number.to_string())
            .replace(CLIENT, &self.client_id)
    }

    /// The filters of a client that has so many.
    pub(crate) fn filters(&self, pattern: &str, count: u32) -> Vec<String> {
        let own = self.topic(pattern);
        (0..count)
            .map(|filter| own.replace(FILTER, &filter.to_string()))
            .collect()
    }
}

impl Scenario {
    /// Reads a scenario and holds it against the limits.
    pub(crate) fn parse(text: &str) -> Result<Self, LoadError> {
        let scenario: Self =
            serde_json::from_str(text).map_err(|error| LoadError::Scenario(format!("scenario: {error}")))?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Holds every value against its limit.
    fn check(&self) -> Result<(), LoadError> {
        let ip = self.address.ip();
        require(ip.is_loopback() || self.i_own_this == Some(ip), || {
            format!("address {ip} is not on the loopback interface and not named as i_own_this")
        })?;
        within("sources", self.sources, 1, MAXIMUM_SOURCES)?;
        require(self.sources == 1 || (ip.is_loopback() && ip.is_ipv4()), || {
            format!("sources: only connections to 127.0.0.0/8 can come from several addresses, not {ip}")
        })?;
        match &self.mode {
            Mode::Throughput(load) => load.check(),
            Mode::Handshakes(load) => load.check(),
            Mode::Hold(load) => load.check(),
            Mode::Sink(_) => require(ip.is_loopback(), || {
                "a sink listens on the loopback interface only".to_owned()
            }),
        }
    }
}

impl Throughput {
    fn check(&self) -> Result<(), LoadError> {
        within("qos", self.qos, 0, 2)?;
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
        self.publishers.check("publishers")?;
        self.subscribers.check("subscribers")
    }
}

impl Handshakes {
    fn check(&self) -> Result<(), LoadError> {
        within("concurrency", self.concurrency, 1, MAXIMUM_CONCURRENCY)?;
        within("seconds", self.seconds, 0.1, MAXIMUM_SECONDS)?;
        self.clients.check("clients")?;
        // Two connections of one identity at the same time would take each other's session over.
        within(
            "the number of clients",
            self.clients.count,
            self.concurrency,
            MAXIMUM_CLIENTS,
        )
    }
}

impl Hold {
    fn check(&self) -> Result<(), LoadError> {
        within("concurrency", self.concurrency, 1, MAXIMUM_CONCURRENCY)?;
        within("filters", self.filters, 0, MAXIMUM_FILTERS)?;
        require(self.filters <= 1 || self.filter.contains(FILTER), || {
            format!("filter: several filters need {FILTER} in it")
        })?;
        require(!self.resume || self.clients.share_a_certificate(), || {
            "resume: only clients that share a certificate have a ticket to resume with".to_owned()
        })?;
        self.clients.check("clients")
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

    const CLIENTS: &str = r#"{"client_id":"a-{n}","certificate":"{n}.pem","key":"{n}.key","count":2}"#;

    fn scenario(address: &str, owned: &str, concurrency: u32) -> Result<Scenario, LoadError> {
        Scenario::parse(&format!(
            r#"{{"address":"{address}","server_name":"localhost","authority":"ca.pem","i_own_this":{owned},
                "mode":{{"handshakes":{{"concurrency":{concurrency},"seconds":1,"clients":{CLIENTS}}}}}}}"#
        ))
    }

    #[test]
    fn loopback_of_both_families_is_accepted() {
        scenario("127.0.0.1:8883", "null", 1).unwrap();
        scenario("[::1]:8883", "null", 1).unwrap();
    }

    #[test]
    fn any_other_address_has_to_be_named_as_ones_own() {
        for (address, ip) in [
            ("192.0.2.1:8883", "192.0.2.1"),
            ("0.0.0.0:8883", "0.0.0.0"),
            ("[2001:db8::1]:8883", "2001:db8::1"),
        ] {
            for owned in ["null", r#""192.0.2.2""#] {
                let error = scenario(address, owned, 1).unwrap_err().to_string();
                assert!(error.contains("loopback"), "{error}");
            }
            scenario(address, &format!(r#""{ip}""#), 1).unwrap();
        }
    }

    #[test]
    fn counts_outside_their_limits_are_refused() {
        for concurrency in [0, 3, MAXIMUM_CONCURRENCY + 1] {
            scenario("127.0.0.1:8883", "null", concurrency).unwrap_err();
        }
    }

    #[test]
    fn a_time_that_is_not_a_number_is_refused() {
        within("seconds", f64::NAN, 0.1, MAXIMUM_SECONDS).unwrap_err();
        within("seconds", MAXIMUM_SECONDS + 0.1, 0.1, MAXIMUM_SECONDS).unwrap_err();
        within("seconds", MAXIMUM_SECONDS, 0.1, MAXIMUM_SECONDS).unwrap();
    }

    #[test]
    fn a_group_names_everyone_in_it() {
        let mut clients: Clients = serde_json::from_str(CLIENTS).unwrap();
        clients.first = 7;
        let named: Vec<_> = clients.identities().collect();
        assert_eq!(named.len(), 2);
        assert_eq!(named[1].client_id, "a-8");
        assert_eq!(named[1].certificate, PathBuf::from("8.pem"));
        assert_eq!(named[1].topic("t/{client}/{n}"), "t/a-8/8");
        assert_eq!(named[0].filters("f/{client}/{f}", 2), ["f/a-7/0", "f/a-7/1"]);
    }

    #[test]
    fn several_clients_need_several_names() {
        let clients: Clients =
            serde_json::from_str(r#"{"client_id":"a","certificate":"c","key":"k","count":2}"#).unwrap();
        clients.check("clients").unwrap_err();
    }
}
