//! A connection in an event loop.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use rustls::Connection;

use crate::error::LoadError;
use crate::wire;

/// Moves what rustls has decrypted to the end of `received`. Says whether the peer has said goodbye.
pub(crate) fn decrypt(
    tls: &mut Connection,
    client_id: &str,
    received: &mut Vec<u8>,
) -> Result<bool, LoadError> {
    let state = tls.process_new_packets().map_err(|source| LoadError::Tls {
        client: client_id.to_owned(),
        source,
    })?;
    let length = state.plaintext_bytes_to_read();
    let start = received.len();
    received.resize(start + length, 0);
    if let Some(target) = received.get_mut(start..) {
        tls.reader()
            .read_exact(target)
            .map_err(|source| LoadError::Connection {
                client: client_id.to_owned(),
                source,
            })?;
    }
    Ok(state.peer_has_closed())
}

/// A connection in an event loop: reads and writes as much as the socket takes and never waits.
pub(crate) struct Link {
    client_id: String,
    /// The socket, for registration with the event queue.
    pub(crate) socket: mio::net::TcpStream,
    tls: Connection,
    received: Vec<u8>,
    /// Packets to be sent with the next flush, as one TLS write.
    pub(crate) pending: Vec<u8>,
    /// The socket takes no more until it says so.
    blocked: bool,
    /// The peer has said goodbye to TLS.
    ended: bool,
}

impl Link {
    /// Takes over a connection with what has been decrypted and not been looked at.
    pub(crate) fn new(
        client_id: String,
        socket: TcpStream,
        tls: Connection,
        received: Vec<u8>,
    ) -> Result<Self, LoadError> {
        if let Err(source) = socket.set_nonblocking(true) {
            return Err(LoadError::Connection {
                client: client_id,
                source,
            });
        }
        let mut link = Self::accepted(client_id, mio::net::TcpStream::from_std(socket), tls);
        link.received = received;
        Ok(link)
    }

    /// A connection of an event loop's own listener.
    pub(crate) fn accepted(client_id: String, socket: mio::net::TcpStream, tls: Connection) -> Self {
        Self {
            client_id,
            socket,
            tls,
            received: Vec::new(),
            pending: Vec::new(),
            blocked: false,
            ended: false,
        }
    }

    /// Whether the peer will send no more.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Who the connection belongs to.
    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Whether the socket is full.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// The socket takes bytes again. Says whether it did not before.
    pub(crate) fn unblock(&mut self) -> bool {
        std::mem::take(&mut self.blocked)
    }

    /// Reads everything that has arrived, `scratch` holding the ciphertext on its way.
    pub(crate) fn receive(&mut self, scratch: &mut [u8]) -> Result<(), LoadError> {
        loop {
            let length = match self.socket.read(scratch) {
                Ok(0) => return Err(self.broken(ErrorKind::UnexpectedEof.into())),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken(error)),
            };
            let mut ciphertext = scratch.get(..length).unwrap_or_default();
            while !ciphertext.is_empty() {
                self.tls
                    .read_tls(&mut ciphertext)
                    .map_err(|source| self.broken(source))?;
                self.ended |= decrypt(&mut self.tls, &self.client_id, &mut self.received)?;
            }
            // A short read has emptied the socket; the next arrival is a new event.
            if length < scratch.len() {
                return Ok(());
            }
        }
    }

    /// Gives each whole packet to `handle`, which may append answers to the pending packets.
    pub(crate) fn packets(
        &mut self,
        mut handle: impl FnMut(&wire::Frame<'_>, &mut Vec<u8>) -> Result<(), String>,
    ) -> Result<(), LoadError> {
        let mut used = 0;
        while let Some(frame) = wire::first_frame(self.received.get(used..).unwrap_or_default())
            .map_err(|detail| self.unexpected(detail))?
        {
            handle(&frame, &mut self.pending).map_err(|detail| self.unexpected(&detail))?;
            used += frame.length;
        }
        self.received.drain(..used);
        Ok(())
    }

    /// Encrypts the pending packets and writes what the socket takes.
    pub(crate) fn flush(&mut self) -> Result<(), LoadError> {
        if !self.pending.is_empty() {
            self.tls
                .writer()
                .write_all(&self.pending)
                .map_err(|source| self.broken(source))?;
            self.pending.clear();
        }
        while self.tls.wants_write() && !self.blocked {
            match self.tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.blocked = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
        Ok(())
    }

    /// Says goodbye; what the socket does not take at once is left.
    pub(crate) fn close(mut self) -> Result<(), LoadError> {
        wire::disconnect(&mut self.pending);
        self.flush()?;
        self.tls.send_close_notify();
        self.flush()
    }

    fn broken(&self, source: std::io::Error) -> LoadError {
        LoadError::Connection {
            client: self.client_id.clone(),
            source,
        }
    }

    fn unexpected(&self, detail: &str) -> LoadError {
        LoadError::Answer {
            client: self.client_id.clone(),
            detail: detail.to_owned(),
        }
    }
}
