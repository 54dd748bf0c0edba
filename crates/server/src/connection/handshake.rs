//! From the first byte to the broker: TLS, and the certificate once more.

use std::borrow::Cow;
use std::task::Context;

use motte_guard::{Denial, Layer};
use motte_mqtt::ReasonCode;

use super::socket::{Flushed, Received};
use super::{Connection, Phase, Scratch, Step};
use crate::certificate::{self, CertificateError};
use crate::engine::Broken;
use crate::tls::refusal;

impl Connection {
    /// One step of the handshake.
    pub(super) fn shake(&mut self, context: &mut Context<'_>, scratch: &mut Scratch) -> Result<Step, Broken> {
        if self.flush(context, scratch) == Flushed::Failed {
            return Ok(Step::Done);
        }
        match self.receive(context, scratch) {
            Received::Bytes(count) => {
                if let Err(error) = self.feed(count, scratch) {
                    self.refuse(&refusal(&error));
                    self.admission.penalize();
                    // The alert that says why is sealed; it goes out like a last packet.
                    return Ok(self.begin_close(scratch));
                }
            }
            Received::Blocked => return Ok(Step::Idle),
            Received::Ended | Received::Failed => return Ok(Step::Done),
        }
        if self.secure.is_handshaking() {
            return Ok(Step::Progress);
        }
        let step = self.open(scratch)?;
        // The ticket goes out with CONNACK where CONNECT is there already, by itself otherwise.
        if !self.input_is_fresh && self.flush(context, scratch) == Flushed::Failed {
            return Ok(Step::Done);
        }
        Ok(step)
    }

    /// The handshake is done: the certificate is judged, whether it was shown now or comes out of a
    /// session ticket.
    fn open(&mut self, scratch: &mut Scratch) -> Result<Step, Broken> {
        let facts = match self.secure.peer_certificate() {
            Some(certificate) => certificate::facts(certificate, &self.around.tls.authorities),
            // Not reached: the handshake does not finish without one.
            None => Err(CertificateError::Malformed),
        };
        let facts = match facts {
            Ok(facts) => facts,
            Err(error) => {
                self.refuse(&Denial {
                    layer: Layer::Tls,
                    rule: Cow::Borrowed("tls.certificate"),
                    reason: ReasonCode::NotAuthorized,
                    detail: error.to_string(),
                });
                return Ok(self.begin_close(scratch));
            }
        };
        match self.around.engine.open(&facts, self.accepted_at, &self.slot)? {
            Ok(id) => {
                self.registered = Some(id);
                self.phase = Phase::Open(id);
                self.deadline = None;
                self.timer = None;
                Ok(Step::Progress)
            }
            // The broker has put it on record.
            Err(_) => {
                self.admission.penalize();
                Ok(self.begin_close(scratch))
            }
        }
    }
}
