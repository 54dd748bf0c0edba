//! MQTT 3.1.1 and 5.0 control packets: bytes in, packets out.
//!
//! The codec performs no input or output, reads no clock and allocates nothing on a peer's word
//! alone: every length is held against [`Limits`] before memory is reserved. Strings and payloads
//! are slices of the receive buffer, not copies.
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

mod decode;
mod encode;
mod error;
mod legal;
mod limits;
mod packet;
mod property;
mod reason;
mod rule;
mod text;
pub mod topic;

pub use decode::{Decoded, Decoder, Sender};
pub use encode::{EncodeError, PublishParts, encode, encode_publish, encoded_length, encoded_publish_length};
pub use error::DecodeError;
pub use limits::Limits;
pub use packet::{
    Acknowledgement, Auth, ConnAck, ConnAckProperties, Connect, ConnectProperties, Disconnect, LastWill,
    Packet, PacketId, Password, ProtocolVersion, Publish, PublishProperties, QoS, RetainHandling, SubAck,
    Subscribe, SubscribeFilter, UnsubAck, Unsubscribe, UserProperties,
};
pub use reason::ReasonCode;
