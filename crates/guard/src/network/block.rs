//! What counts as one address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Bits of an IPv6 address that one customer shares: the rest is theirs to choose freely, so that
/// counting single addresses would count nothing.
const IPV6_PREFIX: u32 = 64;

/// One IPv4 address, or one IPv6 /64 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressBlock(IpAddr);

impl AddressBlock {
    /// The block of an address. An IPv4 address mapped into IPv6 is that IPv4 address: a dual-stack
    /// socket shows it so, and all of IPv4 would be one block otherwise.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(IpAddr::V4(address)),
            IpAddr::V6(address) => {
                let network = address.to_bits() & (u128::MAX << (128 - IPV6_PREFIX));
                Self(IpAddr::V6(Ipv6Addr::from_bits(network)))
            }
        }
    }
}

impl fmt::Display for AddressBlock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(formatter, "{address}"),
            IpAddr::V6(network) => write!(formatter, "{network}/{IPV6_PREFIX}"),
        }
    }
}
