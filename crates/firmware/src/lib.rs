//! What the firmware scanner has to ask of every byte of an image: is one of the needles here, or
//! what could be a point of the curve P-256?
//!
//! Both searches are linear in the bytes, whatever the bytes are, and hold nothing but their answers,
//! whose number the caller bounds. What an answer means is judged in Python, a few bytes at a time.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unreachable
    )
)]

mod needles;
mod points;

pub use needles::{Mark, Needles, NeedlesError};
pub use points::{BLOCK_LENGTH, POINT_LENGTH, points};
