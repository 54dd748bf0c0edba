//! The rights of one identity: the rules of its roles, bound to it.

#[cfg(test)]
mod tests;

use std::str::FromStr;
use std::sync::Arc;

use crate::decision::{Cause, Decision, Grant, Refusal, RuleReference};
use crate::filter::{self, Filter, check_name};
use crate::limits::RoleLimits;
use crate::share::Shared;
use crate::system::is_system;

/// The highest QoS of MQTT.
pub(crate) const QOS_MAXIMUM: u8 = 2;

/// What a policy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// To publish to a topic.
    Publish,
    /// To leave a will for a topic.
    Will,
    /// To subscribe to a filter.
    Subscribe,
    /// To be delivered a message of a topic.
    Receive,
}

impl Action {
    /// `publish`, `will`, `subscribe` or `receive`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Will => "will",
            Self::Subscribe => "subscribe",
            Self::Receive => "receive",
        }
    }
}

impl FromStr for Action {
    type Err = ActionError;

    fn from_str(text: &str) -> Result<Self, ActionError> {
        [Self::Publish, Self::Will, Self::Subscribe, Self::Receive]
            .into_iter()
            .find(|action| action.as_str() == text)
            .ok_or_else(|| ActionError {
                found: text.to_owned(),
            })
    }
}

/// A text names no action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown action {found:?}, use `publish`, `will`, `subscribe` or `receive`")]
pub struct ActionError {
    found: String,
}

/// A grant to publish, bound.
#[derive(Clone, Debug)]
pub(crate) struct PublishGrant {
    pub(crate) filter: Filter,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) will: bool,
    pub(crate) rule: RuleReference,
}

/// A grant to subscribe, bound.
#[derive(Clone, Debug)]
pub(crate) struct SubscribeGrant {
    pub(crate) filter: Filter,
    pub(crate) qos: u8,
    /// The role says `wildcards = true`.
    pub(crate) wildcards: bool,
    /// The groups of the role.
    pub(crate) share: Arc<[Box<str>]>,
    pub(crate) rule: RuleReference,
}

impl SubscribeGrant {
    fn has_group(&self, group: &str) -> bool {
        self.share.iter().any(|name| **name == *group)
    }
}

/// How a filter is to be subscribed to: all of it has to be in the grants that cover it.
#[derive(Clone, Copy)]
struct Use<'a> {
    /// At least this QoS.
    qos: u8,
    /// Of roles with wildcards only.
    wildcards: bool,
    /// Of roles with this group only.
    group: Option<&'a str>,
}

/// A denial, bound.
#[derive(Clone, Debug)]
pub(crate) struct Denial {
    pub(crate) filter: Filter,
    pub(crate) rule: RuleReference,
}

/// The union of the grants, the union of the denials and the strictest limits of all roles that
/// match one identity. Nothing is allowed that no grant allows, and nothing that a denial matches.
#[derive(Clone, Debug)]
pub struct Rights {
    pub(crate) generation: u64,
    pub(crate) roles: Vec<Arc<str>>,
    pub(crate) publish: Vec<PublishGrant>,
    pub(crate) publish_denials: Vec<Denial>,
    pub(crate) subscribe: Vec<SubscribeGrant>,
    pub(crate) subscribe_denials: Vec<Denial>,
    pub(crate) limits: RoleLimits,
}

impl Rights {
    /// No right at all. Its limits are those of a device.
    #[must_use]
    pub fn none() -> Self {
        Self {
            generation: 0,
            roles: Vec::new(),
            publish: Vec::new(),
            publish_denials: Vec::new(),
            subscribe: Vec::new(),
            subscribe_denials: Vec::new(),
            limits: RoleLimits::DEVICE,
        }
    }

    /// Gives back what the lists have room for: rights are held for each connection.
    pub(crate) fn shrink(&mut self) {
        self.roles.shrink_to_fit();
        self.publish.shrink_to_fit();
        self.publish_denials.shrink_to_fit();
        self.subscribe.shrink_to_fit();
        self.subscribe_denials.shrink_to_fit();
    }

    /// The generation of the snapshot that they were bound under; 0 for [`Rights::none`].
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The names of the matching roles, in the order of the policy. Empty: nothing is allowed.
    #[must_use]
    pub fn roles(&self) -> &[Arc<str>] {
        &self.roles
    }

    /// The strictest limits of the matching roles.
    #[must_use]
    pub fn limits(&self) -> &RoleLimits {
        &self.limits
    }

    /// Whether at least one matching role may hold wildcard subscriptions (law 5).
    #[must_use]
    pub fn allows_wildcards(&self) -> bool {
        self.subscribe.iter().any(|grant| grant.wildcards)
    }

    /// Whether at least one matching role may hold shared subscriptions.
    #[must_use]
    pub fn allows_sharing(&self) -> bool {
        self.subscribe.iter().any(|grant| !grant.share.is_empty())
    }

    /// Whether at least one matching role has this group.
    #[must_use]
    pub fn has_group(&self, group: &str) -> bool {
        self.subscribe.iter().any(|grant| grant.has_group(group))
    }

    /// Asks for `action` on a topic, or on a filter for [`Action::Subscribe`]. QoS and RETAIN
    /// matter for [`Action::Publish`] and [`Action::Will`] alone: a subscription is granted at the
    /// QoS of its grants, whatever it asked for.
    #[must_use]
    pub fn decide(&self, action: Action, topic: &str, qos: u8, retain: bool) -> Decision {
        match action {
            Action::Publish => self.may_publish(topic, qos, retain),
            Action::Will => self.may_will(topic, qos, retain),
            Action::Subscribe => self.may_subscribe(topic),
            Action::Receive => self.may_receive(topic),
        }
    }

    /// May a message be published to the topic name `topic` like that? One grant has to allow all
    /// of it.
    #[must_use]
    pub fn may_publish(&self, topic: &str, qos: u8, retain: bool) -> Decision {
        self.judge_publish(topic, qos, retain, false)
    }

    /// May such a will be left? Like [`Self::may_publish`], by a grant that allows wills.
    #[must_use]
    pub fn may_will(&self, topic: &str, qos: u8, retain: bool) -> Decision {
        self.judge_publish(topic, qos, retain, true)
    }

    /// May a message with the topic name `topic` be delivered? [`Grant::maximum_qos`] is the
    /// highest of the grants that match.
    #[must_use]
    pub fn may_receive(&self, topic: &str) -> Decision {
        if let Some(refusal) = self.cannot_name(topic, &self.subscribe_denials) {
            return Decision::Denied(refusal);
        }
        let matching = self
            .subscribe
            .iter()
            .filter(|grant| grant.filter.matches_name(topic));
        let mut best: Option<&SubscribeGrant> = None;
        for grant in matching {
            if best.is_none_or(|found| grant.qos > found.qos) {
                best = Some(grant);
            }
            if grant.qos == QOS_MAXIMUM {
                break;
            }
        }
        match best {
            Some(grant) => allow(&grant.rule, grant.qos),
            None => not_granted(
                topic,
                self.subscribe.iter().map(|grant| (&grant.filter, &grant.rule)),
            ),
        }
    }

    /// May `filter` be subscribed to? Only if every topic it could ever match is granted and none
    /// is denied. [`Grant::maximum_qos`] is the highest QoS at which that holds.
    ///
    /// A shared subscription, `$share/<group>/<filter>`, needs all of that for its filter, from
    /// roles that have the group.
    #[must_use]
    pub fn may_subscribe(&self, filter: &str) -> Decision {
        let malformed = Decision::Denied(Refusal::new(Cause::Malformed));
        match Shared::parse(filter) {
            Err(_) => malformed,
            Ok(Some(shared)) => match shared.filter.parse() {
                Ok(filter) => self.judge_filter(&filter, Some(shared.group)),
                Err(_) => malformed,
            },
            Ok(None) => match filter.parse() {
                Ok(filter) => self.judge_filter(&filter, None),
                Err(_) => malformed,
            },
        }
    }

    fn judge_filter(&self, filter: &Filter, group: Option<&str>) -> Decision {
        if self.roles.is_empty() {
            return Decision::Denied(Refusal::new(Cause::NoRole));
        }
        let wildcards = filter.has_wildcard();
        // These come before the denials: else the difference would tell where they are (attack I5).
        let lacking = if group.is_some_and(|group| !self.has_group(group)) {
            Some(Cause::ShareNotGranted)
        } else if wildcards && !self.allows_wildcards() {
            Some(Cause::Wildcard)
        } else {
            None
        };
        if let Some(cause) = lacking {
            return Decision::Denied(Refusal {
                nearest: self.nearest_subscribe(filter),
                ..Refusal::new(cause)
            });
        }
        if let Some(refusal) = self.denied_in_part(filter) {
            return Decision::Denied(refusal);
        }
        let use_of = |qos| Use {
            qos,
            wildcards,
            group,
        };
        if let Some(depth) = self.uncovered(filter, use_of(0)) {
            return Decision::Denied(self.uncovered_refusal(filter, use_of(0), depth));
        }
        let maximum_qos = (1..=QOS_MAXIMUM)
            .rev()
            .find(|&qos| self.uncovered(filter, use_of(qos)).is_none())
            .unwrap_or(0);
        // Contained, so some grant covers the least depth.
        match self
            .usable(use_of(maximum_qos))
            .find(|grant| filter::covers_shortest(&grant.filter, filter))
        {
            Some(grant) => allow(&grant.rule, maximum_qos),
            None => Decision::Denied(Refusal::new(Cause::NotGranted)),
        }
    }

    fn judge_publish(&self, topic: &str, qos: u8, retain: bool, will: bool) -> Decision {
        if qos > QOS_MAXIMUM {
            return Decision::Denied(Refusal::new(Cause::Malformed));
        }
        if let Some(refusal) = self.cannot_name(topic, &self.publish_denials) {
            return Decision::Denied(refusal);
        }
        if is_system(topic) {
            return Decision::Denied(Refusal::new(Cause::Reserved));
        }
        // The nearest of the grants that match the topic but not the rest of the question.
        let mut short: Option<(Cause, &PublishGrant)> = None;
        for grant in self
            .publish
            .iter()
            .filter(|grant| grant.filter.matches_name(topic))
        {
            let cause = if will && !grant.will {
                Cause::WillNotGranted
            } else if qos > grant.qos {
                Cause::QosNotGranted
            } else if retain && !grant.retain {
                Cause::RetainNotGranted
            } else {
                return allow(&grant.rule, grant.qos);
            };
            if short.is_none_or(|(found, _)| nearness(found) < nearness(cause)) {
                short = Some((cause, grant));
            }
        }
        match short {
            Some((cause, grant)) => Decision::Denied(Refusal {
                rule: Some(grant.rule.clone()),
                ..Refusal::new(cause)
            }),
            None => not_granted(
                topic,
                self.publish.iter().map(|grant| (&grant.filter, &grant.rule)),
            ),
        }
    }

    /// What stands against a topic name before any grant is looked at.
    fn cannot_name(&self, topic: &str, denials: &[Denial]) -> Option<Refusal> {
        if check_name(topic).is_err() {
            return Some(Refusal::new(Cause::Malformed));
        }
        if self.roles.is_empty() {
            return Some(Refusal::new(Cause::NoRole));
        }
        denials
            .iter()
            .find(|denial| denial.filter.matches_name(topic))
            .map(|denial| Refusal {
                rule: Some(denial.rule.clone()),
                ..Refusal::new(Cause::DeniedByRule)
            })
    }

    /// A denial that matches a topic of `filter`.
    fn denied_in_part(&self, filter: &Filter) -> Option<Refusal> {
        self.subscribe_denials.iter().find_map(|denial| {
            let common = filter::intersects(filter, &denial.filter)?;
            Some(Refusal {
                rule: Some(denial.rule.clone()),
                counterexample: Some(filter::example(&common)),
                ..Refusal::new(Cause::DeniedByRule)
            })
        })
    }

    fn uncovered_refusal(&self, filter: &Filter, asked: Use<'_>, depth: usize) -> Refusal {
        let nearest = self.nearest_subscribe(filter);
        let without_wildcards = Use {
            wildcards: false,
            ..asked
        };
        let without_group = Use { group: None, ..asked };
        let lacking = if asked.wildcards && self.uncovered(filter, without_wildcards).is_none() {
            Some(Cause::Wildcard)
        } else if asked.group.is_some() && self.uncovered(filter, without_group).is_none() {
            Some(Cause::ShareNotGranted)
        } else {
            None
        };
        if let Some(cause) = lacking {
            return Refusal {
                nearest,
                ..Refusal::new(cause)
            };
        }
        let usable = self.usable(asked).map(|grant| &grant.filter);
        Refusal {
            nearest,
            counterexample: Some(filter::witness(&usable, filter, depth)),
            ..Refusal::new(absent(filter.as_str()))
        }
    }

    fn nearest_subscribe(&self, filter: &Filter) -> Option<RuleReference> {
        nearest(
            filter,
            self.subscribe.iter().map(|grant| (&grant.filter, &grant.rule)),
        )
    }

    /// The grants that allow this use.
    fn usable<'a>(&'a self, asked: Use<'a>) -> impl Iterator<Item = &'a SubscribeGrant> + Clone {
        self.subscribe.iter().filter(move |grant| {
            grant.qos >= asked.qos
                && (grant.wildcards || !asked.wildcards)
                && asked.group.is_none_or(|group| grant.has_group(group))
        })
    }

    fn uncovered(&self, filter: &Filter, asked: Use<'_>) -> Option<usize> {
        filter::uncovered(&self.usable(asked).map(|grant| &grant.filter), filter)
    }
}

/// How near to allowing a grant came that matched the topic and fell short like this.
fn nearness(cause: Cause) -> u8 {
    match cause {
        Cause::RetainNotGranted => 2,
        Cause::QosNotGranted => 1,
        _ => 0,
    }
}

fn allow(rule: &RuleReference, maximum_qos: u8) -> Decision {
    Decision::Allowed(Grant {
        rule: rule.clone(),
        maximum_qos,
    })
}

/// The cause of a topic that no grant covers.
fn absent(topic: &str) -> Cause {
    if topic.starts_with('$') {
        Cause::Reserved
    } else {
        Cause::NotGranted
    }
}

fn not_granted<'a>(topic: &str, grants: impl Iterator<Item = (&'a Filter, &'a RuleReference)>) -> Decision {
    // A legal topic name is a legal filter, too.
    let nearest = topic.parse().ok().and_then(|filter| nearest(&filter, grants));
    Decision::Denied(Refusal {
        nearest,
        ..Refusal::new(absent(topic))
    })
}

/// The grant that agrees with most leading levels; none if no grant shares the first.
fn nearest<'a>(
    filter: &Filter,
    grants: impl Iterator<Item = (&'a Filter, &'a RuleReference)>,
) -> Option<RuleReference> {
    grants
        .map(|(grant, rule)| (filter::shared_levels(grant, filter), rule))
        .filter(|&(shared, _)| shared > 0)
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, rule)| rule.clone())
}
