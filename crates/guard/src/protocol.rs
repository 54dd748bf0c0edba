//! Layer 5: the form and size of what is sent, as far as a role has a say in it.
//!
//! What every packet has to obey was refused by the codec before it came here.

use motte_mqtt::ReasonCode;
use motte_policy::RoleLimits;

use crate::{Denial, Layer};

/// The payload is not above the role's limit (attack W7 for wills).
pub(crate) fn check_payload(limits: &RoleLimits, payload_len: usize) -> Result<(), Denial> {
    let limit = limits.payload;
    if u64::try_from(payload_len).unwrap_or(u64::MAX) > u64::from(limit) {
        return Err(Denial::new(
            Layer::Protocol,
            "protocol.payload",
            ReasonCode::PacketTooLarge,
            format!("payload of {payload_len} bytes, the role allows {limit}"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_at_the_limit_passes_and_one_past_it_does_not() {
        let limits = RoleLimits {
            payload: 64,
            ..RoleLimits::DEVICE
        };
        assert_eq!(check_payload(&limits, 0), Ok(()));
        assert_eq!(check_payload(&limits, 64), Ok(()));
        let denial = check_payload(&limits, 65).unwrap_err();
        assert_eq!(
            (denial.layer, &*denial.rule),
            (Layer::Protocol, "protocol.payload")
        );
        assert_eq!(denial.reason, ReasonCode::PacketTooLarge);
        assert!(check_payload(&limits, usize::MAX).is_err());
    }
}
