//! Layer 6.

use std::time::Duration;

use motte_mqtt::{QoS, ReasonCode};
use motte_policy::RoleLimits;
use proptest::prelude::*;

use super::{
    Quotas, Rate, SUBSCRIBE_BURST, SUBSCRIBES_PER_SECOND, TokenBucket, check_connections, check_costs,
    check_retained, check_sessions, check_subscriptions,
};
use crate::testing::{device, service};
use crate::{Denial, GroupRequest, Layer, RetainRequest, SessionRequest, SubscribeRequest};

const SUBSCRIPTION: SubscribeRequest<'_> = SubscribeRequest {
    filter: "x",
    qos: QoS::AtMostOnce,
    existing: 0,
    is_new: true,
    search: 0,
    group: None,
};

const LIMITS: RoleLimits = RoleLimits {
    messages_per_second: 10,
    message_burst: 3,
    bytes_per_second: 100,
    byte_burst: 100,
    subscriptions: 2,
    retained_messages: 2,
    retained_bytes: 100,
    connections: 2,
    sessions: 2,
    ..RoleLimits::DEVICE
};

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn refusal(verdict: Result<(), Denial>) -> (String, ReasonCode) {
    let denial = verdict.unwrap_err();
    assert_eq!(denial.layer, Layer::Quota);
    (denial.rule.into_owned(), denial.reason)
}

fn too_fast(rule: &str) -> (String, ReasonCode) {
    (rule.to_owned(), ReasonCode::MessageRateTooHigh)
}

fn exceeded(rule: &str) -> (String, ReasonCode) {
    (rule.to_owned(), ReasonCode::QuotaExceeded)
}

#[test]
fn a_burst_passes_and_one_message_more_does_not() {
    let (mut quotas, who) = (Quotas::new(), device("a"));
    let mut take = |now| quotas.take_publish(&who, &LIMITS, 1, now);
    for _ in 0..3 {
        assert_eq!(take(milliseconds(0)), Ok(()));
    }
    assert_eq!(refusal(take(milliseconds(0))), too_fast("quota.messages"));
    assert_eq!(refusal(take(milliseconds(99))), too_fast("quota.messages"));
    assert_eq!(take(milliseconds(100)), Ok(()));
    assert_eq!(refusal(take(milliseconds(100))), too_fast("quota.messages"));
}

#[test]
fn bytes_are_a_budget_of_their_own_and_a_refusal_takes_nothing() {
    let (mut quotas, who) = (Quotas::new(), device("a"));
    let mut take = |size, now| quotas.take_publish(&who, &LIMITS, size, now);
    assert_eq!(refusal(take(101, milliseconds(0))), too_fast("quota.bytes"));
    assert_eq!(
        refusal(take(usize::MAX, milliseconds(0))),
        too_fast("quota.bytes")
    );
    assert_eq!(take(100, milliseconds(0)), Ok(()));
    assert_eq!(refusal(take(1, milliseconds(9))), too_fast("quota.bytes"));
    assert_eq!(take(1, milliseconds(10)), Ok(()));
    assert_eq!(take(0, milliseconds(10)), Ok(()));
    assert_eq!(refusal(take(0, milliseconds(10))), too_fast("quota.messages"));
}

#[test]
fn a_budget_belongs_to_the_identity_alone() {
    let mut quotas = Quotas::new();
    let now = milliseconds(0);
    for _ in 0..3 {
        quotas.take_publish(&device("a"), &LIMITS, 0, now).unwrap();
    }
    let attributes = std::collections::BTreeMap::from([("site".to_owned(), "other".to_owned())]);
    let twin = motte_policy::Identity::new(motte_policy::Kind::Device, "a", attributes).unwrap();
    assert!(quotas.take_publish(&twin, &LIMITS, 0, now).is_err());
    assert!(quotas.take_publish(&device("b"), &LIMITS, 0, now).is_ok());
    assert!(quotas.take_publish(&service("a"), &LIMITS, 0, now).is_ok());
}

#[test]
fn pruning_forgets_full_budgets_only() {
    let mut quotas = Quotas::new();
    for _ in 0..3 {
        quotas
            .take_publish(&device("a"), &LIMITS, 0, milliseconds(0))
            .unwrap();
    }
    quotas.prune(milliseconds(299));
    assert_eq!(quotas.len(), 1);
    assert!(
        quotas
            .take_publish(&device("a"), &LIMITS, 0, milliseconds(299))
            .is_ok()
    );
    quotas.prune(milliseconds(400));
    assert_eq!(quotas.len(), 0);
}

#[test]
fn a_full_table_refuses_strangers_and_keeps_what_it_knows() {
    let mut quotas = Quotas::with_capacity(2);
    let mut take = |id, at| quotas.take_publish(&device(id), &LIMITS, 0, milliseconds(at));
    for _ in 0..3 {
        take("a", 1000).unwrap();
    }
    take("b", 1000).unwrap();
    assert_eq!(refusal(take("c", 1000)), exceeded("quota.identities"));
    assert_eq!(refusal(take("a", 1000)), too_fast("quota.messages"));
    // A second later the budgets are full again, and so there is room.
    assert_eq!(take("c", 2000), Ok(()));
    assert_eq!(quotas.len(), 1);
}

#[test]
fn subscribing_has_a_rate() {
    let (mut quotas, who) = (Quotas::new(), device("a"));
    let mut take = |now| quotas.take_subscribe(&who, &LIMITS, now);
    for _ in 0..SUBSCRIBE_BURST {
        assert_eq!(take(milliseconds(0)), Ok(()));
    }
    assert_eq!(refusal(take(milliseconds(0))), exceeded("quota.subscribe-rate"));
    let one = milliseconds(1000 / u64::from(SUBSCRIBES_PER_SECOND));
    assert_eq!(
        refusal(take(one - milliseconds(1))),
        exceeded("quota.subscribe-rate")
    );
    assert_eq!(take(one), Ok(()));
}

#[test]
fn a_role_with_many_subscriptions_may_subscribe_to_all_of_them_twice() {
    let limits = RoleLimits {
        subscriptions: SUBSCRIBE_BURST,
        ..LIMITS
    };
    let (mut quotas, who) = (Quotas::new(), device("a"));
    for _ in 0..2 * SUBSCRIBE_BURST {
        assert_eq!(quotas.take_subscribe(&who, &limits, milliseconds(0)), Ok(()));
    }
    assert!(quotas.take_subscribe(&who, &limits, milliseconds(0)).is_err());
}

#[test]
fn connections_and_sessions_are_counted() {
    assert_eq!(check_connections(&LIMITS, 1), Ok(()));
    assert_eq!(
        refusal(check_connections(&LIMITS, 2)),
        exceeded("quota.connections")
    );
    let sessions = |sessions_held, resumes| {
        check_sessions(
            &LIMITS,
            SessionRequest {
                sessions_held,
                resumes,
            },
        )
    };
    assert_eq!(sessions(1, false), Ok(()));
    assert_eq!(refusal(sessions(2, false)), exceeded("quota.sessions"));
    assert_eq!(sessions(2, true), Ok(()));
}

#[test]
fn subscriptions_are_counted_unless_replaced() {
    let check = |existing, is_new| {
        let request = SubscribeRequest {
            existing,
            is_new,
            ..SUBSCRIPTION
        };
        check_subscriptions(&LIMITS, &request)
    };
    assert_eq!(check(1, true), Ok(()));
    assert_eq!(refusal(check(2, true)), exceeded("quota.subscriptions"));
    assert_eq!(check(2, false), Ok(()));
}

#[test]
fn groups_and_searches_are_bounded_unless_the_filter_is_there_already() {
    let joining = |members, held| SubscribeRequest {
        group: Some(GroupRequest { members, held }),
        ..SUBSCRIPTION
    };
    let searching = |search| SubscribeRequest {
        search,
        ..SUBSCRIPTION
    };
    for (at_the_bound, past_it, rule) in [
        (joining(63, 0), joining(64, 0), "quota.group-members"),
        (joining(0, 31), joining(0, 32), "quota.shared-subscriptions"),
        (searching(1024), searching(1025), "quota.search"),
    ] {
        assert_eq!(check_costs(&at_the_bound), Ok(()));
        assert_eq!(refusal(check_costs(&past_it)), exceeded(rule));
        let there_already = SubscribeRequest {
            is_new: false,
            ..past_it
        };
        assert_eq!(check_costs(&there_already), Ok(()));
    }
}

#[test]
fn retained_messages_are_bounded_by_number_and_by_bytes() {
    let check = |messages_held, bytes_held, payload_len, replaces| {
        check_retained(
            &LIMITS,
            RetainRequest {
                messages_held,
                bytes_held,
                payload_len,
                replaces,
            },
        )
    };
    assert_eq!(check(1, 0, 1, false), Ok(()));
    assert_eq!(
        refusal(check(2, 0, 1, false)),
        exceeded("quota.retained-messages")
    );
    assert_eq!(check(2, 0, 1, true), Ok(()));
    assert_eq!(check(1, 60, 40, false), Ok(()));
    assert_eq!(refusal(check(1, 60, 41, false)), exceeded("quota.retained-bytes"));
    assert_eq!(
        refusal(check(1, u64::MAX, usize::MAX, false)),
        exceeded("quota.retained-bytes")
    );
    // Removing is always allowed, even for one who holds too much since the policy changed.
    assert_eq!(check(9, 900, 0, false), Ok(()));
}

#[test]
fn a_clock_that_goes_back_gives_nothing_twice() {
    let rate = Rate {
        per_second: 1,
        burst: 1,
    };
    let mut bucket = TokenBucket::full(rate, milliseconds(5000));
    assert!(bucket.has(1, rate, milliseconds(5000)));
    bucket.take(1);
    assert!(!bucket.has(1, rate, milliseconds(0)));
    assert!(!bucket.has(1, rate, milliseconds(5999)));
    assert!(bucket.has(1, rate, milliseconds(6000)));
}

#[test]
fn extreme_rates_and_times_do_not_overflow() {
    let rate = Rate {
        per_second: u64::MAX,
        burst: u64::MAX,
    };
    let mut bucket = TokenBucket::full(rate, Duration::ZERO);
    assert!(bucket.has(u64::MAX, rate, Duration::MAX));
    bucket.take(u64::MAX);
    assert!(!bucket.has(1, rate, Duration::MAX));
    let mut bucket = TokenBucket::full(rate, Duration::ZERO);
    bucket.take(u64::MAX);
    assert!(bucket.has(u64::MAX, rate, Duration::MAX));
}

#[test]
fn a_new_rate_holds_at_once_and_pays_nothing_for_the_past() {
    let slow = Rate {
        per_second: 1,
        burst: 2,
    };
    let fast = Rate {
        per_second: 1000,
        burst: 1000,
    };
    let mut bucket = TokenBucket::full(slow, milliseconds(0));
    bucket.take(2);
    assert!(!bucket.has(2, fast, milliseconds(1000)));
    assert!(bucket.has(2, fast, milliseconds(1001)));
    let mut bucket = TokenBucket::full(fast, milliseconds(0));
    assert!(!bucket.has(3, slow, milliseconds(0)));
    assert!(bucket.has(2, slow, milliseconds(0)));
}

#[test]
fn a_rate_of_zero_never_comes_back() {
    let rate = Rate {
        per_second: 0,
        burst: 1,
    };
    let mut bucket = TokenBucket::full(rate, milliseconds(0));
    bucket.take(1);
    assert!(!bucket.has(1, rate, Duration::from_secs(1 << 40)));
    let never = Rate {
        per_second: 0,
        burst: 0,
    };
    assert!(!TokenBucket::full(never, milliseconds(0)).has(1, never, milliseconds(1)));
}

proptest! {
    /// Never more than rate × time + burst, however often and at whatever moments one asks; and what is
    /// refused was really not there, so that nothing is lost in rounding.
    #[test]
    fn a_bucket_gives_exactly_what_it_has(
        per_second in 0_u64..5_000,
        burst in 0_u64..2_000,
        steps in prop::collection::vec((0_u64..3_000_000_000, 0_u64..500), 1..200),
    ) {
        let rate = Rate { per_second, burst };
        let mut bucket = TokenBucket::full(rate, Duration::ZERO);
        let mut now = 0_u64;
        // The model counts in billionths of a token and never rounds.
        let (scale, full) = (1_000_000_000_u128, u128::from(burst) * 1_000_000_000);
        let mut model = full;
        let mut given = 0_u128;
        for (wait, count) in steps {
            now += wait;
            model = full.min(model + u128::from(wait) * u128::from(per_second));
            let passes = bucket.has(count, rate, Duration::from_nanos(now));
            prop_assert_eq!(passes, model >= u128::from(count) * scale);
            if passes {
                bucket.take(count);
                model -= u128::from(count) * scale;
                given += u128::from(count);
            }
            prop_assert!(given * scale <= u128::from(now) * u128::from(per_second) + full);
            prop_assert_eq!(bucket.is_full(Duration::from_nanos(now)), model == full);
        }
    }

    /// Forgetting a full budget changes no verdict.
    #[test]
    fn pruning_changes_no_verdict(steps in prop::collection::vec((0_u64..400, 0_usize..60, any::<bool>()), 1..100)) {
        let (mut pruned, mut kept) = (Quotas::new(), Quotas::new());
        let mut now = 0;
        for (wait, size, prune) in steps {
            now += wait;
            if prune {
                pruned.prune(milliseconds(now));
            }
            let left = pruned.take_publish(&device("a"), &LIMITS, size, milliseconds(now));
            let right = kept.take_publish(&device("a"), &LIMITS, size, milliseconds(now));
            prop_assert_eq!(left, right);
        }
    }
}
