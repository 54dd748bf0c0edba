use proptest::prelude::*;

use super::*;

fn filter(text: &str) -> Filter {
    text.parse().unwrap()
}

#[test]
fn the_examples_of_the_standard() {
    // OASIS MQTT 5.0, 4.7.1.2, 4.7.1.3 and 4.7.2.
    let cases = [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
        (
            "sport/tennis/player1/#",
            "sport/tennis/player1/score/wimbledon",
            true,
        ),
        ("sport/#", "sport", true),
        ("#", "sport", true),
        ("#", "/", true),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("#", "$SYS/monitor/Clients", false),
        ("+/monitor/Clients", "$SYS/monitor/Clients", false),
        ("$SYS/#", "$SYS/monitor/Clients", true),
        ("$SYS/#", "$SYS", true),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
        ("a/+", "a/$SYS", true),
        ("/#", "/", true),
        ("/#", "a", false),
        ("a//b", "a//b", true),
        ("a//b", "a/b", false),
        ("ab", "a", false),
        ("a", "ab", false),
        ("a/+", "ab/c", false),
        ("a/b/+", "a/bc/d", false),
        ("a/#", "ab", false),
    ];
    for (pattern, topic, expected) in cases {
        assert_eq!(filter(pattern).matches(topic), expected, "{pattern} {topic}");
    }
}

#[test]
fn what_is_no_topic_name_is_in_no_language() {
    for topic in [
        "",
        "+",
        "#",
        "a/+",
        "a/#",
        "a/b+",
        "a\0b",
        "a/\u{1}",
        "a/\u{7f}",
        "a/\u{85}",
        "a/\u{fffe}",
    ] {
        for pattern in ["#", "+", "+/#", "a/#", "a/+", "a/b"] {
            assert!(!filter(pattern).matches(topic), "{pattern} {topic:?}");
        }
    }
    assert!(!filter("#").matches(&"a".repeat(TOPIC_LENGTH + 1)));
    assert!(filter("#").matches(&"a".repeat(TOPIC_LENGTH)));
    assert!(filter("#").matches(&"/".repeat(TOPIC_LEVELS - 1)));
    assert!(!filter("#").matches(&"/".repeat(TOPIC_LEVELS)));
}

#[test]
fn misplaced_wildcards_are_refused() {
    for text in [
        "a+", "+a", "dev+/x", "a/#/b", "##", "#/", "a#", "a/#b", "$+/#", "+#", "/#/",
    ] {
        let error = check_filter(text).unwrap_err();
        assert!(
            matches!(error, TopicError::MisplacedWildcard { .. }),
            "{text} {error}"
        );
    }
    for text in [
        "+",
        "#",
        "/#",
        "/",
        "//",
        "+/+/#",
        "$SYS/#",
        "a/ b/ü",
        "$share/g/a/#",
    ] {
        assert!(check_filter(text).is_ok(), "{text}");
    }
}

#[test]
fn errors_say_where() {
    assert_eq!(check_name(""), Err(TopicError::Empty));
    assert_eq!(
        check_name("a/b/+"),
        Err(TopicError::Wildcard {
            wildcard: '+',
            level: 3
        })
    );
    assert_eq!(
        check_filter("a/b#"),
        Err(TopicError::MisplacedWildcard {
            wildcard: '#',
            level: 2
        })
    );
    assert_eq!(
        check_filter("a/\n"),
        Err(TopicError::Character {
            character: '\n',
            level: 2
        })
    );
    assert_eq!(
        check_name("ü/\u{fdd0}"),
        Err(TopicError::Character {
            character: '\u{fdd0}',
            level: 2
        })
    );
    assert_eq!(
        check_name("a/b\u{1b}").unwrap_err().to_string(),
        "character '\\u{1b}' in level 2, remove it: controls and non-characters are refused"
    );
}

#[test]
fn bounds_hold_at_the_limit_and_not_past_it() {
    assert!(check_filter(&"a".repeat(TOPIC_LENGTH)).is_ok());
    assert_eq!(
        check_filter(&"a".repeat(TOPIC_LENGTH + 1)),
        Err(TopicError::TooLong {
            length: TOPIC_LENGTH + 1
        })
    );
    let levels = |count: usize| vec!["+"; count].join("/");
    assert!(check_filter(&levels(TOPIC_LEVELS)).is_ok());
    assert_eq!(
        check_filter(&levels(TOPIC_LEVELS + 1)),
        Err(TopicError::TooManyLevels {
            levels: TOPIC_LEVELS + 1
        })
    );
    let names = |count: usize| vec!["ü"; count].join("/");
    assert!(check_name(&names(TOPIC_LEVELS)).is_ok());
    assert_eq!(
        check_name(&names(TOPIC_LEVELS + 1)),
        Err(TopicError::TooManyLevels {
            levels: TOPIC_LEVELS + 1
        })
    );
}

#[test]
fn a_filter_keeps_its_spelling_and_compares_by_topics() {
    assert_eq!(filter("#"), filter("+/#"));
    assert_eq!(filter("/#"), filter("/+/#"));
    assert_ne!(filter("a/#"), filter("a/+/#"));
    assert_eq!(filter("+/#").to_string(), "+/#");
    assert_eq!(intersects(&filter("+/#"), &filter("#")).unwrap().to_string(), "#");
    assert_eq!(
        intersects(&filter("/+/#"), &filter("#")).unwrap().to_string(),
        "/#"
    );
    assert_eq!(
        intersects(&filter("a/+/c"), &filter("+/b/#"))
            .unwrap()
            .to_string(),
        "a/b/c"
    );
}

#[test]
fn a_byte_order_mark_is_a_character_like_any_other() {
    assert!(filter("a/\u{feff}b").matches("a/\u{feff}b"));
    assert!(!filter("a/b").matches("a/\u{feff}b"));
}

#[test]
fn the_witness_avoids_every_literal_of_the_grants() {
    let grants = ["a/any", "a/any-1", "b/any-2"].map(filter);
    let found = contains(&grants, &[], &filter("a/+")).unwrap_err();
    assert_eq!(
        found,
        Counterexample {
            topic: "a/any-3".to_owned(),
            denial: None
        }
    );
}

#[test]
fn the_worst_question_ends_soon() {
    // 100 grants that share all but the last level, and the filter that has to be unrolled most.
    let head = vec!["+"; TOPIC_LEVELS - 1].join("/");
    let grants: Vec<Filter> = (0..100)
        .map(|index| filter(&format!("{head}/x{index}")))
        .collect();
    assert!(contains(&grants, &[], &filter("#")).is_err());
}

prop_compose! {
    fn level()(text in "[ab$ü{}. -]{0,3}") -> String { text }
}

prop_compose! {
    fn filter_text()(
        levels in prop::collection::vec(prop_oneof![level(), Just("+".to_owned())], 0..8),
        tail in any::<bool>(),
    ) -> String {
        let mut levels = levels;
        if tail || levels.is_empty() || levels == [""] { levels.push("#".to_owned()); }
        levels.join("/")
    }
}

proptest! {
    #[test]
    fn text_round_trips(text in filter_text()) {
        let parsed = filter(&text);
        prop_assert_eq!(parsed.as_str(), &text);
        let canonical = intersects(&parsed, &parsed).unwrap();
        prop_assert_eq!(&canonical, &parsed);
        prop_assert_eq!(filter(canonical.as_str()), parsed);
    }

    #[test]
    fn nothing_crashes_on_any_text(text in any::<String>(), topic in any::<String>()) {
        if let Ok(parsed) = text.parse::<Filter>() {
            let _ = parsed.matches(&topic);
            prop_assert!(contains(std::slice::from_ref(&parsed), &[], &parsed).is_ok());
            prop_assert_eq!(parsed.has_wildcard(), text.contains(['+', '#']));
        }
    }

    #[test]
    fn the_fast_check_agrees_with_the_full_one(text in "[a+#/\u{1}\u{7f}ü~ ]{0,40}") {
        let full = !text.is_empty()
            && text.split('/').count() <= TOPIC_LEVELS
            && !text.chars().any(|character| character.is_control() || character == '+' || character == '#');
        prop_assert_eq!(check_name(&text).is_ok(), full);
    }

    #[test]
    fn containment_is_about_topics(
        outer in filter_text(), inner in filter_text(), other in filter_text(),
    ) {
        let (outer, inner, other) = (filter(&outer), filter(&inner), filter(&other));
        match contains(&[outer.clone(), other.clone()], &[], &inner) {
            Ok(()) => prop_assert!(outer.matches(&example(&inner)) || other.matches(&example(&inner))),
            Err(found) => {
                prop_assert!(inner.matches(&found.topic));
                prop_assert!(!outer.matches(&found.topic) && !other.matches(&found.topic));
            }
        }
    }

    #[test]
    fn an_intersection_lies_in_both(left in filter_text(), right in filter_text()) {
        let (left, right) = (filter(&left), filter(&right));
        prop_assert_eq!(intersects(&left, &right), intersects(&right, &left));
        if let Some(common) = intersects(&left, &right) {
            prop_assert!(contains(std::slice::from_ref(&left), &[], &common).is_ok());
            prop_assert!(contains(std::slice::from_ref(&right), &[], &common).is_ok());
            let topic = example(&common);
            prop_assert!(left.matches(&topic) && right.matches(&topic));
        }
    }
}
