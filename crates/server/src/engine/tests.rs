use std::panic::{AssertUnwindSafe, catch_unwind};

use motte_broker::BrokerSettings;
use motte_guard::network::NetworkSettings;
use motte_guard::{Guard, GuardSettings};

use super::*;
use crate::evidence::{EvidenceLog, Retention};

#[test]
fn a_broker_that_broke_is_never_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::new();
    let log = EvidenceLog::open(
        &folder.path().join("evidence.log"),
        Retention::default(),
        clock.now(),
    )
    .unwrap();
    let gate = Gate::new(NetworkSettings::default(), clock, log.sender());
    let guard = Guard::new(GuardSettings::new("home"));
    let opened = motte_store::open(folder.path(), clock.now()).unwrap();
    let broker = Broker::new(BrokerSettings::default(), guard, opened.store, [7; 32]);
    let engine = Engine::new((broker, opened.state), clock, log.sender(), gate, 1);
    assert_eq!(engine.with(None, |broker, _| broker.figures().generation), Ok(0));
    assert!(!engine.is_broken());

    let broken = catch_unwind(AssertUnwindSafe(|| {
        engine.with(None, |_, _| panic!("broken on purpose"))
    }));
    assert!(broken.is_err());

    assert_eq!(
        engine.with(None, |broker, _| broker.figures().generation),
        Err(Broken)
    );
    assert!(engine.change(|_, _| ()).is_err());
    assert!(engine.is_broken());
    // The data plane is told to stop, even if nobody was waiting for that yet.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(engine.stop.notified());
    assert!(log.close());
}
