//! Filters, identities and snapshots.

use std::collections::BTreeMap;

use motte_policy::filter::{self, Filter};
use motte_policy::{Action, Identity, Kind, RoleLimits, RuleReference, identity};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::Error;

/// Whether the topic filter matches the topic name.
#[pyfunction]
pub(crate) fn filter_matches(topic_filter: &str, topic: &str) -> Result<bool, Error> {
    filter::check_name(topic)?;
    Ok(topic_filter.parse::<Filter>()?.matches(topic))
}

/// A topic of the filter that is not granted or that is denied; `None` if there is none.
#[pyfunction]
pub(crate) fn filter_contains(
    grants: Vec<String>,
    denials: Vec<String>,
    topic_filter: &str,
) -> Result<Option<String>, Error> {
    let (grants, denials) = (parse_all(grants)?, parse_all(denials)?);
    Ok(filter::contains(&grants, &denials, &topic_filter.parse()?)
        .err()
        .map(|found| found.topic))
}

/// The filter of the topics that both filters match; `None` if there are none.
#[pyfunction]
pub(crate) fn filter_intersection(left: &str, right: &str) -> Result<Option<String>, Error> {
    Ok(filter::intersects(&left.parse()?, &right.parse()?).map(|common| common.to_string()))
}

fn parse_all(filters: Vec<String>) -> Result<Vec<Filter>, Error> {
    filters.into_iter().map(|filter| Ok(filter.parse()?)).collect()
}

/// Raises `ValueError` if the text is no topic name.
#[pyfunction]
pub(crate) fn check_topic_name(topic: &str) -> Result<(), Error> {
    Ok(filter::check_name(topic)?)
}

/// Raises `ValueError` if the text is no topic filter.
#[pyfunction]
pub(crate) fn check_topic_filter(topic_filter: &str) -> Result<(), Error> {
    Ok(filter::check_filter(topic_filter)?)
}

/// Raises `ValueError` if the text cannot be an id, an attribute key or an attribute value.
#[pyfunction]
pub(crate) fn check_identity_value(value: &str) -> Result<(), Error> {
    Ok(identity::check_value(value)?)
}

/// Raises `ValueError` if the text cannot be the name of a fleet.
#[pyfunction]
pub(crate) fn check_fleet(fleet: &str) -> Result<(), Error> {
    identity::check_fleet(fleet).map_err(Error::Fleet)
}

/// Kind, id and attributes of a SPIFFE id of the fleet.
#[pyfunction]
pub(crate) fn parse_spiffe(
    uri: &str,
    fleet: &str,
) -> Result<(&'static str, String, BTreeMap<String, String>), Error> {
    let identity = Identity::from_spiffe(uri, fleet)?;
    Ok((
        identity.kind.as_str(),
        identity.id.clone(),
        identity.attributes.clone(),
    ))
}

/// The one SPIFFE id of an identity.
#[pyfunction]
pub(crate) fn format_spiffe(
    kind: &str,
    identifier: &str,
    attributes: BTreeMap<String, String>,
    fleet: &str,
) -> Result<String, Error> {
    check_fleet(fleet)?;
    Ok(identity_of(kind, identifier, attributes)?.to_spiffe(fleet))
}

/// What a role of this kind gets where it says nothing, by the names of the snapshot.
#[pyfunction]
pub(crate) fn default_limits<'py>(py: Python<'py>, kind: &str) -> PyResult<Bound<'py, PyDict>> {
    let kind: Kind = kind.parse().map_err(Error::from)?;
    limits_of(py, RoleLimits::of(kind))
}

fn limits_of<'py>(py: Python<'py>, limits: &RoleLimits) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    limits
        .fields()
        .into_iter()
        .try_for_each(|(name, value)| dict.set_item(name, value))?;
    Ok(dict)
}

pub(crate) fn identity_of(
    kind: &str,
    identifier: &str,
    attributes: BTreeMap<String, String>,
) -> Result<Identity, Error> {
    Ok(Identity::new(kind.parse()?, identifier, attributes)?)
}

/// What the policy answers.
#[pyclass(frozen, get_all, module = "motte._core")]
pub(crate) struct Decision {
    /// Whether it is allowed.
    allowed: bool,
    /// Why it is not, in one stable word.
    cause: Option<&'static str>,
    /// The rule that decided.
    rule: Option<String>,
    /// The grant that comes nearest where none covers the question.
    nearest: Option<String>,
    /// A topic that the subscription would deliver and must not.
    counterexample: Option<String>,
    /// The highest QoS at which it is allowed.
    maximum_qos: Option<u8>,
}

#[pymethods]
impl Decision {
    fn __repr__(&self) -> String {
        let shown = |text: &Option<String>| {
            text.as_ref()
                .map_or("None".to_owned(), |text| format!("{text:?}"))
        };
        format!(
            "Decision(allowed={}, cause={}, rule={}, nearest={}, counterexample={}, maximum_qos={})",
            if self.allowed { "True" } else { "False" },
            self.cause.map_or("None".to_owned(), |cause| format!("{cause:?}")),
            shown(&self.rule),
            shown(&self.nearest),
            shown(&self.counterexample),
            self.maximum_qos.map_or("None".to_owned(), |qos| qos.to_string()),
        )
    }
}

impl From<motte_policy::Decision> for Decision {
    fn from(decision: motte_policy::Decision) -> Self {
        let text = |rule: Option<RuleReference>| rule.map(|rule| rule.to_string());
        match decision {
            motte_policy::Decision::Allowed(grant) => Self {
                allowed: true,
                cause: None,
                rule: Some(grant.rule.to_string()),
                nearest: None,
                counterexample: None,
                maximum_qos: Some(grant.maximum_qos),
            },
            motte_policy::Decision::Denied(refusal) => Self {
                allowed: false,
                cause: Some(refusal.cause.as_str()),
                rule: text(refusal.rule),
                nearest: text(refusal.nearest),
                counterexample: refusal.counterexample,
                maximum_qos: None,
            },
        }
    }
}

/// A compiled policy: the very thing the data plane enforces.
#[pyclass(frozen, module = "motte._core")]
pub(crate) struct Snapshot(motte_policy::Snapshot);

#[pymethods]
impl Snapshot {
    #[new]
    fn new(py: Python<'_>, json: &[u8]) -> Result<Self, Error> {
        Ok(Self(py.detach(|| motte_policy::Snapshot::parse(json))?))
    }

    /// The number of this snapshot.
    #[getter]
    fn generation(&self) -> u64 {
        self.0.generation()
    }

    /// The fleet it is for.
    #[getter]
    fn fleet(&self) -> &str {
        self.0.fleet()
    }

    /// The names of the roles that match an identity, in the order of the policy.
    fn roles(
        &self,
        kind: &str,
        identifier: &str,
        attributes: BTreeMap<String, String>,
    ) -> Result<Vec<String>, Error> {
        let rights = self.0.bind(&identity_of(kind, identifier, attributes)?);
        Ok(rights.roles().iter().map(ToString::to_string).collect())
    }

    /// The limits of an identity, by the names of the snapshot.
    fn limits<'py>(
        &self,
        py: Python<'py>,
        kind: &str,
        identifier: &str,
        attributes: BTreeMap<String, String>,
    ) -> PyResult<Bound<'py, PyDict>> {
        limits_of(
            py,
            self.0.bind(&identity_of(kind, identifier, attributes)?).limits(),
        )
    }

    /// Whether an identity may do something, and which rule says so. Exceptions are not looked at.
    #[pyo3(signature = (kind, identifier, attributes, action, topic, qos=0, retain=false))]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the parts of the question, named in Python"
    )]
    fn decide(
        &self,
        kind: &str,
        identifier: &str,
        attributes: BTreeMap<String, String>,
        action: &str,
        topic: &str,
        qos: u8,
        retain: bool,
    ) -> Result<Decision, Error> {
        let action: Action = action.parse()?;
        let rights = self.0.bind(&identity_of(kind, identifier, attributes)?);
        Ok(rights.decide(action, topic, qos, retain).into())
    }

    /// `active`, `revoked` or `quarantined`.
    fn status(&self, kind: &str, identifier: &str) -> Result<&'static str, Error> {
        let identity = identity_of(kind, identifier, BTreeMap::new())?;
        Ok(self.0.exceptions().status(&identity).as_str())
    }

    fn __repr__(&self) -> String {
        format!(
            "Snapshot(fleet={:?}, generation={})",
            self.0.fleet(),
            self.0.generation()
        )
    }
}
