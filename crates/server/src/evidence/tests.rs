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
    let log = EvidenceLog::open(path, now()).unwrap();
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
    let log = EvidenceLog::open(&path(&folder), now()).unwrap();
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
    let log = EvidenceLog::open_with(&path(&folder), now(), 100).unwrap();
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
    let (mut writer, _) = Writer::open(&path(&folder), shared.clone(), now()).unwrap();
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
    let log = EvidenceLog::open(&path(&folder), now()).unwrap();
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
    assert!(Writer::open(&path(&folder), Shared::new(10), now()).is_err());
    fs::remove_file(path(&folder)).unwrap();
    fs::write(path(&folder), "").unwrap();
    fs::set_permissions(path(&folder), fs::Permissions::from_mode(0o666)).unwrap();
    write(&path(&folder), &["one"]);
    let mode = fs::metadata(path(&folder)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
