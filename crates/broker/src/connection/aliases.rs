//! Topic aliases (5.0, section 3.3.2.3.4), both ways; they live as long as the connection.

use std::collections::HashMap;
use std::num::NonZeroU16;

use bytestring::ByteString;
use motte_mqtt::ReasonCode;

use super::Violation;

/// Aliases that the client made. Each use of one is authorized anew on the topic behind it.
#[derive(Debug, Default)]
pub(crate) struct InboundAliases {
    maximum: u16,
    topics: Vec<Option<ByteString>>,
}

impl InboundAliases {
    pub(crate) fn new(maximum: u16) -> Self {
        Self {
            maximum,
            topics: Vec::new(),
        }
    }

    /// The topic that a PUBLISH with this alias means. A topic given beside it becomes the new meaning.
    pub(crate) fn resolve(&mut self, alias: NonZeroU16, topic: &ByteString) -> Result<ByteString, Violation> {
        if alias.get() > self.maximum {
            return Err(Violation::new(
                ReasonCode::TopicAliasInvalid,
                "MQTT-3.3.2-9",
                "topic alias above Topic Alias Maximum",
            ));
        }
        let index = usize::from(alias.get() - 1);
        if !topic.is_empty() {
            if self.topics.len() <= index {
                self.topics.resize(index + 1, None);
            }
            // Copied, because the packet's buffer would stay alive as long as the alias does.
            let kept = ByteString::from(topic.to_string());
            if let Some(slot) = self.topics.get_mut(index) {
                *slot = Some(kept.clone());
            }
            return Ok(kept);
        }
        self.topics.get(index).cloned().flatten().ok_or(Violation::new(
            ReasonCode::ProtocolError,
            "MQTT-3.3.2-12",
            "topic alias without a topic behind it",
        ))
    }
}

/// Aliases that the server made: first come, first served, up to what the client takes.
#[derive(Debug, Default)]
pub(crate) struct OutboundAliases {
    maximum: u16,
    known: HashMap<ByteString, NonZeroU16>,
}

/// How a topic is written in a PUBLISH to the client.
pub(crate) struct Spelling {
    pub(crate) alias: Option<NonZeroU16>,
    /// The client knows the alias: the topic is left out.
    pub(crate) alias_only: bool,
}

impl OutboundAliases {
    pub(crate) fn new(maximum: u16) -> Self {
        Self {
            maximum,
            known: HashMap::new(),
        }
    }

    /// The spelling for a topic, without taking note of it.
    pub(crate) fn spell(&self, topic: &ByteString) -> Spelling {
        if self.maximum == 0 {
            return Spelling {
                alias: None,
                alias_only: false,
            };
        }
        if let Some(alias) = self.known.get(topic) {
            return Spelling {
                alias: Some(*alias),
                alias_only: true,
            };
        }
        let next = u16::try_from(self.known.len() + 1)
            .ok()
            .filter(|next| *next <= self.maximum);
        Spelling {
            alias: next.and_then(NonZeroU16::new),
            alias_only: false,
        }
    }

    /// The packet that introduces an alias has been written.
    pub(crate) fn written(&mut self, topic: &ByteString, spelling: &Spelling) {
        if let (Some(alias), false) = (spelling.alias, spelling.alias_only) {
            self.known.insert(topic.clone(), alias);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(alias: u16) -> NonZeroU16 {
        NonZeroU16::new(alias).unwrap()
    }

    #[test]
    fn an_alias_means_the_last_topic_given_with_it() {
        let mut aliases = InboundAliases::new(2);
        let none = ByteString::new();
        assert_eq!(
            aliases.resolve(number(2), &none).unwrap_err().reason,
            ReasonCode::ProtocolError
        );
        aliases.resolve(number(2), &"a".into()).unwrap();
        assert_eq!(aliases.resolve(number(2), &none).unwrap(), "a");
        aliases.resolve(number(2), &"b".into()).unwrap();
        assert_eq!(aliases.resolve(number(2), &none).unwrap(), "b");
    }

    #[test]
    fn the_maximum_holds_at_the_bound_and_one_past_it() {
        let mut aliases = InboundAliases::new(2);
        assert!(aliases.resolve(number(2), &"a".into()).is_ok());
        assert_eq!(
            aliases.resolve(number(3), &"a".into()).unwrap_err().reason,
            ReasonCode::TopicAliasInvalid
        );
    }

    #[test]
    fn the_server_introduces_an_alias_once_and_stops_at_the_maximum() {
        let mut aliases = OutboundAliases::new(1);
        let topic = ByteString::from("a");
        let first = aliases.spell(&topic);
        assert_eq!((first.alias, first.alias_only), (Some(number(1)), false));
        aliases.written(&topic, &first);
        let second = aliases.spell(&topic);
        assert_eq!((second.alias, second.alias_only), (Some(number(1)), true));
        let other = aliases.spell(&"b".into());
        assert_eq!((other.alias, other.alias_only), (None, false));
    }
}
