//! What the policy answers, and which of its rules answered.

use std::fmt;
use std::sync::Arc;

/// May it be done?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes, by this grant.
    Allowed(Grant),
    /// No.
    Denied(Refusal),
}

impl Decision {
    /// Is it a yes?
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// The grant of a yes.
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        match self {
            Self::Allowed(grant) => Some(grant),
            Self::Denied(_) => None,
        }
    }

    /// The refusal of a no.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Allowed(_) => None,
            Self::Denied(refusal) => Some(refusal),
        }
    }
}

/// What allowed an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The grant that matched.
    pub rule: RuleReference,
    /// The highest QoS at which it holds.
    pub maximum_qos: u8,
}

/// Why an action is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub cause: Cause,
    /// The rule that refused: a denial, or the grant that falls short.
    pub rule: Option<RuleReference>,
    /// The grant that comes nearest, for people who look for the mistake.
    pub nearest: Option<RuleReference>,
    /// A topic that a subscription would deliver and must not.
    pub counterexample: Option<String>,
}

impl Refusal {
    pub(crate) fn new(cause: Cause) -> Self {
        Self {
            cause,
            rule: None,
            nearest: None,
            counterexample: None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.cause)?;
        if let Some(rule) = &self.rule {
            write!(formatter, " ({rule})")?;
        }
        if let Some(topic) = &self.counterexample {
            write!(formatter, "; it would include {topic:?}")?;
        }
        if let Some(nearest) = &self.nearest {
            write!(formatter, "; nearest: {nearest}")?;
        }
        Ok(())
    }
}

/// Why an action is not allowed, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// No role matches the identity.
    NoRole,
    /// No grant covers the topic or filter.
    NotGranted,
    /// A denial matches it.
    DeniedByRule,
    /// A wildcard filter, and no role that grants it says `wildcards = true`.
    Wildcard,
    /// A shared subscription of a group that no role which grants the filter has.
    ShareNotGranted,
    /// The topic is granted, but not with RETAIN.
    RetainNotGranted,
    /// The topic is granted, but not at this QoS.
    QosNotGranted,
    /// The topic is granted, but not for a will.
    WillNotGranted,
    /// A topic that starts with `$`, which no grant names literally.
    Reserved,
    /// No legal topic name, topic filter or QoS.
    Malformed,
}

impl Cause {
    /// A stable name for logs and programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoRole => "no-role",
            Self::NotGranted => "not-granted",
            Self::DeniedByRule => "denied-by-rule",
            Self::Wildcard => "wildcard",
            Self::ShareNotGranted => "share-not-granted",
            Self::RetainNotGranted => "retain-not-granted",
            Self::QosNotGranted => "qos-not-granted",
            Self::WillNotGranted => "will-not-granted",
            Self::Reserved => "reserved",
            Self::Malformed => "malformed",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoRole => "no role matches the identity",
            Self::NotGranted => "no grant covers it",
            Self::DeniedByRule => "denied by rule",
            Self::Wildcard => "wildcard not granted",
            Self::ShareNotGranted => "share group not granted",
            Self::RetainNotGranted => "retain not granted",
            Self::QosNotGranted => "QoS not granted",
            Self::WillNotGranted => "will not granted",
            Self::Reserved => "reserved topic not granted",
            Self::Malformed => "malformed topic or QoS",
        })
    }
}

/// Which list of a role a rule stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleKind {
    /// `publish = […]`
    Publish,
    /// `subscribe = […]`
    Subscribe,
    /// `deny = […]`
    Deny,
}

impl RuleKind {
    /// The key of the list.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Deny => "deny",
        }
    }
}

/// One rule of the policy file, by place and text; cheap to clone.
///
/// Shown like `policy.toml:12 role.thermostat publish "home/{site}/{device}/telemetry"`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleReference(Arc<Rule>);

#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Rule {
    line: u32,
    role: Arc<str>,
    kind: RuleKind,
    text: String,
    has_wildcard: bool,
}

impl RuleReference {
    pub(crate) fn new(policy_file: &str, line: u32, role: &Arc<str>, kind: RuleKind, topic: &str) -> Self {
        let text = format!("{policy_file}:{line} role.{role} {} {topic:?}", kind.as_str());
        Self(Arc::new(Rule {
            line,
            role: Arc::clone(role),
            kind,
            text,
            has_wildcard: topic.contains(['+', '#']),
        }))
    }

    /// Whether its topic has `+` or `#`.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.0.has_wildcard
    }

    /// Tells this rule from all others that exist at the same time, quicker than its text does. Clones
    /// have the same address.
    #[must_use]
    pub fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// The whole reference as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The line of the policy file, the first being 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.0.line
    }

    /// The name of the role.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.0.role
    }

    /// The list it stands in.
    #[must_use]
    pub fn kind(&self) -> RuleKind {
        self.0.kind
    }
}

impl fmt::Display for RuleReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.text)
    }
}

impl fmt::Debug for RuleReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RuleReference({})", self.0.text)
    }
}
