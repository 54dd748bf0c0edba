//! The form of topic names and topic filters (section 4.7 of both standards) and of shared
//! subscriptions (5.0, section 4.8.2).

use crate::rule::{self, Rule};
use crate::{DecodeError, Limits, ProtocolVersion, text};

/// What a shared subscription starts with (5.0, section 4.8.2).
const SHARE_PREFIX: &str = "$share/";

/// The most bytes that the two length bytes of a string can say (MQTT-4.7.3-3).
const LONGEST_TOPIC: usize = 65_535;

/// Checks that `name` is a well formed topic name within `limits`: not empty, without wildcards.
///
/// # Errors
/// Names the broken statement, in the numbers of 5.0.
pub fn check_name(name: &str, limits: &Limits) -> Result<(), DecodeError> {
    text::check(name)
        .and_then(|()| name_rule(name, limits, &rule::TOPIC_WILDCARD))
        .map_err(|broken| broken.broken(ProtocolVersion::V5))
}

/// Checks that `filter` is a well formed topic filter within `limits`: not empty, wildcards only
/// as whole levels, `#` only as the last one, `$share/` only with a share name and a filter.
///
/// # Errors
/// Names the broken statement, in the numbers of 5.0.
pub fn check_filter(filter: &str, limits: &Limits) -> Result<(), DecodeError> {
    text::check(filter)
        .and_then(|()| filter_rule(filter, limits, ProtocolVersion::V5))
        .map_err(|broken| broken.broken(ProtocolVersion::V5))
}

/// The two parts of a shared subscription's topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared<'a> {
    /// The share name: which group of subscribers divides the messages.
    pub group: &'a str,
    /// The topic filter that follows the share name.
    pub filter: &'a str,
}

/// Takes `$share/<group>/<filter>` apart; `None` for everything that is not of that form.
#[must_use]
pub fn shared(filter: &str) -> Option<Shared<'_>> {
    let (group, filter) = filter.strip_prefix(SHARE_PREFIX)?.split_once('/')?;
    let is_share_name = !group.is_empty() && !group.contains(['+', '#']);
    (is_share_name && !filter.is_empty()).then_some(Shared { group, filter })
}

/// The rules of a topic name, but for its characters; `wildcard` is the rule that a wildcard
/// breaks here.
pub(crate) fn name_rule(name: &str, limits: &Limits, wildcard: &'static Rule) -> Result<(), &'static Rule> {
    check_length(name, limits, &rule::LIMIT_NAME_LENGTH)?;
    let mut separators = 0_usize;
    let mut wildcards = false;
    for byte in name.bytes() {
        separators += usize::from(byte == b'/');
        wildcards |= byte == b'+' || byte == b'#';
    }
    if wildcards {
        return Err(wildcard);
    }
    check_levels(separators, limits, &rule::LIMIT_NAME_LEVELS)
}

/// The rules of a topic filter, but for its characters. 3.1.1 knows no shared subscriptions:
/// there, `$share` is a level like any other.
pub(crate) fn filter_rule(
    filter: &str,
    limits: &Limits,
    version: ProtocolVersion,
) -> Result<(), &'static Rule> {
    check_length(filter, limits, &rule::LIMIT_FILTER_LENGTH)?;
    let separators = filter.bytes().filter(|byte| *byte == b'/').count();
    check_levels(separators, limits, &rule::LIMIT_FILTER_LEVELS)?;
    if version == ProtocolVersion::V5 {
        check_share(filter)?;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err(&rule::FILTER_MULTI_LEVEL);
        }
        if level.contains('+') && level != "+" {
            return Err(&rule::FILTER_SINGLE_LEVEL);
        }
    }
    Ok(())
}

fn check_length(topic: &str, limits: &Limits, passed: &'static Rule) -> Result<(), &'static Rule> {
    if topic.is_empty() {
        return Err(&rule::TOPIC_EMPTY);
    }
    if topic.len() > LONGEST_TOPIC {
        return Err(&rule::TOPIC_OVERLONG);
    }
    if topic.len() > usize::from(limits.topic_length) {
        Err(passed)
    } else {
        Ok(())
    }
}

fn check_levels(separators: usize, limits: &Limits, passed: &'static Rule) -> Result<(), &'static Rule> {
    if separators >= usize::from(limits.topic_levels) {
        Err(passed)
    } else {
        Ok(())
    }
}

fn check_share(filter: &str) -> Result<(), &'static Rule> {
    let Some(rest) = filter.strip_prefix(SHARE_PREFIX) else {
        return Ok(());
    };
    if rest.is_empty() || rest.starts_with('/') {
        return Err(&rule::SHARE_NAME);
    }
    shared(filter).map(|_| ()).ok_or(&rule::SHARE_FILTER)
}

#[cfg(test)]
mod tests;
