//! The JSON form of a snapshot, format 1, as it is written: shapes only, nothing is believed yet.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use crate::identity::Kind;
use crate::rights::Action;

/// Read first where the rest does not fit, to tell another format from a broken document.
#[derive(Deserialize)]
pub(super) struct Head {
    pub(super) format: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) format: u64,
    pub(super) generation: u64,
    pub(super) fleet: String,
    pub(super) policy_file: String,
    pub(super) roles: Vec<RoleEntry>,
    pub(super) exceptions: ExceptionsEntry,
    pub(super) vectors: Vec<VectorEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleEntry {
    pub(crate) name: String,
    pub(crate) line: u32,
    #[serde(rename = "match")]
    pub(crate) matcher: MatchEntry,
    pub(crate) publish: Vec<PublishEntry>,
    pub(crate) subscribe: Vec<SubscribeEntry>,
    pub(crate) deny: Vec<DenyEntry>,
    pub(crate) wildcards: bool,
    /// Names of groups; none where it is left out.
    #[serde(default)]
    pub(crate) share: Vec<String>,
    pub(crate) limits: LimitsEntry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MatchEntry {
    pub(crate) kind: Kind,
    pub(crate) id: Option<String>,
    #[serde(deserialize_with = "unique")]
    pub(crate) attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishEntry {
    pub(crate) topic: String,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) will: bool,
    pub(crate) line: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscribeEntry {
    pub(crate) topic: String,
    pub(crate) qos: u8,
    pub(crate) line: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DenyEntry {
    pub(crate) topic: String,
    pub(crate) actions: Vec<DenyAction>,
    pub(crate) line: u32,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DenyAction {
    Publish,
    Subscribe,
}

/// A bound that is left out has the default of the kind the role matches.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsEntry {
    pub(crate) messages_per_second: Option<u32>,
    pub(crate) message_burst: Option<u32>,
    pub(crate) bytes_per_second: Option<u64>,
    pub(crate) byte_burst: Option<u64>,
    pub(crate) payload: Option<u32>,
    pub(crate) packet: Option<u32>,
    pub(crate) inflight: Option<u16>,
    pub(crate) queue_messages: Option<u32>,
    pub(crate) queue_bytes: Option<u64>,
    pub(crate) subscriptions: Option<u32>,
    pub(crate) retained_messages: Option<u32>,
    pub(crate) retained_bytes: Option<u64>,
    pub(crate) session_expiry: Option<u32>,
    pub(crate) connections: Option<u16>,
    pub(crate) keep_alive: Option<u16>,
    pub(crate) topic_aliases: Option<u16>,
    pub(crate) sessions: Option<u16>,
    pub(crate) message_expiry: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExceptionsEntry {
    pub(super) revoked_serials: Vec<String>,
    pub(super) revoked: Vec<String>,
    pub(super) quarantined: Vec<String>,
    pub(super) banned: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VectorEntry {
    pub(super) identity: VectorIdentity,
    pub(super) action: Action,
    pub(super) topic: String,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) allowed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VectorIdentity {
    pub(super) kind: Kind,
    pub(super) id: String,
    #[serde(deserialize_with = "unique")]
    pub(super) attributes: BTreeMap<String, String>,
}

/// A map in which a key stands once. Two readers that disagree about which of two equal keys
/// counts would disagree about the policy.
fn unique<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Unique;

    impl<'de> Visitor<'de> for Unique {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object of strings")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = access.next_entry::<String, String>()? {
                if map.contains_key(&key) {
                    return Err(A::Error::custom(format_args!("key {key:?} twice in one object")));
                }
                map.insert(key, value);
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(Unique)
}
