//! The answers in numbers, for a fleet that exists.
//!
//! Identities that no condition can tell apart are one class; classes are counted, not identities. What
//! two identities need to have in common is looked up, so the work grows with the classes and not with
//! their square.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::condition::{Atom, Condition};
use super::report::{Question, Radius};
use super::symbol::{Key, Party, Symbol, Term};
use crate::identity::{Identity, Kind};

/// Identities whose id is a literal of a topic that are named in the answer.
pub const COLLISIONS: usize = 100;

/// How many others each identity can do something to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// For each number of others, how many identities have it.
    pub identities: BTreeMap<u64, u64>,
    /// One of those with the highest number.
    pub widest: Option<Identity>,
}

/// The roles that an identity has, what of it conditions ask for, and its id where one does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Class {
    roles: Box<[usize]>,
    values: Box<[Option<Symbol>]>,
    id: Option<Symbol>,
}

/// A fleet, taken in one identity at a time.
pub struct Population<'a> {
    radius: &'a Radius,
    /// Every attribute that a condition asks for.
    keys: Vec<Symbol>,
    /// Every id that a condition names.
    named: HashSet<Symbol>,
    /// Some condition compares ids with attributes: then no two identities are alike.
    compares_ids: bool,
    values: HashMap<String, Symbol>,
    numbers: HashMap<Class, usize>,
    classes: Vec<(Class, u64, Identity)>,
    matchers: Matchers,
    /// Identities whose id is a literal of a topic that a condition is about.
    pub collisions: Vec<Identity>,
}

impl<'a> Population<'a> {
    pub(super) fn new(radius: &'a Radius) -> Self {
        let (mut keys, mut named, mut compares_ids) = (Vec::new(), HashSet::new(), false);
        let mut note = |term: Term, is_compared: bool| match term.key {
            Key::Id => compares_ids |= is_compared,
            Key::Attribute(name) => keys.push(name),
        };
        for atom in radius.conditions.iter().flat_map(|condition| &condition.0) {
            match *atom {
                Atom::Has(term) => note(term, false),
                Atom::Equal(one, other) => {
                    note(one, true);
                    note(other, true);
                }
                Atom::Is(term, value) => {
                    note(term, false);
                    if term.key == Key::Id {
                        named.insert(value);
                    }
                }
            }
        }
        keys.sort_unstable();
        keys.dedup();
        Self {
            radius,
            keys,
            named,
            compares_ids,
            values: HashMap::new(),
            numbers: HashMap::new(),
            classes: Vec::new(),
            matchers: Matchers::new(radius),
            collisions: Vec::new(),
        }
    }

    /// Takes in an identity.
    pub fn add(&mut self, identity: &Identity) {
        let roles = self.matchers.roles(self.radius, identity);
        let keys = std::mem::take(&mut self.keys);
        let values = keys
            .iter()
            .map(|key| {
                let value = identity.attributes.get(self.radius.subjects.symbols.text(*key))?;
                Some(self.symbol(value))
            })
            .collect();
        self.keys = keys;
        let id = self.symbol(&identity.id);
        let is_named = self.named.contains(&id);
        if is_named && self.collisions.len() < COLLISIONS {
            self.collisions.push(identity.clone());
        }
        let class = Class {
            roles,
            values,
            id: (is_named || self.compares_ids).then_some(id),
        };
        if let Some((_, count, _)) = self
            .numbers
            .get(&class)
            .and_then(|place| self.classes.get_mut(*place))
        {
            *count += 1;
            return;
        }
        self.numbers.insert(class.clone(), self.classes.len());
        self.classes.push((class, 1, identity.clone()));
    }

    /// The number of a value: that of the document, or one behind all of them.
    fn symbol(&mut self, text: &str) -> Symbol {
        let symbols = &self.radius.subjects.symbols;
        if let Some(symbol) = symbols.find(text) {
            return symbol;
        }
        if let Some(symbol) = self.values.get(text) {
            return *symbol;
        }
        let symbol = symbols.beyond(self.values.len());
        self.values.insert(text.to_owned(), symbol);
        symbol
    }

    /// How many others each identity of the fleet can do that to.
    #[must_use]
    pub fn distribution(&self, question: Question) -> Distribution {
        let mut count = Count::new(self, question);
        let mut distribution = Distribution::default();
        let mut highest = 0;
        for (place, (class, size, example)) in self.classes.iter().enumerate() {
            let others = count.others(place, class);
            *distribution.identities.entry(others).or_default() += size;
            if others > highest || distribution.widest.is_none() {
                highest = others;
                distribution.widest = Some(example.clone());
            }
        }
        distribution
    }

    fn value(&self, class: &Class, key: Key) -> Option<Symbol> {
        match key {
            Key::Id => class.id,
            Key::Attribute(name) => {
                let place = self.keys.binary_search(&name).ok()?;
                class.values.get(place).copied().flatten()
            }
        }
    }

    /// Whether everything holds that is about one party alone.
    fn suits(&self, class: &Class, party: Party, condition: &Condition) -> bool {
        condition.0.iter().all(|atom| match *atom {
            Atom::Has(term) => term.party != party || self.value(class, term.key).is_some(),
            Atom::Is(term, value) => term.party != party || self.value(class, term.key) == Some(value),
            Atom::Equal(one, other) => {
                one.party != party
                    || other.party != party
                    || (self.value(class, one.key).is_some()
                        && self.value(class, one.key) == self.value(class, other.key))
            }
        })
    }

    /// What the other party has to have in common with this one; none if it lacks something.
    fn shared(&self, class: &Class, party: Party, condition: &Condition) -> Option<Box<[Symbol]>> {
        let compared = condition.0.iter().filter_map(|atom| match *atom {
            Atom::Equal(one, other) if one.party != other.party => {
                Some(if one.party == party { one.key } else { other.key })
            }
            _ => None,
        });
        compared.map(|key| self.value(class, key)).collect()
    }
}

/// A kind, and the values of the attributes that roles match.
type Matched = (Kind, Vec<Option<String>>);

/// Which roles identities have, without asking every role.
struct Matchers {
    /// Attributes that roles match.
    names: Vec<String>,
    /// Roles for any id.
    by_attributes: HashMap<Matched, Box<[usize]>>,
    /// Roles for one id.
    by_id: HashMap<(Kind, String), Vec<usize>>,
}

impl Matchers {
    fn new(radius: &Radius) -> Self {
        let mut names = Vec::new();
        let mut by_id: HashMap<(Kind, String), Vec<usize>> = HashMap::new();
        for (role, member) in radius.subjects.members.iter().enumerate() {
            let matcher = &member.role.matcher;
            match &matcher.id {
                Some(id) => by_id.entry((matcher.kind, id.clone())).or_default().push(role),
                None => names.extend(matcher.attributes.keys().cloned()),
            }
        }
        names.sort_unstable();
        names.dedup();
        Self {
            names,
            by_attributes: HashMap::new(),
            by_id,
        }
    }

    fn roles(&mut self, radius: &Radius, identity: &Identity) -> Box<[usize]> {
        let members = &radius.subjects.members;
        let matches = |role: &usize| {
            members
                .get(*role)
                .is_some_and(|member| member.role.matches(identity))
        };
        let values = self
            .names
            .iter()
            .map(|name| identity.attributes.get(name).cloned());
        let general = self
            .by_attributes
            .entry((identity.kind, values.collect()))
            .or_insert_with(|| {
                let roles = members.iter().enumerate();
                let general = roles.filter(|(_, member)| member.role.matcher.id.is_none());
                general.map(|(role, _)| role).filter(matches).collect()
            });
        match self.by_id.get(&(identity.kind, identity.id.clone())) {
            None => general.clone(),
            Some(own) => {
                let own = own.iter().copied().filter(matches);
                let mut roles: Vec<usize> = general.iter().copied().chain(own).collect();
                roles.sort_unstable();
                roles.into_boxed_slice()
            }
        }
    }
}

/// Classes by what they have to have in common with somebody.
type Bucket = HashMap<Box<[Symbol]>, Vec<usize>>;

/// Which classes are reached, and how many identities they are.
struct Reached {
    classes: Vec<bool>,
    identities: u64,
}

/// Roles, by the number of the set that they are.
#[derive(Default)]
struct RoleSets {
    numbers: HashMap<Vec<usize>, usize>,
    all: Vec<Vec<usize>>,
}

impl RoleSets {
    fn number(&mut self, roles: Vec<usize>) -> usize {
        if let Some(number) = self.numbers.get(&roles) {
            return *number;
        }
        self.all.push(roles.clone());
        self.numbers.insert(roles, self.all.len() - 1);
        self.all.len() - 1
    }
}

/// A condition, and the set of roles to which it is the way.
type Way = (usize, u32);

/// Counts for one question.
struct Count<'a> {
    population: &'a Population<'a>,
    /// Whose radius is counted, as the conditions call it.
    own: Party,
    other: Party,
    by_role: HashMap<usize, Vec<usize>>,
    sets: RoleSets,
    /// What each role can do, the roles to which it can do it together.
    ways: HashMap<usize, Vec<Way>>,
    buckets: HashMap<Way, Bucket>,
    /// For ways that ask nothing in common.
    common: HashMap<Vec<Way>, Reached>,
    seen: Vec<usize>,
}

impl<'a> Count<'a> {
    fn new(population: &'a Population<'a>, question: Question) -> Self {
        let (own, other) = match question {
            Question::Observe => (Party::Object, Party::Subject),
            _ => (Party::Subject, Party::Object),
        };
        let mut by_role: HashMap<usize, Vec<usize>> = HashMap::new();
        for (place, (class, _, _)) in population.classes.iter().enumerate() {
            for role in &class.roles {
                by_role.entry(*role).or_default().push(place);
            }
        }
        let mut sets = RoleSets::default();
        let ways = by_role.keys().map(|role| {
            let mut objects: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
            for (object, leak) in population.radius.leaks(question, *role) {
                objects.entry(leak.condition).or_default().push(object);
            }
            let ways = objects.into_iter();
            (
                *role,
                ways.map(|(condition, roles)| (sets.number(roles), condition))
                    .collect(),
            )
        });
        let ways = ways.collect();
        Self {
            population,
            own,
            other,
            by_role,
            sets,
            ways,
            buckets: HashMap::new(),
            common: HashMap::new(),
            seen: vec![usize::MAX; population.classes.len()],
        }
    }

    /// How many others one identity of the class can do it to.
    fn others(&mut self, place: usize, class: &Class) -> u64 {
        let population = self.population;
        let (mut open, mut compared) = (Vec::new(), Vec::new());
        for way in class
            .roles
            .iter()
            .filter_map(|role| self.ways.get(role))
            .flatten()
        {
            let Some(shared) = self.joined(class, way.1) else {
                continue;
            };
            if shared.is_empty() {
                open.push(*way);
            } else {
                compared.push((*way, shared));
            }
        }
        open.sort_unstable();
        open.dedup();
        let mut members = Vec::new();
        for (way, shared) in compared {
            members.extend(self.bucket(way).get(&shared).into_iter().flatten().copied());
        }
        self.fill(&open);
        let Some(common) = self.common.get(&open) else {
            return 0;
        };
        let is_common = |place: usize| common.classes.get(place).copied().unwrap_or(false);
        let (mut total, mut is_own) = (common.identities, is_common(place));
        for member in members {
            let is_counted = is_common(member);
            if let Some(seen) = self.seen.get_mut(member)
                && *seen != place
                && !is_counted
            {
                *seen = place;
                total += population.classes.get(member).map_or(0, |(_, size, _)| *size);
                is_own |= member == place;
            }
        }
        // Nobody is another to itself.
        total - u64::from(is_own)
    }

    /// What somebody has to have in common with the class for this condition; none if it does not hold.
    fn joined(&self, class: &Class, condition: u32) -> Option<Box<[Symbol]>> {
        let condition = self.population.radius.conditions.get(condition);
        if !self.population.suits(class, self.own, condition) {
            return None;
        }
        self.population.shared(class, self.own, condition)
    }

    /// The classes of some roles that satisfy a condition, by what they share.
    fn bucket(&mut self, (set, condition): Way) -> &Bucket {
        let (population, other) = (self.population, self.other);
        let (by_role, sets) = (&self.by_role, &self.sets);
        self.buckets.entry((set, condition)).or_insert_with(|| {
            let condition = population.radius.conditions.get(condition);
            let mut bucket = Bucket::new();
            let roles = sets.all.get(set).into_iter().flatten();
            for place in roles.filter_map(|role| by_role.get(role)).flatten() {
                let Some((class, _, _)) = population.classes.get(*place) else {
                    continue;
                };
                if population.suits(class, other, condition)
                    && let Some(shared) = population.shared(class, other, condition)
                {
                    bucket.entry(shared).or_default().push(*place);
                }
            }
            bucket
        })
    }

    /// Works out once which classes are reached by these ways, which ask nothing in common.
    fn fill(&mut self, open: &[Way]) {
        if self.common.contains_key(open) {
            return;
        }
        let mut classes = vec![false; self.population.classes.len()];
        for way in open {
            for place in self.bucket(*way).values().flatten() {
                if let Some(reached) = classes.get_mut(*place) {
                    *reached = true;
                }
            }
        }
        let sizes = self.population.classes.iter().zip(&classes);
        let identities = sizes
            .filter(|(_, reached)| **reached)
            .map(|((_, size, _), _)| size)
            .sum();
        self.common.insert(open.to_vec(), Reached { classes, identities });
    }
}
