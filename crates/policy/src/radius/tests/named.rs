//! Cases that have a name.

use serde_json::{Value, json};

use super::*;
use crate::identity::Kind;

fn role(name: &str, matching: &Value, publish: &[&str], subscribe: &[&str], deny: &[&str]) -> Value {
    let publish: Vec<_> = (1..)
        .zip(publish)
        .map(|(line, topic)| json!({"topic": topic, "qos": 2, "retain": false, "will": true, "line": line}))
        .collect();
    let subscribe: Vec<_> = (1..)
        .zip(subscribe)
        .map(|(line, topic)| json!({"topic": topic, "qos": 2, "line": line}))
        .collect();
    let deny: Vec<_> = deny
        .iter()
        .map(|topic| json!({"topic": topic, "actions": ["publish", "subscribe"], "line": 9}))
        .collect();
    json!({"role": {"name": name, "line": 1, "match": matching, "publish": publish, "subscribe": subscribe,
                    "deny": deny, "wildcards": false, "limits": {}}})
}

fn devices(group: &str) -> Value {
    json!({"kind": "device", "id": null, "attributes": {"group": group}})
}

fn device(id: &str) -> Value {
    json!({"kind": "device", "id": id, "attributes": {}})
}

fn service(id: &str) -> Value {
    json!({"kind": "service", "id": id, "attributes": {}})
}

fn analysed(roles: &[Value]) -> Radius {
    Radius::analyse(
        json!({"policy_file": "policy.toml", "roles": roles})
            .to_string()
            .as_bytes(),
    )
    .unwrap()
}

fn scope(radius: &Radius, question: Question, subject: usize, object: usize) -> Scope {
    let findings = radius.findings(question, subject, object);
    findings.first().map_or(Scope::Isolated, |finding| finding.scope)
}

fn told(radius: &Radius, question: Question, subject: usize, object: usize) -> Vec<Vec<Equality>> {
    let findings = radius.findings(question, subject, object);
    findings.into_iter().map(|finding| finding.equalities).collect()
}

fn same(name: &str) -> Equality {
    Equality::Between(("subject", name.to_owned()), ("object", name.to_owned()))
}

#[test]
fn own_topics_isolate() {
    let radius = analysed(&[role("d", &devices("d"), &["t/{device}"], &["c/{device}"], &[])]);
    for question in Question::ALL {
        assert_eq!(scope(&radius, question, 0, 0), Scope::Isolated, "{question:?}");
    }
}

#[test]
fn a_shared_topic_is_everyones() {
    let radius = analysed(&[role("d", &devices("d"), &["t"], &["t"], &[])]);
    for question in [
        Question::Observe,
        Question::Influence,
        Question::InfluenceWill,
        Question::Impersonate,
    ] {
        assert_eq!(scope(&radius, question, 0, 0), Scope::Everyone, "{question:?}");
    }
    assert_eq!(scope(&radius, Question::InfluenceRetained, 0, 0), Scope::Isolated);
    let finding = &radius.findings(Question::Observe, 0, 0)[0];
    let witness = radius.witness(Question::Observe, finding).unwrap();
    assert_eq!(witness.hops[0].example.topic, "t");
    assert_eq!(
        witness.hops[0].subject_rule.to_string(),
        "policy.toml:1 role.d subscribe \"t\""
    );
    assert_ne!(
        witness.hops[0].example.subject.id,
        witness.hops[0].example.object.id
    );
}

#[test]
fn equal_attributes_are_a_class() {
    let radius = analysed(&[role("d", &devices("d"), &["{site}/t"], &["{site}/+"], &[])]);
    assert_eq!(told(&radius, Question::Observe, 0, 0), [[same("site")]]);
    assert_eq!(scope(&radius, Question::Observe, 0, 0), Scope::Class);
    let two = analysed(&[role(
        "d",
        &devices("d"),
        &["{tenant}/{site}/t"],
        &["{tenant}/{site}/t"],
        &[],
    )]);
    assert_eq!(
        told(&two, Question::Observe, 0, 0),
        [[same("site"), same("tenant")]]
    );
}

#[test]
fn a_device_named_like_a_literal() {
    let radius = analysed(&[
        role("d", &devices("d"), &["t/{device}"], &[], &[]),
        role("e", &devices("e"), &[], &["t/broadcast"], &[]),
    ]);
    assert_eq!(scope(&radius, Question::Influence, 0, 1), Scope::Named);
    let expected = Equality::Value(("subject", "id".to_owned()), "broadcast".to_owned());
    assert_eq!(told(&radius, Question::Influence, 0, 1), [[expected]]);
    // No identity has a name with a character that a certificate cannot hold, or a reserved one.
    for literal in ["t/a b", "t/$x", "t/ü", "t/"] {
        let radius = analysed(&[
            role("d", &devices("d"), &["t/{device}"], &[], &[]),
            role("e", &devices("e"), &[], &[literal], &[]),
        ]);
        assert_eq!(
            scope(&radius, Question::Influence, 0, 1),
            Scope::Isolated,
            "{literal}"
        );
    }
}

#[test]
fn one_identity_is_nobody_else() {
    let radius = analysed(&[
        role("a", &device("x"), &["t"], &["t"], &[]),
        role("b", &device("x"), &["t"], &["t"], &[]),
        role("s", &service("x"), &["t"], &["t"], &[]),
    ]);
    assert_eq!(scope(&radius, Question::Observe, 0, 0), Scope::Isolated);
    assert_eq!(scope(&radius, Question::Observe, 0, 1), Scope::Isolated);
    // A service of the same name is somebody else.
    assert_eq!(scope(&radius, Question::Observe, 0, 2), Scope::Everyone);
}

#[test]
fn roles_that_no_identity_has_together() {
    let match_site = |site: &str| json!({"kind": "device", "id": null, "attributes": {"site": site}});
    let radius = analysed(&[
        role("north", &match_site("north"), &["{site}/t"], &[], &[]),
        role("south", &match_site("south"), &[], &["{site}/t"], &[]),
        role("any", &devices("d"), &[], &["{site}/t"], &[]),
    ]);
    assert_eq!(scope(&radius, Question::Influence, 0, 1), Scope::Isolated);
    let expected = Equality::Value(("object", "site".to_owned()), "north".to_owned());
    assert_eq!(told(&radius, Question::Influence, 0, 2), [[expected]]);
}

#[test]
fn dollar_topics_are_not_for_wildcards() {
    let radius = analysed(&[
        role("w", &service("w"), &[], &["#", "+/x"], &[]),
        role("s", &service("s"), &["$a/x"], &[], &[]),
        role("l", &service("l"), &[], &["$a/+"], &[]),
    ]);
    assert_eq!(scope(&radius, Question::Observe, 0, 1), Scope::Isolated);
    assert_eq!(scope(&radius, Question::Observe, 2, 1), Scope::Everyone);
}

#[test]
fn wildcards_switched_off_make_the_radius_no_smaller() {
    // Who may not subscribe with `+` subscribes to each topic by its name.
    for wildcards in [false, true] {
        let mut reader = role("r", &service("r"), &[], &["t/+/#"], &[]);
        reader["role"]["wildcards"] = json!(wildcards);
        let radius = analysed(&[reader, role("d", &devices("a"), &["t/{device}/x"], &[], &[])]);
        assert_eq!(scope(&radius, Question::Observe, 0, 1), Scope::Everyone);
        let finding = radius.findings(Question::Observe, 0, 1).remove(0);
        let witness = radius.witness(Question::Observe, &finding).unwrap();
        let topic = &witness.hops[0].example.topic;
        assert!(!topic.contains(['+', '#']), "{topic}");
    }
}

#[test]
fn services_are_told_from_devices_of_the_same_id() {
    let radius = analysed(&[
        role("s", &service("x"), &["t/{service}"], &[], &[]),
        role("d", &device("x"), &[], &["t/{device}"], &[]),
        role("e", &device("y"), &[], &["t/{device}"], &[]),
    ]);
    assert_ne!(scope(&radius, Question::Influence, 0, 1), Scope::Isolated);
    assert_eq!(scope(&radius, Question::Influence, 0, 2), Scope::Isolated);
}

#[test]
fn empty_levels_and_the_parent_of_a_tail() {
    for (read, written, expected) in [
        ("a/#", "a", Scope::Everyone),
        ("a/#", "a/", Scope::Everyone),
        ("a/+", "a", Scope::Isolated),
        ("a/+", "a/", Scope::Everyone),
        ("/#", "/a", Scope::Everyone),
        ("/#", "a", Scope::Isolated),
        ("+/+", "/", Scope::Everyone),
        ("#", "a/b/c", Scope::Everyone),
        ("a//b", "a/+/b", Scope::Everyone),
        ("a//b", "a/b", Scope::Isolated),
    ] {
        let radius = analysed(&[
            role("r", &service("r"), &[], &[read], &[]),
            role("w", &service("w"), &[written], &[], &[]),
        ]);
        assert_eq!(
            scope(&radius, Question::Observe, 0, 1),
            expected,
            "{read} reads {written}"
        );
    }
}

#[test]
fn denials_take_away() {
    for (deny, expected) in [
        (vec!["t/#"], Scope::Isolated),
        (vec!["t/+"], Scope::Everyone),
        (vec!["t/+", "t", "t/+/+/#"], Scope::Isolated),
        (vec!["t/a"], Scope::Everyone),
        (vec!["#"], Scope::Isolated),
        (vec!["t/{device}/#"], Scope::Everyone),
    ] {
        let radius = analysed(&[
            role("r", &devices("r"), &[], &["t/#"], &deny),
            role("w", &service("w"), &["t/#"], &[], &[]),
        ]);
        assert_eq!(scope(&radius, Question::Observe, 0, 1), expected, "{deny:?}");
    }
}

#[test]
fn a_denial_of_another_role_counts_only_for_who_has_both() {
    let everybody = json!({"kind": "device", "id": null, "attributes": {}});
    for (matching, expected) in [
        (everybody, Scope::Isolated),
        (devices("r"), Scope::Isolated),
        (devices("other"), Scope::Everyone),
        (
            json!({"kind": "device", "id": null, "attributes": {"site": "x"}}),
            Scope::Everyone,
        ),
    ] {
        let radius = analysed(&[
            role("r", &devices("r"), &[], &["t"], &[]),
            role("w", &service("w"), &["t"], &[], &[]),
            role("d", &matching, &[], &[], &["t"]),
        ]);
        assert_eq!(scope(&radius, Question::Observe, 0, 1), expected, "{matching}");
    }
}

#[test]
fn exceptions_are_of_one_grant_alone() {
    let mut reader = role("r", &devices("r"), &[], &["t/#", "t/a"], &[]);
    reader["subscribe_except"] = json!([["t/a"], []]);
    let writer = role("w", &service("w"), &["t/a"], &[], &[]);
    let radius = analysed(&[reader.clone(), writer.clone()]);
    assert_eq!(scope(&radius, Question::Observe, 0, 1), Scope::Everyone);
    reader["subscribe_except"] = json!([["t/a"], ["t/+"]]);
    assert_eq!(
        scope(&analysed(&[reader, writer]), Question::Observe, 0, 1),
        Scope::Isolated
    );
}

#[test]
fn a_placeholder_of_the_other_kind_grants_nothing() {
    let radius = analysed(&[
        role("d", &devices("d"), &["t/{service}"], &[], &[]),
        role("s", &service("s"), &["u/{device}"], &["#"], &[]),
    ]);
    assert_eq!(scope(&radius, Question::Observe, 1, 0), Scope::Isolated);
    let names: Vec<_> = radius.roles().collect();
    assert_eq!(names, [("d", Kind::Device), ("s", Kind::Service)]);
}

#[test]
fn a_relay_reaches_on() {
    let mut hub = role("hub", &service("hub"), &["c/+"], &["t/+"], &[]);
    hub["relays"] = json!([{"from": "t/+", "to": "c/+", "line": 7}]);
    let radius = analysed(&[
        role("d", &devices("d"), &["t/{device}"], &["c/{device}"], &[]),
        hub,
    ]);
    assert_eq!(scope(&radius, Question::Influence, 0, 0), Scope::Isolated);
    assert_eq!(scope(&radius, Question::Reach, 0, 0), Scope::Everyone);
    let finding = &radius.findings(Question::Reach, 0, 0)[0];
    let hops = radius.witness(Question::Reach, finding).unwrap().hops;
    let topics: Vec<_> = hops.iter().map(|hop| hop.example.topic.as_str()).collect();
    assert_eq!(topics, ["t/device-1", "c/device-2"]);
}

#[test]
fn a_relay_of_a_site_stays_in_the_site() {
    let hubs = json!({"kind": "service", "id": null, "attributes": {"group": "hub"}});
    let mut hub = role("hub", &hubs, &["{site}/c/+"], &["{site}/t/+"], &[]);
    hub["relays"] = json!([{"from": "{site}/t/+", "to": "{site}/c/+", "line": 7}]);
    let radius = analysed(&[
        role(
            "d",
            &devices("d"),
            &["{site}/t/{device}"],
            &["{site}/c/{device}"],
            &[],
        ),
        hub,
    ]);
    assert_eq!(told(&radius, Question::Reach, 0, 0), [[same("site")]]);
}

#[test]
fn relays_chain_and_nothing_flows_where_none_reads() {
    let mut first = role("first", &service("first"), &["b"], &["a"], &[]);
    first["relays"] = json!([{"from": "a", "to": "b", "line": 1}]);
    let mut second = role("second", &service("second"), &["c"], &["b"], &[]);
    second["relays"] = json!([{"from": "b", "to": "c", "line": 1}]);
    let writer = role("w", &devices("w"), &["a"], &[], &[]);
    let reader = role("r", &devices("r"), &[], &["c"], &[]);
    let radius = analysed(&[writer.clone(), reader.clone(), first.clone(), second.clone()]);
    assert_eq!(scope(&radius, Question::Reach, 0, 1), Scope::Everyone);
    let finding = &radius.findings(Question::Reach, 0, 1)[0];
    assert_eq!(radius.witness(Question::Reach, finding).unwrap().hops.len(), 3);
    // A relay goes only from what it reads to what it may write.
    second["relays"] = json!([{"from": "x", "to": "c", "line": 1}]);
    let radius = analysed(&[writer.clone(), reader.clone(), first.clone(), second.clone()]);
    assert_eq!(scope(&radius, Question::Reach, 0, 1), Scope::Isolated);
    // One service may pass on to itself.
    let mut both = role("both", &service("both"), &["b", "c"], &["a", "b"], &[]);
    both["relays"] = json!([{"from": "a", "to": "b", "line": 1}, {"from": "b", "to": "c", "line": 2}]);
    let radius = analysed(&[writer, reader, both]);
    assert_eq!(scope(&radius, Question::Reach, 0, 1), Scope::Everyone);
}

#[test]
fn a_wrong_document_gives_no_answer() {
    for (document, expected) in [
        (json!({}), "document is not readable"),
        (
            json!({"policy_file": "p", "roles": [], "more": 1}),
            "unknown field",
        ),
        (
            json!({"policy_file": "p", "roles": [role("d", &devices("d"), &["a{b}"], &[], &[])]}),
            "bad role \"d\"",
        ),
    ] {
        let error = Radius::analyse(document.to_string().as_bytes()).err().unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let mut relay = role("d", &devices("d"), &[], &[], &[]);
    relay["relays"] = json!([{"from": "a", "to": "b+", "line": 3}]);
    let document = json!({"policy_file": "p", "roles": [relay]}).to_string();
    let error = Radius::analyse(document.as_bytes()).err().unwrap().to_string();
    assert!(
        error.contains("bad topic \"b+\" of role \"d\" (line 3)"),
        "{error}"
    );
}
