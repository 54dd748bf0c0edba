//! What the tests of all layers need: a policy, identities and a clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use motte_policy::{Identity, Kind, Snapshot};
use serde_json::{Value, json};

use crate::{CertificateFacts, Guard, GuardSettings, KeyKind, Now, Principal};

pub(crate) const FLEET: &str = "home";

/// A moment in the certificates' validity.
pub(crate) fn at(seconds: u64) -> Now {
    Now {
        monotonic: Duration::from_secs(seconds),
        unix: Duration::from_secs(1_000_000 + seconds),
    }
}

/// Roles: devices of group toaster, the service dashboard, and whatever a test adds.
pub(crate) struct Policy {
    pub(crate) document: Value,
}

impl Policy {
    pub(crate) fn new(generation: u64) -> Self {
        let grant = |topic: &str, qos: u8, retain: bool, will: bool| json!({"topic": topic, "qos": qos, "retain": retain, "will": will, "line": 3});
        let read = |topic: &str| json!({"topic": topic, "qos": 1, "line": 4});
        let document = json!({
            "format": 1, "generation": generation, "fleet": FLEET, "policy_file": "policy.toml",
            "roles": [
                {
                    "name": "toaster", "line": 2,
                    "match": {"kind": "device", "id": null, "attributes": {"group": "toaster"}},
                    "publish": [
                        grant("toasters/{device}/telemetry", 1, false, true),
                        grant("toasters/{device}/state", 2, true, true),
                        grant("toasters/{device}/quiet", 2, true, false),
                    ],
                    "subscribe": [read("toasters/{device}/command")],
                    "deny": [{"topic": "toasters/+/secret", "actions": ["publish", "subscribe"], "line": 5}],
                    "wildcards": false,
                    "limits": {
                        "messages_per_second": 10, "message_burst": 3, "bytes_per_second": 100,
                        "byte_burst": 100, "payload": 64, "subscriptions": 2, "retained_messages": 2,
                        "retained_bytes": 100, "connections": 1, "sessions": 1, "keep_alive": 60
                    },
                },
                {
                    "name": "dashboard", "line": 9,
                    "match": {"kind": "service", "id": "dashboard", "attributes": {}},
                    "publish": [grant("toasters/+/command", 2, false, true)],
                    "subscribe": [read("toasters/+/telemetry"), read("toasters/+/state")],
                    "deny": [],
                    "wildcards": true,
                    "limits": {"connections": 2},
                },
                {
                    "name": "worker", "line": 20,
                    "match": {"kind": "service", "id": "worker", "attributes": {}},
                    "publish": [],
                    "subscribe": [read("toasters/+/telemetry")],
                    "deny": [],
                    "wildcards": true,
                    "share": ["crew"],
                    "limits": {},
                },
            ],
            "exceptions": {"revoked_serials": [], "revoked": [], "quarantined": [], "banned": []},
            "vectors": [],
        });
        Self { document }
    }

    /// Adds an entry to one of the lists of exceptions.
    pub(crate) fn except(mut self, list: &str, entry: &str) -> Self {
        self.document["exceptions"][list]
            .as_array_mut()
            .unwrap()
            .push(json!(entry));
        self
    }

    /// Takes the grants of the role with this index away.
    pub(crate) fn without(mut self, role: usize, list: &str) -> Self {
        self.document["roles"][role][list] = json!([]);
        self
    }

    pub(crate) fn with_limit(mut self, role: usize, limit: &str, value: u64) -> Self {
        self.document["roles"][role]["limits"][limit] = json!(value);
        self
    }

    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.document[key] = value;
        self
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(Snapshot::parse(self.document.to_string().as_bytes()).unwrap())
    }

    /// A guard with this policy in force.
    pub(crate) fn guard(&self) -> Guard {
        let mut guard = Guard::new(GuardSettings::new(FLEET));
        guard.install(self.snapshot()).unwrap();
        guard
    }
}

pub(crate) fn device(id: &str) -> Identity {
    let attributes = BTreeMap::from([("group".to_owned(), "toaster".to_owned())]);
    Identity::new(Kind::Device, id, attributes).unwrap()
}

pub(crate) fn service(id: &str) -> Identity {
    Identity::new(Kind::Service, id, BTreeMap::new()).unwrap()
}

pub(crate) fn principal(identity: Identity) -> Arc<Principal> {
    Arc::new(Principal {
        identity,
        serial: vec![0x4d, 0x01],
        not_after: at(100_000).unix.as_secs(),
    })
}

/// A certificate that passes every check at `at(0)`.
pub(crate) fn facts(identity: &Identity) -> CertificateFacts {
    CertificateFacts {
        serial: vec![0x4d, 0x01],
        issuer_matches: true,
        not_before: at(0).unix.as_secs() - 10,
        not_after: at(10).unix.as_secs(),
        uri_names: vec![identity.to_spiffe(FLEET)],
        is_authority: false,
        client_auth: true,
        digital_signature: true,
        key: KeyKind::EcdsaP256,
    }
}
