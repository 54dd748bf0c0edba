//! The pipeline: order of the layers, and what holds on every path.

mod delivery;

use std::sync::Arc;

use motte_mqtt::{QoS, ReasonCode};
use motte_policy::Rights;
use proptest::prelude::*;
use serde_json::json;

use super::Guard;
use crate::denials::INDIVIDUAL_RECORDS;
use crate::testing::{FLEET, Policy, at, device, facts, principal, service};
use crate::{
    ConnectRequest, Denial, GuardSettings, InstallError, Layer, Now, Permit, Principal, Provenance,
    PublishRequest, Published, RetainRequest, SessionRequest, SubscribeRequest, WillRequest,
};

const TELEMETRY: &str = "toasters/a/telemetry";

fn message(topic: &str) -> PublishRequest<'_> {
    PublishRequest {
        topic,
        qos: QoS::AtLeastOnce,
        retain: false,
        payload_len: 8,
        response_topic: None,
    }
}

fn last_will(topic: &str) -> WillRequest<'_> {
    WillRequest {
        topic,
        qos: QoS::AtLeastOnce,
        retain: false,
        payload_len: 8,
        response_topic: None,
    }
}

fn subscription(filter: &str) -> SubscribeRequest<'_> {
    SubscribeRequest {
        filter,
        qos: QoS::ExactlyOnce,
        existing: 0,
        is_new: true,
        search: 0,
        group: None,
    }
}

fn hello(client_id: &str) -> ConnectRequest<'_> {
    ConnectRequest {
        client_id,
        username: None,
        has_password: false,
        authentication_method: false,
        keep_alive: 30,
        assigned_suffix: "x",
    }
}

const KEEP: RetainRequest = RetainRequest {
    messages_held: 0,
    bytes_held: 0,
    payload_len: 8,
    replaces: false,
};

fn live(generation: u64) -> Provenance {
    Provenance {
        generation,
        retain: false,
        will: false,
        qos: 1,
    }
}

fn named(denial: &Denial) -> (Layer, &str) {
    (denial.layer, &denial.rule)
}

/// The place of that question in [`ask_everything`].
const RESUBSCRIBE: usize = 7;

/// Asks everything that needs a permit, and returns the denials: `None` for what passed.
fn ask_everything(guard: &mut Guard, who: &Arc<Principal>, rights: &Rights, now: Now) -> Vec<Option<Denial>> {
    vec![
        guard.authenticate(&facts(&who.identity), now).err(),
        guard.connect(who, hello(&who.identity.id), 0, now).err(),
        guard
            .session(
                who,
                rights,
                SessionRequest {
                    sessions_held: 0,
                    resumes: false,
                },
                now,
            )
            .err(),
        guard.will(who, rights, last_will(TELEMETRY), now).err(),
        guard.publish(who, rights, message(TELEMETRY), now).err(),
        guard.release(who, rights, message(TELEMETRY), now).err(),
        guard
            .subscribe(who, rights, subscription("toasters/a/command"), now)
            .err(),
        guard
            .resubscribe(who, rights, subscription("toasters/a/command"))
            .err(),
        guard.retain(who, rights, KEEP).err(),
        guard
            .deliver(rights, who, live(guard.generation()), "toasters/a/command")
            .err(),
    ]
}

#[test]
fn with_a_policy_and_a_role_everything_passes() {
    let mut guard = Policy::new(1).guard();
    let who = principal(device("a"));
    let rights = guard.rights(&who.identity);
    let denials = ask_everything(&mut guard, &who, &rights, at(0));
    assert!(denials.iter().all(Option::is_none), "{denials:?}");
    assert_eq!(guard.standing(&who, at(0)), Ok(()));
}

#[test]
fn without_a_policy_everything_is_denied() {
    let mut guard = Guard::new(GuardSettings::new(FLEET));
    let who = principal(device("a"));
    assert!(guard.rights(&who.identity).roles().is_empty());
    assert_eq!(guard.generation(), 0);
    // Neither its own rights nor rights that somebody bound elsewhere help.
    let bound = Policy::new(1).snapshot().bind(&who.identity);
    for rights in [&*guard.rights(&who.identity), &bound] {
        for (index, denial) in ask_everything(&mut guard, &who, rights, at(0))
            .into_iter()
            .enumerate()
        {
            let denial = denial.unwrap_or_else(|| panic!("request {index} passed"));
            assert_eq!(denial.layer, Layer::Authorization, "request {index}");
        }
    }
    assert_eq!(
        named(&guard.standing(&who, at(0)).unwrap_err()),
        (Layer::Authorization, "authorization.no-policy")
    );
    assert_eq!(guard.counters().passed, crate::PassedCounters::default());
}

#[test]
fn an_identity_without_a_role_is_refused_at_connect() {
    let mut guard = Policy::new(1).guard();
    let who = principal(service("stranger"));
    assert!(guard.authenticate(&facts(&who.identity), at(0)).is_ok());
    let denial = guard.connect(&who, hello("stranger"), 0, at(0)).unwrap_err();
    assert_eq!(named(&denial), (Layer::Authorization, "authorization.no-role"));
    assert_eq!(denial.reason, ReasonCode::NotAuthorized);
    assert_eq!(
        named(&guard.standing(&who, at(0)).unwrap_err()),
        (Layer::Authorization, "authorization.no-role")
    );
    let rights = guard.rights(&who.identity);
    let denials = ask_everything(&mut guard, &who, &rights, at(0));
    assert!(denials[1..].iter().all(Option::is_some), "{denials:?}");
}

#[test]
fn exceptions_and_expiry_hold_for_every_request_of_a_connected_client() {
    let who = principal(device("a"));
    for (list, entry, rule) in [
        ("revoked", "device/a", "identity.revoked"),
        ("quarantined", "device/a", "identity.quarantined"),
        ("revoked_serials", "4d01", "tls.revoked"),
    ] {
        let mut guard = Policy::new(1).except(list, entry).guard();
        // Even if the connection still held rights of this generation.
        let rights = Policy::new(1).snapshot().bind(&who.identity);
        let denials = ask_everything(&mut guard, &who, &rights, at(0));
        for (index, denial) in denials[..9].iter().enumerate() {
            // A superseded certificate may do nothing, but the subscriptions of its identity stay.
            let expected = (index != RESUBSCRIBE || list != "revoked_serials").then_some(rule);
            assert_eq!(
                denial.as_ref().map(|denial| &*denial.rule),
                expected,
                "request {index}"
            );
        }
        assert_eq!(
            guard.standing(&who, at(0)).unwrap_err().reason,
            ReasonCode::AdministrativeAction
        );
    }
    let mut guard = Policy::new(1).guard();
    let rights = guard.rights(&who.identity);
    assert!(
        guard
            .publish(&who, &rights, message(TELEMETRY), at(100_000))
            .is_ok()
    );
    let denial = guard
        .publish(&who, &rights, message(TELEMETRY), at(100_001))
        .unwrap_err();
    assert_eq!(named(&denial), (Layer::Tls, "tls.expired"));
    assert_eq!(guard.standing(&who, at(100_000)), Ok(()));
    assert_eq!(
        guard.standing(&who, at(100_001)).unwrap_err().reason,
        ReasonCode::MaximumConnectTime
    );
}

#[test]
fn what_waits_outlives_the_certificate_of_its_owner() {
    let mut guard = Policy::new(1).guard();
    let who = principal(device("a"));
    let rights = guard.rights(&who.identity);
    let late = at(200_000);
    assert!(guard.will(&who, &rights, last_will(TELEMETRY), late).is_ok());
    assert!(
        guard
            .resubscribe(&who, &rights, subscription("toasters/a/command"))
            .is_ok()
    );
    assert!(guard.retain(&who, &rights, KEEP).is_ok());
    assert!(
        guard
            .subscribe(&who, &rights, subscription("toasters/a/command"), late)
            .is_err()
    );
}

#[test]
fn wills_that_are_due_have_a_rate_of_their_own_and_use_up_that_of_messages() {
    let mut guard = Policy::new(1).guard();
    let who = principal(device("a"));
    let rights = guard.rights(&who.identity);
    for _ in 0..3 {
        assert!(guard.publish(&who, &rights, message(TELEMETRY), at(0)).is_ok());
    }
    assert!(guard.publish(&who, &rights, message(TELEMETRY), at(0)).is_err());
    for round in 0..crate::WILL_BURST {
        let due = guard.will_due(&who, &rights, last_will(TELEMETRY), at(0));
        assert!(due.is_ok(), "will {round} of a sender without budget");
    }
    let denial = guard
        .will_due(&who, &rights, last_will(TELEMETRY), at(0))
        .unwrap_err();
    assert_eq!(named(&denial), (Layer::Quota, "quota.wills"));
    assert!(guard.will_due(&who, &rights, last_will(TELEMETRY), at(1)).is_ok());
    // The burst of three is back after a second; one of them went with the will.
    for passes in [true, true, false] {
        let published = guard.publish(&who, &rights, message(TELEMETRY), at(1));
        assert_eq!(published.is_ok(), passes);
    }
}

#[test]
fn rights_outlive_an_installation_that_grants_the_same_but_not_for_the_excluded() {
    let mut guard = Policy::new(1).guard();
    let (who, thief) = (principal(device("a")), principal(device("b")));
    let old = guard.rights(&who.identity);
    let stolen = guard.rights(&thief.identity);
    let excluding = Policy::new(2).except("revoked", "device/b");
    guard.install(excluding.snapshot()).unwrap();
    assert!(Arc::ptr_eq(&old, &guard.rights(&who.identity)));
    let denials = ask_everything(&mut guard, &who, &old, at(0));
    assert!(denials.iter().all(Option::is_none), "{denials:?}");
    assert!(guard.rights(&thief.identity).roles().is_empty());
    let denials = ask_everything(&mut guard, &thief, &stolen, at(0));
    assert!(denials[..9].iter().all(Option::is_some), "{denials:?}");
    // Who is let in again has its rights again.
    guard.install(Policy::new(3).snapshot()).unwrap();
    assert!(!guard.rights(&thief.identity).roles().is_empty());
}

/// The policy with one rule on another line: nothing that is granted changes, what evidence says does.
fn changed(generation: u64) -> Policy {
    let mut policy = Policy::new(generation);
    policy.document["roles"][0]["publish"][0]["line"] = json!(99);
    policy
}

#[test]
fn rights_of_a_policy_that_came_back_are_bound_anew() {
    let mut guard = Policy::new(1).guard();
    let who = principal(device("a"));
    let old = guard.rights(&who.identity);
    guard.install(changed(2).snapshot()).unwrap();
    guard.install(Policy::new(3).snapshot()).unwrap();
    let denial = guard.publish(&who, &old, message(TELEMETRY), at(0)).unwrap_err();
    assert_eq!(&*denial.rule, "authorization.stale-rights");
}

#[test]
fn rights_from_before_another_policy_decide_nothing() {
    let mut guard = Policy::new(1).guard();
    let who = principal(device("a"));
    let old = guard.rights(&who.identity);
    guard.install(changed(2).snapshot()).unwrap();
    for denial in &ask_everything(&mut guard, &who, &old, at(0))[2..] {
        assert_eq!(
            denial.as_ref().map(|denial| &*denial.rule),
            Some("authorization.stale-rights")
        );
    }
    let new = guard.rights(&who.identity);
    assert!(guard.publish(&who, &new, message(TELEMETRY), at(0)).is_ok());
}

#[test]
fn only_newer_policies_of_the_same_fleet_are_installed() {
    let mut guard = Policy::new(7).guard();
    let other = Policy::new(8).with("fleet", json!("office")).snapshot();
    assert!(matches!(
        guard.install(other),
        Err(InstallError::OtherFleet { .. })
    ));
    assert_eq!(
        guard.install(Policy::new(6).snapshot()),
        Err(InstallError::OlderGeneration {
            found: 6,
            installed: 7
        })
    );
    assert_eq!(
        guard.install(Policy::new(7).except("revoked", "device/a").snapshot()),
        Err(InstallError::SameGeneration { generation: 7 })
    );
    let who = principal(device("a"));
    let rights = guard.rights(&who.identity);
    assert_eq!(guard.install(Policy::new(7).snapshot()), Ok(()));
    assert!(
        Arc::ptr_eq(&rights, &guard.rights(&who.identity)),
        "nothing has changed"
    );
    assert_eq!(guard.generation(), 7);
    assert_eq!(guard.install(Policy::new(8).snapshot()), Ok(()));
    assert_eq!(guard.generation(), 8);
    assert_eq!(guard.snapshot().map(|snapshot| snapshot.generation()), Some(8));
}

#[test]
fn connections_are_limited_by_role() {
    let mut guard = Policy::new(1).guard();
    let who = principal(device("a"));
    assert!(guard.connect(&who, hello("a"), 0, at(0)).is_ok());
    let denial = guard.connect(&who, hello("a"), 1, at(0)).unwrap_err();
    assert_eq!(named(&denial), (Layer::Quota, "quota.connections"));
    let who = principal(service("dashboard"));
    assert!(guard.connect(&who, hello("dashboard:2"), 1, at(0)).is_ok());
    assert!(guard.connect(&who, hello("dashboard:3"), 2, at(0)).is_err());
}

#[test]
fn the_first_layer_that_refuses_is_named() {
    let mut guard = Policy::new(1).guard();
    let who = principal(device("a"));
    let rights = guard.rights(&who.identity);
    let bad = PublishRequest {
        payload_len: 65,
        ..message("toasters/b/command")
    };
    // Wrong topic and too large: authorization stands before protocol.
    assert_eq!(
        guard.publish(&who, &rights, bad, at(0)).unwrap_err().layer,
        Layer::Authorization
    );
    let large = PublishRequest {
        payload_len: 65,
        ..message(TELEMETRY)
    };
    // And the rate before both: each attempt, denied or not, has used it up.
    assert_eq!(
        guard.publish(&who, &rights, large, at(0)).unwrap_err().layer,
        Layer::Quota
    );
    assert_eq!(
        guard.publish(&who, &rights, large, at(10)).unwrap_err().layer,
        Layer::Protocol
    );
    let denial = guard.connect(&who, hello("b"), 99, at(0)).unwrap_err();
    assert_eq!(denial.layer, Layer::Identity);
}

#[test]
fn a_permit_says_what_was_permitted_by_what() {
    let mut guard = Policy::new(3).guard();
    let who = principal(device("a"));
    let rights = guard.rights(&who.identity);
    let request = PublishRequest {
        qos: QoS::ExactlyOnce,
        retain: true,
        ..message("toasters/a/state")
    };
    let permit: Permit<Published> = guard.publish(&who, &rights, request, at(0)).unwrap();
    assert_eq!(permit.generation(), 3);
    assert_eq!(
        permit.rule().unwrap().as_str(),
        "policy.toml:3 role.toaster publish \"toasters/{device}/state\""
    );
    let expected = Provenance {
        generation: 3,
        retain: true,
        will: false,
        qos: 2,
    };
    assert_eq!(permit.into_action().provenance, expected);
    let permit = guard.will(&who, &rights, last_will(TELEMETRY), at(0)).unwrap();
    assert_eq!(
        permit.action().provenance,
        Provenance {
            generation: 3,
            retain: false,
            will: true,
            qos: 1
        }
    );
}

#[test]
fn a_subscription_is_granted_at_the_lower_quality_of_both() {
    let mut guard = Policy::new(1).guard();
    let who = principal(device("a"));
    let rights = guard.rights(&who.identity);
    for (asked, granted) in [
        (QoS::AtMostOnce, QoS::AtMostOnce),
        (QoS::AtLeastOnce, QoS::AtLeastOnce),
        (QoS::ExactlyOnce, QoS::AtLeastOnce),
    ] {
        let request = SubscribeRequest {
            qos: asked,
            ..subscription("toasters/a/command")
        };
        let permit = guard.subscribe(&who, &rights, request, at(0)).unwrap();
        assert_eq!(permit.action().maximum_qos, granted);
    }
    let full = SubscribeRequest {
        existing: 2,
        ..subscription("toasters/a/command")
    };
    assert_eq!(
        guard.subscribe(&who, &rights, full, at(0)).unwrap_err().reason,
        ReasonCode::QuotaExceeded
    );
    assert!(guard.resubscribe(&who, &rights, full).is_ok());
}

#[test]
fn a_response_topic_is_judged_on_publish_release_and_will() {
    let mut guard = Policy::new(1).guard();
    let who = principal(device("a"));
    let rights = guard.rights(&who.identity);
    for (topic, passes) in [("toasters/a/command", true), ("toasters/b/command", false)] {
        let request = PublishRequest {
            response_topic: Some(topic),
            ..message(TELEMETRY)
        };
        assert_eq!(guard.publish(&who, &rights, request, at(0)).is_ok(), passes);
        assert_eq!(guard.release(&who, &rights, request, at(0)).is_ok(), passes);
        let request = WillRequest {
            response_topic: Some(topic),
            ..last_will(TELEMETRY)
        };
        assert_eq!(guard.will(&who, &rights, request, at(0)).is_ok(), passes);
    }
}

#[test]
fn a_large_will_is_refused() {
    let mut guard = Policy::new(1).guard();
    let who = principal(device("a"));
    let rights = guard.rights(&who.identity);
    let at_limit = WillRequest {
        payload_len: 64,
        ..last_will(TELEMETRY)
    };
    assert!(guard.will(&who, &rights, at_limit, at(0)).is_ok());
    let past_it = WillRequest {
        payload_len: 65,
        ..last_will(TELEMETRY)
    };
    assert_eq!(
        named(&guard.will(&who, &rights, past_it, at(0)).unwrap_err()),
        (Layer::Protocol, "protocol.payload")
    );
}

#[test]
fn rates_survive_reconnects_and_new_policies_and_release_is_free() {
    let mut guard = Policy::new(1).guard();
    let who = principal(device("a"));
    let rights = guard.rights(&who.identity);
    for _ in 0..3 {
        assert!(guard.publish(&who, &rights, message(TELEMETRY), at(0)).is_ok());
    }
    let denial = guard
        .publish(&who, &rights, message(TELEMETRY), at(0))
        .unwrap_err();
    assert_eq!(
        (denial.layer, denial.reason),
        (Layer::Quota, ReasonCode::MessageRateTooHigh)
    );
    assert!(guard.release(&who, &rights, message(TELEMETRY), at(0)).is_ok());
    let again = principal(device("a"));
    assert!(guard.connect(&again, hello("a"), 0, at(0)).is_ok());
    assert!(guard.publish(&again, &rights, message(TELEMETRY), at(0)).is_err());
    guard
        .install(Policy::new(2).with_limit(0, "message_burst", 1000).snapshot())
        .unwrap();
    let rights = guard.rights(&who.identity);
    assert!(guard.publish(&again, &rights, message(TELEMETRY), at(0)).is_err());
    guard.prune(at(0));
    assert!(guard.publish(&again, &rights, message(TELEMETRY), at(0)).is_err());
}

#[test]
fn many_denials_disconnect_and_those_of_others_do_not() {
    let mut guard = Guard::new(GuardSettings {
        denials_to_disconnect: 3,
        ..GuardSettings::new(FLEET)
    });
    let denial = guard.authenticate(&facts(&device("a")), at(0)).unwrap_err();
    assert!(!guard.denied(&device("a"), &denial, at(0)).disconnect);
    // Told, and no strike.
    assert_eq!(guard.withheld(&device("a"), &denial, at(0)), Some(1));
    assert!(!guard.denied(&device("a"), &denial, at(0)).disconnect);
    assert!(!guard.denied(&device("b"), &denial, at(0)).disconnect);
    assert!(guard.denied(&device("a"), &denial, at(0)).disconnect);
    let address = "2001:db8::1".parse().unwrap();
    for _ in 0..INDIVIDUAL_RECORDS {
        assert_eq!(guard.denied_address(address, &denial, at(0)).record, Some(1));
    }
    // The same block of addresses, so only counted.
    let neighbour = "2001:db8::2".parse().unwrap();
    assert_eq!(guard.denied_address(neighbour, &denial, at(0)).record, None);
    let overdue = guard.overdue_denials(at(60));
    let counts: Vec<u64> = overdue.iter().map(|overdue| overdue.count).collect();
    assert_eq!(counts, [1]);
    assert!(guard.remaining_denials(at(60)).is_empty());
}

#[test]
fn everything_is_counted_once() {
    let mut guard = Policy::new(1).guard();
    let who = principal(device("a"));
    let rights = guard.rights(&who.identity);
    let denials = ask_everything(&mut guard, &who, &rights, at(0));
    assert!(denials.iter().all(Option::is_none));
    let _ = guard.publish(&who, &rights, message("x"), at(0));
    let _ = guard.violation("MQTT-3.1.0-2", ReasonCode::ProtocolError, "a second CONNECT");
    let counters = serde_json::to_value(guard.counters()).unwrap();
    assert_eq!(
        counters,
        json!({
            "refused": {
                "network": 0, "tls": 0, "fingerprint": 0, "identity": 0, "authorization": 1, "protocol": 1,
                "quota": 0, "detection": 0, "evidence": 0
            },
            "passed": {
                "authenticate": 1, "connect": 1, "session": 1, "will": 1, "publish": 1, "release": 1,
                "subscribe": 2, "retain": 1, "deliver": 1
            }
        })
    );
    assert_eq!(guard.counters().refused_in_total(), 2);
}

proptest! {
    /// The blast radius of one stolen device, by any topic and on any path: itself.
    #[test]
    fn no_topic_leads_from_one_device_to_another(
        topic in "(toasters|\\$SYS|\\$share|[ab+#]|)(/([abc]|\\+|#|telemetry|state|command|\u{1f}|)){0,4}",
        retain in any::<bool>(),
    ) {
        let mut guard = Policy::new(1).guard();
        let who = principal(device("a"));
        let rights = guard.rights(&who.identity);
        let request = PublishRequest { retain, ..message(&topic) };
        let published = guard.publish(&who, &rights, request, at(0)).is_ok();
        let left = guard.will(&who, &rights, WillRequest { retain, ..last_will(&topic) }, at(0)).is_ok();
        let subscribed = guard.subscribe(&who, &rights, subscription(&topic), at(0)).is_ok();
        let received = guard.deliver(&rights, &who, live(1), &topic).is_ok();
        let own = ["telemetry", "state", "quiet"].map(|kind| format!("toasters/a/{kind}"));
        prop_assert!(!published && !left || own.contains(&topic), "{topic:?}");
        prop_assert!(!subscribed && !received || topic == "toasters/a/command", "{topic:?}");
    }
}
