//! What the analysis answers.

use std::str::FromStr;

use super::condition::{Atom, Condition, Conditions};
use super::document;
use super::example::{self, Example};
use super::flows::{self, Leak, Matrix, Side};
use super::population::Population;
use super::relays::Relays;
use super::symbol::{Key, Party, Symbols, Term};
use super::{Grant, RadiusError, Subjects};
use crate::decision::RuleReference;
use crate::identity::Kind;

/// What one identity may be able to do to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// To read what the other publishes.
    Observe,
    /// To send the other a message.
    Influence,
    /// To leave a retained message for the other.
    InfluenceRetained,
    /// To leave a will for the other.
    InfluenceWill,
    /// To publish where the other does, so that readers cannot tell the two apart.
    Impersonate,
    /// To have a service send the other a message; an upper bound.
    Reach,
}

impl Question {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Observe,
        Self::Influence,
        Self::InfluenceRetained,
        Self::InfluenceWill,
        Self::Impersonate,
        Self::Reach,
    ];

    /// Where the matrix has the answer about a subject and an object.
    const fn place(self, subject: usize, object: usize) -> (usize, usize) {
        match self {
            Self::Observe => (object, subject),
            _ => (subject, object),
        }
    }

    /// Its name in one word or two.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Influence => "influence",
            Self::InfluenceRetained => "influence-retained",
            Self::InfluenceWill => "influence-will",
            Self::Impersonate => "impersonate",
            Self::Reach => "reach",
        }
    }
}

impl FromStr for Question {
    type Err = QuestionError;

    fn from_str(text: &str) -> Result<Self, QuestionError> {
        let found = Self::ALL.into_iter().find(|question| question.as_str() == text);
        found.ok_or_else(|| QuestionError {
            found: text.to_owned(),
        })
    }
}

/// A text names no question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown question {found:?}, use one of: observe, influence, influence-retained, influence-will, impersonate, reach"
)]
pub struct QuestionError {
    found: String,
}

/// For how many others something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// For nobody, whoever is enrolled.
    Isolated,
    /// Only if an identity has a certain id: a device that is named like a level of a topic.
    Named,
    /// For those with certain attributes, or with the same.
    Class,
    /// For all that have the role.
    Everyone,
}

impl Scope {
    /// Its name in one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Isolated => "isolated",
            Self::Named => "named",
            Self::Class => "class",
            Self::Everyone => "everyone",
        }
    }
}

/// What has to be equal. A side is `subject` or `object` and the name of an attribute, or `id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Equality {
    /// Two properties.
    Between((&'static str, String), (&'static str, String)),
    /// A property and a value.
    Value((&'static str, String), String),
}

/// A way in which something holds for two roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// For how many.
    pub scope: Scope,
    /// What has to be equal; nothing means that it holds for everybody who has what is required.
    pub equalities: Vec<Equality>,
    /// Attributes that a side needs, whatever their values; without one, a grant with the placeholder
    /// grants nothing.
    pub required: Vec<(&'static str, String)>,
    leak: Leak,
}

/// One step from one identity to the next: a topic, and the two grants that allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Two identities and the topic.
    pub example: Example,
    /// The grant of the first.
    pub subject_rule: RuleReference,
    /// The grant of the second.
    pub object_rule: RuleReference,
}

/// What shows that a finding is true: one step, or several through services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// At least one.
    pub hops: Vec<Hop>,
}

/// The analysis of a document.
pub struct Radius {
    pub(super) subjects: Subjects,
    pub(super) conditions: Conditions,
    live: Matrix,
    retained: Matrix,
    will: Matrix,
    impersonate: Matrix,
    relays: Relays,
}

impl Radius {
    /// Reads a document and answers all questions about all pairs of its roles.
    ///
    /// # Errors
    /// The first thing that is wrong with the document. There is no answer for a part of it.
    pub fn analyse(json: &[u8]) -> Result<Self, RadiusError> {
        let mut subjects = Subjects::new(document::parse(json)?);
        let size = subjects.members.len();
        let mut conditions = Conditions::default();
        let mut live = Matrix::new(size);
        let mut retained = Matrix::new(size);
        let mut will = Matrix::new(size);
        let mut impersonate = Matrix::new(size);
        {
            let publish = Side::new(&subjects.publish, 0..u32::MAX, &subjects);
            let subscribe = Side::new(&subjects.subscribe, 0..u32::MAX, &subjects);
            let symbols = &subjects.symbols;
            flows::common(
                &subjects,
                &publish,
                &subscribe,
                &mut conditions,
                &mut |conditions, left, right, condition| {
                    let leak = Leak {
                        condition,
                        left: left.0,
                        right: right.0,
                    };
                    let roles = (left.1.role, right.1.role);
                    live.add(roles, leak, conditions, symbols);
                    if left.1.retain {
                        retained.add(roles, leak, conditions, symbols);
                    }
                    if left.1.will {
                        will.add(roles, leak, conditions, symbols);
                    }
                },
            );
            flows::common(
                &subjects,
                &publish,
                &publish,
                &mut conditions,
                &mut |conditions, left, right, condition| {
                    let leak = Leak {
                        condition,
                        left: left.0,
                        right: right.0,
                    };
                    impersonate.add((left.1.role, right.1.role), leak, conditions, symbols);
                },
            );
        }
        let relays = Relays::new(&mut subjects, &mut conditions);
        Ok(Self {
            subjects,
            conditions,
            live,
            retained,
            will,
            impersonate,
            relays,
        })
    }

    /// The names and kinds of the roles, in the order of the document.
    pub fn roles(&self) -> impl Iterator<Item = (&str, Kind)> {
        let members = self.subjects.members.iter();
        members.map(|member| (&*member.role.name, member.role.matcher.kind))
    }

    /// The ways in which the role `subject` can do that to the role `object`, the widest first; none
    /// means that it cannot, whoever is enrolled.
    #[must_use]
    pub fn findings(&self, question: Question, subject: usize, object: usize) -> Vec<Finding> {
        let (row, column) = question.place(subject, object);
        let leaks = self.matrix(question).get(row, column);
        let mut findings: Vec<Finding> = leaks.map(|leak| self.finding(*leak, question)).collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.scope));
        findings
    }

    /// For each role to which `subject` can do that, its place and the widest scope; roles that are not
    /// named are isolated.
    #[must_use]
    pub fn scopes(&self, question: Question, subject: usize) -> Vec<(usize, Scope)> {
        let matrix = self.matrix(question);
        let objects: Vec<usize> = match question {
            Question::Observe => (0..self.subjects.members.len()).collect(),
            _ => matrix.objects(subject).collect(),
        };
        let widest = |object: usize| {
            let (row, column) = question.place(subject, object);
            let scopes = matrix.get(row, column);
            let scope = scopes
                .map(|leak| scope(self.conditions.get(leak.condition)))
                .max()?;
            Some((object, scope))
        };
        objects.into_iter().filter_map(widest).collect()
    }

    /// What shows that a finding is true. None only if a denial and a relay's pattern leave nothing in
    /// common on a later step; the upper bound stands all the same.
    #[must_use]
    pub fn witness(&self, question: Question, finding: &Finding) -> Option<Witness> {
        let links: Vec<(&Grant, &Grant)> = if question == Question::Reach {
            let path = self.relays.path(&self.subjects, &finding.leak);
            path.into_iter().map(|link| (link.from, link.to)).collect()
        } else {
            let left = self.subjects.publish.get(finding.leak.left as usize)?;
            let right = match question {
                Question::Impersonate => self.subjects.publish.get(finding.leak.right as usize)?,
                _ => self.subjects.subscribe.get(finding.leak.right as usize)?,
            };
            vec![(left, right)]
        };
        let hops: Option<Vec<Hop>> = links
            .into_iter()
            .map(|(left, right)| self.hop(left, right, question == Question::Observe))
            .collect();
        hops.map(|hops| Witness { hops })
    }

    fn hop(&self, left: &Grant, right: &Grant, reversed: bool) -> Option<Hop> {
        let equations = flows::equations_of(&self.subjects, left, right)?;
        let example = example::find(&self.subjects, left, right, &equations)?;
        let hop = Hop {
            example,
            subject_rule: left.rule.clone(),
            object_rule: right.rule.clone(),
        };
        if !reversed {
            return Some(hop);
        }
        Some(Hop {
            subject_rule: hop.object_rule,
            object_rule: hop.subject_rule,
            example: Example {
                subject: hop.example.object,
                object: hop.example.subject,
                topic: hop.example.topic,
            },
        })
    }

    /// A fleet, to be counted.
    #[must_use]
    pub fn population(&self) -> Population<'_> {
        Population::new(self)
    }

    /// Every leak of a role, with the other role.
    pub(super) fn leaks(&self, question: Question, subject: usize) -> impl Iterator<Item = (usize, Leak)> {
        let matrix = self.matrix(question);
        let objects = 0..self.subjects.members.len();
        objects.flat_map(move |object| {
            let (row, column) = question.place(subject, object);
            matrix.get(row, column).map(move |leak| (object, *leak))
        })
    }

    fn matrix(&self, question: Question) -> &Matrix {
        match question {
            // Who can read what somebody publishes is who can be sent to by them.
            Question::Observe | Question::Influence => &self.live,
            Question::InfluenceRetained => &self.retained,
            Question::InfluenceWill => &self.will,
            Question::Impersonate => &self.impersonate,
            Question::Reach => &self.relays.reached,
        }
    }

    fn finding(&self, leak: Leak, question: Question) -> Finding {
        let condition = self.conditions.get(leak.condition);
        let reversed = question == Question::Observe;
        let side = |term: Term| side(term, reversed, &self.subjects.symbols);
        let (mut equalities, mut required) = (Vec::new(), Vec::new());
        for atom in &condition.0 {
            match *atom {
                Atom::Has(term) => required.push(side(term)),
                Atom::Equal(one, other) => {
                    let (one, other) = (side(one), side(other));
                    // The subject is named first.
                    equalities.push(Equality::Between(one.clone().max(other.clone()), one.min(other)));
                }
                Atom::Is(term, value) => {
                    equalities.push(Equality::Value(
                        side(term),
                        self.subjects.symbols.text(value).to_owned(),
                    ));
                }
            }
        }
        equalities.sort_unstable();
        required.sort_unstable();
        Finding {
            scope: scope(condition),
            equalities,
            required,
            leak,
        }
    }
}

fn scope(condition: &Condition) -> Scope {
    let mut scope = Scope::Everyone;
    for atom in &condition.0 {
        scope = scope.min(match atom {
            Atom::Has(_) => Scope::Everyone,
            Atom::Is(Term { key: Key::Id, .. }, _) => Scope::Named,
            Atom::Is(..) | Atom::Equal(..) => Scope::Class,
        });
    }
    scope
}

fn side(term: Term, reversed: bool, symbols: &Symbols) -> (&'static str, String) {
    let party = match (term.party, reversed) {
        (Party::Subject, false) | (Party::Object, true) => "subject",
        _ => "object",
    };
    (party, symbols.name(term.key).to_owned())
}
