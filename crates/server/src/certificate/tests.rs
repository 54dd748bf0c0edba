use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SanType, SerialNumber,
};
use time::OffsetDateTime;

use super::*;

const URI: &str = "spiffe://home/group/toaster/device/toaster-1";

struct Issued {
    der: Vec<u8>,
    authority: Vec<u8>,
}

fn issue(
    algorithm: &'static rcgen::SignatureAlgorithm,
    change: impl FnOnce(&mut CertificateParams),
) -> Issued {
    let authority_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority_der = authority.self_signed(&authority_key).unwrap().der().to_vec();
    let issuer = Issuer::new(authority, authority_key);
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from(vec![0x80, 0, 7]));
    params.subject_alt_names = vec![SanType::URI(URI.try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.not_before = OffsetDateTime::from_unix_timestamp(1_000).unwrap();
    params.not_after = OffsetDateTime::from_unix_timestamp(2_000).unwrap();
    change(&mut params);
    let key = KeyPair::generate_for(algorithm).unwrap();
    Issued {
        der: params.signed_by(&key, &issuer).unwrap().der().to_vec(),
        authority: authority_der,
    }
}

fn facts_of(issued: &Issued) -> CertificateFacts {
    facts(&issued.der, &[Authority::from_der(&issued.authority).unwrap()]).unwrap()
}

#[test]
fn everything_is_read() {
    let issued = issue(&PKCS_ECDSA_P256_SHA256, |_| {});
    assert_eq!(
        facts_of(&issued),
        CertificateFacts {
            serial: vec![0x80, 0, 7],
            issuer_matches: true,
            not_before: 1_000,
            not_after: 2_000,
            uri_names: vec![URI.to_owned()],
            is_authority: false,
            client_auth: true,
            digital_signature: true,
            key: KeyKind::EcdsaP256,
        }
    );
    assert_eq!(
        validity_and_serial(&issued.der).unwrap().0,
        Validity {
            not_before: 1_000,
            not_after: 2_000
        }
    );
}

#[test]
fn kinds_of_keys_are_told_apart() {
    let kind = |algorithm| facts_of(&issue(algorithm, |_| {})).key;
    assert_eq!(kind(&PKCS_ED25519), KeyKind::Ed25519);
    assert_eq!(kind(&PKCS_ECDSA_P384_SHA384), KeyKind::Other);
}

#[test]
fn what_is_absent_is_not_granted() {
    let issued = issue(&PKCS_ECDSA_P256_SHA256, |params| {
        params.extended_key_usages = Vec::new();
        params.key_usages = Vec::new();
        params.subject_alt_names = Vec::new();
    });
    let facts = facts_of(&issued);
    assert!(!facts.client_auth && !facts.digital_signature && facts.uri_names.is_empty());
}

#[test]
fn an_authority_is_recognised() {
    let issued = issue(&PKCS_ECDSA_P256_SHA256, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    assert!(facts_of(&issued).is_authority);
}

#[test]
fn several_names_are_all_told() {
    let issued = issue(&PKCS_ECDSA_P256_SHA256, |params| {
        params
            .subject_alt_names
            .push(SanType::DnsName("toaster.example".try_into().unwrap()));
        params
            .subject_alt_names
            .push(SanType::URI("spiffe://home/device/other".try_into().unwrap()));
    });
    assert_eq!(facts_of(&issued).uri_names, [URI, "spiffe://home/device/other"]);
}

#[test]
fn another_issuer_does_not_match() {
    let issued = issue(&PKCS_ECDSA_P256_SHA256, |_| {});
    let other = issue(&PKCS_ECDSA_P256_SHA256, |params| {
        params.distinguished_name.push(rcgen::DnType::CommonName, "other");
    });
    let authorities = [Authority::from_der(&other.der).unwrap()];
    assert!(!facts(&issued.der, &authorities).unwrap().issuer_matches);
    assert!(!facts(&issued.der, &[]).unwrap().issuer_matches);
}

#[test]
fn bytes_behind_the_certificate_are_refused() {
    let mut issued = issue(&PKCS_ECDSA_P256_SHA256, |_| {});
    issued.der.push(0);
    assert_eq!(facts(&issued.der, &[]), Err(CertificateError::TrailingBytes));
    assert_eq!(facts(&[], &[]), Err(CertificateError::Malformed));
}

proptest! {
    /// Whatever is changed, there is an answer. Certificates that are read with other facts than before
    /// are fine: their signature no longer holds.
    #[test]
    fn no_mutation_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        do_cut in any::<bool>(),
    ) {
        static ISSUED: std::sync::LazyLock<Issued> =
            std::sync::LazyLock::new(|| issue(&PKCS_ECDSA_P256_SHA256, |_| {}));
        let mut der = ISSUED.der.clone();
        for (index, byte) in changes {
            let index = index.index(der.len());
            der[index] = byte;
        }
        if do_cut {
            der.truncate(cut.index(der.len()));
        }
        let authority = Authority::from_der(&ISSUED.authority).unwrap();
        let _ = facts(&der, &[authority]);
        let _ = validity_and_serial(&der);
        let _ = Authority::from_der(&der);
    }

    #[test]
    fn no_bytes_panic(der in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(facts(&der, &[]).is_err());
    }
}
