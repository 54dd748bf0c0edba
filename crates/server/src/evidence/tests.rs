use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use motte_guard::evidence::{Kind, verify};
use serde_json::Value;

use super::*;

fn now() -> Now {
    Now {
        unix: Duration::from_millis(1_795_392_000_123),
        ..Now::default()
    }
}

fn record(detail: &str) -> Record {
    Record::new(Kind::Refused, now()).detail(detail)
}

fn path(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("evidence.log")
}

fn write(path: &Path, details: &[&str]) {
    let log = EvidenceLog::open(path, Retention::default(), now()).unwrap();
    for detail in details {
        log.sender().send(record(detail));
    }
    assert!(log.close());
}

fn verified(path: &Path) -> u64 {
    verify(&*fs::read(path).unwrap())
        .expect("the chain must hold")
        .count
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn the_chain_goes_on_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    write(&path(&folder), &["one", "two"]);
    write(&path(&folder), &["three"]);
    write(&path(&folder), &[]);
    write(&path(&folder), &["four"]);
    assert_eq!(verified(&path(&folder)), 4);
    let details: Vec<Value> = lines(&path(&folder))
        .iter()
        .map(|line| line["record"]["detail"].clone())
        .collect();
    assert_eq!(details, ["one", "two", "three", "four"]);
}

#[test]
fn a_torn_last_line_is_cut_off_and_told_of() {
    let folder = tempfile::tempdir().unwrap();
    write(&path(&folder), &["one", "two"]);
    let whole = fs::read(path(&folder)).unwrap();
    for torn in [1, 40, whole.len() / 2 - 1] {
        fs::write(path(&folder), &whole).unwrap();
        let mut file = OpenOptions::new().append(true).open(path(&folder)).unwrap();
        file.write_all(&whole[..torn]).unwrap();
        drop(file);
        write(&path(&folder), &["three"]);
        assert_eq!(verified(&path(&folder)), 4);
        let lines = lines(&path(&folder));
        assert_eq!(lines[2]["record"]["kind"], "log_repaired");
        assert!(
            lines[2]["record"]["detail"]
                .as_str()
                .unwrap()
                .starts_with(&format!("{torn} bytes"))
        );
        assert_eq!(lines[3]["record"]["detail"], "three");
    }
}

#[test]
fn a_log_of_nothing_but_a_torn_line_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(path(&folder), "{\"seq\":1,").unwrap();
    write(&path(&folder), &["one"]);
    assert_eq!(verified(&path(&folder)), 2);
}

#[test]
fn a_damaged_log_is_kept_aside() {
    let folder = tempfile::tempdir().unwrap();
    for damage in [
        "\n",
        "no json\n",
        "{\"seq\":3,\"hash\":\"00\"}\n",
        "{\"seq\":0}\n",
    ] {
        fs::write(path(&folder), damage).unwrap();
        write(&path(&folder), &["one"]);
        assert_eq!(verified(&path(&folder)), 2, "{damage}");
        let aside = folder.path().join("evidence-damaged-1795392000123.log");
        assert_eq!(fs::read_to_string(&aside).unwrap(), damage);
        fs::remove_file(aside).unwrap();
    }
}

#[test]
fn the_last_line_is_found_behind_lines_longer_than_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(500);
    write(&path(&folder), &[&*long; 100]);
    write(&path(&folder), &["last"]);
    assert_eq!(verified(&path(&folder)), 101);
}

#[test]
fn a_flush_makes_everything_before_it_safe() {
    let folder = tempfile::tempdir().unwrap();
    let log = EvidenceLog::open(&path(&folder), Retention::default(), now()).unwrap();
    for number in 0..2_000 {
        log.sender().send(record(&number.to_string()));
    }
    assert!(log.sender().flush());
    assert_eq!(verified(&path(&folder)), 2_000);
    assert_eq!(
        log.sender().status(),
        EvidenceStatus {
            seq: 2_000,
            waiting: 0,
            lost: 0,
            failing: false
        }
    );
    assert!(log.close());
}

#[test]
fn what_does_not_fit_is_counted_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let log = EvidenceLog::open_with(&path(&folder), Retention::default(), now(), 100).unwrap();
    log.sender().send_all(vec![record("many"); 100]);
    assert!(log.sender().flush());
    assert_eq!(log.sender().status().lost, 0);
    log.sender().send_all(vec![record("many"); 103]);
    assert_eq!(log.sender().status().lost, 3);
    assert!(log.close());
    assert_eq!(verified(&path(&folder)), 201);
    let lines = lines(&path(&folder));
    let told: Vec<&Value> = lines
        .iter()
        .filter(|line| line["record"]["rule"] == "evidence.lost")
        .collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["record"]["count"], 3);
}

#[test]
fn a_full_disk_loses_nothing_that_fits_in_memory() {
    // The kernel's own full disk: every write fails with "no space left on device".
    let shared = Shared::new(10);
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open(&path(&folder), Retention::default(), shared.clone(), now()).unwrap();
    let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
    let log = writer.exchange_file(full);
    writer.add(vec![record("one"), record("two")]);
    assert!(!writer.write());
    assert!(shared.failing.load(Ordering::SeqCst));
    assert_eq!(shared.seq.load(Ordering::SeqCst), 0);
    writer.exchange_file(log);
    assert!(writer.write());
    assert!(!shared.failing.load(Ordering::SeqCst));
    assert_eq!(verified(&path(&folder)), 2);
}

#[test]
fn followers_see_what_is_safe_and_are_told_what_they_missed() {
    let folder = tempfile::tempdir().unwrap();
    let log = EvidenceLog::open(&path(&folder), Retention::default(), now()).unwrap();
    let mut follower = log.sender().follow();
    log.sender().send(record("one"));
    let batch = follower.batches.blocking_recv().unwrap();
    assert_eq!(batch[0]["seq"], 1);
    assert_eq!(batch[0]["detail"], "one");
    assert_eq!(verified(&path(&folder)), 1);
    for _ in 0..70 {
        log.sender().send(record("more"));
        assert!(log.sender().flush());
    }
    assert_eq!(follower.take_dropped(), 6);
    assert_eq!(follower.take_dropped(), 0);
    drop(follower);
    assert!(log.close());
}

#[test]
fn a_link_is_not_followed_and_an_open_file_is_closed_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, "").unwrap();
    fs::create_dir_all(path(&folder).parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&elsewhere, path(&folder)).unwrap();
    assert!(Writer::open(&path(&folder), Retention::default(), Shared::new(10), now()).is_err());
    fs::remove_file(path(&folder)).unwrap();
    fs::write(path(&folder), "").unwrap();
    fs::set_permissions(path(&folder), fs::Permissions::from_mode(0o666)).unwrap();
    write(&path(&folder), &["one"]);
    let mode = fs::metadata(path(&folder)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Small files of the log, so that a few records fill some.
const SMALL: Retention = Retention {
    segment_bytes: 2_000,
    kept_bytes: 7_000,
};

/// Closed files, oldest first, then the open one.
fn files(folder: &tempfile::TempDir) -> Vec<PathBuf> {
    let closed = segments::closed(&path(folder)).unwrap();
    let mut files: Vec<PathBuf> = closed.into_iter().map(|segment| segment.path).collect();
    files.push(path(folder));
    files
}

fn write_small(folder: &tempfile::TempDir, retention: Retention, count: usize) {
    let log = EvidenceLog::open(&path(folder), retention, now()).unwrap();
    for number in 0..count {
        log.sender().send(record(&number.to_string()));
        // One batch each, so that a file is closed as soon as it is full.
        assert!(log.sender().flush());
    }
    assert!(log.close());
}

fn all_lines(folder: &tempfile::TempDir) -> Vec<u8> {
    files(folder)
        .iter()
        .flat_map(|file| fs::read(file).unwrap())
        .collect()
}

#[test]
fn the_chain_runs_through_all_files() {
    let folder = tempfile::tempdir().unwrap();
    let unbounded = Retention {
        kept_bytes: u64::MAX,
        ..SMALL
    };
    write_small(&folder, unbounded, 20);
    write_small(&folder, unbounded, 20);
    assert!(files(&folder).len() > 4);
    for file in files(&folder) {
        assert!(fs::metadata(&file).unwrap().len() < 2_500);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let verified = verify(&*all_lines(&folder)).expect("the chain must hold");
    assert_eq!(verified.count, 40);
}

#[test]
fn the_chain_goes_on_where_a_file_was_closed_and_the_next_one_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    write(&path(&folder), &["one", "two"]);
    segments::close(&path(&folder), 1).unwrap();
    write(&path(&folder), &["three"]);
    assert_eq!(verify(&*all_lines(&folder)).unwrap().count, 3);
    assert_eq!(lines(&path(&folder))[0]["seq"], 3);
    // The number of its first line is still known after a restart.
    write_small(&folder, SMALL, 10);
    assert!(files(&folder)[1].ends_with("evidence-00000000000000000003.log"));
}

#[test]
fn before_old_lines_go_the_chain_says_which() {
    let folder = tempfile::tempdir().unwrap();
    write_small(&folder, SMALL, 100);
    let closed: u64 = files(&folder)
        .iter()
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    assert!(closed < 7_000 + 2 * 2_500, "{closed} bytes are kept");
    let text = String::from_utf8(all_lines(&folder)).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let first = lines[0]["seq"].as_u64().unwrap();
    assert!(first > 1);
    let said = format!(
        "to {} were removed, the log had reached its size; last hash {}",
        first - 1,
        lines[0]["previous"].as_str().unwrap()
    );
    let trimmed = lines
        .iter()
        .filter(|line| line["record"]["kind"] == "log_trimmed")
        .filter(|line| line["record"]["detail"].as_str().unwrap().contains(&said));
    assert_eq!(trimmed.count(), 1);
}

#[test]
fn a_file_that_has_the_name_already_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let planted = folder.path().join("evidence-00000000000000000001.log");
    fs::write(&planted, "").unwrap();
    write_small(&folder, SMALL, 20);
    assert_eq!(fs::read_to_string(&planted).unwrap(), "");
    assert_eq!(verified(&path(&folder)), 20);
}
