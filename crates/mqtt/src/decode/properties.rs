//! Reads a block of properties (5.0, section 2.2.2).

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;

use super::reader::{Context, Reader};
use crate::property::{Holder, Identifier};
use crate::rule::{self, Rule};
use crate::{DecodeError, UserProperties};

/// A block of properties of one packet: [`Self::next`] says what comes, and the packet's decoder
/// then reads the value of the type that it wants.
#[derive(Debug)]
pub(super) struct Block {
    reader: Reader,
    holder: Holder,
    /// One bit for each property that has occurred.
    seen: u64,
    /// What rules the property that is being read.
    section: &'static str,
}

impl Block {
    /// Takes the block off the front of `reader`. In 3.1.1 there is none, which reads as empty.
    pub(super) fn read(reader: &mut Reader, holder: Holder) -> Result<Self, DecodeError> {
        let rest = if reader.context.is_v5() {
            reader.require(&rule::PROPERTY_LENGTH_MISSING)?;
            let length = reader.variable_byte_integer()?;
            reader.take(length as usize)?
        } else {
            Bytes::new()
        };
        let reader = Reader::new(rest, reader.context);
        Ok(Self {
            reader,
            holder,
            seen: 0,
            section: "section 2.2.2.2",
        })
    }

    pub(super) const fn context(&self) -> &Context {
        &self.reader.context
    }

    /// Which property comes next; `None` at the end of the block.
    pub(super) fn next(&mut self) -> Result<Option<Identifier>, DecodeError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let number = self.reader.variable_byte_integer()?;
        let Some(identifier) = Identifier::from_number(number) else {
            return Err(self.reader.broken(&rule::PROPERTY_UNKNOWN));
        };
        let Some(section) = self.holder.section(identifier) else {
            return Err(self.not_allowed());
        };
        self.section = section;
        let bit = 1_u64 << identifier.byte();
        if self.seen & bit != 0 && !self.holder.may_repeat(identifier) {
            return Err(self.value_broken(&rule::PROPERTY_TWICE));
        }
        self.seen |= bit;
        Ok(Some(identifier))
    }

    #[cold]
    pub(super) const fn broken(&self, rule: &Rule) -> DecodeError {
        self.reader.broken(rule)
    }

    #[cold]
    pub(super) const fn not_allowed(&self) -> DecodeError {
        self.reader.broken(&rule::PROPERTY_NOT_ALLOWED)
    }

    /// A rule that the property being read states in its own section.
    #[cold]
    const fn value_broken(&self, rule: &Rule) -> DecodeError {
        rule.broken_in(self.section)
    }

    pub(super) fn boolean(&mut self) -> Result<bool, DecodeError> {
        match self.reader.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.value_broken(&rule::PROPERTY_NOT_BOOLEAN)),
        }
    }

    pub(super) fn two_byte_integer(&mut self) -> Result<u16, DecodeError> {
        self.reader.two_byte_integer()
    }

    pub(super) fn four_byte_integer(&mut self) -> Result<u32, DecodeError> {
        self.reader.four_byte_integer()
    }

    pub(super) fn positive_two_byte_integer(&mut self) -> Result<NonZeroU16, DecodeError> {
        let value = self.reader.two_byte_integer()?;
        NonZeroU16::new(value).ok_or_else(|| self.value_broken(&rule::PROPERTY_ZERO))
    }

    pub(super) fn positive_four_byte_integer(&mut self) -> Result<NonZeroU32, DecodeError> {
        let value = self.reader.four_byte_integer()?;
        NonZeroU32::new(value).ok_or_else(|| self.value_broken(&rule::PROPERTY_ZERO))
    }

    pub(super) fn subscription_identifier(&mut self) -> Result<NonZeroU32, DecodeError> {
        let value = self.reader.variable_byte_integer()?;
        NonZeroU32::new(value).ok_or_else(|| self.value_broken(&rule::PROPERTY_ZERO))
    }

    pub(super) fn topic_alias(&mut self) -> Result<NonZeroU16, DecodeError> {
        let value = self.reader.two_byte_integer()?;
        NonZeroU16::new(value).ok_or_else(|| self.broken(&rule::TOPIC_ALIAS_ZERO))
    }

    pub(super) fn string(&mut self) -> Result<ByteString, DecodeError> {
        self.reader.string()
    }

    pub(super) fn response_topic(&mut self) -> Result<ByteString, DecodeError> {
        self.reader.topic_name(&rule::RESPONSE_TOPIC_WILDCARD)
    }

    pub(super) fn binary(&mut self) -> Result<Bytes, DecodeError> {
        self.reader.binary()
    }

    /// Adds a user property to those that came before it, within the limit.
    pub(super) fn user_property(&mut self, all: &mut UserProperties) -> Result<(), DecodeError> {
        if all.len() >= usize::from(self.context().limits.user_properties) {
            return Err(self.broken(&rule::LIMIT_USER_PROPERTIES));
        }
        let name = self.reader.string()?;
        let value = self.reader.string()?;
        all.push((name, value));
        Ok(())
    }
}

/// The properties of a packet that has no others.
#[derive(Debug, Default)]
pub(super) struct Explanation {
    pub(super) reason_string: Option<ByteString>,
    pub(super) user_properties: UserProperties,
}

impl Explanation {
    /// Reads a block that may hold a reason string and user properties only.
    pub(super) fn read(reader: &mut Reader, holder: Holder) -> Result<Self, DecodeError> {
        let mut explanation = Self::default();
        let mut block = Block::read(reader, holder)?;
        while let Some(identifier) = block.next()? {
            match identifier {
                Identifier::ReasonString => explanation.reason_string = Some(block.string()?),
                Identifier::UserProperty => {
                    block.user_property(&mut explanation.user_properties)?;
                }
                _ => return Err(block.not_allowed()),
            }
        }
        Ok(explanation)
    }
}
