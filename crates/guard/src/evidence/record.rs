//! One thing that happened.

use serde::Serialize;

use super::Text;
use crate::{Denial, FirstUse, Layer, Manner, Now};

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The data plane started.
    Started,
    /// The data plane stopped.
    Stopped,
    /// A policy was installed, or one was refused.
    Snapshot,
    /// The listener's certificate was replaced, or its successor was refused.
    ServerCertificate,
    /// A client was let in.
    Connected,
    /// A connection ended.
    Disconnected,
    /// A new connection of the same identity took over a session.
    SessionTakenOver,
    /// A layer refused something.
    Refused,
    /// A message that had been accepted was not delivered, because its right was gone.
    Withheld,
    /// A subscription ended, because its right was gone.
    SubscriptionPruned,
    /// A will was dropped, because its right was gone.
    WillDropped,
    /// A grant was used in this manner, for the first time on this day.
    Used,
    /// The durable store is full, has room again, or has failed.
    Store,
    /// An address was banned for its failures.
    Banned,
    /// The log had an unfinished last line, which was cut off.
    LogRepaired,
    /// The oldest lines of the log were removed, because it had reached its size.
    LogTrimmed,
}

/// One thing that happened. In JSON the fields stand in this order and absent ones are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// What kind of thing happened.
    pub kind: Kind,
    /// The layer that refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    /// The rule that refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Text>,
    /// Whose doing it was, as `device/toaster-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Text>,
    /// The MQTT client id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<Text>,
    /// The network address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Text>,
    /// The topic or filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<Text>,
    /// How a grant was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manner: Option<Manner>,
    /// More about it, for people; may be empty.
    #[serde(skip_serializing_if = "Text::is_empty")]
    pub detail: Text,
    /// How many equal things this record stands for.
    pub count: u64,
}

impl Record {
    /// A record that says no more than when and what.
    #[must_use]
    pub fn new(kind: Kind, now: Now) -> Self {
        Self {
            at_unix_ms: now.unix_milliseconds(),
            kind,
            layer: None,
            rule: None,
            identity: None,
            client_id: None,
            peer: None,
            topic: None,
            manner: None,
            detail: Text::default(),
            count: 1,
        }
    }

    /// The record of a denial.
    #[must_use]
    pub fn refused(denial: &Denial, now: Now) -> Self {
        Self::new(Kind::Refused, now).denial(denial)
    }

    /// The record of the first use of a grant.
    #[must_use]
    pub fn used(first: &FirstUse, now: Now) -> Self {
        let mut record = Self::new(Kind::Used, now).identity(&*first.identity.to_string());
        record.rule = Some(Text::new(first.rule.as_str()));
        record.topic = first.topic.as_deref().map(Text::new);
        record.manner = Some(first.manner);
        record
    }

    /// Adds layer, rule and detail of a denial.
    #[must_use]
    pub fn denial(mut self, denial: &Denial) -> Self {
        self.layer = Some(denial.layer);
        self.rule = Some(Text::new(&denial.rule));
        self.detail = Text::new(&denial.detail);
        self
    }

    /// Adds whose doing it was.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<Text>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// Adds the client id.
    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<Text>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// Adds the network address.
    #[must_use]
    pub fn peer(mut self, peer: impl Into<Text>) -> Self {
        self.peer = Some(peer.into());
        self
    }

    /// Adds the topic or filter.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<Text>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Adds more, for people.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Text>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Sets how many equal things it stands for.
    #[must_use]
    pub const fn count(mut self, count: u64) -> Self {
        self.count = count;
        self
    }

    /// The one JSON form of the record.
    pub(super) fn canonical(&self) -> String {
        // Strings and numbers under fixed names: there is nothing here that JSON could not hold.
        serde_json::to_string(self).unwrap_or_default()
    }
}
