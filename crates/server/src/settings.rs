//! What the data plane is told at its start.
//!
//! Every error names the field and the way out; an unknown field is an error, so that a misspelt
//! limit is never silently the default.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use motte_guard::network::NetworkSettings;
use motte_policy::IpNetwork;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{ServeError, ServeErrorKind};
use crate::evidence::Retention;
use crate::log::LogFormat;

/// From the accepted TCP connection to the end of the TLS handshake, and from there on to a whole
/// CONNECT. Ten seconds are twenty round trips of a slow cellular link.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Longest handshake deadline that can be set. Beyond it the deadline protects nothing.
const HANDSHAKE_DEADLINE_MAXIMUM: Duration = Duration::from_secs(60);
/// One batch of at most 64 KiB has to be accepted by the peer within that time, about 1 KiB/s. A
/// peer that stops reading, or reads a byte now and then, loses its connection instead of holding a
/// batch for ever.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(60);
/// Most runtime threads that can be asked for; more than any machine has cores for.
const THREADS_MAXIMUM: usize = 256;
/// Longest temporary ban that can be set: a day. What is to be banned for longer belongs on the list.
const BAN_DURATION_MAXIMUM: Duration = Duration::from_secs(86_400);
/// Addresses or networks that can be banned by the settings; more belong into the policy.
const BANNED_MAXIMUM: usize = 10_000;
/// Smallest size of an evidence file and of all closed ones, in bytes: a line has its place in it.
const EVIDENCE_BYTES_MINIMUM: u64 = 16 * 1024;
/// Largest size of an evidence file and of all closed ones, in bytes: a terabyte.
const EVIDENCE_BYTES_MAXIMUM: u64 = 1 << 40;

/// Everything the data plane needs to know before it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The trust domain of the fleet, such as `home`.
    pub fleet: String,
    /// Where to listen. Port 0 takes a free one, which `run/listener.json` then names.
    pub listener: SocketAddr,
    /// PEM file: the server's certificate and what leads to its root.
    pub server_certificate: PathBuf,
    /// PEM file: the server's key, readable by its owner alone.
    pub server_key: PathBuf,
    /// PEM file: the fleet's authority, the only trust anchor for clients.
    pub client_authority: PathBuf,
    /// Where snapshot, evidence and sockets live.
    pub state_directory: PathBuf,
    /// Runtime threads; 0 means one per core.
    pub threads: usize,
    /// Layer 0.
    pub network: NetworkSettings,
    /// Where metrics, health and readiness can be read; nowhere without it.
    pub metrics: Option<SocketAddr>,
    /// How lines of the log are written.
    pub log_format: LogFormat,
    /// How much evidence is kept.
    pub evidence: Retention,
    /// See [`HANDSHAKE_DEADLINE`].
    pub handshake_deadline: Duration,
    /// See [`WRITE_DEADLINE`].
    pub write_deadline: Duration,
}

impl Settings {
    /// Reads the settings from JSON text.
    ///
    /// # Errors
    /// Where a field is missing, unknown, of the wrong type or out of its range.
    pub fn parse(json: &str) -> Result<Self, ServeError> {
        let value: Value = serde_json::from_str(json).map_err(|error| {
            invalid(
                format!("the settings are not JSON: {error}"),
                "hand over one JSON object".to_owned(),
            )
        })?;
        let mut section = Section::new("", value)?;
        let fleet: String = section.required("fleet")?;
        if fleet.is_empty() {
            return Err(invalid(
                "the setting `fleet` is empty",
                "give the fleet's name, such as `home`",
            ));
        }
        let mut listener = Section::new("listener", section.required("listener")?)?;
        let address = parse_address("listener.address", &listener.required::<String>("address")?)?;
        let port: u16 = listener.required("port")?;
        listener.finish(&["address", "port"])?;
        let settings = Self {
            fleet,
            listener: SocketAddr::new(address, port),
            server_certificate: section.required("server_certificate")?,
            server_key: section.required("server_key")?,
            client_authority: section.required("client_authority")?,
            state_directory: section.required("state_directory")?,
            threads: section.ranged("threads", 0, 0..=THREADS_MAXIMUM)?,
            network: match section.optional("network")? {
                Some(value) => parse_network(value)?,
                None => NetworkSettings::default(),
            },
            metrics: match section.optional::<Option<Value>>("metrics")?.flatten() {
                Some(value) => Some(parse_metrics(value)?),
                None => None,
            },
            log_format: section.optional("log_format")?.unwrap_or_default(),
            evidence: match section.optional("evidence")? {
                Some(value) => parse_evidence(value)?,
                None => Retention::default(),
            },
            handshake_deadline: section.seconds(
                "handshake_deadline_seconds",
                HANDSHAKE_DEADLINE,
                HANDSHAKE_DEADLINE_MAXIMUM,
            )?,
            write_deadline: section.seconds(
                "write_deadline_seconds",
                WRITE_DEADLINE,
                Duration::from_secs(3_600),
            )?,
        };
        section.finish(&[
            "fleet",
            "listener",
            "server_certificate",
            "server_key",
            "client_authority",
            "state_directory",
            "threads",
            "network",
            "metrics",
            "log_format",
            "evidence",
            "handshake_deadline_seconds",
            "write_deadline_seconds",
        ])?;
        Ok(settings)
    }
}

fn parse_metrics(value: Value) -> Result<SocketAddr, ServeError> {
    let mut section = Section::new("metrics", value)?;
    let address = parse_address("metrics.address", &section.required::<String>("address")?)?;
    let port: u16 = section.required("port")?;
    let is_open: bool = section.optional("danger_beyond_loopback")?.unwrap_or(false);
    section.finish(&["address", "port", "danger_beyond_loopback"])?;
    if !address.is_loopback() && !is_open {
        return Err(invalid(
            format!("the setting `metrics.address` is {address}: whoever reaches it could read the metrics"),
            "use 127.0.0.1 or ::1; only danger_beyond_loopback = true allows another address",
        ));
    }
    Ok(SocketAddr::new(address, port))
}

fn parse_address(field: &str, text: &str) -> Result<IpAddr, ServeError> {
    text.parse().map_err(|_| {
        invalid(
            format!(
                "the setting `{field}` is `{}`, not an IP address",
                text.escape_debug()
            ),
            "give an address such as 127.0.0.1 or ::, not a host name",
        )
    })
}

fn parse_network(value: Value) -> Result<NetworkSettings, ServeError> {
    let default = NetworkSettings::default();
    let mut section = Section::new("network", value)?;
    let mut number = |field, default: u32| section.ranged(field, default, 1..=u32::MAX);
    let mut network = NetworkSettings {
        connections_per_address: number("connections_per_address", default.connections_per_address)?,
        handshakes_per_second: number("handshakes_per_second", default.handshakes_per_second)?,
        handshake_burst: number("handshake_burst", default.handshake_burst)?,
        maximum_connections: number("maximum_connections", default.maximum_connections)?,
        failures_to_ban: number("failures_to_ban", default.failures_to_ban)?,
        ..default
    };
    network.ban_duration =
        section.seconds("ban_seconds", NetworkSettings::BAN_DURATION, BAN_DURATION_MAXIMUM)?;
    network.banned = parse_banned(&section.optional::<Vec<String>>("banned")?.unwrap_or_default())?;
    section.finish(&[
        "connections_per_address",
        "handshakes_per_second",
        "handshake_burst",
        "maximum_connections",
        "failures_to_ban",
        "ban_seconds",
        "banned",
    ])?;
    Ok(network)
}

fn parse_evidence(value: Value) -> Result<Retention, ServeError> {
    let default = Retention::default();
    let range = EVIDENCE_BYTES_MINIMUM..=EVIDENCE_BYTES_MAXIMUM;
    let mut section = Section::new("evidence", value)?;
    let retention = Retention {
        segment_bytes: section.ranged("segment_bytes", default.segment_bytes, range.clone())?,
        kept_bytes: section.ranged("kept_bytes", default.kept_bytes, range)?,
    };
    section.finish(&["segment_bytes", "kept_bytes"])?;
    Ok(retention)
}

fn parse_banned(texts: &[String]) -> Result<Vec<IpNetwork>, ServeError> {
    if texts.len() > BANNED_MAXIMUM {
        return Err(invalid(
            format!("the setting `network.banned` has {} entries", texts.len()),
            format!("name at most {BANNED_MAXIMUM}, or larger networks"),
        ));
    }
    let parse = |(index, text): (usize, &String)| {
        text.parse().map_err(|_| {
            invalid(
                format!(
                    "the setting `network.banned[{index}]` is `{}`",
                    text.escape_debug()
                ),
                "give an address or a network such as 10.0.0.0/8",
            )
        })
    };
    texts.iter().enumerate().map(parse).collect()
}

fn invalid(message: impl Into<String>, hint: impl Into<String>) -> ServeError {
    ServeError::new(ServeErrorKind::Settings, message, hint)
}

/// One object of the settings; fields are taken out, what is left at the end is unknown.
struct Section {
    path: &'static str,
    fields: Map<String, Value>,
}

impl Section {
    fn new(path: &'static str, value: Value) -> Result<Self, ServeError> {
        match value {
            Value::Object(fields) => Ok(Self { path, fields }),
            _ if path.is_empty() => Err(invalid(
                "the settings are not an object",
                "hand over one JSON object",
            )),
            _ => Err(invalid(
                format!("the setting `{path}` is not an object"),
                "give its fields in braces",
            )),
        }
    }

    fn name(&self, field: &str) -> String {
        if self.path.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.path)
        }
    }

    fn optional<T: DeserializeOwned>(&mut self, field: &str) -> Result<Option<T>, ServeError> {
        let Some(value) = self.fields.remove(field) else {
            return Ok(None);
        };
        serde_json::from_value(value).map(Some).map_err(|error| {
            invalid(
                format!("the setting `{}` is not valid: {error}", self.name(field)),
                "mend that field",
            )
        })
    }

    fn required<T: DeserializeOwned>(&mut self, field: &str) -> Result<T, ServeError> {
        self.optional(field)?.ok_or_else(|| {
            invalid(
                format!("the setting `{}` is missing", self.name(field)),
                "add that field",
            )
        })
    }

    fn ranged<T>(&mut self, field: &str, default: T, range: RangeInclusive<T>) -> Result<T, ServeError>
    where
        T: DeserializeOwned + PartialOrd + std::fmt::Display,
    {
        let value = self.optional(field)?.unwrap_or(default);
        if !range.contains(&value) {
            return Err(invalid(
                format!("the setting `{}` is {value}", self.name(field)),
                format!("give a number from {} to {}", range.start(), range.end()),
            ));
        }
        Ok(value)
    }

    /// Seconds, possibly with a fraction; more than none and at most `highest`.
    fn seconds(&mut self, field: &str, default: Duration, highest: Duration) -> Result<Duration, ServeError> {
        let Some(seconds) = self.optional::<f64>(field)? else {
            return Ok(default);
        };
        match Duration::try_from_secs_f64(seconds) {
            Ok(duration) if !duration.is_zero() && duration <= highest => Ok(duration),
            _ => Err(invalid(
                format!("the setting `{}` is {seconds}", self.name(field)),
                format!("give seconds, more than 0 and at most {}", highest.as_secs()),
            )),
        }
    }

    fn finish(self, known: &[&str]) -> Result<(), ServeError> {
        match self.fields.keys().next() {
            None => Ok(()),
            Some(field) => Err(invalid(
                format!("the setting `{}` is not known", self.name(field).escape_debug()),
                format!("remove it or use one of: {}", known.join(", ")),
            )),
        }
    }
}

#[cfg(test)]
mod tests;
