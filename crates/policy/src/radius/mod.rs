//! The blast radius: if one identity is compromised, which others are?
//!
//! The question is asked of roles and answered for every identity that could ever be enrolled. Each
//! grant of one role is held against each grant of another, with the placeholders of both as unknowns
//! ([`equations`]). What has to be equal for a topic in common is a [`Condition`] on the two identities:
//! impossible, possible where they share an attribute, or no condition at all.
//!
//! # Why the answer is exact
//!
//! *The condition.* A topic that both grants match has, level by level, what both say. A level that is a
//! placeholder on one side and a literal on the other fixes an attribute; two placeholders make two
//! attributes equal; a wildcard asks nothing. So there is one weakest set of equalities for each pair of
//! grants, and it is contradictory exactly if no two identities have a topic in common: attributes can be
//! chosen freely, except that an attribute has one value, that a role fixes the attributes it matches,
//! and that two identities of one kind have different ids.
//!
//! *Denials* take topics away, and the fewer the more unlike the identities are to each other and to
//! everything in the policy: see [`example::find`]. So one pair of identities, chosen as unlike as the
//! condition allows, decides for all: its topics are looked for with the algebra that the broker enforces
//! with (law 12), and the topic that is found is the witness. Denials can also narrow a condition (other
//! sites, but not the own one); the condition that is told then holds for more pairs than the leak, never
//! for fewer.
//!
//! Bounds of topics (levels, bytes) are kept: a witness is a topic that the broker carries.

mod condition;
mod document;
mod equations;
mod example;
mod flows;
mod index;
mod population;
mod relays;
mod report;
mod symbol;
#[cfg(test)]
mod tests;

pub use document::{DOCUMENT_LENGTH, RELAYS, ROLES, RadiusError};
pub use example::Example;
pub use population::{COLLISIONS, Distribution, Population};
pub use report::{Equality, Finding, Hop, Question, QuestionError, Radius, Scope, Witness};

use crate::decision::RuleReference;
use crate::filter::{Filter, intersects};
use crate::identity::{Identity, Kind};
use crate::pattern::Pattern;
use condition::Facts;
use document::Member;
use symbol::{Key, Shape, Symbols};

/// In which list a grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Side {
    Publish,
    Subscribe,
}

/// A grant of a role.
struct Grant {
    role: usize,
    side: Side,
    pattern: Pattern,
    /// A relay uses the grant only for topics of this pattern, too.
    within: Option<Pattern>,
    /// What it leaves out although no denial says so.
    except: Vec<Pattern>,
    shapes: Vec<Shape>,
    rule: RuleReference,
    retain: bool,
    will: bool,
}

impl Grant {
    /// The topics that it is about for an identity that has what its placeholders ask for.
    fn bind(&self, identity: &Identity) -> Option<Filter> {
        let filter = self.pattern.bind(identity)?;
        match &self.within {
            None => Some(filter),
            Some(within) => intersects(&filter, &within.bind(identity)?),
        }
    }

    /// The names of all placeholders.
    fn variables(&self) -> impl Iterator<Item = &str> {
        let within = self.within.iter().flat_map(Pattern::variables);
        self.pattern.variables().chain(within)
    }
}

/// The roles of a document, their texts and what is known of whoever has them.
struct Subjects {
    members: Vec<Member>,
    symbols: Symbols,
    facts: Vec<Facts>,
    /// For each role, whether an identity of it can have something taken away from its grants.
    denied: Vec<bool>,
    publish: Vec<Grant>,
    subscribe: Vec<Grant>,
}

impl Subjects {
    fn new(members: Vec<Member>) -> Self {
        let mut symbols = Symbols::default();
        let facts: Vec<Facts> = members.iter().map(|member| facts(member, &mut symbols)).collect();
        let (mut publish, mut subscribe) = (Vec::new(), Vec::new());
        for (role, member) in members.iter().enumerate() {
            let kind = member.role.matcher.kind;
            for denial in &member.role.deny {
                // The names of its attributes have to be known before values are made up.
                symbols.shape(&denial.pattern, kind);
            }
            for (rule, except) in member.role.publish.iter().zip(&member.publish_except) {
                publish.extend(
                    grant(role, kind, &rule.pattern, except, &rule.rule, &mut symbols).map(|grant| Grant {
                        side: Side::Publish,
                        retain: rule.retain,
                        will: rule.will,
                        ..grant
                    }),
                );
            }
            for (rule, except) in member.role.subscribe.iter().zip(&member.subscribe_except) {
                subscribe.extend(grant(role, kind, &rule.pattern, except, &rule.rule, &mut symbols));
            }
        }
        let denied = (0..members.len())
            .map(|role| may_be_denied(role, &members, &facts))
            .collect();
        Self {
            members,
            symbols,
            facts,
            denied,
            publish,
            subscribe,
        }
    }

    fn kind(&self, role: usize) -> Kind {
        let member = self.members.get(role);
        member.map_or(Kind::Device, |member| member.role.matcher.kind)
    }

    fn facts(&self, role: usize) -> &Facts {
        static NONE: Facts = Facts {
            id: None,
            attributes: Vec::new(),
        };
        self.facts.get(role).unwrap_or(&NONE)
    }

    fn is_denied(&self, role: usize) -> bool {
        self.denied.get(role).copied().unwrap_or(true)
    }
}

fn facts(member: &Member, symbols: &mut Symbols) -> Facts {
    let matcher = &member.role.matcher;
    Facts {
        id: matcher.id.as_ref().map(|id| symbols.of(id)),
        attributes: matcher
            .attributes
            .iter()
            .map(|(name, value)| (symbols.of(name), symbols.of(value)))
            .collect(),
    }
}

/// A grant to subscribe; none if no identity of the kind can have what its placeholders ask for.
fn grant(
    role: usize,
    kind: Kind,
    pattern: &Pattern,
    except: &[Pattern],
    rule: &RuleReference,
    symbols: &mut Symbols,
) -> Option<Grant> {
    for pattern in except {
        symbols.shape(pattern, kind);
    }
    Some(Grant {
        role,
        side: Side::Subscribe,
        shapes: vec![symbols.shape(pattern, kind)?],
        pattern: pattern.clone(),
        within: None,
        except: except.to_vec(),
        rule: rule.clone(),
        retain: false,
        will: false,
    })
}

/// Whether an identity of this role may have exceptions or a role with denials.
fn may_be_denied(role: usize, members: &[Member], facts: &[Facts]) -> bool {
    let (Some(member), Some(own)) = (members.get(role), facts.get(role)) else {
        return false;
    };
    let excepts = member.publish_except.iter().chain(&member.subscribe_except);
    if excepts.flatten().next().is_some() {
        return true;
    }
    let is_possible = |one: Option<_>, same: Option<_>| one.is_none() || same.is_none() || one == same;
    members.iter().zip(facts).any(|(other, known)| {
        !other.role.deny.is_empty()
            && other.role.matcher.kind == member.role.matcher.kind
            && is_possible(known.id, own.id)
            && known
                .attributes
                .iter()
                .all(|(name, value)| is_possible(own.value(Key::Attribute(*name)), Some(*value)))
    })
}
