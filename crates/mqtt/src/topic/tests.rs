use super::{Shared, check_filter, check_name, shared};
use crate::{Limits, ReasonCode};

/// Everything that the wire can say.
const WIDE: Limits = Limits {
    packet_size: u32::MAX,
    user_properties: u16::MAX,
    topic_length: u16::MAX,
    topic_levels: u16::MAX,
    filters_per_packet: u16::MAX,
};

fn name_rule(name: &str, limits: &Limits) -> &'static str {
    check_name(name, limits).map_or_else(|error| error.rule, |()| "fine")
}

fn filter_rule(filter: &str, limits: &Limits) -> &'static str {
    check_filter(filter, limits).map_or_else(|error| error.rule, |()| "fine")
}

#[test]
fn names() {
    let rows = [
        ("a", "fine"),
        ("/", "fine"),
        ("a//b/", "fine"),
        (" ", "fine"),
        ("$SYS/x", "fine"),
        ("\u{FEFF}a", "fine"),
        ("é/€/😀", "fine"),
        ("", "MQTT-4.7.3-1"),
        ("+", "MQTT-4.7.0-1"),
        ("a/b#", "MQTT-4.7.0-1"),
        ("a\0", "MQTT-1.5.4-2"),
        ("a\u{1}", "section 1.5.4"),
        ("a\u{85}", "section 1.5.4"),
        ("a\u{FFFE}", "section 1.5.4"),
        ("a\u{10FFFF}", "section 1.5.4"),
        ("a\u{FDEF}", "section 1.5.4"),
    ];
    for (name, rule) in rows {
        assert_eq!(name_rule(name, &WIDE), rule, "{name:?}");
    }
}

#[test]
fn filters() {
    let rows = [
        ("#", "fine"),
        ("+", "fine"),
        ("/+", "fine"),
        ("+/+/#", "fine"),
        ("a//#", "fine"),
        ("$SYS/#", "fine"),
        ("$share/g/#", "fine"),
        ("$share/g//", "fine"),
        ("$share", "fine"),
        ("$shared/+", "fine"),
        ("", "MQTT-4.7.3-1"),
        ("##", "MQTT-4.7.1-1"),
        ("#/", "MQTT-4.7.1-1"),
        ("a/#/#", "MQTT-4.7.1-1"),
        ("++", "MQTT-4.7.1-2"),
        ("a+/b", "MQTT-4.7.1-2"),
        ("$share/", "MQTT-4.8.2-1"),
        ("$share//x", "MQTT-4.8.2-1"),
        ("$share/g", "MQTT-4.8.2-2"),
        ("$share/g/", "MQTT-4.8.2-2"),
        ("$share/#/x", "MQTT-4.8.2-2"),
        ("$share/g+/x", "MQTT-4.8.2-2"),
        ("$share/g/x#", "MQTT-4.7.1-1"),
        ("a\0", "MQTT-1.5.4-2"),
    ];
    for (filter, rule) in rows {
        assert_eq!(filter_rule(filter, &WIDE), rule, "{filter:?}");
    }
}

#[test]
fn parts_of_shared_filters() {
    assert_eq!(
        shared("$share/g/a/#"),
        Some(Shared {
            group: "g",
            filter: "a/#"
        })
    );
    assert_eq!(
        shared("$share/g//"),
        Some(Shared {
            group: "g",
            filter: "/"
        })
    );
    for other in [
        "a/b",
        "$share",
        "$share/",
        "$share//a",
        "$share/g",
        "$share/g/",
        "$share/+/a",
        "share/g/a",
    ] {
        assert_eq!(shared(other), None, "{other}");
    }
}

#[test]
fn lengths_at_the_bound_and_one_past_it() {
    let limits = Limits {
        topic_length: 5,
        ..WIDE
    };
    assert_eq!(name_rule("aaaaa", &limits), "fine");
    assert_eq!(name_rule("aaaaaa", &limits), "motte.limit.topic-length");
    assert_eq!(filter_rule("aaaaa", &limits), "fine");
    assert_eq!(filter_rule("aaaaaa", &limits), "motte.limit.topic-length");
    // Bytes count, not characters.
    assert_eq!(name_rule("éé", &limits), "fine");
    assert_eq!(name_rule("ééé", &limits), "motte.limit.topic-length");
    let longest = "a".repeat(65_535);
    assert_eq!(name_rule(&longest, &WIDE), "fine");
    assert_eq!(name_rule(&format!("{longest}a"), &WIDE), "MQTT-4.7.3-3");
    assert_eq!(filter_rule(&format!("{longest}a"), &WIDE), "MQTT-4.7.3-3");
}

#[test]
fn levels_at_the_bound_and_one_past_it() {
    let limits = Limits {
        topic_levels: 3,
        ..WIDE
    };
    assert_eq!(name_rule("a/b/c", &limits), "fine");
    assert_eq!(name_rule("a/b/c/", &limits), "motte.limit.topic-levels");
    assert_eq!(filter_rule("+/b/#", &limits), "fine");
    assert_eq!(filter_rule("+/b/c/#", &limits), "motte.limit.topic-levels");
}

/// What is well formed but too much for us is another reason than what is not well formed.
#[test]
fn reasons() {
    let limits = Limits {
        topic_length: 5,
        ..WIDE
    };
    let reason = |result: Result<(), crate::DecodeError>| result.unwrap_err().reason;
    assert_eq!(
        reason(check_name("aaaaaa", &limits)),
        ReasonCode::TopicNameInvalid
    );
    assert_eq!(
        reason(check_filter("aaaaaa", &limits)),
        ReasonCode::TopicFilterInvalid
    );
    assert_eq!(reason(check_name("+", &limits)), ReasonCode::ProtocolError);
    assert_eq!(reason(check_filter("a\0", &limits)), ReasonCode::MalformedPacket);
}
