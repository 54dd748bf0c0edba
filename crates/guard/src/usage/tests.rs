use std::time::Duration;

use motte_mqtt::QoS;

use super::*;
use crate::testing::{Policy, at, device, principal, service};
use crate::{Guard, PublishRequest, SubscribeRequest};

fn publish(guard: &mut Guard, id: &str, topic: &str, qos: QoS, retain: bool) -> bool {
    let who = principal(device(id));
    let rights = guard.rights(&who.identity);
    let request = PublishRequest {
        topic,
        qos,
        retain,
        payload_len: 1,
        response_topic: None,
    };
    guard.publish(&who, &rights, request, at(0)).is_ok()
}

fn subscribe(guard: &mut Guard, filter: &str) -> bool {
    let who = principal(service("worker"));
    let rights = guard.rights(&who.identity);
    let request = SubscribeRequest {
        filter,
        qos: QoS::AtLeastOnce,
        existing: 0,
        is_new: true,
        search: 0,
        group: None,
    };
    guard.subscribe(&who, &rights, request, at(0)).is_ok()
}

fn told(guard: &mut Guard, seconds: u64) -> Vec<String> {
    let uses = guard.first_uses(at(seconds));
    uses.iter()
        .map(|first| {
            let Manner { act, qos, retain } = first.manner;
            let topic = first.topic.as_deref().unwrap_or("-");
            format!("{act:?} {qos} {retain} {topic} by {}", first.identity)
        })
        .collect()
}

#[test]
fn each_manner_of_use_is_told_once() {
    let mut guard = Policy::new(7).guard();
    for _ in 0..3 {
        assert!(publish(
            &mut guard,
            "a",
            "toasters/a/telemetry",
            QoS::AtMostOnce,
            false
        ));
        assert!(publish(
            &mut guard,
            "b",
            "toasters/b/telemetry",
            QoS::AtLeastOnce,
            false
        ));
    }
    assert_eq!(
        told(&mut guard, 1),
        ["Publish 0 false - by device/a", "Publish 1 false - by device/b",]
    );
    assert!(publish(
        &mut guard,
        "c",
        "toasters/c/telemetry",
        QoS::AtMostOnce,
        false
    ));
    assert_eq!(told(&mut guard, 2), [""; 0]);
}

#[test]
fn what_is_refused_is_no_use() {
    let mut guard = Policy::new(7).guard();
    assert!(!publish(
        &mut guard,
        "a",
        "toasters/b/telemetry",
        QoS::AtMostOnce,
        false
    ));
    assert!(!subscribe(&mut guard, "toasters/#"));
    assert_eq!(told(&mut guard, 1), [""; 0]);
}

#[test]
fn filters_are_told_with_their_group() {
    let mut guard = Policy::new(7).guard();
    for _ in 0..2 {
        assert!(subscribe(&mut guard, "toasters/worker/telemetry"));
        assert!(subscribe(&mut guard, "$share/crew/toasters/+/telemetry"));
    }
    assert_eq!(
        told(&mut guard, 1),
        [
            "Subscribe 1 false toasters/{service}/telemetry by service/worker",
            "Subscribe 1 false $share/crew/toasters/+/telemetry by service/worker",
        ]
    );
}

#[test]
fn a_grant_that_is_used_in_many_ways_is_told_to_be() {
    let mut guard = Policy::new(7).guard();
    let who = service("worker");
    let rule = {
        let rights = guard.rights(&who);
        match rights.may_subscribe("toasters/+/telemetry") {
            motte_policy::Decision::Allowed(grant) => grant.rule,
            motte_policy::Decision::Denied(refusal) => panic!("{refusal}"),
        }
    };
    let mut usage = Usage::new();
    let manner = Manner {
        act: Act::Subscribe,
        qos: 0,
        retain: false,
    };
    for number in 0..3 * USES {
        usage.note(&who, &rule, &format!("toasters/{number}/telemetry"), manner);
    }
    let news = usage.take(Duration::ZERO);
    assert_eq!(news.len(), USES + 1);
    let last = news.last().unwrap();
    assert_eq!((last.manner.act, &last.topic), (Act::Many, &None));
}

#[test]
fn a_topic_that_no_policy_can_name_is_not_told() {
    let mut usage = Usage::new();
    let mut guard = Policy::new(7).guard();
    let who = service("worker");
    let rule = match guard.rights(&who).may_subscribe("toasters/+/telemetry") {
        motte_policy::Decision::Allowed(grant) => grant.rule,
        motte_policy::Decision::Denied(refusal) => panic!("{refusal}"),
    };
    let manner = Manner {
        act: Act::Subscribe,
        qos: 0,
        retain: false,
    };
    usage.note(&who, &rule, "toasters/{device}/telemetry", manner);
    let news = usage.take(Duration::ZERO);
    assert_eq!(news[0].manner.act, Act::Many);
    assert_eq!(news[0].topic, None);
}

#[test]
fn all_is_told_again_on_the_next_day_and_under_another_policy() {
    let policy = Policy::new(7);
    let mut guard = policy.guard();
    let expected = ["Publish 0 false - by device/a"];
    assert!(publish(
        &mut guard,
        "a",
        "toasters/a/telemetry",
        QoS::AtMostOnce,
        false
    ));
    assert_eq!(told(&mut guard, 1), expected);
    assert!(told(&mut guard, 1 + USE_PERIOD.as_secs()).is_empty());
    assert!(publish(
        &mut guard,
        "a",
        "toasters/a/telemetry",
        QoS::AtMostOnce,
        false
    ));
    assert_eq!(told(&mut guard, 2 + USE_PERIOD.as_secs()), expected);
    let other = policy.with("generation", 9.into()).without(1, "publish");
    guard.install(other.snapshot()).unwrap();
    assert!(publish(
        &mut guard,
        "a",
        "toasters/a/telemetry",
        QoS::AtMostOnce,
        false
    ));
    assert_eq!(told(&mut guard, 3 + USE_PERIOD.as_secs()), expected);
}

#[test]
fn uses_that_are_alike_do_not_hide_others() {
    let mut guard = Policy::new(7).guard();
    for retain in [false, true, false] {
        for qos in [QoS::AtMostOnce, QoS::ExactlyOnce] {
            let id = format!("d{}{retain}", qos as u8);
            assert!(publish(
                &mut guard,
                &id,
                &format!("toasters/{id}/state"),
                qos,
                retain
            ));
        }
    }
    let manners: Vec<String> = told(&mut guard, 1)
        .iter()
        .map(|line| line.split(" - ").next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        manners,
        [
            "Publish 0 false",
            "Publish 2 false",
            "Publish 0 true",
            "Publish 2 true"
        ]
    );
}
