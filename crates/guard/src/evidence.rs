//! Layer 8: what happened, in lines that cannot be changed without a trace.
//!
//! A [`Record`] holds only text that has been escaped and bounded, so nothing a peer sends can forge a
//! line, drive a terminal or fill a disk (attack S8). A [`Chain`] turns records into lines:
//!
//! ```text
//! {"seq":7,"previous":"<hash of line 6>","record":{…},"hash":"<hash of this line>"}
//! ```
//!
//! The hash is SHA-256 over three parts, one after the other: the 32 bytes of the previous hash, `seq`
//! as 8 bytes big-endian, and the bytes of the record exactly as they stand in the line. The first line
//! has `seq` 1 and a previous hash of zeros.

mod chain;
mod record;
#[cfg(test)]
mod tests;
mod text;
mod verify;

pub use chain::{Chain, Hash, HashError};
pub use record::{Kind, Record};
pub use text::{TEXT_LENGTH, Text, escape};
pub use verify::{Broken, LINE_LENGTH, Verified, Why, verify};
