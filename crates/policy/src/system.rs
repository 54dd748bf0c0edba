//! `$SYS`, what the broker says about itself.

/// The first level of what the broker publishes. No client may, whatever its role says (attack P2).
pub const SYSTEM_LEVEL: &str = "$SYS";

/// Whether a topic name is one of the broker's own.
#[must_use]
pub fn is_system(topic: &str) -> bool {
    topic.split('/').next() == Some(SYSTEM_LEVEL)
}
