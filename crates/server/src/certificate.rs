//! What a client certificate says, as the facts that the guard judges.
//!
//! TLS has checked the signature when a session began. A resumed session brings the certificate out
//! of its ticket unchecked, so everything that can have changed since is judged again from these
//! facts, on every connection, by the guard.

use motte_guard::{CertificateFacts, KeyKind};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

/// Why a certificate cannot be judged at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("the certificate is not well formed")]
    Malformed,
    #[error("bytes follow the certificate")]
    TrailingBytes,
    #[error("an extension of the certificate is not well formed or occurs twice")]
    Extension,
}

/// A trust anchor: the name that certificates issued by it carry as their issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    subject: Vec<u8>,
}

impl Authority {
    /// Takes the name out of an authority's certificate.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = parse(der)?;
        Ok(Self {
            subject: certificate.subject().as_raw().to_vec(),
        })
    }
}

/// When a certificate is valid, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
}

/// Reads validity and serial number alone, for the server's own certificate.
pub(crate) fn validity_and_serial(der: &[u8]) -> Result<(Validity, Vec<u8>), CertificateError> {
    let certificate = parse(der)?;
    Ok((validity_of(&certificate), serial(certificate.raw_serial())))
}

/// Reads everything that the guard judges.
pub(crate) fn facts(der: &[u8], authorities: &[Authority]) -> Result<CertificateFacts, CertificateError> {
    let certificate = parse(der)?;
    let Validity {
        not_before,
        not_after,
    } = validity_of(&certificate);
    let constraints = certificate
        .basic_constraints()
        .map_err(|_| CertificateError::Extension)?;
    let extended = certificate
        .extended_key_usage()
        .map_err(|_| CertificateError::Extension)?;
    let usage = certificate.key_usage().map_err(|_| CertificateError::Extension)?;
    let issuer = certificate.issuer().as_raw();
    Ok(CertificateFacts {
        serial: serial(certificate.raw_serial()),
        issuer_matches: authorities.iter().any(|authority| authority.subject == issuer),
        not_before,
        not_after,
        uri_names: uri_names(&certificate)?,
        is_authority: constraints.is_some_and(|extension| extension.value.ca),
        // Absent means "for anything" to X.509. Here it means nothing: every certificate of the fleet
        // names its one purpose.
        client_auth: extended.is_some_and(|extension| extension.value.client_auth),
        digital_signature: usage.is_some_and(|extension| extension.value.digital_signature()),
        key: key_kind(certificate.public_key()),
    })
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
    if rest.is_empty() {
        Ok(certificate)
    } else {
        Err(CertificateError::TrailingBytes)
    }
}

fn validity_of(certificate: &X509Certificate<'_>) -> Validity {
    // A date before 1970 reads as 1970: as a start it has passed, as an end it has passed too.
    let seconds = |timestamp: i64| u64::try_from(timestamp).unwrap_or(0);
    Validity {
        not_before: seconds(certificate.validity().not_before.timestamp()),
        not_after: seconds(certificate.validity().not_after.timestamp()),
    }
}

/// The serial number without the zero that DER puts before a high bit, so that it compares equal to
/// the number that the registry knows.
fn serial(raw: &[u8]) -> Vec<u8> {
    let first = raw.iter().position(|byte| *byte != 0).unwrap_or(raw.len());
    raw.iter().skip(first).copied().collect()
}

fn uri_names(certificate: &X509Certificate<'_>) -> Result<Vec<String>, CertificateError> {
    let extension = certificate
        .subject_alternative_name()
        .map_err(|_| CertificateError::Extension)?;
    let Some(extension) = extension else {
        return Ok(Vec::new());
    };
    let names = extension.value.general_names.iter();
    if names.clone().any(|name| matches!(name, GeneralName::Invalid(..))) {
        return Err(CertificateError::Extension);
    }
    Ok(names
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        })
        .collect())
}

fn key_kind(key: &SubjectPublicKeyInfo<'_>) -> KeyKind {
    match key.algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.10045.2.1" => {
            let curve = key
                .algorithm
                .parameters
                .as_ref()
                .and_then(|parameters| parameters.as_oid().ok());
            match curve {
                Some(curve) if curve.to_id_string() == "1.2.840.10045.3.1.7" => KeyKind::EcdsaP256,
                _ => KeyKind::Other,
            }
        }
        "1.3.101.112" => KeyKind::Ed25519,
        _ => KeyKind::Other,
    }
}

#[cfg(test)]
mod tests;
