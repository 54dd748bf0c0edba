//! Transport security: TLS 1.3 with mutual authentication, and nothing else.

mod presented;
mod refusal;
mod tickets;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::certificate::{Authority, Validity};
use crate::error::{ServeError, ServeErrorKind};
use crate::settings::Settings;

pub(crate) use presented::Presented;
pub(crate) use refusal::refusal;

/// The protocol name that clients may offer (IANA: MQTT OASIS Standard v5).
const PROTOCOL: &[u8] = b"mqtt";
/// Largest PEM file that is read; a chain of four certificates has about 4 KiB.
const PEM_FILE_SIZE: u64 = 64 * 1024;
/// Authorities in the client authority file: the one in force and, while it is replaced, its
/// successor.
const AUTHORITIES_MAXIMUM: usize = 2;

/// Everything that a handshake needs.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) authorities: Arc<[Authority]>,
    pub(crate) presented: Arc<Presented>,
}

impl Tls {
    /// Reads certificate, key and authority, and refuses what would not be safe to serve with.
    pub(crate) fn load(settings: &Settings, now_unix: u64) -> Result<Self, ServeError> {
        let provider = Arc::new(provider());
        let presented = Arc::new(Presented::load(settings, provider.clone(), now_unix)?);
        let anchors = certificates(&settings.client_authority, "client authority")?;
        if anchors.len() > AUTHORITIES_MAXIMUM {
            return Err(ServeError::new(
                ServeErrorKind::Credentials,
                format!(
                    "{} holds {} certificates",
                    settings.client_authority.display(),
                    anchors.len()
                ),
                format!(
                    "keep the fleet's authority alone in it, at most {AUTHORITIES_MAXIMUM} while it is replaced"
                ),
            ));
        }
        let (roots, authorities) = trust(&anchors, &settings.client_authority)?;
        let config = configure(provider, roots, presented.clone())
            .map_err(|error| unusable(&settings.client_authority, &error.to_string()))?;
        Ok(Self {
            config: Arc::new(config),
            authorities: authorities.into(),
            presented,
        })
    }
}

/// The algorithms, strongest first. AES-256 costs no more than AES-128 on hardware that has AES;
/// ChaCha20 is for clients that have not. Of the key exchange groups the client's order decides, so a
/// client that can protect today's traffic from tomorrow's quantum computer does, and one that cannot
/// pays nothing. X25519MLKEM768 costs 2.3 kB more on the wire; the server's time for a full mutual
/// handshake, about 250 µs, stays the same within the noise of the measurement.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1],
        ..aws_lc_rs::default_provider()
    }
}

fn configure(
    provider: Arc<CryptoProvider>,
    roots: RootCertStore,
    presented: Arc<Presented>,
) -> Result<ServerConfig, Box<dyn std::error::Error>> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(presented);
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.ticketer = tickets::ticketer()?;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    // 0-RTT data can be replayed, half-RTT data is sent before the client has proved anything.
    config.max_early_data_size = 0;
    config.send_half_rtt_data = false;
    Ok(config)
}

fn trust(
    anchors: &[CertificateDer<'static>],
    path: &Path,
) -> Result<(RootCertStore, Vec<Authority>), ServeError> {
    let mut roots = RootCertStore::empty();
    let mut authorities = Vec::new();
    for anchor in anchors {
        roots
            .add(anchor.clone())
            .map_err(|error| unusable(path, &error.to_string()))?;
        authorities.push(Authority::from_der(anchor).map_err(|error| unusable(path, &error.to_string()))?);
    }
    Ok((roots, authorities))
}

fn check_validity(validity: Validity, path: &Path, now: u64) -> Result<(), ServeError> {
    let problem = if now > validity.not_after {
        "has expired"
    } else if now < validity.not_before {
        "is not valid yet"
    } else {
        return Ok(());
    };
    Err(ServeError::new(
        ServeErrorKind::Credentials,
        format!("the server certificate {} {problem}", path.display()),
        "issue a new server certificate, or check the clock of this machine",
    ))
}

fn certificates(path: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>, ServeError> {
    let (text, _) = read(path, what)?;
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match list {
        Ok(list) if !list.is_empty() => Ok(list),
        Ok(_) => Err(unusable(path, "it holds no certificate in PEM form")),
        Err(error) => Err(unusable(path, &error.to_string())),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ServeError> {
    let (text, mode) = read(path, "server key")?;
    if mode & 0o077 != 0 {
        return Err(ServeError::new(
            ServeErrorKind::Credentials,
            format!(
                "the server key {} can be used by other users (mode {:03o})",
                path.display(),
                mode & 0o777
            ),
            format!("close it with: chmod 600 {}", path.display()),
        ));
    }
    // The error of the parser is left out: it must not be able to quote the key.
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| unusable(path, "it holds no private key in PEM form"))
}

/// The content of a small file with the mode of that very file, not of what the path names later.
fn read(path: &Path, what: &str) -> Result<(Vec<u8>, u32), ServeError> {
    let failed = |error: &std::io::Error| {
        ServeError::new(
            ServeErrorKind::Credentials,
            format!("cannot read the {what} {}: {error}", path.display()),
            "check the path, and that this user may read the file",
        )
    };
    let file = File::open(path).map_err(|error| failed(&error))?;
    let metadata = file.metadata().map_err(|error| failed(&error))?;
    if metadata.len() > PEM_FILE_SIZE {
        return Err(unusable(path, "it is far too large for a PEM file"));
    }
    let mut content = Vec::new();
    file.take(PEM_FILE_SIZE)
        .read_to_end(&mut content)
        .map_err(|error| failed(&error))?;
    Ok((content, metadata.mode()))
}

fn unusable(path: &Path, why: &str) -> ServeError {
    ServeError::new(
        ServeErrorKind::Credentials,
        format!("{} is not usable: {why}", path.display()),
        "issue the file anew, or name another one in the settings",
    )
}
