//! One role: whom it matches, what it grants, denies and limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::format::{DenyAction, LimitsEntry, MatchEntry, RoleEntry};
use super::{RULES_PER_LIST, SHARES};
use crate::decision::{RuleKind, RuleReference};
use crate::identity::{Identity, IdentityError, Kind, ValueError, check_attribute_key, check_value};
use crate::limits::{PACKET_MAXIMUM, PACKET_OVERHEAD, RoleLimits};
use crate::pattern::{Pattern, PatternError};
use crate::rights::{Denial, PublishGrant, QOS_MAXIMUM, Rights, SubscribeGrant};

#[derive(PartialEq)]
pub(crate) struct Role {
    pub(crate) name: Arc<str>,
    pub(crate) matcher: Matcher,
    pub(crate) publish: Vec<PublishRule>,
    pub(crate) subscribe: Vec<SubscribeRule>,
    pub(crate) deny: Vec<DenyRule>,
    wildcards: bool,
    share: Arc<[Box<str>]>,
    limits: RoleLimits,
}

/// Whom a role is for.
#[derive(PartialEq)]
pub(crate) struct Matcher {
    pub(crate) kind: Kind,
    pub(crate) id: Option<String>,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// A grant to publish.
#[derive(PartialEq)]
pub(crate) struct PublishRule {
    pub(crate) pattern: Pattern,
    qos: u8,
    pub(crate) retain: bool,
    pub(crate) will: bool,
    pub(crate) rule: RuleReference,
}

/// A grant to subscribe.
#[derive(PartialEq)]
pub(crate) struct SubscribeRule {
    pub(crate) pattern: Pattern,
    qos: u8,
    pub(crate) rule: RuleReference,
}

/// A denial.
#[derive(PartialEq)]
pub(crate) struct DenyRule {
    pub(crate) pattern: Pattern,
    pub(crate) publish: bool,
    pub(crate) subscribe: bool,
    pub(crate) rule: RuleReference,
}

impl Role {
    pub(crate) fn matches(&self, identity: &Identity) -> bool {
        let matcher = &self.matcher;
        matcher.kind == identity.kind
            && matcher.id.as_ref().is_none_or(|id| *id == identity.id)
            && matcher
                .attributes
                .iter()
                .all(|(key, value)| identity.attributes.get(key) == Some(value))
    }

    /// Adds this role, bound to `identity`, to its rights.
    pub(crate) fn bind(&self, identity: &Identity, rights: &mut Rights) {
        rights.limits = if rights.roles.is_empty() {
            self.limits.clone()
        } else {
            rights.limits.strictest(&self.limits)
        };
        rights.roles.push(Arc::clone(&self.name));
        rights.publish.extend(self.publish.iter().filter_map(|rule| {
            Some(PublishGrant {
                filter: rule.pattern.bind(identity)?,
                qos: rule.qos,
                retain: rule.retain,
                will: rule.will,
                rule: rule.rule.clone(),
            })
        }));
        rights.subscribe.extend(self.subscribe.iter().filter_map(|rule| {
            Some(SubscribeGrant {
                filter: rule.pattern.bind(identity)?,
                qos: rule.qos,
                wildcards: self.wildcards,
                share: Arc::clone(&self.share),
                rule: rule.rule.clone(),
            })
        }));
        for rule in &self.deny {
            let denial = Denial {
                filter: rule.pattern.bind_widest(identity),
                rule: rule.rule.clone(),
            };
            if rule.publish {
                rights.publish_denials.push(denial.clone());
            }
            if rule.subscribe {
                rights.subscribe_denials.push(denial);
            }
        }
    }

    pub(crate) fn read(entry: &RoleEntry, policy_file: &str) -> Result<Self, RoleError> {
        check_value(&entry.name).map_err(RoleError::Name)?;
        let name: Arc<str> = entry.name.as_str().into();
        let matcher = read_matcher(&entry.matcher)?;
        if entry.wildcards && matcher.kind == Kind::Device {
            return Err(RoleError::DeviceWildcards);
        }
        for (list, count) in [
            (RuleKind::Publish, entry.publish.len()),
            (RuleKind::Subscribe, entry.subscribe.len()),
            (RuleKind::Deny, entry.deny.len()),
        ] {
            if count > RULES_PER_LIST {
                return Err(RoleError::TooManyRules {
                    list: list.as_str(),
                    count,
                });
            }
        }
        let read = |topic: &str, qos: u8, line: u32, kind: RuleKind| {
            if qos > QOS_MAXIMUM {
                return Err(RoleError::Qos { line, qos });
            }
            let pattern: Pattern = topic.parse().map_err(|problem| RoleError::Topic {
                line,
                topic: topic.to_owned(),
                problem,
            })?;
            Ok((pattern, RuleReference::new(policy_file, line, &name, kind, topic)))
        };
        let publish = entry.publish.iter().map(|grant| {
            let (pattern, rule) = read(&grant.topic, grant.qos, grant.line, RuleKind::Publish)?;
            Ok(PublishRule {
                pattern,
                qos: grant.qos,
                retain: grant.retain,
                will: grant.will,
                rule,
            })
        });
        let subscribe = entry.subscribe.iter().map(|grant| {
            let (pattern, rule) = read(&grant.topic, grant.qos, grant.line, RuleKind::Subscribe)?;
            Ok(SubscribeRule {
                pattern,
                qos: grant.qos,
                rule,
            })
        });
        let deny = entry.deny.iter().map(|denial| {
            let (pattern, rule) = read(&denial.topic, 0, denial.line, RuleKind::Deny)?;
            let names = |action| denial.actions.contains(&action);
            let (publish, subscribe) = (names(DenyAction::Publish), names(DenyAction::Subscribe));
            if !publish && !subscribe {
                return Err(RoleError::EmptyDenial { line: denial.line });
            }
            Ok(DenyRule {
                pattern,
                publish,
                subscribe,
                rule,
            })
        });
        Ok(Self {
            publish: publish.collect::<Result<_, RoleError>>()?,
            subscribe: subscribe.collect::<Result<_, RoleError>>()?,
            deny: deny.collect::<Result<_, RoleError>>()?,
            wildcards: entry.wildcards,
            share: read_share(&entry.share, matcher.kind)?,
            limits: read_limits(&entry.limits, matcher.kind)?,
            matcher,
            name,
        })
    }
}

fn read_matcher(entry: &MatchEntry) -> Result<Matcher, RoleError> {
    if let Some(id) = &entry.id {
        check_value(id).map_err(|problem| {
            RoleError::Match(IdentityError::Id {
                id: id.clone(),
                problem,
            })
        })?;
    }
    for (key, value) in &entry.attributes {
        check_attribute_key(key).map_err(RoleError::Match)?;
        check_value(value).map_err(|problem| {
            RoleError::Match(IdentityError::Value {
                key: key.clone(),
                value: value.clone(),
                problem,
            })
        })?;
    }
    Ok(Matcher {
        kind: entry.kind,
        id: entry.id.clone(),
        attributes: entry.attributes.clone(),
    })
}

fn read_share(names: &[String], kind: Kind) -> Result<Arc<[Box<str>]>, RoleError> {
    if !names.is_empty() && kind == Kind::Device {
        return Err(RoleError::DeviceShare);
    }
    if names.len() > SHARES {
        return Err(RoleError::TooManyShares { count: names.len() });
    }
    let read = |name: &String| match check_value(name) {
        Ok(()) => Ok(name.as_str().into()),
        Err(problem) => Err(RoleError::Share {
            name: name.clone(),
            problem,
        }),
    };
    names.iter().map(read).collect()
}

fn read_limits(entry: &LimitsEntry, kind: Kind) -> Result<RoleLimits, RoleError> {
    let default = RoleLimits::of(kind);
    let payload = entry.payload.unwrap_or(default.payload);
    let packet = entry
        .packet
        .unwrap_or_else(|| payload.saturating_add(PACKET_OVERHEAD).min(PACKET_MAXIMUM));
    let limits = RoleLimits {
        messages_per_second: entry.messages_per_second.unwrap_or(default.messages_per_second),
        message_burst: entry.message_burst.unwrap_or(default.message_burst),
        bytes_per_second: entry.bytes_per_second.unwrap_or(default.bytes_per_second),
        byte_burst: entry
            .byte_burst
            .unwrap_or_else(|| default.byte_burst.max(payload.into())),
        payload,
        packet,
        inflight: entry.inflight.unwrap_or(default.inflight),
        queue_messages: entry.queue_messages.unwrap_or(default.queue_messages),
        queue_bytes: entry.queue_bytes.unwrap_or(default.queue_bytes),
        subscriptions: entry.subscriptions.unwrap_or(default.subscriptions),
        retained_messages: entry.retained_messages.unwrap_or(default.retained_messages),
        retained_bytes: entry.retained_bytes.unwrap_or(default.retained_bytes),
        session_expiry: entry.session_expiry.unwrap_or(default.session_expiry),
        connections: entry.connections.unwrap_or(default.connections),
        keep_alive: entry.keep_alive.unwrap_or(default.keep_alive),
        topic_aliases: entry.topic_aliases.unwrap_or(default.topic_aliases),
        sessions: entry.sessions.unwrap_or(default.sessions),
        message_expiry: entry.message_expiry.unwrap_or(default.message_expiry),
    };
    check_limits(&limits)?;
    Ok(limits)
}

/// A role that could do nothing is a mistake that would be looked for in the wrong place.
fn check_limits(limits: &RoleLimits) -> Result<(), RoleError> {
    for (limit, is_zero) in [
        ("inflight", limits.inflight == 0),
        ("connections", limits.connections == 0),
        ("sessions", limits.sessions == 0),
        ("keep_alive", limits.keep_alive == 0),
        ("message_expiry", limits.message_expiry == 0),
        ("packet", limits.packet == 0),
        (
            "message_burst",
            limits.message_burst == 0 && limits.messages_per_second > 0,
        ),
    ] {
        if is_zero {
            return Err(RoleError::Limit {
                limit,
                problem: "is 0, set it to at least 1",
            });
        }
    }
    if limits.packet > PACKET_MAXIMUM {
        return Err(RoleError::Limit {
            limit: "packet",
            problem: "is more than MQTT can express (268435460)",
        });
    }
    if limits.payload > limits.packet {
        return Err(RoleError::Limit {
            limit: "payload",
            problem: "is more than `packet`, raise that, too",
        });
    }
    if limits.byte_burst < u64::from(limits.payload) && limits.bytes_per_second > 0 {
        return Err(RoleError::Limit {
            limit: "byte_burst",
            problem: "is less than `payload`, no payload of that size could ever pass",
        });
    }
    Ok(())
}

/// Why a role is unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoleError {
    /// Its name.
    #[error("bad name: {0}")]
    Name(ValueError),
    /// Another role has the same name.
    #[error("the name is taken by an earlier role, use another")]
    DuplicateName,
    /// Whom it matches.
    #[error("bad `match`: {0}")]
    Match(IdentityError),
    /// `wildcards = true` for devices (law 5).
    #[error("`wildcards = true` for devices, a device cannot hold a wildcard subscription: name its topics")]
    DeviceWildcards,
    /// `share` for devices: who joins a group takes messages away from the others.
    #[error("`share` for devices, a device cannot hold a shared subscription: leave it out")]
    DeviceShare,
    /// The name of a group.
    #[error("bad group {name:?} in `share`: {problem}")]
    Share {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: ValueError,
    },
    /// More than [`SHARES`].
    #[error("{count} groups in `share`, {SHARES} is the most: split the role")]
    TooManyShares {
        /// Groups found.
        count: usize,
    },
    /// More than [`RULES_PER_LIST`].
    #[error("{count} entries in `{list}`, {RULES_PER_LIST} is the most: use a wildcard or split the role")]
    TooManyRules {
        /// The list.
        list: &'static str,
        /// Entries found.
        count: usize,
    },
    /// A topic of a grant or a denial.
    #[error("bad topic {topic:?} (line {line}): {problem}")]
    Topic {
        /// Its line in the policy file.
        line: u32,
        /// The topic.
        topic: String,
        /// What is wrong with it.
        problem: PatternError,
    },
    /// A QoS that MQTT does not have.
    #[error("QoS {qos} (line {line}), use 0, 1 or 2")]
    Qos {
        /// Its line in the policy file.
        line: u32,
        /// The QoS found.
        qos: u8,
    },
    /// A denial of no action.
    #[error("denial without actions (line {line}), name `publish`, `subscribe` or both")]
    EmptyDenial {
        /// Its line in the policy file.
        line: u32,
    },
    /// A limit.
    #[error("limit `{limit}` {problem}")]
    Limit {
        /// Its name.
        limit: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}
