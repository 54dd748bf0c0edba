//! Ranges of network addresses, for bans.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address range in CIDR notation, or one address.
///
/// An IPv4 address is the same whether it is written plainly or mapped into IPv6
/// (`::ffff:10.0.0.1`): a dual-stack socket shows the second form for the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpNetwork {
    address: IpAddr,
    prefix: u8,
}

/// Bits that all addresses mapped from IPv4 share.
const MAPPED_PREFIX: u8 = 96;

impl IpNetwork {
    /// Is `address` in the range?
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing
                    .checked_shr(32_u32.saturating_sub(u32::from(self.prefix)))
                    .unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing
                    .checked_shr(128_u32.saturating_sub(u32::from(self.prefix)))
                    .unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }

    /// The first address of the range.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits all addresses of the range share.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    fn new(address: IpAddr, prefix: Option<u8>) -> Result<Self, NetworkError> {
        let width = width(address);
        let prefix = prefix.unwrap_or(width);
        if prefix > width {
            return Err(NetworkError::Prefix { prefix, width });
        }
        let (address, prefix) = match (address, address.to_canonical()) {
            (IpAddr::V6(_), mapped @ IpAddr::V4(_)) => match prefix.checked_sub(MAPPED_PREFIX) {
                Some(prefix) => (mapped, prefix),
                None => {
                    return Err(NetworkError::HostBits {
                        network: first_address(address, prefix),
                        prefix,
                    });
                }
            },
            (plain, _) => (plain, prefix),
        };
        let network = first_address(address, prefix);
        if network != address {
            return Err(NetworkError::HostBits { network, prefix });
        }
        Ok(Self { address, prefix })
    }
}

fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn first_address(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let host = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & !host))
        }
        IpAddr::V6(v6) => {
            let host = u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !host))
        }
    }
}

impl FromStr for IpNetwork {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let unreadable = || NetworkError::Unreadable {
            found: text.to_owned(),
        };
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix)) => {
                // `parse` alone would also take `+8` and `08`.
                let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
                let canonical = prefix == "0" || !prefix.starts_with('0');
                if !digits || !canonical {
                    return Err(unreadable());
                }
                (address, Some(prefix.parse().map_err(|_| unreadable())?))
            }
        };
        Self::new(address.parse().map_err(|_| unreadable())?, prefix)
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

/// Why a text is no address range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Neither an address nor `address/prefix`.
    #[error("{found:?} is no address range, write one like `10.0.0.0/8` or `2001:db8::/32`")]
    Unreadable {
        /// What was found.
        found: String,
    },
    /// More bits than an address has.
    #[error("prefix of {prefix} bits, an address of this family has {width}")]
    Prefix {
        /// Bits asked for.
        prefix: u8,
        /// Bits there are.
        width: u8,
    },
    /// Bits behind the prefix are set, so it is unclear which range is meant.
    #[error("address bits are set behind the prefix, write `{network}/{prefix}` for the range")]
    HostBits {
        /// The first address of the range.
        network: IpAddr,
        /// The prefix.
        prefix: u8,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> IpNetwork {
        text.parse().unwrap()
    }

    fn holds(range: &str, address: &str) -> bool {
        network(range).contains(address.parse().unwrap())
    }

    #[test]
    fn ranges_hold_exactly_their_addresses() {
        assert!(holds("10.0.0.0/8", "10.255.255.255"));
        assert!(!holds("10.0.0.0/8", "11.0.0.0"));
        assert!(!holds("10.0.0.0/8", "9.255.255.255"));
        assert!(holds("192.0.2.7", "192.0.2.7"));
        assert!(!holds("192.0.2.7", "192.0.2.6"));
        assert!(holds("0.0.0.0/0", "203.0.113.9"));
        assert!(holds("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!holds("2001:db8::/32", "2001:db9::"));
        assert!(holds("::/0", "2001:db8::1"));
        assert!(!holds("::/0", "10.0.0.1"));
        assert!(holds("2001:db8::1", "2001:db8::1"));
        assert!(!holds("2001:db8::1", "2001:db8::2"));
        assert!(holds("128.0.0.0/1", "255.0.0.1"));
        assert!(!holds("128.0.0.0/1", "127.0.0.1"));
    }

    #[test]
    fn mapped_addresses_are_the_plain_ones() {
        assert!(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(holds("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert_eq!(network("::ffff:10.0.0.0/104"), network("10.0.0.0/8"));
        assert_eq!(network("::ffff:10.0.0.1").to_string(), "10.0.0.1/32");
        assert!("::ffff:0.0.0.0/95".parse::<IpNetwork>().is_err());
    }

    #[test]
    fn unclear_ranges_are_refused() {
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0/8",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/256",
            "10.0.0.0/-1",
            " 10.0.0.0/8",
            "10.0.0.0/8/8",
            "::1/129",
            "[::1]",
            "fe80::1%eth0",
            "localhost",
        ] {
            assert!(text.parse::<IpNetwork>().is_err(), "{text}");
        }
        assert_eq!(
            "10.0.0.1/8".parse::<IpNetwork>().unwrap_err().to_string(),
            "address bits are set behind the prefix, write `10.0.0.0/8` for the range"
        );
    }
}
