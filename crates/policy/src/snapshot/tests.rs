use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::exceptions::Status;
use crate::identity::Kind;
use crate::limits::{PACKET_OVERHEAD, RoleLimits};
use crate::rights::Action;

/// The default example of a deployment.
pub(crate) fn document() -> Value {
    json!({
        "format": 1, "generation": 7, "fleet": "home", "policy_file": "policy.toml",
        "roles": [
            {
                "name": "toaster", "line": 1,
                "match": {"kind": "device", "id": null, "attributes": {"group": "toaster"}},
                "publish": [
                    {"topic": "toasters/{device}/telemetry", "qos": 2, "retain": false, "will": true, "line": 3},
                    {"topic": "toasters/{device}/state", "qos": 1, "retain": true, "will": true, "line": 4},
                ],
                "subscribe": [{"topic": "toasters/{device}/command", "qos": 2, "line": 6}],
                "deny": [],
                "wildcards": false,
                "share": [],
                "limits": {"messages_per_second": 5, "message_burst": 10, "payload": 4096},
            },
            {
                "name": "dashboard", "line": 10,
                "match": {"kind": "service", "id": "dashboard", "attributes": {}},
                "publish": [{"topic": "toasters/+/command", "qos": 1, "retain": false, "will": false, "line": 12}],
                "subscribe": [
                    {"topic": "toasters/+/telemetry", "qos": 1, "line": 13},
                    {"topic": "toasters/+/state", "qos": 2, "line": 14},
                ],
                "deny": [{"topic": "toasters/secret/#", "actions": ["publish", "subscribe"], "line": 15}],
                "wildcards": true,
                "share": ["dashboards"],
                "limits": {},
            },
        ],
        "exceptions": {
            "revoked_serials": ["0a1b"], "revoked": ["device/toaster-9"],
            "quarantined": ["device/toaster-8"], "banned": ["10.0.0.0/8"],
        },
        "vectors": [
            vector("device", "toaster-1", "publish", "toasters/toaster-1/telemetry", true),
            vector("device", "toaster-1", "publish", "toasters/toaster-2/telemetry", false),
            vector("device", "toaster-1", "subscribe", "toasters/+/command", false),
            vector("device", "toaster-1", "receive", "toasters/toaster-1/command", true),
            vector("device", "toaster-1", "will", "toasters/toaster-1/state", true),
            vector("service", "dashboard", "subscribe", "toasters/x/telemetry", true),
        ],
    })
}

fn vector(kind: &str, id: &str, action: &str, topic: &str, allowed: bool) -> Value {
    let attributes = if kind == "device" {
        json!({"group": "toaster"})
    } else {
        json!({})
    };
    json!({
        "identity": {"kind": kind, "id": id, "attributes": attributes},
        "action": action, "topic": topic, "qos": 0, "retain": false, "allowed": allowed,
    })
}

fn parse(document: &Value) -> Result<Snapshot, SnapshotError> {
    Snapshot::parse(document.to_string().as_bytes())
}

fn identity(kind: Kind, id: &str, pairs: &[(&str, &str)]) -> Identity {
    let attributes: BTreeMap<_, _> = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    Identity::new(kind, id, attributes).unwrap()
}

fn toaster(id: &str) -> Identity {
    identity(Kind::Device, id, &[("group", "toaster"), ("site", "kitchen")])
}

/// The document with the value at a JSON pointer replaced.
fn with(pointer: &str, value: Value) -> Value {
    let mut changed = document();
    *changed.pointer_mut(pointer).unwrap() = value;
    changed
}

fn error_with(pointer: &str, value: Value) -> String {
    parse(&with(pointer, value)).unwrap_err().to_string()
}

#[test]
fn a_good_snapshot_is_read_whole() {
    let text = document().to_string();
    let snapshot = Snapshot::parse(text.as_bytes()).unwrap();
    assert_eq!((snapshot.generation(), snapshot.fleet()), (7, "home"));
    assert_eq!(&**snapshot.source(), text);
    assert_eq!(snapshot.roles().collect::<Vec<_>>(), ["toaster", "dashboard"]);
    assert!(snapshot.exceptions().is_serial_revoked(&[0, 0x0a, 0x1b]));
    assert_eq!(
        snapshot.exceptions().status(&toaster("toaster-9")),
        Status::Revoked
    );
    assert_eq!(
        snapshot.exceptions().status(&toaster("toaster-8")),
        Status::Quarantined
    );
    assert_eq!(
        snapshot.exceptions().status(&toaster("toaster-1")),
        Status::Active
    );
    assert_eq!(snapshot.exceptions().banned(), ["10.0.0.0/8".parse().unwrap()]);
}

#[test]
fn roles_match_kind_id_and_every_attribute() {
    let snapshot = parse(&document()).unwrap();
    let roles = |identity: &Identity| {
        snapshot
            .bind(identity)
            .roles()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(roles(&toaster("a")), ["toaster"]);
    assert!(roles(&identity(Kind::Device, "a", &[("group", "kettle")])).is_empty());
    assert!(roles(&identity(Kind::Device, "dashboard", &[])).is_empty());
    assert!(roles(&identity(Kind::Service, "a", &[("group", "toaster")])).is_empty());
    assert_eq!(roles(&identity(Kind::Service, "dashboard", &[])), ["dashboard"]);
    assert!(roles(&identity(Kind::Service, "dashboard2", &[])).is_empty());
}

#[test]
fn limits_left_out_are_those_of_the_kind_and_the_strictest_hold() {
    let snapshot = parse(&document()).unwrap();
    let limits = snapshot.bind(&toaster("a")).limits().clone();
    let expected = RoleLimits {
        messages_per_second: 5,
        message_burst: 10,
        payload: 4096,
        packet: 4096 + PACKET_OVERHEAD,
        ..RoleLimits::DEVICE
    };
    assert_eq!(limits, expected);
    let service = identity(Kind::Service, "dashboard", &[]);
    assert_eq!(*snapshot.bind(&service).limits(), RoleLimits::SERVICE);

    let mut two = document();
    let mut second = two["roles"][0].clone();
    second["name"] = json!("second");
    second["limits"] = json!({"messages_per_second": 100, "inflight": 3, "payload": 100, "byte_burst": 100});
    two["roles"].as_array_mut().unwrap().push(second);
    let limits = parse(&two).unwrap().bind(&toaster("a")).limits().clone();
    assert_eq!(limits.messages_per_second, 5);
    assert_eq!(limits.inflight, 3);
    assert_eq!(limits.payload, 100);
    assert_eq!(limits.byte_burst, 100);
}

#[test]
fn the_head_is_checked() {
    assert_eq!(
        error_with("/format", json!(2)),
        "snapshot format 2, this version reads format 1"
    );
    assert_eq!(
        error_with("/generation", json!(0)),
        "bad `generation` in the snapshot: it is 0, count from 1"
    );
    for fleet in ["", "Home", "home/x", "home:1"] {
        assert!(
            error_with("/fleet", json!(fleet)).starts_with("bad `fleet`"),
            "{fleet}"
        );
    }
    for file in [
        String::new(),
        "a\nb".to_owned(),
        "x".repeat(POLICY_FILE_LENGTH + 1),
    ] {
        assert!(error_with("/policy_file", json!(file)).starts_with("bad `policy_file`"));
    }
    assert!(parse(&with("/policy_file", json!("x".repeat(POLICY_FILE_LENGTH)))).is_ok());
}

#[test]
fn another_format_is_named_even_if_its_shape_is_unknown() {
    let error = Snapshot::parse(br#"{"format": 2, "policies": []}"#).unwrap_err();
    assert!(matches!(error, SnapshotError::Format { found: 2 }), "{error}");
}

#[test]
fn unknown_missing_duplicate_and_trailing_things_are_refused() {
    let text = document().to_string();
    let broken = [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        text.replacen("\"fleet\"", "\"unknown\":1,\"fleet\"", 1),
        text.replacen("\"fleet\":\"home\",", "", 1),
        text.replacen("\"fleet\"", "\"fleet\":\"home\",\"fleet\"", 1),
        text.replacen(
            "{\"group\":\"toaster\"}",
            "{\"group\":\"kettle\",\"group\":\"toaster\"}",
            1,
        ),
        text.replacen("\"message_burst\"", "\"message_brust\"", 1),
        format!("{text} {{}}"),
        format!("\u{feff}{text}"),
        text.replacen("\"generation\":7", "\"generation\":7.0", 1),
        text.replacen("\"generation\":7", "\"generation\":-7", 1),
        text.replacen("\"generation\":7", "\"generation\":\"7\"", 1),
        text.replacen("\"qos\":2", "\"qos\":256", 1),
        text.replacen("\"kind\":\"device\"", "\"kind\":\"Device\"", 1),
    ];
    for document in broken {
        let error = Snapshot::parse(document.as_bytes()).unwrap_err();
        assert!(matches!(error, SnapshotError::Shape { .. }), "{document} {error}");
    }
    for length in 0..text.len() {
        assert!(Snapshot::parse(&text.as_bytes()[..length]).is_err(), "{length}");
    }
    let mut latin = text.into_bytes();
    latin.push(0xfc);
    assert!(matches!(
        Snapshot::parse(&latin),
        Err(SnapshotError::Encoding { .. })
    ));
}

#[test]
fn every_field_is_needed_but_share_and_the_limits() {
    fn leave_out(value: &Value, path: &str, paths: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                for (key, inner) in object {
                    paths.push(format!("{path}/{key}"));
                    leave_out(inner, &format!("{path}/{key}"), paths);
                }
            }
            Value::Array(array) => {
                for (index, inner) in array.iter().enumerate() {
                    leave_out(inner, &format!("{path}/{index}"), paths);
                }
            }
            _ => {}
        }
    }
    let mut paths = Vec::new();
    leave_out(&document(), "", &mut paths);
    let optional = |path: &str| {
        let inside = ["/limits/", "/attributes/"];
        inside.iter().any(|part| path.contains(part))
            || path.ends_with("match/id")
            || path.ends_with("/share")
    };
    for path in paths.iter().filter(|path| !optional(path)) {
        let (parent, key) = path.rsplit_once('/').unwrap();
        let mut changed = document();
        changed
            .pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove(key)
            .unwrap();
        let error = parse(&changed).unwrap_err();
        assert!(matches!(error, SnapshotError::Shape { .. }), "{path}: {error}");
    }
}

#[test]
fn roles_are_checked() {
    let cases = [
        ("/roles/0/name", json!(""), "bad role \"\" (line 1): bad name"),
        (
            "/roles/0/name",
            json!("a b"),
            "bad role \"a b\" (line 1): bad name",
        ),
        (
            "/roles/1/name",
            json!("toaster"),
            "bad role \"toaster\" (line 10): the name is taken",
        ),
        (
            "/roles/0/match/attributes",
            json!({"device": "x"}),
            "bad role \"toaster\" (line 1): bad `match`",
        ),
        (
            "/roles/0/match/attributes",
            json!({"group": "+"}),
            "bad role \"toaster\" (line 1): bad `match`",
        ),
        (
            "/roles/0/match/id",
            json!("a/b"),
            "bad role \"toaster\" (line 1): bad `match`",
        ),
        (
            "/roles/0/wildcards",
            json!(true),
            "bad role \"toaster\" (line 1): `wildcards = true` for devices",
        ),
        (
            "/roles/0/share",
            json!(["g"]),
            "bad role \"toaster\" (line 1): `share` for devices",
        ),
        (
            "/roles/1/share",
            json!(["g", "a/b"]),
            "bad role \"dashboard\" (line 10): bad group \"a/b\" in `share`",
        ),
        (
            "/roles/1/share",
            json!(["+"]),
            "bad role \"dashboard\" (line 10): bad group \"+\" in `share`",
        ),
        (
            "/roles/1/share",
            json!(vec!["g"; SHARES + 1]),
            "bad role \"dashboard\" (line 10): 17 groups in `share`",
        ),
        (
            "/roles/0/publish/1/qos",
            json!(3),
            "bad role \"toaster\" (line 1): QoS 3 (line 4)",
        ),
        (
            "/roles/0/subscribe/0/qos",
            json!(3),
            "bad role \"toaster\" (line 1): QoS 3 (line 6)",
        ),
        (
            "/roles/0/publish/0/topic",
            json!("dev-{device}"),
            "bad role \"toaster\" (line 1): bad topic",
        ),
        (
            "/roles/0/subscribe/0/topic",
            json!("$share/g/x"),
            "bad role \"toaster\" (line 1): bad topic",
        ),
        (
            "/roles/1/deny/0/topic",
            json!("a/#/b"),
            "bad role \"dashboard\" (line 10): bad topic",
        ),
        (
            "/roles/1/deny/0/actions",
            json!([]),
            "bad role \"dashboard\" (line 10): denial without actions (line 15)",
        ),
    ];
    for (pointer, value, expected) in cases {
        let error = error_with(pointer, value);
        assert!(error.starts_with(expected), "{pointer}: {error}");
    }
    assert!(
        error_with("/roles/1/deny/0/actions", json!(["receive"])).starts_with("snapshot is not readable")
    );
}

#[test]
fn limits_that_disagree_are_refused() {
    for limits in [
        json!({"inflight": 0}),
        json!({"connections": 0}),
        json!({"sessions": 0}),
        json!({"keep_alive": 0}),
        json!({"message_expiry": 0}),
        json!({"packet": 0, "payload": 0}),
        json!({"message_burst": 0}),
        json!({"packet": 268_435_461}),
        json!({"payload": 10, "packet": 9}),
        json!({"payload": 10, "byte_burst": 9}),
    ] {
        let error = error_with("/roles/0/limits", limits.clone());
        assert!(error.contains("limit `"), "{limits}: {error}");
    }
    for limits in [
        json!({"messages_per_second": 0, "message_burst": 0, "bytes_per_second": 0, "byte_burst": 0}),
        json!({"packet": 268_435_460}),
        json!({"payload": 10, "packet": 10, "byte_burst": 10}),
        json!({"payload": 1_048_576}),
        json!({"subscriptions": 0, "topic_aliases": 0, "queue_messages": 0, "session_expiry": 0}),
    ] {
        assert!(
            parse(&with("/roles/0/limits", limits.clone())).is_ok(),
            "{limits}"
        );
    }
    assert!(error_with("/roles/0/limits", json!({"unknown": 1})).starts_with("snapshot is not readable"));
}

#[test]
fn exceptions_are_checked() {
    for (list, entry) in [
        ("revoked_serials", "xyz"),
        ("revoked_serials", ""),
        ("revoked", "toaster-9"),
        ("revoked", "device/"),
        ("quarantined", "toaster/x"),
        ("banned", "10.0.0.1/8"),
        ("banned", "localhost"),
    ] {
        let error = error_with(&format!("/exceptions/{list}"), json!([entry]));
        assert!(
            error.starts_with(&format!("bad entry in `exceptions.{list}`")),
            "{error}"
        );
    }
}

#[test]
fn bounds_hold_at_the_limit_and_not_past_it() {
    let rules = |count: usize| json!(vec![json!({"topic": "a", "qos": 0, "line": 1}); count]);
    assert!(parse(&with("/roles/0/subscribe", rules(RULES_PER_LIST + 1))).is_err());
    let mut full = with("/roles/0/subscribe", rules(RULES_PER_LIST));
    full["vectors"] = json!([]);
    assert!(parse(&full).is_ok());

    let banned = |count: usize| {
        (0..count)
            .map(|index| format!("10.0.{}.{}", index / 256, index % 256))
            .collect()
    };
    let list = |count: usize| -> Vec<String> { banned(count) };
    assert!(parse(&with("/exceptions/banned", json!(list(BANNED)))).is_ok());
    assert!(parse(&with("/exceptions/banned", json!(list(BANNED + 1)))).is_err());

    let vectors = |count: usize| json!(vec![vector("device", "a", "publish", "x", false); count]);
    assert!(parse(&with("/vectors", vectors(VECTORS))).is_ok());
    assert!(parse(&with("/vectors", vectors(VECTORS + 1))).is_err());

    let role = |index: usize| {
        json!({
            "name": format!("r{index}"), "line": 1, "match": {"kind": "device", "id": null, "attributes": {}},
            "publish": [], "subscribe": [], "deny": [], "wildcards": false, "limits": {},
        })
    };
    let roles = |count: usize| {
        let mut changed = with("/roles", json!((0..count).map(role).collect::<Vec<_>>()));
        changed["vectors"] = json!([]);
        changed
    };
    assert!(parse(&roles(ROLES)).is_ok());
    assert!(parse(&roles(ROLES + 1)).is_err());

    let mut padded = document().to_string();
    padded.push_str(&" ".repeat(SNAPSHOT_LENGTH - padded.len()));
    assert!(Snapshot::parse(padded.as_bytes()).is_ok());
    padded.push(' ');
    assert!(matches!(
        Snapshot::parse(padded.as_bytes()),
        Err(SnapshotError::TooLong { .. })
    ));
}

#[test]
fn vectors_have_to_hold() {
    for index in 0..document()["vectors"].as_array().unwrap().len() {
        let pointer = format!("/vectors/{index}/allowed");
        let flipped = !document().pointer(&pointer).unwrap().as_bool().unwrap();
        let error = parse(&with(&pointer, json!(flipped))).unwrap_err();
        assert!(
            matches!(error, SnapshotError::VectorFailed { index: found, .. } if found == index),
            "{error}"
        );
    }
    assert_eq!(
        error_with("/vectors/1/allowed", json!(true)),
        "test vector 1 does not hold: device/toaster-1 publish \"toasters/toaster-2/telemetry\" \
         (QoS 0, retain false) should be allowed, but is denied (no grant covers it; \
         nearest: policy.toml:3 role.toaster publish \"toasters/{device}/telemetry\")"
    );
    assert_eq!(
        error_with("/vectors/0/allowed", json!(false)),
        "test vector 0 does not hold: device/toaster-1 publish \"toasters/toaster-1/telemetry\" \
         (QoS 0, retain false) should be denied, but is allowed \
         (policy.toml:3 role.toaster publish \"toasters/{device}/telemetry\")"
    );
    assert!(error_with("/vectors/0/identity/id", json!("a/b")).starts_with("bad test vector 0: bad id"));
}

#[test]
fn an_identity_value_is_never_read_as_part_of_a_pattern() {
    // Valid ids that look like other syntax stay one literal level.
    let snapshot = parse(&document()).unwrap();
    for id in ["...", "-", "_", "device", "command"] {
        let rights = snapshot.bind(&toaster(id));
        let may = |topic: &str| rights.decide(Action::Publish, topic, 0, false).is_allowed();
        assert!(may(&format!("toasters/{id}/telemetry")), "{id}");
        assert!(!may("toasters/other/telemetry"), "{id}");
        assert!(!may(&format!("toasters/{id}/x/telemetry")), "{id}");
    }
}
