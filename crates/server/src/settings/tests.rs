use super::*;
use serde_json::json;

fn minimal() -> Value {
    json!({
        "fleet": "home",
        "listener": {"address": "127.0.0.1", "port": 0},
        "server_certificate": "server.pem",
        "server_key": "server.key",
        "client_authority": "fleet.pem",
        "state_directory": "state",
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut settings = minimal();
    settings[field] = value;
    settings
}

fn error_of(settings: &Value) -> ServeError {
    let error = Settings::parse(&settings.to_string()).expect_err("the settings must be refused");
    assert_eq!(error.kind(), ServeErrorKind::Settings);
    assert!(!error.hint().is_empty());
    error
}

#[test]
fn what_is_left_out_has_defaults() {
    let settings = Settings::parse(&minimal().to_string()).unwrap();
    assert_eq!(settings.listener, "127.0.0.1:0".parse().unwrap());
    assert_eq!(settings.threads, 0);
    assert_eq!(settings.network, NetworkSettings::default());
    assert_eq!(settings.handshake_deadline, HANDSHAKE_DEADLINE);
    assert_eq!(settings.write_deadline, WRITE_DEADLINE);
}

#[test]
fn everything_can_be_set() {
    let mut json = minimal();
    json["threads"] = json!(3);
    json["handshake_deadline_seconds"] = json!(0.25);
    json["write_deadline_seconds"] = json!(5);
    json["network"] = json!({
        "connections_per_address": 1, "handshakes_per_second": 2, "handshake_burst": 3,
        "maximum_connections": 4, "failures_to_ban": 5, "ban_seconds": 6, "banned": ["10.0.0.0/8"],
    });
    json["listener"] = json!({"address": "::", "port": 8883});
    let settings = Settings::parse(&json.to_string()).unwrap();
    assert_eq!(settings.listener, "[::]:8883".parse().unwrap());
    assert_eq!(settings.threads, 3);
    assert_eq!(settings.handshake_deadline, Duration::from_millis(250));
    assert_eq!(settings.write_deadline, Duration::from_secs(5));
    assert_eq!(settings.network.maximum_connections, 4);
    assert_eq!(settings.network.failures_to_ban, 5);
    assert_eq!(settings.network.ban_duration, Duration::from_secs(6));
    assert_eq!(settings.network.banned, ["10.0.0.0/8".parse().unwrap()]);
}

#[test]
fn every_missing_field_is_named() {
    for field in [
        "fleet",
        "listener",
        "server_certificate",
        "server_key",
        "client_authority",
        "state_directory",
    ] {
        let mut settings = minimal();
        settings.as_object_mut().unwrap().remove(field);
        let error = error_of(&settings);
        assert!(
            error.message().contains(&format!("`{field}` is missing")),
            "{error}"
        );
    }
}

#[test]
fn unknown_fields_are_refused_at_every_level() {
    assert!(
        error_of(&with("fleat", json!("home")))
            .message()
            .contains("`fleat` is not known")
    );
    let error = error_of(&with(
        "listener",
        json!({"address": "::1", "port": 1, "tls": false}),
    ));
    assert!(error.message().contains("`listener.tls`"), "{error}");
    let error = error_of(&with("network", json!({"connections_per_adress": 5})));
    assert!(
        error.message().contains("`network.connections_per_adress`"),
        "{error}"
    );
    assert!(error.hint().contains("connections_per_address"), "{error}");
}

#[test]
fn wrong_types_and_ranges_name_the_field() {
    for (field, value) in [
        ("fleet", json!("")),
        ("fleet", json!(7)),
        ("threads", json!(257)),
        ("threads", json!(-1)),
        ("handshake_deadline_seconds", json!(0)),
        ("handshake_deadline_seconds", json!(-3)),
        ("handshake_deadline_seconds", json!(61)),
        ("write_deadline_seconds", json!("soon")),
        ("listener", json!([])),
        ("network", json!(true)),
    ] {
        let error = error_of(&with(field, value.clone()));
        assert!(error.message().contains(field), "{field} = {value}: {error}");
    }
    let error = error_of(&with("listener", json!({"address": "localhost", "port": 1})));
    assert!(error.message().contains("listener.address"), "{error}");
    let error = error_of(&with("listener", json!({"address": "::1", "port": 70_000})));
    assert!(error.message().contains("listener.port"), "{error}");
    let error = error_of(&with("network", json!({"banned": ["10.0.0.0/8", "everybody"]})));
    assert!(error.message().contains("network.banned[1]"), "{error}");
    let error = error_of(&with("network", json!({"handshake_burst": 0})));
    assert!(error.message().contains("network.handshake_burst"), "{error}");
}

#[test]
fn the_limits_themselves_are_allowed() {
    for (field, value) in [
        ("threads", json!(256)),
        ("handshake_deadline_seconds", json!(60)),
        ("write_deadline_seconds", json!(3_600)),
    ] {
        Settings::parse(&with(field, value).to_string()).unwrap();
    }
}

#[test]
fn what_is_not_an_object_is_refused() {
    for text in ["", "[]", "7", "{", "null"] {
        assert_eq!(
            Settings::parse(text).unwrap_err().kind(),
            ServeErrorKind::Settings
        );
    }
}
