//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7).

use super::properties::Explanation;
use super::reader::Reader;
use crate::property::Holder;
use crate::rule::{self, Rule};
use crate::{Acknowledgement, DecodeError, ReasonCode};

/// Decodes the acknowledgement that `holder` names.
pub(super) fn decode(mut reader: Reader, holder: Holder) -> Result<Acknowledgement, DecodeError> {
    let packet_id = reader.packet_id()?;
    // 5.0 leaves out what says nothing: the reason if it is success, the properties if there are
    // none. 3.1.1 ends here; the fixed header has seen to that.
    if reader.is_empty() {
        return Ok(Acknowledgement::new(packet_id, ReasonCode::Success));
    }
    let (is_legal, broken) = reasons(holder);
    let reason = ReasonCode::from_byte(reader.byte()?)
        .filter(is_legal)
        .ok_or_else(|| reader.broken(broken))?;
    let explanation = if reader.is_empty() {
        Explanation::default()
    } else {
        Explanation::read(&mut reader, holder)?
    };
    reader.finish()?;
    Ok(Acknowledgement {
        packet_id,
        reason,
        reason_string: explanation.reason_string,
        user_properties: explanation.user_properties,
    })
}

type IsLegal = fn(&ReasonCode) -> bool;

/// Which reason codes the packet may carry, and the rule that any other breaks.
const fn reasons(holder: Holder) -> (IsLegal, &'static Rule) {
    match holder {
        Holder::PubRec => (ReasonCode::is_legal_in_puback, &rule::PUBREC_REASON),
        Holder::PubRel => (ReasonCode::is_legal_in_pubrel, &rule::PUBREL_REASON),
        Holder::PubComp => (ReasonCode::is_legal_in_pubrel, &rule::PUBCOMP_REASON),
        _ => (ReasonCode::is_legal_in_puback, &rule::PUBACK_REASON),
    }
}
