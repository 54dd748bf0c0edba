//! Starting, refusing to start, stopping, coming back.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use motte_mqtt::ReasonCode;
use motte_server::{ServeError, ServeErrorKind};
use serde_json::{Value, json};

use crate::certificates::Authority;
use crate::fleet::{Fleet, evidence};

fn refused(fleet: &Fleet, settings: &Value) -> ServeError {
    let error = fleet
        .start_with(settings)
        .err()
        .expect("the data plane must not start");
    assert!(!error.hint().is_empty());
    error
}

#[test]
fn a_started_data_plane_says_where_it_listens() {
    let fleet = Fleet::new();
    let running = fleet.start();
    let text = fs::read_to_string(fleet.state().join("run/listener.json")).unwrap();
    let listener: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(listener["port"], running.address.port());
    assert_eq!(listener["pid"], std::process::id());
    let mode = |path: &str| {
        fs::metadata(fleet.state().join(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("run"), 0o700);
    assert_eq!(mode("run/control.sock"), 0o600);
    running.stop().unwrap();
    assert!(!fleet.state().join("run/listener.json").exists());
    assert!(!fleet.state().join("run/control.sock").exists());
    assert_eq!(mode("evidence/evidence.log"), 0o600);
}

#[test]
fn a_port_in_use_is_an_error() {
    let fleet = Fleet::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = fleet.settings();
    settings["listener"]["port"] = json!(other.local_addr().unwrap().port());
    let error = refused(&fleet, &settings);
    assert_eq!(error.kind(), ServeErrorKind::AddressInUse);
    assert!(
        error
            .message()
            .contains(&other.local_addr().unwrap().port().to_string()),
        "{error}"
    );
    drop(other);
    // Nothing was left behind that stands in the way.
    fleet.start_with(&settings).unwrap();
}

#[test]
fn two_data_planes_cannot_listen_on_one_port() {
    let (first, second) = (Fleet::new(), Fleet::new());
    let running = first.start();
    let mut settings = second.settings();
    settings["listener"]["port"] = json!(running.address.port());
    assert_eq!(refused(&second, &settings).kind(), ServeErrorKind::AddressInUse);
}

#[test]
fn a_second_data_plane_on_the_same_state_is_refused() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let error = refused(&fleet, &fleet.settings());
    assert_eq!(error.kind(), ServeErrorKind::AlreadyRunning);
    // The first one is not harmed: its socket and its files are still its own.
    assert_eq!(running.status()["generation"], 1);
    assert!(fleet.state().join("run/listener.json").exists());
}

#[test]
fn a_stale_socket_is_no_obstacle() {
    let fleet = Fleet::new();
    fs::create_dir_all(fleet.state().join("run")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(fleet.state().join("run/control.sock")).unwrap());
    let running = fleet.start();
    assert_eq!(running.status()["generation"], 0);
}

#[test]
fn a_state_directory_of_any_depth_works() {
    let fleet = Fleet::new();
    let mut settings = fleet.settings();
    let deep = fleet.path(&"deep/".repeat(30)).join("state");
    settings["state_directory"] = json!(deep);
    let running = fleet.start_with(&settings).unwrap();
    assert!(deep.join("run/control.sock").exists());
    drop(running);
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let fleet = Fleet::new();
    for mode in [0o640, 0o604, 0o660, 0o601] {
        fs::set_permissions(fleet.path("server.key"), fs::Permissions::from_mode(mode)).unwrap();
        let error = refused(&fleet, &fleet.settings());
        assert_eq!(error.kind(), ServeErrorKind::Credentials);
        assert!(error.hint().contains("chmod 600"), "{error}");
    }
}

#[test]
fn unusable_credentials_are_refused_by_name() {
    let fleet = Fleet::new();
    for (name, text) in [
        ("server.pem", ""),
        (
            "server.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
        ("server.key", "no key"),
        ("fleet.pem", "no authority"),
    ] {
        let good = fs::read(fleet.path(name)).unwrap();
        fs::write(fleet.path(name), text).unwrap();
        let error = refused(&fleet, &fleet.settings());
        assert_eq!(error.kind(), ServeErrorKind::Credentials);
        assert!(error.message().contains(name), "{error}");
        fs::write(fleet.path(name), good).unwrap();
    }
    fs::remove_file(fleet.path("server.key")).unwrap();
    assert!(
        refused(&fleet, &fleet.settings())
            .message()
            .contains("server.key")
    );
}

#[test]
fn an_expired_server_certificate_is_refused() {
    let fleet = Fleet::new();
    fleet.write_server(&fleet.authority.expired_server());
    let error = refused(&fleet, &fleet.settings());
    assert!(error.message().contains("has expired"), "{error}");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let fleet = Fleet::new();
    fs::write(fleet.path("server.key"), fleet.authority.server().key_pem).unwrap();
    assert_eq!(
        refused(&fleet, &fleet.settings()).kind(),
        ServeErrorKind::Credentials
    );
}

#[test]
fn several_authorities_are_not_trusted_by_accident() {
    let fleet = Fleet::new();
    let many: String = (0..3)
        .map(|number| Authority::new(&number.to_string()).pem())
        .collect();
    fs::write(fleet.path("fleet.pem"), many).unwrap();
    assert_eq!(
        refused(&fleet, &fleet.settings()).kind(),
        ServeErrorKind::Credentials
    );
}

#[test]
fn the_last_good_snapshot_comes_back_after_a_restart() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    running.stop().unwrap();
    let running = fleet.start();
    assert_eq!(running.status()["generation"], 1);
    fleet.device(&running, "toaster-1").ping();
}

#[test]
fn a_corrupt_snapshot_denies_everything_and_is_kept() {
    let fleet = Fleet::new();
    fleet.serve().stop().unwrap();
    let path = fleet.state().join("snapshot.json");
    let good = fs::read_to_string(&path).unwrap();
    let corrupt = good.replace("\"generation\":1", "\"generation\":\"one\"");
    assert_ne!(good, corrupt);
    fs::write(&path, &corrupt).unwrap();
    let running = fleet.start();
    assert_eq!(running.status()["generation"], 0);
    let kept: Vec<_> = fs::read_dir(fleet.state())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("snapshot-refused"))
        .collect();
    assert_eq!(fs::read_to_string(&kept[0]).unwrap(), corrupt);
    // A good one puts everything right, and does not touch what was kept.
    fleet.install(&running);
    fleet.device(&running, "toaster-1").ping();
    assert_eq!(fs::read_to_string(&kept[0]).unwrap(), corrupt);
    running.stop().unwrap();
    let told = evidence(&fleet.state());
    let told = told.iter().filter(|record| record["kind"] == "snapshot");
    assert!(told.clone().any(|record| {
        record["detail"]
            .as_str()
            .unwrap()
            .contains("everything is denied")
    }));
}

#[test]
fn a_snapshot_of_another_fleet_is_not_put_in_force() {
    let fleet = Fleet::new();
    fs::create_dir_all(fleet.state()).unwrap();
    let other = fleet
        .snapshot(&json!({}))
        .replace("\"fleet\":\"home\"", "\"fleet\":\"office\"");
    fs::write(fleet.state().join("snapshot.json"), other).unwrap();
    assert_eq!(fleet.start().status()["generation"], 0);
}

#[test]
fn stopping_says_goodbye() {
    let fleet = Fleet::new();
    let running = fleet.serve();
    let mut clients: Vec<_> = (0..4)
        .map(|number| fleet.device(&running, &format!("toaster-{number}")))
        .collect();
    let waiting = std::thread::spawn(move || {
        clients
            .iter_mut()
            .map(crate::client::Client::expect_disconnect)
            .collect::<Vec<ReasonCode>>()
    });
    running.stop().unwrap();
    assert_eq!(waiting.join().unwrap(), [ReasonCode::ServerShuttingDown; 4]);
    let kinds: Vec<Value> = evidence(&fleet.state())
        .iter()
        .map(|record| record["kind"].clone())
        .collect();
    assert_eq!(kinds.first().unwrap(), "started");
    assert_eq!(kinds.last().unwrap(), "stopped");
}

#[test]
fn the_evidence_is_one_chain_over_restarts() {
    let fleet = Fleet::new();
    for _ in 0..3 {
        fleet.start().stop().unwrap();
    }
    let started = evidence(&fleet.state())
        .iter()
        .filter(|record| record["kind"] == "started")
        .count();
    assert_eq!(started, 3);
}
