//! What a failed handshake is called in the evidence.

use std::borrow::Cow;

use motte_guard::{Denial, Layer};
use motte_mqtt::ReasonCode;
use rustls::{CertificateError, Error, PeerIncompatible};

/// The denial of layer 1 for an error of the handshake.
pub(crate) fn refusal(error: &Error) -> Denial {
    let (rule, detail) = explain(error);
    Denial {
        layer: Layer::Tls,
        rule: Cow::Borrowed(rule),
        reason: ReasonCode::NotAuthorized,
        detail: detail.to_owned(),
    }
}

fn explain(error: &Error) -> (&'static str, &'static str) {
    match error {
        Error::NoCertificatesPresented => ("tls.no-certificate", "the client presented no certificate"),
        Error::InvalidCertificate(error) => explain_certificate(error),
        Error::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => ("tls.version", "the client does not offer TLS 1.3"),
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => (
            "tls.cipher-suite",
            "the client offers no cipher suite that is accepted here",
        ),
        Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon) => (
            "tls.group",
            "the client offers no key exchange group that is accepted here",
        ),
        Error::NoApplicationProtocol => (
            "tls.application-protocol",
            "the client asks for application protocols but not for mqtt",
        ),
        Error::InvalidMessage(_) => ("tls.malformed", "what the client sent is not TLS"),
        Error::AlertReceived(_) => ("tls.alert", "the client ended the handshake with an alert"),
        _ => ("tls.handshake", "the handshake failed"),
    }
}

fn explain_certificate(error: &CertificateError) -> (&'static str, &'static str) {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ("tls.expired", "the client certificate has expired")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("tls.not-yet-valid", "the client certificate is not valid yet")
        }
        CertificateError::UnknownIssuer => (
            "tls.issuer",
            "the client certificate was not issued by the fleet's authority",
        ),
        CertificateError::BadSignature => (
            "tls.signature",
            "the client does not hold the key, or the certificate was changed",
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            ("tls.purpose", "the certificate is not one for clients")
        }
        CertificateError::Revoked => ("tls.revoked", "the client certificate is revoked"),
        _ => ("tls.certificate", "the client certificate is not acceptable"),
    }
}
