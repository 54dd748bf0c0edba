//! The certificate that the listener shows, replaced while it listens.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{certificates, check_validity, private_key, unusable};
use crate::certificate;
use crate::error::ServeError;
use crate::settings::Settings;

/// Key and certificate of the listener, which change together.
///
/// A handshake takes the pair once, when it needs it. Whoever is connected keeps its keys: the
/// certificate only proved who made them. Tickets stay good, because their key is not part of the pair.
pub(crate) struct Presented {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Pair>,
}

#[derive(Clone)]
struct Pair {
    shown: Arc<CertifiedKey>,
    described: Description,
}

/// The certificate in force, as the control plane is told.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Description {
    /// In hexadecimal, two digits a byte.
    pub(crate) serial: String,
    /// Seconds since 1970.
    pub(crate) not_after: u64,
}

impl Presented {
    /// Reads the pair that the settings name.
    pub(super) fn load(
        settings: &Settings,
        provider: Arc<CryptoProvider>,
        now_unix: u64,
    ) -> Result<Self, ServeError> {
        let (certificate, key) = (settings.server_certificate.clone(), settings.server_key.clone());
        let current = RwLock::new(Pair::read(&certificate, &key, &provider, now_unix)?);
        Ok(Self {
            certificate,
            key,
            provider,
            current,
        })
    }

    /// Reads the files again and shows what they hold to every handshake from here on. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// Files that a data plane would not start with. Then the pair in force stays in force.
    pub(crate) fn reload(&self, now_unix: u64) -> Result<Description, ServeError> {
        let pair = Pair::read(&self.certificate, &self.key, &self.provider, now_unix)?;
        let described = pair.described.clone();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = pair;
        Ok(described)
    }

    /// Which certificate is in force.
    pub(crate) fn describe(&self) -> Description {
        self.pair().described
    }

    fn pair(&self) -> Pair {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Pair {
    fn read(
        certificate: &Path,
        key: &Path,
        provider: &CryptoProvider,
        now_unix: u64,
    ) -> Result<Self, ServeError> {
        let chain = certificates(certificate, "server certificate")?;
        // A file without a certificate is refused above.
        let leaf = chain
            .first()
            .ok_or_else(|| unusable(certificate, "it holds no certificate"))?;
        let (validity, serial) = certificate::validity_and_serial(leaf)
            .map_err(|error| unusable(certificate, &error.to_string()))?;
        check_validity(validity, certificate, now_unix)?;
        let described = Description {
            serial: serial.iter().map(|byte| format!("{byte:02x}")).collect(),
            not_after: validity.not_after,
        };
        // Refuses a key that is not the certificate's.
        let shown = CertifiedKey::from_der(chain, private_key(key)?, provider)
            .map_err(|error| unusable(certificate, &error.to_string()))?;
        Ok(Self {
            shown: Arc::new(shown),
            described,
        })
    }
}

impl ResolvesServerCert for Presented {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair().shown)
    }
}

/// Without the key.
impl std::fmt::Debug for Presented {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Presented")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}
