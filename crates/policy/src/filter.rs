//! Topic filters as languages: matching, containment, intersection.
//!
//! A filter is held in its normal form: a sequence of levels, each a literal or `+`, and a flag
//! `tail` that says whether any number of further levels may follow. `#` is held as `+/#` and `/#`
//! as `/+/#`, because the topic of zero characters does not exist; with that, equal normal forms
//! and equal languages are the same thing. At depth 0 `+` stands for every level that does not
//! start with `$` (MQTT-4.7.2-1).
//!
//! All answers are exact for topics of any depth. Work is bounded by [`TOPIC_LEVELS`] and by the
//! number of filters asked about.

mod algebra;
mod check;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

pub use algebra::{Counterexample, contains, intersects};
pub(crate) use algebra::{covers_shortest, example, shared_levels, uncovered, witness};
pub use check::{TOPIC_LENGTH, TOPIC_LEVELS, TopicError, check_filter, check_name};

/// A topic filter. Two are equal if they match the same topics, whatever their spelling.
#[derive(Clone)]
pub struct Filter {
    text: Box<str>,
    levels: Box<[Level]>,
    tail: bool,
    wildcard: bool,
}

/// One level of a filter in normal form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Level {
    /// `+`
    Any,
    /// This text and nothing else; may be empty.
    Literal(Box<str>),
}

impl Filter {
    /// Is the topic name `topic` in the language of this filter? A text that is no legal topic
    /// name (a filter, for one) is in no language.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        check_name(topic).is_ok() && self.matches_name(topic)
    }

    /// Does it hold `+` or `#`?
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The filter as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// [`Self::matches`] for a text that is known to be a legal topic name.
    pub(crate) fn matches_name(&self, topic: &str) -> bool {
        if !self.wildcard {
            return *self.text == *topic;
        }
        // Grants of one role mostly differ in their last level: most that do not match end here.
        if !self.tail
            && let Some(Level::Literal(last)) = self.levels.last()
            && !topic.ends_with(&**last)
        {
            return false;
        }
        let mut rest = Some(topic);
        let mut first = true;
        for level in &self.levels {
            let Some(text) = rest else {
                return false;
            };
            rest = match level {
                Level::Any if first && text.starts_with('$') => return false,
                Level::Any => text.split_once('/').map(|(_, after)| after),
                Level::Literal(literal) => match text.strip_prefix(&**literal) {
                    None => return false,
                    Some("") => None,
                    Some(after) => match after.strip_prefix('/') {
                        None => return false,
                        deeper => deeper,
                    },
                },
            };
            first = false;
        }
        self.tail || rest.is_none()
    }

    pub(crate) fn levels(&self) -> &[Level] {
        &self.levels
    }

    pub(crate) fn tail(&self) -> bool {
        self.tail
    }

    /// Makes a filter of levels that are never read as text again, so that no level can turn into
    /// two or into a wildcard.
    pub(crate) fn from_levels(mut levels: Vec<Level>, tail: bool) -> Self {
        let text = render(&levels, tail).into_boxed_str();
        if tail {
            match levels.as_slice() {
                [] => levels.push(Level::Any),
                [Level::Literal(first)] if first.is_empty() => levels.push(Level::Any),
                _ => {}
            }
        }
        let wildcard = tail || levels.contains(&Level::Any);
        Self {
            text,
            levels: levels.into_boxed_slice(),
            tail,
            wildcard,
        }
    }
}

/// Writes levels as a filter. The two filters that have a longer normal form get the short
/// spelling people use: `#` and `/#`.
fn render(levels: &[Level], tail: bool) -> String {
    let mut shown = levels;
    if tail {
        match levels {
            [Level::Any] => shown = &[],
            [first @ Level::Literal(root), Level::Any] if root.is_empty() => {
                shown = std::slice::from_ref(first);
            }
            _ => {}
        }
    }
    let mut parts: Vec<&str> = shown
        .iter()
        .map(|level| match level {
            Level::Any => "+",
            Level::Literal(text) => text,
        })
        .collect();
    if tail {
        parts.push("#");
    }
    parts.join("/")
}

impl FromStr for Filter {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        check_filter(text)?;
        let mut levels = Vec::new();
        let mut tail = false;
        for level in text.split('/') {
            match level {
                "#" => tail = true,
                "+" => levels.push(Level::Any),
                literal => levels.push(Level::Literal(literal.into())),
            }
        }
        Ok(Self {
            text: text.into(),
            ..Self::from_levels(levels, tail)
        })
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.tail == other.tail && self.levels == other.levels
    }
}

impl Eq for Filter {}

impl Hash for Filter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.levels.hash(state);
        self.tail.hash(state);
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Filter({:?})", self.text)
    }
}
