//! The file holds what the changes amount to, whatever happens to the process or the disk.

mod life;

use std::fs;
use std::path::Path;

use life::*;
use motte_broker::{Change, DurableState, Store};
use motte_store::{Source, StoreError, back_up, check, open, restore};
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

fn file(folder: &Path) -> std::path::PathBuf {
    folder.join("store.db")
}

/// What a process finds that starts now.
fn reopened(folder: &Path) -> DurableState {
    open(folder, NOW).expect("a good store").state
}

/// The files as a crash would leave them at this moment.
fn copied(folder: &Path) -> TempDir {
    let copy = tempdir().unwrap();
    for name in ["store.db", "store.db-wal", "store.id"] {
        if folder.join(name).exists() {
            fs::copy(folder.join(name), copy.path().join(name)).unwrap();
        }
    }
    copy
}

/// A store with a queue, small and large messages, a will and a retained message, closed in good order.
fn furnished() -> (TempDir, DurableState) {
    let folder = tempdir().unwrap();
    let mut running = Running::start(folder.path());
    let mut model = Model::default();
    for operation in furniture() {
        running.carry_out(&operation, &mut model);
    }
    running.stop();
    (folder, model.state)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_recorded_is_there_after_a_restart(lives in prop::collection::vec(life(), 1..4)) {
        let folder = tempdir().unwrap();
        let mut model = Model::default();
        for life in lives {
            let mut running = Running::start(folder.path());
            prop_assert_eq!(&running.found, &model.state);
            for operation in &life {
                running.carry_out(operation, &mut model);
            }
            running.stop();
        }
        prop_assert_eq!(reopened(folder.path()), model.state);
        prop_assert_eq!(check(folder.path(), NOW).unwrap().problems, Vec::<String>::new());
    }

    /// A kill, and a disk that has lost or garbled the end of the log: whole groups up to some moment are
    /// there, and where nothing was garbled that is the last one that was said to be durable.
    #[test]
    fn a_crash_leaves_whole_groups(life in life(), cut in 0.0..1.0_f64, garbled in any::<bool>()) {
        let folder = tempdir().unwrap();
        let mut running = Running::start(folder.path());
        let mut model = Model::default();
        let mut moments = vec![model.state.clone()];
        for operation in &life {
            running.carry_out(operation, &mut model);
            moments.push(model.state.clone());
        }
        running.flush();
        let crashed = copied(folder.path());
        prop_assert_eq!(&reopened(crashed.path()), &model.state);
        let torn = copied(folder.path());
        let log = torn.path().join("store.db-wal");
        if let Ok(mut bytes) = fs::read(&log) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let place = (bytes.len() as f64 * cut) as usize;
            if garbled {
                for byte in bytes.iter_mut().skip(place).take(64) {
                    *byte ^= 0x5a;
                }
            } else {
                bytes.truncate(place);
            }
            fs::write(&log, bytes).unwrap();
        }
        let found = reopened(torn.path());
        prop_assert!(moments.contains(&found), "half a group is there");
        running.stop();
    }
}

#[test]
fn what_comes_and_goes_meanwhile_is_not_written() {
    let folder = tempdir().unwrap();
    let mut running = Running::start(folder.path());
    let name = name(0);
    running.kept(&name);
    running.flush();
    let size = || fs::metadata(folder.path().join("store.db-wal")).unwrap().len();
    let before = size();
    for sequence in 0..100 {
        let waiting = waiting(sequence, 64);
        running.store.record(&Change::Queued {
            session: &name,
            waiting: &waiting,
        });
        running.store.record(&Change::Sent {
            session: &name,
            sequence,
            packet_id: packet_id(1),
        });
        running.store.record(&Change::Settled {
            session: &name,
            sequence,
        });
    }
    running.store.seal();
    running.flush();
    assert_eq!(size(), before);
    running.stop();
}

#[test]
fn a_large_message_is_kept_once_for_all_of_its_readers() {
    let folder = tempdir().unwrap();
    let mut running = Running::start(folder.path());
    let waiting = waiting(0, 100_000);
    for reader in 0..20 {
        running.kept(&name(reader));
        running.store.record(&Change::Queued {
            session: &name(reader),
            waiting: &waiting,
        });
    }
    running.store.seal();
    running.stop();
    let length = fs::metadata(file(folder.path())).unwrap().len();
    assert!(length < 300_000, "{length} bytes for one message of 100,000");
    let state = reopened(folder.path());
    assert_eq!(state.sessions.len(), 20);
    let mut running = Running::start(folder.path());
    for reader in 0..20 {
        running.store.record(&Change::Settled {
            session: &name(reader),
            sequence: 0,
        });
        running.store.seal();
    }
    running.stop();
    assert_eq!(check(folder.path(), NOW).unwrap().messages, 0);
    back_up(folder.path(), &folder.path().join("copy")).unwrap();
    let length = fs::metadata(folder.path().join("copy")).unwrap().len();
    assert!(length < 100_000, "{length} bytes for nothing");
}

#[test]
fn a_damaged_file_is_named_and_never_taken_for_an_empty_one() {
    let (folder, model) = furnished();
    let good = fs::read(file(folder.path())).unwrap();
    let mut seen = 0;
    let mut cuts = vec![1, 50, 99, 100, 4095, 4096];
    cuts.extend((1..good.len()).step_by(4096 * 3 + 17));
    for cut in cuts {
        fs::write(file(folder.path()), &good[..cut]).unwrap();
        let error = open(folder.path(), NOW).expect_err("a truncated file");
        assert!(error.to_string().contains("store.db"), "{error}");
        assert!(error.hint().contains("motte store"), "{error}: {}", error.hint());
        seen += 1;
    }
    assert!(seen > 6);
    // One byte inside of a message.
    let place = good
        .windows(LARGE_MARK.len())
        .position(|window| window == LARGE_MARK)
        .expect("the large message is in the file");
    let mut changed = good.clone();
    changed[place] ^= 1;
    fs::write(file(folder.path()), &changed).unwrap();
    let error = open(folder.path(), NOW).expect_err("a changed byte");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("checksum"), "{error}");
    // A page of zeros.
    for page in 1..good.len() / 4096 {
        let mut changed = good.clone();
        changed[page * 4096..(page + 1) * 4096].fill(0);
        fs::write(file(folder.path()), &changed).unwrap();
        match open(folder.path(), NOW) {
            Err(error) => assert!(error.to_string().contains("store.db"), "{error}"),
            Ok(opened) => assert_eq!(opened.state, model, "page {page} was free"),
        }
    }
    fs::write(file(folder.path()), b"").unwrap();
    assert!(matches!(open(folder.path(), NOW), Err(StoreError::Gone { .. })));
    fs::remove_file(file(folder.path())).unwrap();
    assert!(matches!(open(folder.path(), NOW), Err(StoreError::Gone { .. })));
    fs::write(file(folder.path()), &good).unwrap();
    assert_eq!(reopened(folder.path()), model);
}

#[test]
fn the_store_of_somebody_else_is_refused() {
    let (mine, _) = furnished();
    let (other, _) = furnished();
    fs::copy(file(other.path()), file(mine.path())).unwrap();
    assert!(matches!(open(mine.path(), NOW), Err(StoreError::Foreign { .. })));
    let text = tempdir().unwrap();
    fs::write(
        file(text.path()),
        "this is a letter to somebody, long enough to have had a head\n".repeat(99),
    )
    .unwrap();
    assert!(open(text.path(), NOW).is_err());
    assert!(
        restore(text.path(), Source::Damaged, NOW).is_err(),
        "nothing to save"
    );
    assert!(file(text.path()).exists());
}

#[test]
fn what_can_be_read_is_saved_and_the_rest_is_told() {
    let (folder, model) = furnished();
    let good = fs::read(file(folder.path())).unwrap();
    let place = good
        .windows(LARGE_MARK.len())
        .position(|window| window == LARGE_MARK)
        .expect("the large message is in the file");
    let mut changed = good;
    changed[place] ^= 1;
    fs::write(file(folder.path()), &changed).unwrap();
    let found = check(folder.path(), NOW).unwrap();
    assert_eq!(found.problems.len(), 1, "{:?}", found.problems);
    let report = restore(folder.path(), Source::Damaged, NOW).unwrap();
    assert_eq!(report.saved.problems, found.problems);
    let set_aside = report.set_aside.expect("the damaged file");
    assert_eq!(fs::read(set_aside).unwrap(), changed, "it is kept as it was");
    let saved = reopened(folder.path());
    assert_eq!(saved.retained, model.retained);
    assert_eq!(saved.wills, model.wills);
    let count = |state: &DurableState| -> usize {
        state
            .sessions
            .values()
            .map(|session| session.outbound.len())
            .sum()
    };
    assert_eq!(count(&saved), count(&model) - 1);
}

#[test]
fn a_backup_is_whole_and_comes_back() {
    let (folder, model) = furnished();
    let mut running = Running::start(folder.path());
    let backup = folder.path().join("backup.db");
    // While it is being worked on.
    running.kept(&name(90));
    running.store.seal();
    running.flush();
    back_up(folder.path(), &backup).unwrap();
    assert!(back_up(folder.path(), &backup).is_err(), "nothing is overwritten");
    running.kept(&name(91));
    running.stop();
    fs::remove_file(file(folder.path())).unwrap();
    let report = restore(folder.path(), Source::Backup(&backup), NOW).unwrap();
    assert_eq!(report.saved.sessions, model.sessions.len() + 1);
    assert!(reopened(folder.path()).sessions.contains_key(&*name(90)));
    let report = restore(folder.path(), Source::Empty, NOW).unwrap();
    assert!(report.set_aside.is_some());
    assert_eq!(reopened(folder.path()), DurableState::default());
    // A damaged backup is refused before anything is touched.
    let bytes = fs::read(&backup).unwrap();
    fs::write(&backup, &bytes[..bytes.len() / 2]).unwrap();
    assert!(restore(folder.path(), Source::Backup(&backup), NOW).is_err());
    assert_eq!(reopened(folder.path()), DurableState::default());
}

#[test]
fn a_first_start_that_was_cut_off_begins_again() {
    let folder = tempdir().unwrap();
    fs::write(file(folder.path()), b"").unwrap();
    assert_eq!(reopened(folder.path()), DurableState::default());
    // The file is there, and the note that it was begun is not yet.
    let (folder, model) = furnished();
    fs::remove_file(folder.path().join("store.id")).unwrap();
    assert_eq!(reopened(folder.path()), model);
    assert!(folder.path().join("store.id").exists());
}

#[test]
fn files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, _) = furnished();
    let running = Running::start(folder.path());
    back_up(folder.path(), &folder.path().join("copy")).unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
    running.stop();
}
