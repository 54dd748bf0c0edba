//! Which properties of the parties have to be equal: union-find over terms, each class with at most one
//! value.

use super::symbol::{Key, Level, Party, Shape, Symbol, Symbols, Term};

/// Terms that are equal, and terms that have a value. Contradictory as soon as one class has two.
#[derive(Clone, Debug, Default)]
pub(super) struct Equations {
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    term: Term,
    parent: usize,
    /// Of the whole class, where the node is its root.
    value: Option<Symbol>,
}

/// No identities can be like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contradiction;

impl Equations {
    /// What has to hold for a topic that both shapes match, each bound to its party.
    pub(super) fn unify(
        &mut self,
        symbols: &Symbols,
        (left, left_party): (&Shape, Party),
        (right, right_party): (&Shape, Party),
    ) -> Result<(), Contradiction> {
        if !depths_fit(left, right) {
            return Err(Contradiction);
        }
        let pairs = left.levels.iter().zip(&right.levels);
        for (depth, (&one, &other)) in pairs.enumerate() {
            match (one, other) {
                (Level::Any, Level::Any) => {}
                (Level::Any, Level::Variable(key)) => self.touch(Term {
                    party: right_party,
                    key,
                }),
                (Level::Variable(key), Level::Any) => self.touch(Term {
                    party: left_party,
                    key,
                }),
                (Level::Any, Level::Literal(text)) | (Level::Literal(text), Level::Any) => {
                    if depth == 0 && symbols.is_reserved(text) {
                        return Err(Contradiction);
                    }
                }
                (Level::Literal(text), Level::Literal(same)) if text == same => {}
                (Level::Literal(_), Level::Literal(_)) => return Err(Contradiction),
                (Level::Variable(key), Level::Literal(text)) => {
                    self.set(
                        symbols,
                        Term {
                            party: left_party,
                            key,
                        },
                        text,
                    )?;
                }
                (Level::Literal(text), Level::Variable(key)) => {
                    self.set(
                        symbols,
                        Term {
                            party: right_party,
                            key,
                        },
                        text,
                    )?;
                }
                (Level::Variable(one), Level::Variable(other)) => self.equate(
                    Term {
                        party: left_party,
                        key: one,
                    },
                    Term {
                        party: right_party,
                        key: other,
                    },
                )?,
            }
        }
        let deeper = left.levels.len().min(right.levels.len());
        for (shape, party) in [(left, left_party), (right, right_party)] {
            for level in shape.levels.iter().skip(deeper) {
                if let Level::Variable(key) = *level {
                    self.touch(Term { party, key });
                }
            }
        }
        Ok(())
    }

    /// The term has a value, whichever.
    pub(super) fn touch(&mut self, term: Term) {
        self.root_of(term);
    }

    /// Whether the term was seen.
    pub(super) fn has(&self, term: Term) -> bool {
        self.find(term).is_some()
    }

    /// The term has this value, which has to be one that an identity can have.
    pub(super) fn set(&mut self, symbols: &Symbols, term: Term, value: Symbol) -> Result<(), Contradiction> {
        let root = self.root_of(term);
        let Some(node) = self.nodes.get_mut(root) else {
            return Err(Contradiction);
        };
        match node.value {
            Some(other) if other != value => Err(Contradiction),
            Some(_) => Ok(()),
            None if symbols.is_value(value) => {
                node.value = Some(value);
                Ok(())
            }
            None => Err(Contradiction),
        }
    }

    /// The two terms are equal.
    pub(super) fn equate(&mut self, one: Term, other: Term) -> Result<(), Contradiction> {
        let (one, other) = (self.root_of(one), self.root_of(other));
        if one == other {
            return Ok(());
        }
        let value = match (self.value_at(one), self.value_at(other)) {
            (Some(left), Some(right)) if left != right => return Err(Contradiction),
            (left, right) => left.or(right),
        };
        if let Some(node) = self.nodes.get_mut(other) {
            node.parent = one;
        }
        if let Some(node) = self.nodes.get_mut(one) {
            node.value = value;
        }
        Ok(())
    }

    /// The parties are two identities of one kind: ids are unique, so they must differ.
    pub(super) fn differ(&self, one: Party, other: Party) -> Result<(), Contradiction> {
        let id = |party| self.find(Term { party, key: Key::Id });
        let (Some(one), Some(other)) = (id(one), id(other)) else {
            return Ok(());
        };
        let same_value = self.value_at(one).is_some() && self.value_at(one) == self.value_at(other);
        if one == other || same_value {
            return Err(Contradiction);
        }
        Ok(())
    }

    /// The value of a term, where it has one.
    pub(super) fn value(&self, term: Term) -> Option<Symbol> {
        self.value_at(self.find(term)?)
    }

    /// The term that stands for all that are equal to this one.
    pub(super) fn representative(&self, term: Term) -> Term {
        let root = self.find(term).and_then(|root| self.nodes.get(root));
        root.map_or(term, |node| node.term)
    }

    /// Whether the two terms are in one class, or have the same value.
    pub(super) fn are_equal(&self, one: Term, other: Term) -> bool {
        match (self.find(one), self.find(other)) {
            (Some(one), Some(other)) => {
                one == other || (self.value_at(one).is_some() && self.value_at(one) == self.value_at(other))
            }
            _ => one == other,
        }
    }

    /// Every term that something is known about, sorted.
    pub(super) fn terms(&self) -> Vec<Term> {
        let mut terms: Vec<Term> = self.nodes.iter().map(|node| node.term).collect();
        terms.sort_unstable();
        terms
    }

    fn root_of(&mut self, term: Term) -> usize {
        if let Some(root) = self.find(term) {
            return root;
        }
        let index = self.nodes.len();
        self.nodes.push(Node {
            term,
            parent: index,
            value: None,
        });
        index
    }

    fn find(&self, term: Term) -> Option<usize> {
        let mut index = self.nodes.iter().position(|node| node.term == term)?;
        while let Some(node) = self.nodes.get(index)
            && node.parent != index
        {
            index = node.parent;
        }
        Some(index)
    }

    fn value_at(&self, root: usize) -> Option<Symbol> {
        self.nodes.get(root)?.value
    }
}

/// Whether some depth suits both.
fn depths_fit(left: &Shape, right: &Shape) -> bool {
    let (left_depth, right_depth) = (left.levels.len(), right.levels.len());
    match (left.tail, right.tail) {
        (true, true) => true,
        (true, false) => right_depth >= left_depth,
        (false, true) => left_depth >= right_depth,
        (false, false) => left_depth == right_depth,
    }
}
