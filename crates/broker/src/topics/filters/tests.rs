//! Matching, pruning, and the bound of a search.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Named {
    number: u32,
    mark: u8,
}

impl Entry for Named {
    type Key = u32;
    fn key(&self) -> u32 {
        self.number
    }
}

fn named(number: u32) -> Named {
    Named { number, mark: 0 }
}

fn index<'a>(filters: impl IntoIterator<Item = &'a str>) -> FilterIndex<Named> {
    let mut index = FilterIndex::default();
    for (number, filter) in (0..).zip(filters) {
        index.insert(filter, named(number));
    }
    index
}

fn found(index: &FilterIndex<Named>, topic: &str) -> Vec<u32> {
    let mut found = Vec::new();
    index.matching(topic, &mut found);
    let mut numbers: Vec<u32> = found.iter().map(|entry| entry.number).collect();
    numbers.sort_unstable();
    numbers
}

fn visited(index: &FilterIndex<Named>, topic: &str) -> usize {
    index.matching(topic, &mut Vec::new())
}

#[test]
fn wildcards_match_by_level() {
    let index = index(["a/b", "a/+", "a/#", "#", "+/b", "+", "a/b/#", "/+"]);
    assert_eq!(found(&index, "a/b"), [0, 1, 2, 3, 4, 6]);
    assert_eq!(found(&index, "a"), [2, 3, 5]);
    assert_eq!(found(&index, "a/"), [1, 2, 3]);
    assert_eq!(found(&index, "/b"), [3, 4, 7]);
    assert_eq!(found(&index, "a/b/c"), [2, 3, 6]);
}

#[test]
fn wildcards_at_the_first_level_leave_reserved_topics_out() {
    let index = index(["#", "+/x", "$SYS/#", "$SYS/x", "$SYS/+"]);
    assert_eq!(found(&index, "$SYS/x"), [2, 3, 4]);
    assert_eq!(found(&index, "$SYS"), [2]);
}

#[test]
fn a_second_entry_on_the_same_filter_replaces_the_first() {
    for filter in ["a/+", "a/b"] {
        let mut index = index([filter]);
        let marked = Named { number: 0, mark: 1 };
        index.insert(filter, marked);
        let mut found = Vec::new();
        index.matching("a/b", &mut found);
        assert_eq!(found, [marked]);
    }
}

#[test]
fn nothing_remains_of_removed_filters() {
    let filters = ["a/b", "a/+", "a/#", "#", "+/+/c", "x/y/z/+/w"];
    let mut index = index(filters);
    for (number, filter) in (0..).zip(filters) {
        index.remove(filter, number);
    }
    assert!(index.is_empty());
    assert_eq!(index.wildcard.longest(), 1);
}

#[test]
fn removing_what_is_not_there_changes_nothing() {
    let mut index = index(["a/+", "a/b"]);
    index.remove("a/+", 9);
    index.remove("b/+", 0);
    index.remove("a/b/c", 1);
    assert_eq!(found(&index, "a/b"), [0, 1]);
}

/// A service that has the telemetry of each site, and one that has all of it, whatever the fleet.
fn fleet(sites: u32, devices: u32) -> FilterIndex<Named> {
    let mut index = FilterIndex::default();
    index.insert("home/+/+/telemetry", named(0));
    for site in 0..sites {
        index.insert(&format!("home/{site}/+/telemetry"), named(1 + site));
        for device in 0..devices {
            index.insert(&format!("home/{site}/{device}/#"), named(1 + site));
        }
    }
    index
}

#[test]
fn a_search_takes_as_long_among_a_thousand_times_as_many_filters() {
    let small = fleet(10, 10);
    let large = fleet(100, 1000);
    for index in [&small, &large] {
        assert_eq!(visited(index, "home/7/7/telemetry"), 9);
        assert_eq!(found(index, "home/7/7/telemetry").len(), 3);
        assert_eq!(index.wildcard.longest(), 9);
    }
}

/// Every way to write `a/a/…/x` with `a` or `+`: a search for `a/a/…/y` enters all of them for nothing.
fn doubling(depth: u32) -> impl Iterator<Item = String> {
    (0..1_u32 << depth).map(move |bits| {
        let levels = (0..depth).map(|level| if bits >> level & 1 == 1 { "+/" } else { "a/" });
        levels.collect::<String>() + "+/x"
    })
}

#[test]
fn the_longest_search_is_known_before_a_filter_is_in() {
    let mut index = FilterIndex::default();
    let mut accepted = 0;
    let limit = 1024;
    for (number, filter) in (0..).zip(doubling(12)) {
        let predicted = index.search_with(&filter);
        if predicted <= limit {
            index.insert(&filter, named(number));
            accepted += 1;
            assert_eq!(index.wildcard.longest(), predicted);
        }
    }
    let topic = "a/".repeat(13) + "y";
    assert!(accepted > 100, "{accepted}");
    assert!(accepted < 1 << 12, "{accepted}");
    let steps = visited(&index, &topic);
    assert!(
        steps > limit / 2,
        "{steps} visited: the tree is not hostile enough to show anything"
    );
    assert!(steps <= limit, "{steps}");
    // Others are not concerned: the tree of the attacker is beside theirs.
    assert!(index.search_with("home/+/+/telemetry") <= limit);
}

#[test]
fn no_search_takes_longer_than_predicted() {
    // A simple generator: the same trees each time.
    let mut state = 1_u64;
    let mut next = |bound: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    for _ in 0..50 {
        let mut index = FilterIndex::default();
        let mut filters = Vec::new();
        for number in 0..60 {
            let depth = 1 + next(6);
            let mut filter: Vec<&str> = (0..depth)
                .map(|_| ["a", "b", "+", "+"][next(4) as usize])
                .collect();
            if next(4) == 0 {
                filter.push("#");
            }
            let filter = filter.join("/");
            let predicted = index.search_with(&filter);
            index.insert(&filter, named(number));
            if has_wildcard(&filter) {
                assert_eq!(index.wildcard.longest(), predicted, "{filter}");
            }
            filters.push(filter);
            if next(3) == 0 {
                let gone = next(filters.len() as u64) as usize;
                index.remove(&filters[gone], u32::try_from(gone).unwrap());
            }
            let topic: Vec<&str> = (0..1 + next(7))
                .map(|_| ["a", "b", "c"][next(3) as usize])
                .collect();
            assert!(visited(&index, &topic.join("/")) <= index.wildcard.longest());
        }
        for (number, filter) in (0..).zip(&filters) {
            index.remove(filter, number);
        }
        assert!(index.is_empty());
        assert_eq!(index.wildcard.longest(), 1);
    }
}
