use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::identity::{Identity, Kind};
use crate::snapshot::Snapshot;

/// A service that matches every role given here; each role is its JSON with defaults left out.
fn rights(roles: &[Value]) -> Rights {
    let roles: Vec<Value> = roles
        .iter()
        .enumerate()
        .map(|(index, role)| complete(index, role))
        .collect();
    let document = json!({
        "format": 1, "generation": 1, "fleet": "home", "policy_file": "policy.toml", "roles": roles,
        "exceptions": {"revoked_serials": [], "revoked": [], "quarantined": [], "banned": []},
        "vectors": [],
    });
    let snapshot = Snapshot::parse(document.to_string().as_bytes()).unwrap();
    snapshot.bind(&Identity::new(Kind::Service, "s", BTreeMap::new()).unwrap())
}

fn complete(index: usize, role: &Value) -> Value {
    let list = |name: &str, default: Value| {
        let entries = role[name].as_array().cloned().unwrap_or_default();
        let entries = entries.iter().enumerate().map(|(line, entry)| {
            let given = if entry.is_string() {
                json!({"topic": entry})
            } else {
                entry.clone()
            };
            let mut whole = default.clone();
            whole["line"] = json!(line + 1);
            whole
                .as_object_mut()
                .unwrap()
                .extend(given.as_object().unwrap().clone());
            whole
        });
        Value::Array(entries.collect())
    };
    json!({
        "name": format!("r{index}"), "line": 1, "match": {"kind": "service", "id": null, "attributes": {}},
        "publish": list("publish", json!({"qos": 2, "retain": false, "will": true})),
        "subscribe": list("subscribe", json!({"qos": 2})),
        "deny": list("deny", json!({"actions": ["publish", "subscribe"]})),
        "wildcards": role["wildcards"].as_bool().unwrap_or(false),
        "share": role["share"].as_array().cloned().unwrap_or_default(),
        "limits": {},
    })
}

fn cause(decision: &Decision) -> Option<Cause> {
    decision.refusal().map(|refusal| refusal.cause)
}

fn maximum_qos(decision: &Decision) -> Option<u8> {
    decision.grant().map(|grant| grant.maximum_qos)
}

#[test]
fn without_a_role_nothing_is_allowed() {
    for nothing in [Rights::none(), rights(&[])] {
        assert_eq!(cause(&nothing.may_publish("a", 0, false)), Some(Cause::NoRole));
        assert_eq!(cause(&nothing.may_will("a", 0, false)), Some(Cause::NoRole));
        assert_eq!(cause(&nothing.may_subscribe("a")), Some(Cause::NoRole));
        assert_eq!(cause(&nothing.may_receive("a")), Some(Cause::NoRole));
        assert!(nothing.roles().is_empty());
    }
}

#[test]
fn a_role_without_grants_allows_nothing() {
    let nothing = rights(&[json!({})]);
    assert_eq!(
        cause(&nothing.may_publish("a", 0, false)),
        Some(Cause::NotGranted)
    );
    assert_eq!(cause(&nothing.may_subscribe("a")), Some(Cause::NotGranted));
    assert_eq!(cause(&nothing.may_subscribe("#")), Some(Cause::Wildcard));
    assert_eq!(cause(&nothing.may_receive("$SYS/x")), Some(Cause::Reserved));
}

#[test]
fn publish_subscribe_and_will_are_separate_rights() {
    let some = rights(&[json!({"publish": ["p"], "subscribe": ["s"]})]);
    assert!(some.may_publish("p", 2, false).is_allowed());
    assert_eq!(cause(&some.may_publish("s", 0, false)), Some(Cause::NotGranted));
    assert!(some.may_subscribe("s").is_allowed());
    assert!(some.may_receive("s").is_allowed());
    assert_eq!(cause(&some.may_subscribe("p")), Some(Cause::NotGranted));
    assert_eq!(cause(&some.may_receive("p")), Some(Cause::NotGranted));
    let without = rights(&[json!({"publish": [{"topic": "p", "will": false}]})]);
    assert!(without.may_publish("p", 0, false).is_allowed());
    assert_eq!(
        cause(&without.may_will("p", 0, false)),
        Some(Cause::WillNotGranted)
    );
}

#[test]
fn qos_and_retain_are_rights_of_one_grant() {
    let some =
        rights(&[json!({"publish": [{"topic": "a", "qos": 1}, {"topic": "a", "qos": 0, "retain": true}]})]);
    assert_eq!(maximum_qos(&some.may_publish("a", 0, false)), Some(1));
    assert_eq!(maximum_qos(&some.may_publish("a", 1, false)), Some(1));
    assert_eq!(maximum_qos(&some.may_publish("a", 0, true)), Some(0));
    assert_eq!(
        cause(&some.may_publish("a", 1, true)),
        Some(Cause::RetainNotGranted)
    );
    assert_eq!(
        cause(&some.may_publish("a", 2, false)),
        Some(Cause::QosNotGranted)
    );
    assert_eq!(cause(&some.may_publish("a", 3, false)), Some(Cause::Malformed));
    let Decision::Denied(refusal) = some.may_publish("a", 2, false) else {
        panic!()
    };
    assert_eq!(
        refusal.rule.unwrap().to_string(),
        r#"policy.toml:1 role.r0 publish "a""#
    );
}

#[test]
fn any_denial_wins_over_all_grants() {
    let some = rights(&[
        json!({"publish": ["a/#"], "subscribe": ["a/#"], "wildcards": true}),
        json!({"deny": ["a/x/#", {"topic": "a/p", "actions": ["publish"]}, {"topic": "a/s", "actions": ["subscribe"]}]}),
    ]);
    let denied = Some(Cause::DeniedByRule);
    assert_eq!(cause(&some.may_publish("a/x/y", 0, false)), denied);
    assert_eq!(cause(&some.may_will("a/x", 0, false)), denied);
    assert_eq!(cause(&some.may_receive("a/x")), denied);
    assert_eq!(cause(&some.may_subscribe("a/x/y")), denied);
    assert_eq!(cause(&some.may_publish("a/p", 0, false)), denied);
    assert!(some.may_receive("a/p").is_allowed());
    assert!(some.may_publish("a/s", 0, false).is_allowed());
    assert_eq!(cause(&some.may_receive("a/s")), denied);
    let Decision::Denied(refusal) = some.may_subscribe("a/#") else {
        panic!()
    };
    assert_eq!(refusal.cause, Cause::DeniedByRule);
    assert_eq!(refusal.counterexample.as_deref(), Some("a/x"));
    assert_eq!(
        refusal.rule.unwrap().to_string(),
        r#"policy.toml:1 role.r1 deny "a/x/#""#
    );
    assert!(some.may_subscribe("a/y/#").is_allowed());
}

#[test]
fn wildcards_need_a_role_that_grants_them() {
    let closed = rights(&[json!({"subscribe": ["a/+"]})]);
    assert!(closed.may_subscribe("a/x").is_allowed());
    assert_eq!(cause(&closed.may_subscribe("a/+")), Some(Cause::Wildcard));
    assert_eq!(cause(&closed.may_subscribe("b/+")), Some(Cause::Wildcard));
    let open = rights(&[json!({"subscribe": ["a/+"], "wildcards": true})]);
    assert!(open.may_subscribe("a/+").is_allowed());
    assert_eq!(cause(&open.may_subscribe("a/#")), Some(Cause::NotGranted));
    assert_eq!(cause(&open.may_subscribe("#")), Some(Cause::NotGranted));
    assert_eq!(cause(&open.may_subscribe("b/+")), Some(Cause::NotGranted));
    // The wildcard right of one role does not reach the grants of another.
    let mixed = rights(&[
        json!({"subscribe": ["a/+"], "wildcards": true}),
        json!({"subscribe": ["b/+"]}),
    ]);
    assert!(mixed.may_subscribe("a/+").is_allowed());
    assert_eq!(cause(&mixed.may_subscribe("b/+")), Some(Cause::Wildcard));
    assert!(mixed.may_subscribe("b/x").is_allowed());
}

#[test]
fn a_wildcard_without_the_right_is_one_answer_whatever_is_denied() {
    let closed = rights(&[json!({
        "subscribe": ["a/+"],
        "deny": [{"topic": "a/secret", "actions": ["subscribe"]}],
    })]);
    for filter in ["#", "a/#", "a/+", "+/secret", "b/+"] {
        assert_eq!(
            cause(&closed.may_subscribe(filter)),
            Some(Cause::Wildcard),
            "{filter}"
        );
    }
    assert_eq!(
        cause(&closed.may_subscribe("a/secret")),
        Some(Cause::DeniedByRule)
    );
}

#[test]
fn a_filter_is_never_compared_as_a_topic() {
    // B3: granted `dev/A/+`, asked `dev/A/#`; granted `x/+/y`, asked `x/#`.
    let some = rights(&[json!({"subscribe": ["dev/A/+", "x/+/y"], "publish": ["dev/+"], "wildcards": true})]);
    let Decision::Denied(refusal) = some.may_subscribe("dev/A/#") else {
        panic!()
    };
    assert_eq!(
        (refusal.cause, refusal.counterexample.as_deref()),
        (Cause::NotGranted, Some("dev/A"))
    );
    assert_eq!(
        refusal.nearest.unwrap().to_string(),
        r#"policy.toml:1 role.r0 subscribe "dev/A/+""#
    );
    assert!(!some.may_subscribe("x/#").is_allowed());
    assert!(some.may_subscribe("x/+/y").is_allowed());
    // A topic with a wildcard is malformed wherever a topic name is asked for.
    for topic in ["dev/+", "dev/#", "", "dev/a\0"] {
        assert_eq!(
            cause(&some.may_publish(topic, 0, false)),
            Some(Cause::Malformed),
            "{topic:?}"
        );
        assert_eq!(
            cause(&some.may_receive(topic)),
            Some(Cause::Malformed),
            "{topic:?}"
        );
    }
    for filter in ["", "a+", "a/#/b", "a\0"] {
        assert_eq!(
            cause(&some.may_subscribe(filter)),
            Some(Cause::Malformed),
            "{filter:?}"
        );
    }
}

#[test]
fn a_shared_subscription_needs_its_group_from_the_roles_that_grant_the_filter() {
    let shared = rights(&[
        json!({"subscribe": ["a/#", {"topic": "b", "qos": 1}], "wildcards": true, "share": ["g"]}),
        json!({"subscribe": ["b", "c"], "deny": ["a/secret"]}),
    ]);
    assert!(shared.allows_sharing() && shared.has_group("g") && !shared.has_group("h"));
    assert_eq!(maximum_qos(&shared.may_subscribe("$share/g/a/+/b")), Some(2));
    // The second role grants `b` with QoS 2, and has no group.
    assert_eq!(maximum_qos(&shared.may_subscribe("$share/g/b")), Some(1));
    assert_eq!(maximum_qos(&shared.may_subscribe("b")), Some(2));
    for (filter, expected) in [
        ("$share/h/a/b", Cause::ShareNotGranted),
        ("$share/h/a/#", Cause::ShareNotGranted),
        ("$share/g/c", Cause::ShareNotGranted),
        ("$share/g/a/#", Cause::DeniedByRule),
        ("$share/g/a/secret", Cause::DeniedByRule),
        ("$share/g/d", Cause::NotGranted),
        ("$share/g/$SYS/d", Cause::Reserved),
        ("$share/g", Cause::Malformed),
        ("$share/+/b", Cause::Malformed),
        ("$share/g/$share/g/b", Cause::Malformed),
    ] {
        assert_eq!(cause(&shared.may_subscribe(filter)), Some(expected), "{filter}");
    }
    let elsewhere = rights(&[json!({"subscribe": ["a"], "share": ["g"]})]);
    assert_eq!(
        cause(&elsewhere.may_subscribe("$share/g/+")),
        Some(Cause::Wildcard)
    );
    let alone = rights(&[json!({"share": ["g"]})]);
    assert_eq!(
        cause(&alone.may_subscribe("$share/g/a")),
        Some(Cause::ShareNotGranted)
    );
    assert!(!alone.allows_sharing());
}

#[test]
fn reserved_topics_need_a_literal_grant() {
    let wide = rights(&[json!({"publish": ["#"], "subscribe": ["#"], "wildcards": true})]);
    assert_eq!(
        cause(&wide.may_publish("$SYS/x", 0, false)),
        Some(Cause::Reserved)
    );
    assert_eq!(cause(&wide.may_receive("$SYS/x")), Some(Cause::Reserved));
    assert_eq!(cause(&wide.may_subscribe("$SYS/#")), Some(Cause::Reserved));
    let literal =
        rights(&[json!({"subscribe": ["$SYS/#"], "publish": ["$SYS/#", "$SYSTEM/x"], "wildcards": true})]);
    for topic in ["$SYS/uptime", "$SYS"] {
        assert_eq!(
            cause(&literal.may_publish(topic, 0, false)),
            Some(Cause::Reserved)
        );
        assert_eq!(cause(&literal.may_will(topic, 0, false)), Some(Cause::Reserved));
    }
    assert!(literal.may_publish("$SYSTEM/x", 0, false).is_allowed());
    assert!(literal.may_subscribe("$SYS/#").is_allowed());
    assert!(literal.may_receive("$SYS/uptime").is_allowed());
    assert!(!literal.may_receive("$OTHER/uptime").is_allowed());
}

#[test]
fn a_subscription_has_the_highest_qos_at_which_it_is_contained() {
    let some = rights(&[json!({
        "subscribe": [
            {"topic": "a/#", "qos": 0}, {"topic": "a/+", "qos": 1}, {"topic": "a", "qos": 2},
            {"topic": "a/+/+/#", "qos": 1}, {"topic": "b", "qos": 1},
        ],
        "wildcards": true,
    })]);
    assert_eq!(maximum_qos(&some.may_subscribe("a")), Some(2));
    assert_eq!(maximum_qos(&some.may_subscribe("a/x")), Some(1));
    // Only together do three grants hold all of it, the weakest of them at QoS 1.
    assert_eq!(maximum_qos(&some.may_subscribe("a/#")), Some(1));
    assert_eq!(maximum_qos(&some.may_receive("a")), Some(2));
    assert_eq!(maximum_qos(&some.may_receive("a/x")), Some(1));
    assert_eq!(maximum_qos(&some.may_receive("b")), Some(1));
    let low = rights(&[json!({"subscribe": [{"topic": "a/#", "qos": 0}], "wildcards": true})]);
    assert_eq!(maximum_qos(&low.may_subscribe("a/+")), Some(0));
}

#[test]
fn what_may_be_subscribed_may_be_received() {
    let topics = ["a", "a/b", "a/b/c", "b", "$s", "$s/a", "/", "/a"];
    let filters = [
        "a", "a/b", "a/+", "a/#", "+", "#", "$s/#", "$s", "/+", "/#", "+/+",
    ];
    let lists: [&[&str]; 5] = [&["a/#"], &["a", "a/+"], &["#"], &["$s/+", "/#"], &["+/b", "+"]];
    let mut allowed = 0;
    for grants in lists {
        for denials in [&[][..], &["a/b"], &["+/b"], &["$s"]] {
            let some = rights(&[json!({"subscribe": grants, "deny": denials, "wildcards": true})]);
            for filter in filters
                .iter()
                .filter(|filter| some.may_subscribe(filter).is_allowed())
            {
                let parsed: Filter = filter.parse().unwrap();
                for topic in topics.iter().filter(|topic| parsed.matches(topic)) {
                    assert!(
                        some.may_receive(topic).is_allowed(),
                        "{filter} {topic} {grants:?} {denials:?}"
                    );
                    allowed += 1;
                }
            }
        }
    }
    assert!(allowed > 50, "{allowed}");
}

#[test]
fn the_nearest_grant_is_named_only_if_it_is_near() {
    let some = rights(&[json!({"publish": ["home/kitchen/a", "home/cellar/a", "garden/x"]})]);
    let nearest = |topic: &str| {
        let decision = some.may_publish(topic, 0, false);
        decision
            .refusal()
            .unwrap()
            .nearest
            .as_ref()
            .map(RuleReference::line)
    };
    assert_eq!(nearest("home/cellar/b"), Some(2));
    assert_eq!(nearest("home/attic"), Some(1));
    assert_eq!(nearest("street/x"), None);
}
