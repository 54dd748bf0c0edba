//! What the broker says about itself, under `$SYS/broker/…`.
//!
//! The values are a state like that of retained messages: who subscribes gets them at once, and then those
//! that have changed, at an interval. There is a fixed number of them; none names an identity, a topic, an
//! address or the version of the program (attacks I1, I2). Filters that begin with a wildcard never match
//! them (MQTT-4.7.2-1), so each reader has a grant that says `$SYS` literally.

use std::collections::BTreeMap;
use std::sync::Arc;

use motte_guard::{Layer, Now, Principal};
use motte_policy::{Identity, Kind};

use super::Broker;
use crate::message::Message;
use crate::store::Store;

impl<S: Store> Broker<S> {
    /// Publishes the values that have changed.
    pub(super) fn publish_system(&mut self, now: Now) {
        let Ok(identity) = Identity::new(Kind::Service, "broker", BTreeMap::new()) else {
            return;
        };
        let sender = Arc::new(Principal {
            identity,
            serial: Vec::new(),
            not_after: u64::MAX,
        });
        for (name, value) in self.system_values(now) {
            let topic = format!("$SYS/broker/{name}");
            let value = value.to_string();
            let known = self.engine.system.get(&topic);
            if known.is_some_and(|message| *message.payload == *value.as_bytes()) {
                continue;
            }
            // Without a policy there is nobody to read it.
            let Ok(permit) = self.guard.publish_system(&topic) else {
                return;
            };
            let message = Message::of_system(topic, value, Arc::clone(&sender), permit.generation());
            self.engine.publish_system(&permit, &Arc::new(message));
        }
        self.collect_work();
    }

    fn system_values(&self, now: Now) -> Vec<(String, u64)> {
        let retained = self.engine.retained.total();
        let totals = &self.totals;
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let named = [
            ("uptime", now.monotonic.as_secs()),
            ("policy/generation", self.guard.generation()),
            ("clients/connected", count(self.connections.len())),
            ("clients/accepted", totals.connections_accepted),
            ("sessions", count(self.engine.session_count())),
            ("messages/received", totals.messages_received),
            ("messages/sent", totals.messages_sent),
            ("messages/withheld", totals.messages_withheld),
            ("messages/expired", totals.messages_expired),
            ("messages/too-large", totals.messages_too_large),
            ("messages/dropped", self.engine.dropped_by_full_queues),
            ("retained/messages", count(retained.messages)),
            ("retained/bytes", retained.bytes),
        ];
        let counters = self.guard.counters();
        let denials = Layer::ALL
            .iter()
            // These two refuse before there is a connection; the metrics have them.
            .filter(|layer| !matches!(layer, Layer::Network | Layer::Tls))
            .map(|layer| (format!("denials/{}", layer.name()), counters.refused(*layer)));
        named
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .chain(denials)
            .collect()
    }
}
