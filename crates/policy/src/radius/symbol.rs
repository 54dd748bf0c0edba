//! Names and values as numbers, and grants as sequences of them.

use std::collections::HashMap;

use crate::identity::{Kind, check_value};
use crate::pattern::{Pattern, PatternLevel};

/// A text that was seen in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Symbol(u32);

/// What a placeholder asks an identity for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    /// The id of the identity.
    Id,
    /// The attribute of that name.
    Attribute(Symbol),
}

/// Whose property it is. A relay stands between the two that the question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Party {
    /// Whose radius is asked for.
    Subject,
    /// The other identity.
    Object,
    /// A service in between.
    Relay,
}

/// A property of one of the parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Term {
    pub(super) party: Party,
    pub(super) key: Key,
}

/// One level of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Level {
    /// `+`
    Any,
    /// This text.
    Literal(Symbol),
    /// What the identity has there.
    Variable(Key),
}

/// The shape of a grant: equal shapes ask the same question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) levels: Box<[Level]>,
    pub(super) tail: bool,
}

/// Every text of the document, once.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    numbers: HashMap<Box<str>, Symbol>,
    texts: Vec<Text>,
}

#[derive(Debug)]
struct Text {
    text: Box<str>,
    /// Whether an identity can have it as id or attribute.
    is_value: bool,
    /// Whether it begins with `$`: a wildcard in the first level does not stand for it.
    is_reserved: bool,
}

impl Symbols {
    pub(super) fn of(&mut self, text: &str) -> Symbol {
        if let Some(&symbol) = self.numbers.get(text) {
            return symbol;
        }
        // A document has fewer bytes than there are numbers.
        let symbol = Symbol(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        self.numbers.insert(text.into(), symbol);
        self.texts.push(Text {
            text: text.into(),
            is_value: check_value(text).is_ok(),
            is_reserved: text.starts_with('$'),
        });
        symbol
    }

    pub(super) fn text(&self, symbol: Symbol) -> &str {
        self.get(symbol).map_or("", |text| &text.text)
    }

    pub(super) fn is_value(&self, symbol: Symbol) -> bool {
        self.get(symbol).is_some_and(|text| text.is_value)
    }

    pub(super) fn is_reserved(&self, symbol: Symbol) -> bool {
        self.get(symbol).is_some_and(|text| text.is_reserved)
    }

    /// The symbol of a text that the document holds.
    pub(super) fn find(&self, text: &str) -> Option<Symbol> {
        self.numbers.get(text).copied()
    }

    /// A symbol for a text that the document does not hold.
    pub(super) fn beyond(&self, number: usize) -> Symbol {
        Symbol(u32::try_from(self.texts.len().saturating_add(number)).unwrap_or(u32::MAX))
    }

    /// Whether the document holds the text.
    pub(super) fn contains(&self, text: &str) -> bool {
        self.numbers.contains_key(text)
    }

    fn get(&self, symbol: Symbol) -> Option<&Text> {
        self.texts.get(symbol.0 as usize)
    }

    /// The shape of a pattern of identities of this kind; none if they can never have what a
    /// placeholder asks for.
    pub(super) fn shape(&mut self, pattern: &Pattern, kind: Kind) -> Option<Shape> {
        let levels: Option<Box<[Level]>> = pattern
            .levels()
            .iter()
            .map(|level| {
                Some(match level {
                    PatternLevel::Any => Level::Any,
                    PatternLevel::Literal(text) => Level::Literal(self.of(text)),
                    PatternLevel::Variable(name) => Level::Variable(self.key(name, kind)?),
                })
            })
            .collect();
        Some(Shape {
            levels: levels?,
            tail: pattern.tail(),
        })
    }

    /// The key of an attribute that the document names.
    pub(super) fn attribute(&self, name: &str) -> Option<Key> {
        let is_attribute = !crate::identity::RESERVED_KEYS.contains(&name);
        let symbol = self.numbers.get(name).filter(|_| is_attribute)?;
        Some(Key::Attribute(*symbol))
    }

    fn key(&mut self, name: &str, kind: Kind) -> Option<Key> {
        if crate::identity::RESERVED_KEYS.contains(&name) {
            (name == kind.as_str()).then_some(Key::Id)
        } else {
            Some(Key::Attribute(self.of(name)))
        }
    }

    /// The name of a key; the id is called `id`, whatever kind of identity has it.
    pub(super) fn name(&self, key: Key) -> &str {
        match key {
            Key::Id => "id",
            Key::Attribute(symbol) => self.text(symbol),
        }
    }
}
