//! Layer 0.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use motte_mqtt::ReasonCode;
use proptest::prelude::*;

use super::{AddressBlock, NetworkGate, NetworkSettings};
use crate::denials::INDIVIDUAL_RECORDS;
use crate::testing::at;
use crate::{Denial, Layer};

fn settings() -> NetworkSettings {
    NetworkSettings {
        connections_per_address: 2,
        handshakes_per_second: 1,
        handshake_burst: 3,
        total_handshakes_per_second: 1000,
        total_handshake_burst: 1000,
        maximum_connections: 4,
        failures_to_ban: 3,
        failure_window: Duration::from_secs(10),
        ban_duration: Duration::from_secs(20),
        remembered_addresses: 2,
        banned: Vec::new(),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn refusal(verdict: Result<(), Denial>) -> (String, ReasonCode) {
    let denial = verdict.unwrap_err();
    assert_eq!(denial.layer, Layer::Network);
    (denial.rule.into_owned(), denial.reason)
}

fn named(rule: &str, reason: ReasonCode) -> (String, ReasonCode) {
    (rule.to_owned(), reason)
}

#[test]
fn connections_of_one_address_are_counted_until_they_are_released() {
    let mut gate = NetworkGate::new(settings());
    assert_eq!(gate.accept(v4(1), at(0)), Ok(()));
    assert_eq!(gate.accept(v4(1), at(0)), Ok(()));
    assert_eq!(
        refusal(gate.accept(v4(1), at(0))),
        named("network.connections-per-address", ReasonCode::QuotaExceeded)
    );
    assert_eq!(gate.accept(v4(2), at(0)), Ok(()));
    gate.release(v4(1));
    assert_eq!(gate.connections(), 2);
    assert_eq!(gate.accept(v4(1), at(0)), Ok(()));
    assert_eq!(gate.counters().refused(Layer::Network), 1);
}

#[test]
fn releasing_what_was_never_accepted_changes_nothing() {
    let mut gate = NetworkGate::new(settings());
    gate.accept(v4(1), at(0)).unwrap();
    gate.release(v4(2));
    gate.release(v4(1));
    gate.release(v4(1));
    assert_eq!(gate.connections(), 0);
    for last in 1..=4 {
        assert_eq!(gate.accept(v4(last), at(10)), Ok(()));
    }
}

#[test]
fn all_addresses_together_have_a_maximum() {
    let mut gate = NetworkGate::new(settings());
    for last in 1..=4 {
        assert_eq!(gate.accept(v4(last), at(0)), Ok(()));
    }
    let full = named("network.connections", ReasonCode::ServerBusy);
    assert_eq!(refusal(gate.accept(v4(5), at(0))), full);
    gate.release(v4(4));
    assert_eq!(gate.accept(v4(5), at(0)), Ok(()));
}

#[test]
fn handshakes_of_one_address_have_a_rate_that_reconnecting_does_not_reset() {
    let mut gate = NetworkGate::new(settings());
    for _ in 0..3 {
        gate.accept(v4(1), at(0)).unwrap();
        gate.release(v4(1));
    }
    let too_fast = named("network.handshake-rate", ReasonCode::ConnectionRateExceeded);
    assert_eq!(refusal(gate.accept(v4(1), at(0))), too_fast);
    assert_eq!(gate.accept(v4(2), at(0)), Ok(()));
    assert_eq!(gate.accept(v4(1), at(1)), Ok(()));
    assert_eq!(refusal(gate.accept(v4(1), at(1))), too_fast);
}

#[test]
fn zero_means_nobody() {
    let mut gate = NetworkGate::new(NetworkSettings {
        connections_per_address: 0,
        ..settings()
    });
    assert!(gate.accept(v4(1), at(0)).is_err());
    let mut gate = NetworkGate::new(NetworkSettings {
        handshake_burst: 0,
        ..settings()
    });
    assert!(gate.accept(v4(1), at(0)).is_err());
    assert!(gate.peers.is_empty());
}

#[test]
fn an_ipv6_network_is_one_address() {
    let mut gate = NetworkGate::new(settings());
    gate.accept(ip("2001:db8:0:1::1"), at(0)).unwrap();
    gate.accept(ip("2001:db8:0:1:ffff:ffff:ffff:ffff"), at(0))
        .unwrap();
    assert!(gate.accept(ip("2001:db8:0:1:2::3"), at(0)).is_err());
    assert!(gate.accept(ip("2001:db8:0:2::1"), at(0)).is_ok());
    gate.release(ip("2001:db8:0:1::77"));
    assert!(gate.accept(ip("2001:db8:0:1:2::3"), at(0)).is_ok());
}

#[test]
fn a_mapped_ipv4_address_is_that_address_and_not_all_of_them() {
    let mut gate = NetworkGate::new(settings());
    gate.accept(ip("::ffff:192.0.2.1"), at(0)).unwrap();
    gate.accept(v4(1), at(0)).unwrap();
    assert!(gate.accept(ip("::ffff:192.0.2.1"), at(0)).is_err());
    assert!(gate.accept(ip("::ffff:192.0.2.2"), at(0)).is_ok());
    assert_eq!(AddressBlock::of(ip("::ffff:192.0.2.1")).to_string(), "192.0.2.1");
    assert_eq!(AddressBlock::of(ip("2001:db8::1")).to_string(), "2001:db8::/64");
}

#[test]
fn bans_come_from_settings_and_policy() {
    let banned = vec!["10.0.0.0/8".parse().unwrap()];
    let mut gate = NetworkGate::new(NetworkSettings { banned, ..settings() });
    let out = named("network.banned", ReasonCode::Banned);
    assert_eq!(refusal(gate.accept(ip("10.1.2.3"), at(0))), out);
    assert_eq!(refusal(gate.accept(ip("::ffff:10.1.2.3"), at(0))), out);
    assert_eq!(gate.accept(ip("11.0.0.0"), at(0)), Ok(()));
    gate.set_banned(vec![
        "2001:db8::/32".parse().unwrap(),
        "11.0.0.0".parse().unwrap(),
    ]);
    assert_eq!(refusal(gate.accept(ip("11.0.0.0"), at(0))), out);
    assert_eq!(refusal(gate.accept(ip("2001:db8:ffff::1"), at(0))), out);
    assert!(gate.is_banned(ip("11.0.0.0"), at(0)));
    gate.set_banned(Vec::new());
    assert_eq!(gate.accept(ip("11.0.0.0"), at(0)), Ok(()));
    assert_eq!(refusal(gate.accept(ip("10.1.2.3"), at(0))), out);
}

#[test]
fn failures_ban_for_a_time() {
    let mut gate = NetworkGate::new(settings());
    assert!(!gate.penalize(v4(1), at(0)));
    assert!(!gate.penalize(v4(1), at(0)));
    assert_eq!(gate.accept(v4(1), at(0)), Ok(()));
    assert!(gate.penalize(v4(1), at(9)));
    assert!(gate.is_banned(v4(1), at(9)));
    let out = named("network.failures", ReasonCode::Banned);
    assert_eq!(refusal(gate.accept(v4(1), at(28))), out);
    assert_eq!(gate.accept(v4(2), at(28)), Ok(()));
    assert_eq!(gate.accept(v4(1), at(29)), Ok(()));
    assert!(!gate.is_banned(v4(1), at(29)));
}

#[test]
fn failures_are_forgotten_after_their_window() {
    let mut gate = NetworkGate::new(settings());
    assert!(!gate.penalize(v4(1), at(0)));
    assert!(!gate.penalize(v4(1), at(0)));
    assert!(!gate.penalize(v4(1), at(10)));
    assert!(!gate.penalize(v4(1), at(10)));
    assert!(gate.penalize(v4(1), at(10)));
}

#[test]
fn a_ban_survives_the_end_of_the_connection_and_pruning() {
    let mut gate = NetworkGate::new(settings());
    gate.accept(v4(1), at(0)).unwrap();
    for _ in 0..3 {
        gate.penalize(v4(1), at(0));
    }
    gate.release(v4(1));
    gate.prune(at(19));
    assert!(gate.accept(v4(1), at(19)).is_err());
    gate.prune(at(20));
    assert!(gate.peers.is_empty());
}

#[test]
fn an_attacker_with_many_addresses_loses_his_own_memory_only() {
    let mut gate = NetworkGate::new(settings());
    for last in [1, 2] {
        for _ in 0..3 {
            gate.penalize(v4(last), at(5));
        }
    }
    for last in 10..200 {
        for _ in 0..3 {
            assert!(!gate.penalize(v4(last), at(5)), "no room to remember {last}");
        }
        gate.accept(v4(last), at(5)).unwrap();
        gate.release(v4(last));
        assert!(gate.peers.len() <= 2);
    }
    assert!(gate.is_banned(v4(1), at(5)));
    assert!(gate.is_banned(v4(2), at(5)));
    // Honest newcomers still get in, and once the bans are over there is room again.
    assert_eq!(gate.accept(v4(201), at(5)), Ok(()));
    assert!(!gate.penalize(v4(202), at(30)));
    assert!(!gate.penalize(v4(202), at(30)));
    assert!(gate.penalize(v4(202), at(30)));
}

#[test]
fn denials_of_one_address_are_aggregated() {
    let mut gate = NetworkGate::new(NetworkSettings {
        handshake_burst: 1,
        ..settings()
    });
    gate.accept(v4(1), at(0)).unwrap();
    let denial = gate.accept(v4(1), at(0)).unwrap_err();
    for _ in 0..INDIVIDUAL_RECORDS {
        assert_eq!(gate.denied(v4(1), &denial, at(0)).record, Some(1));
    }
    for _ in 0..9 {
        assert_eq!(gate.denied(ip("::ffff:192.0.2.1"), &denial, at(0)).record, None);
    }
    assert!(gate.overdue_denials(at(59)).is_empty());
    let overdue = gate.overdue_denials(at(60));
    assert_eq!(overdue.iter().map(|denial| denial.count).collect::<Vec<_>>(), [9]);
    assert_eq!(
        overdue[0].subject,
        crate::Subject::Address(AddressBlock::of(v4(1)))
    );
    let _ = gate.denied(v4(1), &denial, at(61));
    assert_eq!(gate.remaining_denials(at(61)).len(), 1);
}

proptest! {
    /// Whatever comes in whatever order: counts are exact and the table is bounded.
    #[test]
    fn counts_are_exact_and_memory_is_bounded(
        steps in prop::collection::vec((0_u64..3, 0_u8..12, 0_u8..5), 1..400),
    ) {
        let settings = NetworkSettings { handshakes_per_second: 1000, handshake_burst: 1000, ..settings() };
        let mut gate = NetworkGate::new(settings.clone());
        let mut open: HashMap<u8, u32> = HashMap::new();
        let mut now = 0;
        for (wait, last, action) in steps {
            now += wait;
            match action {
                0 | 1 => {
                    let verdict = gate.accept(v4(last), at(now));
                    let own = open.entry(last).or_default();
                    if verdict.is_ok() {
                        *own += 1;
                        prop_assert!(*own <= settings.connections_per_address);
                    } else if !gate.is_banned(v4(last), at(now)) {
                        let all: u32 = open.values().sum();
                        let at_limit = open[&last] == settings.connections_per_address
                            || all == settings.maximum_connections;
                        prop_assert!(at_limit);
                    }
                }
                2 => {
                    gate.release(v4(last));
                    let own = open.entry(last).or_default();
                    *own = own.saturating_sub(1);
                }
                3 => {
                    gate.penalize(v4(last), at(now));
                }
                _ => gate.prune(at(now)),
            }
            let all: u32 = open.values().sum();
            prop_assert_eq!(gate.connections(), all);
            prop_assert!(all <= settings.maximum_connections);
            let connected = gate.peers.values().filter(|peer| peer.connections > 0).count();
            prop_assert_eq!(gate.connected_peers, connected);
            prop_assert!(gate.peers.len() - connected <= settings.remembered_addresses);
        }
    }
}

#[test]
fn handshakes_of_all_addresses_together_are_bounded() {
    let mut gate = NetworkGate::new(NetworkSettings {
        handshake_burst: 1,
        total_handshakes_per_second: 1,
        total_handshake_burst: 2,
        maximum_connections: 100,
        ..settings()
    });
    let too_many = named("network.handshake-rate", ReasonCode::ConnectionRateExceeded);
    assert_eq!(gate.accept(v4(1), at(0)), Ok(()));
    assert_eq!(gate.accept(v4(2), at(0)), Ok(()));
    assert_eq!(refusal(gate.accept(v4(3), at(0))), too_many);
    assert_eq!(gate.accept(v4(3), at(1)), Ok(()));
    assert_eq!(refusal(gate.accept(v4(4), at(1))), too_many);
}

#[test]
fn an_address_over_its_own_rate_takes_nothing_from_the_others() {
    let mut gate = NetworkGate::new(NetworkSettings {
        connections_per_address: 100,
        handshake_burst: 1,
        total_handshake_burst: 2,
        total_handshakes_per_second: 1,
        maximum_connections: 100,
        ..settings()
    });
    assert_eq!(gate.accept(v4(1), at(0)), Ok(()));
    for _ in 0..50 {
        assert!(gate.accept(v4(1), at(0)).is_err());
    }
    assert_eq!(gate.accept(v4(2), at(0)), Ok(()));
}
