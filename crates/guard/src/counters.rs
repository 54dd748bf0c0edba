//! How often each layer refused and each action passed.

use serde::Serialize;

use crate::{Denial, Layer};

/// Totals since the guard was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Denials by layer.
    pub refused: RefusedCounters,
    /// Permits by action.
    pub passed: PassedCounters,
}

/// Denials by the layer that refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the names of the layers")]
pub struct RefusedCounters {
    pub network: u64,
    pub tls: u64,
    pub fingerprint: u64,
    pub identity: u64,
    pub authorization: u64,
    pub protocol: u64,
    pub quota: u64,
    pub detection: u64,
    pub evidence: u64,
}

/// Permits by action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the names of the actions")]
pub struct PassedCounters {
    pub authenticate: u64,
    pub connect: u64,
    pub session: u64,
    pub will: u64,
    pub publish: u64,
    pub release: u64,
    pub subscribe: u64,
    pub retain: u64,
    pub deliver: u64,
}

impl Counters {
    /// Denials of one layer.
    #[must_use]
    pub const fn refused(&self, layer: Layer) -> u64 {
        let refused = &self.refused;
        match layer {
            Layer::Network => refused.network,
            Layer::Tls => refused.tls,
            Layer::Fingerprint => refused.fingerprint,
            Layer::Identity => refused.identity,
            Layer::Authorization => refused.authorization,
            Layer::Protocol => refused.protocol,
            Layer::Quota => refused.quota,
            Layer::Detection => refused.detection,
            Layer::Evidence => refused.evidence,
        }
    }

    /// Denials of all layers.
    #[must_use]
    pub fn refused_in_total(&self) -> u64 {
        Layer::ALL.iter().map(|&layer| self.refused(layer)).sum()
    }

    pub(crate) fn count_refused(&mut self, layer: Layer) {
        let refused = &mut self.refused;
        let counter = match layer {
            Layer::Network => &mut refused.network,
            Layer::Tls => &mut refused.tls,
            Layer::Fingerprint => &mut refused.fingerprint,
            Layer::Identity => &mut refused.identity,
            Layer::Authorization => &mut refused.authorization,
            Layer::Protocol => &mut refused.protocol,
            Layer::Quota => &mut refused.quota,
            Layer::Detection => &mut refused.detection,
            Layer::Evidence => &mut refused.evidence,
        };
        *counter = counter.saturating_add(1);
    }

    /// Counts a verdict, whichever it is, and hands it on unchanged.
    pub(crate) fn count<T>(
        &mut self,
        passed: impl FnOnce(&mut PassedCounters) -> &mut u64,
        verdict: Result<T, Denial>,
    ) -> Result<T, Denial> {
        match &verdict {
            Ok(_) => {
                let counter = passed(&mut self.passed);
                *counter = counter.saturating_add(1);
            }
            Err(denial) => self.count_refused(denial.layer),
        }
        verdict
    }
}
