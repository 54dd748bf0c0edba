//! Two identities and a topic that show it: values for what the equations leave open, and the algebra
//! that the broker enforces with for the rest.

use std::collections::BTreeMap;

use super::equations::Equations;
use super::symbol::{Key, Party, Term};
use super::{Grant, Side, Subjects};
use crate::filter::{self, Filter, check_name, intersects};
use crate::identity::{ATTRIBUTES, Identity};
use crate::pattern::Pattern;
use crate::rights::{Denial, Rights};

/// Characters of an attribute's name that a made-up value begins with: enough to recognise it, and the
/// value stays far below the longest that an identity can have.
const READABLE_NAME: usize = 24;

/// Two identities that could be enrolled, and a topic that is common to a grant of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Whose radius is asked for.
    pub subject: Identity,
    /// The other one.
    pub object: Identity,
    /// The topic. It is in both grants and in no denial.
    pub topic: String,
}

/// Looks for identities as the equations say, otherwise as unlike each other and everything in the
/// policy as can be, and a topic that both grants have in common and no denial of either takes away.
///
/// Whatever the equations leave open gets a value that occurs nowhere else. That is the choice that
/// leaves the identities most: a denial reaches a topic only where its levels are equal to the topic's,
/// a role with denials matches only where attributes are equal to its own, and a denial whose
/// placeholder has no value is wider than with any. So if these two find no topic, none do.
pub(super) fn find(
    subjects: &Subjects,
    left: &Grant,
    right: &Grant,
    equations: &Equations,
) -> Option<Example> {
    // Where the topic becomes too long with names that people can read, short ones may do.
    [READABLE_NAME, 0].into_iter().find_map(|name_length| {
        let mut values = Values {
            subjects,
            equations,
            name_length,
            made_up: Vec::new(),
        };
        let subject = values.identity(Party::Subject, left)?;
        let object = values.identity(Party::Object, right)?;
        let topic = common_topic(subjects, (left, &subject), (right, &object))?;
        Some(Example {
            subject,
            object,
            topic,
        })
    })
}

/// A topic of both grants that nothing takes away from either identity.
pub(super) fn common_topic(
    subjects: &Subjects,
    (left, subject): (&Grant, &Identity),
    (right, object): (&Grant, &Identity),
) -> Option<String> {
    let common = intersects(&left.bind(subject)?, &right.bind(object)?)?;
    let mut taken = subjects.taken(left, subject);
    taken.extend(subjects.taken(right, object));
    let taken = taken.iter();
    let depth = filter::uncovered(&taken, &common)?;
    let topic = filter::witness(&taken, &common, depth);
    check_name(&topic).is_ok().then_some(topic)
}

impl Subjects {
    /// What denials and exceptions take away from a grant of this identity.
    fn taken(&self, grant: &Grant, identity: &Identity) -> Vec<Filter> {
        let mut rights = Rights::none();
        for member in self.members.iter().filter(|member| member.role.matches(identity)) {
            member.role.bind(identity, &mut rights);
        }
        let denials: &[Denial] = match grant.side {
            Side::Publish => &rights.publish_denials,
            Side::Subscribe => &rights.subscribe_denials,
        };
        let denials = denials.iter().map(|denial| denial.filter.clone());
        let except = grant.except.iter().map(|pattern| pattern.bind_widest(identity));
        denials.chain(except).collect()
    }

    /// The names of the attributes that decide how much is taken away from a grant.
    fn names_in_denials(&self, grant: &Grant, identity: &Identity) -> Vec<String> {
        let matching = self.members.iter().filter(|member| member.role.matches(identity));
        let denials = matching.flat_map(|member| member.role.deny.iter().map(|denial| &denial.pattern));
        let patterns = denials.chain(&grant.except);
        patterns.flat_map(Pattern::variables).map(str::to_owned).collect()
    }
}

/// Gives the identities their values.
struct Values<'a> {
    subjects: &'a Subjects,
    equations: &'a Equations,
    name_length: usize,
    /// What was made up, by a term that stands for its class.
    made_up: Vec<(Term, String)>,
}

impl Values<'_> {
    fn identity(&mut self, party: Party, grant: &Grant) -> Option<Identity> {
        let subjects = self.subjects;
        let kind = subjects.members.get(grant.role)?.role.matcher.kind;
        let id = self.value(party, Key::Id, kind.as_str());
        let mut attributes = BTreeMap::new();
        let terms = self.equations.terms();
        let stated = terms
            .iter()
            .filter(|term| term.party == party)
            .filter_map(|term| match term.key {
                Key::Id => None,
                Key::Attribute(name) => Some(subjects.symbols.text(name)),
            });
        for name in stated.chain(grant.variables()) {
            self.give(party, name, &mut attributes);
        }
        let bare = Identity::new(kind, id.clone(), attributes.clone()).ok()?;
        for name in subjects.names_in_denials(grant, &bare) {
            if attributes.len() < ATTRIBUTES {
                self.give(party, &name, &mut attributes);
            }
        }
        Identity::new(kind, id, attributes).ok()
    }

    /// Gives the attribute a value, where the name is one of an attribute and has none yet.
    fn give(&mut self, party: Party, name: &str, attributes: &mut BTreeMap<String, String>) {
        if let Some(key) = self.subjects.symbols.attribute(name)
            && !attributes.contains_key(name)
        {
            attributes.insert(name.to_owned(), self.value(party, key, name));
        }
    }

    /// The value that the equations give a term, or one that occurs nowhere: the same for equal terms.
    fn value(&mut self, party: Party, key: Key, name: &str) -> String {
        let symbols = &self.subjects.symbols;
        let term = Term { party, key };
        if let Some(value) = self.equations.value(term) {
            return symbols.text(value).to_owned();
        }
        let term = self.equations.representative(term);
        if let Some((_, value)) = self.made_up.iter().find(|(known, _)| *known == term) {
            return value.clone();
        }
        let number = match term.party {
            Party::Subject => 1,
            Party::Object => 2,
            Party::Relay => 3,
        };
        let name: String = name.chars().take(self.name_length).collect();
        let mut value = format!("{name}-{number}");
        // Ends: the document and the list hold finitely many texts.
        while symbols.contains(&value) || self.made_up.iter().any(|(_, taken)| *taken == value) {
            value.push('x');
        }
        self.made_up.push((term, value.clone()));
        value
    }
}
