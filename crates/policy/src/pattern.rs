//! The topic patterns of grants and denials: filters with placeholders.
//!
//! A placeholder is a whole level, `{device}`. It is recognised when the policy is read and
//! replaced level by level when an identity is bound; the value is never read as text of a filter,
//! so no value can add a level or a wildcard (law 9).

use std::fmt;
use std::str::FromStr;

use crate::filter::{Filter, Level, TopicError, check_filter};
use crate::identity::{Identity, ValueError, check_value};

/// A topic filter whose levels may be placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    levels: Box<[PatternLevel]>,
    tail: bool,
}

/// One level of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PatternLevel {
    /// `+`
    Any,
    /// This text and nothing else; may be empty.
    Literal(Box<str>),
    /// What the identity has under this name.
    Variable(Box<str>),
}

impl Pattern {
    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of its placeholders, in order.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.levels.iter().filter_map(|level| match level {
            PatternLevel::Variable(name) => Some(&**name),
            PatternLevel::Any | PatternLevel::Literal(_) => None,
        })
    }

    /// Its levels in the normal form of filters: `#` alone stands behind one level at least.
    pub(crate) fn levels(&self) -> &[PatternLevel] {
        &self.levels
    }

    /// Whether any number of further levels may follow.
    pub(crate) fn tail(&self) -> bool {
        self.tail
    }

    /// The filter this pattern is for `identity`; none if a placeholder has no value there.
    #[must_use]
    pub fn bind(&self, identity: &Identity) -> Option<Filter> {
        self.replace(|name| Some(Level::Literal(identity.variable(name)?.into())))
    }

    /// The same, but a placeholder without value becomes `+`: what a denial means for an identity
    /// that lacks the attribute. The narrower reading would lift the denial.
    #[must_use]
    pub fn bind_widest(&self, identity: &Identity) -> Filter {
        let widest = |name: &str| {
            identity
                .variable(name)
                .map_or(Level::Any, |v| Level::Literal(v.into()))
        };
        // Every placeholder is replaced, so nothing is missing and the default is never used.
        self.replace(|name| Some(widest(name)))
            .unwrap_or_else(|| Filter::from_levels(Vec::new(), true))
    }

    fn replace(&self, value: impl Fn(&str) -> Option<Level>) -> Option<Filter> {
        let levels: Option<Vec<Level>> = self
            .levels
            .iter()
            .map(|level| match level {
                PatternLevel::Any => Some(Level::Any),
                PatternLevel::Literal(text) => Some(Level::Literal(text.clone())),
                PatternLevel::Variable(name) => value(name),
            })
            .collect();
        Some(Filter::from_levels(levels?, self.tail))
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        check_filter(text)?;
        if text == "$share" || text.starts_with("$share/") {
            return Err(PatternError::SharedSubscription);
        }
        let mut levels = Vec::new();
        let mut tail = false;
        for level in text.split('/') {
            match level {
                "#" => tail = true,
                "+" => levels.push(PatternLevel::Any),
                other if other.contains(['{', '}']) => levels.push(placeholder(other)?),
                literal => levels.push(PatternLevel::Literal(literal.into())),
            }
        }
        if tail {
            match levels.as_slice() {
                [] => levels.push(PatternLevel::Any),
                [PatternLevel::Literal(first)] if first.is_empty() => levels.push(PatternLevel::Any),
                _ => {}
            }
        }
        Ok(Self {
            text: text.into(),
            levels: levels.into_boxed_slice(),
            tail,
        })
    }
}

fn placeholder(level: &str) -> Result<PatternLevel, PatternError> {
    let name = level.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match name {
        Some(name) if !name.contains(['{', '}']) => match check_value(name) {
            Ok(()) => Ok(PatternLevel::Variable(name.into())),
            Err(problem) => Err(PatternError::Name {
                name: name.to_owned(),
                problem,
            }),
        },
        _ => Err(PatternError::Brace {
            level: level.to_owned(),
        }),
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Why a text is no topic pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It is no topic filter either.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// A brace that does not enclose a whole level.
    #[error("brace inside level {level:?}, a placeholder takes a whole level like `{{device}}`")]
    Brace {
        /// The level.
        level: String,
    },
    /// Not the name of an attribute.
    #[error("bad placeholder name {name:?}: {problem}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: ValueError,
    },
    /// `$share/…` is a way to subscribe, not a topic.
    #[error("`$share` in a topic pattern, grant the filter inside it")]
    SharedSubscription,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::identity::Kind;

    fn identity(id: &str, site: Option<&str>) -> Identity {
        let attributes: BTreeMap<String, String> = site
            .map(|site| ("site".to_owned(), site.to_owned()))
            .into_iter()
            .collect();
        Identity::new(Kind::Device, id, attributes).unwrap()
    }

    fn bound(pattern: &str, identity: &Identity) -> Option<String> {
        pattern
            .parse::<Pattern>()
            .unwrap()
            .bind(identity)
            .map(|filter| filter.to_string())
    }

    #[test]
    fn placeholders_become_levels() {
        let toaster = identity("toaster-1", Some("kitchen"));
        let cases = [
            (
                "home/{site}/{device}/telemetry",
                "home/kitchen/toaster-1/telemetry",
            ),
            ("{device}", "toaster-1"),
            ("{device}/#", "toaster-1/#"),
            ("+/{device}/+/#", "+/toaster-1/+/#"),
            ("/{device}/", "/toaster-1/"),
            ("plain", "plain"),
            ("#", "#"),
            ("/#", "/#"),
            ("+/#", "#"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(bound(pattern, &toaster).as_deref(), Some(expected), "{pattern}");
        }
    }

    #[test]
    fn without_a_value_there_is_no_grant_but_a_wide_denial() {
        let nowhere = identity("toaster-1", None);
        assert_eq!(bound("home/{site}/x", &nowhere), None);
        assert_eq!(bound("{service}/x", &nowhere), None);
        let pattern: Pattern = "home/{site}/{device}".parse().unwrap();
        assert_eq!(pattern.bind_widest(&nowhere).to_string(), "home/+/toaster-1");
        assert_eq!(pattern.variables().collect::<Vec<_>>(), ["site", "device"]);
    }

    #[test]
    fn braces_enclose_a_whole_level_or_are_refused() {
        for text in [
            "dev-{device}",
            "{device}x",
            "{device}{site}",
            "a/{/b",
            "a/}/b",
            "{}",
            "{{device}}",
            "{a/b}",
            "{ a }",
            "{+}",
            "{#}",
            "{$x}",
            "${device}",
            "{device",
            "device}",
        ] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
        assert_eq!(
            "a/dev-{device}".parse::<Pattern>().unwrap_err().to_string(),
            "brace inside level \"dev-{device}\", a placeholder takes a whole level like `{device}`"
        );
        for text in ["$share", "$share/g/a", "$share/{device}/a"] {
            assert_eq!(
                text.parse::<Pattern>().unwrap_err(),
                PatternError::SharedSubscription,
                "{text}"
            );
        }
    }

    proptest! {
        /// Law 9: whatever is a valid id, the bound filter has the levels of its pattern, and its
        /// text read again is the same filter.
        #[test]
        fn no_value_changes_the_shape(id in "[a-zA-Z0-9._-]{1,64}", site in "[a-zA-Z0-9._-]{1,64}") {
            prop_assume!(![id.as_str(), site.as_str()].iter().any(|value| [".", ".."].contains(value)));
            let pattern: Pattern = "{site}/+/{device}/x/#".parse().unwrap();
            let filter = pattern.bind(&identity(&id, Some(&site))).unwrap();
            prop_assert_eq!(filter.levels().len(), 4);
            prop_assert_eq!(filter.as_str().parse::<Filter>().unwrap(), filter.clone());
            let own = format!("{site}/a/{id}/x");
            let other = format!("{site}/a/{id}y/x");
            prop_assert!(filter.matches(&own));
            prop_assert!(!filter.matches(&other));
        }
    }
}
