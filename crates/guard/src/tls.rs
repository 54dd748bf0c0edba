//! Layer 1: the client certificate, judged again after the handshake.
//!
//! The TLS library has checked the chain of a full handshake. A resumed handshake shows the certificate
//! of an earlier one without checking it again, so every connection comes through here (attacks T5, T6,
//! T7, T9).

use motte_mqtt::ReasonCode;
use motte_policy::Exceptions;

use crate::evidence::escape;
use crate::{Denial, Layer, Now};

/// Bytes of a serial number: RFC 5280 (4.1.2.2) allows 20, DER may put one zero in front.
pub const SERIAL_LENGTH: usize = 21;

/// The kind of public key in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// ECDSA on P-256.
    EcdsaP256,
    /// Ed25519.
    Ed25519,
    /// Anything else.
    Other,
}

/// What the server read from the client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Big-endian bytes as in the certificate.
    pub serial: Vec<u8>,
    /// Whether the issuer is the fleet's client authority and its signature verifies.
    pub issuer_matches: bool,
    /// First valid second, Unix time.
    pub not_before: u64,
    /// Last valid second, Unix time.
    pub not_after: u64,
    /// URI names of the Subject Alternative Name extension.
    pub uri_names: Vec<String>,
    /// Whether Basic Constraints make it an authority.
    pub is_authority: bool,
    /// Whether Extended Key Usage lists clientAuth.
    pub client_auth: bool,
    /// Whether Key Usage lists digitalSignature.
    pub digital_signature: bool,
    /// The kind of its public key.
    pub key: KeyKind,
}

/// Everything about the certificate that does not need the identity in it.
pub(crate) fn check(facts: &CertificateFacts, exceptions: &Exceptions, now: Now) -> Result<(), Denial> {
    let seconds = now.unix.as_secs();
    if !facts.issuer_matches {
        return refuse(
            "tls.issuer",
            "certificate of another authority, use one of this fleet",
        );
    }
    if facts.is_authority {
        return refuse(
            "tls.authority",
            "certificate of an authority, a client needs one of its own",
        );
    }
    if !facts.client_auth {
        return refuse(
            "tls.extended-key-usage",
            "certificate without clientAuth in Extended Key Usage",
        );
    }
    if !facts.digital_signature {
        return refuse(
            "tls.key-usage",
            "certificate without digitalSignature in Key Usage",
        );
    }
    if facts.key == KeyKind::Other {
        return refuse("tls.key-kind", "key is neither ECDSA P-256 nor Ed25519");
    }
    if facts.serial.is_empty() || facts.serial.len() > SERIAL_LENGTH {
        let length = facts.serial.len();
        return refuse(
            "tls.serial",
            format!("serial number of {length} bytes, 1 to {SERIAL_LENGTH} are legal"),
        );
    }
    if seconds < facts.not_before {
        let wait = facts.not_before.saturating_sub(seconds);
        return refuse(
            "tls.not-yet-valid",
            format!("certificate is not valid for another {wait} s, check the clocks"),
        );
    }
    check_expiry(facts.not_after, now)?;
    check_serial(&facts.serial, exceptions)
}

/// A certificate is good through the whole of its last second (RFC 5280, 4.1.2.5).
pub(crate) fn check_expiry(not_after: u64, now: Now) -> Result<(), Denial> {
    let seconds = now.unix.as_secs();
    if seconds > not_after {
        let ago = seconds.saturating_sub(not_after);
        return refuse(
            "tls.expired",
            format!("certificate expired {ago} s ago, renew it"),
        );
    }
    Ok(())
}

/// The serial number itself is revoked, whatever becomes of the identity.
pub(crate) fn check_serial(serial: &[u8], exceptions: &Exceptions) -> Result<(), Denial> {
    if exceptions.is_serial_revoked(serial) {
        return Err(Denial::new(
            Layer::Tls,
            "tls.revoked",
            ReasonCode::Banned,
            format!("certificate {} is revoked", hexadecimal(serial)),
        ));
    }
    Ok(())
}

fn refuse(rule: &'static str, detail: impl Into<String>) -> Result<(), Denial> {
    Err(Denial::new(Layer::Tls, rule, ReasonCode::NotAuthorized, detail))
}

fn hexadecimal(bytes: &[u8]) -> String {
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    escape(&text)
}

#[cfg(test)]
mod tests;
