//! Takes fields off the front of one packet.

use std::num::NonZeroU16;

use bytes::{Buf, Bytes};
use bytestring::ByteString;

use super::Sender;
use crate::rule::{self, Rule};
use crate::{DecodeError, Limits, PacketId, ProtocolVersion, text, topic};

/// The most bytes of a variable byte integer.
pub(super) const LONGEST_VARIABLE_BYTE_INTEGER: usize = 4;

/// What decides which rules hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    pub(super) sender: Sender,
    pub(super) version: ProtocolVersion,
    pub(super) limits: Limits,
}

impl Context {
    pub(super) const fn is_v5(&self) -> bool {
        matches!(self.version, ProtocolVersion::V5)
    }

    #[cold]
    pub(super) const fn broken(&self, rule: &Rule) -> DecodeError {
        rule.broken(self.version)
    }
}

/// The not yet read bytes of one packet. What is taken out is a slice of the receive buffer.
#[derive(Debug)]
pub(super) struct Reader {
    rest: Bytes,
    pub(super) context: Context,
}

impl Reader {
    pub(super) const fn new(rest: Bytes, context: Context) -> Self {
        Self { rest, context }
    }

    #[cold]
    pub(super) const fn broken(&self, rule: &Rule) -> DecodeError {
        self.context.broken(rule)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Fails with `rule` where the packet has ended already.
    pub(super) fn require(&self, rule: &Rule) -> Result<(), DecodeError> {
        if self.is_empty() {
            Err(self.broken(rule))
        } else {
            Ok(())
        }
    }

    /// Fails where bytes are left.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(self.broken(&rule::TRAILING_BYTES))
        }
    }

    /// Everything that is left.
    pub(super) fn into_rest(self) -> Bytes {
        self.rest
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        self.rest.try_get_u8().map_err(|_| self.broken(&rule::TRUNCATED))
    }

    pub(super) fn two_byte_integer(&mut self) -> Result<u16, DecodeError> {
        self.rest.try_get_u16().map_err(|_| self.broken(&rule::TRUNCATED))
    }

    pub(super) fn four_byte_integer(&mut self) -> Result<u32, DecodeError> {
        self.rest.try_get_u32().map_err(|_| self.broken(&rule::TRUNCATED))
    }

    /// A variable byte integer (5.0, section 1.5.5), in its shortest form only.
    pub(super) fn variable_byte_integer(&mut self) -> Result<u32, DecodeError> {
        match variable_byte_integer(&self.rest) {
            Ok(Some((value, length))) => {
                self.rest.advance(length);
                Ok(value)
            }
            Ok(None) => Err(self.broken(&rule::TRUNCATED)),
            Err(rule) => Err(self.broken(rule)),
        }
    }

    /// The next `length` bytes as a packet part of its own.
    pub(super) fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.rest.len() {
            return Err(self.broken(&rule::TRUNCATED));
        }
        Ok(self.rest.split_to(length))
    }

    pub(super) fn binary(&mut self) -> Result<Bytes, DecodeError> {
        let length = self.two_byte_integer()?;
        self.take(usize::from(length))
    }

    pub(super) fn string(&mut self) -> Result<ByteString, DecodeError> {
        let bytes = self.binary()?;
        let string = ByteString::try_from(bytes).map_err(|_| self.broken(&rule::STRING_NOT_UTF8))?;
        text::check(&string).map_err(|rule| self.broken(rule))?;
        Ok(string)
    }

    /// A topic name; `wildcard` is the rule that a wildcard breaks here.
    pub(super) fn topic_name(&mut self, wildcard: &'static Rule) -> Result<ByteString, DecodeError> {
        let name = self.string()?;
        topic::name_rule(&name, &self.context.limits, wildcard).map_err(|rule| self.broken(rule))?;
        Ok(name)
    }

    pub(super) fn topic_filter(&mut self) -> Result<ByteString, DecodeError> {
        let filter = self.string()?;
        topic::filter_rule(&filter, &self.context.limits, self.context.version)
            .map_err(|rule| self.broken(rule))?;
        Ok(filter)
    }

    pub(super) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        let number = self.two_byte_integer()?;
        NonZeroU16::new(number).ok_or_else(|| self.broken(&rule::PACKET_ID_ZERO))
    }
}

/// The variable byte integer at the front of `bytes` and its length; `None` if it ends too early.
pub(super) fn variable_byte_integer(bytes: &[u8]) -> Result<Option<(u32, usize)>, &'static Rule> {
    let mut value = 0_u32;
    for (index, byte) in bytes.iter().take(LONGEST_VARIABLE_BYTE_INTEGER).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let is_minimal = index == 0 || *byte != 0;
            return if is_minimal {
                Ok(Some((value, index + 1)))
            } else {
                Err(&rule::LENGTH_NOT_MINIMAL)
            };
        }
    }
    if bytes.len() < LONGEST_VARIABLE_BYTE_INTEGER {
        Ok(None)
    } else {
        Err(&rule::LENGTH_TOO_LONG)
    }
}
