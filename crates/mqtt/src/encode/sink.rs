//! Where encoded bytes go: into a buffer, or into a count that finds out how many they will be.

use bytes::{BufMut, BytesMut};

use super::EncodeError;

/// The most that two length bytes can say.
const LONGEST_FIELD: usize = 65_535;

/// The most that a variable byte integer can say (5.0, section 1.5.5).
pub(super) const LARGEST_VARIABLE_BYTE_INTEGER: usize = 268_435_455;

/// Takes fields in the order in which they go on the wire.
pub(super) trait Sink {
    fn bytes(&mut self, bytes: &[u8]);

    /// Notes that what was written can not be said on the wire.
    fn fault(&mut self, fault: EncodeError);

    fn byte(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    fn two_byte_integer(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    fn four_byte_integer(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    fn variable_byte_integer(&mut self, value: usize) {
        if value > LARGEST_VARIABLE_BYTE_INTEGER {
            self.fault(EncodeError::TooLarge);
        }
        let mut rest = value;
        while rest > 0x7F {
            self.byte((rest & 0x7F) as u8 | 0x80);
            rest >>= 7;
        }
        self.byte(rest as u8);
    }

    /// A string or binary data with its two length bytes.
    fn field(&mut self, bytes: &[u8]) {
        if bytes.len() > LONGEST_FIELD {
            self.fault(EncodeError::FieldTooLong);
        }
        self.two_byte_integer(bytes.len() as u16);
        self.bytes(bytes);
    }
}

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) length: usize,
    pub(super) fault: Option<EncodeError>,
}

impl Sink for Count {
    fn bytes(&mut self, bytes: &[u8]) {
        self.length = self.length.saturating_add(bytes.len());
    }

    fn fault(&mut self, fault: EncodeError) {
        self.fault.get_or_insert(fault);
    }
}

impl Sink for BytesMut {
    fn bytes(&mut self, bytes: &[u8]) {
        self.put_slice(bytes);
    }

    /// Every packet is counted before it is written, so a fault has been reported already.
    fn fault(&mut self, _: EncodeError) {}
}

/// What can be written into any sink.
pub(super) trait Encode {
    fn write<S: Sink>(&self, sink: &mut S);

    /// How many bytes [`Self::write`] writes, and what stands against it.
    fn count(&self) -> Count {
        let mut count = Count::default();
        self.write(&mut count);
        count
    }
}

/// Writes a part and, before it, its length as a variable byte integer.
pub(super) fn with_length<S: Sink>(part: &impl Encode, sink: &mut S) {
    sink.variable_byte_integer(part.count().length);
    part.write(sink);
}

/// How many bytes a number takes as a variable byte integer.
pub(super) const fn variable_byte_integer_length(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}
