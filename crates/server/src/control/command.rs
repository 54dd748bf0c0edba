//! The commands of the control socket.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use motte_guard::evidence::{Kind, Record};
use motte_guard::{Counters, Layer};
use motte_policy::Snapshot;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::barrier::BARRIER_DEADLINE;
use crate::engine::{Broken, Engine};
use crate::evidence::Follower;
use crate::log;
use crate::snapshot_file::Staged;
use crate::tls::Presented;

/// A request without its id.
#[derive(Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    Install { snapshot: String },
    Status {},
    Disconnect { identity: String },
    ReloadCertificate {},
    Stop {},
    Follow {},
}

/// What a command comes to.
pub(super) enum Answer {
    Result(Value),
    /// The answer is to be written, then the data plane stops.
    Stop,
    /// The connection becomes a stream of evidence.
    Follow(Follower),
}

/// Why a command was not carried out.
pub(super) struct CommandError {
    pub(super) message: String,
    pub(super) hint: String,
}

impl CommandError {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
        }
    }
}

impl From<Broken> for CommandError {
    fn from(broken: Broken) -> Self {
        Self::new(broken.to_string(), "it stops now, start it again")
    }
}

/// What commands work on.
pub(crate) struct Control {
    engine: Arc<Engine>,
    listening: SocketAddr,
    snapshot_file: PathBuf,
    metrics: Option<SocketAddr>,
    presented: Arc<Presented>,
    /// Changes go one after the other, so that the file on disk is the snapshot in force.
    changing: Mutex<()>,
}

impl Control {
    pub(crate) fn new(
        engine: Arc<Engine>,
        listening: SocketAddr,
        metrics: Option<SocketAddr>,
        snapshot_file: PathBuf,
        presented: Arc<Presented>,
    ) -> Self {
        Self {
            engine,
            listening,
            metrics,
            snapshot_file,
            presented,
            changing: Mutex::new(()),
        }
    }

    pub(super) fn stop(&self) {
        self.engine.stop.notify_one();
    }

    pub(super) async fn execute(self: &Arc<Self>, mut request: Value) -> Result<Answer, CommandError> {
        if let Value::Object(fields) = &mut request {
            fields.remove("id");
        }
        let request: Request = serde_json::from_value(request).map_err(|error| {
            CommandError::new(
                format!("the command is not understood: {error}"),
                "use the same version of Motte on both sides",
            )
        })?;
        match request {
            Request::Install { snapshot } => self.install(snapshot).await,
            Request::Status {} => self.status().map(Answer::Result),
            Request::Disconnect { identity } => self.disconnect(&identity).await,
            Request::ReloadCertificate {} => self.reload_certificate().await,
            Request::Stop {} => Ok(Answer::Stop),
            Request::Follow {} => Ok(Answer::Follow(self.engine.evidence.follow())),
        }
    }

    async fn install(self: &Arc<Self>, text: String) -> Result<Answer, CommandError> {
        let _one_after_the_other = self.changing.lock().await;
        let path = self.snapshot_file.clone();
        // Parsing runs the snapshot's test vectors and may take a while; timers go on meanwhile.
        let prepared = tokio::task::spawn_blocking(move || {
            let snapshot = Snapshot::parse(text.as_bytes())?;
            Ok::<_, motte_policy::SnapshotError>((Arc::new(snapshot), Staged::write(&path, &text)))
        });
        let prepared = prepared.await.map_err(|_| CommandError::from(Broken))?;
        let (snapshot, staged) = prepared.map_err(|error| {
            let detail = format!("a snapshot was refused: {error}");
            self.record_refusal(&detail);
            CommandError::new(detail, error.hint())
        })?;
        let changed = self.engine.install(&snapshot)?;
        let (report, witnesses) = match changed {
            Ok(changed) => changed,
            Err(error) => {
                if let Ok(staged) = staged {
                    staged.discard();
                }
                let detail = format!("a snapshot was refused: {error}");
                self.record_refusal(&detail);
                return Err(CommandError::new(
                    detail,
                    "push the newest snapshot of this fleet",
                ));
            }
        };
        let cut_off = witnesses.settle(&self.engine.progress, BARRIER_DEADLINE).await;
        self.keep(staged, report.generation).await?;
        self.make_evidence_safe().await;
        log::info(format_args!("generation {} is in force", report.generation));
        let mut result = serde_json::to_value(report).unwrap_or_default();
        if let Value::Object(fields) = &mut result {
            fields.insert("cut_off".to_owned(), Value::from(cut_off));
        }
        Ok(Answer::Result(result))
    }

    /// Makes the snapshot in force the one that a restart comes back to.
    async fn keep(&self, staged: io::Result<Staged>, generation: u64) -> Result<(), CommandError> {
        let kept = match staged {
            Ok(staged) => match tokio::task::spawn_blocking(|| staged.commit()).await {
                Ok(kept) => kept,
                Err(_) => Err(io::Error::other("the task that stores it broke")),
            },
            Err(error) => Err(error),
        };
        kept.map_err(|error| {
            log::error(format_args!("generation {generation} is in force but cannot be stored: {error}"));
            CommandError::new(
                format!(
                    "generation {generation} is in force but cannot be stored in {}: {error}; a restart would go back to the one before",
                    self.snapshot_file.display()
                ),
                "make room on the disk, then push the snapshot again",
            )
        })
    }

    /// What was answered is on record. A disk that refuses is told of elsewhere and holds nothing up.
    async fn make_evidence_safe(&self) {
        let evidence = self.engine.evidence.clone();
        let _ = tokio::task::spawn_blocking(move || evidence.flush()).await;
    }

    fn record_refusal(&self, detail: &str) {
        let record = Record::new(Kind::Snapshot, self.engine.clock.now()).detail(detail);
        self.engine.evidence.send(record);
    }

    async fn disconnect(&self, identity: &str) -> Result<Answer, CommandError> {
        let _one_after_the_other = self.changing.lock().await;
        let (disconnected, witnesses) = self
            .engine
            .change(|broker, now| broker.disconnect(identity, now))?;
        let cut_off = witnesses.settle(&self.engine.progress, BARRIER_DEADLINE).await;
        self.make_evidence_safe().await;
        Ok(Answer::Result(
            json!({"disconnected": disconnected, "cut_off": cut_off}),
        ))
    }

    /// Shows the certificate on disk to new connections; those that are open go on as they are.
    async fn reload_certificate(&self) -> Result<Answer, CommandError> {
        let _one_after_the_other = self.changing.lock().await;
        let presented = self.presented.clone();
        let now = self.engine.clock.now();
        let reloaded = tokio::task::spawn_blocking(move || presented.reload(now.unix.as_secs()));
        let reloaded = reloaded.await.map_err(|_| CommandError::from(Broken))?;
        let (detail, answer) = match reloaded {
            Ok(described) => {
                let detail = format!(
                    "the server certificate was replaced by the one with the serial number {}",
                    described.serial
                );
                log::info(&detail);
                (detail, Ok(Answer::Result(json!(described))))
            }
            Err(error) => {
                let detail = format!(
                    "the server certificate stays, its successor was refused: {}",
                    error.message()
                );
                log::warning(&detail);
                (detail.clone(), Err(CommandError::new(detail, error.hint())))
            }
        };
        let record = Record::new(Kind::ServerCertificate, now).detail(detail);
        self.engine.evidence.send(record);
        self.make_evidence_safe().await;
        answer
    }

    fn status(&self) -> Result<Value, CommandError> {
        let status = self.engine.with(None, |broker, _| broker.status())?;
        let mut counters = status.figures.counters.clone();
        add_refused(&mut counters, &self.engine.gate.counters());
        let mut value = serde_json::to_value(status).unwrap_or_default();
        if let Value::Object(fields) = &mut value {
            let uptime: Duration = self.engine.clock.now().monotonic;
            fields.insert(
                "counters".to_owned(),
                serde_json::to_value(counters).unwrap_or_default(),
            );
            let traffic = &self.engine.traffic;
            fields.insert(
                "traffic".to_owned(),
                json!({
                    "received": traffic.received.load(Ordering::Relaxed),
                    "sent": traffic.sent.load(Ordering::Relaxed),
                }),
            );
            fields.insert("pid".to_owned(), std::process::id().into());
            fields.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
            fields.insert("uptime_seconds".to_owned(), uptime.as_secs().into());
            fields.insert(
                "listening".to_owned(),
                json!({"address": self.listening.ip(), "port": self.listening.port()}),
            );
            fields.insert(
                "metrics".to_owned(),
                self.metrics
                    .map_or(Value::Null, |at| json!({"address": at.ip(), "port": at.port()})),
            );
            fields.insert("server_certificate".to_owned(), json!(self.presented.describe()));
            fields.insert(
                "evidence".to_owned(),
                serde_json::to_value(self.engine.evidence.status()).unwrap_or_default(),
            );
        }
        Ok(value)
    }
}

/// Adds what the layers before authentication refused.
fn add_refused(counters: &mut Counters, others: &Counters) {
    counters.refused.network += others.refused(Layer::Network);
    counters.refused.tls += others.refused(Layer::Tls);
}
