//! Layer 1, through the guard: one wrong fact at a time.

use motte_mqtt::ReasonCode;

use crate::testing::{Policy, at, device, facts};
use crate::{CertificateFacts, Denial, KeyKind, Layer, SERIAL_LENGTH};

fn judge(change: impl FnOnce(&mut CertificateFacts)) -> Result<(), Denial> {
    judge_at(0, change)
}

fn judge_at(seconds: u64, change: impl FnOnce(&mut CertificateFacts)) -> Result<(), Denial> {
    let mut facts = facts(&device("a"));
    change(&mut facts);
    Policy::new(1)
        .guard()
        .authenticate(&facts, at(seconds))
        .map(|permit| {
            assert_eq!(permit.action().principal.serial, facts.serial);
            assert_eq!(permit.action().principal.not_after, facts.not_after);
        })
}

fn rule(verdict: Result<(), Denial>) -> String {
    let denial = verdict.unwrap_err();
    assert_eq!(denial.layer, Layer::Tls);
    assert_eq!(denial.reason, ReasonCode::NotAuthorized);
    denial.rule.into_owned()
}

#[test]
fn a_good_certificate_passes() {
    assert_eq!(judge(|_| {}), Ok(()));
    assert_eq!(judge(|facts| facts.key = KeyKind::Ed25519), Ok(()));
}

#[test]
fn each_wrong_fact_is_refused_by_its_own_rule() {
    assert_eq!(rule(judge(|facts| facts.issuer_matches = false)), "tls.issuer");
    assert_eq!(rule(judge(|facts| facts.is_authority = true)), "tls.authority");
    assert_eq!(
        rule(judge(|facts| facts.client_auth = false)),
        "tls.extended-key-usage"
    );
    assert_eq!(
        rule(judge(|facts| facts.digital_signature = false)),
        "tls.key-usage"
    );
    assert_eq!(rule(judge(|facts| facts.key = KeyKind::Other)), "tls.key-kind");
}

#[test]
fn validity_includes_its_first_and_its_last_second() {
    let not_before = |from: u64| move |facts: &mut CertificateFacts| facts.not_before = from;
    let now = at(5).unix.as_secs();
    assert_eq!(judge_at(5, not_before(now)), Ok(()));
    assert_eq!(rule(judge_at(5, not_before(now + 1))), "tls.not-yet-valid");
    assert_eq!(judge_at(10, |_| {}), Ok(()));
    assert_eq!(rule(judge_at(11, |_| {})), "tls.expired");
}

#[test]
fn a_fraction_of_the_last_second_still_counts() {
    let mut now = at(10);
    now.unix += std::time::Duration::from_millis(999);
    let mut guard = Policy::new(1).guard();
    assert!(guard.authenticate(&facts(&device("a")), now).is_ok());
}

#[test]
fn serial_numbers_are_bounded() {
    assert_eq!(judge(|facts| facts.serial = vec![1; SERIAL_LENGTH]), Ok(()));
    assert_eq!(
        rule(judge(|facts| facts.serial = vec![1; SERIAL_LENGTH + 1])),
        "tls.serial"
    );
    assert_eq!(rule(judge(|facts| facts.serial = Vec::new())), "tls.serial");
}

#[test]
fn a_revoked_serial_is_refused_however_it_is_written() {
    let mut guard = Policy::new(1).except("revoked_serials", "4d01").guard();
    for serial in [vec![0x4d, 0x01], vec![0, 0x4d, 0x01]] {
        let facts = CertificateFacts {
            serial,
            ..facts(&device("a"))
        };
        let denial = guard.authenticate(&facts, at(0)).unwrap_err();
        assert_eq!((denial.layer, &*denial.rule), (Layer::Tls, "tls.revoked"));
        assert_eq!(denial.reason, ReasonCode::Banned);
    }
    let other = CertificateFacts {
        serial: vec![0x4d, 0x02],
        ..facts(&device("a"))
    };
    assert!(guard.authenticate(&other, at(0)).is_ok());
}

#[test]
fn the_certificate_comes_before_the_identity_in_it() {
    let facts = CertificateFacts {
        uri_names: Vec::new(),
        is_authority: true,
        ..facts(&device("a"))
    };
    let denial = Policy::new(1).guard().authenticate(&facts, at(0)).unwrap_err();
    assert_eq!(denial.layer, Layer::Tls);
}
