//! The blast radius.

use std::collections::BTreeMap;

use motte_policy::Identity;
use motte_policy::radius::{self, Equality, Finding, Question};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::Error;
use crate::policy::identity_of;

/// Kind, id and attributes.
type Fields = (&'static str, String, BTreeMap<String, String>);

/// `subject` or `object` and an attribute, or `value` and one.
type Side = (&'static str, String);

fn fields(identity: &Identity) -> Fields {
    (
        identity.kind.as_str(),
        identity.id.clone(),
        identity.attributes.clone(),
    )
}

/// One step from one identity to the next.
#[pyclass(frozen, get_all, module = "motte._core")]
#[derive(Clone)]
pub(crate) struct RadiusHop {
    /// Kind, id and attributes of an identity that could be enrolled.
    subject: Fields,
    /// The same of the other one.
    object: Fields,
    /// A topic that both may use.
    topic: String,
    /// The grant of the first.
    subject_rule: String,
    /// The grant of the second.
    object_rule: String,
}

/// A way in which one role can do something to another.
#[pyclass(frozen, get_all, module = "motte._core")]
pub(crate) struct RadiusFinding {
    /// `named`, `class` or `everyone`.
    scope: &'static str,
    /// What has to be equal: a side and its attribute, and another such pair or a value.
    equalities: Vec<(Side, Side)>,
    /// Attributes that a side needs, whatever their values.
    required: Vec<Side>,
    /// What shows that it is true.
    hops: Vec<RadiusHop>,
}

/// How many others each identity of a fleet can do something to.
#[pyclass(frozen, get_all, module = "motte._core")]
pub(crate) struct RadiusNumbers {
    /// For each question and each number of others, how many identities have it.
    distributions: BTreeMap<&'static str, BTreeMap<u64, u64>>,
    /// For each question, one of the identities with the highest number.
    widest: BTreeMap<&'static str, Fields>,
    /// Identities whose id is a literal of a topic.
    collisions: Vec<Fields>,
}

/// The answers to all questions about all pairs of roles.
#[pyclass(frozen, module = "motte._core")]
pub(crate) struct Radius(radius::Radius);

#[pymethods]
impl Radius {
    #[new]
    fn new(py: Python<'_>, document: &[u8]) -> Result<Self, Error> {
        Ok(Self(py.detach(|| radius::Radius::analyse(document))?))
    }

    /// Names and kinds of the roles, in the order of the document.
    fn roles(&self) -> Vec<(String, &'static str)> {
        let roles = self.0.roles();
        roles
            .map(|(name, kind)| (name.to_owned(), kind.as_str()))
            .collect()
    }

    /// The places of the roles that the role at `subject` can do that to, each with the widest scope.
    fn scopes(
        &self,
        py: Python<'_>,
        question: &str,
        subject: usize,
    ) -> Result<Vec<(usize, &'static str)>, Error> {
        let question: Question = question.parse()?;
        let scopes = py.detach(|| self.0.scopes(question, subject));
        Ok(scopes
            .into_iter()
            .map(|(object, scope)| (object, scope.as_str()))
            .collect())
    }

    /// The ways in which one role can do that to another, the widest first.
    fn findings(&self, question: &str, subject: usize, other: usize) -> Result<Vec<RadiusFinding>, Error> {
        let question: Question = question.parse()?;
        let findings = self.0.findings(question, subject, other);
        Ok(findings
            .into_iter()
            .map(|finding| self.shown(question, finding))
            .collect())
    }

    /// The answers in numbers for a fleet of identities, each as kind, id and attributes.
    fn numbers(&self, identities: &Bound<'_, PyAny>) -> PyResult<RadiusNumbers> {
        let mut population = self.0.population();
        for item in identities.try_iter()? {
            let item = item?;
            let (kind, id, attributes) = item.extract::<(String, String, Bound<'_, PyDict>)>()?;
            let attributes: BTreeMap<String, String> = attributes.extract()?;
            population.add(&identity_of(&kind, &id, attributes)?);
        }
        let (mut distributions, mut widest) = (BTreeMap::new(), BTreeMap::new());
        for question in Question::ALL {
            let distribution = population.distribution(question);
            widest.extend(
                distribution
                    .widest
                    .map(|identity| (question.as_str(), fields(&identity))),
            );
            distributions.insert(question.as_str(), distribution.identities);
        }
        Ok(RadiusNumbers {
            distributions,
            widest,
            collisions: population.collisions.iter().map(fields).collect(),
        })
    }
}

impl Radius {
    fn shown(&self, question: Question, finding: Finding) -> RadiusFinding {
        let witness = self.0.witness(question, &finding);
        let hops = witness.into_iter().flat_map(|witness| witness.hops);
        RadiusFinding {
            scope: finding.scope.as_str(),
            equalities: finding.equalities.into_iter().map(pair).collect(),
            required: finding.required,
            hops: hops
                .map(|hop| RadiusHop {
                    subject: fields(&hop.example.subject),
                    object: fields(&hop.example.object),
                    topic: hop.example.topic,
                    subject_rule: hop.subject_rule.to_string(),
                    object_rule: hop.object_rule.to_string(),
                })
                .collect(),
        }
    }
}

/// Two sides; a value is the side `value`.
fn pair(equality: Equality) -> (Side, Side) {
    match equality {
        Equality::Between(one, other) => (one, other),
        Equality::Value(one, value) => (one, ("value", value)),
    }
}
