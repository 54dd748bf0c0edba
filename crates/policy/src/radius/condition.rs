//! For which pairs of identities something holds: equalities between what the two have, and attributes
//! that they need at all.

use std::collections::HashMap;

use super::equations::{Contradiction, Equations};
use super::symbol::{Key, Party, Symbol, Symbols, Term};

/// One thing that has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Atom {
    /// The identity has the attribute, whatever its value. Never said of an id: every identity has one.
    Has(Term),
    /// The two terms are equal.
    Equal(Term, Term),
    /// The term has this value.
    Is(Term, Symbol),
}

/// What has to hold, all of it; nothing at all holds for every pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Condition(pub(super) Vec<Atom>);

/// What a role says about whoever has it.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) id: Option<Symbol>,
    pub(super) attributes: Vec<(Symbol, Symbol)>,
}

impl Facts {
    /// The value that every identity of the role has there.
    pub(super) fn value(&self, key: Key) -> Option<Symbol> {
        match key {
            Key::Id => self.id,
            Key::Attribute(name) => {
                let found = self.attributes.iter().find(|(attribute, _)| *attribute == name);
                found.map(|(_, value)| *value)
            }
        }
    }

    /// Adds them to the equations, as properties of `party`.
    pub(super) fn state(
        &self,
        party: Party,
        symbols: &Symbols,
        equations: &mut Equations,
    ) -> Result<(), Contradiction> {
        if let Some(id) = self.id {
            equations.set(symbols, Term { party, key: Key::Id }, id)?;
        }
        self.attributes.iter().try_for_each(|&(name, value)| {
            let key = Key::Attribute(name);
            equations.set(symbols, Term { party, key }, value)
        })
    }
}

impl Condition {
    /// What the equations ask of subject and object beyond what their roles say.
    pub(super) fn read(equations: &Equations, subject: &Facts, object: &Facts) -> Self {
        let known = |term: Term| match term.party {
            Party::Subject => subject.value(term.key),
            Party::Object => object.value(term.key),
            Party::Relay => None,
        };
        let terms: Vec<Term> = equations
            .terms()
            .into_iter()
            .filter(|term| term.party != Party::Relay)
            .collect();
        let mut atoms = Vec::new();
        for (index, &term) in terms.iter().enumerate() {
            if let Some(value) = equations.value(term) {
                if known(term) != Some(value) {
                    atoms.push(Atom::Is(term, value));
                }
                continue;
            }
            let is_equal = |other: &&Term| **other != term && equations.are_equal(**other, term);
            match terms.iter().position(|known| is_equal(&known)) {
                Some(first) if first < index => {
                    atoms.extend(terms.get(first).map(|first| Atom::Equal(*first, term)));
                }
                None if term.key != Key::Id => atoms.push(Atom::Has(term)),
                // Where it is the first of its class the others say all, and every identity has an id.
                _ => {}
            }
        }
        atoms.sort_unstable();
        Self(atoms)
    }

    /// Adds the equalities to equations.
    pub(super) fn state(&self, symbols: &Symbols, equations: &mut Equations) -> Result<(), Contradiction> {
        self.0.iter().try_for_each(|atom| match *atom {
            Atom::Has(term) => {
                equations.touch(term);
                Ok(())
            }
            Atom::Equal(one, other) => equations.equate(one, other),
            Atom::Is(term, value) => equations.set(symbols, term, value),
        })
    }

    /// Whether it holds wherever `other` does.
    pub(super) fn is_implied_by(&self, other: &Self, symbols: &Symbols) -> bool {
        if self.0.is_empty() || self == other {
            return true;
        }
        let mut equations = Equations::default();
        if other.state(symbols, &mut equations).is_err() {
            return true;
        }
        self.0.iter().all(|atom| match *atom {
            Atom::Has(term) => equations.has(term),
            Atom::Equal(one, same) => equations.are_equal(one, same),
            Atom::Is(term, value) => equations.value(term) == Some(value),
        })
    }

    /// The same with the parties renamed.
    pub(super) fn renamed(&self, rename: impl Fn(Party) -> Party) -> Self {
        let term = |term: Term| Term {
            party: rename(term.party),
            key: term.key,
        };
        let mut atoms: Vec<Atom> = self
            .0
            .iter()
            .map(|atom| match *atom {
                Atom::Has(one) => Atom::Has(term(one)),
                Atom::Equal(one, other) => {
                    let (one, other) = (term(one), term(other));
                    Atom::Equal(one.min(other), one.max(other))
                }
                Atom::Is(one, value) => Atom::Is(term(one), value),
            })
            .collect();
        atoms.sort_unstable();
        Self(atoms)
    }
}

/// Every condition that was seen, once.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    numbers: HashMap<Condition, u32>,
    all: Vec<Condition>,
}

impl Conditions {
    pub(super) fn number(&mut self, condition: Condition) -> u32 {
        if let Some(&number) = self.numbers.get(&condition) {
            return number;
        }
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.numbers.insert(condition.clone(), number);
        self.all.push(condition);
        number
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Condition> {
        self.all.iter()
    }

    pub(super) fn get(&self, number: u32) -> &Condition {
        static EVERYBODY: Condition = Condition(Vec::new());
        self.all.get(number as usize).unwrap_or(&EVERYBODY)
    }
}
