//! Certificates of a small fleet.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;

/// Seconds from now.
pub(crate) fn from_now(seconds: i64) -> OffsetDateTime {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seconds = i64::try_from(now.as_secs()).unwrap() + seconds;
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

/// An authority that issues certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate with its key.
#[derive(Debug)]
pub(crate) struct Credential {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
    pub(crate) serial: Vec<u8>,
    key: Vec<u8>,
}

impl Credential {
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone().into())
    }
}

impl Clone for Credential {
    fn clone(&self) -> Self {
        Self {
            certificate: self.certificate.clone(),
            certificate_pem: self.certificate_pem.clone(),
            key_pem: self.key_pem.clone(),
            serial: self.serial.clone(),
            key: self.key.clone(),
        }
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = key();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// What a server shows.
    pub(crate) fn server(&self) -> Credential {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        (params.not_before, params.not_after) = (from_now(-3_600), from_now(86_400));
        self.issue(params)
    }

    pub(crate) fn expired_server(&self) -> Credential {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (from_now(-7_200), from_now(-3_600));
        self.issue(params)
    }

    /// A toaster of the fleet `home`.
    pub(crate) fn device(&self, id: &str) -> Credential {
        self.issue(client(&format!("spiffe://home/group/toaster/device/{id}")))
    }

    pub(crate) fn service(&self, id: &str) -> Credential {
        self.issue(client(&format!("spiffe://home/service/{id}")))
    }

    pub(crate) fn issue(&self, mut params: CertificateParams) -> Credential {
        let key = key();
        let serial = params.serial_number.get_or_insert_with(random_serial).to_bytes();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Credential {
            certificate: certificate.der().clone(),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            serial,
            key: key.serialize_der(),
        }
    }
}

/// A client certificate as the fleet issues it.
pub(crate) fn client(uri: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    (params.not_before, params.not_after) = (from_now(-60), from_now(3_600));
    params
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn random_serial() -> SerialNumber {
    let nanoseconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_nanos();
    let address = std::ptr::from_ref(&nanoseconds).addr() as u128;
    let mut bytes = (nanoseconds ^ address.rotate_left(64)).to_be_bytes().to_vec();
    // Positive, and without a zero in front.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from(bytes)
}
