//! Starting everything in the right order, and stopping it.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use motte_broker::{Broker, BrokerSettings};
use motte_guard::evidence::{Kind, Record};
use motte_guard::{Guard, GuardSettings};
use motte_store::Committer;
use rustls::crypto::aws_lc_rs;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::AbortHandle;

use crate::clock::Clock;
use crate::connection::{Relay, Surroundings};
use crate::control::{self, Control};
use crate::directory::StateDirectory;
use crate::engine::Engine;
use crate::error::{ServeError, ServeErrorKind};
use crate::evidence::{EvidenceLog, EvidenceSender};
use crate::gate::Gate;
use crate::listener::{self, Worker};
use crate::settings::Settings;
use crate::snapshot_file::{self, Stored};
use crate::store::{Ready, Writing};
use crate::tls::{Presented, Tls};
use crate::{admin, limits, log, timer};

/// How long clients have for taking their last packet when the data plane stops.
const STOP_DEADLINE: Duration = Duration::from_secs(5);
/// How long connections have after that for closing in good order.
const LEAVE_DEADLINE: Duration = Duration::from_secs(1);
/// Between two looks at whether they have.
const LEAVE_INTERVAL: Duration = Duration::from_millis(5);

/// A running data plane.
pub struct Server {
    address: SocketAddr,
    engine: Arc<Engine>,
    /// Joined in this order: the supervisor ends first and ends the others.
    threads: Vec<JoinHandle<()>>,
    writing: Option<Writing>,
    evidence: Option<EvidenceLog>,
    /// Given back last: until then nobody else may work on the directory.
    directory: StateDirectory,
}

/// Stops a running data plane from any thread.
#[derive(Clone)]
pub struct Stopper(Arc<Engine>);

impl Stopper {
    /// Asks it to stop; [`Server::wait`] returns when it has.
    pub fn stop(&self) {
        self.0.stop.notify_one();
    }
}

impl Server {
    /// Starts a data plane. When this returns it is listening.
    ///
    /// # Errors
    /// What stands in the way; then nothing is left running.
    pub fn start(settings: &Settings) -> Result<Self, ServeError> {
        log::set_format(settings.log_format);
        let clock = Clock::new();
        let directory = StateDirectory::open(&settings.state_directory)?;
        let tls = Tls::load(settings, clock.now().unix.as_secs())?;
        let listener = listener::bind(settings.listener)?;
        let address = listener
            .local_addr()
            .map_err(|error| failed("find out the port", &error))?;
        let admin = settings.metrics.map(admin::bind).transpose()?;
        let control_socket = control::bind(&directory.control_socket())?;
        let store = Ready::open(&directory, clock)?;
        let evidence = EvidenceLog::open(&directory.evidence(), settings.evidence, clock.now())?;
        let (engine, committer) = engine(settings, clock, evidence.sender(), store)?;
        let started = Record::new(Kind::Started, clock.now()).detail(format!("listening on {address}"));
        engine.evidence.send(started);
        load_snapshot(&engine, &directory);
        let writing =
            Writing::start(committer, engine.clone()).map_err(|error| failed("start a thread", &error))?;
        let mut server = Self {
            address,
            engine,
            threads: Vec::new(),
            writing: Some(writing),
            evidence: Some(evidence),
            directory,
        };
        // From here on, dropping the server stops what has been started.
        let acceptor = server.start_workers(settings, &tls, listener)?;
        server.start_supervisor(control_socket, admin, acceptor, tls.presented)?;
        server.directory.announce(address)?;
        log::info(format_args!(
            "listening on {address} with {} threads",
            server.engine.mailboxes().len()
        ));
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What stops it.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.engine.clone())
    }

    /// Waits until it has stopped, by whomever.
    ///
    /// # Errors
    /// If it stopped because it broke.
    pub fn wait(mut self) -> Result<(), ServeError> {
        self.finish();
        if let Some(error) = self.engine.failure() {
            return Err(error.clone());
        }
        if self.engine.is_broken() {
            return Err(ServeError::new(
                ServeErrorKind::Broken,
                "the broker broke inside, so that the data plane had to stop",
                "start it again, and report what its log says",
            ));
        }
        Ok(())
    }

    fn start_workers(
        &mut self,
        settings: &Settings,
        tls: &Tls,
        listener: TcpListener,
    ) -> Result<AbortHandle, ServeError> {
        let mut workers = Vec::new();
        for thread in 0..self.engine.mailboxes().len() {
            let runtime = runtime()?;
            let around = Surroundings {
                engine: self.engine.clone(),
                tls: tls.clone(),
                thread,
                handshake_deadline: settings.handshake_deadline,
                write_deadline: settings.write_deadline,
            };
            workers.push(Worker {
                runtime: runtime.handle().clone(),
                around,
            });
            let engine = self.engine.clone();
            self.threads.push(spawn(&format!("motte-{thread}"), move || {
                runtime.block_on(work(&engine, thread));
            })?);
        }
        let first = workers.first().map(|worker| worker.runtime.clone());
        let first = first.ok_or_else(|| failed("start", &std::io::ErrorKind::InvalidInput.into()))?;
        Ok(first
            .spawn(listener::accept(listener, self.engine.gate.clone(), workers))
            .abort_handle())
    }

    fn start_supervisor(
        &mut self,
        socket: std::os::unix::net::UnixListener,
        admin: Option<TcpListener>,
        acceptor: AbortHandle,
        presented: Arc<Presented>,
    ) -> Result<(), ServeError> {
        let runtime = runtime()?;
        // Before anybody is told that it listens: a signal that comes then must not find the default.
        let signals = {
            let _context = runtime.enter();
            StopSignals::register()
        };
        let control = Control::new(
            self.engine.clone(),
            self.address,
            admin.as_ref().and_then(|listener| listener.local_addr().ok()),
            self.directory.snapshot(),
            presented,
        );
        let engine = self.engine.clone();
        self.threads.insert(
            0,
            spawn("motte-control", move || {
                // Dropped with the runtime, after everything else: it tells that the rest stops.
                if let Some(listener) = admin {
                    runtime.spawn(admin::serve(listener, engine.clone()));
                }
                runtime.block_on(supervise(&engine, signals, socket, Arc::new(control), &acceptor));
                for mailbox in engine.mailboxes() {
                    mailbox.close();
                }
            })?,
        );
        Ok(())
    }

    /// Joins the threads and closes the evidence. Does nothing the second time.
    fn finish(&mut self) {
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        // Nobody records any more: what was said last can become durable.
        if let Some(writing) = self.writing.take() {
            writing.finish();
        }
        let Some(evidence) = self.evidence.take() else {
            return;
        };
        self.engine.gate.keep_house(true);
        evidence
            .sender()
            .send(Record::new(Kind::Stopped, self.engine.clock.now()));
        if !evidence.close() {
            log::error("the last evidence could not be written in time");
        }
        log::info("stopped");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopper().stop();
        // Without a supervisor, nobody else would tell them.
        for mailbox in self.engine.mailboxes() {
            mailbox.close();
        }
        self.finish();
    }
}

fn engine(
    settings: &Settings,
    clock: Clock,
    evidence: EvidenceSender,
    store: Ready,
) -> Result<(Arc<Engine>, Committer), ServeError> {
    let mut network = settings.network.clone();
    let room = limits::raise_open_files().map_err(|error| failed("read the limit of open files", &error))?;
    let room = u32::try_from(room).unwrap_or(u32::MAX);
    if room < network.maximum_connections {
        log::info(format_args!(
            "the limit of open files leaves room for {room} connections"
        ));
        network.maximum_connections = room;
    }
    let gate = Gate::new(network, clock, evidence.clone());
    let guard = Guard::new(GuardSettings::new(&*settings.fleet));
    let deadlines = BrokerSettings {
        connect_deadline: settings.handshake_deadline,
        ..BrokerSettings::default()
    };
    let mut seed = [0; 32];
    aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut seed)
        .map_err(|_| {
            ServeError::new(
                ServeErrorKind::System,
                "the operating system gives no random numbers",
                "check that getrandom is allowed here",
            )
        })?;
    let (store, kept, committer) = store.into_parts();
    let broker = (Broker::new(deadlines, guard, store, seed), kept);
    let threads = match settings.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let engine = Engine::new(broker, clock, evidence, gate, threads);
    Ok((Arc::new(engine), committer))
}

/// Puts the last good snapshot in force. Without one everything is denied until one is installed.
fn load_snapshot(engine: &Engine, directory: &StateDirectory) {
    let now = engine.clock.now();
    let path = directory.snapshot();
    let problem = match snapshot_file::load(&path, now) {
        Stored::Good(snapshot) => match engine.install(&snapshot) {
            Ok(Ok(_)) => return log::info(format_args!("generation {} is in force", snapshot.generation())),
            Ok(Err(error)) => format!("{error}; {}", snapshot_file::keep_aside(&path, now)),
            Err(broken) => broken.to_string(),
        },
        Stored::Missing => "there is none".to_owned(),
        Stored::Unusable(why) => why,
    };
    let detail = format!("no snapshot in force, everything is denied: {problem}");
    log::warning(&detail);
    engine
        .evidence
        .send(Record::new(Kind::Snapshot, now).detail(detail));
}

/// What a thread does beside its connections.
async fn work(engine: &Arc<Engine>, thread: usize) {
    let Some(mailbox) = engine.mailboxes().get(thread) else {
        return;
    };
    let relay = tokio::spawn(Relay::new(engine.clone(), thread));
    tokio::select! {
        () = mailbox.serve() => {}
        _ = relay => {
            engine.break_down();
            mailbox.serve().await;
        }
    }
}

/// Runs timer and control socket until it is time to stop, then says goodbye to everybody.
async fn supervise(
    engine: &Arc<Engine>,
    signals: Option<StopSignals>,
    socket: std::os::unix::net::UnixListener,
    control: Arc<Control>,
    acceptor: &AbortHandle,
) {
    let control = tokio::spawn(control::serve(socket, control));
    let mut timer = tokio::spawn(timer::run(engine.clone()));
    tokio::select! {
        () = wait_for_stop(engine, signals) => {}
        // It ends only if the broker broke.
        _ = &mut timer => {}
    }
    log::info("stopping");
    acceptor.abort();
    if let Ok(((), witnesses)) = engine.change(Broker::begin_shutdown) {
        let cut_off = witnesses.settle(&engine.progress, STOP_DEADLINE).await;
        if cut_off > 0 {
            log::warning(format_args!(
                "{cut_off} connections did not take their last packet in time"
            ));
        }
        // Their last packets are with the kernel. Closing before the peers have would throw them away.
        let until = tokio::time::Instant::now() + LEAVE_DEADLINE;
        while engine.gate.connections() > 0 && tokio::time::Instant::now() < until {
            tokio::time::sleep(LEAVE_INTERVAL).await;
        }
    }
    control.abort();
    timer.abort();
}

/// The signals that ask a process to end.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// To be called in the context of a runtime. Nothing where signals cannot be caught.
    fn register() -> Option<Self> {
        let registered = signal(SignalKind::terminate()).and_then(|terminate| {
            let interrupt = signal(SignalKind::interrupt())?;
            Ok(Self { terminate, interrupt })
        });
        if let Err(error) = &registered {
            log::warning(format_args!(
                "signals cannot be caught, use the stop command: {error}"
            ));
        }
        registered.ok()
    }
}

async fn wait_for_stop(engine: &Engine, signals: Option<StopSignals>) {
    let Some(mut signals) = signals else {
        return engine.stop.notified().await;
    };
    tokio::select! {
        _ = signals.terminate.recv() => {}
        _ = signals.interrupt.recv() => {}
        () = engine.stop.notified() => {}
    }
}

fn runtime() -> Result<Runtime, ServeError> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("start a runtime", &error))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, ServeError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| failed("start a thread", &error))
}

fn failed(what: &str, error: &std::io::Error) -> ServeError {
    ServeError::new(
        ServeErrorKind::System,
        format!("cannot {what}: {error}"),
        "look at the error of the operating system, and at the limits of this user",
    )
}
