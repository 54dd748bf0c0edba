//! TLS on buffers that belong to the thread.
//!
//! rustls decrypts what came where it lies and encrypts into the thread's buffer, so a connection that
//! waits holds keys and state and no buffer at all. What a connection keeps is what cannot be dealt
//! with yet: the beginning of a record that has not come whole, and ciphertext that the kernel did not
//! take.

use std::mem;
use std::sync::Arc;
use std::task::Context;

use bytes::BytesMut;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};
use rustls::{Error, ServerConfig};
use tokio::net::TcpStream;

use super::socket::{Flushed, write_all, write_now};

/// What a record costs beyond its plaintext: header, content type and authentication tag (RFC 8446,
/// section 5.2), rounded up.
const RECORD_OVERHEAD: usize = 32;
/// Plaintext bytes in a full record (RFC 8446, section 5.1).
const RECORD_PLAINTEXT: usize = 16 * 1024;

/// One TLS session.
pub(super) struct Secure {
    tls: UnbufferedServerConnection,
    /// Ciphertext that is not a whole record or handshake message yet. rustls bounds both.
    partial: Vec<u8>,
    /// Ciphertext of the batch under way that the kernel has not taken.
    unsent: Vec<u8>,
    /// How much of it the kernel has taken.
    sent: usize,
    /// What came was not TLS; nothing more is said.
    failed: bool,
}

/// What came out of ciphertext.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fed {
    /// Plaintext was appended to the input.
    pub(super) plaintext: bool,
    /// The peer said that it will send no more.
    pub(super) ended: bool,
}

impl Secure {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self {
            tls: UnbufferedServerConnection::new(config)?,
            partial: Vec::new(),
            unsent: Vec::new(),
            sent: 0,
            failed: false,
        })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// The peer's own certificate, as it was shown now or came out of a ticket.
    pub(super) fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.tls.peer_certificates()?.first()
    }

    /// Whether the kernel has not taken everything yet.
    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Decrypts what came and appends it to `input`. What TLS itself has to answer is appended to
    /// `sealed`, also where this fails: then it is the alert that says why.
    pub(super) fn feed(
        &mut self,
        fresh: &mut [u8],
        input: &mut BytesMut,
        sealed: &mut Vec<u8>,
    ) -> Result<Fed, Error> {
        let mut fed = Fed::default();
        if self.partial.is_empty() {
            let used = self.process(fresh, input, sealed, &mut fed)?;
            self.partial
                .extend_from_slice(fresh.get(used..).unwrap_or_default());
            return Ok(fed);
        }
        let mut whole = mem::take(&mut self.partial);
        whole.extend_from_slice(fresh);
        let used = self.process(&mut whole, input, sealed, &mut fed)?;
        if used < whole.len() {
            whole.drain(..used);
            self.partial = whole;
        }
        Ok(fed)
    }

    /// Deals with whole records; returns the length of all that need not be shown again.
    fn process(
        &mut self,
        bytes: &mut [u8],
        input: &mut BytesMut,
        sealed: &mut Vec<u8>,
        fed: &mut Fed,
    ) -> Result<usize, Error> {
        let mut used = 0;
        loop {
            let rest = bytes.get_mut(used..).unwrap_or_default();
            let length = rest.len();
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(rest);
            used += discard;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    fed.plaintext = true;
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        used += record.discard;
                        // What is still encrypted will come to no more than its own length.
                        input.reserve(record.payload.len() + length.saturating_sub(discard));
                        input.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, sealed)?,
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => fed.ended = true,
                Ok(
                    ConnectionState::BlockedHandshake
                    | ConnectionState::WriteTraffic(_)
                    | ConnectionState::Closed,
                ) => return Ok(used),
                // Early data is off.
                Ok(_) => return Err(unexpected()),
                Err(error) => {
                    self.failed = true;
                    self.take_alert(bytes.get_mut(used..).unwrap_or_default(), sealed);
                    return Err(error);
                }
            }
        }
    }

    /// After an error: what rustls has to say about it.
    fn take_alert(&mut self, rest: &mut [u8], sealed: &mut Vec<u8>) {
        if let Ok(ConnectionState::EncodeTlsData(mut data)) = self.tls.process_tls_records(rest).state {
            let _ = encode(&mut data, sealed);
        }
    }

    /// Encrypts plaintext and appends it to `sealed`, in as few records as hold it.
    pub(super) fn seal(&mut self, plaintext: &[u8], sealed: &mut Vec<u8>) -> Result<(), Error> {
        let records = plaintext.len() / RECORD_PLAINTEXT + 1;
        let bound = plaintext.len() + records * RECORD_OVERHEAD;
        self.write(sealed, bound, |traffic, room| traffic.encrypt(plaintext, room))
    }

    /// Appends the word that nothing more will come, where the handshake got far enough for one.
    pub(super) fn say_goodbye(&mut self, sealed: &mut Vec<u8>) {
        // Without keys there is nobody to say it to.
        let _ = self.write(sealed, RECORD_OVERHEAD, |traffic, room| {
            traffic.queue_close_notify(room)
        });
    }

    fn write(
        &mut self,
        sealed: &mut Vec<u8>,
        bound: usize,
        mut action: impl FnMut(
            &mut rustls::unbuffered::WriteTraffic<'_, rustls::server::ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> Result<(), Error> {
        if self.failed {
            return Err(unexpected());
        }
        let mut bound = bound;
        loop {
            // Shown again because rustls may know where in it it stopped.
            match self.tls.process_tls_records(&mut self.partial).state? {
                ConnectionState::EncodeTlsData(mut data) => encode(&mut data, sealed)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::WriteTraffic(mut traffic) => {
                    let start = sealed.len();
                    sealed.resize(start + bound, 0);
                    let outcome = action(&mut traffic, sealed.get_mut(start..).unwrap_or_default());
                    sealed.truncate(start + outcome.as_ref().map_or(0, |count| *count));
                    match outcome {
                        Ok(_) => return Ok(()),
                        // A message of TLS itself wants to go first.
                        Err(EncryptError::InsufficientSize(size)) if size.required_size > bound => {
                            bound = size.required_size;
                        }
                        Err(error) => return Err(Error::General(error.to_string())),
                    }
                }
                _ => return Err(unexpected()),
            }
        }
    }

    /// Hands the kernel what it takes of what is left from before and of `sealed`, which is empty
    /// afterwards.
    pub(super) fn flush(
        &mut self,
        sealed: &mut Vec<u8>,
        stream: &TcpStream,
        context: &mut Context<'_>,
    ) -> Flushed {
        if self.has_unsent() {
            self.unsent.append(sealed);
            let flushed = write_all(stream, context, &self.unsent, &mut self.sent);
            if flushed == Flushed::All {
                self.forget_unsent();
            }
            return flushed;
        }
        let mut count = 0;
        let flushed = write_all(stream, context, sealed, &mut count);
        self.keep_unsent(sealed, count);
        flushed
    }

    /// The same from a thread that will not be woken for this socket, with nothing left from before.
    /// Says whether the kernel has everything; whatever went wrong, the task will find out when it goes
    /// on.
    pub(super) fn flush_now(&mut self, sealed: &mut Vec<u8>, stream: &TcpStream) -> bool {
        let count = write_now(stream, sealed);
        self.keep_unsent(sealed, count);
        !self.has_unsent()
    }

    /// Keeps `sealed`, which is mostly empty, for the next flush.
    pub(super) fn stash(&mut self, sealed: &mut Vec<u8>) {
        if !sealed.is_empty() {
            self.unsent.append(sealed);
        }
    }

    fn keep_unsent(&mut self, sealed: &mut Vec<u8>, count: usize) {
        self.unsent
            .extend_from_slice(sealed.get(count..).unwrap_or_default());
        sealed.clear();
    }

    fn forget_unsent(&mut self) {
        self.unsent = Vec::new();
        self.sent = 0;
    }
}

fn encode<Data>(data: &mut EncodeTlsData<'_, Data>, sealed: &mut Vec<u8>) -> Result<(), Error> {
    let start = sealed.len();
    let mut room = RECORD_PLAINTEXT;
    loop {
        sealed.resize(start + room, 0);
        match data.encode(sealed.get_mut(start..).unwrap_or_default()) {
            Ok(count) => {
                sealed.truncate(start + count);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(size)) if size.required_size > room => {
                room = size.required_size;
            }
            Err(error) => {
                sealed.truncate(start);
                return Err(Error::General(error.to_string()));
            }
        }
    }
}

fn unexpected() -> Error {
    Error::General("a state of TLS that is not asked for".to_owned())
}

#[cfg(test)]
mod tests;
