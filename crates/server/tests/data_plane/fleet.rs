//! A deployment in a temporary folder, and the data plane on it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use motte_guard::evidence::verify;
use motte_server::{ServeError, Server, Settings};
use serde_json::{Value, json};

use crate::certificates::{Authority, Credential};
use crate::client::Client;
use crate::control_client::ControlClient;

/// A deployment: authority, server certificate and state directory.
pub(crate) struct Fleet {
    folder: tempfile::TempDir,
    pub(crate) authority: Authority,
    generation: AtomicU64,
}

/// A data plane that runs until this is dropped.
pub(crate) struct Running {
    server: Option<Server>,
    pub(crate) address: SocketAddr,
    state: PathBuf,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("fleet home");
        let fleet = Self {
            folder,
            authority,
            generation: AtomicU64::new(0),
        };
        fleet.write_server(&fleet.authority.server());
        fs::write(fleet.path("fleet.pem"), fleet.authority.pem()).unwrap();
        fleet
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn write_server(&self, credential: &Credential) {
        fs::write(self.path("server.pem"), &credential.certificate_pem).unwrap();
        fs::write(self.path("server.key"), &credential.key_pem).unwrap();
        fs::set_permissions(self.path("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn settings(&self) -> Value {
        json!({
            "fleet": "home",
            "listener": {"address": "127.0.0.1", "port": 0},
            "server_certificate": self.path("server.pem"),
            "server_key": self.path("server.key"),
            "client_authority": self.path("fleet.pem"),
            "state_directory": self.state(),
            "threads": 2,
            "network": {"handshake_burst": 10_000, "handshakes_per_second": 10_000, "failures_to_ban": 10_000},
        })
    }

    pub(crate) fn start(&self) -> Running {
        self.start_with(&self.settings()).unwrap()
    }

    pub(crate) fn start_with(&self, settings: &Value) -> Result<Running, ServeError> {
        let server = Server::start(&Settings::parse(&settings.to_string())?)?;
        let address = server.address();
        Ok(Running {
            server: Some(server),
            address,
            state: self.state(),
        })
    }

    /// A snapshot with a higher generation than all before.
    pub(crate) fn snapshot(&self, exceptions: &Value) -> String {
        let generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        let mut all = json!({"revoked_serials": [], "revoked": [], "quarantined": [], "banned": []});
        for (name, list) in exceptions.as_object().unwrap() {
            all[name] = list.clone();
        }
        json!({
            "format": 1, "generation": generation, "fleet": "home", "policy_file": "policy.toml",
            "roles": [toaster(), dashboard()], "exceptions": all, "vectors": [],
        })
        .to_string()
    }

    /// Puts a policy without exceptions in force.
    pub(crate) fn install(&self, running: &Running) {
        running
            .control()
            .ok("install", &json!({"snapshot": self.snapshot(&json!({}))}));
    }

    /// Starts with a policy in force.
    pub(crate) fn serve(&self) -> Running {
        let running = self.start();
        self.install(&running);
        running
    }

    pub(crate) fn connect(&self, running: &Running, credential: &Credential, client_id: &str) -> Client {
        let mut client = Client::tls(running.address, &self.authority, credential);
        client.connect(client_id);
        client
    }

    pub(crate) fn device(&self, running: &Running, id: &str) -> Client {
        self.connect(running, &self.authority.device(id), id)
    }

    pub(crate) fn dashboard(&self, running: &Running) -> Client {
        self.connect(running, &self.authority.service("dashboard"), "dashboard")
    }
}

fn limits() -> Value {
    json!({
        "messages_per_second": 1_000_000, "message_burst": 1_000_000,
        "bytes_per_second": 1_000_000_000, "byte_burst": 1_000_000_000,
        "payload": 262_144, "packet": 327_680, "inflight": 1_000,
        "queue_messages": 100_000, "queue_bytes": 100_000_000, "subscriptions": 100,
        "retained_messages": 100, "retained_bytes": 1_000_000, "session_expiry": 3_600, "connections": 10,
        "keep_alive": 300, "topic_aliases": 10, "sessions": 10, "message_expiry": 3_600,
    })
}

fn toaster() -> Value {
    json!({
        "name": "toaster", "line": 1,
        "match": {"kind": "device", "id": null, "attributes": {"group": "toaster"}},
        "publish": [
            {"topic": "toasters/{device}/telemetry", "qos": 2, "retain": false, "will": true, "line": 2},
            {"topic": "toasters/{device}/state", "qos": 1, "retain": true, "will": true, "line": 3},
        ],
        "subscribe": [{"topic": "toasters/{device}/command", "qos": 2, "line": 4}],
        "deny": [], "wildcards": false, "limits": limits(),
    })
}

fn dashboard() -> Value {
    json!({
        "name": "dashboard", "line": 10,
        "match": {"kind": "service", "id": "dashboard", "attributes": {}},
        "publish": [{"topic": "toasters/+/command", "qos": 2, "retain": false, "will": true, "line": 11}],
        "subscribe": [
            {"topic": "toasters/+/telemetry", "qos": 2, "line": 12},
            {"topic": "toasters/+/state", "qos": 2, "line": 13},
        ],
        "deny": [], "wildcards": true, "limits": limits(),
    })
}

impl Running {
    pub(crate) fn control(&self) -> ControlClient {
        ControlClient::connect(&self.state.join("run/control.sock"))
    }

    pub(crate) fn status(&self) -> Value {
        self.control().ok("status", &json!({}))
    }

    /// Waits until the state is as wanted, looking again and again without ever sleeping.
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut control = self.control();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let status = control.ok("status", &json!({}));
            if wanted(&status) {
                return status;
            }
            assert!(
                std::time::Instant::now() < until,
                "waited in vain for {what}: {status}"
            );
            std::thread::yield_now();
        }
    }

    pub(crate) fn stop(mut self) -> Result<(), ServeError> {
        let server = self.server.take().unwrap();
        server.stopper().stop();
        server.wait()
    }

    pub(crate) fn take_server(mut self) -> Server {
        self.server.take().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stopper().stop();
            let result = server.wait();
            if !std::thread::panicking() {
                result.unwrap();
            }
        }
    }
}

/// The records of a whole and unbroken log.
pub(crate) fn evidence(state: &Path) -> Vec<Value> {
    let log = fs::read(state.join("evidence/evidence.log")).unwrap();
    verify(&*log).expect("the chain must hold");
    let text = String::from_utf8(log).unwrap();
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["record"].take())
        .collect()
}

/// The rules by which something was refused.
pub(crate) fn refusals(state: &Path) -> Vec<String> {
    let records = evidence(state);
    let refused = records.iter().filter(|record| record["kind"] == "refused");
    refused
        .map(|record| record["rule"].as_str().unwrap().to_owned())
        .collect()
}
