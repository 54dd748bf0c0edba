//! The durable store in the data plane: opened before anybody is served, given its thread, closed last.

use std::sync::Arc;
use std::thread::JoinHandle;

use motte_broker::DurableState;
use motte_guard::evidence::{Kind, Record};
use motte_store::{Closer, Committer, Event, Opened, SqliteStore, StoreError};

use crate::clock::Clock;
use crate::directory::StateDirectory;
use crate::engine::Engine;
use crate::error::{ServeError, ServeErrorKind};
use crate::log;

/// A store that was opened and not used yet.
pub(crate) struct Ready {
    store: SqliteStore,
    state: DurableState,
    committer: Committer,
}

/// The thread that writes.
pub(crate) struct Writing {
    closer: Closer,
    thread: JoinHandle<()>,
}

impl From<StoreError> for ServeError {
    fn from(error: StoreError) -> Self {
        Self::new(ServeErrorKind::Store, error.to_string(), error.hint())
    }
}

impl Ready {
    pub(crate) fn open(directory: &StateDirectory, clock: Clock) -> Result<Self, ServeError> {
        let Opened {
            store,
            committer,
            state,
        } = motte_store::open(&directory.store(), clock.now())?;
        Ok(Self {
            store,
            state,
            committer,
        })
    }

    /// The parts that go different ways.
    pub(crate) fn into_parts(self) -> (SqliteStore, DurableState, Committer) {
        (self.store, self.state, self.committer)
    }
}

impl Writing {
    /// Begins to write what the broker records.
    pub(crate) fn start(committer: Committer, engine: Arc<Engine>) -> std::io::Result<Self> {
        let closer = committer.closer();
        let clock = engine.clock;
        let thread = std::thread::Builder::new()
            .name("motte-store".to_owned())
            .spawn(move || committer.run(move || clock.now(), |event| tell(&engine, event)))?;
        Ok(Self { closer, thread })
    }

    /// Makes everything durable and ends. To be called when nobody records any more.
    pub(crate) fn finish(self) {
        self.closer.close();
        let _ = self.thread.join();
    }
}

fn tell(engine: &Engine, event: Event) {
    let text = match event {
        Event::Committed(took) => {
            engine.commit_latency.observe(took);
            // Where the broker broke, everything stops in any case.
            let _ = engine.with(None, |broker, _| broker.store_advanced());
            return;
        }
        Event::Full => {
            let text = "the disk is full: messages of QoS 1 and 2 are refused until there is room".to_owned();
            log::warning(&text);
            text
        }
        Event::HasRoom => {
            let text = "the disk has room again: messages of QoS 1 and 2 are taken".to_owned();
            log::info(&text);
            text
        }
        Event::Failed(error) => {
            let text = format!("{error}: nothing is acknowledged any more, the data plane stops");
            log::error(&text);
            engine.fail(error.into());
            text
        }
    };
    let record = Record::new(Kind::Store, engine.clock.now()).detail(text);
    engine.evidence.send(record);
}
