//! The analysis against a world that is small enough to try everything: all identities, all pairs of
//! them, all topics. The world knows nothing of filters as sets; it matches text level by level.

mod named;
mod world;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use world::{Rule, TestRole, World};

fn level() -> impl Strategy<Value = &'static str> {
    select(vec![
        "+", "+", "{device}", "{device}", "{site}", "{site}", "a", "n", "", "$s",
    ])
}

fn pattern() -> impl Strategy<Value = String> {
    (prop::collection::vec(level(), 0..=2), any::<bool>()).prop_filter_map(
        "no topic",
        |(mut levels, tail)| {
            if tail {
                levels.push("#");
            }
            let text = levels.join("/");
            text.parse::<Pattern>().is_ok().then_some(text)
        },
    )
}

fn role(number: usize) -> impl Strategy<Value = TestRole> {
    let id = select(vec![None, None, None, Some("a")]);
    let site = select(vec![None, None, Some("n"), Some("a")]);
    let grants = || prop::collection::vec((pattern(), any::<bool>(), any::<bool>()), 0..3);
    (
        id,
        site,
        grants(),
        prop::collection::vec(pattern(), 0..3),
        prop::collection::vec((pattern(), 0..3_u8), 0..2),
    )
        .prop_map(move |(id, site, publish, subscribe, deny)| TestRole {
            name: format!("role-{number}"),
            id,
            site,
            publish: publish
                .into_iter()
                .map(|(topic, retain, will)| Rule { topic, retain, will })
                .collect(),
            subscribe,
            deny: deny
                .into_iter()
                .map(|(topic, actions)| (topic, actions != 1, actions != 0))
                .collect(),
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Sound and complete: it says that a pair of roles leaks exactly if the small world has a leak, and
    /// every leak of the world is within a condition that it tells.
    #[test]
    fn the_small_world_agrees((one, two) in (role(1), role(2))) {
        let world = World::new(vec![one, two]);
        let radius = Radius::analyse(world.document().as_bytes()).unwrap();
        for question in [Question::Observe, Question::Influence, Question::InfluenceRetained,
                         Question::InfluenceWill, Question::Impersonate] {
            for subject in 0..2 {
                for object in 0..2 {
                    let findings = radius.findings(question, subject, object);
                    let leaks = world.leaks(question, subject, object);
                    prop_assert_eq!(
                        findings.is_empty(), leaks.is_empty(),
                        "{:?} {} -> {}: {:?}, the world has {:?}", question, subject, object, findings, leaks
                    );
                    for (left, right, topic) in &leaks {
                        prop_assert!(
                            findings.iter().any(|finding| world.holds(finding, left, right)),
                            "{:?}: {:?} and {:?} share {:?}, told was {:?}", question, left, right, topic, findings
                        );
                    }
                    if !world.has_denials() {
                        // And the conditions are no wider than the leaks.
                        for (left, right) in world.pairs(subject, object) {
                            let told = findings.iter().any(|finding| world.holds(finding, &left, &right));
                            let leaks = leaks.iter().any(|(one, other, _)| *one == left && *other == right);
                            prop_assert!(!told || leaks, "{:?}: {:?} and {:?} do not leak", question, left, right);
                        }
                    }
                    for finding in &findings {
                        let witness = radius.witness(question, finding).expect("each finding has a witness");
                        let hop = &witness.hops[0];
                        prop_assert!(world.plays(question, subject, object, &hop.example), "{:?}", hop);
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Numbers: each identity of a fleet reaches as many others as the small world has leaks for it.
    #[test]
    fn a_fleet_is_counted_as_the_small_world_counts((one, two) in (role(1), role(2)), fleet in world::fleet()) {
        let mut world = World::new(vec![one, two]);
        world.forget_denials();
        let radius = Radius::analyse(world.document().as_bytes()).unwrap();
        let mut population = radius.population();
        for (id, site) in &fleet {
            population.add(&world::identity(id, site.as_deref()));
        }
        for question in [Question::Observe, Question::Influence, Question::Impersonate] {
            let counted = population.distribution(question).identities;
            prop_assert_eq!(counted, world.count(question, &fleet), "{:?} of {:?}", question, fleet);
        }
    }
}
