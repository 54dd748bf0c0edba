//! Every question about filters against plain enumeration of topics.
//!
//! Filters are all those of at most three levels over `{"", a, b, $s, +, #}`; topics are all those
//! of at most four levels over `{"", a, b, $s, f}`. The level `f` stands in no filter: it plays the
//! infinitely many levels that no policy names. One level more than the longest filter plays all
//! deeper topics. The oracle reads the OASIS text and knows nothing of normal forms.

use motte_policy::Filter;
use motte_policy::filter::{Counterexample, contains, intersects};

const FILTER_LEVELS: [&str; 5] = ["", "a", "b", "$s", "+"];
const TOPIC_LEVELS: [&str; 5] = ["", "a", "b", "$s", "f"];
const FILTER_DEPTH: usize = 3;
const TOPIC_DEPTH: usize = FILTER_DEPTH + 1;

/// All sequences of 1 to `depth` levels.
fn sequences(levels: &[&str], depth: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut last: Vec<String> = levels.iter().map(|level| (*level).to_owned()).collect();
    for _ in 0..depth {
        all.extend(last.clone());
        last = last
            .iter()
            .flat_map(|head| levels.iter().map(move |level| format!("{head}/{level}")))
            .collect();
    }
    all.retain(|text| !text.is_empty());
    all
}

fn filters(depth: usize) -> Vec<Filter> {
    let plain = sequences(&FILTER_LEVELS, depth);
    let heads = std::iter::once(None).chain(sequences(&FILTER_LEVELS, depth - 1).into_iter().map(Some));
    // The sequence of one empty level is no filter, but `/#` is one.
    let tails = heads.map(|head| head.map_or("#".to_owned(), |head| format!("{head}/#")));
    let all = plain.into_iter().chain(tails).chain(["/#".to_owned()]);
    all.map(|text| text.parse().unwrap()).collect()
}

fn topics() -> Vec<String> {
    sequences(&TOPIC_LEVELS, TOPIC_DEPTH)
}

/// OASIS MQTT 5.0, section 4.7, word by word.
fn oracle(filter: &str, topic: &str) -> bool {
    // 4.7.2: no match of a leading wildcard with a topic that begins with `$`.
    if topic.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#')) {
        return false;
    }
    let filter: Vec<&str> = filter.split('/').collect();
    let topic: Vec<&str> = topic.split('/').collect();
    levels_match(&filter, &topic)
}

fn levels_match(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        // 4.7.1.2: the parent and any number of child levels.
        (["#"], _) => true,
        // 4.7.1.3: exactly one level, an empty one, too.
        (["+", filter @ ..], [_, topic @ ..]) => levels_match(filter, topic),
        ([one, filter @ ..], [other, topic @ ..]) => one == other && levels_match(filter, topic),
        _ => filter.is_empty() && topic.is_empty(),
    }
}

/// A set of topics, one bit for each.
#[derive(Clone, PartialEq, Eq)]
struct Set(Vec<u64>);

impl Set {
    fn of(filter: &Filter, topics: &[String]) -> Self {
        let mut words = vec![0; topics.len().div_ceil(64)];
        for (index, topic) in topics.iter().enumerate() {
            if oracle(filter.as_str(), topic) {
                words[index / 64] |= 1 << (index % 64);
            }
        }
        Self(words)
    }

    fn empty(topics: &[String]) -> Self {
        Self(vec![0; topics.len().div_ceil(64)])
    }

    fn combine(&self, other: &Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self(
            self.0
                .iter()
                .zip(&other.0)
                .map(|(one, other)| with(*one, *other))
                .collect(),
        )
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

struct Universe {
    filters: Vec<Filter>,
    topics: Vec<String>,
    sets: Vec<Set>,
}

impl Universe {
    fn new(depth: usize) -> Self {
        let (filters, topics) = (filters(depth), topics());
        let sets = filters.iter().map(|filter| Set::of(filter, &topics)).collect();
        Self {
            filters,
            topics,
            sets,
        }
    }

    /// Compares one question, and looks at the counter-example.
    fn check(&self, grants: &[usize], denials: &[usize], filter: usize) {
        let pick = |indices: &[usize]| -> Vec<Filter> {
            indices.iter().map(|&index| self.filters[index].clone()).collect()
        };
        let unite = |indices: &[usize]| {
            indices.iter().fold(Set::empty(&self.topics), |set, &index| {
                set.combine(&self.sets[index], |a, b| a | b)
            })
        };
        let granted = unite(grants).combine(&unite(denials), |grant, denial| grant & !denial);
        let expected = self.sets[filter]
            .combine(&granted, |wanted, granted| wanted & !granted)
            .is_empty();
        let (grants, denials, filter) = (pick(grants), pick(denials), &self.filters[filter]);
        match contains(&grants, &denials, filter) {
            Ok(()) => assert!(expected, "{filter} in {grants:?} without {denials:?}"),
            Err(Counterexample { topic, denial }) => {
                assert!(!expected, "{filter} not in {grants:?} without {denials:?}");
                assert!(oracle(filter.as_str(), &topic), "{topic} is not in {filter}");
                assert!(motte_policy::filter::check_name(&topic).is_ok(), "{topic}");
                match denial {
                    Some(index) => assert!(oracle(denials[index].as_str(), &topic), "{topic} {denials:?}"),
                    None => {
                        assert!(
                            !grants.iter().any(|grant| oracle(grant.as_str(), &topic)),
                            "{topic}"
                        );
                        assert!(
                            !denials.iter().any(|denial| oracle(denial.as_str(), &topic)),
                            "{topic}"
                        );
                    }
                }
            }
        }
    }
}

/// Marsaglia's xorshift; the sample is the same in every run.
struct Sample(u64);

impl Sample {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    fn some(&mut self, most: usize, bound: usize) -> Vec<usize> {
        (0..self.below(most + 1)).map(|_| self.below(bound)).collect()
    }
}

#[test]
fn the_universe_is_complete() {
    let universe = Universe::new(FILTER_DEPTH);
    assert_eq!(universe.filters.len(), (5 + 25 + 125 - 1) + (1 + 5 + 25));
    assert_eq!(universe.topics.len(), 5 + 25 + 125 + 625 - 1);
}

#[test]
fn matches_agrees_with_the_standard() {
    let universe = Universe::new(FILTER_DEPTH);
    for filter in &universe.filters {
        for topic in &universe.topics {
            assert_eq!(
                filter.matches(topic),
                oracle(filter.as_str(), topic),
                "{filter} {topic}"
            );
        }
    }
}

#[test]
fn equal_filters_are_those_with_equal_topics() {
    let universe = Universe::new(FILTER_DEPTH);
    for (one, one_set) in universe.filters.iter().zip(&universe.sets) {
        for (other, other_set) in universe.filters.iter().zip(&universe.sets) {
            assert_eq!(one == other, one_set == other_set, "{one} {other}");
        }
    }
}

#[test]
fn intersections_hold_exactly_the_common_topics() {
    let universe = Universe::new(FILTER_DEPTH);
    for (one, one_set) in universe.filters.iter().zip(&universe.sets) {
        for (other, other_set) in universe.filters.iter().zip(&universe.sets) {
            let expected = one_set.combine(other_set, |one, other| one & other);
            match intersects(one, other) {
                None => assert!(expected.is_empty(), "{one} {other}"),
                Some(common) => {
                    assert!(!expected.is_empty(), "{one} {other} {common}");
                    // Its text says the same as its normal form.
                    assert_eq!(common.as_str().parse::<Filter>().unwrap(), common);
                    assert!(
                        Set::of(&common, &universe.topics) == expected,
                        "{one} {other} {common}"
                    );
                }
            }
        }
    }
}

#[test]
fn containment_in_one_grant_for_all_pairs() {
    let universe = Universe::new(FILTER_DEPTH);
    for filter in 0..universe.filters.len() {
        for grant in 0..universe.filters.len() {
            universe.check(&[grant], &[], filter);
        }
    }
}

#[test]
fn containment_in_two_grants_for_all_short_filters() {
    let universe = Universe::new(2);
    let count = universe.filters.len();
    for filter in 0..count {
        for first in 0..count {
            for second in first..count {
                universe.check(&[first, second], &[], filter);
            }
        }
    }
}

#[test]
fn containment_with_one_grant_and_one_denial_for_all_short_filters() {
    let universe = Universe::new(2);
    let count = universe.filters.len();
    for filter in 0..count {
        for grant in 0..count {
            for denial in 0..count {
                universe.check(&[grant], &[denial], filter);
            }
        }
    }
}

#[test]
fn containment_in_unions_with_denials_for_a_sample() {
    let universe = Universe::new(FILTER_DEPTH);
    let count = universe.filters.len();
    let mut sample = Sample(0x006d_6f74_7465_2121);
    for _ in 0..30_000 {
        let (grants, denials) = (sample.some(6, count), sample.some(2, count));
        universe.check(&grants, &denials, sample.below(count));
    }
}

#[test]
fn a_tail_is_contained_in_a_union_depth_by_depth() {
    // Random unions rarely hold a whole tail: take the members that cover one, then leave out each.
    let universe = Universe::new(FILTER_DEPTH);
    let index = |text: &str| {
        universe
            .filters
            .iter()
            .position(|filter| filter.as_str() == text)
            .unwrap()
    };
    let whole = ["a", "a/+", "a/+/#"].map(index);
    universe.check(&whole, &[], index("a/#"));
    for left_out in 0..whole.len() {
        let mut grants = whole.to_vec();
        grants.remove(left_out);
        universe.check(&grants, &[], index("a/#"));
    }
    let filter = |text: &str| text.parse::<Filter>().unwrap();
    let grants = |list: &[&str]| list.iter().map(|text| filter(text)).collect::<Vec<_>>();
    assert!(contains(&grants(&["a", "a/+", "a/+/#"]), &[], &filter("a/#")).is_ok());
    assert!(contains(&grants(&["a", "a/+", "a/+/+", "a/+/+/+/#"]), &[], &filter("a/#")).is_ok());
    assert_eq!(
        contains(&grants(&["a", "a/+/+", "a/+/+/+/#"]), &[], &filter("a/#"))
            .unwrap_err()
            .topic,
        "a/any"
    );
    assert_eq!(
        contains(&grants(&["+/#"]), &[], &filter("$s/#"))
            .unwrap_err()
            .topic,
        "$s"
    );
}
