//! The indexes over topics: who wants a message, and which retained messages a filter wants.

mod filters;
pub(crate) mod retained;
pub(crate) mod subscriptions;

/// The levels of a topic name or filter, byte-exact; an empty level is a level.
pub(crate) fn levels(topic: &str) -> std::str::Split<'_, char> {
    topic.split('/')
}

/// Whether wildcards at the first level leave this topic out (MQTT-4.7.2-1).
pub(crate) fn is_reserved(topic: &str) -> bool {
    topic.starts_with('$')
}
