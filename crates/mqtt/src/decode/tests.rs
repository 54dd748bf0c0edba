//! Every rule of the catalogue is broken here at least once, on the wire.

mod connect;
mod fixed_header;
mod publish;
mod rest;
mod wire;

use std::collections::BTreeSet;

use bytes::BytesMut;

use super::{Decoded, Decoder, Sender};
use crate::{DecodeError, Limits, ProtocolVersion, ReasonCode, rule};

/// One broken packet and what must be said about it.
struct Row {
    name: &'static str,
    sender: Sender,
    /// `None` before the CONNECT.
    version: Option<ProtocolVersion>,
    /// In the notation of [`wire::bytes`].
    packet: &'static str,
    reason: ReasonCode,
    rule: &'static str,
}

const V311: Option<ProtocolVersion> = Some(ProtocolVersion::V311);
const V5: Option<ProtocolVersion> = Some(ProtocolVersion::V5);

/// A row about what a client sent.
const fn client(
    version: Option<ProtocolVersion>,
    name: &'static str,
    packet: &'static str,
    reason: ReasonCode,
    rule: &'static str,
) -> Row {
    Row {
        name,
        sender: Sender::Client,
        version,
        packet,
        reason,
        rule,
    }
}

/// A row about what a server sent.
const fn server(
    version: Option<ProtocolVersion>,
    name: &'static str,
    packet: &'static str,
    reason: ReasonCode,
    rule: &'static str,
) -> Row {
    Row {
        name,
        sender: Sender::Server,
        version,
        packet,
        reason,
        rule,
    }
}

fn rows() -> impl Iterator<Item = &'static Row> {
    [fixed_header::ROWS, connect::ROWS, publish::ROWS, rest::ROWS]
        .into_iter()
        .flatten()
}

/// The bounds of the tests; small, so that passing one is short.
const LIMITS: Limits = Limits {
    packet_size: 200,
    user_properties: 2,
    topic_length: 20,
    topic_levels: 4,
    filters_per_packet: 2,
};

fn decode(row: &Row) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder::new(row.sender, LIMITS);
    if let Some(version) = row.version {
        decoder.set_version(version);
    }
    decoder.decode(&mut BytesMut::from(wire::bytes(row.packet).as_slice()))
}

#[test]
fn every_broken_packet_is_refused_by_its_rule() {
    for row in rows() {
        match decode(row) {
            Err(error) => {
                assert_eq!(
                    (error.rule, error.reason),
                    (row.rule, row.reason),
                    "{}: {error}",
                    row.name
                );
            }
            Ok(decoded) => panic!("{}: decoded as {decoded:?}", row.name),
        }
    }
}

#[test]
fn names_of_rows_are_unique() {
    let mut names = BTreeSet::new();
    for row in rows() {
        assert!(names.insert(row.name), "{} occurs twice", row.name);
    }
}

fn catalogue() -> impl Iterator<Item = &'static &'static rule::Rule> {
    let chapters = [
        rule::FIXED_HEADER,
        rule::STRINGS,
        rule::CONNECTING,
        rule::PUBLISHING,
        rule::ANSWERS,
        rule::PROPERTIES,
        rule::LIMITS,
    ];
    chapters.into_iter().flatten()
}

#[test]
fn no_rule_is_without_a_broken_packet() {
    // Two length bytes on the wire can not say such a length; the tests of `topic` have it.
    let elsewhere = [rule::TOPIC_OVERLONG.detail()];
    let seen: BTreeSet<_> = rows()
        .filter_map(|row| decode(row).err())
        .map(|error| error.detail)
        .collect();
    for broken in catalogue() {
        let detail = broken.detail();
        assert!(
            seen.contains(detail) || elsewhere.contains(&detail),
            "never broken: {detail}"
        );
    }
}

#[test]
fn no_two_rules_say_the_same() {
    let mut details = BTreeSet::new();
    for rule in catalogue() {
        assert!(details.insert(rule.detail()), "twice: {}", rule.detail());
    }
}

#[test]
fn a_rule_says_what_is_wrong_in_the_style_of_the_house() {
    for row in rows() {
        let error = decode(row).unwrap_err();
        assert!(!error.detail.ends_with('.'), "{}", error.detail);
        let known = ["MQTT-", "section ", "motte.limit."];
        assert!(
            known.iter().any(|start| error.rule.starts_with(start)),
            "{}",
            error.rule
        );
    }
}
