//! Layer 4: does the policy grant it?
//!
//! The policy decides; this layer asks the right questions, turns its refusals into denials, and adds
//! what the policy knows nothing of: response topics and the sender's right at delivery.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use motte_mqtt::ReasonCode;
use motte_policy::{Cause, Decision, Grant, Refusal, Rights, SHARE_LEVEL, Shared};

use crate::evidence::escape;
use crate::{Denial, Layer, Provenance};

/// There is no policy, so there is no right (law 1).
pub(crate) fn no_policy() -> Denial {
    Denial::new(
        Layer::Authorization,
        "authorization.no-policy",
        ReasonCode::NotAuthorized,
        "no policy is installed, everything is denied; install one",
    )
}

/// The broker speaks about itself, and about nothing else.
pub(crate) fn not_system(topic: &str) -> Denial {
    Denial::new(
        Layer::Authorization,
        "authorization.reserved",
        ReasonCode::NotAuthorized,
        format!("\"{}\" is not under $SYS", escape(topic)),
    )
}

/// The identity has at least one role.
pub(crate) fn has_role(rights: &Rights) -> Result<(), Denial> {
    if rights.roles().is_empty() {
        return Err(Denial::new(
            Layer::Authorization,
            "authorization.no-role",
            ReasonCode::NotAuthorized,
            "no role of the policy matches the identity",
        ));
    }
    Ok(())
}

/// Rights bound under an earlier policy that granted something else decide nothing (law 4, attack V8),
/// and neither do none at all.
pub(crate) fn is_current(rights: &Rights, in_force: &RangeInclusive<u64>) -> Result<(), Denial> {
    has_role(rights)?;
    if !in_force.contains(&rights.generation()) {
        return Err(Denial::new(
            Layer::Authorization,
            "authorization.stale-rights",
            ReasonCode::NotAuthorized,
            format!(
                "rights of generation {}, the policy is of generation {}",
                rights.generation(),
                in_force.end()
            ),
        ));
    }
    Ok(())
}

/// May it publish this?
pub(crate) fn publish(rights: &Rights, topic: &str, qos: u8, retain: bool) -> Result<Grant, Denial> {
    decide(
        rights.may_publish(topic, qos, retain),
        "publish",
        topic,
        ReasonCode::TopicNameInvalid,
    )
}

/// May it leave this will?
pub(crate) fn will(rights: &Rights, topic: &str, qos: u8, retain: bool) -> Result<Grant, Denial> {
    decide(
        rights.may_will(topic, qos, retain),
        "leave a will on",
        topic,
        ReasonCode::TopicNameInvalid,
    )
}

/// May it subscribe to this filter?
pub(crate) fn subscribe(rights: &Rights, filter: &str) -> Result<Grant, Denial> {
    // As with wildcards: whoever has no role for any learns that much from CONNACK already.
    if !rights.allows_sharing() && is_shared(filter) {
        return Err(Denial::new(
            Layer::Authorization,
            "authorization.shared-subscription",
            ReasonCode::SharedSubscriptionsNotSupported,
            format!("shared subscription \"{}\", no role grants any", escape(filter)),
        ));
    }
    decide(
        rights.may_subscribe(filter),
        "subscribe to",
        filter,
        ReasonCode::TopicFilterInvalid,
    )
}

/// May answers go there? Only where the requester may read itself, or a privileged service would be its
/// deputy (attack M4).
pub(crate) fn response_topic(rights: &Rights, topic: Option<&str>) -> Result<(), Denial> {
    let Some(topic) = topic else { return Ok(()) };
    if topic.contains(['+', '#']) || is_shared(topic) {
        return Err(Denial::new(
            Layer::Authorization,
            "authorization.response-topic",
            ReasonCode::NotAuthorized,
            format!("response topic \"{}\" is no topic name", escape(topic)),
        ));
    }
    match rights.may_subscribe(topic) {
        Decision::Allowed(_) => Ok(()),
        Decision::Denied(refusal) => Err(Denial::new(
            Layer::Authorization,
            "authorization.response-topic",
            ReasonCode::NotAuthorized,
            format!(
                "may not subscribe to its own response topic \"{}\": {}",
                escape(topic),
                escape(&refusal.to_string())
            ),
        )),
    }
}

/// May it receive a message on this topic?
pub(crate) fn receive(rights: &Rights, topic: &str) -> Result<Grant, Denial> {
    decide(
        rights.may_receive(topic),
        "receive",
        topic,
        ReasonCode::NotAuthorized,
    )
}

/// May it receive a message as a member of this group?
pub(crate) fn receive_shared(rights: &Rights, shared: &str, topic: &str) -> Result<Grant, Denial> {
    let grant = receive(rights, topic)?;
    match Shared::parse(shared) {
        Ok(Some(Shared { group, .. })) if rights.has_group(group) => Ok(grant),
        _ => Err(Denial::new(
            Layer::Authorization,
            rule_name(Cause::ShareNotGranted),
            ReasonCode::NotAuthorized,
            format!("no role grants \"{}\" any more", escape(shared)),
        )),
    }
}

/// Would the sender still be allowed to send what it sent?
pub(crate) fn still_sent(rights: &Rights, provenance: Provenance, topic: &str) -> Result<Grant, Denial> {
    let Provenance {
        retain,
        will: is_will,
        qos,
        ..
    } = provenance;
    if is_will {
        will(rights, topic, qos, retain)
    } else {
        publish(rights, topic, qos, retain)
    }
}

fn is_shared(filter: &str) -> bool {
    filter.split('/').next() == Some(SHARE_LEVEL)
}

fn decide(decision: Decision, action: &str, topic: &str, malformed: ReasonCode) -> Result<Grant, Denial> {
    match decision {
        Decision::Allowed(grant) => Ok(grant),
        Decision::Denied(refusal) => Err(deny(&refusal, action, topic, malformed)),
    }
}

fn deny(refusal: &Refusal, action: &str, topic: &str, malformed: ReasonCode) -> Denial {
    let reason = match refusal.cause {
        Cause::Wildcard => ReasonCode::WildcardSubscriptionsNotSupported,
        Cause::Malformed => malformed,
        // One code for all the rest: the difference would map the policy (attack I5).
        _ => ReasonCode::NotAuthorized,
    };
    let rule = match &refusal.rule {
        Some(rule) => Cow::Owned(rule.as_str().to_owned()),
        None => Cow::Borrowed(rule_name(refusal.cause)),
    };
    let detail = format!(
        "may not {action} \"{}\": {}",
        escape(topic),
        escape(&refusal.to_string())
    );
    Denial {
        layer: Layer::Authorization,
        rule,
        reason,
        detail,
    }
}

const fn rule_name(cause: Cause) -> &'static str {
    match cause {
        Cause::NoRole => "authorization.no-role",
        Cause::NotGranted => "authorization.not-granted",
        Cause::DeniedByRule => "authorization.denied-by-rule",
        Cause::Wildcard => "authorization.wildcard",
        Cause::ShareNotGranted => "authorization.share-not-granted",
        Cause::RetainNotGranted => "authorization.retain-not-granted",
        Cause::QosNotGranted => "authorization.qos-not-granted",
        Cause::WillNotGranted => "authorization.will-not-granted",
        Cause::Reserved => "authorization.reserved",
        Cause::Malformed => "authorization.malformed",
    }
}

#[cfg(test)]
mod tests;
