//! Who can send to whom: every grant to publish against every grant to subscribe, and against every
//! other grant to publish.

use std::collections::HashMap;
use std::ops::Range;

use super::condition::{Condition, Conditions};
use super::equations::Equations;
use super::index::Trie;
use super::symbol::{Key, Party, Shape, Symbol, Symbols};
use super::{Grant, Subjects, example};
use crate::filter::TOPIC_LENGTH;

/// One way in which something holds between two roles: the pair of grants, and for which identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leak {
    pub(super) condition: u32,
    /// The subject's grant.
    pub(super) left: u32,
    /// The object's.
    pub(super) right: u32,
}

/// For each ordered pair of roles, the ways that are not special cases of others.
#[derive(Debug, Default)]
pub(super) struct Matrix {
    /// By subject; empty until there is something in the row.
    rows: Vec<Vec<Option<Leak>>>,
    /// Beyond the first.
    more: HashMap<(usize, usize), Vec<Leak>>,
    size: usize,
}

impl Matrix {
    pub(super) fn new(size: usize) -> Self {
        Self {
            rows: vec![Vec::new(); size],
            more: HashMap::new(),
            size,
        }
    }

    pub(super) fn get(&self, subject: usize, object: usize) -> impl Iterator<Item = &Leak> {
        let first = self
            .rows
            .get(subject)
            .and_then(|row| row.get(object))
            .into_iter()
            .flatten();
        first.chain(self.more.get(&(subject, object)).into_iter().flatten())
    }

    /// The objects for which there is something in the row of the subject.
    pub(super) fn objects(&self, subject: usize) -> impl Iterator<Item = usize> {
        let row = self.rows.get(subject).into_iter().flatten();
        row.enumerate()
            .filter(|(_, leak)| leak.is_some())
            .map(|(object, _)| object)
    }

    /// Takes a leak, unless one that holds for more pairs is known. Says whether it was taken.
    pub(super) fn add(
        &mut self,
        (subject, object): (usize, usize),
        leak: Leak,
        conditions: &Conditions,
        symbols: &Symbols,
    ) -> bool {
        let size = self.size;
        let Some(row) = self.rows.get_mut(subject) else {
            return false;
        };
        if row.is_empty() {
            row.resize(size, None);
        }
        let Some(cell) = row.get_mut(object) else {
            return false;
        };
        let Some(first) = cell else {
            *cell = Some(leak);
            return true;
        };
        let weaker = |one: &Leak, other: &Leak| {
            one.condition == other.condition
                || conditions
                    .get(one.condition)
                    .is_implied_by(conditions.get(other.condition), symbols)
        };
        let more = self.more.get(&(subject, object));
        if weaker(first, &leak) || more.is_some_and(|more| more.iter().any(|known| weaker(known, &leak))) {
            return false;
        }
        let mut kept: Vec<Leak> = std::iter::once(*first)
            .chain(more.into_iter().flatten().copied())
            .filter(|known| !weaker(&leak, known))
            .collect();
        kept.push(leak);
        *first = kept.remove(0);
        if kept.is_empty() {
            self.more.remove(&(subject, object));
        } else {
            self.more.insert((subject, object), kept);
        }
        true
    }
}

/// Grants of one shape and one kind of identity.
struct Group<'a> {
    grants: Vec<(u32, &'a Grant)>,
}

/// Grants by their shapes, and the shapes in a trie.
pub(super) struct Side<'a> {
    trie: Trie,
    shapes: Vec<&'a Shape>,
    groups: Vec<[Group<'a>; 2]>,
}

impl<'a> Side<'a> {
    pub(super) fn new(grants: &'a [Grant], range: Range<u32>, subjects: &Subjects) -> Self {
        let mut numbers: HashMap<&Shape, usize> = HashMap::new();
        let mut side = Self {
            trie: Trie::default(),
            shapes: Vec::new(),
            groups: Vec::new(),
        };
        for (number, grant) in range.zip(grants) {
            let Some(shape) = grant.shapes.first() else {
                continue;
            };
            let place = *numbers.entry(shape).or_insert_with(|| {
                side.trie.insert(shape, side.shapes.len());
                side.shapes.push(shape);
                side.groups
                    .push([Group { grants: Vec::new() }, Group { grants: Vec::new() }]);
                side.shapes.len() - 1
            });
            let kind = subjects.kind(grant.role) as usize;
            if let Some(group) = side.groups.get_mut(place).and_then(|pair| pair.get_mut(kind)) {
                group.grants.push((number, grant));
            }
        }
        side
    }
}

/// Grants of a group for which the same has to hold.
struct Alike<'a> {
    grants: Vec<(u32, &'a Grant)>,
}

/// Calls `found` with each two grants that have a topic in common for some pair of identities.
pub(super) fn common(
    subjects: &Subjects,
    left: &Side<'_>,
    right: &Side<'_>,
    conditions: &mut Conditions,
    found: &mut impl FnMut(&Conditions, (u32, &Grant), (u32, &Grant), u32),
) {
    let mut pairs = Vec::new();
    left.trie.join(&right.trie, &subjects.symbols, &mut |one, other| {
        pairs.push((one, other));
    });
    for (one, other) in pairs {
        let (Some(left_shape), Some(right_shape)) = (left.shapes.get(one), right.shapes.get(other)) else {
            continue;
        };
        let mut equations = Equations::default();
        let unified = equations.unify(
            &subjects.symbols,
            (left_shape, Party::Subject),
            (right_shape, Party::Object),
        );
        let (Some(left_groups), Some(right_groups)) = (left.groups.get(one), right.groups.get(other)) else {
            continue;
        };
        if unified.is_err() {
            continue;
        }
        for (left_kind, left_group) in left_groups.iter().enumerate() {
            for (right_kind, right_group) in right_groups.iter().enumerate() {
                if left_kind == right_kind && equations.differ(Party::Subject, Party::Object).is_err() {
                    continue;
                }
                between(subjects, &equations, left_group, right_group, conditions, found);
            }
        }
    }
}

/// The same for two groups whose shapes ask for `equations`.
fn between(
    subjects: &Subjects,
    equations: &Equations,
    left: &Group<'_>,
    right: &Group<'_>,
    conditions: &mut Conditions,
    found: &mut impl FnMut(&Conditions, (u32, &Grant), (u32, &Grant), u32),
) {
    let left = alike(subjects, equations, Party::Subject, left);
    let right = alike(subjects, equations, Party::Object, right);
    for one in &left {
        for other in &right {
            let (Some((_, first)), Some((_, second))) = (one.grants.first(), other.grants.first()) else {
                continue;
            };
            let Some(condition) = condition(subjects, equations, first, second) else {
                continue;
            };
            let number = conditions.number(condition);
            for &left in &one.grants {
                for &right in &other.grants {
                    found(conditions, left, right, number);
                }
            }
        }
    }
}

/// Parts of a group whose roles say the same about everything that the equations are about. Where
/// denials are possible, each role is a part of its own.
fn alike<'a>(subjects: &Subjects, equations: &Equations, party: Party, group: &Group<'a>) -> Vec<Alike<'a>> {
    let mut keys: Vec<Key> = equations
        .terms()
        .into_iter()
        .filter(|term| term.party == party)
        .map(|term| term.key)
        .collect();
    // That the two differ is asked of all pairs.
    keys.push(Key::Id);
    let mut parts: Vec<Alike<'a>> = Vec::new();
    let mut places: HashMap<(Vec<Option<Symbol>>, Option<u32>), usize> = HashMap::new();
    for &(number, grant) in &group.grants {
        let facts = subjects.facts(grant.role);
        let values = keys.iter().map(|key| facts.value(*key)).collect();
        let is_special = subjects.is_denied(grant.role) || grant.pattern.as_str().len() > SHORT_PATTERN;
        let place = *places
            .entry((values, is_special.then_some(number)))
            .or_insert_with(|| {
                parts.push(Alike { grants: Vec::new() });
                parts.len() - 1
            });
        if let Some(part) = parts.get_mut(place) {
            part.grants.push((number, grant));
        }
    }
    parts
}

/// Bytes of a pattern up to which a topic of two of them is short enough, whatever stands for the
/// placeholders: [`TOPIC_LENGTH`] is looked at where one is longer.
const SHORT_PATTERN: usize = TOPIC_LENGTH / 4;

/// For which identities the two grants have a topic in common; none if for none.
pub(super) fn condition(
    subjects: &Subjects,
    equations: &Equations,
    left: &Grant,
    right: &Grant,
) -> Option<Condition> {
    let equations = with_facts(subjects, equations, left, right)?;
    let is_special =
        |grant: &Grant| subjects.is_denied(grant.role) || grant.pattern.as_str().len() > SHORT_PATTERN;
    if is_special(left) || is_special(right) {
        example::find(subjects, left, right, &equations)?;
    }
    Some(Condition::read(
        &equations,
        subjects.facts(left.role),
        subjects.facts(right.role),
    ))
}

/// The equations with what the roles say; none if that cannot be.
pub(super) fn with_facts(
    subjects: &Subjects,
    equations: &Equations,
    left: &Grant,
    right: &Grant,
) -> Option<Equations> {
    let mut equations = equations.clone();
    let symbols = &subjects.symbols;
    subjects
        .facts(left.role)
        .state(Party::Subject, symbols, &mut equations)
        .ok()?;
    subjects
        .facts(right.role)
        .state(Party::Object, symbols, &mut equations)
        .ok()?;
    if subjects.kind(left.role) == subjects.kind(right.role) {
        equations.differ(Party::Subject, Party::Object).ok()?;
    }
    Some(equations)
}

/// The equations of two grants, with what their roles say; none if that cannot be.
pub(super) fn equations_of(subjects: &Subjects, left: &Grant, right: &Grant) -> Option<Equations> {
    let mut equations = Equations::default();
    let symbols = &subjects.symbols;
    for one in &left.shapes {
        for other in &right.shapes {
            equations
                .unify(symbols, (one, Party::Subject), (other, Party::Object))
                .ok()?;
        }
    }
    for (grant, party) in [(left, Party::Subject), (right, Party::Object)] {
        if let [own, within] = grant.shapes.as_slice() {
            equations.unify(symbols, (own, party), (within, party)).ok()?;
        }
    }
    with_facts(subjects, &equations, left, right)
}
