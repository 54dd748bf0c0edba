//! Layer 4: what the guard adds to the policy, and how refusals become denials.

use motte_mqtt::ReasonCode;
use motte_policy::Rights;
use serde_json::json;

use super::{
    has_role, is_current, publish, receive, receive_shared, response_topic, still_sent, subscribe, will,
};
use crate::testing::{Policy, device, service};
use crate::{Denial, Layer, Provenance};

fn toaster() -> Rights {
    Policy::new(1).snapshot().bind(&device("a"))
}

fn dashboard() -> Rights {
    Policy::new(1).snapshot().bind(&service("dashboard"))
}

fn refusal<T: std::fmt::Debug>(verdict: Result<T, Denial>) -> (String, ReasonCode) {
    let denial = verdict.unwrap_err();
    assert_eq!(denial.layer, Layer::Authorization);
    (denial.rule.into_owned(), denial.reason)
}

fn named(rule: &str, reason: ReasonCode) -> (String, ReasonCode) {
    (rule.to_owned(), reason)
}

#[test]
fn a_grant_passes_with_its_rule() {
    let grant = publish(&toaster(), "toasters/a/telemetry", 1, false).unwrap();
    assert_eq!(
        grant.rule.as_str(),
        "policy.toml:3 role.toaster publish \"toasters/{device}/telemetry\""
    );
}

#[test]
fn another_device_and_reserved_topics_are_one_code() {
    let rights = toaster();
    for topic in [
        "toasters/b/telemetry",
        "x",
        "toasters/a/telemetry/",
        "Toasters/a/telemetry",
    ] {
        assert_eq!(
            refusal(publish(&rights, topic, 0, false)),
            named("authorization.not-granted", ReasonCode::NotAuthorized),
            "{topic}"
        );
    }
    for topic in [
        "$SYS/x",
        "$CONTROL/dynamic-security",
        "$share/g/t",
        "$delayed/5/toasters/a/telemetry",
    ] {
        assert_eq!(
            refusal(publish(&rights, topic, 0, false)),
            named("authorization.reserved", ReasonCode::NotAuthorized),
            "{topic}"
        );
    }
}

#[test]
fn malformed_topics_have_the_code_of_their_kind() {
    let rights = toaster();
    for topic in ["", "toasters/+/telemetry", "toasters/#", "a\0b"] {
        let expected = named("authorization.malformed", ReasonCode::TopicNameInvalid);
        assert_eq!(refusal(publish(&rights, topic, 0, false)), expected, "{topic:?}");
        assert_eq!(refusal(will(&rights, topic, 0, false)), expected, "{topic:?}");
    }
    for filter in ["", "a+", "a/#/b", "##"] {
        assert_eq!(
            refusal(subscribe(&rights, filter)),
            named("authorization.malformed", ReasonCode::TopicFilterInvalid),
            "{filter:?}"
        );
    }
}

#[test]
fn quality_retain_and_will_are_rights_of_their_own() {
    let rights = toaster();
    let rule = "policy.toml:3 role.toaster publish \"toasters/{device}/telemetry\"";
    assert!(publish(&rights, "toasters/a/state", 2, true).is_ok());
    assert_eq!(
        refusal(publish(&rights, "toasters/a/telemetry", 2, false)),
        named(rule, ReasonCode::NotAuthorized)
    );
    assert_eq!(
        refusal(publish(&rights, "toasters/a/telemetry", 1, true)),
        named(rule, ReasonCode::NotAuthorized)
    );
    assert!(will(&rights, "toasters/a/state", 2, true).is_ok());
    assert!(publish(&rights, "toasters/a/quiet", 2, true).is_ok());
    assert_eq!(
        refusal(will(&rights, "toasters/a/quiet", 0, false)),
        named(
            "policy.toml:3 role.toaster publish \"toasters/{device}/quiet\"",
            ReasonCode::NotAuthorized
        )
    );
}

#[test]
fn a_denial_of_the_policy_is_named_by_its_line() {
    let mut policy = Policy::new(1);
    policy.document["roles"][0]["publish"][0]["topic"] = json!("toasters/{device}/secret");
    let rights = policy.snapshot().bind(&device("a"));
    let (rule, reason) = refusal(publish(&rights, "toasters/a/secret", 0, false));
    assert_eq!(rule, "policy.toml:5 role.toaster deny \"toasters/+/secret\"");
    assert_eq!(reason, ReasonCode::NotAuthorized);
}

#[test]
fn wildcards_are_off_for_devices_and_bounded_for_services() {
    let wildcard = named(
        "authorization.wildcard",
        ReasonCode::WildcardSubscriptionsNotSupported,
    );
    let rights = Policy::new(1).without(0, "deny").snapshot().bind(&device("a"));
    let filters = [
        "#",
        "+",
        "+/+",
        "/#",
        "toasters/+/command",
        "toasters/a/+",
        "$SYS/#",
    ];
    for filter in filters {
        assert_eq!(refusal(subscribe(&rights, filter)), wildcard, "{filter}");
        assert!(subscribe(&toaster(), filter).is_err(), "{filter}");
    }
    assert!(subscribe(&toaster(), "toasters/a/command").is_ok());
    assert!(subscribe(&dashboard(), "toasters/+/telemetry").is_ok());
    for filter in ["#", "toasters/#", "toasters/+/+", "+/+/telemetry"] {
        assert_eq!(
            refusal(subscribe(&dashboard(), filter)),
            named("authorization.not-granted", ReasonCode::NotAuthorized),
            "{filter}"
        );
    }
}

fn worker() -> Rights {
    Policy::new(1).snapshot().bind(&service("worker"))
}

#[test]
fn who_has_no_group_is_refused_every_shared_subscription() {
    for filter in [
        "$share/crew/toasters/a/command",
        "$share/crew/#",
        "$share/g",
        "$share//x",
        "$share/",
        "$share",
        "$share///////",
    ] {
        for rights in [toaster(), dashboard()] {
            assert_eq!(
                refusal(subscribe(&rights, filter)),
                named(
                    "authorization.shared-subscription",
                    ReasonCode::SharedSubscriptionsNotSupported
                ),
                "{filter}"
            );
        }
    }
    assert_eq!(
        refusal(subscribe(&toaster(), "$shared/g")),
        named("authorization.reserved", ReasonCode::NotAuthorized)
    );
}

#[test]
fn a_shared_subscription_needs_its_group_and_its_filter() {
    assert!(subscribe(&worker(), "$share/crew/toasters/+/telemetry").is_ok());
    assert!(subscribe(&worker(), "$share/crew/toasters/a/telemetry").is_ok());
    let not_authorized = ReasonCode::NotAuthorized;
    for (filter, rule, reason) in [
        (
            "$share/other/toasters/+/telemetry",
            "authorization.share-not-granted",
            not_authorized,
        ),
        (
            "$share/crew/toasters/+/state",
            "authorization.not-granted",
            not_authorized,
        ),
        ("$share/crew/#", "authorization.not-granted", not_authorized),
        ("$share/crew/$SYS/x", "authorization.reserved", not_authorized),
        (
            "$share/crew",
            "authorization.malformed",
            ReasonCode::TopicFilterInvalid,
        ),
        (
            "$share//toasters/a/telemetry",
            "authorization.malformed",
            ReasonCode::TopicFilterInvalid,
        ),
        (
            "$share/crew/$share/crew/toasters/a/telemetry",
            "authorization.malformed",
            ReasonCode::TopicFilterInvalid,
        ),
        (
            "$share/crew/a/#/b",
            "authorization.malformed",
            ReasonCode::TopicFilterInvalid,
        ),
    ] {
        assert_eq!(
            refusal(subscribe(&worker(), filter)),
            named(rule, reason),
            "{filter}"
        );
    }
}

#[test]
fn a_member_needs_the_group_when_a_message_is_delivered() {
    let (shared, topic) = ("$share/crew/toasters/+/telemetry", "toasters/a/telemetry");
    assert!(receive_shared(&worker(), shared, topic).is_ok());
    // The dashboard may read the topic, and has no group.
    assert!(receive(&dashboard(), topic).is_ok());
    assert_eq!(
        refusal(receive_shared(&dashboard(), shared, topic)),
        named("authorization.share-not-granted", ReasonCode::NotAuthorized)
    );
    assert_eq!(
        refusal(receive_shared(&worker(), shared, "toasters/a/state")),
        named("authorization.not-granted", ReasonCode::NotAuthorized)
    );
}

#[test]
fn a_response_topic_has_to_be_readable_by_the_requester() {
    let rights = toaster();
    assert_eq!(response_topic(&rights, None), Ok(()));
    assert_eq!(response_topic(&rights, Some("toasters/a/command")), Ok(()));
    for topic in [
        "toasters/b/command",
        "toasters/a/telemetry",
        "toasters/a/secret",
        "$SYS/x",
        "$share/g/toasters/a/command",
        "toasters/+/command",
        "#",
        "",
    ] {
        assert_eq!(
            refusal(response_topic(&rights, Some(topic))),
            named("authorization.response-topic", ReasonCode::NotAuthorized),
            "{topic:?}"
        );
    }
    // A service may subscribe to that filter, and still it is no topic for an answer.
    assert_eq!(
        refusal(response_topic(&dashboard(), Some("toasters/+/telemetry"))),
        named("authorization.response-topic", ReasonCode::NotAuthorized)
    );
}

#[test]
fn the_reader_is_judged_on_the_concrete_topic() {
    assert!(receive(&toaster(), "toasters/a/command").is_ok());
    assert_eq!(
        refusal(receive(&toaster(), "toasters/b/command")),
        named("authorization.not-granted", ReasonCode::NotAuthorized)
    );
    assert_eq!(
        refusal(receive(&toaster(), "toasters/a/secret")),
        named(
            "policy.toml:5 role.toaster deny \"toasters/+/secret\"",
            ReasonCode::NotAuthorized
        )
    );
}

#[test]
fn the_sender_is_judged_as_it_sent() {
    let rights = toaster();
    let sent = |retain, will, qos| Provenance {
        generation: 1,
        retain,
        will,
        qos,
    };
    assert!(still_sent(&rights, sent(true, false, 2), "toasters/a/quiet").is_ok());
    assert!(still_sent(&rights, sent(true, true, 2), "toasters/a/quiet").is_err());
    assert!(still_sent(&rights, sent(false, false, 1), "toasters/a/telemetry").is_ok());
    assert!(still_sent(&rights, sent(true, false, 1), "toasters/a/telemetry").is_err());
    assert!(still_sent(&rights, sent(false, false, 2), "toasters/a/telemetry").is_err());
}

#[test]
fn rights_of_another_generation_and_no_rights_decide_nothing() {
    let rights = toaster();
    assert_eq!(is_current(&rights, &(1..=1)), Ok(()));
    assert_eq!(is_current(&rights, &(1..=5)), Ok(()), "nothing changed since");
    let stale = named("authorization.stale-rights", ReasonCode::NotAuthorized);
    assert_eq!(refusal(is_current(&rights, &(2..=2))), stale);
    assert_eq!(refusal(is_current(&rights, &(0..=0))), stale);
    let no_role = named("authorization.no-role", ReasonCode::NotAuthorized);
    assert_eq!(refusal(is_current(&Rights::none(), &(0..=0))), no_role);
    assert_eq!(refusal(has_role(&Rights::none())), no_role);
}

#[test]
fn topics_in_a_denial_are_escaped() {
    let denial = publish(&toaster(), "x\u{202e}\u{9b}31m", 0, false).unwrap_err();
    assert!(denial.detail.is_ascii());
    let denial = subscribe(&toaster(), "$share/\u{1b}[2J").unwrap_err();
    assert!(denial.detail.contains("\\u{1b}"), "{}", denial.detail);
}
