//! SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK (sections 3.8 to 3.11).

use super::properties::{Block, Explanation};
use super::reader::Reader;
use crate::property::{Holder, Identifier};
use crate::rule::{self, Rule};
use crate::{
    DecodeError, QoS, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFilter, UnsubAck, Unsubscribe,
    topic,
};

pub(super) fn subscribe(mut reader: Reader) -> Result<Subscribe, DecodeError> {
    let packet_id = reader.packet_id()?;
    let mut subscription_identifier = None;
    let mut user_properties = Vec::new();
    let mut block = Block::read(&mut reader, Holder::Subscribe)?;
    while let Some(identifier) = block.next()? {
        match identifier {
            Identifier::SubscriptionIdentifier => {
                subscription_identifier = Some(block.subscription_identifier()?);
            }
            Identifier::UserProperty => block.user_property(&mut user_properties)?,
            _ => return Err(block.not_allowed()),
        }
    }
    let filters = list(&mut reader, &rule::SUBSCRIBE_EMPTY, |reader| {
        let filter = reader.topic_filter()?;
        let options = reader.byte()?;
        let filter = subscribe_filter(filter, options, reader.context.is_v5());
        filter.map_err(|rule| reader.broken(rule))
    })?;
    Ok(Subscribe {
        packet_id,
        filters,
        subscription_identifier,
        user_properties,
    })
}

/// Joins a filter and its options (5.0, section 3.8.3.1; 3.1.1 has the QoS only).
fn subscribe_filter(
    filter: bytestring::ByteString,
    options: u8,
    is_v5: bool,
) -> Result<SubscribeFilter, &'static Rule> {
    let reserved = if is_v5 { 0b1100_0000 } else { 0b1111_1100 };
    if options & reserved != 0 {
        return Err(&rule::SUBSCRIBE_OPTIONS);
    }
    let qos = QoS::from_bits(options).ok_or(&rule::SUBSCRIBE_QOS)?;
    let no_local = options & 0b0000_0100 != 0;
    if no_local && topic::shared(&filter).is_some() {
        return Err(&rule::SUBSCRIBE_NO_LOCAL_SHARED);
    }
    let retain_handling = match options >> 4 {
        0 => RetainHandling::Send,
        1 => RetainHandling::SendIfNew,
        2 => RetainHandling::DoNotSend,
        _ => return Err(&rule::SUBSCRIBE_RETAIN_HANDLING),
    };
    let retain_as_published = options & 0b0000_1000 != 0;
    Ok(SubscribeFilter {
        filter,
        qos,
        no_local,
        retain_as_published,
        retain_handling,
    })
}

pub(super) fn unsubscribe(mut reader: Reader) -> Result<Unsubscribe, DecodeError> {
    let packet_id = reader.packet_id()?;
    let mut user_properties = Vec::new();
    let mut block = Block::read(&mut reader, Holder::Unsubscribe)?;
    while let Some(identifier) = block.next()? {
        match identifier {
            Identifier::UserProperty => block.user_property(&mut user_properties)?,
            _ => return Err(block.not_allowed()),
        }
    }
    let filters = list(&mut reader, &rule::UNSUBSCRIBE_EMPTY, Reader::topic_filter)?;
    Ok(Unsubscribe {
        packet_id,
        filters,
        user_properties,
    })
}

/// Reads topic filters up to the end of the packet: at least one, at most what the limits allow.
fn list<T>(
    reader: &mut Reader,
    empty: &Rule,
    mut read: impl FnMut(&mut Reader) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    reader.require(empty)?;
    let mut items = Vec::new();
    while !reader.is_empty() {
        if items.len() >= usize::from(reader.context.limits.filters_per_packet) {
            return Err(reader.broken(&rule::LIMIT_FILTERS));
        }
        items.push(read(reader)?);
    }
    Ok(items)
}

pub(super) fn suback(mut reader: Reader) -> Result<SubAck, DecodeError> {
    let packet_id = reader.packet_id()?;
    let explanation = Explanation::read(&mut reader, Holder::SubAck)?;
    let is_legal = if reader.context.is_v5() {
        ReasonCode::is_legal_in_suback
    } else {
        ReasonCode::is_suback_return_code
    };
    let reasons = reasons(reader, is_legal, &rule::SUBACK_EMPTY, &rule::SUBACK_REASON)?;
    Ok(SubAck {
        packet_id,
        reasons,
        reason_string: explanation.reason_string,
        user_properties: explanation.user_properties,
    })
}

pub(super) fn unsuback(mut reader: Reader) -> Result<UnsubAck, DecodeError> {
    let packet_id = reader.packet_id()?;
    let explanation = Explanation::read(&mut reader, Holder::UnsubAck)?;
    let reasons = if reader.context.is_v5() {
        let is_legal = ReasonCode::is_legal_in_unsuback;
        reasons(reader, is_legal, &rule::UNSUBACK_EMPTY, &rule::UNSUBACK_REASON)?
    } else {
        // The fixed header has seen to it that nothing follows.
        Vec::new()
    };
    Ok(UnsubAck {
        packet_id,
        reasons,
        reason_string: explanation.reason_string,
        user_properties: explanation.user_properties,
    })
}

/// Reads the rest of the packet as reason codes, one byte each.
fn reasons(
    reader: Reader,
    is_legal: fn(&ReasonCode) -> bool,
    empty: &Rule,
    broken: &Rule,
) -> Result<Vec<ReasonCode>, DecodeError> {
    reader.require(empty)?;
    let context = reader.context;
    let codes = reader.into_rest();
    codes
        .iter()
        .map(|byte| ReasonCode::from_byte(*byte).filter(is_legal))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| context.broken(broken))
}
