//! Finds the pairs of shapes that may have a topic in common, without looking at all pairs: the shapes
//! of each side stand in a trie, and two tries are walked at the same time.

use std::collections::HashMap;

use super::symbol::{Key, Level, Shape, Symbol, Symbols};

/// Shapes by their levels.
#[derive(Debug, Default)]
pub(super) struct Trie {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Symbol, Node>,
    any: Option<Box<Node>>,
    variables: HashMap<Key, Node>,
    /// A shape that ends here.
    exact: Option<usize>,
    /// A shape that ends here and goes on with anything.
    tail: Option<usize>,
}

impl Trie {
    pub(super) fn insert(&mut self, shape: &Shape, number: usize) {
        let mut node = &mut self.root;
        for level in &shape.levels {
            node = match *level {
                Level::Any => node.any.get_or_insert_default(),
                Level::Literal(text) => node.literals.entry(text).or_default(),
                Level::Variable(key) => node.variables.entry(key).or_default(),
            };
        }
        if shape.tail {
            node.tail = Some(number);
        } else {
            node.exact = Some(number);
        }
    }

    /// Calls `found` for each pair whose shapes fit level by level, each pair once.
    pub(super) fn join(&self, other: &Self, symbols: &Symbols, found: &mut impl FnMut(usize, usize)) {
        join(&self.root, &other.root, 0, symbols, found);
    }
}

impl Node {
    fn children(&self) -> impl Iterator<Item = (Level, &Self)> {
        let literals = self
            .literals
            .iter()
            .map(|(text, node)| (Level::Literal(*text), node));
        literals.chain(self.open_children())
    }

    /// The children that are no literal.
    fn open_children(&self) -> impl Iterator<Item = (Level, &Self)> {
        let any = self.any.iter().map(|node| (Level::Any, &**node));
        let variables = self
            .variables
            .iter()
            .map(|(key, node)| (Level::Variable(*key), node));
        any.chain(variables)
    }

    /// Every shape that ends here or deeper.
    fn all(&self, found: &mut impl FnMut(usize)) {
        self.exact
            .iter()
            .chain(&self.tail)
            .for_each(|number| found(*number));
        for (_, child) in self.children() {
            child.all(found);
        }
    }
}

fn join(one: &Node, other: &Node, depth: usize, symbols: &Symbols, found: &mut impl FnMut(usize, usize)) {
    if let (Some(left), Some(right)) = (one.exact, other.exact) {
        found(left, right);
    }
    if let Some(left) = one.tail {
        other.all(&mut |right| found(left, right));
    }
    if let Some(right) = other.tail {
        one.all(&mut |left| {
            // Two tails have met above.
            if one.tail != Some(left) {
                found(left, right);
            }
        });
    }
    for (level, child) in one.children() {
        match level {
            Level::Literal(text) => {
                if let Some(same) = other.literals.get(&text) {
                    join(child, same, depth + 1, symbols, found);
                }
                for (level, node) in other.open_children() {
                    if may_be(level, text, depth, symbols) {
                        join(child, node, depth + 1, symbols, found);
                    }
                }
            }
            Level::Any | Level::Variable(_) => {
                for (opposite, node) in other.children() {
                    let fits = match (opposite, level) {
                        (Level::Literal(text), level) => may_be(level, text, depth, symbols),
                        _ => true,
                    };
                    if fits {
                        join(child, node, depth + 1, symbols, found);
                    }
                }
            }
        }
    }
}

/// Whether an open level may stand for this text.
fn may_be(level: Level, text: Symbol, depth: usize, symbols: &Symbols) -> bool {
    match level {
        Level::Any => depth > 0 || !symbols.is_reserved(text),
        Level::Variable(_) => symbols.is_value(text),
        Level::Literal(_) => false,
    }
}
