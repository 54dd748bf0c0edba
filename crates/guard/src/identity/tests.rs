//! Layer 3.

use motte_mqtt::ReasonCode;
use motte_policy::identity::VALUE_LENGTH;
use proptest::prelude::*;

use crate::testing::{Policy, at, device, facts, principal, service};
use crate::{CLIENT_ID_LENGTH, CertificateFacts, ConnectRequest, Connected, Denial, Layer};

fn request(client_id: &str) -> ConnectRequest<'_> {
    ConnectRequest {
        client_id,
        username: None,
        has_password: false,
        authentication_method: false,
        keep_alive: 30,
        assigned_suffix: "k3v9",
    }
}

/// A device of a role with one connection.
fn as_device(request: ConnectRequest<'_>) -> Result<Connected, Denial> {
    let who = principal(device("a"));
    Policy::new(1)
        .guard()
        .connect(&who, request, 0, at(0))
        .map(crate::Permit::into_action)
}

/// A service of a role with two connections.
fn as_service(request: ConnectRequest<'_>) -> Result<Connected, Denial> {
    let who = principal(service("dashboard"));
    Policy::new(1)
        .guard()
        .connect(&who, request, 0, at(0))
        .map(crate::Permit::into_action)
}

fn refusal(verdict: Result<Connected, Denial>) -> (String, ReasonCode) {
    let denial = verdict.unwrap_err();
    assert_eq!(denial.layer, Layer::Identity);
    (denial.rule.into_owned(), denial.reason)
}

fn wrong_client_id() -> (String, ReasonCode) {
    (
        "identity.client-id".to_owned(),
        ReasonCode::ClientIdentifierNotValid,
    )
}

fn authenticate(change: impl FnOnce(&mut CertificateFacts)) -> Result<String, Denial> {
    let mut facts = facts(&device("a"));
    change(&mut facts);
    let permit = Policy::new(1).guard().authenticate(&facts, at(0))?;
    Ok(permit.action().principal.identity.to_string())
}

#[test]
fn the_identity_comes_from_the_one_uri_name() {
    assert_eq!(authenticate(|_| {}).unwrap(), "device/a");
    let two = authenticate(|facts| facts.uri_names.push("spiffe://home/device/b".to_owned())).unwrap_err();
    assert_eq!((two.layer, &*two.rule), (Layer::Identity, "identity.uri-name"));
    let none = authenticate(|facts| facts.uri_names.clear()).unwrap_err();
    assert_eq!(&*none.rule, "identity.uri-name");
}

#[test]
fn other_fleets_and_other_uris_are_refused() {
    for uri in [
        "spiffe://office/device/a",
        "https://home/device/a",
        "spiffe://home/device/a/b",
        "spiffe://home/device/",
        "spiffe://home/device/+",
        "spiffe://home.evil/device/a",
        "",
    ] {
        let denial = authenticate(|facts| facts.uri_names = vec![uri.to_owned()]).unwrap_err();
        assert_eq!(
            (denial.layer, &*denial.rule),
            (Layer::Identity, "identity.spiffe"),
            "{uri}"
        );
    }
}

#[test]
fn peer_supplied_text_in_a_denial_is_escaped() {
    let denial =
        authenticate(|facts| facts.uri_names = vec!["spiffe://\u{1b}[2J\u{202e}/device/a".to_owned()])
            .unwrap_err();
    assert!(
        denial.detail.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "{}",
        denial.detail
    );
    let denial = as_device(request("\u{1b}]0;owned\u{7}\n")).unwrap_err();
    assert!(
        denial.detail.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "{}",
        denial.detail
    );
}

#[test]
fn revoked_and_quarantined_look_the_same_to_the_peer() {
    let refused = |list: &str| {
        let mut guard = Policy::new(1).except(list, "device/a").guard();
        assert!(guard.authenticate(&facts(&device("b")), at(0)).is_ok());
        guard.authenticate(&facts(&device("a")), at(0)).unwrap_err()
    };
    let (revoked, quarantined) = (refused("revoked"), refused("quarantined"));
    assert_eq!(&*revoked.rule, "identity.revoked");
    assert_eq!(&*quarantined.rule, "identity.quarantined");
    assert_eq!(
        (revoked.layer, quarantined.layer),
        (Layer::Identity, Layer::Identity)
    );
    assert_eq!(
        (revoked.reason, quarantined.reason),
        (ReasonCode::Banned, ReasonCode::Banned)
    );
}

#[test]
fn a_service_is_not_a_device_of_the_same_name() {
    let mut guard = Policy::new(1).except("revoked", "device/dashboard").guard();
    assert!(guard.authenticate(&facts(&service("dashboard")), at(0)).is_ok());
}

#[test]
fn the_client_id_is_the_id() {
    let connected = as_device(request("a")).unwrap();
    assert_eq!((&*connected.client_id, connected.assigned), ("a", false));
    for stranger in ["b", "A", "a ", " a", "aa", "", "device/a", "a/", "а", "a\u{feff}"] {
        if stranger.is_empty() {
            continue;
        }
        assert_eq!(
            refusal(as_device(request(stranger))),
            wrong_client_id(),
            "{stranger:?}"
        );
    }
}

#[test]
fn a_suffix_needs_a_role_with_several_connections() {
    assert_eq!(refusal(as_device(request("a:2"))), wrong_client_id());
    assert_eq!(
        as_service(request("dashboard:2")).unwrap().client_id,
        "dashboard:2"
    );
    assert_eq!(as_service(request("dashboard")).unwrap().client_id, "dashboard");
    for bad in [
        "dashboard:",
        ":dashboard",
        "dashboard:a:b",
        "dashboard:+",
        "dashboard:a/b",
        "dashboar:d",
        ":",
    ] {
        assert_eq!(refusal(as_service(request(bad))), wrong_client_id(), "{bad:?}");
    }
}

#[test]
fn client_ids_are_bounded() {
    let id = "i".repeat(VALUE_LENGTH);
    let policy = Policy::new(1);
    let mut document = policy.document.clone();
    document["roles"][1]["match"]["id"] = serde_json::json!(id);
    let mut guard = Policy { document }.guard();
    let who = principal(service(&id));
    let longest = format!("{id}:{}", "s".repeat(VALUE_LENGTH));
    assert_eq!(longest.len(), CLIENT_ID_LENGTH);
    assert!(guard.connect(&who, request(&longest), 0, at(0)).is_ok());
    let denial = guard
        .connect(&who, request(&format!("{longest}s")), 0, at(0))
        .unwrap_err();
    assert_eq!(&*denial.rule, "identity.client-id");
    assert!(denial.detail.contains("130 bytes"), "{}", denial.detail);
    let huge = "x".repeat(65_535);
    assert!(
        guard
            .connect(&who, request(&huge), 0, at(0))
            .unwrap_err()
            .detail
            .len()
            < 200
    );
}

#[test]
fn an_empty_client_id_gets_one() {
    let connected = as_device(request("")).unwrap();
    assert_eq!((&*connected.client_id, connected.assigned), ("a:k3v9", true));
    for bad in ["", "a b", "+", "a:b", &"x".repeat(VALUE_LENGTH + 1)] {
        let request = ConnectRequest {
            assigned_suffix: bad,
            ..request("")
        };
        assert_eq!(refusal(as_device(request)), wrong_client_id(), "{bad:?}");
    }
}

#[test]
fn the_user_name_is_absent_empty_or_the_id() {
    for username in [None, Some(""), Some("a")] {
        assert!(
            as_device(ConnectRequest {
                username,
                ..request("a")
            })
            .is_ok()
        );
    }
    for username in ["b", "A", "a:2", "device/a"] {
        let request = ConnectRequest {
            username: Some(username),
            ..request("a")
        };
        assert_eq!(
            refusal(as_device(request)),
            ("identity.username".to_owned(), ReasonCode::NotAuthorized),
            "{username}"
        );
    }
}

#[test]
fn passwords_and_authentication_methods_are_refused() {
    let password = ConnectRequest {
        has_password: true,
        ..request("a")
    };
    assert_eq!(
        refusal(as_device(password)),
        ("identity.password".to_owned(), ReasonCode::BadUserNameOrPassword)
    );
    let method = ConnectRequest {
        authentication_method: true,
        ..request("a")
    };
    assert_eq!(
        refusal(as_device(method)),
        (
            "identity.authentication-method".to_owned(),
            ReasonCode::BadAuthenticationMethod
        )
    );
}

#[test]
fn keep_alive_is_never_off_and_never_above_the_role() {
    let effective = |asked: u16| {
        as_device(ConnectRequest {
            keep_alive: asked,
            ..request("a")
        })
        .unwrap()
        .keep_alive
    };
    assert_eq!(effective(0), 60);
    assert_eq!(effective(1), 1);
    assert_eq!(effective(60), 60);
    assert_eq!(effective(61), 60);
    assert_eq!(effective(u16::MAX), 60);
}

proptest! {
    /// Whatever a client calls itself, it is let in under its own id or not at all.
    #[test]
    fn no_client_id_escapes_its_identity(client_id in "(dashboard)?[a-z:+#/$\u{0}-\u{7f}]{0,20}") {
        if let Ok(connected) = as_service(request(&client_id)) {
            let (id, suffix) = connected.client_id.split_once(':').unwrap_or((&connected.client_id, ""));
            prop_assert_eq!(id, "dashboard");
            prop_assert!(!suffix.contains([':', '/', '+', '#', '$', '\0']));
            prop_assert!(connected.assigned || connected.client_id == client_id);
        }
    }
}
