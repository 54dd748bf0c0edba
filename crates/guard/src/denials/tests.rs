//! Aggregation and strikes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use motte_mqtt::ReasonCode;
use proptest::prelude::*;

use super::{
    AGGREGATION_WINDOW, Denials, FURTHER_RULES, INDIVIDUAL_RECORDS, OverdueDenial, RULES_PER_SUBJECT, Strike,
    Subject,
};
use crate::network::AddressBlock;
use crate::{Denial, Layer};

const WINDOW: Duration = Duration::from_secs(10);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn denial(layer: Layer, rule: &str) -> Denial {
    Denial {
        layer,
        rule: Cow::Owned(rule.to_owned()),
        reason: ReasonCode::NotAuthorized,
        detail: String::new(),
    }
}

fn subject(number: &u32) -> Subject {
    Subject::Address(AddressBlock::of(std::net::Ipv4Addr::from(*number).into()))
}

fn logged(strike: Strike) -> Option<u64> {
    strike.record
}

#[test]
fn the_first_are_logged_at_once_and_the_rest_as_one() {
    let mut denials = Denials::new(u32::MAX, WINDOW);
    let refused = denial(Layer::Authorization, "x");
    let end = AGGREGATION_WINDOW.as_secs();
    let individual = u64::from(INDIVIDUAL_RECORDS);
    for second in 0..individual {
        assert_eq!(logged(denials.note(&1, &refused, seconds(second))), Some(1));
    }
    for second in individual..end {
        assert_eq!(logged(denials.note(&1, &refused, seconds(second))), None);
    }
    let counted = end - individual + 1;
    assert_eq!(logged(denials.note(&1, &refused, seconds(end))), Some(counted));
    // It goes on: in counts, not one by one again.
    assert_eq!(logged(denials.note(&1, &refused, seconds(end + 1))), None);
}

#[test]
fn one_that_comes_now_and_then_is_logged_each_time() {
    let mut denials = Denials::new(u32::MAX, WINDOW);
    let refused = denial(Layer::Authorization, "x");
    for minute in 0..100 {
        assert_eq!(
            logged(denials.note(&1, &refused, AGGREGATION_WINDOW * minute)),
            Some(1)
        );
    }
}

/// Uses up what is logged one by one.
fn exhaust(denials: &mut Denials<u32>, who: u32, refused: &Denial, now: Duration) {
    for _ in 0..INDIVIDUAL_RECORDS {
        assert_eq!(denials.count(&who, refused, now), Some(1));
    }
}

#[test]
fn other_subjects_layers_and_rules_are_told_apart() {
    let mut denials = Denials::new(u32::MAX, WINDOW);
    let now = seconds(0);
    exhaust(&mut denials, 1, &denial(Layer::Authorization, "x"), now);
    assert_eq!(
        logged(denials.note(&2, &denial(Layer::Authorization, "x"), now)),
        Some(1)
    );
    assert_eq!(
        logged(denials.note(&1, &denial(Layer::Protocol, "x"), now)),
        Some(1)
    );
    assert_eq!(
        logged(denials.note(&1, &denial(Layer::Authorization, "y"), now)),
        Some(1)
    );
    assert_eq!(
        logged(denials.note(&1, &denial(Layer::Authorization, "x"), now)),
        None
    );
}

#[test]
fn counts_come_out_when_their_window_is_over() {
    let mut denials = Denials::new(u32::MAX, WINDOW);
    let refused = denial(Layer::Quota, "x");
    exhaust(&mut denials, 1, &refused, seconds(0));
    for _ in 0..4 {
        let _ = denials.note(&1, &refused, seconds(0));
    }
    let before = AGGREGATION_WINDOW - Duration::from_nanos(1);
    assert_eq!(denials.take_overdue(subject, before, false), []);
    let expected = OverdueDenial {
        subject: subject(&1),
        layer: Layer::Quota,
        rule: Cow::Borrowed("x"),
        count: 4,
    };
    assert_eq!(
        denials.take_overdue(subject, AGGREGATION_WINDOW, false),
        [expected]
    );
    assert_eq!(denials.take_overdue(subject, AGGREGATION_WINDOW, false), []);
    // It goes on: counted, and not logged as if it were new.
    assert_eq!(logged(denials.note(&1, &refused, AGGREGATION_WINDOW)), None);
    assert_eq!(denials.take_overdue(subject, AGGREGATION_WINDOW, true).len(), 1);
}

#[test]
fn a_quiet_subject_is_forgotten_and_is_new_afterwards() {
    let mut denials = Denials::new(u32::MAX, WINDOW);
    let refused = denial(Layer::Quota, "x");
    let _ = denials.note(&1, &refused, seconds(0));
    let later = AGGREGATION_WINDOW;
    assert_eq!(denials.take_overdue(subject, later, false), []);
    denials.prune(later);
    assert!(denials.subjects.is_empty());
    assert_eq!(logged(denials.note(&1, &refused, later)), Some(1));
}

#[test]
fn pruning_never_loses_a_count() {
    let mut denials = Denials::new(u32::MAX, WINDOW);
    let refused = denial(Layer::Quota, "x");
    exhaust(&mut denials, 1, &refused, seconds(0));
    let _ = denials.note(&1, &refused, seconds(0));
    denials.prune(seconds(1_000_000));
    let overdue = denials.take_overdue(subject, seconds(1_000_000), false);
    assert_eq!(overdue.iter().map(|denial| denial.count).sum::<u64>(), 1);
}

#[test]
fn the_last_allowed_strike_disconnects() {
    let mut denials = Denials::new(3, WINDOW);
    let refused = denial(Layer::Authorization, "x");
    assert!(!denials.note(&1, &refused, seconds(0)).disconnect);
    assert!(!denials.note(&1, &refused, seconds(0)).disconnect);
    assert!(!denials.note(&2, &refused, seconds(0)).disconnect);
    assert!(denials.note(&1, &refused, seconds(9)).disconnect);
    // Coming back within the window does not help.
    assert!(denials.note(&1, &refused, seconds(9)).disconnect);
    // A new window begins with the first denial after the old one.
    assert!(!denials.note(&1, &refused, seconds(10)).disconnect);
}

#[test]
fn different_rules_are_strikes_of_one_subject() {
    let mut denials = Denials::new(3, WINDOW);
    assert!(
        !denials
            .note(&1, &denial(Layer::Authorization, "x"), seconds(0))
            .disconnect
    );
    assert!(
        !denials
            .note(&1, &denial(Layer::Quota, "y"), seconds(0))
            .disconnect
    );
    assert!(
        denials
            .note(&1, &denial(Layer::Protocol, "z"), seconds(0))
            .disconnect
    );
}

#[test]
fn counting_for_the_log_is_no_strike() {
    let mut denials = Denials::new(2, WINDOW);
    let refused = denial(Layer::Authorization, "x");
    for _ in 0..10 {
        let _ = denials.count(&1, &refused, seconds(0));
    }
    assert!(!denials.note(&1, &refused, seconds(0)).disconnect);
}

#[test]
fn rules_of_one_subject_are_bounded() {
    let mut denials = Denials::new(u32::MAX, WINDOW);
    let records: Vec<_> = (0..10_000)
        .filter_map(|rule| {
            let layer = if rule % 2 == 0 {
                Layer::Authorization
            } else {
                Layer::Quota
            };
            logged(denials.note(&1, &denial(layer, &format!("rule {rule}")), seconds(0)))
        })
        .collect();
    // Each rule that has a place is logged, then the first of the shared place of each of the two layers.
    let recorded = RULES_PER_SUBJECT + 2 * INDIVIDUAL_RECORDS as usize;
    assert_eq!(records.len(), recorded);
    let overdue = denials.take_overdue(subject, AGGREGATION_WINDOW, false);
    assert_eq!(overdue.len(), 2);
    assert!(overdue.iter().all(|denial| denial.rule == FURTHER_RULES));
    let counted: u64 = overdue.iter().map(|denial| denial.count).sum();
    assert_eq!(counted + recorded as u64, 10_000);
}

#[test]
fn strangers_cannot_push_others_out_of_a_full_table() {
    let mut denials = Denials::with_capacity(2, 3, WINDOW);
    let refused = denial(Layer::Tls, "x");
    for number in [1, 2] {
        exhaust(&mut denials, number, &refused, seconds(5));
    }
    for number in 3..100 {
        let strike = denials.note(&number, &refused, seconds(5));
        let record = (number < 3 + INDIVIDUAL_RECORDS).then_some(1);
        let disconnect = false;
        assert_eq!(strike, Strike { record, disconnect });
    }
    assert_eq!(denials.subjects.len(), 2);
    // Those who had a place still have their own counts.
    assert_eq!(logged(denials.note(&1, &refused, seconds(5))), None);
    let overdue = denials.take_overdue(subject, seconds(5) + AGGREGATION_WINDOW, false);
    let count_of = |wanted: &Subject| {
        overdue
            .iter()
            .find(|denial| denial.subject == *wanted)
            .map(|denial| denial.count)
    };
    assert_eq!(count_of(&subject(&1)), Some(1));
    assert_eq!(
        count_of(&Subject::Others),
        Some(97 - u64::from(INDIVIDUAL_RECORDS))
    );
    // When the old ones have nothing left to say, there is room again.
    let much_later = seconds(1000);
    let _ = denials.take_overdue(subject, much_later, false);
    let _ = denials.note(&200, &refused, much_later);
    assert!(denials.subjects.contains_key(&200));
}

proptest! {
    /// Every denial ends up in exactly one record, whoever, whatever and whenever.
    #[test]
    fn no_count_is_lost(
        steps in prop::collection::vec((0_u64..30, 0_u32..6, 0_usize..40, 0_u8..8), 1..300),
    ) {
        let mut denials = Denials::with_capacity(4, 5, WINDOW);
        let mut now = 0;
        let mut sent: HashMap<Layer, u64> = HashMap::new();
        let mut told: HashMap<Layer, u64> = HashMap::new();
        for (wait, who, rule, chore) in steps {
            now += wait;
            let layer = Layer::ALL[rule % Layer::ALL.len()];
            let refused = denial(layer, &format!("rule {rule}"));
            *sent.entry(layer).or_default() += 1;
            let record = if chore == 7 {
                denials.count(&who, &refused, seconds(now))
            } else {
                denials.note(&who, &refused, seconds(now)).record
            };
            *told.entry(layer).or_default() += record.unwrap_or(0);
            if chore == 0 {
                denials.prune(seconds(now));
            }
            if chore == 1 {
                for overdue in denials.take_overdue(subject, seconds(now), false) {
                    prop_assert!(overdue.count > 0);
                    *told.entry(overdue.layer).or_default() += overdue.count;
                }
            }
            prop_assert!(denials.subjects.len() <= 4);
        }
        for overdue in denials.take_overdue(subject, seconds(now), true) {
            *told.entry(overdue.layer).or_default() += overdue.count;
        }
        told.retain(|_, count| *count > 0);
        prop_assert_eq!(sent, told);
    }
}
