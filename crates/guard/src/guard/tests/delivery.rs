//! Delivery: both rights at that moment.

use std::sync::Arc;

use motte_policy::Identity;
use serde_json::json;

use super::{TELEMETRY, live, named};
use crate::testing::{Policy, device, principal, service};
use crate::{Denial, Guard, Layer, Principal, Provenance};

/// One reader, one sender, one message that was permitted under generation 1.
struct Post {
    guard: Guard,
    sender: Arc<Principal>,
    reader: Identity,
}

impl Post {
    fn new() -> Self {
        let guard = Policy::new(1).guard();
        Self {
            guard,
            sender: principal(device("a")),
            reader: service("dashboard"),
        }
    }

    fn deliver(&mut self, provenance: Provenance, topic: &str) -> Result<u64, Denial> {
        let rights = self.guard.rights(&self.reader);
        self.guard
            .deliver(&rights, &self.sender, provenance, topic)
            .map(|permit| permit.generation())
    }

    fn after(policy: &Policy, provenance: Provenance, topic: &str) -> Result<u64, Denial> {
        let mut post = Self::new();
        post.guard.install(policy.snapshot()).unwrap();
        post.deliver(provenance, topic)
    }
}

#[test]
fn the_reader_needs_the_right_at_the_moment_of_delivery() {
    assert_eq!(Post::new().deliver(live(1), TELEMETRY), Ok(1));
    let denial = Post::new().deliver(live(1), "toasters/a/other").unwrap_err();
    assert_eq!(
        named(&denial),
        (Layer::Authorization, "authorization.not-granted")
    );
    let denial = Post::after(&Policy::new(2).without(1, "subscribe"), live(1), TELEMETRY).unwrap_err();
    assert_eq!(
        named(&denial),
        (Layer::Authorization, "authorization.not-granted")
    );
}

#[test]
fn the_sender_is_judged_again_when_the_policy_has_changed() {
    assert_eq!(Post::after(&Policy::new(2), live(1), TELEMETRY), Ok(2));
    let denial = Post::after(&Policy::new(2).without(0, "publish"), live(1), TELEMETRY).unwrap_err();
    assert_eq!(
        named(&denial),
        (Layer::Authorization, "authorization.not-granted")
    );
    // What was permitted under this very policy has been judged under it.
    assert_eq!(
        Post::after(&Policy::new(2).without(0, "publish"), live(2), TELEMETRY),
        Ok(2)
    );
}

#[test]
fn messages_of_a_sender_who_is_out_are_withheld() {
    for (list, entry, rule) in [
        ("revoked", "device/a", "identity.revoked"),
        ("quarantined", "device/a", "identity.quarantined"),
    ] {
        let denial = Post::after(&Policy::new(2).except(list, entry), live(1), TELEMETRY).unwrap_err();
        assert_eq!(&*denial.rule, rule);
        let others = Policy::new(2).except("revoked", "device/b");
        assert_eq!(Post::after(&others, live(1), TELEMETRY), Ok(2));
    }
}

#[test]
fn a_superseded_certificate_withholds_nothing_that_its_identity_said() {
    let rotated = Policy::new(2).except("revoked_serials", "4d01");
    assert_eq!(Post::after(&rotated, live(1), TELEMETRY), Ok(2));
}

#[test]
fn the_sender_is_judged_with_retain_will_and_quality_as_used() {
    let state = "toasters/a/state";
    let mut policy = Policy::new(2);
    policy.document["roles"][0]["publish"][1] =
        json!({"topic": "toasters/{device}/state", "qos": 1, "retain": false, "will": false, "line": 3});
    let sent = |retain, will, qos| Provenance {
        generation: 1,
        retain,
        will,
        qos,
    };
    assert!(Post::after(&policy, sent(false, false, 1), state).is_ok());
    assert!(Post::after(&policy, sent(true, false, 1), state).is_err());
    assert!(Post::after(&policy, sent(false, true, 1), state).is_err());
    assert!(Post::after(&policy, sent(false, false, 2), state).is_err());
    for provenance in [sent(true, false, 2), sent(true, true, 0)] {
        assert!(Post::after(&Policy::new(2), provenance, state).is_ok());
    }
}

#[test]
fn a_generation_from_the_future_is_judged_again_too() {
    let mut post = Post::new();
    let topic = "toasters/a/state";
    assert!(
        post.deliver(
            Provenance {
                generation: 9,
                retain: true,
                will: false,
                qos: 0
            },
            topic
        )
        .is_ok()
    );
    assert!(post.deliver(live(9), "toasters/b/telemetry").is_err());
}
