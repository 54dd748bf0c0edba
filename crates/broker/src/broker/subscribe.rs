//! SUBSCRIBE and UNSUBSCRIBE.

use motte_guard::{Now, SubscribeRequest};
use motte_mqtt::{
    Packet, QoS, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFilter, UnsubAck, Unsubscribe,
};

use super::{Broker, Context};
use crate::connection::Reply;
use crate::names::ConnectionId;
use crate::session::SubscriptionOptions;
use crate::store::Store;
use crate::topics::subscriptions::shared;

impl<S: Store> Broker<S> {
    pub(super) fn subscribe(&mut self, id: ConnectionId, subscribe: &Subscribe, now: Now) {
        let Some(context) = self.context(id) else { return };
        let mut reasons = Vec::with_capacity(subscribe.filters.len());
        let mut to_replay = Vec::new();
        let mut must_disconnect = None;
        for filter in &subscribe.filters {
            let options = SubscriptionOptions {
                requested_qos: filter.qos,
                granted_qos: QoS::AtMostOnce,
                no_local: filter.no_local,
                retain_as_published: filter.retain_as_published,
                identifier: subscribe.subscription_identifier,
            };
            match self.subscribe_one(id, &context, filter, options, now) {
                Ok((granted, is_new)) => {
                    reasons.push(granted);
                    let replay = match filter.retain_handling {
                        RetainHandling::Send => true,
                        RetainHandling::SendIfNew => is_new,
                        RetainHandling::DoNotSend => false,
                    };
                    // Members of a group get what is published from now on (section 4.8.2).
                    if replay && !is_shared(&filter.filter) {
                        to_replay.push(&filter.filter);
                    }
                }
                Err((denial, disconnect)) => {
                    reasons.push(denial.reason);
                    if disconnect {
                        must_disconnect = Some(denial);
                    }
                }
            }
        }
        let answer = SubAck {
            packet_id: subscribe.packet_id,
            reasons,
            reason_string: None,
            user_properties: Vec::new(),
        };
        self.reply_after_store(id, Reply::Packet(Box::new(Packet::SubAck(answer))));
        for filter in to_replay {
            self.engine
                .replay_retained(context.session, filter, now.monotonic);
        }
        self.engine.pull_shared(context.session);
        if let Some(denial) = must_disconnect {
            self.disconnect_for(id, denial.reason, denial.layer, now);
        }
    }

    /// The code for SUBACK and whether the filter is new, or the denial and whether it was one too many.
    fn subscribe_one(
        &mut self,
        id: ConnectionId,
        context: &Context,
        filter: &SubscribeFilter,
        options: SubscriptionOptions,
        now: Now,
    ) -> Result<(ReasonCode, bool), (motte_guard::Denial, bool)> {
        let (existing, is_new) = self.engine.session(context.session).map_or((0, true), |session| {
            (
                session.subscriptions.len(),
                !session.subscriptions.contains_key(&filter.filter),
            )
        });
        let (search, group) = self.engine.costs(context.session, &filter.filter);
        let request = SubscribeRequest {
            filter: &filter.filter,
            qos: filter.qos,
            existing,
            is_new,
            search,
            group,
        };
        match self
            .guard
            .subscribe(&context.principal, &context.rights, request, now)
        {
            Ok(permit) => {
                let granted = filter.qos.min(permit.action().maximum_qos);
                let is_new = self
                    .engine
                    .subscribe(&permit, context.session, &filter.filter, options);
                Ok((granted_code(granted), is_new))
            }
            Err(denial) => {
                let disconnect = self.record_denial(id, &denial, Some(&filter.filter), now);
                Err((denial, disconnect))
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, id: ConnectionId, unsubscribe: &Unsubscribe) {
        let Some(session) = self.connections.get(id).and_then(|connection| connection.session) else {
            return;
        };
        let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
        for filter in &unsubscribe.filters {
            let existed = self.engine.unsubscribe(session, filter);
            reasons.push(if existed {
                ReasonCode::Success
            } else {
                ReasonCode::NoSubscriptionExisted
            });
        }
        let answer = UnsubAck {
            packet_id: unsubscribe.packet_id,
            reasons,
            reason_string: None,
            user_properties: Vec::new(),
        };
        self.reply_after_store(id, Reply::Packet(Box::new(Packet::UnsubAck(answer))));
    }
}

fn is_shared(filter: &str) -> bool {
    shared(filter).is_some()
}

const fn granted_code(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    }
}
